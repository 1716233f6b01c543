package scenarios

import (
	"fmt"
	"strings"
	"time"
)

// Block is the scenario of one window alone: the app as it is when that window begins, deployed afresh, and after a time to settle the
// window, with its probe. A window that is not named is the first. What else the scenario does is left out, faults as well.
func (s Scenario) Block(window string, settle, length time.Duration) (block Scenario, name string, err error) {
	var names []string
	for _, step := range s.Steps {
		m, ok := step.act.(*Measure)
		if !ok {
			continue
		}
		names = append(names, m.Name)
		if window != "" && window != m.Name {
			continue
		}
		if s.Attach {
			return Scenario{}, "", fmt.Errorf("%s is played on the app that is up; accepted: a scenario that deploys its own", s.Name)
		}
		only := *m
		only.Settle, only.For = settle, length
		deploy := &Deploy{}
		s.App, s.Objectives, s.Unmet = copied(step.app), nil, nil
		s.Steps = []Step{
			{Verb: "deploy", Title: deploy.title(), Length: 3 * time.Second, Line: step.Line, act: deploy, app: s.App},
			{Verb: "measure", Title: only.title(), Length: settle + length, Line: step.Line, act: &only, app: s.App},
		}
		return s, m.Name, nil
	}
	if len(names) == 0 {
		return Scenario{}, "", fmt.Errorf("%s has no step measure, so that there is no window to compare", s.Name)
	}
	return Scenario{}, "", fmt.Errorf("%s has no window %q; accepted: %s", s.Name, window, strings.Join(names, ", "))
}
