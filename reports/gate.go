package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/gate"
)

// gateOutputs are the files of a gate, in the order in which they are written. A new one is one line here.
func gateOutputs() []struct {
	name  string
	write func(io.Writer, gate.Report) error
} {
	return []struct {
		name  string
		write func(io.Writer, gate.Report) error
	}{
		{"report.html", gateHTML},
		{"report.md", GateMarkdown},
		{"verdict.json", func(w io.Writer, r gate.Report) error { return ValueJSON(w, r) }},
		{"junit.xml", gateJUnit},
		{"gate.txt", gateBench},
		{"bmf.json", gateBMF},
		{"benchmark.json", gateAction},
		{"metrics.txt", gateMetrics},
		{"badge.json", gateBadge},
		{"badge.svg", gateBadgeSVG},
		{"sequence.svg", func(w io.Writer, r gate.Report) error { return gatePlot(w, "svg", r) }},
		{"sequence.png", func(w io.Writer, r gate.Report) error { return gatePlot(w, "png", r) }},
	}
}

// WriteGate writes every output of a gate into a folder, and returns their names.
func WriteGate(dir string, r gate.Report) (names []string, err error) {
	for _, o := range gateOutputs() {
		var b bytes.Buffer
		e := o.write(&b, r)
		if e == nil {
			e = os.MkdirAll(dir, 0o755)
		}
		if e == nil {
			e = os.WriteFile(filepath.Join(dir, o.name), b.Bytes(), 0o644)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("write %s: %w", o.name, e))
			continue
		}
		names = append(names, o.name)
	}
	return names, err
}

// gateFacts are the sentences of every form of a gate's report, besides verdict, pairs and sequence.
func gateFacts(r gate.Report) (facts []string) {
	s, first := r.Session, r.Session.Design.Metrics[0]
	rule := first.Rule(s.Design.Rule)
	if base, head, _, _, ok := means(r); ok {
		text := fmt.Sprintf("%s of base %s and of head %s, in the mean", first.Name, valueOf(first, base), valueOf(first, head))
		if first.Unit == "hashes/s" {
			text += fmt.Sprintf(" (%s and %s coins/s)", figures(base/16), figures(head/16))
		}
		facts = append(facts, text+".")
	}
	for _, m := range r.Verdict.Metrics[1:] {
		facts = append(facts, fmt.Sprintf("%s: %s.", m.Name, m.Text()))
	}
	if a := r.Accepted; a != nil {
		facts = append(facts, fmt.Sprintf("Accepted on %s: %s", a.At.UTC().Format("2006-01-02"), a.Why))
	}
	switch r.Verdict.Gain {
	case gate.Faster:
		facts = append(facts, fmt.Sprintf("FASTER: head gains more than %s.", first.Amount(rule.Tolerate)))
	case gate.NoGain:
		facts = append(facts, fmt.Sprintf("Head has no gain of %s.", first.Amount(rule.Detect)))
	}
	if n := r.Verdict.Null; n != nil {
		facts = append(facts, fmt.Sprintf("The null arm, base once more, against base: %s.", n.Text()))
	}
	facts = append(facts, r.Verdict.Notes...)
	if r.Verdict.Void > 0 {
		facts = append(facts, fmt.Sprintf("%s of %d were void.", plural(r.Verdict.Void, "pair"), len(r.Pairs)))
	}
	facts = append(facts, fmt.Sprintf("A loss of up to %s fails at most 1 %% of gates, one from %s on passes at most 2.5 %%.",
		first.Amount(rule.Tolerate), first.Amount(rule.Detect)))
	for _, m := range s.Design.Metrics[1:] {
		if own := m.Rule(s.Design.Rule); m.Limits != nil || m.Difference != first.Difference {
			facts = append(facts, fmt.Sprintf("Of %s a loss of %s is tolerated, and one of %s to be detected.", m.Name, m.Amount(own.Tolerate),
				m.Amount(own.Detect)))
		}
	}
	if n := len(s.Design.Metrics); n > 1 {
		facts = append(facts, fmt.Sprintf("The 1 %% is of all %d metrics together (Holm).", n))
	}
	facts = append(facts, gatePlan(r)...)
	if r.Spread != nil {
		facts = append(facts, gateSpread(r))
	}
	facts = append(facts, gateControls(r))
	switch t := r.SelfTest; {
	case t == nil:
		facts = append(facts, "Self-test: never played, so that this series cannot be green.")
	case t.CanFail():
		facts = append(facts, fmt.Sprintf("Self-test: an injected loss of %s failed after %s.", first.Amount(t.Loss), plural(t.Pairs, "pair")))
	case t.Outcome == capacity.OutcomeFail:
		facts = append(facts, fmt.Sprintf("Self-test: %s did not show the injected loss, so that this series cannot be green.",
			strings.Join(t.Unshown, ", ")))
	default:
		facts = append(facts, fmt.Sprintf("Self-test: an injected loss of %s was %s after %s, so that this series cannot be green.",
			first.Amount(t.Loss), t.Outcome, plural(t.Pairs, "pair")))
	}
	if r.Tries > 0 {
		facts = append(facts, fmt.Sprintf("This commit was built and gated %s before.", plural(r.Tries, "time")))
	}
	if r.Lost > 0 {
		facts = append(facts, fmt.Sprintf("%s of the store could not be read.", plural(r.Lost, "line")))
	}
	return facts
}

