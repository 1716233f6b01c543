package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/reports"
)

// contender is a strategy of the tournament, and the parameters of the scenario that make it.
type contender struct {
	name string
	set  map[string]string
}

// contenders lists every strategy, in the order of the table.
func contenders() []contender {
	return []contender{
		{"serial", map[string]string{"strategy": "serial"}},
		{"rolling", map[string]string{"strategy": "rolling"}},
		{"start-first", map[string]string{"strategy": "rolling", "order": "start-first"}},
		{"batched", map[string]string{"strategy": "batched"}},
		{"all-at-once", map[string]string{"strategy": "all-at-once"}},
		{"blue-green", map[string]string{"strategy": "blue-green", "gateway": "true"}},
		{"canary", map[string]string{"strategy": "canary", "order": "start-first"}},
	}
}

func tournamentCommand(p process) *cobra.Command {
	var where clusterFlags
	var sets, names []string
	var service, rate, out string
	c := &cobra.Command{
		Use:   "tournament",
		Short: "Release by every strategy under the same load, and compare",
		Long: `tournament plays the scenario of the same name once for each strategy: the same requests at the same instants, the same seed. It
prints one table and writes it with one plot: what each strategy took, what it lost, and what else it needed.`,
		Example: `  coinbench tournament
  coinbench tournament --service webui --strategies rolling,start-first,blue-green --rate 300/s`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := chosen(names)
			if err != nil {
				return usage(err)
			}
			if service != "" {
				sets = append(sets, "service="+service)
			}
			if rate != "" {
				sets = append(sets, "rate="+rate)
			}
			to, err := folder(out, "tournament")
			if err != nil {
				return err
			}
			defer to.giveUp() // if nothing came of it
			return tournament(p, all, sets, where, to.dir)
		},
	}
	var every []string
	for _, k := range contenders() {
		every = append(every, k.name)
	}
	c.Flags().StringVar(&service, "service", "", "the service that is released (default hasher)")
	c.Flags().StringSliceVar(&names, "strategies", every, "strategies to compare, joined by commas")
	c.Flags().StringVar(&rate, "rate", "", "requests that fall due (default 200/s)")
	setFlag(c, &sets)
	where.add(c)
	c.Flags().StringVar(&out, "out", "", "folder of the runs and of the comparison (default runs/tournament/TIME)")
	return c
}

// chosen are the contenders of the given names, or every fault.
func chosen(names []string) (all []contender, err error) {
	known := map[string]contender{}
	var accepted []string
	for _, k := range contenders() {
		known[k.name] = k
		accepted = append(accepted, k.name)
	}
	for _, name := range names {
		k, ok := known[name]
		if !ok {
			err = errors.Join(err, fmt.Errorf("--strategies %s: unknown; accepted: %s", name, strings.Join(accepted, ", ")))
			continue
		}
		all = append(all, k)
	}
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("--strategies: none; accepted: %s", strings.Join(accepted, ", "))
	}
	return all, err
}

// tournament plays one run after the other and compares them.
func tournament(p process, all []contender, sets []string, where clusterFlags, out string) error {
	var entries []reports.Contender
	for _, k := range all {
		set := maps.Clone(k.set)
		own := append([]string{}, sets...)
		for key, value := range set {
			own = append(own, key+"="+value)
		}
		s, err := loadScenario(p, "tournament", own, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s: ", k.name)
		dir := filepath.Join(out, k.name)
		recorded, stopped := recordAlone(p, s, where, dir)
		if !recorded {
			return stopped
		}
		if stopped != nil {
			return unmeasured(fmt.Errorf("%s: %w", k.name, stopped))
		}
		a, err := analyse(dir)
		if err != nil {
			return unmeasured(err)
		}
		if _, err := reports.Write(dir, a); err != nil {
			return unmeasured(err)
		}
		entries = append(entries, reports.Contender{Name: k.name, Analysis: a})
	}
	if err := reports.TournamentText(p.stdout, entries, textOptions(p)); err != nil {
		return unmeasured(fmt.Errorf("print the table: %w", err))
	}
	paths, err := reports.WriteTournament(out, entries)
	fmt.Fprintf(p.stdout, "\nWritten to %s:\n", out)
	for _, path := range paths {
		fmt.Fprintf(p.stdout, "  %s\n", path)
	}
	if err != nil {
		return unmeasured(err)
	}
	worst := exitPass
	for _, e := range entries {
		if e.Analysis.Overall.Outcome == capacity.OutcomeInvalid {
			worst = exitUnmeasured // numbers of which some must not be used are no comparison
		}
	}
	return exit(worst)
}
