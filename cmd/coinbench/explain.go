package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/reports"
)

func explainCommand(p process) *cobra.Command {
	format, only := "text", ""
	c := &cobra.Command{
		Use:   "explain DIR",
		Short: "Say what limits a run, on what evidence, and the one change to try",
		Long: `explain reads a run's folder and names the limit of each window, and of each load without workers: rng, hasher,
the workers' own loop, pinned connections, a back-off storm, random balancing, the generator's or the host's
processors, a queue limit, Redis, an unhealthy replica, or none. Every number has its 95 % interval, where the window is
long enough to be cut into parts.`,
		Example: `  coinbench explain runs/bottleneck/latest
  coinbench explain runs/outage/latest --only outage --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			run, err := openHistory(args[0])
			if err != nil {
				return usage(err)
			}
			a := capacity.Analyse(run)
			x := capacity.Explain(run, &a)
			if only != "" {
				part := x.Part(only)
				if part == nil {
					return usage(fmt.Errorf("--only %s: the run has no such window or load", only))
				}
				x.Parts = []capacity.Explained{*part}
			}
			switch format {
			case "text":
				return unmeasured(reports.ExplainText(p.stdout, x, textOptions(p)))
			case "json":
				return unmeasured(reports.ExplainJSON(p.stdout, x))
			}
			return usage(fmt.Errorf("--format %s: accepted: text, json", format))
		},
	}
	c.Flags().StringVar(&format, "format", format, "text or json")
	c.Flags().StringVar(&only, "only", "", "explain this window or load alone")
	return c
}
