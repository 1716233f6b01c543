package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// advice holds what the analysis says of a window against what the simulator makes of the settings, eased and changed.
func advice() table {
	return table{name: "advice", title: "Attribution and advice",
		text: `
Forty settings that are drawn: constant, exponential and normal delays, four ways to balance, ties, loads from outside, back-offs, slow networks, intake, a slow
replica, a slow Redis. Each is measured in one window of 20 s, and what the analysis says of it is held against plays of the whole setting from other seeds: each
resource eased by one step (a replica, a worker or half the think time, round robin instead of chance; what is broken made whole), and the
first advice. A limit is right when nothing gains more than it (by 1 %, which the plays leave to chance), a tie when each of its causes gains within 2 % of the best. "Played" is the mean of sixteen runs with the first
advice; it is right within the advice's interval.`,
		rows: func() ([][]string, error) {
			rows := [][]string{{"setting", "hashes/s", "limit", "gains when eased", "first advice", "predicted", "played", "right"}}
			limits, rates, n := 0, 0, 0
			for _, c := range drawCases(40, 20261128) {
				r, err := c.judge(8, 16)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				rows = append(rows, r.row())
				n++
				if r.limitRight {
					limits++
				}
				if r.adviceRight {
					rates++
				}
			}
			return append(rows, []string{"**all**", "", fmt.Sprintf("**%d of %d**", limits, n), "", "", "", fmt.Sprintf("**%d of %d**", rates, n),
				""}), nil
		}}
}

