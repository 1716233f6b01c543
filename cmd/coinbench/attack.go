package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/history"
	"coinbench/loadgen"
	"coinbench/reports"
)

// attackFlags are those of attack alone.
type attackFlags struct {
	rate     string
	duration time.Duration
	requests int64
	grace    time.Duration
	output   string
	format   string
	hdr      string
	objectiveFlags
	engine string
	targetFlags
}

func attackCommand(p process) *cobra.Command {
	var f attackFlags
	c := &cobra.Command{
		Use:   "attack --rate SCHEDULE [--duration TIME] [URL]",
		Short: "Send requests on a schedule, whether the server keeps up or not",
		Long: `attack sends an open load: the schedule says when each request is due, and one that finds every connection busy waits
with its due time. Response time counts from there, service time from the moment it was sent.

  500/s   30000/m   1/10s                      constant
  ramp(10/s, 500/s, 30s)                       in a straight line, then 500/s
  steps(100/s, 50/s, 10s, 5)                   100, 150, ... 300/s, 10 s each
  sine(mean 100/s, amp 50/s, period 60s)       between 50/s and 150/s
  500/s for 1m then ramp(500/s, 50/s, 30s)     one after the other
  poisson(200/s)                               the same rate, random arrivals

Only this machine's loopback is loaded, unless --allow names the host. Ctrl-C ends the load early and reports it.

Exit codes: 0 it was measured, and --slo was met; 1 --slo was missed; 2 bad input; 3 nothing answered, the
generator was at fault (INVALID), or it was interrupted.`,
		Example: `  coinbench attack --rate 500/s --duration 20s --connections 10 http://127.0.0.1:8001/10
  coinbench attack --rate 'ramp(1/s, 20/s, 30s)' --out runs/ramp http://127.0.0.1:8001/10
  coinbench attack --rate 50/s --duration 10s --slo 'p99<200ms,errors<0.1%' http://127.0.0.1:8001/10
  coinbench attack --rate 50/s --duration 10s --targets targets.http --output results.json --hdr response.hgrm`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w, err := f.workload(p, args)
			if err != nil {
				return usage(err)
			}
			return attack(p, f, w)
		},
	}
	s := c.Flags()
	s.SortFlags = false
	s.StringVar(&f.rate, "rate", "", "the `SCHEDULE`: 500/s, ramp(...), steps(...), sine(...), poisson(...)")
	s.DurationVar(&f.duration, "duration", 0, "length of the load (default: the schedule's own, if it has one)")
	s.Int64Var(&f.requests, "requests", 0, "end after this many requests")
	s.DurationVar(&f.grace, "grace", 10*time.Second, "how long after the end waiting and unanswered requests may still end")
	s.StringVar(&f.output, "output", "", "write every request to `FILE` (- for standard output), as vegeta does")
	s.StringVar(&f.format, "format", "json", "format of --output: json, csv, or gob, which is vegeta's default")
	s.StringVar(&f.engine, "engine", "",
		"what plays the load: coinbench, or `vegeta`, whose numbers are service times only (default coinbench)")
	s.StringVar(&f.hdr, "hdr", "", "write the percentiles of the response time to `FILE`, for HdrHistogram's plotter")
	f.objectiveFlags.add(c)
	f.targetFlags.add(c)
	return c
}

// workload is what the flags and the argument say.
func (f *attackFlags) workload(p process, args []string) (loadgen.Workload, error) {
	if f.rate == "" {
		return loadgen.Workload{}, errors.New("no rate; accepted: such as --rate 500/s")
	}
	schedule, err := loadgen.ParseSchedule(f.rate)
	if err != nil {
		return loadgen.Workload{}, fmt.Errorf("--rate: %w", err)
	}
	if f.duration < 0 {
		return loadgen.Workload{}, fmt.Errorf("--duration %s: accepted: a duration greater than 0, like 20s", f.duration)
	}
	w, err := f.targetFlags.workload(p, "attack", args)
	if err != nil {
		return w, err
	}
	w.Schedule, w.Duration, w.Requests = f.rate, f.duration, f.requests
	if f.engine != "coinbench" {
		w.Engine = f.engine
	}
	if w.Grace = f.grace; f.grace == 0 {
		w.Grace = -1
	}
	if own, ok := schedule.Length(); ok && w.Duration == 0 && w.Requests == 0 {
		w.Duration = own
	}
	if w.Duration == 0 && w.Requests == 0 {
		return w, fmt.Errorf("--rate %s has no end; accepted: --duration 20s, or --requests 1000", f.rate)
	}
	if f.output != "" {
		if _, err := loadgen.NewResultWriter(io.Discard, f.format); err != nil {
			return w, fmt.Errorf("--format %s: accepted: %s", f.format, strings.Join(loadgen.ResultFormats(), ", "))
		}
		w.MaxSamples = math.MaxInt64 // each passes by; none is kept in memory
	}
	return w, nil
}

func attack(p process, f attackFlags, w loadgen.Workload) error {
	objectives, err := f.objectives(w.Name)
	if err != nil {
		return usage(err)
	}
	l, err := startLoading(p, f.recordFlags, "attack", w, objectives...)
	if err != nil {
		return err
	}
	defer l.close()
	sum := &summary{w: w}
	var results *resultFile
	if f.output != "" {
		if results, err = openResults(p, f.output, f.format); err != nil {
			return usage(err)
		}
		sum.each = func(w loadgen.Workload, s history.Sample) error { return results.put(loadgen.ResultOf(w, l.start, s)) }
	}
	played, err := l.play(l.ctx, w, sum)
	if results != nil {
		if e := results.close(); e != nil {
			err = errors.Join(err, fmt.Errorf("--output: %w", e))
		}
	}
	if err != nil {
		return unmeasured(err)
	}
	to := p.stdout
	if f.output == "-" {
		to = p.stderr // standard output is the results'
	}
	if f.hdr != "" {
		if err := writePercentiles(f.hdr, played); err != nil {
			return unmeasured(err)
		}
	}
	return l.finish(played, to, func(out io.Writer) error { return reports.LoadText(out, played, textOptions(p)) })
}

func writePercentiles(name string, l reports.PlayedLoad) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--hdr: %w", err)
	}
	h := l.Total.Response
	if h == nil {
		h = history.NewHistogram()
	}
	if err := errors.Join(loadgen.WritePercentiles(file, h), file.Close()); err != nil {
		return fmt.Errorf("--hdr: %w", err)
	}
	return nil
}
