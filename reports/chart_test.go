package reports

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
	"coinbench/history"
	"coinbench/history/event"
)

// textPen writes a drawing down, a shape a line, in whole pixels.
type textPen struct {
	b   strings.Builder
	own shade
}

func (p *textPen) add(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func place(q pt) string { return fmt.Sprintf("%.0f,%.0f", q.x, q.y) }

func (p *textPen) color(s shade) { p.own = s }
func (p *textPen) line(style string, from, to pt, _ string) {
	p.add("%s line %s to %s", style, place(from), place(to))
}
func (p *textPen) path(style string, points []pt, _ bool, _ string) {
	var all []string
	for _, q := range points {
		all = append(all, place(q))
	}
	p.add("%s %s path %s", p.own, style, strings.Join(all, " "))
}
func (p *textPen) rect(style string, q pt, w, h float64, _ string) {
	p.add("%s rect %s, %.0f by %.0f", style, place(q), w, h)
}
func (p *textPen) dot(style string, q pt, _ float64, _ string) {
	p.add("%s %s at %s", p.own, style, place(q))
}
func (p *textPen) text(style string, q pt, _ anchor, s string) {
	p.add("%s %q at %s", style, s, place(q))
}
func (p *textPen) target(pt, string) {}

// The drawings' coordinates are kept, so that a change of the drawing is seen as one. What they mean is asserted below.
func TestChartGoldens(t *testing.T) {
	rewrite := flag.Lookup("update").Value.String() == "true"
	for _, c := range chartsOfTests(t) {
		p := &textPen{}
		layout(c, wide()).draw(p)
		file := filepath.Join("testdata", "chart-"+c.id+".txt")
		if rewrite {
			if err := os.WriteFile(file, []byte(p.b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.b.String(); got != string(want) {
			out := filepath.Join(t.ArtifactDir(), filepath.Base(file))
			os.WriteFile(out, []byte(got), 0o644)
			t.Errorf("%s differs from %s; look at the difference, then: go test ./reports -update", out, file)
		}
	}
}

func analysisOfTests(run *history.Run) *capacity.Analysis {
	a := capacity.Analyse(run)
	return &a
}

// bottleneckOnce is the analysis of the app's main run, which takes a second with the race detector. No test changes it.
var bottleneckOnce = sync.OnceValue(func() *capacity.Analysis { return analysisOfTests(capacitytest.New("bottleneck").Bottleneck()) })

// chartsOfTests are one of each kind.
func chartsOfTests(t *testing.T) []chart {
	t.Helper()
	all := charts(bottleneckOnce())
	r, ok := rolloutChart(sevenReleases())
	if !ok {
		t.Fatal("no chart of rollouts")
	}
	r.id = "rollouts"
	return append(append(all, r, heatmapOfTests()), charts(aLoad())...)
}

// aLoad is a run of one load alone: 1,000 requests in ten seconds, of which the i-th takes i milliseconds, and 20 failures in the fifth.
func aLoad() *capacity.Analysis {
	l := history.Load{LoadSpec: history.LoadSpec{Name: "users", Method: "GET", URL: "http://127.0.0.1:8001/", Schedule: "100/s",
		Duration: 10 * time.Second}}
	for k := range 10 {
		i := history.Interval{At: time.Duration(k) * time.Second, Length: time.Second}
		for n := range 100 {
			i.Due, i.OK = i.Due+1, i.OK+1
			history.Observe(&i.Response, time.Duration(100*k+n+1)*time.Millisecond)
		}
		if k == 5 {
			i.Due, i.Failures = i.Due+20, map[history.Class]int64{history.Refused: 20}
		}
		l.Intervals = append(l.Intervals, i)
	}
	l.Closing = &history.LoadEndRecord{End: 10 * time.Second, Due: 1020, OK: 1000, Failed: 20}
	return analysisOfTests(&history.Run{Status: history.Finished, End: 10 * time.Second, Manifest: history.Manifest{Cluster: "none"},
		Loads: []history.Load{l}})
}

func TestLoadChartsShowItsTimes(t *testing.T) {
	d := chartNamed(t, "course")
	median := d.dots(t, "median")
	if len(median) != 11 || math.Abs(d.value(median[0].y)-50) > 2 || math.Abs(d.value(median[9].y)-950) > 5 {
		t.Errorf("medians of the first and the tenth second: %d points, %.0f and %.0f ms", len(median), d.value(median[0].y),
			d.value(median[9].y))
	}
	if n := len(d.lanes); n != 2 || len(d.lanes[1].parts) != 1 || math.Abs(d.px(d.lanes[1].parts[0].from)-d.px(5)) > 1 {
		t.Errorf("failures belong at 5 s: %+v", d.lanes)
	}
	d = chartNamed(t, "percentiles")
	for _, p := range d.dots(t, "users") {
		nines := d.x.min + (p.x-d.left)/(d.width-d.left-d.right)*(d.x.max-d.x.min)
		if want := 1000 * (1 - math.Pow(10, -nines)); math.Abs(d.value(p.y)-want) > 6 {
			t.Errorf("within %.0f ms lie %.2f %%", d.value(p.y), want/10)
		}
	}
	d = chartNamed(t, "histogram")
	sum := 0.0
	for _, p := range d.series[0].xy {
		sum += p.y
	}
	if sum != 1000 {
		t.Errorf("the columns count %.0f requests", sum)
	}
}

func heatmapOfTests() chart {
	c := heatmapChart(whatIf())
	c.id = "heatmap"
	return c
}

func chartNamed(t *testing.T, id string) *drawing {
	t.Helper()
	for _, c := range chartsOfTests(t) {
		if c.id == id {
			return layout(c, wide())
		}
	}
	t.Fatalf("no chart %s", id)
	return nil
}

// dots are where the points of a series were drawn.
func (d *drawing) dots(t *testing.T, name string) []pt {
	t.Helper()
	for _, s := range d.series {
		if s.name == name {
			var all []pt
			for _, p := range s.xy {
				all = append(all, d.at(p))
			}
			return all
		}
	}
	t.Fatalf("no series %q in %s", name, d.title)
	return nil
}

// value is what the axis says at a height, by its own ticks.
func (d *drawing) value(y float64) float64 {
	ticks := d.y.allTicks(d.ticks)
	a, b := ticks[0], ticks[len(ticks)-1]
	return a.at + (y-d.py(a.at))/(d.py(b.at)-d.py(a.at))*(b.at-a.at)
}

func TestWorkersChartShowsTheMeasuredRate(t *testing.T) {
	a := bottleneckOnce()
	d := chartNamed(t, "drivers")
	var found int
	for _, p := range d.dots(t, "measured, 1 rng") {
		if math.Abs(p.x-d.px(10)) > .5 {
			continue
		}
		found++
		if want := a.Window("saturated").HashRate.Value; math.Abs(d.value(p.y)-want) > .1 {
			t.Errorf("the point at 10 workers lies at %.2f hashes/s, measured %.2f", d.value(p.y), want)
		}
	}
	if found == 0 {
		t.Error("no point at 10 workers")
	}
	for _, p := range d.dots(t, "bound, 1 rng")[1:] {
		if v := d.value(p.y); math.Abs(v-10) > .2 {
			t.Errorf("the bound of one rng lies at %.2f", v)
		}
	}
}

func TestTimelineNamesEveryBand(t *testing.T) {
	d := chartNamed(t, "timeline")
	list := strings.Join(d.bandList(), "\n")
	for i, b := range d.bands {
		if !strings.Contains(list, fmt.Sprintf("%d %s", i+1, b.Title)) {
			t.Errorf("band %d, %s, is not explained", i+1, b.Title)
		}
	}
	for _, s := range []size{wide(), narrow()} {
		d := layout(d.chart, s)
		for i, label := range d.bandLabels() {
			if width := d.px(d.bands[i].EndS) - d.px(d.bands[i].BeginS); label == "" && width > 24 {
				t.Errorf("%s: band %d is %.0f pixels wide and has no label", s.class, i+1, width)
			}
		}
	}
}

func TestTimelineShowsTheRateOfAWindow(t *testing.T) {
	a := bottleneckOnce()
	d := chartNamed(t, "timeline")
	w := a.Window("saturated")
	n := 0
	for _, p := range d.dots(t, "hash rate") {
		if p.x > d.px(w.BeginS+1) && p.x < d.px(w.EndS-1) {
			n++
			if v := d.value(p.y); math.Abs(v-w.HashRate.Value) > 1 {
				t.Errorf("%.1f hashes/s within the window of %.1f", v, w.HashRate.Value)
			}
		}
	}
	if n < 3 {
		t.Errorf("%d points within the window", n)
	}
}

func TestWavesAreSteps(t *testing.T) {
	d := chartNamed(t, "waves")
	heights := []float64{}
	for _, p := range d.dots(t, "hasher-bench/c50") {
		heights = append(heights, math.Round(d.value(p.y)))
	}
	if got := fmt.Sprint(heights); got != "[0 20 40 50 50]" {
		t.Errorf("50 requests to a pool of 20: %s", got)
	}
}

func TestLatencyChartGrowsWithClients(t *testing.T) {
	d := chartNamed(t, "latency")
	p := d.dots(t, "rng, median")
	if len(p) != 2 || p[0].x >= p[1].x || p[0].y <= p[1].y {
		t.Errorf("medians of rng at 1 and 50 clients: %v", p)
	}
	if v := d.value(p[0].y); math.Abs(v-100) > 20 {
		t.Errorf("the median at one client lies at %.0f ms", v)
	}
}

// One level of concurrency is no comparison.
func TestNoLatencyChartOfOneLevel(t *testing.T) {
	m := capacitytest.New("small")
	m.Deploy(0, 1)
	m.Bench("hasher", 50, 50)
	if c, ok := latencyChart(analysisOfTests(m.Finish())); ok {
		t.Errorf("drawn: %v", c.x.ticks)
	}
}

// sevenReleases is a flow with seven versions, one of which never answered, and a few failures.
func sevenReleases() *capacity.Analysis {
	f := capacity.Flow{Load: "open", Service: "hasher", BinS: 1, BeginS: 0, Answered: map[string][]float64{},
		Failed: map[history.Class][]float64{history.Refused: make([]float64, 7)}}
	for i := range 7 {
		v := fmt.Sprintf("v%d", i+5) // v5 ... v11
		if i != 3 {
			f.Answered[v] = make([]float64, 7)
			f.Answered[v][i] = 500
		}
		f.Stints = append(f.Stints, capacity.Stint{Replica: "hasher.1", Version: v, FromS: float64(i), ToS: float64(i + 1)})
	}
	f.Failed[history.Refused][3] = 2
	return &capacity.Analysis{Run: capacity.RunInfo{LengthS: 7}, Flows: []capacity.Flow{f}, Loads: []capacity.LoadResult{{Name: "open",
		Schedule: "500/s"}},
		Rollouts: []capacity.Disturbance{{Name: "release-1", Verb: "update", Service: "hasher", BeginS: 1, EndS: 2,
			Marks: []capacity.Mark{{AtS: 1, Payload: event.RolloutBegin{}}}}}}
}

func TestRolloutChart(t *testing.T) {
	d := chartNamed(t, "rollouts")
	colors := map[shade]string{}
	for _, s := range d.series {
		if other, ok := colors[s.color]; ok {
			t.Errorf("%s and %s have the same colour", s.name, other)
		}
		colors[s.color] = s.name
	}
	if len(colors) != 7 {
		t.Errorf("%d series, want six versions that answered and one class of failure", len(colors))
	}
	var lanes []string
	seen := map[shade]bool{}
	for _, l := range d.lanes {
		lanes = append(lanes, l.name)
		if l.name == "hasher.1" {
			for _, p := range l.parts {
				seen[p.color] = true
			}
		}
	}
	if got := strings.Join(lanes, " "); got != "failed hasher.1" {
		t.Errorf("lanes: %s", got)
	}
	if len(seen) != 7 {
		t.Errorf("the replica's seven versions have %d colours", len(seen))
	}
	// What did not answer draws nothing; what answered lies at its rate.
	for _, s := range d.series {
		for _, p := range s.xy {
			if s.name == "answered by v5" && p.x == 0 && math.Abs(d.value(d.py(p.y))-500) > 1 {
				t.Errorf("500/s lies at %.0f", d.value(d.py(p.y)))
			}
		}
	}
	p := &textPen{}
	d.draw(p)
	if n := strings.Count(p.b.String(), "area path"); n != 7 {
		t.Errorf("%d surfaces are drawn, want 7: nothing where nothing was answered", n)
	}
}

// What was done to replicas that is no rollout is marked, whatever it is; of a rollout what changes where requests go.
func TestFaultsAndSwitchesAreMarked(t *testing.T) {
	for _, c := range []struct {
		verb  string
		marks []capacity.Mark
		want  []mark
	}{
		{"kill", nil, []mark{{1, "what is done"}}},
		{"drain", nil, []mark{{1, "what is done"}}},
		{"partition", nil, []mark{{1, "what is done"}}},
		{"restart", []capacity.Mark{{AtS: 1, Payload: event.RolloutBegin{}}}, nil},
		{"update", []capacity.Mark{{AtS: 1, Payload: event.RolloutBegin{}}, {AtS: 2, Text: "switch to green", Payload: event.RolloutSwitch{}},
			{AtS: 3, Payload: event.RolloutBegin{Rollback: true}}}, []mark{{2, "switch to green"}, {3, "rolled back"}}},
	} {
		a := sevenReleases()
		r := &a.Rollouts[0]
		r.Verb, r.Title, r.Marks = c.verb, "what is done", c.marks
		if got, ok := rolloutChart(a); !ok || !slices.Equal(got.marks, c.want) {
			t.Errorf("%s: marked %v, want %v", c.verb, got.marks, c.want)
		}
	}
}

func TestManyVersionsHaveManyColours(t *testing.T) {
	for n := 1; n <= 30; n++ {
		seen := map[shade]bool{}
		for _, c := range distinct(n) {
			seen[c] = true
		}
		if len(seen) != n || seen[""] || seen[vermilion] {
			t.Errorf("%d versions have %d colours", n, len(seen))
		}
	}
}

func TestVersionsAreOrderedAsPeopleCount(t *testing.T) {
	for _, c := range [][2]string{{"v2", "v10"}, {"v0.1", "v0.10"}, {"v0.9", "v1"}, {"", "v1"}, {"v1", "v1.1"}} {
		if byVersion(c[0], c[1]) >= 0 || byVersion(c[1], c[0]) <= 0 || byVersion(c[0], c[0]) != 0 {
			t.Errorf("%q does not come before %q", c[0], c[1])
		}
	}
}

// A tournament hides none of its contenders.
func TestTournamentChart(t *testing.T) {
	took := func(s float64) *float64 { return &s }
	var all []Contender
	for i, s := range []float64{2, 13.5, 13.5, 2} {
		all = append(all, Contender{Name: fmt.Sprintf("strategy-%d", i),
			Analysis: &capacity.Analysis{Rollouts: []capacity.Disturbance{{DurationS: took(s), State: "completed",
				Loads: []capacity.LoadImpact{{Load: "open", Requests: 1000, Failed: int64(i / 3 * 200)}}}}}})
	}
	c, ok := tournamentChart(all)
	if !ok {
		t.Fatal("nothing drawn")
	}
	d := layout(c, alone())
	seen := map[string]bool{}
	lossy := 0
	for _, s := range d.series {
		for _, p := range s.xy {
			seen[place(d.at(p))] = true
			if s.color == vermilion {
				lossy++
			}
		}
	}
	if len(seen) != 4 || lossy != 1 {
		t.Errorf("%d places for 4 strategies, %d of them lossy", len(seen), lossy)
	}
}

func TestHeatmapMarksThePlan(t *testing.T) {
	d := layout(heatmapOfTests(), wide())
	p := &textPen{}
	d.draw(p)
	text := p.b.String()
	for _, want := range []string{`celllabel on "9.9"`, `"9.8"`, `"+0.9 %"`, "c1 line thick path"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[float64]string{0: "0 ms", .00022: "0.22 ms", .1: "100 ms", .9996: "1.00 s", 1.5: "1.50 s", 12.34: "12.3 s",
		119.4: "119 s", 165.08: "2 min 45 s", 180: "3 min",
		3599: "59 min 59 s", 7200: "2 h", 7500: "2 h 5 min", -.1: "-100 ms"} {
		if got := capacity.FormatSeconds(s); got != want {
			t.Errorf("%v s: %q, want %q", s, got, want)
		}
	}
}

// Each compared number lies at its difference, with its interval; one of which nothing is known does not squeeze the others.
func TestComparisonChart(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	c, ok := Comparison{Rows: []ComparedValue{
		{Name: "w", What: "hash rate", Ratio: v(1.05), Low: v(1.04), High: v(1.06)},
		{Name: "x", What: "p99", Ratio: v(.99), Low: v(-5), High: v(7), Same: true},
		{Name: "y", What: "p50"},
	}}.chart()
	if !ok {
		t.Fatal("nothing drawn")
	}
	d := layout(c, wide())
	w := d.dots(t, "different")[0]
	if got := d.x.min + (w.x-d.left)/(d.width-d.left-d.right)*(d.x.max-d.x.min); math.Abs(got-5) > .01 || len(d.y.ticks) != 2 {
		t.Errorf("5 %% lies at %.2f; %d rows", got, len(d.y.ticks))
	}
	if d.x.max > 20 || d.x.min < -20 {
		t.Errorf("the axis goes from %.0f to %.0f %%", d.x.min, d.x.max)
	}
	p := &textPen{}
	d.draw(p)
	if n := strings.Count(p.b.String(), "span line"); n != 2 {
		t.Errorf("%d intervals", n)
	}
}

// A search's page begins with its answer, and draws each level where it is; loads on the way have no drawing of their own.
func TestSearchShowsItsAnswer(t *testing.T) {
	a := &capacity.Analysis{Searches: []capacity.Search{{Name: "rng", SLO: "p99<200ms", Level: 29.8, Above: 30.3, Confidence: .9, Tested: 2}}}
	for i, name := range []string{"rng/probe", "rng/16", "rng/29.8", "rng/29.8", "rng/30.3"} {
		ms := float64(100+i) / 1000
		a.Loads = append(a.Loads, capacity.LoadResult{Name: name, Requests: int64(10 + i), Quantiles: []capacity.Quantile{{}},
			Response: &capacity.Latency{Count: int64(10 + i), P50S: ms, P90S: ms, P99S: ms, MaxS: ms}})
	}
	tiles := loadTiles(a)
	if len(tiles) != 3 || tiles[0].Value != "29.8" || tiles[0].Unit != "requests/s" || tiles[0].Text != "29.8 meets p99<200ms, 30.3 does not" {
		t.Errorf("tiles %+v", tiles)
	}
	c, ok := searchChart(a)
	if !ok || len(c.series) != 5 {
		t.Fatalf("%+v", c.series)
	}
	if median := c.series[2].xy; len(median) != 3 || median[1].x != 29.8 || median[1].y != 103 {
		t.Errorf("medians at %+v, want the longest load of 29.8 at 103 ms", median)
	}
	if c.series[3].xy[0].x != 29.8 || c.series[4].xy[1].x != 30.3 {
		t.Errorf("the answer is drawn at %v and %v", c.series[3].xy, c.series[4].xy)
	}
	var drawn []string
	for _, l := range drawnLoads(a) {
		drawn = append(drawn, l.Name)
	}
	if strings.Join(drawn, " ") != "rng/29.8 rng/30.3" {
		t.Errorf("drawn: %v", drawn)
	}
}

// Texts of marks cover no other, whatever they say and in every size; a text that is repeated is not piled up.
func TestMarksDoNotCoverEachOther(t *testing.T) {
	c := chart{x: axis{label: "time (s)", max: 10}, y: axis{label: "requests", max: 60000}}
	for i := range 40 {
		c.marks = append(c.marks, mark{float64(i*7%40) / 4, []string{"median 54.3 ms", "p99 60.0 ms", "switch to green"}[i%3]})
	}
	c.marks = append(c.marks, mark{18, "beyond the axis"})
	for _, s := range []size{wide(), narrow(), paper(), alone()} {
		p := &boxPen{}
		d := layout(c, s)
		p.d = d
		d.draw(p)
		for i, a := range p.boxes {
			if a.text == "beyond the axis" || a.from < 0 || a.to > d.width {
				t.Errorf("%s: %q lies from %.0f to %.0f of %.0f", s.class, a.text, a.from, a.to, d.width)
			}
			for _, b := range p.boxes[:i] {
				if a.y == b.y && a.from < b.to && b.from < a.to {
					t.Errorf("%s: %q covers %q", s.class, a.text, b.text)
				}
			}
		}
		if len(p.boxes) < 3 || !slices.Contains(p.ticks, "60000") && !slices.Contains(p.ticks, "40000") {
			t.Errorf("%s: %d marks have a text, and the ticks are %q", s.class, len(p.boxes), p.ticks)
		}
	}
}

// boxPen keeps where the texts of marks lie, and what the ticks say.
type boxPen struct {
	textPen
	d     *drawing
	boxes []box
	ticks []string
}

type box struct {
	text        string
	from, to, y float64
}

func (p *boxPen) text(style string, q pt, a anchor, s string) {
	switch w := p.d.measure(12, s); {
	case style == "tick":
		p.ticks = append(p.ticks, s)
	case style != "marklabel":
	case a == end:
		p.boxes = append(p.boxes, box{s, q.x - w, q.x, q.y})
	default:
		p.boxes = append(p.boxes, box{s, q.x, q.x + w, q.y})
	}
}

// A table that would fill pages of paper is left to the screen.
func TestLongTablesAreNotPrinted(t *testing.T) {
	a := aLoad()
	l := &a.Loads[0]
	for len(l.OverTime) <= maxPrintedRows {
		l.OverTime = append(l.OverTime, l.OverTime[len(l.OverTime)-1])
	}
	var b strings.Builder
	if err := HTML(&b, a); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), `class="scroll screen"`); n != 1 || !strings.Contains(b.String(), fmt.Sprintf("The table has %d rows", len(l.OverTime))) {
		t.Errorf("%d tables are for the screen alone", n)
	}
}

func TestNumbersAsAPersonWritesThem(t *testing.T) {
	for got, want := range map[string]string{
		signed(-.0004):                  "0.0 %",
		signed(.0123):                   "+1.2 %",
		signed(-.0323):                  "-3.2 %",
		schedule("90.50966799187809/s"): "90.51/s",
		schedule("ramp(1/s, 20.5/s, 30s) then 12.5/s"): "ramp(1/s, 20.5/s, 30s) then 12.5/s",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	table := Table{{"n", "balancing ", "why "}, {"1", "least-connections", strings.Repeat("word ", 30)}}.Text("", 50)
	if !strings.Contains(table, "least-connections") {
		t.Errorf("a word is broken:\n%s", table)
	}
}