// gateControls says how often identical code has failed in this series.
func gateControls(r gate.Report) string {
	var found []string
	add := func(c gate.Control, of string) {
		if c.Gates > 0 {
			found = append(found, fmt.Sprintf("%d of %s %s (at most %s)", c.Failed, plural(c.Gates, "gate"), of, gate.Percent(c.Bound)))
		}
	}
	add(r.Free, "among the base blocks of this series")
	add(r.Asked, "by --aa")
	if r.Again.Gates > 0 {
		found = append(found, fmt.Sprintf("%d of %s of these blocks under other labels", r.Again.Failed, plural(r.Again.Gates, "gate")))
	}
	if len(found) == 0 {
		return "No gate of identical code has been counted in this series yet: --aa plays some."
	}
	return "Identical code failed " + strings.Join(found, ", ") + "."
}

// gatePlan says what a gate takes on this machine.
func gatePlan(r gate.Report) []string {
	if r.Plan == nil {
		return []string{"How much pairs vary is not known yet: the first four say it."}
	}
	m := r.Session.Design.Metrics[0]
	found := func(f gate.Found) string { return fmt.Sprintf("%s with %d pairs", m.Amount(f.Loss), f.Pairs) }
	text := fmt.Sprintf("Pairs of this series vary by %s (standard deviation); the smallest loss found in 95 %% of gates: %s, %s.",
		m.Amount(r.SD), found(r.Found[0]), found(r.Found[1]))
	takes := func(pairs int) string {
		if pairs == 0 {
			return fmt.Sprintf("more than the %d pairs of a session", r.Most)
		}
		return fmt.Sprintf("%d pairs (%s)", pairs, capacity.FormatSeconds(float64(pairs)*r.Plan.PairS))
	}
	return []string{text, fmt.Sprintf("95 %% of gates take at most %s where head is like base, and %s where it loses %s.", takes(r.Plan.Pass),
		takes(r.Plan.Fail), m.Amount(m.Rule(r.Session.Design.Rule).Detect))}
}

// gateHead is the verdict in a line.
func gateHead(r gate.Report) string {
	return fmt.Sprintf("%s · %s, %s", r.Verdict.Why, plural(r.Verdict.Pairs, "pair"), capacity.FormatSeconds(r.Seconds))
}

// gateWhat says what was compared.
func gateWhat(r gate.Report) string {
	s := r.Session
	return fmt.Sprintf("%s on %s: base %s, head %s.", s.Design.Scenario, s.Design.Cluster, s.Base.Text, s.Head.Text)
}

// valueOf is a value of a metric, with its unit.
func valueOf(m gate.Metric, v float64) string {
	if m.Unit == gate.Share {
		return m.Value(v)
	}
	return figures(v) + " " + m.Unit
}

// pairRows are the pairs' numbers, the header first.
func pairRows(r gate.Report) Table {
	m := r.Session.Design.Metrics[0]
	number, change := "%.2f", "%+.2f "
	factor := 1.0
	if m.Unit == gate.Share {
		number, factor = "%.3f %%", 100
	}
	if m.Difference {
		change = "%+.3g "
	}
	rows := Table{{"pair", "base", "head", "change"}}
	for i, p := range r.Pairs {
		row := []string{strconv.Itoa(i + 1), "–", "–", "–"}
		if p.Void == "" {
			row = []string{row[0], fmt.Sprintf(number, factor*p.Base), fmt.Sprintf(number, factor*p.Head),
				fmt.Sprintf(change, m.Scaled(p.Change)) + m.ChangeUnit()}
		}
		rows = append(rows, row)
	}
	return rows
}

