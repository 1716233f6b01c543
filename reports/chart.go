package reports

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/dockercoins"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/visible"
)

// chart is a picture as data. draw.go lays it out, and the pens of svg.go and png.go draw it, into the page and into files.
type chart struct {
	id, title, desc string // desc says in a sentence what is to be seen
	x, y            axis
	series          []series
	bands           []capacity.Band
	marks           []mark
	lanes           []lane // strips below the time axis
	table           Table
	again           bool // the table is one of the page's
}

type axis struct {
	label    string
	whole    bool // its values are whole numbers
	min, max float64
	ticks    []tick // nil: chosen from min and max
}

type tick struct {
	at    float64
	label string
}

// kind is how a series is drawn.
type kind int

const (
	curve   kind = iota // a line
	dashed              // a thin dashed line
	points              // filled circles, with error bars where known
	linked              // points on a line
	diamond             // open diamonds
	cross               // crosses
	span                // vertical bars from y to y2
	stairs              // a line whose values hold from each point on
	slopes              // a thin line whose values were measured at the end of the time that they speak of
	area                // a surface from y2 up to y, from each point to the next
	column              // upright bars from the axis up to y, from x to x2
	bar                 // lying bars from the axis to x, labelled
	whisker             // a point with a lying bar from low to high
	cell                // a field around a point, in its own colour, labelled
	edge                // lines from a point to (x2, y2)
	outline             // frames around fields
)

type series struct {
	name  string
	kind  kind
	color shade
	xy    []xy
	until float64 // area: the end of the last bin
}

type xy struct {
	x, y      float64
	x2, y2    float64 // span, area, edge, column: the other end
	low, high float64 // the 95 % interval; equal: unknown. Of y, or of x of a whisker
	text      string  // for the reader who points at it
	label     string  // bar, cell: what is written there
	color     shade   // cell: its own
}

type mark struct {
	at   float64
	text string
}

type lane struct {
	name  string
	parts []part
}

type part struct {
	from, to float64
	text     string
	color    shade // "": alternating greys
}

// picture is a chart that a report may have.
type picture struct {
	id, doc string
	build   func(*capacity.Analysis) (chart, bool) // false: the analysis has no data for it
}

// pictures lists every chart, in the order of the page. A new one is one line here.
func pictures() []picture {
	return []picture{
		{"drivers", "hash rate against the driver's replicas, with the bounds and what was published", workersChart},
		{"timeline", "hash rate over time, with the steps", timelineChart},
		{"rollouts", "requests over time, by version and failure, with rollouts and faults", rolloutChart},
		{"latency", "latency percentiles against concurrency", latencyChart},
		{"search", "response times at the levels of a search, with its answer", searchChart},
		{"course", "the response time of a load over time", courseChart},
		{"percentiles", "the response time of loads by percentile", percentileChart},
		{"histogram", "the distribution of a load's response times", histogramChart},
		{"waves", "answers over time: the waves of a pool", shareChart},
	}
}

// charts builds every chart that the analysis has data for.
func charts(a *capacity.Analysis) []chart {
	var all []chart
	for _, p := range pictures() {
		if c, ok := p.build(a); ok {
			c.id = p.id
			all = append(all, c)
		}
	}
	return all
}

// plotOutputs are an SVG and a PNG of every chart.
func plotOutputs() []Output {
	var all []Output
	for _, p := range pictures() {
		for _, format := range []string{"svg", "png"} {
			all = append(all, Output{
				Name: "plots/" + p.id + "." + format, Doc: p.doc,
				Wanted: func(a *capacity.Analysis) bool { _, ok := p.build(a); return ok },
				Write: func(w io.Writer, a *capacity.Analysis) error {
					c, _ := p.build(a)
					return writePlot(w, format, c, subtitle(a))
				},
			})
		}
	}
	return all
}

// writePlot writes a chart as a file of its own: svg or png.
func writePlot(w io.Writer, format string, c chart, subtitle string) error {
	switch format {
	case "png":
		return pngFile(w, c, subtitle)
	case "svg":
		_, err := io.WriteString(w, svgFile(c, subtitle))
		return err
	}
	return fmt.Errorf("plot format %q; accepted: svg, png", format)
}

