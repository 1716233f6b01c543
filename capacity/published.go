package capacity

import (
	"fmt"
	"math"

	"coinbench/services/settings"
)

// Published is a hash rate that somebody published for a configuration of DockerCoins.
type Published struct {
	Workers int     `json:"workers"`
	RNG     int     `json:"rng"`
	ThinkS  float64 `json:"think_s"`
	Low     float64 `json:"low_per_s"` // equal to High where one number was given
	High    float64 `json:"high_per_s"`
	Text    string  `json:"text"`              // as it was stated
	Source  string  `json:"source"`            //
	Display bool    `json:"display,omitempty"` // read off the web page, which shows multiples of a worker's flush
	Wrong   string  `json:"wrong,omitempty"`   // why the statement cannot be true
}

// Sources of the published numbers.
const (
	sourceWorkshop = "workshop slides, sample app (container.training)"
	sourceScaling  = "workshop slides, scaling (container.training)"
	sourceExercise = "workshop exercises (container.training)"
	sourceRollout  = "workshop slides, rollout (container.training)"
	sourceA0       = "article \"Docker Swarm 4: release and rollback\""
	sourceA1       = "article \"Docker 1.12 Swarm in practice, chapter 3\""
)

// PublishedRates are the hash rates that the workshop and the articles state, steady values only.
func PublishedRates() []Published {
	return []Published{
		{1, 1, .1, 3.33, 3.33, "3.33", sourceWorkshop, false, ""},
		{1, 1, .1, 4, 4, "about 4, with dips to zero", sourceWorkshop, true, ""},
		{1, 1, .1, 3, 4, "3 to 4", sourceExercise, true, ""},
		{2, 1, .1, 6.67, 6.67, "twice the rate of 1", sourceScaling, false, ""},
		{3, 1, .1, 10, 10, "goes up again", sourceScaling, false, ""},
		{10, 1, .1, 10, 10, "peaks at 10, never past", sourceScaling, false, ""},
		{10, 5, .1, 30, 30, "about 30", sourceA1, true, ""},
		{10, 5, .1, 40, 40, "40 in theory", sourceA1, true, "10 times the display's 4: no loop of 0.3 s gives more than 33.3"},
		{10, 5, .01, 40, 40, "40, as expected", sourceA0, true, ""},
		{10, 5, 1, 8.2, 8.2, "the graph decreases significantly", sourceRollout, false, ""},
	}
}

// PublishedBench is one of article A1's ApacheBench tables: 5 rng, 1 hasher, no workers, 50 requests.
type PublishedBench struct {
	Service string  `json:"service"`
	Clients int     `json:"clients"`
	PerS    float64 `json:"per_s"`
	TurnS   float64 `json:"mean_turn_s"` // "Time per request (mean)" = clients x time / requests, which is no latency
	MeanS   float64 `json:"mean_s"`
	P50S    float64 `json:"p50_s"`
	P90S    float64 `json:"p90_s"`
	P99S    float64 `json:"p99_s"`
	MaxS    float64 `json:"max_s"`
	Source  string  `json:"source"`
}

// PublishedBenches are the four tables.
func PublishedBenches() []PublishedBench {
	return []PublishedBench{
		{settings.RNG, 1, 9.29, .107655, .107, .107, .110, .113, .113, sourceA1},
		{settings.RNG, 50, 44.38, 1.126716, .609, .643, 1.061, 1.105, 1.105, sourceA1},
		{settings.Hasher, 1, 9.45, .105820, .106, .105, .108, .108, .108, sourceA1},
		{settings.Hasher, 50, 143.93, .347381, .222, .234, .326, .329, .329, sourceA1},
	}
}

// Row is one line of the table measured | published | bound. All three are hash rates for a window, and requests per second
// for a bench; for a probe they are seconds.
type Row struct {
	Name      string           `json:"name"` // of the window or load
	Kind      string           `json:"kind"` // window, bench or probe
	Config    string           `json:"config"`
	Unit      string           `json:"unit"` // hashes/s, requests/s or s
	Measured  float64          `json:"measured"`
	Margin    *float64         `json:"margin,omitempty"` // half the width of the 95 % interval of Measured
	Published []PublishedValue `json:"published,omitempty"`
	Bound     *float64         `json:"bound,omitempty"`      // the upper bound (for a probe: the predicted latency)
	Attained  *float64         `json:"attained,omitempty"`   // measured / bound
	BoundFrom string           `json:"bound_from,omitempty"` // how it was computed
}

