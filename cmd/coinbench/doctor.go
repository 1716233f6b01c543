package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/frame"
	"coinbench/cluster/swarm/relay"
)

func doctorCommand(p process) *cobra.Command {
	var where clusterFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a Swarm: each line is ok, or says what to do",
		Example: `  coinbench doctor
  coinbench doctor --registry 10.0.0.1:5000`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible()
			defer stop()
			on, err := where.onSwarm(time.Now(), nil, false)
			if err != nil {
				return err
			}
			bad := 0
			err = on.Doctor(ctx, func(f swarm.Finding) {
				word := "ok"
				if !f.OK {
					word = "!!"
					bad++
				}
				fmt.Fprintf(p.stdout, "%s  %-24s %s\n", word, f.What, f.Text)
			})
			if err != nil {
				return unmeasured(err)
			}
			if bad > 0 {
				return exit(exitFail)
			}
			return nil
		},
	}
	where.swarm.add(c)
	return c
}

// vitalsCommand is what the doctor runs on every node.
func vitalsCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:     "vitals",
		Short:   "Say how this node is (coinbench starts this itself)",
		Example: "  COIN_RELAY=10.0.1.2:8083 COIN_JOB=job1 coinbench vitals",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible()
			defer stop()
			env := environment(p.environ)
			node := env[swarm.NodeVariable]
			order, err := relay.Meet(ctx, env[swarm.RelayVariable], env[swarm.JobVariable], node)
			if err != nil {
				return unmeasured(err)
			}
			data, err := json.Marshal(swarm.Vitals{Node: node, OriginAt: order.Origin.Round(0), Off: order.Off, FreeBytes: freeBytes("/")})
			if err != nil {
				return unmeasured(err)
			}
			out := frame.NewWriter(p.stdout, order.Copy, node)
			return unmeasured(errors.Join(out.Message(data), out.End()))
		},
	}
}
