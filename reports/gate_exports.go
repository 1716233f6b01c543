package reports

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/gate"
)

// gateBench writes the blocks of sound pairs as Go benchmarks, one line each: benchstat -col /side reads them. It knows nothing of
// pairs, so
// what it says is weaker than the verdict. No key differs by side but the name's, or benchstat would print two tables.
func gateBench(w io.Writer, r gate.Report) error {
	d := r.Session.Design
	var b strings.Builder
	metric, _, _ := strings.Cut(d.Metrics[0].Name, "(")
	bench := "Benchmark" + camel(metric) + "/scenario=" + d.Scenario + "/window=" + d.Window
	unit, better := d.Metrics[0].Unit, "higher"
	if d.Metrics[0].Lower {
		better = "lower"
	}
	if unit == "s" {
		unit = "sec/op"
	}
	fmt.Fprintf(&b, "Unit %s better=%s\n", unit, better)
	for _, p := range r.Pairs {
		if p.Void != "" {
			continue
		}
		for _, side := range []struct {
			side  gate.Side
			value float64
		}{{gate.Base, p.Base}, {gate.Head, p.Head}} {
			times := 1.0
			if unit == "hashes/s" {
				times = max(1, math.Round(side.value*d.BlockS))
			}
			fmt.Fprintf(&b, "%s/side=%s %.0f %.6g %s\n", bench, side.side, times, side.value, unit)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// camel is hash_rate as HashRate.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		b.WriteString(upperFirst(part))
	}
	return b.String()
}

// means are those of each side over the sound pairs, and head's interval by the sequence; ok: there is a pair.
func means(r gate.Report) (base, head, low, high float64, ok bool) {
	n := 0.0
	for _, p := range r.Pairs {
		if p.Void == "" {
			base, head, n = base+p.Base, head+p.Head, n+1
		}
	}
	if n == 0 {
		return 0, 0, 0, 0, false
	}
	base, head = base/n, head/n
	low, high = head, head
	if m := r.Verdict.Metrics[0]; m.Low != nil {
		low, high = base*(1+*m.Low), base*(1+*m.High)
		if m.Difference {
			low, high = base+*m.Low, base+*m.High
		}
	}
	return base, head, low, high, true
}

// seriesName is short and the same for all gates of a series.
func seriesName(r gate.Report) string {
	return r.Session.Design.Scenario + "/" + r.Session.Design.Window
}

// gateBMF writes head's rate as Bencher's metric format.
func gateBMF(w io.Writer, r gate.Report) error {
	out := map[string]any{}
	if _, head, low, high, ok := means(r); ok {
		m := r.Session.Design.Metrics[0]
		measure := "throughput"
		switch {
		case m.Difference:
			measure, _, _ = strings.Cut(m.Name, "(")
		case m.Lower:
			measure = "latency"
		}
		out[seriesName(r)] = map[string]any{measure: map[string]float64{"value": rounded(head), "lower_value": rounded(low),
			"upper_value": rounded(high)}}
	}
	return indented(w, out)
}

// rounded has five digits: a difference below them is noise, which readers that compare texts would call a change.
func rounded(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// gateAction writes head's rate for github-action-benchmark, as customBiggerIsBetter or customSmallerIsBetter reads it. Its own alert
// knows no
// noise: 500 % keeps it quiet.
func gateAction(w io.Writer, r gate.Report) error {
	type entry struct {
		Name  string  `json:"name"`
		Unit  string  `json:"unit"`
		Value float64 `json:"value"`
		Range string  `json:"range"`
		Extra string  `json:"extra"`
	}
	all := []entry{}
	if _, head, low, high, ok := means(r); ok {
		all = append(all, entry{seriesName(r), r.Session.Design.Metrics[0].Unit, rounded(head), fmt.Sprintf("%.4g to %.4g", low, high),
			string(r.Verdict.Outcome) + ": " + r.Verdict.Why})
	}
	return indented(w, all)
}

// gateMetrics writes the gate as OpenMetrics, which Prometheus' textfile collector and GitLab's metrics report read.
func gateMetrics(w io.Writer, r gate.Report) error {
	var b strings.Builder
	d := r.Session.Design
	label := func(more ...string) string {
		pairs := append([]string{"scenario", d.Scenario, "window", d.Window, "cluster", d.Cluster}, more...)
		var parts []string
		for i := 0; i < len(pairs); i += 2 {
			value, _ := json.Marshal(pairs[i+1]) // of a text, which does not fail
			parts = append(parts, pairs[i]+"="+string(value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	family := func(name, help string) { fmt.Fprintf(&b, "# TYPE %s gauge\n# HELP %s %s\n", name, name, help) }
	sample := func(name, labels string, v float64) { fmt.Fprintf(&b, "%s%s %g\n", name, labels, v) }
	if base, head, _, _, ok := means(r); ok {
		m := r.Verdict.Metrics[0]
		name, doc, same := "coinbench_gate_ratio", "Head over base.", 1.0
		if m.Difference {
			name, doc, same = "coinbench_gate_difference", "Head less base, of "+m.Name+".", 0
		}
		family(name, doc)
		sample(name, label(), rounded(same+*m.Change))
		if m.Low != nil {
			family(name+"_lower", "Lower end of the sequence's 95 % interval.")
			sample(name+"_lower", label(), rounded(same+*m.Low))
			family(name+"_upper", "Upper end of the sequence's 95 % interval.")
			sample(name+"_upper", label(), rounded(same+*m.High))
		}
		if m.Unit == "hashes/s" {
			family("coinbench_hash_rate", "Hashes per second, in the mean over the pairs.")
			sample("coinbench_hash_rate", label("side", "base"), rounded(base))
			sample("coinbench_hash_rate", label("side", "head"), rounded(head))
		}
	}
	family("coinbench_gate_pairs", "Sound pairs of the sequence.")
	sample("coinbench_gate_pairs", label(), float64(r.Verdict.Pairs))
	family("coinbench_gate_verdict", "1 for the verdict.")
	for _, o := range []capacity.Outcome{capacity.OutcomePass, capacity.OutcomeFail, capacity.OutcomeInconclusive, capacity.OutcomeInvalid} {
		v := 0.0
		if o == r.Verdict.Outcome {
			v = 1
		}
		sample("coinbench_gate_verdict", label("verdict", strings.ToLower(string(o))), v)
	}
	family("coinbench_aa_false_ratio", "Share of gates of identical code that failed, at most, with 95 % confidence; 1 where there was none.")
	sample("coinbench_aa_false_ratio", label("source", "free"), rounded(r.Free.Bound))
	sample("coinbench_aa_false_ratio", label("source", "asked"), rounded(r.Asked.Bound))
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// badge is what a badge says and its colour.
func badge(r gate.Report) (label, message, color string) {
	m := r.Session.Design.Metrics[0]
	label = m.Unit
	_, head, _, _, ok := means(r)
	value := "–"
	if ok {
		value = figures(head)
	}
	if m.Difference {
		label, _, _ = strings.Cut(m.Name, "(")
		label = strings.ReplaceAll(label, "_", " ")
		if ok {
			value = valueOf(m, head)
		}
	}
	switch r.Verdict.Outcome {
	case capacity.OutcomePass:
		return label, fmt.Sprintf("%s, no loss of %s", value, m.Amount(m.Rule(r.Session.Design.Rule).Detect)), "brightgreen"
	case capacity.OutcomeFail:
		return label, value + ", " + r.Verdict.Metrics[0].Text(), "red"
	}
	return label, value + ", " + strings.ToLower(string(r.Verdict.Outcome)), "lightgrey"
}

// gateBadge writes what shields.io makes a badge of.
func gateBadge(w io.Writer, r gate.Report) error {
	label, message, color := badge(r)
	return indented(w, struct {
		Version int    `json:"schemaVersion"`
		Label   string `json:"label"`
		Message string `json:"message"`
		Color   string `json:"color"`
	}{1, label, message, color})
}

// gateBadgeSVG draws the badge.
func gateBadgeSVG(w io.Writer, r gate.Report) error {
	label, message, color := badge(r)
	fill := map[string]string{"brightgreen": "#2f7d32", "red": "#b3261e", "lightgrey": "#5f6368"}[color]
	const height, letter, room = 20, 6.6, 12
	left, right := float64(runes(label))*letter+room, float64(runes(message))*letter+room
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" role="img" aria-label="%s: %s">`+
		`<rect width="%.0f" height="%d" fill="#3c4043"/><rect x="%.0f" width="%.0f" height="%d" fill="%s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">`+
		`<text x="%.1f" y="14">%s</text><text x="%.1f" y="14">%s</text></g></svg>`+"\n",
		left+right, height, html.EscapeString(label), html.EscapeString(message), left, height, left, right, height, fill, left/2,
		html.EscapeString(label), left+right/2, html.EscapeString(message))
	return err
}
