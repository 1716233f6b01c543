package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"coinbench/history"
	"coinbench/reports/openmetrics"
)

func exportCommand(p process) *cobra.Command {
	c := &cobra.Command{
		Use:     "export",
		Short:   "Hand a run's record to other programs",
		Example: "  coinbench export openmetrics runs/bottleneck/latest --out run.txt",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(exportOpenMetrics(p))
	return c
}

func exportOpenMetrics(p process) *cobra.Command {
	var out, shift string
	c := &cobra.Command{
		Use:   "openmetrics DIR",
		Short: "A run as OpenMetrics text, which Prometheus takes in",
		Long: `export openmetrics writes all that was recorded of a run, finished, killed or simulated, as OpenMetrics text: its loads, its
replicas and what they exported, its steps, windows, rollouts and faults, each with the instants at which it held.

  promtool tsdb create-blocks-from openmetrics FILE DATA

makes blocks of it, in a folder that a Prometheus serves. A run exported twice into one folder overlaps itself: give each export its own.`,
		Example: `  coinbench export openmetrics runs/bottleneck/latest --out run.txt
  coinbench export openmetrics runs/bottleneck/latest --shift now > run.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			e, m, err := readExport(p, args[0])
			if err != nil {
				return usage(err)
			}
			switch shift {
			case "":
			case "now":
				e.Begin(time.Now().Add(-e.Length()))
			default:
				begin, err := time.Parse(time.RFC3339, shift)
				if err != nil {
					return usage(fmt.Errorf("--shift %s: accepted: now, at which the run then ends, or the instant of its begin, as %s", shift,
						m.Start.Format(time.RFC3339)))
				}
				e.Begin(begin)
			}
			if out == "" {
				return unmeasured(unlessGone(e.Write(p.stdout)))
			}
			return unmeasured(writeFile(out, e.Write))
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write (default: the standard output)")
	c.Flags().StringVar(&shift, "shift", "", "move the run in time: now, at which it then ends, or the `INSTANT` of its begin")
	return c
}

// readExport reads a run's folder.
func readExport(p process, dir string) (*openmetrics.Export, history.Manifest, error) {
	debug.SetMemoryLimit(reportMemory)
	tail, m, err := history.OpenTail(dir)
	if err != nil {
		return nil, m, err
	}
	name, err := runName(m.Scenario, dir)
	if err != nil {
		return nil, m, err
	}
	e := openmetrics.NewExport(m, name)
	_, err = tail.Next(e)
	if n := tail.Unread(); n > 0 {
		fmt.Fprintf(p.stderr, "%d lines of the record could not be read, and are left out\n", n)
	}
	return e, m, err
}

// runName is the label run of a run's folder: latest is the folder that it leads to.
func runName(scenario, dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	return openmetrics.RunName(scenario, filepath.Base(path)), err
}

// writeFile writes a file whole, or none.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err != nil {
		err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return err
}
