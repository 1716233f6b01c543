package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
)

// SearchedLevel is one point of a search's curve.
type SearchedLevel struct {
	Level   float64          `json:"level"`             // requests per second, or clients
	Verdict string           `json:"verdict,omitempty"` // meets, fails or undecided, of one that was tested
	Blocks  int              `json:"blocks"`
	Met     int              `json:"met"` // blocks that met the objectives
	PerS    float64          `json:"ok_per_s"`
	Total   history.Interval `json:"-"`
	Why     string           `json:"why,omitempty"` // of the last block that did not meet them
}

// Searched is the end of a search.
type Searched struct {
	URL        string
	Objectives string
	Clients    bool            // levels are clients, not requests per second
	Level      float64         // the greatest that was shown to meet the objectives; 0: none was
	Above      float64         // the least that was shown not to; 0: none was
	Confidence float64         // that both are right
	Tested     int             // levels that were tested for it
	Stopped    string          // why it ended before it had both; empty: it had
	Repeated   int             // blocks that were played again because the generator was at fault
	Curve      []SearchedLevel // by level
}

// SearchText writes a search for a terminal: the answer, then the curve.
func SearchText(w io.Writer, s Searched, o TextOptions) error {
	t := newTextWriter(o)
	t.line("%s", t.style("1", s.Answer()))
	if len(s.Curve) > 0 {
		t.heading("Curve")
		unit := "rate"
		if s.Clients {
			unit = "clients"
		}
		rows := Table{{unit, "shown", "met", "ok/s", "p50", "p90", "p99", "max", "failed", "why not "}}
		for _, p := range s.Curve {
			row := []string{s.level(p.Level), cmp.Or(p.Verdict, "–"), fmt.Sprintf("%d of %d", p.Met, p.Blocks), figures(p.PerS), "–", "–", "–",
				"–", share(p.Total.Due-p.Total.OK, p.Total.Due), p.Why}
			if l := capacity.HistogramLatency(p.Total.Response, p.Total.GivenUp); l != nil {
				row[4], row[5], row[6], row[7] = atLeast(l, 50, l.P50S), atLeast(l, 90, l.P90S), atLeast(l, 99, l.P99S), atLeast(l, 100, l.MaxS)
			}
			rows = append(rows, row)
		}
		t.table(rows, "  ")
		t.line("  Times are response times, from due to done, of all blocks of a level together. Met: blocks that met the objectives, each on " +
			"its own; shown: what all blocks of a tested level show together.")
	}
	if s.Repeated > 0 {
		t.line("  %s said nothing, because the generator was at fault, and were played again: a quieter machine needs none.",
			plural(s.Repeated, "block"))
	}
	return t.flush(w)
}

// Answer is the result in one sentence, with what it is worth.
func (s Searched) Answer() string {
	meets, not := "meets", "does not"
	if s.Clients && s.Level > 1 {
		meets = "meet"
	}
	if s.Clients && s.Above > 1 {
		not = "do not"
	}
	worth := fmt.Sprintf("confidence %s, %s tested", capacity.ConfidenceText(s.Confidence), plural(s.Tested, "level"))
	switch {
	case s.Level == 0 && s.Above > 0:
		return fmt.Sprintf("No level was found that meets %s at %s; %s %s (%s): %s.", s.Objectives, s.URL, s.amount(s.Above), not, worth,
			s.Stopped)
	case s.Level == 0:
		return fmt.Sprintf("No answer for %s at %s: %s.", s.Objectives, s.URL, s.Stopped)
	case s.Stopped != "":
		return fmt.Sprintf("At least %s %s %s at %s (%s); no more is known: %s.", s.amount(s.Level), meets, s.Objectives, s.URL, worth, s.Stopped)
	}
	return fmt.Sprintf("%s %s %s at %s; %s %s (%s for both).", s.amount(s.Level), meets, s.Objectives, s.URL, s.amount(s.Above), not, worth)
}

func (s Searched) level(v float64) string {
	if s.Clients {
		return whole(v)
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + "/s"
}

func (s Searched) amount(v float64) string {
	if s.Clients {
		return plural(int(v), "client")
	}
	return s.level(v)
}

// searchUnit is what the levels of a search count.
func searchUnit(a *capacity.Analysis, s capacity.Search) string {
	for _, l := range a.Loads {
		if l.Closed && strings.HasPrefix(l.Name, s.Name+"/") && !strings.HasSuffix(l.Name, "/probe") {
			return "clients"
		}
	}
	return "requests/s"
}

// searchChart is what the first search of a run measured at each level, the longest load of each, with the levels of its answer.
func searchChart(a *capacity.Analysis) (chart, bool) {
	var c chart
	if len(a.Searches) == 0 {
		return c, false
	}
	s := a.Searches[0]
	c.title = "Response time at the levels of " + s.Label()
	c.desc = "Of each level the longest load. The broken lines are the answer: the greatest level that was shown to meet " + s.SLO +
		", and the least that was shown not to."
	c.x.label = searchUnit(a, s)
	c.x.whole = c.x.label == "clients"
	type point struct {
		level float64
		load  capacity.LoadResult
	}
	var all []point
	for _, l := range a.Told() {
		if level, err := strconv.ParseFloat(strings.TrimPrefix(l.Name, s.Name+"/"), 64); err == nil && l.Response != nil {
			all = append(all, point{level, l})
		}
	}
	if len(all) < 2 {
		return c, false
	}
	slices.SortFunc(all, func(a, b point) int { return cmp.Compare(a.level, b.level) })
	for _, p := range all {
		c.y.max = max(c.y.max, p.load.Response.MaxS)
	}
	u := scaleFor(c.y.max)
	c.y.label = "response time (" + u.unit + ")"
	bars, tail, half := series{name: "p90 to slowest", kind: span, color: blue}, series{name: "p99", kind: diamond, color: orange},
		series{name: "median", kind: linked, color: blue}
	c.table = Table{{c.x.label, "requests", "median (" + u.unit + ")", "p90", "p99", "slowest"}}
	for _, p := range all {
		r := p.load.Response
		text := fmt.Sprintf("%.4g %s: %s, median %s, p90 %s, p99 %s, slowest %s", p.level, c.x.label, plural(int(p.load.Requests), "request"),
			atLeast(r, 50, r.P50S), atLeast(r, 90, r.P90S), atLeast(r, 99, r.P99S), atLeast(r, 100, r.MaxS))
		bars.xy = append(bars.xy, xy{x: p.level, y: r.P90S * u.perS, y2: r.MaxS * u.perS, text: text})
		tail.xy = append(tail.xy, xy{x: p.level, y: r.P99S * u.perS, text: text})
		half.xy = append(half.xy, xy{x: p.level, y: r.P50S * u.perS, text: text})
		c.table = append(c.table, []string{strconv.FormatFloat(p.level, 'g', 4, 64), strconv.FormatInt(p.load.Requests, 10),
			figures(r.P50S * u.perS), figures(r.P90S * u.perS), figures(r.P99S * u.perS), figures(r.MaxS * u.perS)})
	}
	c.x.max, c.y.max = all[len(all)-1].level*1.05, c.y.max*u.perS*1.15
	c.series = []series{bars, tail, half}
	for _, at := range []struct {
		level float64
		name  string
		color shade
	}{{s.Level, "meets", green}, {s.Above, "does not", vermilion}} {
		if at.level > 0 {
			c.series = append(c.series, series{name: fmt.Sprintf("%.4g %s", at.level, at.name), kind: dashed, color: at.color,
				xy: []xy{{x: at.level, y: 0}, {x: at.level, y: c.y.max}}})
		}
	}
	return c, true
}
