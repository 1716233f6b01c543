package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/reports"
)

func compareCommand(p process) *cobra.Command {
	format, strict := "text", false
	var fail []string
	c := &cobra.Command{
		Use:   "compare DIR DIR",
		Short: "Put two runs side by side",
		Long: `compare prints what both runs measured under the same name, and which numbers differ by more than the runs' own errors.

Two runs are a sample of one: their errors are those within the runs, and what differs between one deployment and the next is not in
them. A gate compares many pairs (coinbench gate) and has stated error rates.

Exit codes: 0 they were compared; with --fail-on-difference 1 when they differ, with --fail-if 1 when a condition holds, 3 when that
cannot be told; 2 bad input.`,
		Example: `  coinbench compare runs/smoke/20261120T090000Z runs/smoke/20261120T100000Z
  coinbench compare --format markdown runs/bottleneck/a runs/bottleneck/b
  coinbench compare --fail-on-difference runs/base runs/change
  coinbench compare --fail-if 'hash_rate(scaled) < -5%' runs/base runs/change`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var conditions []capacity.Change
			for _, text := range fail {
				change, err := capacity.ParseChange(text)
				if err != nil {
					return usage(fmt.Errorf("--fail-if %s: %w", text, err))
				}
				conditions = append(conditions, change)
			}
			a, err := analyse(args[0])
			if err != nil {
				return usage(err)
			}
			b, err := analyse(args[1])
			if err != nil {
				return usage(err)
			}
			if err := reports.WriteComparison(p.stdout, format, a, b, textOptions(p)); err != nil {
				return usage(err)
			}
			code := exitPass
			if strict {
				code = reports.Compare(a, b).Outcome().ExitCode()
			}
			if len(conditions) > 0 {
				code = worse(code, changed(p, conditions, a, b))
			}
			return exit(code)
		},
	}
	c.Flags().StringVar(&format, "format", format, "text, markdown, html or json")
	c.Flags().BoolVar(&strict, "fail-on-difference", false, "exit with 1 when a number differs, or a window or load is in one run only")
	c.Flags().StringArrayVar(&fail, "fail-if", nil, "exit with 1 when a metric of the second run has changed so, as `METRIC(NAME) < -5%`; "+
		"may be repeated")
	return c
}

// changed judges two runs by conditions, and tells how on standard error: standard output may be JSON. Runs that are not sound decide
// nothing.
func changed(p process, conditions []capacity.Change, a, b *capacity.Analysis) (code int) {
	sound := a.Validity.OK && b.Validity.OK && a.Overall.Incomplete == "" && b.Overall.Incomplete == ""
	if !sound {
		code = exitUnmeasured
		say(p.stderr, "one of the runs is invalid or incomplete, so that no condition can be judged")
	}
	for _, c := range conditions {
		v := c.Judge(a, b)
		says, of := "it does not hold", exitPass
		switch v.Result {
		case capacity.Fail:
			says, of = "it holds", exitFail
		case capacity.Unknown:
			says, of = "not known", exitUnmeasured
		}
		say(p.stderr, "%s: %s: %s", c.Text, says, v.Reason)
		if sound {
			code = worse(code, of)
		}
	}
	say(p.stderr, "Two runs are a sample of one: coinbench gate compares many pairs, with stated error rates")
	return code
}

// worse is the exit code of two judgements together: a failure that is shown is not undone by what is not known.
func worse(a, b int) int {
	if a == exitFail || b == exitFail {
		return exitFail
	}
	return max(a, b)
}
