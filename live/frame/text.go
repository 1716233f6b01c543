package frame

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"coinbench/internal/visible"
)

const (
	heading  = 11 // columns
	minSpark = 8
)

// Text is a frame in a few lines of at most so many columns, without line ends: the rate of work and of answers, replicas, stations, what
// is judged so far, and what happened last. recent are the newest points. What there is no room for is left out at the end of its line.
func (f Frame) Text(recent []Point, columns int) []string {
	var lines []string
	add := func(head string, parts ...string) {
		if line := row(columns, head, parts); line != "" {
			lines = append(lines, line)
		}
	}
	spark := func(value func(Point) *float64) { // fills the last line up
		if room := columns - runes(lines[len(lines)-1]) - 2; room >= minSpark {
			lines[len(lines)-1] += "  " + sparkline(recent, min(room, 60), value)
		}
	}
	rate := func(p Point) *float64 { return p.Rate }
	if n := f.Now; n.Rate != nil {
		add(f.Run.Unit+"/s", fmt.Sprintf("%-4s", visible.Figures(*n.Rate)))
		spark(rate)
	}
	if n := f.Now; len(f.Loads) > 0 {
		parts := []string{"no load now"}
		if n.OKPerS != nil {
			parts = []string{visible.Figures(*n.OKPerS) + " ok/s"}
			if n.P99S != nil {
				parts = append(parts, "p50 "+visible.Seconds(*n.P50S), "p99 "+visible.Seconds(*n.P99S))
			}
		}
		parts = append(parts, fmt.Sprintf("%d failed", n.Failed))
		if n.LagS != nil {
			parts = append(parts, "lag p99 "+visible.Seconds(*n.LagS))
		}
		if add("requests", parts...); n.Rate == nil {
			spark(answered)
		}
	}
	add("replicas", f.replicas()...)
	add("stations", f.stations()...)
	if j := f.Judged; j != nil {
		if len(j.Invalid) > 0 {
			add("INVALID", j.Invalid[0])
		}
		for _, w := range slices.Backward(j.Windows) {
			if w.Limit != "" {
				text := strings.ReplaceAll(w.Limit, "+", " and ") + " in " + w.Name
				if w.PerS != nil {
					text += fmt.Sprintf(": %s %s/s", visible.Figures(*w.PerS), f.Run.Unit)
				}
				add("limited by", text)
				break
			}
		}
		add("objectives", j.counts()...)
	}
	if k := len(f.Marks); k > 0 {
		m := f.Marks[k-1]
		at := int(m.AtS)
		add("last", fmt.Sprintf("%d:%02d %s", at/60, at%60, m.Text))
	}
	return lines
}

// replicas are those that serve, of how many that are to, the app's own chain first.
func (f Frame) replicas() (parts []string) {
	rank := map[string]int{f.Run.Driver: -1 - len(f.Run.Stations)}
	for i, name := range f.Run.Stations {
		rank[name] = i - len(f.Run.Stations)
	}
	services := slices.SortedStableFunc(slices.Values(f.Services), func(a, b Service) int { return cmp.Compare(rank[a.Name], rank[b.Name]) })
	for _, s := range services {
		text := fmt.Sprintf("%s %d", s.Name, s.Serving)
		if s.Serving < s.Asked {
			text += fmt.Sprintf(" of %d", s.Asked)
		}
		if len(s.Versions) > 1 {
			var all []string
			for _, v := range slices.Sorted(maps.Keys(s.Versions)) {
				all = append(all, fmt.Sprintf("%d × %s", s.Versions[v], cmp.Or(v, "no version")))
			}
			text += " (" + strings.Join(all, ", ") + ")"
		}
		if s.Name == f.Run.Driver && f.Now.Away > 0 {
			text += fmt.Sprintf(" (%d wait after an error)", f.Now.Away)
		}
		parts = append(parts, text)
	}
	return parts
}

// stations are how busy the services are, the fullest first.
func (f Frame) stations() (parts []string) {
	services := slices.DeleteFunc(slices.Clone(f.Services), func(s Service) bool { return s.Busy == nil })
	slices.SortStableFunc(services, func(a, b Service) int { return cmp.Compare(*b.Busy, *a.Busy) })
	for _, s := range services {
		text := fmt.Sprintf("%s %.0f %%", s.Name, *s.Busy*100)
		if s.Queue != nil && *s.Queue >= .5 {
			text += fmt.Sprintf(", %.0f waiting", *s.Queue)
		}
		parts = append(parts, text)
	}
	return parts
}

// counts are how many objectives hold, fail, and are not known.
func (j *Judged) counts() (parts []string) {
	n := map[string]int{}
	for _, o := range j.Objectives {
		n[o.Result]++
	}
	for _, c := range [][3]string{
		{"fail", "%d fails", "%d fail"}, {"pass", "%d holds", "%d hold"}, {"unknown", "%d not known yet", "%d not known yet"},
	} {
		switch k := n[c[0]]; k {
		case 0:
		case 1:
			parts = append(parts, fmt.Sprintf(c[1], k))
		default:
			parts = append(parts, fmt.Sprintf(c[2], k))
		}
	}
	return parts
}

// row is a line of parts, as many as there is room for; "" without any.
func row(columns int, head string, parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	line := fmt.Sprintf("%-*s%s", heading, Cut(visible.Text(head, visible.Nothing), heading-1), visible.Text(parts[0], visible.Nothing))
	if len(parts) == 1 || runes(line) > columns-2 {
		return Cut(line, columns)
	}
	for i, part := range parts[1:] {
		room := columns - 2
		if i == len(parts)-2 {
			room = columns
		}
		longer := line + "  " + visible.Text(part, visible.Nothing)
		if runes(longer) > room {
			return line + " …"
		}
		line = longer
	}
	return line
}

// Cut is as much of a text as has room in so many columns.
func Cut(text string, columns int) string {
	if runes(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(0, columns-1)]) + "…"
}

func runes(s string) int { return len([]rune(s)) }

// answered is how many requests a second succeeded.
func answered(p Point) *float64 {
	if len(p.Traffic) == 0 {
		return nil
	}
	n := 0.0
	for _, t := range p.Traffic {
		n += float64(t.OK)
	}
	n /= float64(p.WidthS)
	return &n
}

// sparkline draws the last points that are known, from 0 to the highest of them; one that is not known is a blank.
func sparkline(points []Point, width int, value func(Point) *float64) string {
	end := len(points)
	for end > 0 && value(points[end-1]) == nil {
		end--
	}
	points = points[max(0, end-width):end]
	most := 0.0
	for _, p := range points {
		if v := value(p); v != nil {
			most = max(most, *v)
		}
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	out := make([]rune, 0, len(points))
	for _, p := range points {
		switch v := value(p); {
		case v == nil:
			out = append(out, ' ')
		case most == 0:
			out = append(out, levels[0])
		default:
			out = append(out, levels[int(math.Round(max(0, *v)/most*float64(len(levels)-1)))])
		}
	}
	return string(out)
}
