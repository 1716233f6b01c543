package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/capacity/model"
	"coinbench/reports"
)

// What may disturb a setting while it is measured.
const (
	lateness    = .01 // the share by which the app's delays may last longer than they were to
	disturbance = .10 // where that is not known: the share of the processors that other programs may use
)

func proveCommand(p process) *cobra.Command {
	var (
		path, out, from string
		settings        = 25
		seed            = uint64(1)
		length          = 20 * time.Second
		retries         = 2
		format          = "text"
		where           clusterFlags
	)
	c := &cobra.Command{
		Use:   "prove",
		Short: "Hold predictions against measurements of settings drawn at random",
		Long: `prove draws settings (workers, rng, hashers, think time, balancing) from a seed, predicts each with a model that was
calibrated on one run of bottleneck, measures each, and prints the table of both with the residuals. Without --model it
plays bottleneck first. The promise: the hash rate of every setting to 3 %, of all to 1.5 % in the mean, the mean latency of a
visitor of rng to 5 % in the mean.

Where connections are spread at random, the models meet the choices that the measurement meets: both draw them from the seed.
A setting during whose measurement the app's delays lasted more than 1 % longer than they were to is measured again: other programs
kept the processors busy. The predictions are made before anything is measured.

Exit codes: 0 the promise holds; 1 it does not; 2 bad input; 3 it could not be measured, or only settings break the promise that were
disturbed all the same.`,
		Example: `  coinbench prove                                       # twenty minutes
  coinbench prove --model model.json --settings 5 --seed 7
  coinbench prove --from runs/prove/latest --model other.json   # the same measurements, another model`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var proof reports.Proof
			var err error
			switch {
			case settings < 1:
				return usage(fmt.Errorf("--settings %d: accepted: at least 1", settings))
			case retries < 0:
				return usage(fmt.Errorf("--retries %d: accepted: at least 0", retries))
			case length <= 0:
				return usage(fmt.Errorf("--for %s: accepted: a duration greater than 0, like 20s", length))
			}
			if from != "" {
				proof, err = proveAgain(from, path)
			} else {
				proof, err = prove(p, path, out, settings, seed, length, retries, where)
			}
			if err != nil {
				return err
			}
			if err := render(format, p.stdout, proof, func(w io.Writer) error { return reports.ProofText(w, proof, textOptions(p)) }); err != nil {
				return err
			}
			return exit(proof.Outcome.ExitCode())
		},
	}
	c.Flags().StringVar(&path, "model", "", "`file` of the model (default: calibrate one on a run of bottleneck)")
	c.Flags().StringVar(&from, "from", "", "make the table of an earlier prove again from its `folder`, without measuring")
	c.Flags().StringVar(&out, "out", "", "folder of the runs (default runs/prove/TIME)")
	c.Flags().IntVar(&settings, "settings", settings, "how many settings are drawn")
	c.Flags().Uint64Var(&seed, "seed", seed, "what they are drawn from")
	c.Flags().DurationVar(&length, "for", length, "how long each is measured")
	c.Flags().IntVar(&retries, "retries", retries, "how often a disturbed setting is measured again")
	c.Flags().StringVar(&format, "format", format, "text or json")
	where.add(c)
	return c
}

