package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/swarm"
	"coinbench/history"
)

// The commands that deploy and change an app by hand, shaped like docker's.

// upCommand brings an app up to stay.
func upCommand(p process) *cobra.Command {
	var (
		where clusterFlags
		file  string
		scale []string
	)
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring the app up to explore it by hand",
		Long: `up deploys the app. On a Swarm it stays until 'coinbench down'; on this machine (--cluster local) it lives until Ctrl-C.
What it prints last is where the web page is.`,
		Example: `  coinbench up
  coinbench up --cluster swarm --scale worker=10 --scale rng=5
  coinbench up --cluster swarm --file docker-compose.yml --endpoint-mode dnsrr`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			app, err := loadApp(p, ".", file)
			if err != nil {
				return usage(err)
			}
			for _, text := range scale {
				service, replicas, err := parseScale(text)
				if err != nil {
					return usage(err)
				}
				if app, err = app.With(service, &replicas, cluster.Change{}); err != nil {
					return usage(err)
				}
			}
			if where.name == "swarm" {
				return upSwarm(ctx, p, where, app)
			}
			return upHere(ctx, p, where, app)
		},
	}
	where.add(c)
	c.Flags().StringVarP(&file, "file", "f", "", "Compose file (default: the one that coinbench ships)")
	c.Flags().StringArrayVar(&scale, "scale", nil, "replicas of a service, as `SERVICE=N`; may be repeated")
	return c
}

func parseScale(text string) (string, int, error) {
	service, number, ok := strings.Cut(text, "=")
	n, err := strconv.Atoi(number)
	if !ok || service == "" || err != nil || n < 0 {
		return "", 0, fmt.Errorf("%s: accepted: SERVICE=N with N at least 0", text)
	}
	return service, n, nil
}

// teller prints what a cluster does, a line each.
func teller(w io.Writer) cluster.Sink {
	return func(e history.Event) {
		switch e.Kind {
		case history.Warning:
			fmt.Fprintf(w, "warning: %s\n", e.Detail["message"])
		case history.TaskJoined:
			fmt.Fprintf(w, "%s is up\n", e.Task)
		case history.TaskGone:
			text := e.Task + " is gone"
			if e.Detail["error"] != "" {
				text += ": " + e.Detail["error"]
			}
			fmt.Fprintln(w, text)
		case history.RolloutBegin:
			text := "rolling update of " + e.Service
			if e.Detail["rollback"] != "" {
				text = "rolling " + e.Service + " back"
			}
			fmt.Fprintln(w, text)
		}
	}
}

func upSwarm(ctx context.Context, p process, where clusterFlags, app cluster.App) error {
	c, err := where.onManager(time.Now(), teller(p.stderr), true)
	if err != nil {
		return err
	}
	if err := c.Check(app); err != nil {
		return usage(err)
	}
	deployed := c.Deploy(ctx, app)
	if deployed == nil {
		err = printApp(ctx, p, c)
	}
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closing := c.Close(letGo); deployed == nil && err == nil {
		err = closing
	}
	if deployed != nil {
		return unmeasured(fmt.Errorf("%w\nlook at it with: coinbench ps --cluster swarm; take it down with: coinbench down --cluster swarm", deployed))
	}
	return unmeasured(err)
}

// upHere keeps the app in this process until it is told to stop.
func upHere(ctx context.Context, p process, where clusterFlags, app cluster.App) error {
	bed, err := where.cluster(request{dir: filepath.Join("runs", "up"), seed: 1, start: time.Now(), sink: teller(p.stderr)})
	if err != nil {
		return err
	}
	if err := bed.reachable(); err != nil {
		return err
	}
	if bed.simulated {
		return usage(errors.New("--cluster sim: nothing is brought up there; accepted: local, swarm"))
	}
	if err := bed.cluster.Check(app); err != nil {
		return usage(err)
	}
	err = bed.cluster.Deploy(ctx, app)
	if err == nil {
		if err = printApp(ctx, p, bed.cluster); err == nil {
			fmt.Fprintln(p.stderr, "until Ctrl-C")
			<-ctx.Done()
		}
	}
	if ctx.Err() != nil {
		err = nil // that is how it ends
	}
	return unmeasured(errors.Join(err, bed.cluster.Remove(context.WithoutCancel(ctx))))
}

