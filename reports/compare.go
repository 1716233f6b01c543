package reports

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/capacity"
	"coinbench/internal/visible"
)

// Comparison is two runs side by side: what both measured under the same name, A first.
type Comparison struct {
	Version int             `json:"version"`
	A       ComparedRun     `json:"a"`
	B       ComparedRun     `json:"b"`
	Rows    []ComparedValue `json:"rows"`
	OnlyA   []string        `json:"only_a,omitempty"` // windows and loads that the other run does not have
	OnlyB   []string        `json:"only_b,omitempty"`
	Changed []Changed       `json:"changed,omitempty"` // what the runs do not share: the reason why their numbers may differ
}

// ComparedRun names a run and its verdict.
type ComparedRun struct {
	Scenario string           `json:"scenario"`
	Start    string           `json:"start"`
	Outcome  capacity.Outcome `json:"outcome"`
	Why      string           `json:"why"`
	Valid    bool             `json:"valid"`
	// Incomplete says of a run that did not end by itself how far it came; empty: it did.
	Incomplete string `json:"incomplete,omitempty"`
}

// ComparedValue is one number in both runs.
type ComparedValue struct {
	Name  string   `json:"name"`
	What  string   `json:"what"` // hash rate, rng service or hasher service (the mean time of a request in service), throughput, p50 or p99
	Unit  string   `json:"unit"`
	A     float64  `json:"a"`
	B     float64  `json:"b"`
	Ratio *float64 `json:"ratio,omitempty"`      // B/A
	Low   *float64 `json:"ratio_low,omitempty"`  // the 95 % interval of B/A
	High  *float64 `json:"ratio_high,omitempty"` //
	// probability of such a difference between two runs of the same; absent: the error of one of them is not known
	P       *float64 `json:"p,omitempty"`
	Visible *float64 `json:"visible,omitempty"` // ratio: a change of as much or more would have been seen with a probability of 80 %
	Same    bool     `json:"same"`              // "~": not shown to differ
	Config  string   `json:"config_a"`
	ConfigB string   `json:"config_b"`
	Differs bool     `json:"config_differs"`
	Limits  string   `json:"limits,omitempty"` // what limits in A and in B, for windows
}

// Changed is a difference in what was asked for or where it ran.
type Changed struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Two numbers differ when they are further apart than floor, which two runs of the same on one machine may be for reasons that no run knows
// of, and when their own errors explain it with a probability of less than alpha, which leaves room for many rows.
const (
	floor = .01
	alpha = .01
	power = .8 // of what Visible says
)