func prove(p process, path, out string, n int, seed uint64, length time.Duration, retries int, where clusterFlags) (reports.Proof, error) {
	proof := reports.Proof{Seed: seed, Cluster: where.name, LengthS: length.Seconds()}
	to, err := folder(out, "prove")
	if err == nil {
		out = to.dir
		err = os.MkdirAll(out, 0o755)
	}
	if err != nil {
		return proof, withCode(folderCode(err), err)
	}
	defer to.giveUp() // if nothing came of it
	var m model.Model
	if path == "" {
		s, err := loadScenario(p, "bottleneck", nil, nil)
		if err != nil {
			return proof, err
		}
		dir := filepath.Join(out, "bottleneck")
		recorded, err := recordAlone(p, s, where, dir)
		if recorded {
			to.link()
		}
		if err != nil {
			return proof, unmeasured(err)
		}
		if m, err = calibrate(dir); err != nil {
			return proof, err
		}
	} else {
		var err error
		if m, err = readModel(path); err != nil {
			return proof, err
		}
	}
	if err := writeModel(filepath.Join(out, "model.json"), m); err != nil {
		return proof, unmeasured(err)
	}
	to.link()
	for i, s := range model.Draw(n, seed) {
		s.Roles = m.Roles
		r := reports.ProofRow{Setting: s, Dir: fmt.Sprintf("%02d", i+1)}
		if err := predictRow(m, &r, length, seed); err != nil {
			return proof, usage(err)
		}
		proof.Rows = append(proof.Rows, r)
	}
	ctx, stop := p.interruptible() // between the settings too
	defer stop()
	for i := range proof.Rows {
		r := &proof.Rows[i]
		for try := 0; ; try++ {
			if try > 0 {
				r.Dir = fmt.Sprintf("%02d-%d", i+1, try+1)
			}
			var a *capacity.Analysis
			err := ctx.Err()
			if err == nil {
				a, err = measureSetting(p, m, r.Setting, length, where, filepath.Join(out, r.Dir), "seed="+strconv.FormatUint(seed, 10))
			}
			if ctx.Err() != nil {
				err = unmeasured(errors.New("interrupted"))
			}
			if err == nil {
				err = unmeasured(measuredRow(a, r))
			}
			if err != nil {
				if i == 0 {
					return proof, err
				}
				drawn := len(proof.Rows)
				proof.Rows = proof.Rows[:i]
				return proof, errors.Join(fmt.Errorf("%d of %d settings were measured; their table: coinbench prove --from %s: %w", i, drawn, out, err),
					finishProof(out, m, &proof))
			}
			if r.Doubt == "" || try >= retries {
				break
			}
		}
		fmt.Fprintf(p.stderr, "%d/%d  %s: predicted %.2f, measured %.2f hashes/s, %+.1f %%\n", i+1, len(proof.Rows), r.Setting, r.Predicted,
			r.Measured, 100*(r.Predicted/r.Measured-1))
	}
	return proof, finishProof(out, m, &proof)
}

// measureSetting plays the scenario of one setting, with more --set.
func measureSetting(p process, m model.Model, s model.Setting, length time.Duration, where clusterFlags, dir string,
	more ...string) (*capacity.Analysis, error) {
	sets := []string{"workers=" + strconv.Itoa(s.Drivers), "rng=" + strconv.Itoa(s.First), "hasher=" + strconv.Itoa(s.Last),
		"think=" + s.Think.String(), "balance=" + s.Balance, "measure=" + length.String(), "probed=" + length.String(), "every=" +
			probeEvery.String()}
	for _, same := range []struct{ parameter, service, variable string }{
		{"rng_occupancy", "rng", "COIN_OCCUPANCY"}, {"hasher_occupancy", "hasher", "COIN_OCCUPANCY"}, {"call_overhead", "worker",
			"COIN_CALL_OVERHEAD"},
		{"distribution", "rng", "COIN_DELAY_DISTRIBUTION"}, {"jitter", "rng", "COIN_DELAY_JITTER"},
	} {
		if v := m.Environment[same.service][same.variable]; v != "" {
			sets = append(sets, same.parameter+"="+v)
		}
	}
	scenario, err := loadScenario(p, "setting", append(sets, more...), nil)
	if err != nil {
		return nil, err
	}
	if len(s.Environment) > 0 {
		return nil, usage(errors.New("a setting with other variables than the scenario's cannot be measured; write a scenario of your own"))
	}
	if _, err := recordAlone(p, scenario, where, dir); err != nil {
		return nil, unmeasured(err)
	}
	a, err := analyse(dir)
	return a, unmeasured(err)
}

