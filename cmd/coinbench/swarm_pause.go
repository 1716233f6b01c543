package main

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/spawn"
)

// pauseContainerCommand freezes a container on the node that it runs on, until it is told to stop.
func pauseContainerCommand(p process) *cobra.Command {
	var longest time.Duration
	c := &cobra.Command{
		Use:     "pause-container ID",
		Short:   "Freeze a container on this node until told to stop (coinbench starts this itself)",
		Example: "  coinbench pause-container 0123456789ab --for 10s",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			stopped, stop := terminable()
			defer stop()
			here, err := client.New(client.WithHost(insideHost))
			if err != nil {
				return unmeasured(err)
			}
			defer here.Close()
			ctx := context.WithoutCancel(stopped) // whatever happens, what was frozen is thawed
			if _, err := here.ContainerPause(ctx, args[0], client.ContainerPauseOptions{}); err != nil {
				return unmeasured(fmt.Errorf("freeze %s: %w", args[0], err))
			}
			fmt.Fprintln(p.stdout, spawn.PausedWord)
			select {
			case <-time.After(longest):
			case <-stopped.Done():
			}
			_, err = here.ContainerUnpause(ctx, args[0], client.ContainerUnpauseOptions{})
			if engineerr.NotFrozen.Is(err) {
				err = nil // it was replaced meanwhile
			}
			return unmeasured(err)
		},
	}
	c.Flags().DurationVar(&longest, "for", time.Minute, "the longest time")
	return c
}
