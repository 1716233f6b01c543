package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
	"coinbench/reports"
)

// reportMemory is the size of the heap from which on garbage is collected at once where histories are read: they are read to the end once,
// so that an hour of load need not take the memory of two.
const reportMemory = 128 << 20

// openHistory reads a run's folder.
func openHistory(dir string) (*history.Run, error) {
	debug.SetMemoryLimit(reportMemory)
	return history.Open(dir)
}

func reportCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "report DIR|FILE",
		Short: "Make a run's report again, from its folder alone",
		Example: `  coinbench report runs/bottleneck/latest
  coinbench report runs/smoke/latest
  coinbench report results.bin      # written by vegeta attack, or by attack --output`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := args[0]
			if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
				if dir, err = imported(p, dir); err != nil {
					return usage(err)
				}
			}
			a, err := analyse(dir)
			if err != nil {
				return usage(err)
			}
			err = publish(p, dir, a)
			if isReadOnly(err) { // it was not made here, and what it says was printed
				fmt.Fprintf(p.stderr, "coinbench: not written: %v\n", err)
				return exit(a.Overall.Outcome.ExitCode())
			}
			return err
		},
	}
}

// imported makes a run's folder of a file of results that vegeta wrote, next to the file.
func imported(p process, file string) (dir string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	next, err := loadgen.NewResultReader(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	start, spec, record, err := loadgen.RecordResults(name, next)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	dir = file + ".report"
	w, err := history.Create(dir, history.Manifest{Scenario: name, Cluster: "none", Start: start.UTC(),
		Command: append([]string{"coinbench"}, p.args...), Coinbench: version(), Host: host(), Secrets: p.secrets.all()}, nil, nil)
	if err != nil {
		return "", err
	}
	happened := func(at time.Duration, p event.Payload) {
		_ = w.Event(history.Event{At: at, Payload: p}) // the writer keeps its first error
	}
	happened(0, event.RunBegin{Scenario: name})
	l, err := w.Load(spec)
	if err != nil {
		return "", err
	}
	end, err := record(l)
	err = errors.Join(err, l.End(end, err))
	happened(end.End, event.RunEnd{Status: string(history.Finished)})
	return dir, errors.Join(err, w.Close())
}

// analyse reads a run and judges it by the objectives of the scenario in its folder.
func analyse(dir string) (*capacity.Analysis, error) {
	run, err := openHistory(dir)
	if err != nil {
		return nil, err
	}
	objectives, err := objectives(run)
	if err != nil {
		return nil, fmt.Errorf("judge %s: %w", dir, err)
	}
	a := capacity.Analyse(run, objectives...)
	return &a, nil
}

// objectives are those that the run itself says it was judged by; the scenario's parser of that day is not needed.
func objectives(run *history.Run) ([]capacity.Objective, error) {
	var all []capacity.Objective
	for _, text := range run.Begin().Objectives {
		o, err := capacity.ParseObjectiveOf(run.Manifest.Roles, text)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// publish writes every output into the folder, then prints the report. The exit code is the verdict's.
func publish(p process, dir string, a *capacity.Analysis) error {
	paths, err := reports.Write(dir, a)
	if text := unlessGone(reports.Text(p.stdout, a, textOptions(p))); text != nil {
		err = errors.Join(err, fmt.Errorf("print report: %w", text))
	}
	if len(paths) > 0 {
		fmt.Fprintf(p.stdout, "\nWritten to %s:\n", dir)
		for _, path := range paths {
			fmt.Fprintf(p.stdout, "  %s\n", path)
		}
	}
	if err != nil {
		return unmeasured(fmt.Errorf("%w: make room, then: coinbench report %s", err, dir))
	}
	return exit(a.Overall.Outcome.ExitCode())
}

// isReadOnly says whether somebody else's folder was the reason.
func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func textOptions(p process) reports.TextOptions {
	_, plain := p.env("NO_COLOR")
	return reports.TextOptions{Width: max(width(p.stdout), 60), Color: terminal(p.stdout) != nil && !plain}
}
