package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/gate"
	"coinbench/cluster/swarm"
	"coinbench/reports"
)

// anchor is what --base anchor is.
const anchor = "anchor"

// findAnchor is the commit that a scenario's gates of a nightly job are held against: the head of the latest loss that was accepted, or of
// the latest gate that was shown to be faster, if that is later; without either the latest tag of git. A base that moves with every commit
// would never see what ten commits lose together.
func findAnchor(dir, scenario string) (string, error) {
	names, err := seriesIn(dir)
	if err != nil {
		names = nil // there is no store yet
	}
	commit, at := "", time.Time{}
	for _, name := range names {
		_, s, err := readSeries(dir, name)
		if err != nil {
			return "", err
		}
		if len(s.Sessions) == 0 || s.Sessions[0].Design.Scenario != scenario {
			continue
		}
		if c, when := s.Anchor(); c != "" && when.After(at) {
			commit, at = c, when
		}
	}
	if commit != "" {
		return commit, nil
	}
	tag, err := git(".", "describe", "--tags", "--abbrev=0")
	if err != nil {
		return "", fmt.Errorf("no gate of a commit was accepted, and git has no tag: %w; accepted: git tag the release to be held against", err)
	}
	return strings.TrimSpace(tag), nil
}

// explain gates what came before each possible change of a series against what came after it, and where there are commits between the two,
// finds the one by halves.
func explain(p process, s gate.Series, store string) error {
	history := s.History()
	if len(history.Changes) == 0 {
		fmt.Fprintln(p.stdout, "There is no change to explain.")
		return nil
	}
	code := exitPass
	for _, c := range history.Changes {
		good, bad := history.Points[c.Index-1].Session.Head, history.Points[c.Index].Session.Head
		lower := history.Points[c.Index].Session.Design.Metrics[0].Lower
		if c.After > c.Before != lower { // a gain: what came after is the better
			good, bad = bad, good
		}
		if good.Commit == "" || bad.Commit == "" {
			return usage(fmt.Errorf("the gates near gate %d are not of commits, so that they cannot be built; accepted: a series of gates of "+
				"revisions (coinbench gate --base REV --head .)", c.Index+1))
		}
		found, shown, err := explainOne(p, history.Points[c.Index].Session, good.Commit, bad.Commit, store)
		if err != nil {
			return err
		}
		if !shown {
			code = exitUnmeasured
		}
		fmt.Fprintf(p.stdout, "Gate %d: %s\n", c.Index+1, found)
	}
	return exit(code)
}

// explainOne gates the slower commit against the faster one, and those between them. shown: the gates agree with the history.
func explainOne(p process, session gate.Session, good, bad, store string) (text string, shown bool, err error) {
	between, err := git(".", "rev-list", "--reverse", "--ancestry-path", good+".."+bad)
	if err == nil && strings.TrimSpace(between) == "" { // a gain: the other way round
		if between, err = git(".", "rev-list", "--ancestry-path", bad+".."+good); err == nil {
			commits := strings.Fields(between)
			if len(commits) > 0 {
				between = strings.Join(append(commits[1:], bad), "\n")
			}
		}
	}
	if err != nil {
		return "", false, usage(err)
	}
	commits := strings.Fields(between) // from the good one, which is left out, to the bad one
	if len(commits) == 0 {
		commits = []string{bad}
	}
	i, outcome, err := bisect(len(commits), func(i int) (capacity.Outcome, error) {
		outcome, err := gateCommits(p, session, good, commits[i], store)
		fmt.Fprintf(p.stdout, "%s against %s: %s\n", commits[i][:min(10, len(commits[i]))], good[:min(10, len(good))], outcome)
		return outcome, err
	})
	switch {
	case err != nil:
		return "", false, err
	case i < 0 && outcome == capacity.OutcomePass:
		return fmt.Sprintf("a gate of %.10s against %.10s shows no loss, so that the change is not the code's.", bad, good), false, nil
	case outcome != capacity.OutcomeFail:
		return fmt.Sprintf("gates did not tell (%s).", outcome), false, nil
	}
	return fmt.Sprintf("the loss begins with %.10s, confirmed by gates against %.10s.", commits[i], good), true, nil
}

// bisect finds the first of n commits whose gate against the good one fails; the last must. -1: it does not. An outcome that is neither
// PASS nor FAIL ends the search.
func bisect(n int, play func(i int) (capacity.Outcome, error)) (first int, last capacity.Outcome, err error) {
	outcome, err := play(n - 1)
	if err != nil || outcome != capacity.OutcomeFail {
		return -1, outcome, err
	}
	low, high := -1, n-1 // low passes, high fails
	for high-low > 1 {
		middle := (low + high) / 2
		outcome, err := play(middle)
		switch {
		case err != nil:
			return -1, outcome, err
		case outcome == capacity.OutcomeFail:
			high = middle
		case outcome == capacity.OutcomePass:
			low = middle
		default:
			return high, outcome, nil
		}
	}
	return high, capacity.OutcomeFail, nil
}

// gateCommits plays a gate of two commits as a series has it, and says how it ended.
func gateCommits(p process, session gate.Session, base, head, store string) (capacity.Outcome, error) {
	d := session.Design
	f := gateFlags{scenario: d.Scenario, budget: 12 * time.Minute, store: store, null: d.NullArm, tolerate: fmt.Sprint(d.Rule.Tolerate),
		detect: fmt.Sprint(d.Rule.Detect), settle: time.Duration(d.SettleS * float64(time.Second)),
		block: time.Duration(d.BlockS * float64(time.Second)), where: clusterFlags{name: d.Cluster,
			swarm: swarmFlags{endpoint: string(swarm.Auto), tag: "v0.1", generators: 1, deadline: time.Minute}}}
	for _, m := range d.Metrics {
		text := m.Name
		if m.Limits != nil {
			text += fmt.Sprintf(" %g..%g", m.Limits.Tolerate, m.Limits.Detect)
		}
		f.metrics = append(f.metrics, text)
	}
	for key, value := range d.Settings {
		f.sets = append(f.sets, key+"="+value)
	}
	slices.Sort(f.sets)
	f.base, f.head = sideFlags{name: "base", tag: revisionPrefix + base}, sideFlags{name: "head", tag: revisionPrefix + head}
	verdict := capacity.OutcomeInconclusive
	err := withBuilds(f, func(f gateFlags) error {
		g, err := newGateRun(p, f)
		if err != nil {
			return usage(err)
		}
		if g.out, err = folder("", "gate"); err != nil {
			return err
		}
		defer g.out.giveUp()
		r, err := g.play(g.sequence())
		if err != nil {
			return err
		}
		stored, err := g.store.read()
		if err != nil {
			return err
		}
		verdict = stored.Judge(g.session).Outcome // without a self-test's demand: the change was seen
		_, err = reports.WriteGate(g.out.dir, r)
		g.out.link()
		return unmeasured(err)
	})
	return verdict, err
}
