package main

import (
	"github.com/spf13/cobra"
)

func swarmCommand(p process) *cobra.Command {
	c := &cobra.Command{
		Use:   "swarm",
		Short: "Prepare a Docker Swarm, or make one for a lab",
		Example: `  coinbench swarm bootstrap
  coinbench swarm lab up --nodes 3
  coinbench swarm lab down`,
	}
	c.AddCommand(bootstrapCommand(p), labCommand(p), vmCommand(p))
	return c
}
