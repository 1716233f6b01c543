package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/capacity/model"
	"coinbench/history"
	"coinbench/reports"
)

func planCommand(p process) *cobra.Command {
	var (
		path, target, slo, cost, headroom, plots, out string
		sets, measured                                []string
		verify                                        bool
		length                                        = 20 * time.Second
		format                                        = "text"
		where                                         clusterFlags
	)
	c := &cobra.Command{
		Use:   "plan --target RATE",
		Short: "Find the cheapest replicas that meet a target, and prove it by running them",
		Long: `plan searches with a calibrated model for the cheapest numbers of workers, rng and hashers that make the target, names the
runner-up and why it is second, and what is left when one replica dies. It prints demand(load) and capacity(replicas) as
Theodolite defines them. --verify deploys the plan, measures it, and prints predicted against measured. Without --model it
plays bottleneck first and calibrates.

The model's run gives what is not searched; --set changes it: think, balance, SERVICE.COIN_NAME.

Exit codes: 0 planned, and with --verify met; 1 verified and not met; 2 bad input; 3 it could not be measured, or the target lies within
the error of the measurement.`,
		Example: `  coinbench plan --model model.json --target '40 hashes/s'
  coinbench plan --model model.json --target 40 --slo 'p99 <= 300ms' --cost rng=1,worker=0.5 --headroom 20%
  coinbench plan --target '40 hashes/s' --verify
  coinbench plan --model model.json --target 40 --plots plots --measured runs/bottleneck/latest`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var m model.Model
			var err error
			if path != "" {
				if m, err = readModel(path); err != nil {
					return err
				}
			}
			goal, err := goalOf(m.Roles, target, slo, cost, headroom)
			if err != nil {
				return usage(err)
			}
			if out == "" {
				out = filepath.Join("runs", "plan", time.Now().UTC().Format("20060102T150405Z"))
			}
			if path == "" {
				if m, err = modelOf(p, out, where); err != nil {
					return err
				}
			}
			from, err := settingOf(m, sets)
			if err != nil {
				return err
			}
			plan, err := m.Search(goal, from, model.Options{Length: length, Probe: probeEvery})
			if err != nil {
				return usage(err)
			}
			var verified *reports.Verified
			if verify {
				if len(plan.Best.Setting.Environment) > 0 {
					return usage(errors.New("--verify measures plans of the shipped scenario; with --set SERVICE.COIN_NAME write a scenario of your own"))
				}
				if format == "text" {
					if err := reports.PlanText(p.stdout, plan, textOptions(p)); err != nil {
						return unmeasured(err)
					}
				}
				if verified, err = verifyPlan(p, m, plan, length, where, filepath.Join(out, "verify")); err != nil {
					return err
				}
			}
			if plots != "" {
				if err := plotPlan(p, m, plan, verified, measured, plots); err != nil {
					return err
				}
			}
			switch {
			case format == "json":
				err = unmeasured(reports.ValueJSON(p.stdout, struct {
					model.Plan
					Verified *reports.Verified `json:"verified,omitempty"`
				}{plan, verified}))
			case format != "text":
				err = usage(fmt.Errorf("--format %s: accepted: text, json", format))
			case verified == nil:
				err = unmeasured(reports.PlanText(p.stdout, plan, textOptions(p)))
			default:
				err = unmeasured(reports.VerifiedText(p.stdout, *verified, where.name, textOptions(p)))
			}
			if err == nil && verified != nil {
				return exit(verified.Outcome.ExitCode())
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&target, "target", "", "the hash `rate` to reach, such as '40 hashes/s'")
	f.StringVar(&slo, "slo", "", "objective for a visitor of rng, such as 'p99 <= 300ms'")
	f.StringVar(&cost, "cost", "", "`cost` of a replica, such as rng=1,worker=0.5; what is not named costs 1")
	f.StringVar(&headroom, "headroom", "0%", "how much more than the target the plan makes")
	f.StringVar(&path, "model", "", "`file` of the model (default: calibrate one on a run of bottleneck)")
	f.StringArrayVar(&sets, "set", nil, "what is not searched, as `key=value`; may be repeated")
	f.BoolVar(&verify, "verify", false, "deploy the plan, measure it, print the error")
	f.DurationVar(&length, "for", length, "how long --verify measures")
	f.StringVar(&plots, "plots", "", "`folder` for the heat map and the plot of cost against throughput")
	f.StringArrayVar(&measured, "measured", nil, "a run's `folder` whose windows are drawn on top; may be repeated")
	f.StringVar(&out, "out", "", "folder of what is measured (default runs/plan/TIME)")
	f.StringVar(&format, "format", format, "text or json")
	where.add(c)
	return c
}

func goalOf(roles history.Roles, target, slo, cost, headroom string) (model.Goal, error) {
	var g model.Goal
	if target == "" {
		return g, errors.New("there is no target; accepted: --target '40 hashes/s'")
	}
	var err error
	if g.PerS, err = model.ParseTarget(target); err != nil {
		return g, fmt.Errorf("--target %w", err)
	}
	if slo != "" {
		s, err := model.ParseSLO(slo)
		if err != nil {
			return g, fmt.Errorf("--slo %w", err)
		}
		g.SLO = &s
	}
	if g.Cost, err = model.ParseCost(roles, cost); err != nil {
		return g, fmt.Errorf("--%w", err)
	}
	number, isPercent := strings.CutSuffix(strings.TrimSpace(headroom), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0) || v > 10 {
		return g, fmt.Errorf("--headroom %s: accepted: a percentage such as 20%%", headroom)
	}
	g.Headroom = v
	return g, nil
}

// modelOf makes a model of a run of the scenario bottleneck.
func modelOf(p process, out string, where clusterFlags) (model.Model, error) {
	s, err := loadScenario(p, "bottleneck", nil, nil)
	if err != nil {
		return model.Model{}, err
	}
	dir := filepath.Join(out, "bottleneck")
	if _, err := recordAlone(p, s, where, dir); err != nil {
		return model.Model{}, unmeasured(err)
	}
	m, err := calibrate(dir)
	if err != nil {
		return m, err
	}
	return m, unmeasured(writeModel(filepath.Join(out, "model.json"), m))
}

// verifyPlan deploys a plan and measures it.
func verifyPlan(p process, m model.Model, plan model.Plan, length time.Duration, where clusterFlags, dir string) (*reports.Verified,
	error) {
	v := &reports.Verified{Row: reports.ProofRow{Setting: plan.Best.Setting, Dir: dir}, Target: plan.Goal.PerS, Length: length}
	predictedRow(plan.Best.Prediction, &v.Row)
	a, err := measureSetting(p, m, plan.Best.Setting, length, where, dir)
	if err != nil {
		return v, err
	}
	if err := measuredRow(a, &v.Row); err != nil {
		return v, unmeasured(err)
	}
	if a.Overall.Outcome == capacity.OutcomeInvalid {
		v.Invalid = a.Overall.Why
	}
	v.Row.Error = v.Row.Predicted/v.Row.Measured - 1
	v.Row.ProbeErr = v.Row.ProbedS/v.Row.ProbeS - 1
	if s := plan.Goal.SLO; s != nil {
		l := a.Load("probe-probed").Response
		v.SLO, v.SLOMet = s.String(), s.Met(l)
		v.SLOS, _ = s.Of(l)
		v.SLOLimitS, v.SLOMargin = s.AtMostS, capacity.Margin(plan.Best.WaitSD, plan.Best.Prediction.Runs)
	}
	v.Outcome = v.Verdict()
	return v, nil
}

// plotPlan draws what-if sweeps around a plan.
func plotPlan(p process, m model.Model, plan model.Plan, verified *reports.Verified, measured []string, dir string) error {
	best := plan.Best.Setting
	grid, err := m.Sweep(best, upTo(best.Drivers*3/2+2, 24), upTo(best.First+3, 16))
	if err != nil {
		return usage(err)
	}
	x := reports.WhatIf{Grid: grid, Goal: plan.Goal, Plan: &best}
	for _, run := range measured {
		a, err := analyse(run)
		if err != nil {
			return usage(err)
		}
		x.Measured = append(x.Measured, reports.MeasuredPoints(a, best)...)
	}
	if verified != nil {
		x.Measured = append(x.Measured, reports.MeasuredPoint{Drivers: best.Drivers, First: best.First, Last: best.Last,
			PerS: verified.Row.Measured, Name: "verified"})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return unmeasured(err)
	}
	for _, format := range []string{"svg", "png"} {
		for name, draw := range map[string]func(io.Writer, string, reports.WhatIf) error{"heatmap": reports.Heatmap, "cost": reports.CostPlot} {
			path := filepath.Join(dir, name+"."+format)
			f, err := os.Create(path)
			if err != nil {
				return unmeasured(err)
			}
			if err := errors.Join(draw(f, format, x), f.Close()); err != nil {
				return unmeasured(fmt.Errorf("draw %s: %w", path, err))
			}
		}
	}
	fmt.Fprintf(p.stderr, "heat map and cost plot in %s\n", dir)
	return nil
}

// upTo is 1 to n, in steps that make at most a given number of them.
func upTo(n, most int) []int {
	step := (n + most - 1) / most
	var all []int
	for i := 1; i <= n; i += max(1, step) {
		all = append(all, i)
	}
	return all
}
