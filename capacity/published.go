package capacity

import (
	"fmt"
	"math"

	"coinbench/capacity/dockercoins"
	"coinbench/history"
	"coinbench/internal/visible"
)

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

// PublishedValue is a published number next to a measured one.
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
			for _, p := range dockercoins.Rates() {
				if _, n := w.Config.first(); p.Drivers == w.workers() && p.First == n && near(p.ThinkS, w.Config.ThinkS) {
					r.Published = append(r.Published, publishedValue(p, w))
				}
			}
		}
		rows = append(rows, r)
	}
	row := func(r Row) { // what has neither is in the table of loads
		if r.Bound != nil || len(r.Published) > 0 {
			rows = append(rows, r)
		}
	}
	for _, l := range loads {
		role, visited := l.Config.roles.Station(l.Service)
		first, _ := l.Config.first()
		switch {
		case l.Closed && l.OK > 0 && visited:
			row(benchRow(l, role))
		case !l.Closed && l.Response != nil && visited && l.Service == first.Service:
			row(probeRow(l))
		}
	}
	return rows
}

// plain says that nothing is in force that the published setups did not have.
func plain(c Config) bool {
	first, _ := c.first()
	return c.single() && !c.KeepAlive && !c.Updating && first.ErrorRate == 0 && c.ConstantDelays && first.Concurrency == 1 && c.inTurn() &&
		first.ServiceS >= dockercoins.MinServiceS && first.ServiceS <= dockercoins.MaxServiceS
}

func publishedValue(p dockercoins.Rate, w *Window) PublishedValue {
	v := PublishedValue{Text: p.Text, Low: p.Low, High: p.High, Source: p.Source}
	nearest := min(max(w.HashRate.Value, p.Low), p.High)
	v.Deviation = w.HashRate.Value/nearest - 1
	switch {
	case p.Wrong != "":
		v.Footnote = "Cannot be true: " + p.Wrong + "."
	case p.Display && w.Loop != nil:
		driver, flush := w.Config.roles.Driver.Service, quantum(w.Loop.TotalS)
		v.Footnote = fmt.Sprintf("Read off the web page. A %s adds its %s to the counter about once a second, %.0f at a time here, "+
			"and the page plots the last second's growth: it shows %.0f where %s is true for one %s.",
			driver, w.Config.roles.Unit.Many, flush, flush, visible.Figures(1/w.Loop.TotalS), driver)
	}
	return v
}

func benchRow(l LoadResult, role history.Role) Row {
	r := Row{Name: l.Name, Kind: "bench", Unit: "requests/s", Measured: l.PerS,
		Config: fmt.Sprintf("%s, %d requests, %s", count(l.Clients, "client"), l.Requests, replicasOf(l.Config, l.Service))}
	at := l.Config.Station(l.Service)
	service, slots := at.ServiceS, at.Concurrency*l.Config.Replicas[l.Service]
	if _, method := posts(role); service > 0 && l.Method == method && l.Requests > 0 {
		// Requests that begin together are served in rounds of as many as there are slots; the last round may be short.
		parallel := l.Clients
		if slots > 0 {
			parallel = min(parallel, slots)
		}
		rounds := math.Ceil(float64(l.Requests) / float64(parallel))
		r.Bound, r.BoundFrom = ptr(float64(l.Requests)/(rounds*service)), "settings"
		r.Attained = ptr(r.Measured / *r.Bound)
	}
	if _, n := l.Config.first(); n == dockercoins.BenchFirst && l.Requests == dockercoins.BenchRequests && l.Config.Drivers() == 0 &&
		l.Config.single() {
		for _, p := range dockercoins.Benches() {
			if p.Program == role.Program && p.Clients == l.Clients {
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

// probeRow compares the latency of the first station's "/" under load. Above the knee a probe waits for all workers but those that are
// elsewhere in their loop, and for half of the request in service: (N - X (D - S)) S - S/2.
func probeRow(l LoadResult) Row {
	n, c := l.Config.Drivers(), l.Config
	r := Row{Name: l.Name, Kind: "probe", Unit: "s", Measured: l.Response.MeanS, Config: c.String()}
	b := c.Bounds()
	first, replicas := c.first()
	s := first.ServiceS
	if b.Limit == first.Service && replicas == 1 && !c.KeepAlive {
		r.Bound = ptr(float64(n)/b.UpperPerS - (b.LoopS - s) - s/2)
		r.BoundFrom = "queueing law N/X - (D - S) - S/2"
		r.Attained = ptr(r.Measured / *r.Bound)
	}
	if plain(c) && near(c.ThinkS, dockercoins.ThinkS) {
		for _, p := range dockercoins.Probes() {
			if p.Drivers != n || p.First != replicas {
				continue
			}
			r.Published = append(r.Published, PublishedValue{Text: p.Text, Low: p.LowS, High: p.HighS, Source: p.Source,
				Deviation: r.Measured/min(max(r.Measured, p.LowS), p.HighS) - 1})
		}
	}
	return r
}