// printApp shows services and tasks, and where the web page is.
func printApp(ctx context.Context, p process, c cluster.Cluster) error {
	all, err := c.Status(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tREPLICAS\tIMAGE\tBALANCE\tPUBLISHED")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%d/%d\t%s\t%s\t%s\n", s.Name, s.Running, s.Replicas, s.Image, s.Balance, strings.Join(s.Published, " "))
	}
	fmt.Fprintln(w, "\t\t\t\t")
	fmt.Fprintln(w, "TASK\tSTATE\tNODE\tIMAGE\tERROR")
	for _, s := range all {
		for _, t := range s.Tasks {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.State, t.Node, t.Image, t.Error)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		if s.Note != "" {
			fmt.Fprintf(p.stdout, "\n%s: %s\n", s.Name, s.Note)
		}
	}
	for _, s := range all {
		if s.Name == "webui" && len(s.Published) > 0 {
			fmt.Fprintf(p.stdout, "\nThe web page: http://%s/\n", s.Published[0])
		}
	}
	return nil
}

// existing are the flags of the commands that work on an app that is up.
type existing struct {
	cluster string
	app     string
}

func (f *existing) add(c *cobra.Command) {
	c.Flags().StringVar(&f.cluster, "cluster", "swarm", "where the app runs: swarm")
	c.Flags().StringVar(&f.app, "app", cluster.DefaultName, "name of the app")
}

// on finds the app, which was brought up to stay, and works on it.
func (f existing) on(p process, work func(ctx context.Context, c *swarm.Cluster) error) error {
	return f.found(p, func(ctx context.Context, c *swarm.Cluster) error { return c.Attach(ctx, f.app) }, work)
}

// look shows the app, whoever made it, and whose it is.
func (f existing) look(p process) error {
	whose := ""
	find := func(ctx context.Context, c *swarm.Cluster) (err error) {
		whose, err = c.Look(ctx, f.app)
		return err
	}
	return f.found(p, find, func(ctx context.Context, c *swarm.Cluster) error {
		err := printApp(ctx, p, c)
		if whose != "" {
			fmt.Fprintf(p.stdout, "\n%s\n", whose)
		}
		return err
	})
}

func (f existing) found(p process, find, work func(ctx context.Context, c *swarm.Cluster) error) error {
	if f.cluster != "swarm" {
		return usage(fmt.Errorf("--cluster %s: an app on this machine lives in the process of `coinbench up`; stop it there by Ctrl-C, or play a scenario; accepted: swarm", f.cluster))
	}
	ctx, stop := p.interruptible()
	defer stop()
	where := clusterFlags{swarm: swarmFlags{endpoint: string(swarm.Auto), generators: 1}}
	c, err := where.onManager(time.Now(), teller(p.stderr), true)
	if err != nil {
		return err
	}
	if err := find(ctx, c); err != nil {
		return unmeasured(err)
	}
	err = work(ctx, c)
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closing := c.Close(letGo); err == nil {
		err = closing
	}
	var refused *cluster.RolloutError
	if errors.As(err, &refused) {
		return withCode(exitFail, err)
	}
	return unmeasured(err)
}

func psCommand(p process) *cobra.Command {
	var f existing
	c := &cobra.Command{
		Use:     "ps",
		Short:   "Show the services, tasks, nodes, states and errors of an app that is up",
		Example: "  coinbench ps",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.look(p)
		},
	}
	f.add(c)
	return c
}

func scaleCommand(p process) *cobra.Command {
	var f existing
	c := &cobra.Command{
		Use:     "scale SERVICE=N...",
		Short:   "Set the replicas of services of an app that is up",
		Example: "  coinbench scale rng=5 worker=10",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, text := range args {
				if _, _, err := parseScale(text); err != nil {
					return usage(err)
				}
			}
			return f.on(p, func(ctx context.Context, c *swarm.Cluster) error {
				for _, text := range args {
					service, n, _ := parseScale(text)
					if err := c.Scale(ctx, service, n); err != nil {
						return err
					}
					fmt.Fprintf(p.stdout, "%s: %d\n", service, n)
				}
				return nil
			})
		},
	}
	f.add(c)
	return c
}

