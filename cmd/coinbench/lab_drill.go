package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/capacity/dockercoins"
	"coinbench/labs"
	"coinbench/reports"
)

// drillName is the folder of drills, besides those of the labs.
const drillName = "drill"

func labDrillCommand(p process) *cobra.Command {
	var where clusterFlags
	var seed uint64
	c := &cobra.Command{
		Use:   "drill [CAUSE EVIDENCE]",
		Short: "Find the cause of a run whose scenario is not shown",
		Long: `drill draws one of explain's causes and a setting, plays it, and shows what was measured without what it means. You name the
cause and one kind of evidence, and 'coinbench explain' of that very run judges both. Of causes that are tied, each is right.

Without an answer, the drill that is under way is shown again; --seed begins a new one. The causes generator CPU, host CPU and redis are
never drawn, for no setting of the app makes them.`,
		Example: `  coinbench lab drill
  coinbench lab drill --seed 7 --cluster sim
  coinbench lab drill random-balancing queue`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 2 {
				return nil
			}
			return usage(fmt.Errorf("accepted: nothing, or a cause and a kind of evidence: %s; %s", strings.Join(causeWords(), ", "),
				strings.Join(clueNames(), ", ")))
		},
		RunE: func(c *cobra.Command, args []string) error {
			if where.name != "sim" && where.name != "local" {
				return usage(fmt.Errorf("--cluster %s: accepted: local, sim", where.name))
			}
			attempt, err := labs.Latest(labRoot(p), drillName)
			if err != nil {
				return unmeasured(err)
			}
			open := attempt != nil && attempt.State().Phase == labs.ToCheck
			switch {
			case len(args) == 2 && !open:
				return usage(errors.New("there is no drill to answer; begin one: coinbench lab drill"))
			case len(args) == 2:
				return answerDrill(p, attempt, args[0], args[1])
			case open && seed == 0:
				return showDrill(p, attempt)
			}
			return playDrill(p, seed, where)
		},
	}
	where.addToLab(c)
	c.Flags().Uint64Var(&seed, "seed", 0, "what the drill is drawn from; 0: chance, or the drill that is under way")
	return c
}

// hyphened is a cause as one word of a command line.
func hyphened(c capacity.Cause) string { return strings.ReplaceAll(string(c), " ", "-") }

func causeWords() (words []string) {
	for _, c := range capacity.Causes(dockercoins.Roles()) {
		words = append(words, hyphened(c))
	}
	return words
}

func clueNames() (names []string) {
	for _, c := range labs.Clues() {
		names = append(names, c.Name)
	}
	return names
}

// playDrill plays what a seed draws, without a word of what it is.
func playDrill(p process, seed uint64, where clusterFlags) error {
	if seed == 0 {
		var err error
		if seed, err = chanceSeed(); err != nil {
			return err
		}
	}
	d := labs.DrawDrill(seed)
	s, err := parseScenario(p, "drill.yaml", []byte(d.Scenario), nil, nil)
	if err != nil {
		return err
	}
	attempt, err := labs.Begin(labRoot(p), drillName, seed, time.Now())
	if err != nil {
		return unmeasured(err)
	}
	e := labs.Entry{At: time.Now(), Kind: labs.Started, Run: "run-1", Cluster: where.name}
	if err := attempt.Add(e); err != nil {
		return unmeasured(err)
	}
	say(p.stderr, "drill %d on %s, about %s", seed, where.name, s.Estimate().Round(time.Second))
	ctx, stop := p.interruptible()
	defer stop()
	quiet := p
	quiet.stderr = messages{discard{}, p.secrets} // steps have names
	if _, err := record(ctx, quiet, s, where, runFolder{dir: filepath.Join(attempt.Dir, e.Run)}); err != nil {
		if errors.Is(err, context.Canceled) {
			err = fmt.Errorf("interrupted; again: coinbench lab drill --seed %d", seed)
		}
		return unmeasured(err)
	}
	e.At, e.Kind = time.Now(), labs.Ended
	if err := attempt.Add(e); err != nil {
		return unmeasured(err)
	}
	return showDrill(p, attempt)
}

// drilled is the run of a drill, with what explain says of it.
func drilled(attempt *labs.Attempt) (a capacity.Analysis, part *capacity.Explained, dir string, err error) {
	dir = filepath.Join(attempt.Dir, attempt.State().Run.Run)
	run, err := openHistory(dir)
	if err != nil {
		return a, nil, dir, unmeasured(err)
	}
	a = capacity.Analyse(run)
	x := capacity.Explain(run, &a)
	if part = x.Part(labs.DrawDrill(attempt.Seed()).Part); part == nil {
		return a, nil, dir, unmeasured(fmt.Errorf("explain %s: nothing was measured", dir))
	}
	return a, part, dir, nil
}

// showDrill shows what was measured, and asks.
func showDrill(p process, attempt *labs.Attempt) error {
	a, _, _, err := drilled(attempt)
	if err != nil {
		return err
	}
	if len(a.Validity.Invalid) > 0 {
		say(p.stdout, "Cannot tell: %s. It is the run, not you: coinbench lab drill --seed %d", a.Validity.Invalid[0], attempt.Seed())
		return exit(exitUnmeasured)
	}
	if err := reports.FactsText(p.stdout, &a, textOptions(p)); err != nil {
		return unmeasured(err)
	}
	say(p.stdout, "\nWhat limits it? One of: %s", strings.Join(causeWords(), ", "))
	rows := reports.Table{{"evidence ", "means "}}
	for _, c := range labs.Clues() {
		rows = append(rows, []string{c.Name, c.Doc})
	}
	if err := table(p.stdout, rows); err != nil {
		return err
	}
	say(p.stdout, "\n  coinbench lab drill CAUSE EVIDENCE")
	return nil
}

// answerDrill judges an answer by explain, and shows what that says.
func answerDrill(p process, attempt *labs.Attempt, cause, evidence string) error {
	if !slices.Contains(causeWords(), cause) {
		return usage(fmt.Errorf("cause %q; accepted: %s", cause, strings.Join(causeWords(), ", ")))
	}
	i := slices.IndexFunc(labs.Clues(), func(c labs.Clue) bool { return c.Name == evidence })
	if i < 0 {
		return usage(fmt.Errorf("evidence %q; accepted: %s", evidence, strings.Join(clueNames(), ", ")))
	}
	_, part, dir, err := drilled(attempt)
	if err != nil {
		return err
	}
	right := slices.ContainsFunc(labs.Accepted(part), func(c capacity.Cause) bool { return hyphened(c) == cause })
	outcome, words := labs.NotYet, "Not "+cause+": explain says "+string(part.Limit)+"."
	if right {
		outcome, words = labs.Right, "Right: "+string(part.Limit)+"."
	}
	e := labs.Entry{At: time.Now(), Kind: labs.Checked, Outcome: outcome, Model: cause, Evidence: evidence}
	if err := attempt.Add(e); err != nil {
		return unmeasured(err)
	}
	say(p.stdout, "%s", words)
	for _, sentence := range part.Evidence {
		say(p.stdout, "  because %s", sentence)
	}
	if labs.Clues()[i].Supports(part) {
		say(p.stdout, "Your evidence, %s, is among it.", evidence)
	} else {
		say(p.stdout, "Your evidence, %s, is not among it.", evidence)
	}
	say(p.stdout, "What to change: %s", part.Try)
	say(p.stdout, "\nAll of it: coinbench explain %s\nThe next one: coinbench lab drill --seed %s", dir,
		strconv.FormatUint(attempt.Seed()+1, 10))
	return nil
}