// Compare puts two runs side by side, by their own errors.
func Compare(a, b *capacity.Analysis) Comparison {
	c := Comparison{Version: 1, A: compared(a), B: compared(b), Changed: changes(a, b)}
	for _, w := range a.Windows {
		other := b.Window(w.Name)
		if other == nil {
			c.OnlyA = append(c.OnlyA, "window "+w.Name)
			continue
		}
		if w.HashRate == nil || other.HashRate == nil {
			continue
		}
		v := compare(w.Name, "hash rate", "hashes/s", w.HashRate, other.HashRate, 1)
		v.Config, v.ConfigB = w.Config.String(), other.Config.String()
		v.Differs = v.Config != v.ConfigB
		if w.Bottleneck != nil && other.Bottleneck != nil {
			v.Limits = w.Bottleneck.Limit
			if other.Bottleneck.Limit != w.Bottleneck.Limit {
				v.Limits += " → " + other.Bottleneck.Limit
			}
		}
		c.Rows = append(c.Rows, v)
		for _, u := range w.Services {
			if o := other.Service(u.Service); o != nil && u.ServiceTime != nil && o.ServiceTime != nil {
				v := compare(w.Name, u.Service+" service", "ms", u.ServiceTime, o.ServiceTime, 1000)
				v.Config, v.ConfigB = w.Config.String(), other.Config.String()
				v.Differs = v.Config != v.ConfigB
				c.Rows = append(c.Rows, v)
			}
		}
	}
	for _, l := range a.Loads {
		other := b.Load(l.Name)
		if other == nil {
			c.OnlyA = append(c.OnlyA, "load "+l.Name)
			continue
		}
		config := func(l *capacity.LoadResult) string {
			how := clients(*l)
			if l.Closed {
				how = plural(l.Clients, "client")
			}
			return fmt.Sprintf("%s, %s, %s", how, plural(int(l.Requests), "request"), l.Config)
		}
		add := func(v ComparedValue) {
			v.Config, v.ConfigB = config(&l), config(other)
			v.Differs = v.Config != v.ConfigB
			c.Rows = append(c.Rows, v)
		}
		for _, what := range []string{"throughput", "p50", "p99"} {
			x, y := l.Estimates[what], other.Estimates[what]
			switch {
			case x == nil || y == nil:
			case what == "throughput":
				add(compare(l.Name, what, "requests/s", x, y, 1))
			default:
				add(compare(l.Name, what, "ms", x, y, 1000))
			}
		}
	}
	for _, w := range b.Windows {
		if a.Window(w.Name) == nil {
			c.OnlyB = append(c.OnlyB, "window "+w.Name)
		}
	}
	for _, l := range b.Loads {
		if a.Load(l.Name) == nil {
			c.OnlyB = append(c.OnlyB, "load "+l.Name)
		}
	}
	return c
}

// Outcome is FAIL when a number differs or one run lacks what the other has, INVALID when the measurement of one of them is not sound,
// INCONCLUSIVE when one of them is incomplete or of no number the error is known, and PASS otherwise.
func (c Comparison) Outcome() capacity.Outcome {
	outcome := capacity.OutcomeInconclusive
	switch {
	case !c.A.Valid, !c.B.Valid:
		return capacity.OutcomeInvalid
	case c.A.Incomplete != "", c.B.Incomplete != "":
		return outcome
	}
	for _, r := range c.Rows {
		switch {
		case !r.Same:
			return capacity.OutcomeFail
		case r.P != nil:
			outcome = capacity.OutcomePass
		}
	}
	if len(c.OnlyA)+len(c.OnlyB) > 0 {
		return capacity.OutcomeFail
	}
	return outcome
}

func compared(a *capacity.Analysis) ComparedRun {
	return ComparedRun{Scenario: a.Run.Scenario, Start: a.Run.Start.UTC().Format("2006-01-02 15:04:05 UTC"), Outcome: a.Overall.Outcome,
		Why: a.Overall.Why, Valid: a.Validity.OK,
		Incomplete: a.Overall.Incomplete}
}

func compare(name, what, unit string, a, b *capacity.Estimate, scale float64) ComparedValue {
	v := ComparedValue{Name: name, What: what, Unit: unit, A: scale * a.Value, B: scale * b.Value, Same: true}
	if a.Value > 0 {
		v.Ratio = new(float64)
		*v.Ratio = b.Value / a.Value
	}
	if a.StdErr == nil || b.StdErr == nil {
		return v
	}
	v.P = new(float64)
	x, y := towards(a, b.Value), towards(b, a.Value)
	if x > 0 || y > 0 {
		// Welch's test, of samples that have the estimates' means, errors and degrees of freedom.
		*v.P = benchmath.AssumeNormal.Compare(sample(a, x), sample(b, y)).P
	} else if a.Value == b.Value {
		*v.P = 1
	}
	if v.Ratio != nil && b.Value > 0 {
		// The relative errors of a quotient add up like those of a difference, to first order.
		student, error := distuv.StudentsT{Nu: welch(a, b, x, y), Sigma: 1}, math.Hypot(x/a.Value, y/b.Value)
		half := *v.Ratio * error * student.Quantile(.975)
		low, high := *v.Ratio-half, *v.Ratio+half
		v.Low, v.High = &low, &high
		visible := max(floor, error*(student.Quantile(1-alpha/2)+student.Quantile(power)))
		v.Visible = &visible
	}
	v.Same = *v.P >= alpha || math.Abs(b.Value-a.Value) <= floor*math.Abs(a.Value)
	return v
}

