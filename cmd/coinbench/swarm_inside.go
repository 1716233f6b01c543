package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/registry"
	"coinbench/cluster/swarm/relay"
	"coinbench/cluster/swarm/setup"
	"coinbench/loadgen/remote"
)

// What runs inside a Swarm, or serves it, is this same binary. These commands are started by coinbench itself.

const (
	insideHost  = "unix:///var/run/docker.sock" // where a container finds the engine's socket that it was given
	sweepAllows = 2 * time.Minute
)

func relayCommand(p process) *cobra.Command {
	var app, run string
	c := &cobra.Command{
		Use:     "relay",
		Short:   "Reach into an overlay network over standard input and output (coinbench starts this itself)",
		Example: "  coinbench relay",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Being told to stop is no reason to forget the sweep.
			ctx, stop := terminable()
			defer stop()
			meeting, err := net.Listen("tcp", ":"+relay.MeetingPort)
			if err != nil {
				return unmeasured(err)
			}
			serving, quit := context.WithCancel(ctx)
			met := make(chan error, 1)
			go func() { met <- remote.ServeMeetings(serving, meeting) }()
			err = relay.Serve(ctx, p.stdin, p.stdout)
			quit()
			err = errors.Join(err, <-met)
			if app == "" || ctx.Err() != nil {
				return unmeasured(err)
			}
			// The input has ended. After a run in good order somebody removes this container now; otherwise its harness is
			// gone, and what it made goes too.
			sweeping, cancel := context.WithTimeout(ctx, sweepAllows)
			defer cancel()
			select {
			case <-time.After(3 * time.Second):
			case <-ctx.Done():
				return nil
			}
			here, clientErr := client.New(client.WithHost(insideHost))
			if clientErr != nil {
				return unmeasured(errors.Join(err, clientErr))
			}
			defer here.Close()
			return unmeasured(errors.Join(err, setup.Sweep(sweeping, engine.New(here, engine.Options{}), app, run)))
		},
	}
	c.Flags().StringVar(&app, "sweep", "", "when the input ends, remove what the run made of this app")
	c.Flags().StringVar(&run, "run", "", "the run that --sweep is about")
	return c
}

func killContainerCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "kill-container ID",
		Short:   "Kill a container on this node (coinbench starts this itself)",
		Example: "  coinbench kill-container 0123456789ab",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := client.New(client.WithHost(insideHost))
			if err != nil {
				return unmeasured(err)
			}
			defer engine.Close()
			if _, err := engine.ContainerKill(c.Context(), args[0], client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
				return unmeasured(fmt.Errorf("kill %s: %w", args[0], err))
			}
			return nil
		},
	}
}

// redisCommand is the Redis of a Swarm where no other can be had.
func redisCommand() *cobra.Command {
	listen := ":6379"
	c := &cobra.Command{
		Use:     "redis",
		Short:   "Serve coinbench's own Redis (coinbench starts this itself)",
		Example: "  coinbench redis --listen 127.0.0.1:6379",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := terminable()
			defer stop()
			server := miniredis.NewMiniRedis()
			if err := server.StartAddr(listen); err != nil {
				return unmeasured(fmt.Errorf("serve redis: %w", err))
			}
			<-ctx.Done()
			server.Close()
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", listen, "where, as `HOST:PORT`")
	return c
}

// registryCommand is the registry of a lab, and of a Swarm that can pull nothing.
func registryCommand() *cobra.Command {
	var listen, data string
	c := &cobra.Command{
		Use:     "registry",
		Short:   "Serve an image registry from a folder (coinbench starts this itself)",
		Example: "  coinbench registry --listen 127.0.0.1:5000 --data /tmp/registry",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := terminable()
			defer stop()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return unmeasured(err)
			}
			if err := registry.Serve(ctx, l, data); err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				return unmeasured(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", ":5000", "where, as `HOST:PORT`")
	c.Flags().StringVar(&data, "data", "/data", "folder of the images")
	return c
}
