package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// Calibrate makes a model of one measured run: of its windows in which workers did whole loops without errors, probes or rollouts,
// and of its benches.
func Calibrate(run *history.Run, a *capacity.Analysis) (Model, error) {
	m := Model{Version: Version, Scenario: a.Run.Scenario, Cluster: a.Run.Cluster, Start: a.Run.Start, Host: a.Run.Host}
	m.Roles = a.Roles
	if len(m.Roles.Stations) != stations {
		return m, fmt.Errorf("calibrate: the driver of the run's app visits %d services; accepted: one that visits %d", len(m.Roles.Stations),
			stations)
	}
	m.Environment = environment(run, m.Roles)
	var used []*capacity.Window
	for i := range a.Windows {
		w := &a.Windows[i]
		if why := unfit(w, a); why == "" {
			used = append(used, w)
		} else if w.HashRate != nil {
			m.Notes = append(m.Notes, fmt.Sprintf("window %s was left out: %s", w.Name, why))
		}
	}
	if len(used) == 0 {
		return m, fmt.Errorf("calibrate: the run has no window of %s without errors, probes and updates; calibrate on a run of the "+
			"scenario bottleneck", m.Roles.Driver.Plural)
	}
	m.Base = setting(used[0])
	fit := func(value func(w *capacity.Window) (float64, bool)) Cost {
		var points []point
		for _, w := range used {
			if v, ok := value(w); ok {
				points = append(points, point{w.HashRate.Value, v, w.Hashes})
			}
		}
		return line(points)
	}
	stage := func(w *capacity.Window, name string) (float64, bool) {
		if w.Loop == nil {
			return 0, false
		}
		for _, s := range w.Loop.Stages {
			if s.Name == name {
				return s.PerLoopS, true
			}
		}
		return 0, false
	}
	// A server that is always busy turns round once for each request: replicas / rate is what a request costs it, with what lies between two
	// services and no counter sees. Elsewhere the mean service time is all there is.
	occupancy := func(r history.Role) Cost {
		service := r.Service
		gap := 0.0
		var gaps []float64
		for _, w := range used {
			u := w.Service(service)
			if u == nil || u.ServiceS == nil || u.Slots != u.Replicas || u.Utilisation == nil || *u.Utilisation < .985 || w.LengthS < 5 {
				continue
			}
			gaps = append(gaps, float64(u.Slots)/w.HashRate.Value-*u.ServiceS)
		}
		if len(gaps) > 0 {
			slices.Sort(gaps)
			gap = min(.002, max(0, gaps[len(gaps)/2]))
		}
		c := fit(func(w *capacity.Window) (float64, bool) {
			u := w.Service(service)
			if u == nil || u.ServiceS == nil {
				return 0, false
			}
			return *u.ServiceS - w.Config.Station(service).ServiceS, true
		})
		c.BaseS += gap
		return c
	}
	_, first, last := parts(m.Roles)
	m.First, m.Last = occupancy(first), occupancy(last)
	store, hashes := 0.0, 0.0
	for _, w := range used {
		if s, ok := stage(w, m.Roles.Store.Service); ok && w.Loop.TotalS > 0 {
			store += s / capacity.Commands(m.Roles, w.Loop.TotalS) * w.Hashes
			hashes += w.Hashes
		}
	}
	if hashes > 0 {
		m.StoreS = store / hashes
	}
	m.concurrency(a)
	m.jitter(a)
	m.StartS = starts(run, m.Roles.Driver.Service)
	for _, w := range used {
		n := w.Config.Drivers()
		if m.Range.MinDrivers == 0 || n < m.Range.MinDrivers {
			m.Range.MinDrivers = n
		}
		m.Range.MaxDrivers = max(m.Range.MaxDrivers, n)
		m.Range.MaxFirst = max(m.Range.MaxFirst, w.Config.Replicas[first.Service])
		m.Range.MaxPerS = max(m.Range.MaxPerS, w.HashRate.Value)
	}
	if err := m.client(used); err != nil {
		return m, err
	}
	m.visitor(a)
	for _, w := range used {
		s := setting(w)
		p, err := m.replay(w, 4)
		if err != nil {
			return m, err
		}
		m.Residuals = append(m.Residuals, Residual{Window: w.Name, Setting: s, Measured: w.HashRate.Value, Predicted: p.HashRate,
			Error: p.HashRate/w.HashRate.Value - 1})
	}
	return m, nil
}

// replay predicts a window of the run that the model is made of.
func (m Model) replay(w *capacity.Window, runs int) (Prediction, error) {
	p, err := m.Predict(setting(w), Options{Settle: 2 * time.Second, Length: time.Duration(w.LengthS * float64(time.Second)), Runs: runs})
	if err != nil {
		return p, fmt.Errorf("calibrate: window %s: %w", w.Name, err)
	}
	return p, nil
}