// workersChart is the hash rate against the driver's replicas, with the bounds and what was published.
func workersChart(a *capacity.Analysis) (chart, bool) {
	driver := a.Roles.Driver
	c := chart{title: "Hash rate against " + driver.Plural,
		x: axis{label: driver.Plural}, y: axis{label: "hash rate (hashes/s)"}}
	var sweep *capacity.Sweep
	var base *capacity.Bounds
	for i := range a.Sweeps {
		if b := a.Curve(a.Sweeps[i]); b != nil {
			sweep, base = &a.Sweeps[i], b
			break
		}
	}
	if sweep == nil {
		return c, false
	}
	first := a.Window(sweep.Points[0].Window)
	station := a.Roles.Stations[0]
	few := first.Config.Replicas[station.Service]
	// Other windows of the same think time belong into the picture, each with the bound of its replicas.
	colors := map[int]shade{few: blue}
	replicas := []int{few}
	type measured struct {
		replicas int
		at       xy
	}
	var all []measured
	add := func(w *capacity.Window) {
		n, r := w.Config.Drivers(), w.Config.Replicas[station.Service]
		p := xy{x: float64(n), y: w.HashRate.Value, text: fmt.Sprintf("%s: %s hashes/s with %s", w.Name, estimate(w.HashRate), w.Config)}
		if w.HashRate.Low != nil {
			p.low, p.high = *w.HashRate.Low, *w.HashRate.High
		}
		all = append(all, measured{r, p})
		if _, ok := colors[r]; !ok {
			colors[r] = []shade{green, purple, orange}[(len(replicas)-1)%3]
			replicas = append(replicas, r)
		}
		c.x.max, c.y.max = max(c.x.max, p.x), max(c.y.max, p.y)
	}
	seen := map[string]bool{}
	for _, p := range sweep.Points {
		add(a.Window(p.Window))
		seen[p.Window] = true
	}
	for i := range a.Windows {
		w := &a.Windows[i]
		if !seen[w.Name] && w.HashRate != nil && w.Config.Drivers() > 0 && math.Abs(w.Config.ThinkS-first.Config.ThinkS) < 1e-4 &&
			w.Config.KeepAlive == first.Config.KeepAlive && w.Errors == 0 && !w.Config.Updating {
			add(w)
		}
	}
	c.x.max = math.Ceil(c.x.max*1.08 + .5)
	c.x.min = 0
	// Where the driver's own bound would go on.
	knee := c.x.max
	if base.KneeWorkers != nil {
		knee = min(knee, *base.KneeWorkers)
	}
	end := max(knee, min(c.x.max, max(c.y.max*1.1, 1)*base.LoopS))
	c.series = append(c.series, series{name: "N/D, the " + driver.Plural + "' own loop", kind: dashed, color: grey,
		xy: []xy{{x: knee, y: knee / base.LoopS}, {x: end, y: end / base.LoopS}}})
	for r := range replicas {
		b := base.With(station.Service, replicas[r])
		s := series{name: "bound, " + station.Count(replicas[r]), kind: curve, color: colors[replicas[r]]}
		own := math.Inf(1)
		if b.KneeWorkers != nil {
			own = *b.KneeWorkers
		}
		saturation, service := b.Saturation()
		s.xy = append(s.xy, xy{text: "bound"})
		if own < c.x.max {
			s.xy = append(s.xy, xy{x: own, y: saturation, text: fmt.Sprintf("knee of %s: %s %s, %s hashes/s",
				station.Count(replicas[r]), figures(own), driver.Plural, figures(saturation))},
				xy{x: c.x.max, y: saturation, text: fmt.Sprintf("%s allows %s hashes/s", service, figures(saturation))})
		} else {
			s.xy = append(s.xy, xy{x: c.x.max, y: c.x.max / b.LoopS, text: "N/D: " + driver.Plural + " over the shortest loop, " +
				capacity.FormatSeconds(b.LoopS)})
		}
		c.series = append(c.series, s)
	}
	display := series{name: "published, read off the web page", kind: diamond, color: orange}
	stated := series{name: "published", kind: diamond, color: vermilion}
	wrong := series{name: "published, cannot be", kind: cross, color: vermilion}
	bars := series{kind: span, color: orange}
	known := map[string]bool{}
	for _, p := range dockercoins.Rates() {
		if _, ok := colors[p.First]; !ok || math.Abs(p.ThinkS-first.Config.ThinkS) > 1e-4 || float64(p.Drivers) > c.x.max {
			continue
		}
		text := fmt.Sprintf("published for %d %s and %d %s: %s (%s)", p.Drivers, driver.Plural, p.First, station.Plural, p.Text, p.Source)
		if known[text] {
			continue
		}
		known[text] = true
		at := xy{x: float64(p.Drivers), y: (p.Low + p.High) / 2, text: text}
		switch {
		case p.Wrong != "":
			at.text += ": cannot be, " + p.Wrong
			wrong.xy = append(wrong.xy, at)
		case p.Low != p.High:
			at.y, at.y2 = p.Low, p.High
			bars.xy = append(bars.xy, at)
			continue
		case p.Display:
			display.xy = append(display.xy, at)
		default:
			stated.xy = append(stated.xy, at)
		}
		c.y.max = max(c.y.max, p.High)
	}
	for _, s := range []series{bars, stated, display, wrong} {
		if len(s.xy) > 0 {
			c.series = append(c.series, s)
		}
	}
	for _, r := range replicas {
		s := series{name: "measured, " + station.Count(r), kind: points, color: colors[r]}
		for _, m := range all {
			if m.replicas == r {
				s.xy = append(s.xy, m.at)
			}
		}
		slices.SortStableFunc(s.xy, func(a, b xy) int { return int(a.x - b.x) })
		c.series = append(c.series, s)
	}
	c.y.max *= 1.1
	for i := 0; i <= int(c.x.max); i++ {
		if c.x.max <= 16 || i%5 == 0 {
			c.x.ticks = append(c.x.ticks, tick{float64(i), strconv.Itoa(i)})
		}
	}
	sat, service := base.Saturation()
	c.desc = fmt.Sprintf("Measured hash rates and the bound min(N/D, slots/demand): a loop takes at least D = %s",
		capacity.FormatSeconds(base.LoopS))
	if service != "" {
		c.desc += fmt.Sprintf(", and %d %s allow %s hashes/s, which %s %s reach", few, service, figures(sat),
			visible.Significant(*base.KneeWorkers, 3), driver.Plural)
		if few == 1 {
			c.desc = fmt.Sprintf("Measured hash rates and the bound min(N/D, slots/demand): a loop takes at least D = %s, and one %s allows %s "+
				"hashes/s, which %s %s reach",
				capacity.FormatSeconds(base.LoopS), service, figures(sat), visible.Significant(*base.KneeWorkers, 3), driver.Plural)
		}
	}
	c.desc += "."
	c.table = Table{{driver.Plural, station.Plural, "measured (h/s)", "bound (h/s)"}}
	for _, m := range all {
		c.table = append(c.table, []string{figuresInt(m.at.x), strconv.Itoa(m.replicas), figures(m.at.y),
			figures(base.With(station.Service, m.replicas).At(int(m.at.x)).UpperPerS)})
	}
	return c, true
}

