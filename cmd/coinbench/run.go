package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/cluster"
	"coinbench/history"
	"coinbench/live"
	"coinbench/scenarios"
)

func runCommand(p process) *cobra.Command {
	var (
		sets   []string
		out    string
		where  clusterFlags
		attach attachment
		page   runPage

		metrics string
	)
	c := &cobra.Command{
		Use:   "run NAME|FILE",
		Short: "Play a scenario and report what it shows",
		Long: `run deploys the app, plays the scenario's steps, records everything in a folder, takes the app down and
prints the report. NAME is one of 'coinbench scenarios', FILE a scenario of your own.

With --attach, or attach: true in the scenario's deploy step, it is played on the app that is up: what the scenario names of it is
changed, and it stays up as the scenario leaves it.

With --live, a page shows the run while it is played; it ends with the run, and 'coinbench watch' shows it again.

Ctrl-C takes the app down and reports what was measured until then.

Exit codes: 0 every objective holds; 1 an objective failed; 2 bad input; 3 it could not be measured.`,
		Example: `  coinbench run bottleneck
  coinbench run bottleneck --set profile=workshop
  coinbench run smoke --publish webui=0 --out /tmp/smoke
  coinbench run bottleneck --attach`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible() // until the report is written: the end of a run is no time to lose it
			defer stop()
			attach.p, attach.ctx, attach.where = p, ctx, where
			if c.Flags().Changed("cluster") {
				attach.cluster = where.name
			}
			defer attach.close()
			s, err := loadScenario(p, args[0], sets, &attach)
			if err != nil {
				return err
			}
			if s.Attach {
				where.attached = &attach
			}
			return play(ctx, p, s, where, out, metrics, &page)
		},
	}
	setFlag(c, &sets)
	where.add(c)
	c.Flags().StringVar(&out, "out", "", "folder of the run (default runs/SCENARIO/TIME)")
	c.Flags().BoolVar(&attach.asked, "attach", false, "play on the app that is up, and leave it up")
	c.Flags().StringVar(&metrics, "metrics", "",
		"serve the run's metrics to Prometheus at `ADDR`, such as 127.0.0.1:9000, and where its tasks are at /sd")
	c.Flags().StringVar(&page.address, "live", "", "show the run in the browser, at an address of this machine or, with a key, at another")
	c.Flags().Lookup("live").NoOptDefVal = anyPort
	addHosts(c, &page.hosts)
	return c
}

// play runs a scenario from an empty folder to its report, on a page where that has an address.
func play(ctx context.Context, p process, s scenarios.Scenario, where clusterFlags, out, metrics string, page *runPage) error {
	var server *metricsServer
	if metrics != "" {
		var err error
		if server, err = serveMetrics(p, metrics); err != nil {
			return usage(err)
		}
		defer server.close()
	}
	if page.asked() {
		if err := page.open(p); err != nil {
			return err
		}
		defer page.close()
	}
	to, err := folder(out, s.Name)
	if err != nil {
		return err
	}
	to.metrics = server
	to.recording = func(cluster.Cluster) *live.Feed {
		page.show(p, to.dir)
		return nil
	}
	recorded, err := record(ctx, p, s, where, to)
	if !recorded {
		to.giveUp()
		return err
	}
	return conclude(p, to.dir, err, nil)
}

// recordAlone is record for a command that plays several runs: Ctrl-C ends the one that is being played.
func recordAlone(p process, s scenarios.Scenario, where clusterFlags, dir string) (recorded bool, err error) {
	ctx, stop := p.interruptible()
	defer stop()
	return record(ctx, p, s, where, runFolder{dir: dir})
}

// record runs a scenario and records it in a folder. recorded is false when there is nothing to report.
func record(ctx context.Context, p process, s scenarios.Scenario, where clusterFlags, to runFolder) (recorded bool, err error) {
	if os.Getenv("GOMAXPROCS") == "" {
		// One more than there are processors: a request that falls due finds a place to run, though replicas have taken the
		// processors from those that hold the others.
		runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	}
	start := time.Now()
	dir := to.dir
	sink := &scenarios.Sink{}
	var c testbed
	if where.attached != nil {
		c, sink = where.attached.testbed()
	} else {
		c, err = where.cluster(request{dir: dir, seed: s.Seed, start: start, sink: sink.Event})
	}
	if err != nil {
		return false, err
	}
	if err := scenarios.Check(s, c.cluster); err != nil {
		return false, usage(err)
	}
	if err := c.reachable(); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, notBegun()
	}
	w, err := history.Create(dir, history.Manifest{
		Scenario: s.Name, Cluster: c.cluster.Name(), Simulated: c.simulated, Start: c.start.UTC(), Seed: s.Seed,
		Command: append([]string{"coinbench"}, p.args...), Settings: s.Settings, Coinbench: version(), Host: host(), Secrets: p.secrets.all(),
		Roles: s.App.Roles, Engines: c.engines,
	}, s.Source, s.App.Source)
	if err != nil {
		return false, withCode(folderCode(err), err)
	}
	to.link()
	if err := to.metrics.follow(dir, c.cluster); err != nil {
		return true, errors.Join(err, w.Close())
	}
	var feed *live.Feed
	if to.recording != nil {
		feed = to.recording(c.cluster)
	}

	say(p.stderr, "%s on %s, about %s, recorded in %s", s.Name, c.cluster.Name(), s.Estimate().Round(time.Second), dir)
	tell, end := showRun(p, dir, feed)
	err = scenarios.Run(ctx, s, scenarios.Config{Cluster: c.cluster, Sink: sink, Writer: w, Start: c.start, Progress: tell,
		Play: c.play, Session: to.session})
	end()
	if closing := w.Close(); err == nil {
		err = closing
	}
	return true, err
}

// conclude reports a run that has ended, in whatever way; analysed, if it is one, is told what its analysis is, nil if there is
// none. What stopped it comes last, where it is seen.
func conclude(p process, dir string, stopped error, analysed func(*capacity.Analysis)) error {
	a, err := analyse(dir)
	if analysed != nil {
		analysed(a)
	}
	if err != nil {
		return unmeasured(errors.Join(stopped, err))
	}
	published := publish(p, dir, a)
	switch {
	case errors.Is(stopped, context.Canceled):
		return interruption()
	case stopped != nil:
		return unmeasured(withRoom(stopped, dir))
	}
	return published
}