// strip adds base and head on a common scale to the pairs, for letters of one width.
func strip(r gate.Report) Table {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range r.Pairs {
		if p.Void == "" {
			low, high = min(low, p.Base, p.Head), max(high, p.Base, p.Head)
		}
	}
	const width = 40
	at := func(v float64) int {
		if high <= low {
			return width / 2
		}
		return int(math.Round((v - low) / (high - low) * (width - 1)))
	}
	rows, scale := pairRows(r), " "
	if low <= high {
		m := r.Session.Design.Metrics[0]
		scale = fmt.Sprintf("base o, head x, both *: %s to %s ", figures(inUnit(m, low)), figures(inUnit(m, high)))
	}
	rows[0] = append(rows[0], scale)
	for i, p := range r.Pairs {
		if p.Void != "" {
			rows[i+1] = append(rows[i+1], "void: "+p.Void)
			continue
		}
		line := []byte(strings.Repeat(".", width))
		line[at(p.Base)] = 'o'
		if line[at(p.Head)] == 'o' {
			line[at(p.Head)] = '*'
		} else {
			line[at(p.Head)] = 'x'
		}
		rows[i+1] = append(rows[i+1], string(line))
	}
	return rows
}

// inUnit is a value in the unit in which it is shown: a share in percent.
func inUnit(m gate.Metric, v float64) float64 {
	if m.Unit == gate.Share {
		return 100 * v
	}
	return v
}

// GateText writes a gate's report for a terminal.
func GateText(w io.Writer, r gate.Report, o TextOptions) error {
	t := newTextWriter(o)
	t.line("%s  %s", t.style(outcomeColor(r.Verdict.Outcome), string(r.Verdict.Outcome)), gateHead(r))
	t.line("%s", gateWhat(r))
	t.heading("Pairs")
	t.table(strip(r), "  ")
	t.heading("What this is worth")
	for _, f := range gateFacts(r) {
		t.line("  %s", f)
	}
	return t.flush(w)
}

// GatePlanText writes what a gate will take.
func GatePlanText(w io.Writer, r gate.Report, o TextOptions) error {
	t := newTextWriter(o)
	t.line("%s", gateWhat(r))
	for _, f := range gatePlan(r) {
		t.line("%s", f)
	}
	return t.flush(w)
}

// GateSpreadText writes how much windows vary within deployments and between them.
func GateSpreadText(w io.Writer, r gate.Report, o TextOptions) error {
	t := newTextWriter(o)
	t.line("%s", gateSpread(r))
	return t.flush(w)
}

// gateSpread says what a calibration has shown.
func gateSpread(r gate.Report) string {
	s, m, rule := *r.Spread, r.Session.Design.Metrics[0], r.Session.Design.Rule
	best := "deployments add nothing, so that longer windows are better than more"
	if l := s.BestWindow(); !math.IsInf(l, 1) {
		best = fmt.Sprintf("windows of %s make the most of a gate's time", capacity.FormatSeconds(max(l, 1)))
	}
	return fmt.Sprintf("Calibrated on %d deployments with %d windows of %s each: %s is %s %s; it varies by %s within a deployment and by %s "+
		"between them, and so by %s from pair to pair: a PASS of a head that is alike takes %s, a FAIL of one that loses %s %s. A block "+
		"takes %s besides its window; %s.", s.Deployments, s.Windows, capacity.FormatSeconds(s.WindowS), m.Name, figures(s.Mean), m.Unit,
		gate.Percent(s.Within), gate.Percent(s.Between), gate.Percent(s.Pair()), plural(rule.PairsToPass(s.Pair()), "pair"),
		gate.Percent(rule.Detect), plural(rule.PairsToFail(s.Pair()), "pair"), capacity.FormatSeconds(s.Overhead), best)
}

// GateMarkdown writes a gate's report for a pull request or a job's summary, in less than 60 kB: a comment takes 64.
func GateMarkdown(w io.Writer, r gate.Report) error {
	var b strings.Builder
	mark := map[capacity.Outcome]string{capacity.OutcomePass: "✅", capacity.OutcomeFail: "❌", capacity.OutcomeInvalid: "⛔",
		capacity.OutcomeInconclusive: "⚠️"}[r.Verdict.Outcome]
	fmt.Fprintf(&b, "## %s %s: %s\n\n%s\n\n%s\n\n", mark, r.Verdict.Outcome, markdownText(r.Session.Design.Scenario),
		markdownText(gateHead(r)),
		markdownText(gateWhat(r)))
	rows := strip(r)
	for i := range rows[1:] {
		rows[i+1][4] = "`" + strings.ReplaceAll(rows[i+1][4], "`", "'") + "`"
	}
	const most = 200 // rows
	if len(rows) > most {
		rows = append(rows[:1], rows[len(rows)-most:]...)
	}
	b.WriteString(rows.Markdown() + "\n")
	for _, f := range gateFacts(r) {
		b.WriteString("- " + markdownText(f) + "\n")
	}
	fmt.Fprintf(&b, "\n%s, on %s. Repeat it with\n\n    %s\n", r.Session.At.UTC().Format("2006-01-02 15:04:05 UTC"),
		markdownText(r.Session.Host),
		repeatable(r.Session.Command))
	_, err := io.WriteString(w, b.String())
	return err
}