// PublishedValue is a published number beside a measured one.
type PublishedValue struct {
	Text      string  `json:"text"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Source    string  `json:"source"`
	Deviation float64 `json:"deviation"`          // measured / the nearest of what was published - 1
	Footnote  string  `json:"footnote,omitempty"` // why the two need not agree
}

// quantum is a worker's flush, which the web page shows as if it were a second's work: the loops that fit into a second, rounded up
// (the counter is flushed at the top of the first loop that begins more than a second after the last flush).
func quantum(loopS float64) float64 {
	if loopS <= 0 {
		return 0
	}
	return math.Ceil(1/loopS - 1e-9)
}

func compareWithPublished(windows []Window, loads []LoadResult) []Row {
	var rows []Row
	for i := range windows {
		w := &windows[i]
		if w.HashRate == nil || w.workers() == 0 {
			continue
		}
		r := Row{Name: w.Name, Kind: "window", Config: w.Config.String(), Unit: "hashes/s", Measured: w.HashRate.Value,
			Margin: w.HashRate.Margin()}
		if b := w.Configured; b != nil && b.UpperPerS > 0 {
			r.Bound, r.BoundFrom = ptr(b.UpperPerS), "settings"
		} else if b := w.Bounds; b != nil {
			r.Bound, r.BoundFrom = ptr(b.UpperPerS), "measured demands"
		}
		if r.Bound != nil && *r.Bound > 0 {
			r.Attained = ptr(r.Measured / *r.Bound)
		}
		if plain(w.Config) && w.Errors == 0 {
			for _, p := range PublishedRates() {
				if p.Workers == w.workers() && p.RNG == w.Config.Replicas[settings.RNG] && near(p.ThinkS, w.Config.ThinkS) {
					r.Published = append(r.Published, p.value(w))
				}
			}
		}
		rows = append(rows, r)
	}
	for _, l := range loads {
		switch {
		case l.Closed && l.OK > 0 && (l.Service == settings.RNG || l.Service == settings.Hasher):
			rows = append(rows, benchRow(l))
		case !l.Closed && l.Response != nil && l.Service == settings.RNG:
			rows = append(rows, probeRow(l))
		}
	}
	return rows
}

// plain says that nothing is in force that the published setups did not have.
func plain(c Config) bool {
	return !c.KeepAlive && !c.Updating && c.RNGErrorRate == 0 && c.ConstantDelays && c.RNGConcurrency == 1 && c.inTurn() &&
		c.Replicas[settings.Hasher] == 1 && c.RNGServiceS >= .0995 && c.RNGServiceS <= .115
}

func (p Published) value(w *Window) PublishedValue {
	v := PublishedValue{Text: p.Text, Low: p.Low, High: p.High, Source: p.Source}
	nearest := min(max(w.HashRate.Value, p.Low), p.High)
	v.Deviation = w.HashRate.Value/nearest - 1
	switch {
	case p.Wrong != "":
		v.Footnote = "Cannot be true: " + p.Wrong + "."
	case p.Display && w.Loop != nil:
		v.Footnote = fmt.Sprintf("Read off the web page. A worker adds its hashes to the counter about once a second, %.0f at a time here, "+
			"and the page plots "+
			"the last second's growth: it shows %.0f where %s is true for one "+
			"worker.", quantum(w.Loop.TotalS), quantum(w.Loop.TotalS), significant(1/w.Loop.TotalS))
	}
	return v
}

func benchRow(l LoadResult) Row {
	r := Row{Name: l.Name, Kind: "bench", Unit: "requests/s", Measured: l.PerS,
		Config: fmt.Sprintf("%s, %d requests, %s", count(l.Clients, "client"), l.Requests, replicasOf(l.Config, l.Service))}
	service, slots := l.Config.RNGServiceS, l.Config.RNGConcurrency*l.Config.Replicas[settings.RNG]
	if l.Service == settings.Hasher {
		service, slots = l.Config.HasherServiceS, l.Config.HasherConcurrency*l.Config.Replicas[settings.Hasher]
	}
	if service > 0 && !(l.Method == "GET" && l.Service == settings.Hasher) && l.Requests > 0 {
		// Requests that begin together are served in rounds of as many as there are slots; the last round may be short.
		parallel := l.Clients
		if slots > 0 {
			parallel = min(parallel, slots)
		}
		rounds := math.Ceil(float64(l.Requests) / float64(parallel))
		r.Bound, r.BoundFrom = ptr(float64(l.Requests)/(rounds*service)), "settings"
		r.Attained = ptr(r.Measured / *r.Bound)
	}
	if l.Requests == 50 && l.Config.Replicas[settings.Worker] == 0 && l.Config.Replicas[settings.Hasher] == 1 &&
		l.Config.Replicas[settings.RNG] == 5 {
		for _, p := range PublishedBenches() {
			if p.Service == l.Service && p.Clients == l.Clients {
				r.Published = append(r.Published, PublishedValue{Text: significant2(p.PerS), Low: p.PerS, High: p.PerS, Source: p.Source,
					Deviation: l.PerS/p.PerS - 1})
			}
		}
	}
	return r
}

func significant2(v float64) string { return fmt.Sprintf("%.2f", v) }

func replicasOf(c Config, service string) string {
	return fmt.Sprintf("%d %s", c.Replicas[service], service)
}

// probeRow compares the latency of rng's "/" under load. Above the knee a probe waits for all workers but those that are elsewhere in
// their loop, and for half of the request in service: (N - X (D - S)) S - S/2.
func probeRow(l LoadResult) Row {
	n, c := l.Config.Replicas[settings.Worker], l.Config
	r := Row{Name: l.Name, Kind: "probe", Unit: "s", Measured: l.Response.MeanS, Config: c.String()}
	b := c.Bounds()
	s := c.RNGServiceS
	if b.Limit == settings.RNG && c.Replicas[settings.RNG] == 1 && !c.KeepAlive {
		r.Bound = ptr(float64(n)/b.UpperPerS - (b.LoopS - s) - s/2)
		r.BoundFrom = "queueing law N/X - (D - S) - S/2"
		r.Attained = ptr(r.Measured / *r.Bound)
	}
	if n == 10 && c.Replicas[settings.RNG] == 1 && plain(c) && near(c.ThinkS, .1) {
		for _, p := range []PublishedValue{
			{Text: "about 0.7", Low: .7, High: .7, Source: sourceScaling},
			{Text: "0.74 to 0.79", Low: .74, High: .79, Source: "workshop's Prometheus graph of httplat, 2020-10-29"},
		} {
			p.Deviation = r.Measured/min(max(r.Measured, p.Low), p.High) - 1
			r.Published = append(r.Published, p)
		}
	}
	return r
}
