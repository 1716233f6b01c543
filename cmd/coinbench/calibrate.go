package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/capacity/model"
	"coinbench/reports"
)

func calibrateCommand(p process) *cobra.Command {
	out := ""
	c := &cobra.Command{
		Use:   "calibrate DIR",
		Short: "Make a model of the app on its machine from one measured run",
		Long: `calibrate reads a run's folder and writes model.json: what each request costs the services besides their settings, what each
call costs a worker, how the costs grow with the hash rate, the concurrency that the waves of the benches show, and the
model's own error on every window of the run. 'coinbench run bottleneck' measures all of it. The file is in the run's own
folder, also when DIR is "latest", which is another run tomorrow; give --model the path that is printed.`,
		Example: `  coinbench calibrate runs/bottleneck/latest
  coinbench calibrate runs/bottleneck/latest --out model.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := calibrate(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				dir, err := filepath.EvalSymlinks(args[0]) // latest is another run tomorrow
				if err != nil {
					return usage(err)
				}
				out = filepath.Join(dir, "model.json")
			}
			if err := writeModel(out, m); err != nil {
				return unmeasured(err)
			}
			if err := reports.ModelText(p.stdout, m, textOptions(p)); err != nil {
				return unmeasured(err)
			}
			fmt.Fprintf(p.stdout, "\nWritten to %s; now: coinbench predict --model %s --set rng=4 --set worker=12\n", out, out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "`file` of the model (default model.json in the run's own folder)")
	return c
}

func calibrate(dir string) (model.Model, error) {
	run, err := openHistory(dir)
	if err != nil {
		return model.Model{}, usage(err)
	}
	a := capacity.Analyse(run)
	m, err := model.Calibrate(run, &a)
	return m, usage(err)
}

func writeModel(path string, m model.Model) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// readModel reads a model file, or the one in a run's folder.
func readModel(path string) (model.Model, error) {
	if path == "" {
		return model.Model{}, usage(fmt.Errorf("there is no model; make one: coinbench run bottleneck && coinbench calibrate " +
			"runs/bottleneck/latest, then give --model the file that it prints"))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "model.json")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Model{}, usage(fmt.Errorf("read model: %w; %s", err, otherModel(path)))
	}
	if err != nil {
		return model.Model{}, usage(fmt.Errorf("read model: %w", err))
	}
	defer f.Close()
	m, err := model.Read(f)
	return m, usage(err)
}

// otherModel says what to do about a model that is not there: another run of the same scenario may have one.
func otherModel(path string) string {
	runs := filepath.Dir(filepath.Dir(path))
	if found, _ := filepath.Glob(filepath.Join(runs, "2*", "model.json")); len(found) > 0 { // folders are named by their time
		return "the newest model of a run in " + runs + " is " + found[len(found)-1]
	}
	return "make one: coinbench calibrate DIR"
}
