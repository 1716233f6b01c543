package reports

import (
	"fmt"
	"io"
	"strings"

	"coinbench/capacity"
	"coinbench/internal/visible"
)

// TextOptions says how the terminal's report looks.
type TextOptions struct {
	Color bool
	Brief bool // the verdict, the validity and the bottleneck only
	Width int  // the longest line, of a terminal; 0: lines are as long as they get, for grep
}

type textWriter struct {
	b     strings.Builder
	color bool
	width int
}

func newTextWriter(o TextOptions) *textWriter { return &textWriter{color: o.Color, width: o.Width} }

func (t *textWriter) style(code, s string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// flush writes the text. What others said in it, servers and files, cannot command the terminal.
func (t *textWriter) flush(w io.Writer) error {
	keep := visible.Lines
	if t.color {
		keep = visible.Colored
	}
	_, err := io.WriteString(w, visible.Text(t.b.String(), keep))
	return err
}

func (t *textWriter) heading(s string) { fmt.Fprintf(&t.b, "\n%s\n", t.style("1", s)) }

func (t *textWriter) line(format string, args ...any) {
	t.b.WriteString(Fold(fmt.Sprintf(format, args...), t.width) + "\n")
}

// outcomeColor is the terminal's colour of an outcome.
func outcomeColor(o capacity.Outcome) string {
	switch o {
	case capacity.OutcomePass:
		return "1;32"
	case capacity.OutcomeFail, capacity.OutcomeInvalid:
		return "1;31"
	default:
		return "1;33"
	}
}

// unmetNote comes before a scenario's own reason.
const unmetNote = "The scenario says that it does not pass here:"

// Text writes the report for a terminal.
func Text(w io.Writer, a *capacity.Analysis, o TextOptions) error {
	t := newTextWriter(o)
	v := a.Overall
	if v.Incomplete != "" {
		t.line("%s", t.style("1;33", "INCOMPLETE: "+v.Incomplete))
	}
	t.line("%s  %s", t.style(outcomeColor(v.Outcome), string(v.Outcome)), v.Why)
	if v.Headline != "" {
		t.line("%s", v.Headline)
	}
	if v.Unmet != "" {
		t.line("%s %s", unmetNote, v.Unmet)
	}
	if a.Run.Simulated {
		t.line("This is a prediction: the run was simulated, nothing was measured.")
	}

	t.heading("Validity")
	t.validity(a)

	if len(a.Windows) > 0 {
		t.heading("Bottleneck")
	}
	for _, w := range a.KeyWindows() {
		t.bottleneck(w)
	}
	switch {
	case len(a.KeyWindows()) > 0:
		t.line("  %s", marginNote)
	case len(a.Windows) > 0:
		t.line("  no window measured the %s", a.Roles.Driver.Plural)
	}
	if !o.Brief {
		t.rest(a)
	}
	return t.flush(w)
}

func (t *textWriter) validity(a *capacity.Analysis) {
	v := a.Validity
	if v.OK {
		read := ""
		if v.Tasks > 0 {
			read = fmt.Sprintf("%s of %s, at most %s s apart in a window; ", plural(v.Readings, "reading"), plural(v.Tasks, "task"), figures(v.GapS))
		}
		t.line("  %s  %s%s by the generator%s", t.style("32", "sound"), read, plural(int(v.Requests), "request"), lag(v))
	}
	for _, s := range v.Invalid {
		t.line("  %s  %s", t.style("1;31", "invalid"), s)
	}
	for _, s := range v.Doubts {
		t.line("  %s  %s", t.style("33", "doubt"), s)
	}
	for _, s := range v.Warnings {
		t.line("  %s  %s", t.style("33", "warning"), s)
	}
}

func lag(v capacity.Validity) string {
	if v.LagP99S == nil {
		return ""
	}
	return ", sent at most " + capacity.FormatSeconds(*v.LagP99S) + " late (p99 of the worst load)"
}

func (t *textWriter) bottleneck(w *capacity.Window) {
	b := w.Bottleneck
	t.line("  %s: %s; %s hashes/s (%s coins/s), %s of the bound %s", t.style("1", w.Name), w.Config, estimate(w.HashRate),
		estimate(w.CoinRate), percent(b.Attained), figures(b.BoundPerS))
	t.line("    %s %s: %s.", t.style("1", windowLimit(w)), limitVerb(b), b.Evidence)
	for _, s := range b.Also {
		t.line("    also %s", s)
	}
	if text := shares(b.Shares); text != "" {
		t.line("    loop: %s", text)
	}
	if w.Errors > 0 && w.HashesLost != nil {
		t.line("    %s", missing(w))
	}
	for i, n := range b.Next {
		word := "then"
		if i == 0 {
			word = "next limit"
		}
		t.line("    %s: %s, after %s: at most %s hashes/s", word, limitName(n.Limit, w.Config.Roles().Driver), n.Change, figures(n.BoundPerS))
	}
	if b.Try != "" {
		t.line("    Try: %s", b.Try)
	}
	t.table(useTable(w), "    ")
}

// ObjectivesText writes how a load was judged: each objective, then the verdict.
func ObjectivesText(w io.Writer, a *capacity.Analysis, o TextOptions) error {
	t := &textWriter{color: o.Color}
	t.objectives(a)
	t.line("%s  %s", t.style(outcomeColor(a.Overall.Outcome), string(a.Overall.Outcome)), a.Overall.Why)
	return t.flush(w)
}

func (t *textWriter) objectives(a *capacity.Analysis) {
	if len(a.Objectives) > 0 {
		t.heading("Objectives")
		rows := Table{{" ", "objective ", "result "}}
		for _, v := range a.Objectives {
			rows = append(rows, []string{string(v.Result), v.Objective, v.Reason})
		}
		t.table(rows, "  ")
	}
}

func (t *textWriter) rest(a *capacity.Analysis) {
	t.objectives(a)
	if len(a.Comparison) > 0 {
		t.heading("Measured, published, bound")
		rows, notes := comparisonTable(a, "%s", "[%d]")
		t.table(rows, "  ")
		for i, n := range notes {
			t.line("  [%d] %s", i+1, n)
		}
	}
	if len(a.Loads) > 0 {
		t.heading("Loads")
		t.table(loadTable(a), "  ")
	}
	t.rollouts(a)
	r := a.Reconciliation
	if r.Possible || len(a.Windows) > 0 {
		t.heading("Books")
	}
	if r.Possible {
		word := t.style("32", "balanced")
		if !r.Balanced {
			word = t.style("33", "not balanced")
		}
		t.line("  %s: %s", word, r.Why)
	} else if len(a.Windows) > 0 {
		t.line("  %s", r.Why)
	}
	t.heading("Run")
	i := a.Run
	line := fmt.Sprintf("  %s, %s, %.1f s, seed %d", played(i), i.Start.UTC().Format("2006-01-02 15:04:05 UTC"), i.LengthS, i.Seed)
	if i.Profile != "" {
		line += ", profile " + i.Profile
	}
	t.line("%s", line)
	t.line("  %s", host(i.Host))
	t.line("  repeat: %s", repeatable(i.Command))
}

// table writes a table in the width of the report.
func (t *textWriter) table(rows Table, indent string) { t.b.WriteString(rows.Text(indent, t.width)) }
