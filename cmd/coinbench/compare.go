package main

import (
	"github.com/spf13/cobra"

	"coinbench/reports"
)

func compareCommand(p process) *cobra.Command {
	format, strict := "text", false
	c := &cobra.Command{
		Use:   "compare DIR DIR",
		Short: "Put two runs side by side",
		Long: `compare prints what both runs measured under the same name, and which numbers differ by more than the runs' own errors.

Exit codes: 0 they were compared; with --fail-on-difference 1 when they differ, 3 when that cannot be told; 2 bad input.`,
		Example: `  coinbench compare runs/smoke/20261120T090000Z runs/smoke/20261120T100000Z
  coinbench compare --format markdown runs/bottleneck/a runs/bottleneck/b
  coinbench compare --fail-on-difference runs/base runs/change`,
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
			if err := reports.WriteComparison(p.stdout, format, a, b, textOptions(p)); err != nil || !strict {
				return usage(err)
			}
			return exit(reports.Compare(a, b).Outcome().ExitCode())
		},
	}
	c.Flags().StringVar(&format, "format", format, "text, markdown or json")
	c.Flags().BoolVar(&strict, "fail-on-difference", false, "exit with 1 when a number differs, or a window or load is in one run only")
	return c
}
