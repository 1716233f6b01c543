package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/lab"
	"coinbench/services/settings"
)

// shippedTags are those that a registry of ours has, and images are pushed with unless others are asked for: the workshop's two
// releases, and what the shipped scenarios release. The images of all share their layers.
func shippedTags() []string { return []string{"v0.1", "v0.01", "v1", "v2", "v3", "v4", "v5"} }

func labCommand(p process) *cobra.Command {
	name := lab.DefaultName
	c := &cobra.Command{
		Use:   "lab",
		Short: "Make a real Swarm of several nodes on this machine (Linux, root, Docker Engine installed)",
		Example: `  coinbench swarm lab up --nodes 3
  eval "$(coinbench swarm lab env)"
  coinbench swarm lab down`,
	}
	c.PersistentFlags().StringVar(&name, "name", name, "name of the lab; several can be up at once")
	c.AddCommand(labUp(p, &name), labDown(&name), labPs(p, &name), labKill(p, &name), labStart(p, &name), labEnv(p, &name))
	return c
}

func labUp(p process, name *string) *cobra.Command {
	nodes, filled, heartbeat := 3, "", time.Duration(0)
	c := &cobra.Command{
		Use:     "up",
		Short:   "Make the lab: engines, Swarm, registry with coinbench's images",
		Example: "  coinbench swarm lab up --nodes 3",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			config := lab.Config{Name: *name, Nodes: nodes, Heartbeat: heartbeat, RegistryDir: filled,
				Progress: func(text string) { fmt.Fprintln(p.stderr, text) }}
			err := config.Validate()
			if nodes == 0 { // which is as many as usual, for Config
				err = errors.New("0 nodes; accepted: 1 or more")
			}
			if err = cmp.Or(err, lab.Check()); err != nil {
				return usage(err)
			}
			if filled == "" {
				if config.Images, err = labImages(ctx, p); err != nil {
					return unmeasured(err)
				}
			}
			begun := time.Now()
			l, err := lab.Up(ctx, config)
			if err != nil {
				return unmeasured(err)
			}
			fmt.Fprintf(p.stdout, "%d nodes in %s, registry at %s\n", len(l.Nodes()), time.Since(begun).Round(100*time.Millisecond), l.Registry())
			fmt.Fprintf(p.stdout, "export %s\n", strings.Join(l.Env(), " "))
			return nil
		},
	}
	c.Flags().IntVar(&nodes, "nodes", nodes, "number of nodes")
	c.Flags().DurationVar(&heartbeat, "heartbeat", 0, "time between two heartbeats of a node, which is down after three missed ones "+
		"(default the engine's own, 5s)")
	c.Flags().StringVar(&filled, "registry-data", "", "folder of a registry (coinbench registry --data) that has the images already; "+
		"nothing is built")
	return c
}

// labImages are those that a lab's registry has: ours, and Redis, which is our own if this machine has none.
func labImages(ctx context.Context, p process) (images.Set, error) {
	binary, err := images.Binary(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	set, err := imagesOf(binary, shippedTags())
	if err != nil {
		return nil, err
	}
	redis, err := images.Redis("")
	if err != nil {
		fmt.Fprintf(p.stderr, "coinbench: warning: the lab has coinbench's own Redis: %v\n", err)
		redis, err = images.OwnRedis(binary)
	}
	set[images.RedisName] = redis
	return set, err
}

// buildImages builds every image of ours with each tag, of one binary.
func buildImages(ctx context.Context, tags []string) (images.Set, error) {
	binary, err := images.Binary(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	return imagesOf(binary, tags)
}

// imagesOf are the images of ours that a binary makes.
func imagesOf(binary []byte, tags []string) (images.Set, error) {
	return images.BuildAll(images.Options{Binary: binary}, append(settings.Services(), ""), tags...)
}

func labDown(name *string) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Remove the lab and every trace of it, also after a crash",
		Example: "  coinbench swarm lab down",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return unmeasured(lab.Down(context.Background(), *name))
		},
	}
}

// inLab makes a command that works on a lab that is up.
func inLab(p process, name *string, c *cobra.Command, work func(ctx context.Context, l *lab.Lab, args []string) error) *cobra.Command {
	c.RunE = func(_ *cobra.Command, args []string) error {
		ctx, stop := p.interruptible()
		defer stop()
		l, err := lab.Open(*name)
		if errors.Is(err, lab.ErrNoLab) {
			err = fmt.Errorf("%w: make one with: coinbench swarm lab up", err)
		}
		if err != nil {
			return usage(err)
		}
		return unmeasured(work(ctx, l, args))
	}
	return c
}

func labPs(p process, name *string) *cobra.Command {
	return inLab(p, name, &cobra.Command{
		Use:     "ps",
		Short:   "List the lab's nodes",
		Example: "  coinbench swarm lab ps",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, l *lab.Lab, _ []string) error {
		nodes, err := l.Ps(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"NODE ", "ADDRESS ", "MACHINE ", "ENGINE ", "ROLE ", "STATE "}}
		on := map[bool]string{true: "on", false: "off"}
		for _, n := range nodes {
			rows = append(rows, []string{n.Name, n.Address.String(), on[n.PID != 0], on[n.Engine], n.Role, n.State})
		}
		return table(p.stdout, rows)
	})
}

func labKill(p process, name *string) *cobra.Command {
	engine := false
	c := inLab(p, name, &cobra.Command{
		Use:     "kill NODE",
		Short:   "Take a node's power away; `start` brings it back",
		Example: "  coinbench swarm lab kill node3",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, l *lab.Lab, args []string) error {
		if engine {
			return l.KillEngine(ctx, args[0])
		}
		return l.Kill(ctx, args[0])
	})
	c.Flags().BoolVar(&engine, "engine", false, "kill its engine only")
	return c
}

func labStart(p process, name *string) *cobra.Command {
	return inLab(p, name, &cobra.Command{
		Use:     "start NODE",
		Short:   "Start what of a node does not run",
		Example: "  coinbench swarm lab start node3",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, l *lab.Lab, args []string) error { return l.Start(ctx, args[0]) })
}

func labEnv(p process, name *string) *cobra.Command {
	return inLab(p, name, &cobra.Command{
		Use:     "env",
		Short:   "Print what a shell needs to use the lab's manager",
		Example: `  eval "$(coinbench swarm lab env)"`,
		Args:    cobra.NoArgs,
	}, func(_ context.Context, l *lab.Lab, _ []string) error {
		for _, e := range l.Env() {
			fmt.Fprintf(p.stdout, "export %s\n", e)
		}
		return nil
	})
}
