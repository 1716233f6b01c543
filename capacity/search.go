package capacity

import (
	"fmt"
	"strconv"
	"strings"

	"coinbench/history"
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
		if e.Kind != history.SearchEnd {
			continue
		}
		s := Search{Name: e.Detail["name"], Service: e.Service, SLO: e.Detail["slo"], Stopped: e.Detail["stopped"]}
		s.Level, _ = strconv.ParseFloat(e.Detail["level"], 64)
		s.Above, _ = strconv.ParseFloat(e.Detail["above"], 64)
		s.Confidence, _ = strconv.ParseFloat(e.Detail["confidence"], 64)
		s.Tested, _ = strconv.Atoi(e.Detail["tested"])
		found = append(found, s)
	}
	return found
}

// Answer is the result in one sentence.
func (s Search) Answer() string {
	worth := fmt.Sprintf("confidence %.3g, %s tested", s.Confidence, count(s.Tested, "level"))
	switch {
	case s.Level == 0 && s.Above > 0:
		return fmt.Sprintf("search %s: no level was found that meets %s, %.4g does not (%s): %s", s.Name, s.SLO, s.Above, worth, s.Stopped)
	case s.Level == 0:
		return fmt.Sprintf("search %s: no answer for %s: %s", s.Name, s.SLO, s.Stopped)
	case s.Stopped != "":
		return fmt.Sprintf("search %s: at least %.4g meets %s (%s), no more is known: %s", s.Name, s.Level, s.SLO, worth, s.Stopped)
	}
	return fmt.Sprintf("search %s: %.4g meets %s, %.4g does not (%s for both)", s.Name, s.Level, s.SLO, s.Above, worth)
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

// Told are the loads that a report lists: of each level of a search the longest one stands for all.
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
