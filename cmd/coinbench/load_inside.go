package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/loadgen"
	"coinbench/loadgen/remote"
	"coinbench/loadgen/remote/frame"
)

// meetTimeout bounds how long a generator waits for the others: a harness that died never calls.
const meetTimeout = 5 * time.Minute

// loadCommand is one load generator of several, inside a Swarm.
func loadCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:     "load",
		Short:   "Be one of several load generators (coinbench starts this itself)",
		Example: "  COIN_RELAY=10.0.1.2:8083 COIN_JOB=job1 COIN_COPY=1 coinbench load",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			told, stop := terminable()
			defer stop()
			env := environment(p.environ)
			ctx, cancel := context.WithCancelCause(told)
			defer cancel(nil)
			late := time.AfterFunc(meetTimeout, func() { cancel(errors.New("the others did not come within " + meetTimeout.String())) })
			order, self, err := meet(ctx, env)
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
			out := frame.NewWriter(p.stdout, self, env[cluster.NodeVariable])
			select {
			case <-time.After(time.Until(order.Start)):
			case <-ctx.Done():
				return unmeasured(ctx.Err())
			}
			sender := remote.NewSender(out.Message, time.Since(order.Start), order.Off)
			end, err := loadgen.Run(ctx, w, order.Origin, sender)
			if err = errors.Join(err, sender.End(end)); err == nil && told.Err() != nil {
				err = errors.New("it was told to stop by its engine")
			}
			if err == nil {
				err = out.End()
			}
			return unmeasured(err)
		},
	}
}

// meet is the meeting of this copy of a job with the others, and its number.
func meet(ctx context.Context, env map[string]string) (remote.Order, int, error) {
	self, err := strconv.Atoi(env[cluster.CopyVariable])
	if err != nil {
		return remote.Order{}, 0, fmt.Errorf("%s is %q, not the number of this copy", cluster.CopyVariable, env[cluster.CopyVariable])
	}
	order, err := remote.Meet(ctx, env[cluster.MeetingVariable], env[cluster.JobVariable], self, env[cluster.NodeVariable])
	return order, self, err
}