// adviceCase is a setting with a name for the table.
type adviceCase struct {
	name string
	setting
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// drawCases draws settings of every kind in turn.
func drawCases(n int, seed uint64) []adviceCase {
	r := rand.New(rand.NewPCG(seed, 0xad71ce))
	var all []adviceCase
	for i := range n {
		s := setting{workers: 3 + r.IntN(28), rng: 1 + r.IntN(9), hasher: 1 + r.IntN(2), settle: 3 * time.Second, window: 20 * time.Second,
			spread: ms(20)}
		think := ms([]int{10, 37, 60, 100, 150, 250}[r.IntN(6)])
		s.env = map[string]string{"worker/COIN_THINK": think.String()}
		distribution := settings.Distribution([]string{"constant", "exponential", "normal"}[r.IntN(3)])
		for _, name := range []string{"rng", "hasher"} {
			s.env[name+"/COIN_DELAY_DISTRIBUTION"] = string(distribution)
			if distribution == settings.Normal {
				s.env[name+"/COIN_DELAY_JITTER"] = "15ms"
			}
		}
		s.balance = []des.Balance{des.RoundRobin, des.LeastConnections, des.Random, des.RoundRobinPerClient}[r.IntN(4)]
		kind := []string{"", "tie", "load", "back-off", "network", "intake", "slow replica", "redis", "", "load"}[i%10]
		switch kind {
		case "tie": // as many workers as the rng can feed, or a pool of hasher as small as rng
			if r.IntN(2) == 0 {
				s.env["hasher/COIN_CONCURRENCY"], s.hasher = fmt.Sprint(s.rng), 1
			} else {
				s.workers = max(2, int(math.Round(float64(s.rng)*(think.Seconds()+.2)/.1)))
			}
		case "load":
			l := des.Load{Name: "others", Targets: []des.Target{{Service: settings.RNG}}, PerRequest: true, Duration: time.Hour}
			if r.IntN(2) == 0 {
				l.Clients = 1 + r.IntN(6)
			} else {
				every := ms(60 + r.IntN(200))
				l.Due = func(n int64) (time.Duration, bool) { return time.Duration(n) * every, true }
			}
			if r.IntN(3) == 0 {
				l.Targets[0].Service = settings.Hasher
				s.env["hasher/COIN_CONCURRENCY"] = "4"
			}
			s.loads = []des.Load{l}
		case "back-off":
			s.rng, s.kill = 2+r.IntN(5), time.Duration(3+r.IntN(5))*time.Second
			s.env["worker/COIN_BACKOFF"] = []string{"5s", "10s"}[r.IntN(2)]
		case "network":
			s.network = ms(5 + r.IntN(40))
		case "intake":
			s.env["hasher/COIN_INTAKE"] = ms(5 + r.IntN(40)).String()
		case "slow replica":
			s.rng, s.slow = 2+r.IntN(5), ms(100+r.IntN(300))
		case "redis":
			s.redis = ms(20 + r.IntN(200))
		}
		name := fmt.Sprintf("%d workers, %d rng, %d hashers, think %s, %s, %s", s.workers, s.rng, s.hasher, think, distribution, s.balance)
		switch kind {
		case "load":
			name += fmt.Sprintf(", %s of %s", map[bool]string{true: fmt.Sprint(s.loads[0].Clients, " clients"),
				false: "a load"}[s.loads[0].Clients > 0], s.loads[0].Targets[0].Service)
		case "back-off":
			name += fmt.Sprintf(", one rng dead for %s, back-off %s", s.kill, s.env["worker/COIN_BACKOFF"])
		case "network":
			name += fmt.Sprintf(", %s to connect", s.network)
		case "intake":
			name += ", intake " + s.env["hasher/COIN_INTAKE"]
		case "slow replica":
			name += fmt.Sprintf(", one rng slower by %s", s.slow)
		case "redis":
			name += fmt.Sprintf(", redis %s", s.redis)
		}
		if p := s.env["hasher/COIN_CONCURRENCY"]; p != "" {
			name += ", pool of " + p
		}
		all = append(all, adviceCase{name, s})
	}
	return all
}

// record plays the setting and returns its whole history: readings, events, loads.
func (s setting) record(seed uint64) (*history.Run, error) {
	run := &history.Run{Status: history.Finished,
		Manifest: history.Manifest{Version: history.Version, Scenario: "accuracy", Cluster: "sim", Simulated: true, Start: epoch(), Seed: seed}}
	var sim *des.Sim
	sim, events, err := s.deployedTo(seed, func(e history.Event) { run.Events = append(run.Events, e) })
	if err != nil {
		return nil, err
	}
	run.Events = append(slices.Clone(events), run.Events...)
	var keepers []*keeper
	for _, l := range s.loads {
		k := &keeper{load: history.Load{LoadSpec: history.LoadSpec{Name: l.Name, Service: l.Targets[0].Service, Method: "GET", URL: "http://x/10",
			Closed: l.Clients > 0, Clients: l.Clients,
			Reuse: "a new connection for each request", Begin: sim.Now()}}}
		l.Recorder, l.MaxSamples = k, 1e6
		if _, err := sim.StartLoad(l); err != nil {
			return nil, err
		}
		keepers = append(keepers, k)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	begin := sim.Now() + s.settle + time.Duration(random.Float64()*float64(time.Second))
	end := begin + s.window
	for at := begin; at <= end; at += time.Second {
		sim.RunUntil(at)
		if at == begin {
			run.Events = append(run.Events, history.Event{At: at, Payload: event.WindowBegin{Name: "w"}})
		}
		run.Readings = append(run.Readings, sim.Readings()...)
		if s.kill > 0 && at == begin+time.Second {
			if id, ok := sim.Current(settings.RNG, 1); ok {
				if err := sim.KillTask(id, des.Kill{Restart: true, Down: s.kill, InRotation: true}); err != nil {
					return nil, err
				}
			}
		}
	}
	run.Events = append(run.Events, history.Event{At: end, Payload: event.WindowEnd{Name: "w"}})
	run.End = end
	for _, k := range keepers {
		k.load.Closing = &history.LoadEndRecord{End: end, Due: int64(len(k.load.Samples)), SamplesKept: int64(len(k.load.Samples))}
		run.Loads = append(run.Loads, k.load)
	}
	return run, nil
}

// keeper keeps a load's requests.
type keeper struct{ load history.Load }

func (k *keeper) Interval(history.Interval) error { return nil }
func (k *keeper) Sample(s history.Sample) error {
	k.load.Samples = append(k.load.Samples, s)
	return nil
}

// rates are the hash rates of runs from some seeds.
func (s setting) rates(first, n int) ([]float64, error) {
	var all []float64
	for seed := range n {
		run, err := s.record(uint64(first + seed))
		if err != nil {
			return nil, err
		}
		a := capacity.Measure(run)
		w := a.Window("w")
		if w == nil || w.HashRate == nil {
			return nil, fmt.Errorf("no hash rate was measured")
		}
		all = append(all, w.HashRate.Value)
	}
	return all, nil
}

// changed is the setting with what an advice sets.
func (s setting) changed(set map[string]any) (setting, error) {
	env := map[string]string{}
	for k, v := range s.env {
		env[k] = v
	}
	s.env = env
	for key, value := range set {
		switch key {
		case settings.RNG:
			s.rng = value.(int)
		case settings.Hasher:
			s.hasher = value.(int)
		case settings.Worker:
			s.workers = value.(int)
		case "think":
			env["worker/COIN_THINK"] = value.(string)
		case "balance":
			s.balance = des.Balance(value.(string))
		default:
			service, name, ok := strings.Cut(key, ".COIN_")
			if !ok {
				return s, fmt.Errorf("advice sets %s=%v, which the study cannot", key, value)
			}
			env[service+"/COIN_"+name] = fmt.Sprint(value)
		}
	}
	return s, nil
}

// eased are the setting's resources, each eased by a step.
func (s setting) eased() map[string][]setting {
	with := func(set map[string]any) setting {
		c, _ := s.changed(set)
		return c
	}
	think, _ := time.ParseDuration(s.env["worker/COIN_THINK"])
	all := map[string][]setting{
		"rng":    {with(map[string]any{"rng": s.rng + 1})},
		"hasher": {with(map[string]any{"hasher": s.hasher + 1})},
		"worker": {with(map[string]any{"worker": s.workers + max(1, s.workers/20)}), with(map[string]any{"think": (think / 2).String()})},
	}
	if s.balance == des.Random || s.balance == des.RoundRobinPerClient {
		all["random balancing"] = []setting{with(map[string]any{"balance": string(des.RoundRobin)}),
			with(map[string]any{"balance": string(des.LeastConnections)})}
	}
	whole := s
	switch {
	case s.redis > 0:
		whole.redis = 0
		all["redis"] = []setting{whole}
	case s.slow > 0:
		whole.slow = 0
		all["unhealthy replica"] = []setting{whole}
	case s.kill > 0:
		all["back-off storm"] = []setting{with(map[string]any{"worker.COIN_BACKOFF": "100ms"})}
	}
	return all
}

type adviceResult struct {
	adviceCase
	measured                float64
	limit                   string
	gains                   map[string]float64
	advice                  *capacity.Advice
	reason                  string
	played                  float64
	limitRight, adviceRight bool
}

// judge measures the case once and holds what is said of it against plays from other seeds.
func (c adviceCase) judge(easedRuns, playedRuns int) (adviceResult, error) {
	r := adviceResult{adviceCase: c, gains: map[string]float64{}}
	run, err := c.record(1)
	if err != nil {
		return r, err
	}
	a := capacity.Analyse(run)
	x := capacity.Explain(run, &a)
	w, p := a.Window("w"), x.Part("w")
	if w == nil || w.Bottleneck == nil || p == nil || w.HashRate == nil {
		return r, fmt.Errorf("nothing is said of the window")
	}
	if string(p.Limit) != w.Bottleneck.Limit || p.Try != w.Bottleneck.Try {
		return r, fmt.Errorf("the report says %q, explain %q", w.Bottleneck.Limit, p.Limit)
	}
	r.measured, r.limit, r.reason = w.HashRate.Value, w.Bottleneck.Limit, w.Bottleneck.Reason
	base, err := c.rates(1000, easedRuns)
	if err != nil {
		return r, err
	}
	now := stat.Mean(base, nil)
	best := math.Inf(-1)
	for name, settings := range c.eased() {
		r.gains[name] = math.Inf(-1)
		for _, s := range settings {
			rates, err := s.rates(1000, easedRuns)
			if err != nil {
				return r, err
			}
			r.gains[name] = max(r.gains[name], stat.Mean(rates, nil)/now-1)
		}
		best = max(best, r.gains[name])
	}
	r.limitRight = true
	named := strings.Split(r.limit, "+")
	width := .02
	if len(named) == 1 {
		width = .01 // what the plays of both sides leave to chance
	}
	for _, cause := range named {
		gain, known := r.gains[cause]
		if !known || gain < best-width {
			r.limitRight = false
		}
	}
	if len(w.Bottleneck.Advice) == 0 {
		r.adviceRight = best < .03 // nothing was to be gained
		return r, nil
	}
	r.advice = &w.Bottleneck.Advice[0]
	s, err := c.changed(r.advice.Set)
	if err != nil {
		return r, err
	}
	rates, err := s.rates(2000, playedRuns)
	if err != nil {
		return r, err
	}
	r.played = stat.Mean(rates, nil)
	r.adviceRight = r.played >= r.advice.Low && r.played <= r.advice.High && r.played > now
	return r, nil
}

func (r adviceResult) row() []string {
	var gains []string
	names := slices.Sorted(maps.Keys(r.gains))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(r.gains[b], r.gains[a]) })
	for _, name := range names {
		gains = append(gains, fmt.Sprintf("%s %+.1f %%", name, 100*r.gains[name]))
	}
	row := []string{r.name, fmt.Sprintf("%.2f", r.measured), r.limit, strings.Join(gains, ", "), "none: " + r.reason, "", "", "yes"}
	if r.advice != nil {
		row[4], row[5], row[6] = r.advice.Text, fmt.Sprintf("%.2f (%.2f to %.2f)", r.advice.PerS, r.advice.Low,
			r.advice.High), fmt.Sprintf("%.2f", r.played)
	}
	switch {
	case !r.limitRight && !r.adviceRight:
		row[7] = "limit, rate wrong"
	case !r.limitRight:
		row[7] = "limit wrong"
	case !r.adviceRight:
		row[7] = "rate wrong"
	}
	return row
}