// client finds what a loop takes besides think time, services, queues and Redis. A loop's length is the workers over the rate, exactly
// (Little's law); the stages that the workers time are cut by the window's edges. What of it is queue the simulator knows: so the windows
// are played without the cost, and what is missing in a loop is it. Where a service is the limit the loop says nothing of it.
func (m *Model) client(used []*capacity.Window) error {
	for range 2 {
		var points []point
		for _, w := range used {
			full := slices.ContainsFunc(w.Services, func(u capacity.ServiceUse) bool { return u.Utilisation != nil && *u.Utilisation > .97 })
			if full || w.Config.Balance == "random" {
				continue
			}
			p, err := m.replay(w, 4)
			if err != nil {
				return err
			}
			n := float64(w.Config.Drivers())
			points = append(points, point{w.HashRate.Value, m.Client.At(w.HashRate.Value) + n/w.HashRate.Value - n/p.HashRate, w.Hashes})
		}
		if len(points) == 0 {
			m.Notes = append(m.Notes, fmt.Sprintf("no window shows what a %s's own loop costs: in all of them a service was the limit",
				m.Roles.Driver.Service))
			return nil
		}
		m.Client = line(points)
	}
	return nil
}

// unfit says why a window cannot calibrate, or "".
func unfit(w *capacity.Window, a *capacity.Analysis) string {
	switch {
	case w.HashRate == nil || w.Hashes < 5 || w.Loop == nil || len(w.Loop.Stages) == 0:
		return "too few loops"
	case !w.Complete:
		return "it was cut off"
	case w.Errors > 0:
		return "there were errors"
	case w.Config.Updating:
		return "an update was in progress"
	case w.Config.KeepAlive:
		return "the connections are kept"
	}
	for _, l := range a.Loads {
		if l.BeginS < w.EndS && l.BeginS+l.LengthS > w.BeginS {
			return "load " + l.Name + " was made in it"
		}
	}
	// The machine was somebody else's.
	if h := w.Host; h == nil {
		return ""
	} else if h.Late != nil {
		if *h.Late > mostLate {
			return fmt.Sprintf("the app's delays lasted %.1f %% longer than they were to", 100**h.Late)
		}
	} else if h.Busy-h.Own > .25 && h.Pressure != nil && *h.Pressure > .5 {
		return fmt.Sprintf("other programs used %.0f %% of the processors", 100*(h.Busy-h.Own))
	}
	return ""
}

// mostLate is the share by which the app's delays may last longer in a window that a model is calibrated on.
const mostLate = .02

func setting(w *capacity.Window) Setting {
	_, first, last := parts(w.Config.Roles())
	return Setting{Drivers: w.Config.Drivers(), First: w.Config.Replicas[first.Service], Last: w.Config.Replicas[last.Service],
		Roles: w.Config.Roles(), Think: time.Duration(math.Round(w.Config.ThinkS * 1e9)), Balance: w.Config.Balance}
}

// environment is what the driver and the stations were deployed with, as far as the simulator can be told it.
func environment(run *history.Run, roles history.Roles) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, e := range run.Events {
		role, known := roles.Of(e.Service)
		p, ok := e.Payload.(event.ServiceDeployed)
		if !ok || all[e.Service] != nil || !known || role == roles.Store {
			continue
		}
		env := map[string]string{}
		for name, v := range p.Environment {
			if strings.HasPrefix(name, settings.Prefix) && settings.Check(role.Program, map[string]string{name: v}) == nil {
				env[name] = v
			}
		}
		for _, name := range []string{"COIN_LISTEN", "COIN_ADMIN_LISTEN", "COIN_HOSTS", "COIN_REPLICA", "COIN_REDIS", "COIN_RNG_URL",
			"COIN_HASHER_URL"} {
			delete(env, name) // where it ran
		}
		all[e.Service] = env
	}
	return all
}

type point struct{ rate, value, weight float64 }