func predictRow(m model.Model, r *reports.ProofRow, length time.Duration, seed uint64) error {
	prediction, err := m.Predict(r.Setting, model.Options{Length: length, Probe: probeEvery, Runs: 12, Seed: seed, Balancers: seed})
	if err != nil {
		return err
	}
	predictedRow(prediction, r)
	return nil
}

func predictedRow(p model.Prediction, r *reports.ProofRow) {
	r.Predicted, r.Spread, r.Runs, r.Bound, r.MVA, r.Limit = p.HashRate, p.Spread, p.Runs, p.Bounds.UpperPerS, p.MVA, p.Limit
	r.ProbedS, r.ProbeSD = p.Probe.MeanS, p.ProbeSD
}

func measuredRow(a *capacity.Analysis, r *reports.ProofRow) error {
	w, l := a.Window("steady"), a.Load("probe-probed")
	if w == nil || w.HashRate == nil || l == nil || l.Response == nil {
		return fmt.Errorf("setting %s: no hash rate or no latency was measured", r.Setting)
	}
	r.Measured, r.Margin, r.ProbeS, r.Doubt = w.HashRate.Value, w.HashRate.Margin(), l.Response.MeanS, ""
	if h := w.Host; h != nil {
		foreign := h.Busy - h.Own
		r.Busy, r.Foreign, r.Doubt = &h.Busy, &foreign, doubtful(h)
	}
	return nil
}

// doubtful says why a machine may have disturbed a window, or "".
func doubtful(h *capacity.HostUse) string {
	switch {
	case h == nil:
	case h.Late != nil && *h.Late > lateness:
		return fmt.Sprintf("the app's delays lasted %.1f %% longer than they were to", 100**h.Late)
	case h.Late == nil && h.Busy-h.Own > disturbance:
		return fmt.Sprintf("other programs used %.0f %% of the processors", 100*(h.Busy-h.Own))
	}
	return ""
}

// finishProof sums a proof up and writes it into its folder.
func finishProof(dir string, m model.Model, proof *reports.Proof) error {
	proof.Model = fmt.Sprintf("calibrated on one run of %s on %s, %s", m.Scenario, m.Cluster, m.Start.UTC().Format("2006-01-02 15:04:05 UTC"))
	proof.Sum()
	var failed error
	write := func(name string, f func(io.Writer) error) {
		file, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = errors.Join(f(file), file.Close())
		}
		failed = errors.Join(failed, err)
	}
	write("proof.json", func(w io.Writer) error { return reports.ValueJSON(w, proof) })
	write("proof.md", func(w io.Writer) error { return reports.ProofMarkdown(w, *proof) })
	return unmeasured(failed)
}

// proveAgain makes the table of earlier measurements anew.
func proveAgain(dir, path string) (reports.Proof, error) {
	var proof reports.Proof
	data, err := os.ReadFile(filepath.Join(dir, "proof.json"))
	if err != nil {
		return proof, usage(fmt.Errorf("read proof: %w", err))
	}
	if err := json.Unmarshal(data, &proof); err != nil {
		return proof, usage(fmt.Errorf("read proof: %w", err))
	}
	if path == "" {
		path = filepath.Join(dir, "model.json")
	}
	m, err := readModel(path)
	if err != nil {
		return proof, err
	}
	for i := range proof.Rows {
		r := &proof.Rows[i]
		if err := predictRow(m, r, time.Duration(proof.LengthS*float64(time.Second)), proof.Seed); err != nil {
			return proof, usage(err)
		}
		a, err := analyse(filepath.Join(dir, r.Dir))
		if err != nil {
			return proof, usage(err)
		}
		if err := measuredRow(a, r); err != nil {
			return proof, usage(err)
		}
	}
	proof.Model = fmt.Sprintf("calibrated on one run of %s on %s, %s", m.Scenario, m.Cluster, m.Start.UTC().Format("2006-01-02 15:04:05 UTC"))
	proof.Sum()
	return proof, nil
}