func figuresInt(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// timelineChart is the hash rate over time, with the steps as bands.
func timelineChart(a *capacity.Analysis) (chart, bool) {
	t := a.Timeline
	c := chart{title: "Hash rate over time", x: axis{label: "time since the start of the run (s)", max: max(a.Run.LengthS, 1)},
		y: axis{label: "hash rate (hashes/s)"}, bands: t.Steps,
		desc: fmt.Sprintf("The %[1]s' own counters over time; behind them what the web page shows, the slope of the counter in %[2]s, which "+
			"the %[1]s fill about once a second. Bands are the steps.", a.Roles.Driver.Plural, a.Roles.Store.Service)}
	if len(t.Rate) < 2 {
		return c, false
	}
	stored := series{name: "as the web page shows it", kind: slopes, color: grey}
	for _, p := range t.Stored {
		stored.xy = append(stored.xy, xy{x: p.AtS, y: p.Value, text: fmt.Sprintf("%.1f s: %s hashes/s on the web page", p.AtS, figures(p.Value))})
		c.y.max = max(c.y.max, p.Value)
	}
	rate := series{name: "hash rate", kind: curve, color: blue}
	for _, p := range t.Rate {
		rate.xy = append(rate.xy, xy{x: p.AtS, y: p.Value, text: fmt.Sprintf("%.1f s: %s hashes/s", p.AtS, figures(p.Value))})
		c.y.max = max(c.y.max, p.Value)
	}
	if len(stored.xy) > 1 {
		c.series = append(c.series, stored)
	}
	c.series = append(c.series, rate)
	c.y.max = max(c.y.max*1.15, 1)
	for _, m := range t.Marks {
		switch m.Payload.(type) {
		case event.Warning:
			c.marks = append(c.marks, mark{m.AtS, m.Text})
		case event.TaskKilled, event.TaskUnhealthy, event.NodeDown, event.NodeReady, event.NodeCut, event.NodeMended, event.NodeDrained,
			event.NodeActivated:
			text, _, _ := strings.Cut(m.Text, ": ") // the reason is in the list of what happened
			c.marks = append(c.marks, mark{m.AtS, text})
		}
	}
	for _, role := range []history.Role{a.Roles.Driver, a.Roles.Stations[0]} {
		l := lane{name: role.Plural}
		for _, r := range t.Counts {
			if r.Service != role.Service {
				continue
			}
			if n := len(l.parts); n > 0 {
				if l.parts[n-1].text == strconv.Itoa(r.Replicas) {
					continue
				}
				l.parts[n-1].to = r.AtS
			}
			l.parts = append(l.parts, part{from: r.AtS, to: c.x.max, text: strconv.Itoa(r.Replicas)})
		}
		if len(l.parts) > 0 {
			c.lanes = append(c.lanes, l)
		}
	}
	c.table = Table{{"", "step ", "from (s)", "to (s)", "mean hash rate (h/s)"}}
	for i, s := range t.Steps {
		total, n := 0.0, 0
		for _, p := range t.Rate {
			if p.AtS >= s.BeginS && p.AtS < s.EndS {
				total, n = total+p.Value, n+1
			}
		}
		mean := "–"
		if n > 0 {
			mean = figures(total / float64(n))
		}
		c.table = append(c.table, []string{strconv.Itoa(i + 1), s.Title, fmt.Sprintf("%.1f", s.BeginS), fmt.Sprintf("%.1f", s.EndS), mean})
	}
	return c, true
}

// latencyChart is the latency's percentiles against the clients of the closed loads.
func latencyChart(a *capacity.Analysis) (chart, bool) {
	c := chart{title: "Latency against concurrency", x: axis{label: "clients at once (closed loop)"}, y: axis{label: "response time (ms)"},
		desc: "Each bar reaches from the fastest to the slowest answer of a load; the dot is the median, the line joins the medians of one " +
			"service. A percentile p is the time of rank n p/100, rounded up."}
	var levels []int
	services := []string{}
	var loads []capacity.LoadResult
	for _, l := range a.Loads {
		if !l.Closed || l.Response == nil || a.OfSearch(l.Name) {
			continue
		}
		loads = append(loads, l)
		if !slices.Contains(levels, l.Clients) {
			levels = append(levels, l.Clients)
		}
		if !slices.Contains(services, l.Service) {
			services = append(services, l.Service)
		}
	}
	if len(levels) < 2 {
		return c, false // one level is no comparison
	}
	slices.Sort(levels)
	c.table = Table{{"load ", "clients", "min (ms)", "p50", "p90", "p99", "max (ms)"}}
	for i, service := range services {
		color := []shade{blue, green, purple, orange}[i%4]
		name := cmp.Or(service, "load")
		bars := series{name: name + ", min to max", kind: span, color: color}
		p50 := series{name: name + ", median", kind: linked, color: color}
		p99 := series{name: name + ", p90 and p99", kind: diamond, color: color}
		for _, l := range loads {
			if l.Service != service {
				continue
			}
			x := float64(slices.Index(levels, l.Clients)) + (float64(i)-float64(len(services)-1)/2)*.16
			r := l.Response
			text := fmt.Sprintf("%s: %d requests, min %s, p50 %s, p90 %s, p99 %s, max %s", l.Name, r.Count, capacity.FormatSeconds(r.MinS),
				atLeast(r, 50, r.P50S), atLeast(r, 90, r.P90S),
				atLeast(r, 99, r.P99S), atLeast(r, 100, r.MaxS))
			bars.xy = append(bars.xy, xy{x: x, y: r.MinS * 1000, y2: r.MaxS * 1000, text: text})
			p50.xy = append(p50.xy, xy{x: x, y: r.P50S * 1000, text: text})
			p99.xy = append(p99.xy, xy{x: x, y: r.P90S * 1000, text: text}, xy{x: x, y: r.P99S * 1000, text: text})
			c.y.max = max(c.y.max, r.MaxS*1000)
			c.table = append(c.table, []string{l.Name, strconv.Itoa(l.Clients), figures(r.MinS * 1000), figures(r.P50S * 1000),
				figures(r.P90S * 1000), figures(r.P99S * 1000), figures(r.MaxS * 1000)})
		}
		slices.SortStableFunc(p50.xy, func(a, b xy) int { return int(math.Copysign(1, a.x-b.x)) })
		c.series = append(c.series, bars, p99, p50)
	}
	c.x.min, c.x.max = -.5, float64(len(levels))-.5
	for i, n := range levels {
		c.x.ticks = append(c.x.ticks, tick{float64(i), strconv.Itoa(n)})
	}
	c.y.max *= 1.15
	return c, true
}

// shareChart is the share of a load's requests that were answered by a time: waves are steps in it.
func shareChart(a *capacity.Analysis) (chart, bool) {
	c := chart{title: "Answers over time, from the first request of a load", y: axis{label: "requests answered", min: 0},
		desc: "Clients that begin together are answered in waves as large as the pool that serves them: a serial server gives one at a time, " +
			"a pool as many as it has slots."}
	longest := 0.0
	for _, l := range a.Loads {
		if n := len(l.Waves); n > 1 {
			longest = max(longest, l.Waves[n-1].LastS)
		}
	}
	u := scaleFor(longest)
	c.x.label = "time since the load's first request (" + u.unit + ")"
	color := 0
	c.table = Table{{"load ", "wave", "answers", "from", "to"}}
	for _, l := range a.Loads {
		if len(l.Waves) < 2 || color > 3 {
			continue
		}
		s := series{name: l.Name, kind: stairs, color: []shade{blue, green, purple, orange}[color]}
		color++
		done := 0
		s.xy = append(s.xy, xy{})
		for i, w := range l.Waves {
			done += w.Size
			// A wave is drawn as the slope that it is.
			s.xy = append(s.xy, xy{x: w.AtS * u.perS, y: float64(done), text: fmt.Sprintf("%s: wave %d of %d answers at %s", l.Name, i+1, w.Size,
				capacity.FormatSeconds(w.AtS))})
			c.x.max = max(c.x.max, w.LastS*u.perS)
			c.table = append(c.table, []string{l.Name, strconv.Itoa(i + 1), strconv.Itoa(w.Size), capacity.FormatSeconds(w.AtS),
				capacity.FormatSeconds(w.LastS)})
		}
		s.xy = append(s.xy, xy{x: l.Waves[len(l.Waves)-1].LastS * u.perS, y: float64(done)})
		c.y.max = max(c.y.max, float64(done)*1.1)
		c.series = append(c.series, s)
	}
	c.x.max *= 1.05
	return c, len(c.series) > 0
}

// niceTicks chooses about n round ticks.
func niceTicks(lo, hi float64, n int) []tick {
	if hi <= lo {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	var ticks []tick
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9; i++ {
		at := i*step + 0 // no -0
		ticks = append(ticks, tick{at, strconv.FormatFloat(at, 'f', digits, 64)})
	}
	return ticks
}

func (a axis) allTicks(n int) []tick {
	if a.ticks != nil {
		return a.ticks
	}
	if a.whole {
		n = min(n, max(1, int(a.max-a.min)))
	}
	return niceTicks(a.min, a.max, n)
}
