package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"coinbench/history"
)

// Explanation says for each window, and each load without workers, what limited it and why.
type Explanation struct {
	Version int           `json:"version"`
	Run     RunInfo       `json:"run"`
	Roles   history.Roles `json:"roles"`
	Parts   []Explained   `json:"parts"` // in the order of time
}

// Explained is one window or load.
type Explained struct {
	Name     string    `json:"name"`
	Load     bool      `json:"load"` // a load; otherwise a window
	Config   string    `json:"config"`
	PerS     float64   `json:"per_s"` // hashes, or good requests of a load
	Rate     *Interval `json:"rate,omitempty"`
	Limit    Cause     `json:"limit"`          // those of a tie with + between them
	Tied     []string  `json:"tied,omitempty"` // the causes of a tie
	Task     string    `json:"task,omitempty"` // the replica that is to blame
	Evidence []string  `json:"evidence"`       // the strongest first
	Try      string    `json:"try"`            // one change

	Shares map[string]float64 `json:"shares,omitempty"` // of the workers' loop; they add up to 1
	Advice []Advice           `json:"advice"`           // changes that were played, the best first
	Reason string             `json:"no_advice,omitempty"`
	// the hash rate without the window's probe, where that costs more than 1 %
	WithoutProbe *Played `json:"without_probe,omitempty"`

	Services []Attribution `json:"services,omitempty"`
	Next     []Next        `json:"next,omitempty"` // the limits after this one
	Also     []string      `json:"also,omitempty"` // what else was seen and did not limit
}

// Attribution is a service's part, each number with its 95 % interval.
type Attribution struct {
	Service     string    `json:"service"`
	Replicas    int       `json:"replicas"`
	Slots       int       `json:"slots"` // 0: unlimited
	DemandS     *Interval `json:"demand_s,omitempty"`
	Utilisation *Interval `json:"utilisation,omitempty"`
	QueueS      *Interval `json:"queue_s,omitempty"`
	Headroom    *Interval `json:"headroom,omitempty"` // free share of the highest hash rate that the service allows
}

// Interval is a value with its 95 % confidence interval: Student's, over successive parts of the window. With one part it is the
// value alone.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Parts int     `json:"parts"`
}

