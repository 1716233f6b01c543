package reports

import (
	"cmp"
	"fmt"
	"io"
	"strconv"

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
		rows := [][]string{{unit, "shown", "met", "ok/s", "p50", "p90", "p99", "max", "failed", "why not "}}
		for _, p := range s.Curve {
			row := []string{s.level(p.Level), cmp.Or(p.Verdict, "–"), fmt.Sprintf("%d of %d", p.Met, p.Blocks), figures(p.PerS), "–", "–", "–", "–",
				share(p.Total.Due-p.Total.OK, p.Total.Due), p.Why}
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
	worth := fmt.Sprintf("confidence %s, %s tested", percent(s.Confidence), plural(s.Tested, "level"))
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