// towards is an estimate's standard error on the side of another value: an interval of a percentile need not be symmetric, least where many
// requests take equally long and its one end is the percentile itself (as in MOVER: Donner and Zou, "Closed-form confidence intervals for
// functions of the normal mean and standard deviation", Statistical Methods in Medical Research 21, 2012).
func towards(e *capacity.Estimate, other float64) float64 {
	side := *e.High - e.Value
	if other < e.Value {
		side = e.Value - *e.Low
	}
	if half := *e.Margin(); half > 0 {
		return *e.StdErr * max(1, side/half)
	}
	return *e.StdErr
}

// welch are the degrees of freedom of a difference of estimates with the standard errors x and y: Welch, "The generalization of Student's
// problem", Biometrika 34, 1947, equation 28.
func welch(a, b *capacity.Estimate, x, y float64) float64 {
	df := func(e *capacity.Estimate) float64 {
		if e.DF == nil {
			return known
		}
		return *e.DF
	}
	x, y = x*x, y*y
	if x+y == 0 {
		return known
	}
	return (x + y) * (x + y) / (x*x/df(a) + y*y/df(b))
}

// known are the degrees of freedom of an error that is as good as known, as that of a count is.
const known = 1000.0

// sample is one value more than an estimate has degrees of freedom, of its mean and a standard error.
func sample(e *capacity.Estimate, stdErr float64) *benchmath.Sample {
	n := int(known)
	if e.DF != nil {
		n = int(*e.DF) + 1
	}
	values := make([]float64, n)
	for i := range values { // equally spaced: the variance of 0..n-1 is n(n+1)/12
		values[i] = e.Value + (float64(i)-float64(n-1)/2)*stdErr*math.Sqrt(12/float64(n+1))
	}
	return benchmath.NewSample(values, &benchmath.Thresholds{CompareAlpha: alpha})
}