// gateJUnit writes a gate as test cases: that it could fail, that its pairs are sound, and each metric.
func gateJUnit(w io.Writer, r gate.Report) error {
	s := junitSuite{Name: "coinbench gate " + r.Session.Design.Scenario, Host: "localhost", Time: seconds(r.Seconds),
		Started: r.Session.At.UTC().Format("2006-01-02T15:04:05"), Out: string(r.Verdict.Outcome) + ": " + r.Verdict.Why}
	class := "coinbench.gate." + r.Session.Design.Scenario
	could := junitCase{Class: class, Name: "the gate could fail"}
	if r.Session.Kind == gate.Compare && !r.SelfTest.CanFail() {
		could.Error = &junitText{"no self-test of this series has failed", "self-test", "play the same with --self-test once"}
	}
	sound := junitCase{Class: class, Name: "the pairs are sound", Time: s.Time}
	if o := r.Verdict.Outcome; o == capacity.OutcomeInvalid || o == capacity.OutcomeInconclusive && r.Verdict.Pairs == 0 {
		sound.Error = &junitText{r.Verdict.Why, "validity", r.Verdict.Why}
	}
	s.Cases = append(s.Cases, could, sound)
	for i, m := range r.Verdict.Metrics {
		c := junitCase{Class: class, Name: m.Name}
		switch {
		case r.Verdict.Outcome == capacity.OutcomeFail && (i == 0 || m.P <= .01):
			c.Failure = &junitText{m.Text(), "loss", r.Verdict.Why}
		case r.Verdict.Outcome != capacity.OutcomePass && r.Verdict.Outcome != capacity.OutcomeFail:
			c.Error = &junitText{m.Text(), "undecided", r.Verdict.Why}
		}
		s.Cases = append(s.Cases, c)
	}
	return s.write(w)
}

// sequenceChart is the sequence as it narrows towards the two limits.
func sequenceChart(r gate.Report) chart {
	m := r.Verdict.Metrics[0]
	rule := m.Rule(r.Session.Design.Rule)
	c := chart{id: "sequence", title: "Head against base, after each look", x: axis{label: "pairs"},
		y: axis{label: "change of " + m.Name + " (" + m.ChangeUnit() + ")"},
		desc: fmt.Sprintf("Each bar is the interval that holds at every look, after that many pairs. A gate fails when it lies below the loss "+
			"of %s that is tolerated, and passes when it lies above the loss of %s that is to be detected.", m.Amount(rule.Tolerate),
			m.Amount(rule.Detect))}
	bars := series{name: "95 % interval", kind: span, color: blue}
	dots := series{name: "change", kind: points, color: blue}
	sign := 1.0
	if m.Lower {
		sign = -1
	}
	scaled, unit := m.Scaled, m.ChangeUnit()
	low, high := -scaled(rule.Detect), scaled(rule.Tolerate)
	for _, l := range m.Looks {
		text := fmt.Sprintf("%d pairs: %+.2f %s", l.Pairs, scaled(l.Change), unit)
		low, high = min(low, sign*scaled(l.Change)), max(high, sign*scaled(l.Change))
		if l.Low != nil {
			text += fmt.Sprintf(" [%+.2f, %+.2f]", scaled(*l.Low), scaled(*l.High))
			bars.xy = append(bars.xy, xy{x: float64(l.Pairs), y: scaled(*l.Low), y2: scaled(*l.High), text: text})
		}
		dots.xy = append(dots.xy, xy{x: float64(l.Pairs), y: scaled(l.Change), text: text})
		c.x.max = max(c.x.max, float64(l.Pairs))
	}
	c.x.max = max(c.x.max, 4) + 1
	room := 3 * max(high-low, scaled(rule.Detect-rule.Tolerate)) // what is wider is cut off: little is known there
	c.y.min, c.y.max = low-room/2, high+room/2
	if m.Lower {
		c.y.min, c.y.max = -c.y.max, -c.y.min
	}
	for i := range bars.xy {
		bars.xy[i].y, bars.xy[i].y2 = max(c.y.min, bars.xy[i].y), min(c.y.max, bars.xy[i].y2)
	}
	limit := func(name string, loss float64, color shade) {
		y := -sign * scaled(loss)
		c.series = append(c.series, series{name: name, kind: dashed, color: color, xy: []xy{{y: y}, {x: c.x.max, y: y}}})
	}
	limit("tolerated", rule.Tolerate, green)
	limit("to be detected", rule.Detect, vermilion)
	if len(bars.xy) > 0 {
		c.series = append(c.series, bars)
	}
	if len(dots.xy) > 0 {
		c.series = append(c.series, dots)
	}
	c.table = Table{{"pairs", "change", "from", "to"}}
	for _, l := range m.Looks {
		text := func(v float64) string { return fmt.Sprintf("%+.2f %s", scaled(v), unit) }
		c.table = append(c.table, []string{strconv.Itoa(l.Pairs), text(l.Change), optional(l.Low, text), optional(l.High, text)})
	}
	return c
}

