package capacity

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"coinbench/history"
	"coinbench/history/event"
)

// Search is what a search for the greatest load that meets objectives has found.
type Search struct {
	Name       string  `json:"name"` // of the load at the level that was found; those on the way are NAME/LEVEL
	Service    string  `json:"service"`
	SLO        string  `json:"slo"`
	Level      float64 `json:"level"` // the greatest that was shown to meet it, requests per second or clients; 0: none was
	Above      float64 `json:"above"` // the least that was shown not to; 0: none was
	Confidence float64 `json:"confidence"`
	Tested     int     `json:"tested"` // levels
	Stopped    string  `json:"stopped,omitempty"`
}

func searches(run *history.Run) (found []Search) {
	for _, e := range run.Events {
		p, ok := e.Payload.(event.SearchEnd)
		if !ok {
			continue
		}
		s := Search{Name: p.Name, Service: e.Service, SLO: p.SLO, Level: p.Level, Above: p.Above, Confidence: p.Confidence, Tested: p.Tested,
			Stopped: p.Stopped}
		found = append(found, s)
	}
	return found
}

// Answer is the result in one sentence.
func (s Search) Answer() string {
	both := ""
	if s.Level > 0 && s.Stopped == "" {
		both = " for both"
	}
	return fmt.Sprintf("%s: %s (confidence %s, %s tested%s)", s.Label(), s.Finding(), ConfidenceText(s.Confidence), count(s.Tested, "level"),
		both)
}

// ConfidenceText is a confidence in percent, with the nines that it has.
func ConfidenceText(c float64) string { return fmt.Sprintf("%.4g %%", 100*c) }

// Label is what texts call it.
func (s Search) Label() string {
	if s.Name == "search" {
		return s.Name
	}
	return "search " + s.Name
}

// Finding is the answer without the search's name and what it is worth.
func (s Search) Finding() string {
	switch {
	case s.Level == 0 && s.Above > 0:
		return fmt.Sprintf("no level was found that meets %s, %.4g does not: %s", s.SLO, s.Above, s.Stopped)
	case s.Level == 0:
		return fmt.Sprintf("no answer for %s: %s", s.SLO, s.Stopped)
	case s.Stopped != "":
		return fmt.Sprintf("at least %.4g meets %s, no more is known: %s", s.Level, s.SLO, s.Stopped)
	}
	return fmt.Sprintf("%.4g meets %s, %.4g does not", s.Level, s.SLO, s.Above)
}

// OfSearch says whether a load was one of a search's on its way.
func (a *Analysis) OfSearch(load string) bool {
	for _, s := range a.Searches {
		if strings.HasPrefix(load, s.Name+"/") {
			return true
		}
	}
	return false
}

// Answers says whether a load was one of a search's at a level of its answer.
func (a *Analysis) Answers(load string) bool {
	for _, s := range a.Searches {
		for _, level := range []float64{s.Level, s.Above} {
			if at, err := strconv.ParseFloat(strings.TrimPrefix(load, s.Name+"/"), 64); err == nil && level > 0 && math.Abs(at/level-1) < 1e-3 {
				return true
			}
		}
	}
	return false
}

// Told are the loads that a report lists: of each level of a search the longest one.
func (a *Analysis) Told() []LoadResult {
	var told []LoadResult
	at := map[string]int{}
	for _, l := range a.Loads {
		i, known := at[l.Name]
		switch {
		case !known || !a.OfSearch(l.Name):
			at[l.Name] = len(told)
			told = append(told, l)
		case l.Requests > told[i].Requests:
			told[i] = l
		}
	}
	return told
}
