package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// The commands that deploy and change an app by hand, shaped like docker's.

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
		switch p := e.Payload.(type) {
		case event.Warning:
			say(w, "warning: %s", p.Message)
		case event.TaskJoined:
			fmt.Fprintf(w, "%s is up\n", e.Task)
		case event.TaskGone:
			text := e.Task + " is gone"
			if p.Error != "" {
				text += ": " + p.Error
			}
			say(w, "%s", text)
		case event.RolloutBegin:
			text := "rolling update of " + e.Service
			if p.Rollback {
				text = "rolling " + e.Service + " back"
			}
			fmt.Fprintln(w, text)
		}
	}
}

// printApp shows services and tasks, and where the web page is.
func printApp(ctx context.Context, p process, c cluster.Cluster) error {
	all, err := c.Status(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	p.keepSecretOf(all)
	services := [][]string{{"SERVICE ", "REPLICAS ", "IMAGE ", "BALANCE ", "PUBLISHED "}}
	tasks := [][]string{{"TASK ", "STATE ", "NODE ", "IMAGE ", "ERROR "}}
	for _, s := range all {
		services = append(services, []string{s.Name, fmt.Sprintf("%d/%d", s.Running, s.Replicas), s.Image, string(s.Balance),
			strings.Join(s.Published, " ")})
		for _, t := range s.Tasks {
			tasks = append(tasks, []string{t.Name, string(t.State), t.Node, t.Image, p.secrets.Mask(t.Error)})
		}
	}
	if err := table(p.stdout, services); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	if err := table(p.stdout, tasks); err != nil {
		return err
	}
	for _, s := range all {
		if s.Note != "" {
			say(p.stdout, "\n%s: %s", s.Name, s.Note)
		}
	}
	for _, s := range all {
		if s.Name == "webui" && len(s.Published) > 0 {
			fmt.Fprintf(p.stdout, "\nThe web page: http://%s/\n", s.Published[0])
		}
	}
	return nil
}

// onApp makes a command that works on an app that is up.
func (f *existing) onApp(p process, c *cobra.Command, work func(ctx context.Context, app *found, args []string) error) *cobra.Command {
	c.RunE = func(_ *cobra.Command, args []string) error {
		return f.on(p, func(ctx context.Context, app *found) error { return work(ctx, app, args) })
	}
	f.add(c)
	return c
}

func psCommand(p process) *cobra.Command {
	f := existing{look: true}
	return f.onApp(p, &cobra.Command{
		Use:     "ps",
		Short:   "Show the services, tasks, nodes, states and errors of an app that is up",
		Example: "  coinbench ps",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, app *found, _ []string) error {
		if err := printApp(ctx, p, app.cluster); err != nil {
			return err
		}
		whose, err := app.whose(ctx)
		if whose != "" {
			say(p.stdout, "\n%s", whose)
		}
		return err
	})
}

func scaleCommand(p process) *cobra.Command {
	return new(existing).onApp(p, &cobra.Command{
		Use:     "scale SERVICE=N...",
		Short:   "Set the replicas of services of an app that is up",
		Example: "  coinbench scale rng=5 worker=10",
		Args: func(c *cobra.Command, args []string) error {
			err := cobra.MinimumNArgs(1)(c, args)
			for _, text := range args {
				_, _, wrong := parseScale(text)
				err = cmp.Or(err, wrong)
			}
			return usage(err)
		},
	}, func(ctx context.Context, app *found, args []string) error {
		for _, text := range args {
			service, n, _ := parseScale(text)
			if err := app.change(ctx, p, service, func() error { return app.cluster.Scale(ctx, service, n) }); err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%s: %d\n", service, n)
		}
		return nil
	})
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
		Long: `update returns when the update has ended. It goes on when this command is interrupted or killed, on a Swarm as on this
machine: 'coinbench ps' shows how far it is. A change of a service waits for the one before it.`,
		Example: `  coinbench update worker --image coinbench/worker:v0.01 --parallelism 2 --delay 5s
  coinbench update rng --env COIN_DELAY=50ms
  coinbench update webui --image coinbench/webui:v2 --strategy blue-green`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			accepted := []cluster.Strategy{cluster.RollingUpdate, cluster.Serial, cluster.Batched, cluster.AllAtOnce, cluster.BlueGreen}
			if !slices.Contains(accepted, cluster.Strategy(strategy)) {
				return usage(fmt.Errorf("--strategy %s; accepted: rolling, serial, batched, all-at-once, blue-green (a canary is judged by "+
					"requests: play a scenario)", strategy))
			}
			change := cluster.Change{Strategy: cluster.Strategy(strategy), Image: image, Balance: cluster.Balance(balance),
				Environment: map[string]string{}}
			for _, text := range env {
				name, value, ok := strings.Cut(text, "=")
				if !ok {
					return usage(fmt.Errorf("--env %s: accepted: NAME=VALUE; an empty value removes the variable", text))
				}
				change.Environment[name] = value
			}
			return f.on(p, func(ctx context.Context, app *found) error {
				all, err := app.cluster.Status(ctx)
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
				return app.change(ctx, p, args[0], func() error { return app.cluster.Update(ctx, args[0], change) })
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&image, "image", "", "another image or tag")
	c.Flags().StringArrayVar(&env, "env", nil, "set a variable, as `NAME=VALUE`; may be repeated")
	c.Flags().StringVar(&balance, "balance", "", "round-robin (virtual addresses) or random (DNS round robin)")
	c.Flags().StringVar(&strategy, "strategy", string(cluster.RollingUpdate),
		"how it is rolled out: rolling, serial, batched, all-at-once, blue-green")
	c.Flags().IntVar(&parallelism, "parallelism", 1, "tasks replaced at the same time; 0: all")
	c.Flags().DurationVar(&delay, "delay", 0, "pause after each task")
	c.Flags().StringVar(&order, "order", "stop-first", "stop-first or start-first")
	c.Flags().DurationVar(&monitor, "monitor", 5*time.Second, "how long a new task is watched for failure")
	c.Flags().StringVar(&action, "failure-action", "pause", "pause, continue or rollback")
	return c
}

func rollbackCommand(p process) *cobra.Command {
	return new(existing).onApp(p, &cobra.Command{
		Use:     "rollback SERVICE",
		Short:   "Undo the last update of a service of an app that is up",
		Example: "  coinbench rollback worker",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, app *found, args []string) error {
		on, ok := app.cluster.(cluster.Rollbacker)
		if !ok {
			return app.lacks("roll back")
		}
		return app.change(ctx, p, args[0], func() error { return on.Rollback(ctx, args[0]) })
	})
}

func restartCommand(p process) *cobra.Command {
	return new(existing).onApp(p, &cobra.Command{
		Use:     "restart SERVICE",
		Short:   "Replace every task of a service of an app that is up",
		Example: "  coinbench restart worker",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, app *found, args []string) error {
		on, ok := app.cluster.(cluster.Restarter)
		if !ok {
			return app.lacks("restart")
		}
		return app.change(ctx, p, args[0], func() error { return on.Restart(ctx, args[0]) })
	})
}

func logsCommand(p process) *cobra.Command {
	follow := false
	c := new(existing).onApp(p, &cobra.Command{
		Use:   "logs SERVICE",
		Short: "Show what the tasks of a service of an app that is up printed",
		Example: `  coinbench logs worker
  coinbench logs -f worker`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, app *found, args []string) (err error) {
		out := &maskedLines{w: p.stdout, secrets: p.secrets}
		defer func() { err = errors.Join(err, out.flush()) }()
		if !follow {
			on, ok := app.cluster.(cluster.Logs)
			if !ok {
				return app.lacks("show logs")
			}
			return on.Logs(ctx, args[0], out)
		}
		on, ok := app.cluster.(cluster.LogFollower)
		if !ok {
			return app.lacks("follow logs")
		}
		err = on.FollowLogs(ctx, args[0], out)
		if ctx.Err() != nil {
			return nil // that is how it ends
		}
		return err
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is printed, until Ctrl-C, which leaves the app alone, or until the "+
		"app is down")
	return c
}

func downCommand(p process) *cobra.Command {
	var f existing
	c := &cobra.Command{
		Use:   "down",
		Short: "Take down an app that is up, and whatever coinbench left of it",
		Long: `down takes down the app that is up on this machine, and returns when another can be brought up. On a Swarm it removes every
service, network and container that coinbench made for the app, found by its labels, whether it was brought up by hand or left by a
run that was killed. It touches nothing else, and no run that is in progress. That nothing is up is no error.`,
		Example: "  coinbench down",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.down(p)
		},
	}
	f.add(c)
	return c
}
