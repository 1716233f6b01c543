package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
)

// mostFailureGroups is how many groups of failed requests a report names.
const mostFailureGroups = 8

// rolloutSummary is a rollout or a fault in a sentence.
func rolloutSummary(r *capacity.Rollout) string {
	var parts []string
	if r.State != "" {
		s := strings.ReplaceAll(r.State, "_", " ")
		if r.DurationS != nil {
			s += " in " + lasting(*r.DurationS)
		}
		parts = append(parts, s)
	}
	if r.Replaced > 0 {
		parts = append(parts, plural(r.Replaced, "task")+" new")
	}
	parts = append(parts, fmt.Sprintf("at least %d of %d replicas served", r.LeastServing, r.Replicas))
	if r.MixedS > 0 {
		parts = append(parts, "two versions for "+lasting(r.MixedS))
	}
	if r.ExtraReplicaS >= .05 {
		parts = append(parts, figures(r.ExtraReplicaS)+" replica-seconds more")
	}
	if r.HashesLost != nil {
		n, than := *r.HashesLost, "fewer"
		if n < 0 {
			n, than = -n, "more"
		}
		parts = append(parts, figures(n)+" hashes "+than+" than at the rate before")
	}
	return strings.Join(parts, "; ")
}

// lasting is a length of time: milliseconds below a second.
func lasting(s float64) string {
	if s < 1 {
		return ms(s)
	}
	return figures(s) + " s"
}

// rolloutBack is a rollback in its parts; "" when there was none.
func rolloutBack(r *capacity.Rollout) string {
	if r.Back == nil {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		what string
		at   *float64
	}{{"first bad answer", r.Back.FirstBadS}, {"detected", r.Back.DetectedS}, {"triggered", r.Back.TriggeredS}, {"last bad answer", r.Back.LastBadS}, {"all old", r.Back.AllOldS}} {
		if p.at == nil {
			parts = append(parts, p.what+" –")
		} else {
			parts = append(parts, p.what+" "+lasting(max(0, *p.at-r.BeginS)))
		}
	}
	return "since its begin: " + strings.Join(parts, ", ")
}

// rolloutReason is the first line of why a rollout did not complete, or what a canary showed.
func rolloutReason(r *capacity.Rollout) string {
	first, _, _ := strings.Cut(r.Reason, "\n")
	return strings.TrimSuffix(first, "; its last lines:")
}

func rolloutTable(all []capacity.Rollout) [][]string {
	rows := [][]string{{"rollout ", "load ", "requests", "failed", "available", "proven", "p99 before", "during", "after", "max gap"}}
	p99 := func(l *capacity.Latency) string {
		if l == nil {
			return "–"
		}
		return ms(l.P99S)
	}
	for _, r := range all {
		for _, l := range r.Loads {
			rows = append(rows, []string{r.Name, l.Load, fmt.Sprint(l.Requests), fmt.Sprint(l.Failed), floored(l.Available.Share), "≥ " + floored(l.Available.AtLeast),
				p99(l.Before), p99(l.During), p99(l.After), ms(l.MaxGapS)})
		}
	}
	return rows
}

// floored is a share in percent, cut off and not rounded: 100 % is a claim.
func floored(v float64) string {
	return strconv.FormatFloat(math.Floor(v*1e6+1e-6)/1e4, 'f', -1, 64) + " %"
}

// failureGroups are what failed, in words, the most first.
func failureGroups(r *capacity.Rollout) (lines []string) {
	for _, l := range r.Loads {
		for i, g := range l.Failures {
			if i == mostFailureGroups {
				n := int64(0)
				for _, rest := range l.Failures[i:] {
					n += rest.Count
				}
				lines = append(lines, fmt.Sprintf("%s: %d more in %s", l.Load, n, plural(len(l.Failures)-i, "group")))
				break
			}
			lines = append(lines, l.Load+": "+g.Text)
		}
	}
	return lines
}

// rolloutNotes are the lines below a rollout's summary.
func rolloutNotes(r *capacity.Rollout) (lines []string) {
	for _, s := range []string{rolloutReason(r), rolloutBack(r)} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	return append(lines, failureGroups(r)...)
}

// availabilities says what each load that met a rollout proves.
func availabilities(a *capacity.Analysis) (lines []string) {
	for _, f := range a.Flows {
		if l := a.Load(f.Load); l != nil {
			lines = append(lines, l.Name+": "+l.Available.Text)
		}
	}
	return lines
}

func (t *textWriter) rollouts(a *capacity.Analysis) {
	if len(a.Rollouts) == 0 {
		return
	}
	t.heading("Rollouts and faults")
	for i := range a.Rollouts {
		r := &a.Rollouts[i]
		t.line("  %s: %s: %s", t.style("1", r.Name), r.Title, rolloutSummary(r))
		for _, s := range rolloutNotes(r) {
			t.line("    %s", s)
		}
	}
	if rows := rolloutTable(a.Rollouts); len(rows) > 1 {
		t.b.WriteString(columns(rows, "  "))
	}
	for _, s := range availabilities(a) {
		t.line("  %s", s)
	}
}

