package reports

import (
	"fmt"
	"io"
	"strings"

	"coinbench/capacity"
)

// Markdown writes the report for a pull request or a CI job's summary page.
func Markdown(w io.Writer, a *capacity.Analysis) error {
	var b strings.Builder
	v := a.Overall
	mark := map[capacity.Outcome]string{capacity.OutcomePass: "✅", capacity.OutcomeFail: "❌", capacity.OutcomeInvalid: "⛔",
		capacity.OutcomeInconclusive: "⚠️"}[v.Outcome]
	if v.Incomplete != "" {
		fmt.Fprintf(&b, "> **Incomplete.** %s\n\n", markdownText(v.Incomplete))
	}
	fmt.Fprintf(&b, "## %s %s: %s\n\n%s\n", mark, v.Outcome, markdownText(a.Run.Scenario), markdownText(v.Why))
	if v.Unmet != "" {
		fmt.Fprintf(&b, "\n%s %s\n", unmetNote, markdownText(v.Unmet))
	}
	if a.Run.Simulated {
		b.WriteString("\nThis is a prediction: the run was simulated, nothing was measured.\n")
	}

	b.WriteString("\n### Validity\n\n")
	val := a.Validity
	if val.OK {
		fmt.Fprintf(&b, "The measurement is sound: %s of %s, at most %s s apart in a window; %d requests by the generator%s.\n",
			plural(val.Readings, "reading"), plural(val.Tasks, "task"), figures(val.GapS), val.Requests, lag(val))
	}
	for _, l := range []struct {
		word  string
		texts []string
	}{{"Invalid", val.Invalid}, {"Doubt", val.Doubts}, {"Warning", val.Warnings}} {
		for _, t := range l.texts {
			fmt.Fprintf(&b, "- **%s:** %s\n", l.word, markdownText(t))
		}
	}

	b.WriteString("\n### Bottleneck\n\n")
	rows := Table{{"window ", "configuration ", "hashes/s", "bound", "what limits ", "next limit ", "try "}}
	for _, w := range a.KeyWindows() {
		k := w.Bottleneck
		next := "–"
		if len(k.Next) > 0 {
			next = fmt.Sprintf("%s, after %s: at most %s", limitName(k.Next[0].Limit, a.Roles.Driver), k.Next[0].Change,
				figures(k.Next[0].BoundPerS))
		}
		rows = append(rows, []string{w.Name, w.Config.String(), estimate(w.HashRate), figures(k.BoundPerS), "**" + windowLimit(w) + "**: " +
			k.Evidence, next, k.Try})
	}
	if len(rows) > 1 {
		b.WriteString(rows.Markdown() + "\n" + marginNote + "\n")
	} else {
		fmt.Fprintf(&b, "No window measured the %s.\n", a.Roles.Driver.Plural)
	}

	if len(a.Objectives) > 0 {
		b.WriteString("\n### Objectives\n\n")
		rows := Table{{" ", "objective ", "result "}}
		marks := map[capacity.Result]string{capacity.Pass: "✅", capacity.Fail: "❌", capacity.Unknown: "❔"}
		for _, o := range a.Objectives {
			rows = append(rows, []string{marks[o.Result] + " " + string(o.Result), "`" + o.Objective + "`", o.Reason})
		}
		b.WriteString(rows.Markdown())
	}
	if len(a.Comparison) > 0 {
		b.WriteString("\n### Measured, published, bound\n\n")
		rows, notes := comparisonTable(a, "**%s**", "<sup>%d</sup>")
		b.WriteString(rows.Markdown() + "\n<details><summary>Sources and footnotes</summary>\n\n")
		for i, n := range notes {
			fmt.Fprintf(&b, "%d. %s\n", i+1, markdownText(n))
		}
		b.WriteString("\n</details>\n")
	}
	if len(a.Loads) > 0 {
		b.WriteString("\n### Loads\n\n")
		for _, s := range a.Searches {
			fmt.Fprintf(&b, "**%s**\n\n", markdownText(s.Answer()))
		}
		b.WriteString(loadTable(a).Markdown())
	}
	b.WriteString(markdownRollouts(a))
	fmt.Fprintf(&b, "\n### Books\n\n%s\n", markdownText(a.Reconciliation.Why))
	i := a.Run
	fmt.Fprintf(&b, "\n### Run\n\n%s on %s, %s, %.1f s, seed %d, profile %s; %s.\n\nRepeat it with\n\n    %s\n", markdownText(i.Scenario),
		i.Cluster,
		i.Start.UTC().Format("2006-01-02 15:04:05 UTC"), i.LengthS, i.Seed, i.Profile, markdownText(host(i.Host)), repeatable(i.Command))
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownText keeps text from being read as HTML or as a table.
func markdownText(s string) string {
	return strings.NewReplacer("<", "&lt;", "\n", " ").Replace(s)
}
