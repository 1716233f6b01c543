package scenarios

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Block is a part of a scenario that is played alone, on an app that is deployed afresh as it is when that part begins. Nothing else that
// the scenario does is played.
type Block struct {
	Scenario Scenario
	Name     string // of the window or the rollout
	// a step that disturbs a service's replicas, as a rollout does, under the loads that are in the background then; false: a window
	Rollout bool
	Service string // that the rollout is of
	Said    string // the loads and the rollout, as JSON: what another block of the same app may have otherwise; "" of a window
}

// Block makes the block of a window or of a rollout. Of a window it is the time to settle and the window, with its probe; a name that is ""
// is the first window's. More windows than one follow each other without a break; they are called NAME, NAME-2, NAME-3. Of a rollout it is
// the loads, the time to settle and as long as a window would be, the rollout, and the time to settle again.
func (s Scenario) Block(name string, settle, length time.Duration, windows int) (Block, error) {
	var windowNames, rollouts []string
	for i, step := range s.Steps {
		d, disturbs := step.act.(disturbing)
		m, measures := step.act.(*Measure)
		found := ""
		switch {
		case measures:
			found = m.Name
			windowNames = append(windowNames, found)
		case disturbs && i > 0 && step.Verb != undoes:
			found, _ = d.disturbs()
			rollouts = append(rollouts, found)
		}
		if found == "" || found != name && (name != "" || !measures) {
			continue
		}
		b := Block{Scenario: s, Name: found, Rollout: disturbs}
		before := step.app
		if disturbs {
			_, b.Service = d.disturbs()
			before = s.Steps[i-1].app
		}
		if s.Attach {
			return b, fmt.Errorf("%s is played on the app that is up; accepted: a scenario that deploys its own", s.Name)
		}
		if disturbs && windows > 1 {
			return b, fmt.Errorf("%s is no window, of which there could be several in a deployment; accepted: %s", found,
				strings.Join(windowNames, ", "))
		}
		deploy := &Deploy{}
		b.Scenario.App, b.Scenario.Objectives, b.Scenario.Unmet = copied(before), nil, nil
		b.Scenario.Steps = []Step{{Verb: "deploy", Title: deploy.title(), Length: 3 * time.Second, Line: step.Line, act: deploy, app: before}}
		if disturbs {
			b.Scenario.Steps = append(b.Scenario.Steps, s.backgroundsAt(i)...)
			b.Scenario.add(&Wait{For: settle + length}, settle+length)
			b.Scenario.Steps = append(b.Scenario.Steps, step)
			var err error
			if b.Said, err = said(b.Scenario.Steps[1:]); err != nil {
				return b, fmt.Errorf("tell %s from others: %w", found, err)
			}
			b.Scenario.add(&Wait{For: max(settle, time.Second)}, settle)
		}
		for n := range windows {
			if disturbs {
				break
			}
			only := *m
			only.Settle, only.For = settle, length
			if n > 0 {
				only.Name, only.Settle = WindowName(m.Name, n), 0
			}
			b.Scenario.add(&only, only.Settle+length)
		}
		return b, nil
	}
	if len(windowNames)+len(rollouts) == 0 {
		return Block{}, fmt.Errorf("%s has neither a step measure nor a rollout, so that there is nothing to compare", s.Name)
	}
	if name == "" {
		return Block{}, fmt.Errorf("%s has no step measure, so that the metric must name a rollout: %s", s.Name, strings.Join(rollouts, ", "))
	}
	return Block{}, fmt.Errorf("%s has no window or rollout %q; accepted: %s", s.Name, name,
		strings.Join(slices.Concat(windowNames, rollouts), ", "))
}

// add adds a step that leaves the app as it is.
func (s *Scenario) add(a act, length time.Duration) {
	last := s.Steps[len(s.Steps)-1]
	verb := "wait"
	if _, ok := a.(*Measure); ok {
		verb = "measure"
	}
	s.Steps = append(s.Steps, Step{Verb: verb, Title: a.title(), Length: length, Line: last.Line, act: a, app: last.app})
}

// said are steps as JSON.
func said(steps []Step) (string, error) {
	var acts []act
	for _, step := range steps {
		acts = append(acts, step.act)
	}
	text, err := json.Marshal(acts)
	return string(text), err
}

// undoes is the verb of the step that cannot be played without one before it.
const undoes = "rollback"

// backgroundsAt are the loads that are in the background when a step begins, without an end.
func (s Scenario) backgroundsAt(step int) (loads []Step) {
	for i, before := range s.Steps[:step] {
		elapsed := time.Duration(0)
		for _, between := range s.Steps[i+1 : step] {
			elapsed += between.Length
		}
		switch load := before.act.(type) {
		case *Attack:
			if load.Background && (load.For == 0 || load.For > elapsed) {
				endless := *load
				endless.For = 0
				before.act = &endless
				loads = append(loads, before)
			}
		case *Bench:
			if load.Background && load.Requests == 0 && (load.For == 0 || load.For > elapsed) {
				endless := *load
				endless.For = 0
				before.act = &endless
				loads = append(loads, before)
			}
		}
	}
	return loads
}

// WindowName is what a block calls a window, from 0.
func WindowName(window string, i int) string {
	if i == 0 {
		return window
	}
	return fmt.Sprintf("%s-%d", window, i+1)
}
