package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/labs"
)

// labRun is a round that was played apart from any learner.
type labRun struct {
	analysis *capacity.Analysis
	vars     map[string]float64
	length   time.Duration
}

// playLab plays a round in a folder that does not stay.
func playLab(p process, l *labs.Lab, round string, seed uint64, where clusterFlags) (r labRun, err error) {
	s, err := labScenario(p, l, round, seed)
	if err != nil {
		return r, err
	}
	r.vars, r.length = labs.Numbers(s.Settings), s.Estimate()
	dir, err := os.MkdirTemp("", "coinbench-lab-")
	if err != nil {
		return r, unmeasured(err)
	}
	defer os.RemoveAll(dir)
	quiet := p
	if where.name == "sim" {
		quiet.stderr = messages{discard{}, p.secrets}
	}
	ctx, stop := p.interruptible()
	defer stop()
	if _, err = record(ctx, quiet, s, where, runFolder{dir: dir}); err != nil {
		if ctx.Err() != nil {
			err = context.Canceled
		}
		return r, unmeasured(fmt.Errorf("lab %s: %w", l.Name, err))
	}
	run, err := openHistory(dir)
	if err != nil {
		return r, unmeasured(err)
	}
	a := capacity.Measure(run)
	r.analysis = &a
	return r, nil
}

// discard swallows what is written.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func labExportCommand(p process, language *string) *cobra.Command {
	var notes bool
	var out string
	var seed uint64
	c := &cobra.Command{
		Use:   "export [NAME...]",
		Short: "Write labs as one page of HTML, for screens and for paper",
		Long: `export writes all labs, or those named, as one page that needs nothing else: the questions and what to look at, with room for
predictions. With --notes it has the answers too, what to say after each of them and the trainer's notes; their numbers are of a run on the
simulator with the numbers that --seed draws.`,
		Example: `  coinbench lab export > handout.html
  coinbench lab export --notes --out trainer.html
  coinbench lab export four-or-three --lang zh > lab1.html`,
		RunE: func(c *cobra.Command, args []string) error {
			all, err := labs.All()
			if err != nil {
				return unmeasured(err)
			}
			if len(args) == 0 {
				for _, l := range all {
					args = append(args, l.Name)
				}
			}
			var sheets []labs.Sheet
			for _, name := range args {
				l, err := labs.Load(name, *language)
				if err != nil {
					return usage(err)
				}
				s, err := sheet(p, l, seed, notes)
				if err != nil {
					return err
				}
				sheets = append(sheets, s)
			}
			page, err := labs.HTML(sheets, *language)
			if err != nil {
				return unmeasured(err)
			}
			if out != "" {
				return withCode(exitUsage, os.WriteFile(out, page, 0o644))
			}
			_, err = p.stdout.Write(page)
			return unmeasured(err)
		},
	}
	c.Flags().BoolVar(&notes, "notes", false, "with the answers and the trainer's notes")
	c.Flags().StringVar(&out, "out", "", "file of the page (default standard output)")
	c.Flags().Uint64Var(&seed, "seed", 1, "what the numbers are drawn from, as in coinbench lab reset --seed")
	return c
}

func sheet(p process, l labs.Lab, seed uint64, notes bool) (labs.Sheet, error) {
	s := labs.Sheet{Lab: l, Notes: notes}
	for _, round := range labs.RoundNames() {
		r := labs.SheetRound{Name: round, Commands: []string{"coinbench lab predict " + l.Name + " NUMBER --confidence 75", "coinbench lab run " +
			l.Name}}
		if round == labs.Question && len(l.Draw) > 0 {
			r.Commands = append([]string{fmt.Sprintf("coinbench lab reset %s --seed %d", l.Name, seed)}, r.Commands...)
		}
		if notes {
			played, err := playLab(p, &l, round, seed, clusterFlags{name: "sim"})
			if err != nil {
				return s, err
			}
			f := l.Round(round).Judge(0, played.analysis, played.vars)
			if f.Outcome == labs.CannotTell {
				return s, unmeasured(fmt.Errorf("lab %s: %s: %s", l.Name, round, f.Why))
			}
			r.Vars, r.Metric = played.vars, labs.MetricsOf(played.analysis)
			r.Answer = fmt.Sprintf("%s %s", labs.Figures(f.Measured), l.Round(round).Unit)
		} else {
			v, err := labScenario(p, &l, round, seed)
			if err != nil {
				return s, err
			}
			r.Vars = labs.Numbers(v.Settings)
		}
		s.Rounds = append(s.Rounds, r)
	}
	return s, nil
}
