package reports

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
)

// mostFailureGroups is how many groups of failed requests a report names.
const mostFailureGroups = 8

// rolloutSummary is a rollout or a fault in a sentence.
func rolloutSummary(r *capacity.Disturbance) string {
	var parts []string
	if r.State != "" {
		s := r.State.Words()
		if r.DurationS != nil {
			s += " in " + capacity.FormatSeconds(*r.DurationS)
		}
		parts = append(parts, s)
	}
	if r.Replaced > 0 {
		parts = append(parts, plural(r.Replaced, "task")+" new")
	}
	parts = append(parts, fmt.Sprintf("at least %d of %d replicas served", r.LeastServing, r.Replicas))
	if r.MixedS > 0 {
		parts = append(parts, "two versions for "+capacity.FormatSeconds(r.MixedS))
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

// rolloutBack is a rollback in its parts; "" when there was none.
func rolloutBack(r *capacity.Disturbance) string {
	if r.Back == nil {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		what string
		at   *float64
	}{{"first bad answer", r.Back.FirstBadS}, {"detected", r.Back.DetectedS}, {"triggered", r.Back.TriggeredS}, {"last bad answer",
		r.Back.LastBadS}, {"all old", r.Back.AllOldS}} {
		if p.at == nil {
			parts = append(parts, p.what+" –")
		} else {
			parts = append(parts, p.what+" "+capacity.FormatSeconds(max(0, *p.at-r.BeginS)))
		}
	}
	return "since its begin: " + strings.Join(parts, ", ")
}

// rolloutReason is the first line of why a rollout did not complete, or what a canary showed.
func rolloutReason(r *capacity.Disturbance) string {
	first, _, _ := strings.Cut(r.Reason, "\n")
	return strings.TrimSuffix(first, "; its last lines:")
}

func rolloutTable(all []capacity.Disturbance) Table {
	rows := Table{{"rollout ", "load ", "requests", "failed", "available", "shown", "p99 before", "during", "after", "max gap"}}
	p99 := func(l *capacity.Latency) string {
		if l == nil {
			return "–"
		}
		return atLeast(l, 99, l.P99S)
	}
	for _, r := range all {
		for _, l := range r.Loads {
			rows = append(rows, []string{r.Name, l.Load, fmt.Sprint(l.Requests), fmt.Sprint(l.Failed), floored(l.Available.Share), "≥ " +
				floored(l.Available.AtLeast),
				p99(l.Before), p99(l.During), p99(l.After), capacity.FormatSeconds(l.MaxGapS)})
		}
	}
	return rows
}

// floored is a share in percent, cut off and not rounded: 100 % is a claim.
func floored(v float64) string {
	return strconv.FormatFloat(math.Floor(v*1e6+1e-6)/1e4, 'f', -1, 64) + " %"
}

// failureGroups are what failed, in words, the most first.
func failureGroups(r *capacity.Disturbance) (lines []string) {
	for _, l := range r.Loads {
		if l.Basis == capacity.FromSeconds {
			lines = append(lines, l.Load+": more requests than were kept one by one, and no instants of events are in its record: its begin and "+
				"end are known to the second")
		}
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
func rolloutNotes(r *capacity.Disturbance) (lines []string) {
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
		t.table(rows, "  ")
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
		b.WriteString("\n" + rows.Markdown())
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
		b.WriteString(`<div class="scroll">` + rows.html(dress{}) + "</div>")
	}
	for _, s := range availabilities(a) {
		b.WriteString("<p>" + esc(s) + ".</p>")
	}
	return b.String()
}

// rolloutChart is a load over time: what was answered, by version, and what failed, by class, with the rollouts as bands.
func rolloutChart(a *capacity.Analysis) (chart, bool) {
	c := chart{title: "Requests through rollouts and faults", x: axis{label: "time since the start of the run (s)"},
		y: axis{label: "requests/s"},
		desc: "Requests answered per second, stacked by version, and above them those that failed, by class; those without an answer where " +
			"they fell due. Bands are rollouts and faults; the strips below are the replicas in rotation, by version."}
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
	versions := versionShades(f)
	base := map[int]float64{}
	stack := func(name string, color shade, bins []float64, word string) {
		s := series{name: name, kind: area, color: color, until: f.EndS}
		for j, y := range bins {
			x := f.BeginS + float64(j)*f.BinS
			p := xy{x: x, y: base[j] + y, y2: base[j]}
			if y > 0 {
				p.text = fmt.Sprintf("%.1f s: %s/s %s", x, figures(y), word)
			}
			s.xy = append(s.xy, p)
			base[j] += y
			c.y.max = max(c.y.max, base[j])
		}
		c.series = append(c.series, s)
	}
	for _, v := range slices.SortedFunc(maps.Keys(f.Answered), byVersion) {
		name := v
		if name == "" {
			name = "version unknown"
		}
		stack("answered by "+name, versions[v], f.Answered[v], "by "+name)
	}
	failed := lane{name: "failed"}
	k := 0
	for _, class := range history.Classes() {
		if bins := f.Failed[class]; bins != nil {
			stack("failed: "+string(class), []shade{vermilion, "#8f1d14", "#e58a82", "#5a2d2a"}[k%4], bins, string(class))
			k++
			for j, y := range bins { // a few of many are seen here and not above
				if x := f.BeginS + float64(j)*f.BinS; y > 0 {
					failed.parts = append(failed.parts, part{from: x, to: x + f.BinS, text: fmt.Sprintf("%s/s %s", figures(y), class), color: vermilion})
				}
			}
		}
	}
	c.y.max = max(c.y.max*1.15, 1)
	if len(failed.parts) > 0 {
		c.lanes = append(c.lanes, failed)
	}
	for _, s := range f.Stints {
		if n := len(c.lanes); n == 0 || c.lanes[n-1].name != s.Replica {
			c.lanes = append(c.lanes, lane{name: s.Replica})
		}
		l := &c.lanes[len(c.lanes)-1]
		l.parts = append(l.parts, part{from: s.FromS, to: s.ToS, text: s.Version, color: versions[s.Version]})
	}
	for i := range a.Rollouts {
		r := &a.Rollouts[i]
		if r.Service != f.Service {
			continue
		}
		c.bands = append(c.bands, capacity.Band{BeginS: r.BeginS, EndS: r.EndS, Verb: r.Verb, Name: r.Name, Title: r.Title})
		for _, m := range r.Marks {
			switch p := m.Payload.(type) {
			case event.RolloutSwitch, event.RolloutJudged:
				c.marks = append(c.marks, mark{m.AtS, m.Text})
			case event.RolloutBegin:
				if p.Rollback {
					c.marks = append(c.marks, mark{m.AtS, "rolled back"})
				}
			}
		}
		if len(r.Marks) == 0 { // a fault
			c.marks = append(c.marks, mark{r.BeginS, r.Title})
		}
	}
	c.table, c.again = rolloutTable(a.Rollouts), true
	return c, true
}

// versionShades gives each version of a flow, one that only served and one that only answered included, a colour of its own.
func versionShades(f capacity.Flow) map[string]shade {
	seen := map[string]bool{}
	for v := range f.Answered {
		seen[v] = true
	}
	for _, s := range f.Stints {
		seen[s.Version] = true
	}
	all := map[string]shade{}
	colors := distinct(len(seen))
	for i, v := range slices.SortedFunc(maps.Keys(seen), byVersion) {
		all[v] = colors[i]
	}
	return all
}

// byVersion orders versions as people count them: v2 before v10.
func byVersion(a, b string) int {
	for a != "" && b != "" {
		x, restA := leadingNumber(a)
		y, restB := leadingNumber(b)
		if x >= 0 && y >= 0 {
			if x != y {
				return cmp.Compare(x, y)
			}
			a, b = restA, restB
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// leadingNumber is the number that s begins with, and what follows; -1: it begins with none.
func leadingNumber(s string) (int, string) {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, err := strconv.Atoi(s[:n])
	if err != nil {
		return -1, s
	}
	return v, s[n:]
}