// line fits value = a + b rate, b >= 0, a >= 0, by least squares with weights (the hashes of a window), twice: points that the first line
// misses by more than 3 median deviations have no say in the second.
func line(points []point) Cost {
	if len(points) == 0 {
		return Cost{}
	}
	fit := func(points []point) (a, b float64) {
		var w, x, y, xx, xy float64
		for _, p := range points {
			w += p.weight
			x += p.weight * p.rate
			y += p.weight * p.value
		}
		x, y = x/w, y/w
		for _, p := range points {
			xx += p.weight * (p.rate - x) * (p.rate - x)
			xy += p.weight * (p.rate - x) * (p.value - y)
		}
		if xx > 0 && len(points) > 2 {
			b = max(0, xy/xx)
		}
		if a = y - b*x; a < 0 {
			a, b = 0, max(0, y/max(x, 1e-9))
			if len(points) < 3 || y <= 0 {
				b = 0
			}
		}
		return a, b
	}
	a, b := fit(points)
	var misses []float64
	for _, p := range points {
		misses = append(misses, math.Abs(p.value-a-b*p.rate))
	}
	sorted := slices.Clone(misses)
	slices.Sort(sorted)
	limit := max(3*1.4826*sorted[len(sorted)/2], 2e-4)
	var kept []point
	for i, p := range points {
		if misses[i] <= limit {
			kept = append(kept, p)
		}
	}
	if len(kept) > 2 {
		a, b = fit(kept)
	} else {
		kept = points
	}
	squares := 0.0
	for _, p := range kept {
		squares += (p.value - a - b*p.rate) * (p.value - a - b*p.rate)
	}
	return Cost{BaseS: a, PerRateS: b, StdErrS: math.Sqrt(squares / float64(max(1, len(kept)-1))), Points: len(kept)}
}

// concurrency is found from the waves in which a bench is answered, and compared with what the settings say.
func (m *Model) concurrency(a *capacity.Analysis) {
	for _, role := range m.Roles.Stations {
		service, said := role.Service, 0
		if c, err := m.parsed(role, Setting{}); err == nil {
			said = c.Concurrency
		}
		f := Found{Service: service, Concurrency: said, How: "the settings say so; no bench shows it"}
		for _, l := range a.Loads {
			replicas := l.Config.Replicas[service]
			if l.Service != service || len(l.Waves) < 2 || replicas == 0 || l.Clients <= said*replicas {
				continue
			}
			// The last wave is what is left over; a wave that was cut in two by a late answer is no smaller pool.
			sizes := map[int]int{}
			for _, w := range l.Waves[:len(l.Waves)-1] {
				sizes[w.Size]++
			}
			best := 0
			for size, n := range sizes {
				if n > sizes[best] || n == sizes[best] && size > best {
					best = size
				}
			}
			if best > 0 {
				f.Concurrency = int(math.Round(float64(best) / float64(replicas)))
				f.How = fmt.Sprintf("load %s was answered in waves of %d by %s", l.Name, best, plural(replicas, "replica"))
				if f.Concurrency != said {
					m.Notes = append(m.Notes, fmt.Sprintf("%s serves %d requests at once, and its settings say %d", service, f.Concurrency, said))
					m.Environment[service]["COIN_CONCURRENCY"] = strconv.Itoa(f.Concurrency)
				}
			}
		}
		m.Found = append(m.Found, f)
	}
}

// jitter is the spread of the answers to one client at a time, as 0.74 of the interquartile range, which a late one does not move.
func (m *Model) jitter(a *capacity.Analysis) {
	var found []float64
	for _, l := range a.Loads {
		if l.Closed && l.Clients == 1 && len(l.Sorted) >= 20 && l.Failed == 0 {
			n := len(l.Sorted)
			found = append(found, .7413*(l.Sorted[n*3/4]-l.Sorted[n/4]))
		}
	}
	if len(found) > 0 {
		slices.Sort(found)
		m.JitterS = min(.003, found[len(found)/2])
	}
}

// starts is the time between two starts of the driver's replicas that were started together; 3.5 ms where none were.
func starts(run *history.Run, driver string) float64 {
	const together = 100 * time.Millisecond
	var found []float64
	var first, last time.Duration
	n := 0
	end := func() {
		if n > 2 {
			found = append(found, (last-first).Seconds()/float64(n-1))
		}
		n = 0
	}
	for _, e := range run.Events {
		if !e.Is(event.TaskStarted{}) || e.Service != driver {
			continue
		}
		if n > 0 && e.At-last > together {
			end()
		}
		if n == 0 {
			first = e.At
		}
		last = e.At
		n++
	}
	end()
	if len(found) == 0 {
		return .0035
	}
	slices.Sort(found)
	return min(.02, found[len(found)/2])
}

// visitor is what a request of the load generator costs it besides the service: the median of one client at a time.
func (m *Model) visitor(a *capacity.Analysis) {
	m.VisitS = leastVisit
	_, first, _ := parts(m.Roles)
	for _, l := range a.Loads {
		if l.Service == first.Service && l.Closed && l.Clients == 1 && len(l.Sorted) >= 20 && l.Failed == 0 {
			m.VisitS = max(leastVisit, l.Sorted[len(l.Sorted)/2]-l.Config.Station(first.Service).ServiceS-m.First.At(1/l.Response.MeanS))
		}
	}
}

// leastVisit is what a connection on the machine itself takes at least.
const leastVisit = .0002