func markdownRollouts(a *capacity.Analysis) string {
	if len(a.Rollouts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n### Rollouts and faults\n\n")
	for i := range a.Rollouts {
		r := &a.Rollouts[i]
		fmt.Fprintf(&b, "- **%s**: %s: %s\n", markdownText(r.Name), markdownText(r.Title), markdownText(rolloutSummary(r)))
		for _, s := range rolloutNotes(r) {
			fmt.Fprintf(&b, "  - %s\n", markdownText(s))
		}
	}
	if rows := rolloutTable(a.Rollouts); len(rows) > 1 {
		b.WriteString("\n" + markdownTable(rows))
	}
	for _, s := range availabilities(a) {
		fmt.Fprintf(&b, "\n%s.\n", markdownText(s))
	}
	return b.String()
}

func htmlRollouts(a *capacity.Analysis) string {
	if len(a.Rollouts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("<ul>")
	for i := range a.Rollouts {
		r := &a.Rollouts[i]
		fmt.Fprintf(&b, "<li><strong>%s</strong>: %s: %s", esc(r.Name), esc(r.Title), esc(rolloutSummary(r)))
		if notes := rolloutNotes(r); len(notes) > 0 {
			b.WriteString("<ul>")
			for _, s := range notes {
				b.WriteString("<li>" + esc(s) + "</li>")
			}
			b.WriteString("</ul>")
		}
		b.WriteString("</li>")
	}
	b.WriteString("</ul>")
	if rows := rolloutTable(a.Rollouts); len(rows) > 1 {
		b.WriteString(`<div class="scroll">` + htmlTable(rows, nil) + "</div>")
	}
	for _, s := range availabilities(a) {
		b.WriteString("<p>" + esc(s) + ".</p>")
	}
	return b.String()
}

// rolloutChart is a load over time: what was answered, by version, and what failed, by class, with the rollouts as bands.
func rolloutChart(a *capacity.Analysis) (chart, bool) {
	c := chart{id: "rollouts", title: "Requests through rollouts and faults", x: axis{label: "time since the start of the run (s)"}, y: axis{label: "requests/s"},
		desc: "Requests answered per second, by version, and those that failed, stacked by class. Bands are rollouts and faults; the strips below are the replicas in rotation, by version."}
	if len(a.Flows) == 0 {
		return c, false
	}
	f := a.Flows[0]
	for _, other := range a.Flows { // an open load shows what a closed one hides
		if l := a.Load(other.Load); l != nil && !l.Closed {
			f = other
			break
		}
	}
	c.title += ": " + f.Load
	c.x.min, c.x.max = 0, max(a.Run.LengthS, 1)
	versions := slices.Sorted(maps.Keys(f.Answered))
	for i, v := range versions {
		name := v
		if name == "" {
			name = "version unknown"
		}
		s := series{name: "answered by " + name, kind: stairs, color: []int{blue, green, purple, orange}[i%4]}
		last := 0.0
		for j, y := range f.Answered[v] {
			x := f.BeginS + float64(j)*f.BinS
			if y == last && j > 0 {
				continue // nothing new
			}
			last = y
			s.xy = append(s.xy, xy{x: x, y: y, text: fmt.Sprintf("%.1f s: %s/s by %s", x, figures(y), name)})
			c.y.max = max(c.y.max, y)
		}
		s.xy = append(s.xy, xy{x: f.BeginS + float64(len(f.Answered[v]))*f.BinS, y: last})
		c.series = append(c.series, s)
	}
	base := map[int]float64{}
	k := 0
	for _, class := range history.Classes() {
		bins := f.Failed[class]
		if bins == nil {
			continue
		}
		s := series{name: "failed: " + string(class), kind: span, color: []int{vermilion, orange, purple, grey}[k%4]}
		k++
		for j, y := range bins {
			if y == 0 {
				continue
			}
			x := f.BeginS + (float64(j)+.5)*f.BinS
			s.xy = append(s.xy, xy{x: x, y: base[j], y2: base[j] + y, text: fmt.Sprintf("%.1f s: %s/s %s", x, figures(y), class)})
			base[j] += y
			c.y.max = max(c.y.max, base[j])
		}
		c.series = append(c.series, s)
	}
	c.y.max = max(c.y.max*1.15, 1)
	for i := range a.Rollouts {
		r := &a.Rollouts[i]
		if r.Service != f.Service {
			continue
		}
		c.bands = append(c.bands, capacity.Band{BeginS: r.BeginS, EndS: r.EndS, Verb: r.Verb, Name: r.Name, Title: r.Name})
		for _, m := range r.Marks {
			switch history.EventKind(m.Kind) {
			case history.RolloutSwitch, history.RolloutJudged:
				c.marks = append(c.marks, mark{m.AtS, m.Text})
			case history.RolloutBegin:
				if m.Text == "back" {
					c.marks = append(c.marks, mark{m.AtS, "rolled back"})
				}
			}
		}
		if r.Verb == "kill" || r.Verb == "pause" || r.Verb == "slow" {
			c.marks = append(c.marks, mark{r.BeginS, r.Title})
		}
	}
	c.table = rolloutTable(a.Rollouts)
	return c, true
}
