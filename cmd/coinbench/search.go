package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
	"coinbench/reports"
)

// searchFlags are those of search alone.
type searchFlags struct {
	slo     string
	clients bool
	loadgen.SearchConfig
	targetFlags
}

func searchCommand(p process) *cobra.Command {
	var f searchFlags
	c := &cobra.Command{
		Use:   "search --slo OBJECTIVES [--clients] [URL]",
		Short: "Find the greatest load that meets objectives",
		Long: `search doubles the rate (with --clients: the number of clients) until the objectives are missed, and narrows the bracket. Then it
tests the levels around what it found, with loads as long as the objectives need (299 requests or more for p99), until one is shown to meet them
and one to miss them. A request that fails counts as infinitely late unless there is an objective for errors, and a rate meets
nothing if less is served than is offered. The answer is the two levels, the confidence that both are right, and the curve.

  p99<200ms,errors<0.1%     p50, p99.9 ...: percentiles of the response time; mean, max; errors: all failures over all requests

Exit codes: 0 there is an answer; 2 bad input; 3 nothing answered, the least load missed the objectives, or the generator was the limit.`,
		Example: `  coinbench search --slo 'p99<200ms,errors<0.1%' http://127.0.0.1:8001/10
  coinbench search --slo 'p95<300ms' --clients --block 2s http://127.0.0.1:8001/10
  coinbench search --slo 'p99<200ms' --least 5 --most 100 --reuse never --out runs/search http://127.0.0.1:8001/10`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w, err := f.workload(p, args)
			if err != nil {
				return usage(err)
			}
			return search(p, f, w)
		},
	}
	s := c.Flags()
	s.SortFlags = false
	s.StringVar(&f.slo, "slo", "", "the `OBJECTIVES`, separated by commas: 'p99<200ms,errors<0.1%'")
	s.BoolVar(&f.clients, "clients", false, "search the number of clients of a closed load instead of the rate of an open one")
	s.Float64Var(&f.Least, "least", 1, "where to begin: requests per second, or clients")
	s.Float64Var(&f.Most, "most", 1e6, "where to give up")
	s.Float64Var(&f.Precision, "precision", 0.02, "how close the two levels of the answer are to be, as a ratio")
	s.Float64Var(&f.Confidence, "confidence", 0.9, "that both levels of the answer are right, 0.5 to 0.999")
	s.DurationVar(&f.Block, "block", 5*time.Second, "shortest length of one load; tests take as long as the objectives need")
	f.targetFlags.add(c)
	return c
}

// workload is what the flags and the argument say, at the least level; it sets the rest of the search's configuration.
func (f *searchFlags) workload(p process, args []string) (loadgen.Workload, error) {
	if f.slo == "" {
		return loadgen.Workload{}, errors.New("no objectives; accepted: such as --slo 'p99<200ms,errors<0.1%'")
	}
	var err error
	if f.SLO, err = loadgen.ParseSLO(f.slo); err != nil {
		return loadgen.Workload{}, fmt.Errorf("--slo: %w", err)
	}
	if f.Block <= 0 {
		return loadgen.Workload{}, fmt.Errorf("--block %s: accepted: a duration greater than 0, like 5s", f.Block)
	}
	f.Whole = f.clients
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := loadgen.Search(over, f.SearchConfig, nil); err != nil { // one that is over before it begins checks its configuration alone
		return loadgen.Workload{}, err
	}
	w, err := f.targetFlags.workload(p, "search", args)
	if err != nil {
		return w, err
	}
	if f.clients && (f.connections != 0 || f.backlog != 0) {
		return w, errors.New("--connections and --backlog belong to a rate; each of the --clients has one connection")
	}
	w.Duration, w.MaxSamples = f.Block, -1
	if f.clients {
		w.Clients = max(int(f.Least), 1)
	} else {
		w.Schedule = fmt.Sprintf("%g/s", max(f.Least, 1e-3))
	}
	return w, nil
}

func search(p process, f searchFlags, w loadgen.Workload) error {
	l, err := startLoading(p, f.recordFlags, "search", w)
	if err != nil {
		return err
	}
	defer l.close()
	l.live.begun = true // each level has a line of its own
	w.MaxSamples = 0
	if l.writer == nil {
		w.MaxSamples = -1
	}
	found, err := loadgen.Player{Guard: l.guard}.SearchRate(l.ctx, w, f.SearchConfig, l.start,
		func(w loadgen.Workload) (loadgen.Recorder, func(history.LoadEndRecord, error) error, error) {
			l.live.clear()
			fmt.Fprintf(p.stderr, "%6s  %s\n", clock(time.Since(l.start)), w.Name)
			return l.begin(w)
		})
	l.live.clear()
	l.event(event.SearchEnd{Name: w.Name, SLO: f.SLO.String(), Level: found.Level, Above: found.Above,
		Confidence: found.Confidence, Tested: found.Tested, Stopped: found.Stopped})
	interrupted := l.status() == history.Interrupted
	_, written := l.report() // files first: what reads the text may be gone
	s := searched(history.MaskText(w.Targets[0].URL), f, found)
	if len(s.Curve) > 0 || err == nil {
		if e := unlessGone(reports.SearchText(p.stdout, s, textOptions(p))); e != nil {
			written = errors.Join(written, fmt.Errorf("print report: %w", e))
		}
	}
	if err == nil {
		err = written
	}
	switch {
	case interrupted && (err == nil || errors.Is(err, context.Canceled)):
		return interruption()
	case err != nil:
		return unmeasured(err)
	case found.Level == 0, found.Above == 0 && found.Level < f.Most:
		return exit(exitUnmeasured)
	}
	return nil
}

// searched words a result for its report.
func searched(url string, f searchFlags, r loadgen.SearchResult) reports.Searched {
	s := reports.Searched{URL: url, Objectives: f.SLO.String(), Clients: f.clients, Level: r.Level, Above: r.Above, Confidence: r.Confidence,
		Tested: r.Tested, Stopped: r.Stopped, Repeated: r.Repeated}
	for _, p := range r.Curve {
		s.Curve = append(s.Curve, reports.SearchedLevel{Level: p.Level, Verdict: string(p.Verdict), Blocks: p.Blocks, Met: p.Met, PerS: p.Rate,
			Total: p.Total, Why: p.Why})
	}
	return s
}