// Explain attributes what a run shows. a is the run's own analysis.
func Explain(run *history.Run, a *Analysis) Explanation {
	x := Explanation{Version: Version, Run: a.Run, Roles: a.Roles}
	e := explainer{run: run, s: newSeries(run), a: a}
	type part struct {
		at float64
		Explained
	}
	var all []part
	for i := range a.Windows {
		w := &a.Windows[i]
		if w.Config.Drivers() == 0 && len(w.Workers) == 0 {
			continue // its loads speak
		}
		all = append(all, part{w.BeginS, e.window(w)})
	}
	for i := range a.Loads {
		l := &a.Loads[i]
		if l.Config.Drivers() > 0 && e.within(l) && !e.starved(l) {
			continue // a probe of the app at work: the window speaks
		}
		all = append(all, part{l.BeginS, e.load(l)})
	}
	slices.SortStableFunc(all, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	for _, p := range all {
		x.Parts = append(x.Parts, p.Explained)
	}
	return x
}

// Part returns the named window or load, or nil. When a name was used twice it is the last one.
func (x *Explanation) Part(name string) *Explained {
	for i := len(x.Parts) - 1; i >= 0; i-- {
		if x.Parts[i].Name == name {
			return &x.Parts[i]
		}
	}
	return nil
}

type explainer struct {
	run *history.Run
	s   series
	a   *Analysis
}

// within says whether a load was made within a window that measured workers.
func (e explainer) within(l *LoadResult) bool {
	for i := range e.a.Windows {
		w := &e.a.Windows[i]
		if w.HashRate != nil && l.BeginS < w.EndS && l.BeginS+l.LengthS > w.BeginS {
			return true
		}
	}
	return false
}

// window explains a window: what the analysis attributes, in the order of an explanation.
func (e explainer) window(w *Window) Explained {
	x := Explained{Name: w.Name, Config: w.Config.String(), Services: e.attributions(w), Advice: []Advice{}}
	if w.HashRate != nil {
		x.PerS = w.HashRate.Value
		x.Rate = &Interval{Value: x.PerS, Low: x.PerS, High: x.PerS, Parts: 1}
		if low, high := w.HashRate.Low, w.HashRate.High; low != nil && high != nil {
			x.Rate.Low, x.Rate.High, x.Rate.Parts = *low, *high, 2
			if w.HashRate.DF != nil {
				x.Rate.Parts = int(*w.HashRate.DF) + 1
			}
		}
	}
	k := w.Bottleneck
	if k == nil {
		driver := w.Config.roles.Driver
		x.Limit, x.Evidence = Cause(driver.Service), []string{"the " + driver.Plural + "' counters were not read, and nothing says what limits"}
		x.Reason, x.Try = "nothing was measured that could be played forward", "Look at the "+driver.Plural+"' logs in the run's folder."
		return x
	}
	x.Limit, x.Tied, x.Task, x.Evidence, x.Also = Cause(k.Limit), k.Tied, k.Task, k.because, k.Also
	x.Shares, x.Advice, x.Reason, x.Try, x.Next, x.WithoutProbe = k.Shares, k.Advice, k.Reason, k.Try, k.Next, w.WithoutProbe
	return x
}

// starved says whether a load was limited by its own generator.
func (e explainer) starved(l *LoadResult) bool {
	cpus := max(e.a.Run.Host.CPUs, 1)
	if l.LengthS > 0 && l.CPUS/(l.LengthS*float64(cpus)) > mostGenerate {
		return true
	}
	return slices.ContainsFunc(l.Invalid, func(s string) bool { return strings.Contains(s, "CPU") })
}

func (e explainer) starvedIn(w *Window) bool {
	return slices.ContainsFunc(e.a.Loads, func(l LoadResult) bool {
		return l.BeginS < w.EndS && l.BeginS+l.LengthS > w.BeginS && e.starved(&l)
	})
}

// load explains a load from outside.
func (e explainer) load(l *LoadResult) Explained {
	x := Explained{Name: l.Name, Load: true, Config: l.Config.String(), PerS: l.PerS, Advice: []Advice{},
		Reason: "no " + l.Config.roles.Driver.Service + " was there: a load from outside is not played"}
	begin, end := l.BeginS, l.BeginS+l.LengthS
	w := &Window{Name: l.Name, BeginS: begin, EndS: end, LengthS: l.LengthS, Config: l.Config}
	u, seen := w.measureService(e.s, l.Service, duration(begin), duration(end))
	if seen {
		w.Services = []ServiceUse{u}
		x.Services = e.attributions(w)
	}
	cpus := float64(max(e.a.Run.Host.CPUs, 1))
	busiest := "–"
	if u.Utilisation != nil {
		busiest = percent(min(1, *u.Utilisation))
	}
	limit, full, longest := e.queue(l.Service, w)
	turned := float64(l.Failures[history.ConnectTimeout] + l.Failures[history.Refused] + l.Failures[history.Dropped] +
		l.Failures[history.HeaderTimeout])
	switch h := hostFinding(host(e.s, duration(begin), duration(end))); {
	case e.starved(l):
		x.Limit = CauseGenerator
		x.Evidence = append(x.Evidence, fmt.Sprintf("the generator used %s of all processors", percent(l.CPUS/(l.LengthS*cpus))))
		if l.Lag != nil {
			x.Evidence = append(x.Evidence, fmt.Sprintf("it sent its requests up to %s late (p99)", FormatSeconds(l.Lag.P99S)))
		}
		if seen {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s was busy %s of the time", l.Service, busiest))
		}
		x.Evidence = append(x.Evidence, l.Invalid...)
		x.Try = "Generate the load from another machine, or ask for less: these numbers are the generator's, not the service's."
	case h != nil:
		x.Limit, x.Evidence, x.Try = h.cause, h.evidence, h.try
	case full >= .2 && turned > 0, turned > 0 && u.Utilisation != nil && *u.Utilisation >= saturated && full > 0:
		x.Limit = CauseQueueLimit
		x.Evidence = []string{fmt.Sprintf("%.0f of %d requests were turned away or given up", turned, l.Requests),
			fmt.Sprintf("the queue of %s held %.0f of %d", l.Service, longest, limit), fmt.Sprintf("%s was busy %s of the time", l.Service, busiest)}
		x.Try = fmt.Sprintf("Scale %s; a longer queue only makes its clients wait longer.", l.Service)
	case u.Utilisation != nil && *u.Utilisation >= saturated, l.Closed && u.QueueS != nil && u.ServiceS != nil && *u.QueueS > .1**u.ServiceS:
		x.Limit = Cause(l.Service)
		x.Evidence = []string{fmt.Sprintf("%s is busy %s of the time", l.Service, busiest)}
		if u.QueueS != nil && *u.QueueS > .001 {
			x.Evidence = append(x.Evidence, fmt.Sprintf("a request waits %s in its queue", FormatSeconds(*u.QueueS)))
		}
		x.Try = fmt.Sprintf("Scale %s.", l.Service)
	default:
		x.Limit = CauseNone
		if seen {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s is busy %s of the time", l.Service, busiest))
		}
		if l.Closed {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s had an answer before each next request: the number of clients is the limit",
				count(l.Clients, "client")))
			x.Try = "Nothing limits but the clients; to find the service's limit, use more of them."
		} else {
			x.Evidence = append(x.Evidence, fmt.Sprintf("all that was due (%s) was answered, %d of %d well", l.Schedule, l.OK, l.Requests))
			x.Try = "Nothing: the load was served. To find the limit, ask for more."
		}
	}
	return x
}