func updateCommand(p process) *cobra.Command {
	var (
		f                     existing
		image, balance, order string
		strategy              string
		env                   []string
		parallelism           int
		delay, monitor        time.Duration
		action                string
	)
	c := &cobra.Command{
		Use:   "update SERVICE",
		Short: "Change a service of an app that is up by a rolling update",
		Example: `  coinbench update worker --image coinbench/worker:v0.01 --parallelism 2 --delay 5s
  coinbench update rng --env COIN_DELAY=50ms
  coinbench update webui --image coinbench/webui:v2 --strategy blue-green`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			accepted := []cluster.Strategy{cluster.RollingUpdate, cluster.Serial, cluster.Batched, cluster.AllAtOnce, cluster.BlueGreen}
			if !slices.Contains(accepted, cluster.Strategy(strategy)) {
				return usage(fmt.Errorf("--strategy %s; accepted: rolling, serial, batched, all-at-once, blue-green (a canary is judged by requests: play a scenario)", strategy))
			}
			change := cluster.Change{Strategy: cluster.Strategy(strategy), Image: image, Balance: cluster.Balance(balance), Environment: map[string]string{}}
			for _, text := range env {
				name, value, ok := strings.Cut(text, "=")
				if !ok {
					return usage(fmt.Errorf("--env %s: accepted: NAME=VALUE; an empty value removes the variable", text))
				}
				change.Environment[name] = value
			}
			return f.on(p, func(ctx context.Context, on *swarm.Cluster) error {
				all, err := on.Status(ctx)
				if err != nil {
					return err
				}
				for _, s := range all {
					if s.Name != args[0] {
						continue
					}
					r := cluster.Strategy(strategy).Rollout(s.Update, s.Replicas)
					for name, set := range map[string]func(){
						"parallelism": func() { r.Parallelism = parallelism }, "delay": func() { r.Delay = delay }, "order": func() { r.Order = order },
						"monitor": func() { r.Monitor = monitor }, "failure-action": func() { r.FailureAction = action },
					} {
						if c.Flags().Changed(name) {
							set()
						}
					}
					change.Rollout = &r
				}
				return on.Update(ctx, args[0], change)
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&image, "image", "", "another image or tag")
	c.Flags().StringArrayVar(&env, "env", nil, "set a variable, as `NAME=VALUE`; may be repeated")
	c.Flags().StringVar(&balance, "balance", "", "round-robin (virtual addresses) or random (DNS round robin)")
	c.Flags().StringVar(&strategy, "strategy", string(cluster.RollingUpdate), "how it is rolled out: rolling, serial, batched, all-at-once, blue-green")
	c.Flags().IntVar(&parallelism, "parallelism", 1, "tasks replaced at the same time; 0: all")
	c.Flags().DurationVar(&delay, "delay", 0, "pause after each task")
	c.Flags().StringVar(&order, "order", "stop-first", "stop-first or start-first")
	c.Flags().DurationVar(&monitor, "monitor", 5*time.Second, "how long a new task is watched for failure")
	c.Flags().StringVar(&action, "failure-action", "pause", "pause, continue or rollback")
	return c
}

// simple is a command that does one thing to one service.
func simple(p process, verb, short string, do func(ctx context.Context, c *swarm.Cluster, service string) error) *cobra.Command {
	var f existing
	c := &cobra.Command{
		Use:     verb + " SERVICE",
		Short:   short,
		Example: "  coinbench " + verb + " worker",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return f.on(p, func(ctx context.Context, c *swarm.Cluster) error { return do(ctx, c, args[0]) })
		},
	}
	f.add(c)
	return c
}

func rollbackCommand(p process) *cobra.Command {
	return simple(p, "rollback", "Undo the last update of a service of an app that is up", func(ctx context.Context, c *swarm.Cluster, service string) error {
		return c.Rollback(ctx, service)
	})
}

func restartCommand(p process) *cobra.Command {
	force := false
	c := simple(p, "restart", "Replace every task of a service of an app that is up", func(ctx context.Context, c *swarm.Cluster, service string) error {
		return c.Restart(ctx, service)
	})
	c.Flags().BoolVar(&force, "force", true, "replace tasks though nothing changed (a restart always does)")
	return c
}

func logsCommand(p process) *cobra.Command {
	return simple(p, "logs", "Show what the tasks of a service of an app that is up printed", func(ctx context.Context, c *swarm.Cluster, service string) error {
		return c.Logs(ctx, service, p.stdout)
	})
}

func downCommand(p process) *cobra.Command {
	var app string
	where := "swarm"
	c := &cobra.Command{
		Use:   "down",
		Short: "Take down an app that is up, and whatever coinbench left of it",
		Long: `down removes every service, network and container that coinbench made for the app, found by its labels, whether it was
brought up by hand or left by a run that was killed. It touches nothing else, and no run that is going on.`,
		Example: "  coinbench down",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"swarm"}, where) {
				return usage(fmt.Errorf("--cluster %s: an app on this machine ends with the process of `coinbench up`; accepted: swarm", where))
			}
			ctx, stop := p.interruptible()
			defer stop()
			on, err := clusterFlags{swarm: swarmFlags{generators: 1}}.onManager(time.Now(), teller(p.stderr), true)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return unmeasured(on.Down(ctx, app))
		},
	}
	c.Flags().StringVar(&where, "cluster", where, "where the app runs: swarm")
	c.Flags().StringVar(&app, "app", cluster.DefaultName, "name of the app")
	return c
}
