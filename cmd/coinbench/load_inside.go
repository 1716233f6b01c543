package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/frame"
	"coinbench/cluster/swarm/relay"
	"coinbench/loadgen"
	"coinbench/scenarios"
)

// meetTimeout bounds how long a generator waits for the others: a harness that died never calls.
const meetTimeout = 5 * time.Minute

// loadCommand is one load generator of several, inside a Swarm.
func loadCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:     "load",
		Short:   "Be one of several load generators (coinbench starts this itself)",
		Example: "  COIN_RELAY=10.0.1.2:8083 COIN_JOB=job1 coinbench load",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := terminable()
			defer stop()
			env := environment(p.environ)
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			late := time.AfterFunc(meetTimeout, func() { cancel(errors.New("the others did not come within " + meetTimeout.String())) })
			order, err := relay.Meet(ctx, env[swarm.RelayVariable], env[swarm.JobVariable], env[swarm.NodeVariable])
			if err != nil {
				return unmeasured(errors.Join(err, context.Cause(ctx)))
			}
			late.Stop()
			go func() {
				<-order.Stop
				cancel(nil)
			}()
			var w loadgen.Workload
			if err := json.Unmarshal(order.Work, &w); err != nil {
				return unmeasured(fmt.Errorf("read the workload: %w", err))
			}
			out := frame.NewWriter(p.stdout, order.Copy, env[swarm.NodeVariable])
			select {
			case <-time.After(time.Until(order.Start)):
			case <-ctx.Done():
				return unmeasured(ctx.Err())
			}
			sender := scenarios.NewSender(out.Message, time.Since(order.Start), order.Off)
			end, err := loadgen.Run(ctx, w, order.Origin, sender)
			return unmeasured(errors.Join(err, sender.End(end), out.End()))
		},
	}
}
