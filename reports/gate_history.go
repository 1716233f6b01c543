package reports

import (
	"fmt"
	"io"
	"slices"

	"coinbench/capacity/gate"
)

// GateHistoryText writes the gates of a series, and what may have changed between them.
func GateHistoryText(w io.Writer, h gate.History, o TextOptions) error {
	t := newTextWriter(o)
	rows := Table{{"gate", "when ", "base ", "head ", "verdict ", "change ", "pairs", "head's mean", " "}}
	accepted := 0
	for i, p := range h.Points {
		change := "–"
		if p.Change != nil {
			m := gate.Measured{Metric: p.Session.Design.Metrics[0], Change: p.Change, Low: p.Low, High: p.High}
			change = m.Text()
		}
		note := ""
		if slices.Contains(h.Spikes, i) {
			note = "a spike"
		}
		if p.Accepted != "" {
			accepted++
			note = "accepted: " + p.Accepted
		}
		rows = append(rows, []string{fmt.Sprint(i + 1), p.Session.At.UTC().Format("2006-01-02 15:04"), p.Session.Base.Text, p.Session.Head.Text,
			string(p.Outcome), change, fmt.Sprint(p.Pairs), fmt.Sprintf("%.4g ± %.2g", p.Head, 1.96*p.StdErr), note})
	}
	t.table(rows, "")
	for _, c := range h.Changes {
		before, after := h.Points[c.Index-1].Session.Head.Text, h.Points[c.Index].Session.Head.Text
		share := ""
		if c.Before != 0 {
			share = fmt.Sprintf(", %+.1f %%", 100*(c.After/c.Before-1))
		}
		t.line("Possible change near gate %d (%s): from %s to %s%s. To confirm it, gate what came before (%s) against it.", c.Index+1, after,
			figures(c.Before), figures(c.After), share, before)
	}
	if len(h.Changes) == 0 {
		t.line("No change of the level was found over %s.", plural(len(h.Points), "gate"))
	}
	if accepted > 0 {
		t.line("%s accepted.", plural(accepted, "loss"))
	}
	return t.flush(w)
}

// GateHistoryCSV writes the gates of a series as Apache Otava reads them: time, commit, and a column for each number.
func GateHistoryCSV(w io.Writer, h gate.History) error {
	if _, err := fmt.Fprintln(w, "time,commit,rate,change"); err != nil {
		return err
	}
	for _, p := range h.Points {
		commit := p.Session.Head.Commit
		if commit == "" {
			commit = p.Session.Head.Digest[:min(12, len(p.Session.Head.Digest))]
		}
		change := ""
		if p.Change != nil {
			change = fmt.Sprintf("%.6g", *p.Change)
		}
		if _, err := fmt.Fprintf(w, "%s,%s,%.6g,%s\n", p.Session.At.UTC().Format("2006-01-02T15:04:05Z"), commit, p.Head, change); err != nil {
			return err
		}
	}
	return nil
}
