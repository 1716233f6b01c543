package scenarios

import (
	"fmt"
	"strings"
	"time"
)

// Block is the scenario of one window alone: the app as it is when that window begins, deployed afresh, and after a time to settle the
// window, with its probe. A window that is not named is the first. What else the scenario does is left out, faults as well. More windows
// than one follow each other without a break; they are called NAME, NAME-2, NAME-3.
func (s Scenario) Block(window string, settle, length time.Duration, windows int) (block Scenario, name string, err error) {
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
		deploy := &Deploy{}
		s.App, s.Objectives, s.Unmet = copied(step.app), nil, nil
		s.Steps = []Step{
			{Verb: "deploy", Title: deploy.title(), Length: 3 * time.Second, Line: step.Line, act: deploy, app: s.App},
		}
		for i := range windows {
			only := *m
			only.Settle, only.For = settle, length
			if i > 0 {
				only.Name, only.Settle = WindowName(m.Name, i), 0
			}
			s.Steps = append(s.Steps, Step{Verb: "measure", Title: only.title(), Length: only.Settle + length, Line: step.Line, act: &only,
				app: s.App})
		}
		return s, m.Name, nil
	}
	if len(names) == 0 {
		return Scenario{}, "", fmt.Errorf("%s has no step measure, so that there is no window to compare", s.Name)
	}
	return Scenario{}, "", fmt.Errorf("%s has no window %q; accepted: %s", s.Name, window, strings.Join(names, ", "))
}

// WindowName is what a block calls a window, from 0.
func WindowName(window string, i int) string {
	if i == 0 {
		return window
	}
	return fmt.Sprintf("%s-%d", window, i+1)
}
