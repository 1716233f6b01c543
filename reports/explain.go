package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"coinbench/capacity"
)

// ExplainText writes an explanation for a terminal: for each window and load the limit, its evidence and the one change to try.
func ExplainText(w io.Writer, x capacity.Explanation, o TextOptions) error {
	t := newTextWriter(o)
	if x.Run.Simulated {
		t.line("This is a prediction: the run was simulated, nothing was measured.")
	}
	if len(x.Parts) == 0 {
		t.line("The run has no window with %s and no load: there is nothing to explain.", x.Roles.Driver.Plural)
	}
	for _, p := range x.Parts {
		unit := "hashes/s"
		if p.Load {
			unit = "requests/s"
		}
		rate := figures(p.PerS)
		if p.Rate != nil {
			rate = interval(p.Rate, figures)
		}
		t.line("%s  %s; %s %s", t.style("1", p.Name), p.Config, rate, unit)
		limit := limitName(string(p.Limit), x.Roles.Driver)
		if p.Task != "" {
			limit += " (" + p.Task + ")"
		}
		t.line("  limit: %s", t.style("1", limit))
		for _, e := range p.Evidence {
			t.line("    because %s", e)
		}
		for _, e := range p.Also {
			t.line("    also    %s", e)
		}
		if text := shares(p.Shares); text != "" {
			t.line("    loop    %s", text)
		}
		for i, n := range p.Next {
			word := "then"
			if i == 0 {
				word = "next"
			}
			t.line("    %s    %s, after %s: at most %s hashes/s", word, limitName(n.Limit, x.Roles.Driver), n.Change, figures(n.BoundPerS))
		}
		if p.Try != "" {
			t.line("    Try: %s", p.Try)
		}
		if len(p.Advice) > 0 {
			t.table(adviceRows(p.Advice), "    ")
		} else if p.Reason != "" && !p.Load {
			t.line("    no advice: %s", p.Reason)
		}
		rows := Table{{"service ", "replicas", "slots", "demand per hash", "busy", "queue", "headroom"}}
		for _, s := range p.Services {
			slots := whole(float64(s.Slots))
			if s.Slots == 0 {
				slots = "no limit"
			}
			rows = append(rows, []string{s.Service, whole(float64(s.Replicas)), slots, interval(s.DemandS, capacity.FormatSeconds),
				interval(s.Utilisation, percent),
				interval(s.QueueS, capacity.FormatSeconds), interval(s.Headroom, percent)})
		}
		if len(rows) > 1 {
			t.table(rows, "    ")
		}
		t.line("")
	}
	return t.flush(w)
}

// adviceRows are the changes that were played, as a table.
func adviceRows(advice []capacity.Advice) Table {
	rows := Table{{"change, simulated ", "hashes/s", "95 % of runs", "gain"}}
	for _, a := range advice {
		rows = append(rows, []string{a.Text, figures(a.PerS), figures(a.Low) + " to " + figures(a.High), "+" + percent(a.Gain)})
	}
	return rows
}

// shares writes the parts of a loop, the largest first; what is below a percent is left out.
func shares(parts map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(parts), func(a, b string) int { return cmp.Or(cmp.Compare(parts[b], parts[a]), cmp.Compare(a, b)) })
	var all []string
	for _, name := range names {
		if parts[name] >= .01 {
			all = append(all, name+" "+percent(parts[name]))
		}
	}
	return strings.Join(all, ", ")
}

// interval writes a value with its 95 % interval.
func interval(i *capacity.Interval, format func(float64) string) string {
	if i == nil {
		return "–"
	}
	low, high := format(i.Low), format(i.High)
	if i.Parts < 2 || low == high {
		return format(i.Value)
	}
	return fmt.Sprintf("%s [%s, %s]", format(i.Value), low, high)
}

// ExplainJSON writes an explanation for programs.
func ExplainJSON(w io.Writer, x capacity.Explanation) error { return indented(w, x) }

func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
