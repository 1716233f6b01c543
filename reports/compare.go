package reports

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"

	"coinbench/capacity"
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
}

// ComparedValue is one number in both runs.
type ComparedValue struct {
	Name      string   `json:"name"`
	What      string   `json:"what"` // hash rate, throughput, p50 or p99
	Unit      string   `json:"unit"`
	A         float64  `json:"a"`
	B         float64  `json:"b"`
	Ratio     *float64 `json:"ratio,omitempty"` // B/A
	Threshold float64  `json:"threshold"`       // relative difference below which the two are the same
	Same      bool     `json:"same"`            // "~": within the threshold
	Config    string   `json:"config_a"`
	ConfigB   string   `json:"config_b"`
	Differs   bool     `json:"config_differs"`
	Limits    string   `json:"limits,omitempty"` // what limits in A and in B, for windows
}

// Changed is a difference in what was asked for or where it ran.
type Changed struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// floor is the relative difference that two runs of the same thing on one machine may show; smaller ones are never called a difference.
const floor = 0.01

// Compare puts two runs side by side. Two numbers are the same, "~", when they differ by less than one percent or by less than two
// standard errors of their difference, as far as those are known. That is a statement about two runs, not a test of a hypothesis.
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
		v := compare(w.Name, "hash rate", "hashes/s", w.HashRate.Value, other.HashRate.Value, w.HashRate.StdErr, other.HashRate.StdErr)
		v.Config, v.ConfigB = w.Config.String(), other.Config.String()
		v.Differs = v.Config != v.ConfigB
		if w.Bottleneck != nil && other.Bottleneck != nil {
			v.Limits = w.Bottleneck.Limit
			if other.Bottleneck.Limit != w.Bottleneck.Limit {
				v.Limits += " → " + other.Bottleneck.Limit
			}
		}
		c.Rows = append(c.Rows, v)
	}
	for _, l := range a.Loads {
		other := b.Load(l.Name)
		if other == nil {
			c.OnlyA = append(c.OnlyA, "load "+l.Name)
			continue
		}
		config := func(l *capacity.LoadResult) string {
			return fmt.Sprintf("%s clients, %d requests, %s", clients(*l), l.Requests, l.Config)
		}
		add := func(v ComparedValue) {
			v.Config, v.ConfigB = config(&l), config(other)
			v.Differs = v.Config != v.ConfigB
			c.Rows = append(c.Rows, v)
		}
		add(compare(l.Name, "throughput", "requests/s", l.PerS, other.PerS, nil, nil))
		if l.Response != nil && other.Response != nil {
			add(compare(l.Name, "p50", "ms", l.Response.P50S*1000, other.Response.P50S*1000, nil, nil))
			add(compare(l.Name, "p99", "ms", l.Response.P99S*1000, other.Response.P99S*1000, nil, nil))
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

func compared(a *capacity.Analysis) ComparedRun {
	return ComparedRun{Scenario: a.Run.Scenario, Start: a.Run.Start.UTC().Format("2006-01-02 15:04:05 UTC"), Outcome: a.Overall.Outcome, Why: a.Overall.Why, Valid: a.Validity.OK}
}

func compare(name, what, unit string, a, b float64, seA, seB *float64) ComparedValue {
	v := ComparedValue{Name: name, What: what, Unit: unit, A: a, B: b, Threshold: floor}
	if a > 0 {
		v.Ratio = new(float64)
		*v.Ratio = b / a
		if seA != nil && seB != nil {
			v.Threshold = max(floor, 2*math.Hypot(*seA, *seB)/a)
		}
		v.Same = math.Abs(*v.Ratio-1) <= v.Threshold
	} else {
		v.Same = b == a
	}
	return v
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
	case v.Same:
		return "~"
	case v.Ratio == nil:
		return "–"
	default:
		return fmt.Sprintf("× %.3g", *v.Ratio)
	}
}

// rows are the comparison's table, the header first.
func (c Comparison) rows() [][]string {
	rows := [][]string{{"name ", "what ", "A", "B", "B/A", "unit ", "limits ", "configuration "}}
	for _, v := range c.Rows {
		config := v.Config
		if v.Differs {
			config = "A: " + v.Config + "; B: " + v.ConfigB
		}
		rows = append(rows, []string{v.Name, v.What, figures(v.A), figures(v.B), v.ratio(), v.Unit, v.Limits, config})
	}
	return rows
}

const sameNote = "~: the same, within 1 % or two standard errors of the difference."

// WriteComparison writes two runs side by side as text, markdown, json or html.
func WriteComparison(w io.Writer, format string, a, b *capacity.Analysis) error {
	c := Compare(a, b)
	var s string
	switch format {
	case "text", "":
		s = c.text()
	case "markdown":
		s = c.markdown()
	case "html":
		s = c.html()
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

func (c Comparison) runs() [][]string {
	rows := [][]string{{" ", "scenario ", "start ", "verdict ", "measurement ", "why "}}
	for i, r := range []ComparedRun{c.A, c.B} {
		valid := "sound"
		if !r.Valid {
			valid = "not sound"
		}
		rows = append(rows, []string{string(rune('A' + i)), r.Scenario, r.Start, string(r.Outcome), valid, r.Why})
	}
	return rows
}

func (c Comparison) changedRows() [][]string {
	rows := [][]string{{"different ", "A ", "B "}}
	for _, d := range c.Changed {
		rows = append(rows, []string{d.What, d.A, d.B})
	}
	return rows
}

func (c Comparison) text() string {
	var b strings.Builder
	b.WriteString(columns(c.runs(), ""))
	if len(c.Changed) > 0 {
		b.WriteString("\n" + columns(c.changedRows(), ""))
	}
	b.WriteString("\n" + columns(c.rows(), "") + sameNote + "\n")
	for _, only := range c.only() {
		b.WriteString(only + "\n")
	}
	return b.String()
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
	b.WriteString("## Comparison\n\n" + markdownTable(c.runs()))
	if len(c.Changed) > 0 {
		b.WriteString("\n" + markdownTable(c.changedRows()))
	}
	b.WriteString("\n" + markdownTable(c.rows()) + "\n" + sameNote + "\n")
	for _, only := range c.only() {
		b.WriteString("\n" + only + "\n")
	}
	return b.String()
}

func (c Comparison) html() string {
	var b strings.Builder
	b.WriteString(pageHead("Comparison: " + c.A.Scenario + " and " + c.B.Scenario))
	b.WriteString("<main><header class=\"top\"><p class=\"eyebrow\">coinbench · comparison</p><h1>" + html.EscapeString(c.A.Scenario) + " · " + html.EscapeString(c.B.Scenario) + "</h1></header>")
	b.WriteString("<section><h2>Runs</h2>" + htmlTable(c.runs(), nil) + "</section>")
	if len(c.Changed) > 0 {
		b.WriteString("<section><h2>What is different</h2>" + htmlTable(c.changedRows(), nil) + "</section>")
	}
	b.WriteString("<section><h2>Side by side</h2>" + htmlTable(c.rows(), func(i int) string {
		if i > 0 && c.Rows[i-1].Differs {
			return "differs"
		}
		return ""
	}))
	b.WriteString("<p class=\"note\">" + html.EscapeString(sameNote) + "</p>")
	for _, only := range c.only() {
		b.WriteString("<p class=\"note\">" + html.EscapeString(only) + "</p>")
	}
	b.WriteString("</section></main></body></html>\n")
	return b.String()
}
