package main

import (
	"github.com/spf13/cobra"

	"coinbench/reports"
)

func compareCommand(p process) *cobra.Command {
	format := "text"
	c := &cobra.Command{
		Use:   "compare DIR DIR",
		Short: "Put two runs side by side",
		Example: `  coinbench compare runs/smoke/20261120T090000Z runs/smoke/20261120T100000Z
  coinbench compare --format markdown runs/bottleneck/a runs/bottleneck/b`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := analyse(p, args[0])
			if err != nil {
				return usage(err)
			}
			b, err := analyse(p, args[1])
			if err != nil {
				return usage(err)
			}
			return usage(reports.WriteComparison(p.stdout, format, a, b))
		},
	}
	c.Flags().StringVar(&format, "format", format, "text, markdown or json")
	return c
}