func gatePlot(w io.Writer, format string, r gate.Report) error {
	return writePlot(w, format, sequenceChart(r), gateWhat(r)+" "+string(r.Verdict.Outcome))
}

// gatePage is the data of the template "gate".
type gatePage struct {
	R         gate.Report
	Title     string
	Start     string
	Simulated bool
	Why, Took string
	Charts    []pageChart
	Facts     []string
	About     []fact
	Command   string
}

func gateHTML(w io.Writer, r gate.Report) error {
	s := r.Session
	p := gatePage{R: r, Title: fmt.Sprintf("Gate of %s: %s", s.Design.Scenario, r.Verdict.Outcome),
		Start: s.At.UTC().Format("2 January 2006, 15:04 UTC"), Simulated: s.Design.Cluster == "sim",
		Why: upperLimit(r.Verdict.Why), Took: fmt.Sprintf("%s, %s", upperFirst(plural(r.Verdict.Pairs, "pair")),
			capacity.FormatSeconds(r.Seconds)),
		Facts: gateFacts(r), Command: repeatable(s.Command)}
	if c, ok := pairsChart(r); ok {
		p.Charts = append(p.Charts, newPageChart(c, "the store"))
	}
	if len(r.Verdict.Metrics[0].Looks) > 0 {
		p.Charts = append(p.Charts, newPageChart(sequenceChart(r), "verdict.json"))
	}
	p.About = []fact{{"Scenario", s.Design.Scenario}, {"Cluster", s.Design.Cluster}, {"Base", s.Base.Text}, {"Head", s.Head.Text},
		{"Began", s.At.UTC().Format("2006-01-02 15:04:05 UTC")}, {"Measured for", capacity.FormatSeconds(r.Seconds)}, {"Host", s.Host}}
	return writePage(w, "gate", p)
}

// pairsChart is what base and head were in each pair.
func pairsChart(r gate.Report) (chart, bool) {
	m := r.Session.Design.Metrics[0]
	unit := m.Unit
	if unit == gate.Share {
		unit = "%"
	}
	c := chart{id: "pairs", title: "Base and head, pair by pair", x: axis{label: "pair", whole: true},
		y:     axis{label: m.Name + " (" + unit + ")"},
		desc:  "The blocks of each pair were measured one after the other, in an order drawn at random. Pairs that are void are left out.",
		table: pairRows(r)}
	c.table[0] = append(c.table[0], "void ")
	base := series{name: "base", kind: points, color: blue}
	head := series{name: "head", kind: points, color: vermilion}
	low, high := math.Inf(1), math.Inf(-1)
	for i, p := range r.Pairs {
		c.table[i+1] = append(c.table[i+1], p.Void)
		if p.Void != "" {
			continue
		}
		y, y2 := inUnit(m, p.Base), inUnit(m, p.Head)
		low, high = min(low, y, y2), max(high, y, y2)
		row := c.table[i+1]
		text := fmt.Sprintf("pair %s: base %s, head %s, %s", row[0], row[1], row[2], row[3])
		base.xy = append(base.xy, xy{x: float64(i + 1), y: y, text: text})
		head.xy = append(head.xy, xy{x: float64(i + 1), y: y2, text: text})
	}
	margin := max(.2*(high-low), .01*math.Abs(high), 1e-9)
	c.x.max, c.y.min, c.y.max = float64(len(r.Pairs))+1, low-margin, high+margin
	c.series = []series{base, head}
	return c, len(base.xy) > 0
}
