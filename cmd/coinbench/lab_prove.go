package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/labs"
)

func labTestCommand(p process) *cobra.Command {
	var seeds int
	var where clusterFlags
	c := &cobra.Command{
		Use:   "test [NAME...]",
		Short: "Play every lab as its learners would, right and wrong, and say whether it teaches what it claims",
		Long: `test plays both questions of every lab, or of those named, for some seeds and enters every answer that the lab knows: what the
run measured, what the lab's law says, each wrong model's number, and a number that is no model's. Each must have its own outcome and its own
paragraph with all numbers in place, and no two answers may lie so near each other that they cannot be told apart. On another cluster than
sim, each outcome must be that of the simulator: the evening before a workshop it says whether the room's machines can do it.

Exit codes: 0 every lab is as it should be; 1 one is not; 2 bad input; 3 a run could not tell.`,
		Example: `  coinbench lab test
  coinbench lab test four-or-three ten-times-the-workers --seeds 1 --cluster local`,
		RunE: func(c *cobra.Command, args []string) error {
			if seeds < 1 || seeds > 100 {
				return usage(fmt.Errorf("--seeds %d: accepted: 1 to 100", seeds))
			}
			all, err := labs.All()
			if err != nil {
				return unmeasured(err)
			}
			if len(args) > 0 {
				var some []labs.Lab
				for _, name := range args {
					l, err := labs.Load(name, "en")
					if err != nil {
						return usage(err)
					}
					if !slices.Contains(l.On, where.name) {
						return usage(fmt.Errorf("lab %s is not made for %s; accepted: --cluster %s", name, where.name, strings.Join(l.On, ", ")))
					}
					some = append(some, l)
				}
				all = some
			}
			return proveLabs(p, all, seeds, where)
		},
	}
	c.Flags().IntVar(&seeds, "seeds", 3, "how many seeds, from 1 on")
	where.add(c)
	c.Flags().Lookup("cluster").DefValue = "sim"
	where.name = "sim"
	return c
}

// proveLabs plays the labs and prints a row for each.
func proveLabs(p process, all []labs.Lab, seeds int, where clusterFlags) error {
	rows := [][]string{{"lab ", "seed", "question ", "law", "sim", where.name, "band", "took", "result "}}
	worst := exitPass
	begun := time.Now()
	for i := range all {
		l := &all[i]
		if !slices.Contains(l.On, where.name) {
			continue
		}
		for seed := uint64(1); seed <= uint64(seeds); seed++ {
			for _, round := range labs.RoundNames() {
				at := time.Now()
				t, err := proveRound(p, l, round, seed, where)
				if err != nil {
					return err
				}
				result := "ok"
				switch {
				case len(t.faults) > 0:
					result, worst = strings.Join(t.faults, "; "), max(worst, exitFail)
					if worst == exitUnmeasured {
						worst = exitFail
					}
				case t.unclear != "":
					result = "cannot tell: " + t.unclear
					if worst == exitPass {
						worst = exitUnmeasured
					}
				}
				if l.Round(round).Whole {
					t.band = "–"
				}
				rows = append(rows, []string{l.Name, fmt.Sprint(seed), round, t.law, t.simulated, t.measured, t.band,
					fmt.Sprintf("%.2f s", time.Since(at).Seconds()), result})
			}
		}
	}
	if where.name == "sim" {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], 5, 6)
		}
	}
	if err := table(p.stdout, rows); err != nil {
		return err
	}
	say(p.stdout, "%d runs in %.1f s.", len(rows)-1, time.Since(begun).Seconds())
	return exit(worst)
}

type proved struct {
	law, simulated, measured, band string
	faults                         []string
	unclear                        string
}

// proveRound plays a round and enters every answer that it knows.
func proveRound(p process, l *labs.Lab, round string, seed uint64, where clusterFlags) (t proved, err error) {
	r := l.Round(round)
	fault := func(format string, args ...any) { t.faults = append(t.faults, fmt.Sprintf(format, args...)) }
	sim, err := playLab(p, l, round, seed, clusterFlags{name: "sim"})
	if err != nil {
		return t, err
	}
	base := r.Judge(0, sim.analysis, sim.vars)
	if base.Outcome == labs.CannotTell {
		fault("the simulator cannot tell: %s", base.Why)
		return t, nil
	}
	t.simulated, t.band = labs.Figures(base.Measured), labs.Figures(base.Band)
	if why := r.Distinct(base, sim.vars); why != "" {
		fault("%s", why)
	}
	here := sim
	if where.name != "sim" {
		if here, err = playLab(p, l, round, seed, where); err != nil {
			return t, err
		}
	}
	enter := func(who string, number float64, want labs.Outcome, model string) {
		f := r.Judge(number, here.analysis, here.vars)
		if f.Outcome == labs.CannotTell {
			t.unclear = f.Why
			return
		}
		t.measured, t.band = labs.Figures(f.Measured), labs.Figures(f.Band)
		if f.Outcome != want || f.Model != model {
			fault("%s (%s) is %s %s, and should be %s %s", who, labs.Figures(number), f.Outcome, f.Model, want, model)
		}
		text := l.Section(f.Paragraph(round))
		if text == "" {
			fault("%s has no paragraph", who)
		} else if _, err := labs.Fill(text, here.vars, labs.MetricsOf(here.analysis)); err != nil {
			fault("%s: %v", who, err)
		}
	}
	enter("what the simulator measured", base.Measured, labs.Right, "")
	if r.Law != "" {
		x, err := labs.Eval(r.Law, sim.vars, nil)
		if err != nil {
			fault("law: %v", err)
		}
		t.law = labs.Figures(x)
		enter("the law", x, labs.Right, "")
	}
	for _, w := range r.Wrong {
		x, err := w.Number(sim.vars)
		if err != nil {
			fault("%s: %v", w.Model, err)
			continue
		}
		enter(w.Model, x, labs.WrongModel, w.Model)
	}
	enter("a number of no model's", 1e6, labs.NotYet, "")
	if r.Evidence != nil && t.unclear == "" {
		seen, err := r.Evidence.Seen(here.analysis)
		if err != nil || !slices.ContainsFunc(r.Evidence.Choices, func(c string) bool { return r.Evidence.Agrees(c, seen) }) {
			fault("the evidence is %q (%v), which is no choice", seen, err)
		}
	}
	for _, text := range append([]string{r.Ask, l.Section("why"), l.Section("look")}, r.Hints...) {
		if _, err := labs.Fill(text, here.vars, nil); err != nil {
			fault("%v", err)
		}
	}
	if round == labs.Question {
		if _, err := labs.Fill(l.Section("notes"), sim.vars, labs.MetricsOf(sim.analysis)); err != nil {
			fault("notes: %v", err)
		}
	}
	return t, nil
}