// attributions are the services' numbers with intervals from successive parts of the window.
func (e explainer) attributions(w *Window) []Attribution {
	var all []Attribution
	n := max(1, min(10, int(w.LengthS+.5)))
	for _, u := range w.Services {
		at := Attribution{Service: u.Service, Replicas: u.Replicas, Slots: u.Slots}
		var use, service, queue []float64
		for k := range n {
			from := w.BeginS + w.LengthS*float64(k)/float64(n)
			p := Window{Config: w.Config}
			v, ok := p.measureService(e.s, u.Service, duration(from), duration(from+w.LengthS/float64(n)))
			if !ok || n == 1 {
				continue
			}
			if v.Utilisation != nil {
				use = append(use, *v.Utilisation)
			}
			// nobody but the workers asks
			if v.ServiceS != nil && v.Requests > 0 && u.ServiceS != nil && u.DemandS != nil && *u.ServiceS == *u.DemandS {
				service = append(service, *v.ServiceS)
			}
			if v.QueueS != nil {
				queue = append(queue, *v.QueueS)
			}
		}
		if u.Utilisation != nil {
			at.Utilisation = around(*u.Utilisation, use, 0, 1)
		}
		if u.QueueS != nil {
			at.QueueS = around(*u.QueueS, queue, 0, math.Inf(1))
		}
		if u.DemandS != nil {
			at.DemandS = around(*u.DemandS, service, 0, math.Inf(1))
		}
		if u.Headroom != nil && w.HashRate != nil {
			used := 1 - *u.Headroom
			relative := 0.0
			if at.DemandS != nil && at.DemandS.Value > 0 {
				relative = (at.DemandS.High - at.DemandS.Low) / 2 / at.DemandS.Value
			}
			if m := w.HashRate.Margin(); m != nil && w.HashRate.Value > 0 {
				relative = math.Hypot(relative, *m/w.HashRate.Value)
			}
			at.Headroom = &Interval{Value: *u.Headroom, Low: *u.Headroom - used*relative, High: min(1, *u.Headroom+used*relative),
				Parts: len(service)}
		}
		all = append(all, at)
	}
	return all
}

// around is a value with the 95 % interval that its parts' spread gives.
func around(value float64, parts []float64, low, high float64) *Interval {
	i := &Interval{Value: value, Low: value, High: value, Parts: max(1, len(parts))}
	if len(parts) > 1 {
		sd := stat.StdDev(parts, nil)
		n := float64(len(parts))
		half := studentT(n-1) * sd / math.Sqrt(n)
		i.Low, i.High = max(low, value-half), min(high, value+half)
	}
	return i
}