// changes lists what differs between what was asked for in two runs, and where.
func changes(a, b *capacity.Analysis) []Changed {
	var all []Changed
	add := func(what, x, y string) {
		if x != y {
			all = append(all, Changed{what, x, y})
		}
	}
	add("scenario", a.Run.Scenario, b.Run.Scenario)
	add("cluster", a.Run.Cluster, b.Run.Cluster)
	add("profile", a.Run.Profile, b.Run.Profile)
	add("simulated", fmt.Sprint(a.Run.Simulated), fmt.Sprint(b.Run.Simulated))
	add("seed", fmt.Sprint(a.Run.Seed), fmt.Sprint(b.Run.Seed))
	add("coinbench", a.Run.Coinbench, b.Run.Coinbench)
	add("host", host(a.Run.Host), host(b.Run.Host))
	var keys []string
	for k := range a.Run.Settings {
		keys = append(keys, k)
	}
	for k := range b.Run.Settings {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		if k != "profile" {
			add("setting "+k, orNone(a.Run.Settings[k]), orNone(b.Run.Settings[k]))
		}
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (v ComparedValue) ratio() string {
	switch {
	case v.Ratio == nil:
		return "–"
	case v.P == nil && math.Abs(*v.Ratio-1) > floor:
		return "? " + visible.Significant(*v.Ratio, 3)
	case v.Same:
		return "~"
	default:
		return "× " + visible.Significant(*v.Ratio, 3)
	}
}

// visible is the least change that would have been seen.
func (v ComparedValue) visible() string {
	if v.Visible == nil {
		return "?"
	}
	if *v.Visible >= .1 {
		return fmt.Sprintf("%.0f %%", 100**v.Visible)
	}
	return fmt.Sprintf("%.2g %%", 100**v.Visible)
}

// rows are the comparison's table, the header first.
func (c Comparison) rows() Table {
	rows := Table{{"name ", "what ", "A", "B", "B/A", "visible", "unit ", "limits ", "configuration "}}
	for _, v := range c.Rows {
		config := v.Config
		if v.Differs {
			config = "A: " + v.Config + "; B: " + v.ConfigB
		}
		rows = append(rows, []string{v.Name, v.What, figures(v.A), figures(v.B), v.ratio(), v.visible(), v.Unit, v.Limits, config})
	}
	return rows
}

const sameNote = "~: not shown to differ, by the runs' own errors (Welch's test at 1 %) or within 1 %. ?: a ratio whose error is not " +
	"known. visible: a change of as much or more would have been seen with 80 %."

// WriteComparison writes two runs side by side as text, which has the width of o, markdown, json or html.
func WriteComparison(w io.Writer, format string, a, b *capacity.Analysis, o TextOptions) error {
	c := Compare(a, b)
	var s string
	switch format {
	case "text", "":
		s = c.text(o)
	case "markdown":
		s = c.markdown()
	case "html":
		return c.html(w)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	default:
		return fmt.Errorf("compare: unknown format %q; accepted: text, markdown, html, json", format)
	}
	_, err := io.WriteString(w, s)
	return err
}

func (c Comparison) runs() Table {
	rows := Table{{" ", "scenario ", "start ", "verdict ", "measurement ", "why "}}
	for i, r := range []ComparedRun{c.A, c.B} {
		valid := "sound"
		if !r.Valid {
			valid = "not sound"
		}
		rows = append(rows, []string{string(rune('A' + i)), r.Scenario, r.Start, string(r.Outcome), valid, r.Why})
	}
	return rows
}

func (c Comparison) changedRows() Table {
	rows := Table{{"different ", "A ", "B "}}
	for _, d := range c.Changed {
		rows = append(rows, []string{d.What, d.A, d.B})
	}
	return rows
}

func (c Comparison) text(o TextOptions) string {
	t := newTextWriter(o)
	t.table(c.runs(), "")
	if len(c.Changed) > 0 {
		t.b.WriteString("\n")
		t.table(c.changedRows(), "")
	}
	t.b.WriteString("\n")
	t.line("%s", t.style("1", c.finding()))
	if len(c.Rows) > 0 {
		t.table(c.rows(), "")
		t.line("%s", sameNote)
	}
	for _, only := range c.only() {
		t.line("%s", only)
	}
	return t.b.String()
}

// finding is the comparison in one sentence.
func (c Comparison) finding() string {
	differ := 0
	for _, v := range c.Rows {
		if v.P != nil && !v.Same {
			differ++
		}
	}
	switch {
	case len(c.Rows) == 0:
		return "The runs have no number in common: no window and no load of one is in the other."
	case differ == 0:
		return fmt.Sprintf("None of %s is shown to differ.", plural(len(c.Rows), "number"))
	case differ == 1:
		return fmt.Sprintf("1 of %s differs.", plural(len(c.Rows), "number"))
	}
	return fmt.Sprintf("%d of %s differ.", differ, plural(len(c.Rows), "number"))
}

func (c Comparison) only() []string {
	var s []string
	if len(c.OnlyA) > 0 {
		s = append(s, "Only in A: "+strings.Join(c.OnlyA, ", ")+".")
	}
	if len(c.OnlyB) > 0 {
		s = append(s, "Only in B: "+strings.Join(c.OnlyB, ", ")+".")
	}
	return s
}

func (c Comparison) markdown() string {
	var b strings.Builder
	b.WriteString("## Comparison\n\n" + c.runs().Markdown())
	if len(c.Changed) > 0 {
		b.WriteString("\n" + c.changedRows().Markdown())
	}
	b.WriteString("\n" + c.finding() + "\n")
	if len(c.Rows) > 0 {
		b.WriteString("\n" + c.rows().Markdown() + "\n" + sameNote + "\n")
	}
	for _, only := range c.only() {
		b.WriteString("\n" + only + "\n")
	}
	return b.String()
}

// chart is how far each number of B lies from that of A, with its 95 % interval.
func (c Comparison) chart() (chart, bool) {
	p := chart{id: "ratios", title: "B against A", x: axis{label: "difference of B from A (%)"},
		desc: "Each dot is a number of B against the same of A, with the 95 % interval of the difference, as far as both runs know their errors."}
	same := series{name: "not shown to differ", kind: whisker, color: blue}
	differs := series{name: "different", kind: whisker, color: vermilion}
	p.table = Table{{"name ", "what ", "difference"}}
	for _, v := range c.Rows {
		if v.Ratio == nil {
			continue
		}
		y := -float64(len(p.y.ticks))
		p.y.ticks = append(p.y.ticks, tick{y, v.Name + ", " + v.What})
		percents := func(ratio float64) float64 { return 100 * (ratio - 1) }
		at := xy{x: percents(*v.Ratio), y: y}
		at.low, at.high = at.x, at.x
		at.text = fmt.Sprintf("%s, %s: %s", v.Name, v.What, signed(*v.Ratio-1))
		if v.Low != nil {
			at.low, at.high = percents(*v.Low), percents(*v.High)
			at.text += fmt.Sprintf(" (%s to %s)", signed(*v.Low-1), signed(*v.High-1))
		}
		p.x.min, p.x.max = min(p.x.min, at.low), max(p.x.max, at.high)
		p.table = append(p.table, []string{v.Name, v.What, strings.TrimPrefix(at.text, v.Name+", "+v.What+": ")})
		if v.Same {
			same.xy = append(same.xy, at)
		} else {
			differs.xy = append(differs.xy, at)
		}
	}
	for _, s := range []series{same, differs} {
		if len(s.xy) > 0 {
			p.series = append(p.series, s)
		}
	}
	// One number of which little is known must not make dots of all the others: its interval is cut off.
	farthest := 2.5
	for _, s := range p.series {
		for _, v := range s.xy {
			farthest = max(farthest, math.Abs(v.x))
		}
	}
	p.x.min, p.x.max = max(p.x.min, -2*farthest), min(p.x.max, 2*farthest)
	margin := max(.08*(p.x.max-p.x.min), .5)
	p.x.min, p.x.max = p.x.min-margin, p.x.max+margin
	p.y.min, p.y.max = .4-float64(len(p.y.ticks)), .6
	p.series = append(p.series, series{name: "equal", kind: dashed, color: grey, xy: []xy{{y: p.y.min}, {y: p.y.max}}})
	return p, len(p.y.ticks) > 0
}

// comparisonPage is the data of the template "compare".
type comparisonPage struct {
	Title, A, B, Finding, Note string
	Runs, Changed, Numbers     template.HTML
	Charts                     []pageChart
	Only                       []string
}

func (c Comparison) html(w io.Writer) error {
	p := comparisonPage{Title: "Comparison: " + c.A.Scenario + " and " + c.B.Scenario, A: c.A.Scenario, B: c.B.Scenario, Finding: c.finding(),
		Note: sameNote, Runs: template.HTML(c.runs().html(dress{})), Only: c.only()}
	if len(c.Changed) > 0 {
		p.Changed = template.HTML(c.changedRows().html(dress{}))
	}
	if chart, ok := c.chart(); ok {
		p.Charts = []pageChart{newPageChart(chart, "the table below")}
	}
	if len(c.Rows) > 0 {
		p.Numbers = template.HTML(c.rows().html(dress{row: func(i int) string {
			if i > 0 && c.Rows[i-1].Differs {
				return "differs"
			}
			return ""
		}}))
	}
	return writePage(w, "compare", p)
}
