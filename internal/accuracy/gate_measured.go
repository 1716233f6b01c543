package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/gate"
)

// gateMeasured are the tables of gates that were measured: they are made of a store, and measure nothing.
func gateMeasured(store string) []table {
	return []table{gateBlocks(store), gateAlike(store), gateLosses(store)}
}

// storedSeries reads every series below a folder, in the order of their names. The same gate may be there more than once, each in a folder
// of its own.
func storedSeries(store string) (all []gate.Series, err error) {
	if store == "" {
		return nil, errors.New("it is made of what gates have stored; accepted: -store FOLDER")
	}
	err = filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".jsonl" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		s, err := gate.ReadSeries(f)
		if len(s.Sessions) > 0 {
			all = append(all, s)
		}
		return err
	})
	slices.SortStableFunc(all, func(a, b gate.Series) int { return cmp.Compare(workload(a.Sessions[0]), workload(b.Sessions[0])) })
	return all, err
}

// workload says what a series measures.
func workload(s gate.Session) string {
	d := s.Design
	text := d.Cluster + ", " + d.Scenario + " (" + d.Window
	for _, k := range slices.Sorted(maps.Keys(d.Settings)) {
		text += ", " + k + "=" + d.Settings[k]
	}
	return fmt.Sprintf("%s), %g s", text, d.BlockS)
}

// gateBlocks says how much blocks vary within deployments and between them.
func gateBlocks(store string) table {
	return table{name: "measured-blocks", title: "How much a block varies", text: fmt.Sprintf(`
%d deployments of %d windows each, one after the other without a break (`+"`gate --calibrate`"+`): what a window varies by within a deployment,
what deployments add, and what that makes of a pair of one window each (%s). A standard deviation of %d deployments is known to
within 0.62 to 2.45 times. Best: the length of a window that makes the most of a gate's time.`, gate.CalibrationDeployments,
		gate.CalibrationWindows, "√2 times both together", gate.CalibrationDeployments), rows: func() ([][]string, error) {
		rows := [][]string{{"cluster, scenario (window), its length", "hashes/s", "within", "between", "a pair", "pairs to a PASS, a FAIL",
			"a block besides its window", "best"}}
		all, err := storedSeries(store)
		for _, s := range all {
			x := s.Spread()
			if x == nil {
				continue
			}
			best := "any"
			if l := x.BestWindow(); !math.IsInf(l, 1) {
				best = fmt.Sprintf("%.1f s", l)
			}
			r := gate.DefaultRule()
			rows = append(rows, []string{workload(s.Sessions[0]), fmt.Sprintf("%.2f", x.Mean), gate.Percent(x.Within), gate.Percent(x.Between),
				gate.Percent(x.Pair()), fmt.Sprintf("%d, %d", r.PairsToPass(x.Pair()), r.PairsToFail(x.Pair())),
				fmt.Sprintf("%.1f s", x.Overhead), best})
		}
		return rows, err
	}}
}

// gateAlike counts measured gates of identical code.
func gateAlike(store string) table {
	return table{name: "measured-alike", title: "Measured gates of identical code", text: fmt.Sprintf(`
Gates of base against itself (`+"`gate --aa`"+`). Relabelled: %d gates of the same blocks in the order in which they were measured, each of which
tosses its own coins for what is base and what is head, from a place of its own; they share blocks, so that their bound is that of the coins,
for these hours. Independent of each other are the gates of the column before. Minutes: of the gates that passed, in the median and in 95 %%.`,
		gate.Relabellings), rows: func() ([][]string, error) {
		rows := [][]string{{"cluster, scenario (window), its length", "blocks", "void", "a pair varies by", "FAIL", "PASS", "minutes to a PASS",
			"relabelled: FAIL"}}
		all, err := storedSeries(store)
		for _, s := range all {
			var p gatesSeen
			for _, first := range s.Sequences(gate.Alike) {
				p.add(s, first)
			}
			if p.n == 0 {
				continue
			}
			again, _ := s.Relabelled(gate.Relabellings)
			relabelled := "–"
			if again.Gates > 0 {
				relabelled = fmt.Sprintf("%d of %d (≤ %.2f %%)", again.Failed, again.Gates, 100*again.Bound)
			}
			rows = append(rows, []string{workload(s.Sessions[0]), fmt.Sprint(p.blocks), share(p.void, p.blocks), gate.Percent(p.sd()),
				fmt.Sprintf("%d of %d (≤ %.1f %%)", p.fail, p.n, 100*gate.AtMost(p.fail, p.n, .95)), fmt.Sprintf("%d of %d", p.pass, p.n),
				p.minutes(p.passed), relabelled})
		}
		return rows, err
	}}
}

// gateLosses counts measured gates of a head that is slower.
func gateLosses(store string) table {
	return table{name: "measured-losses", title: "Measured gates of a slower head", text: `
Each gate has a store of its own, so that none goes on with another's pairs. FAIL: how many, with the one-sided 95 % bound below their share.
Minutes: of the gates that failed, in the median and in 95 %.`, rows: func() ([][]string, error) {
		rows := [][]string{{"cluster, scenario (window), its length", "base", "head", "change", "a pair varies by", "FAIL", "pairs",
			"minutes to a FAIL"}}
		all, err := storedSeries(store)
		groups := map[string]*gatesSeen{}
		var order []string
		for _, s := range all {
			for _, first := range s.Sequences(gate.Compare) {
				key := strings.Join([]string{workload(first), first.Base.Text, first.Head.Text}, "\x00")
				if groups[key] == nil {
					groups[key] = &gatesSeen{}
					order = append(order, key)
				}
				groups[key].add(s, first)
			}
		}
		for _, key := range order {
			p := groups[key]
			names := strings.Split(key, "\x00")
			rows = append(rows, append(names, fmt.Sprintf("%+.2f %%", 100*p.change/float64(p.n)), gate.Percent(p.sd()),
				fmt.Sprintf("%d of %d (≥ %.1f %%)", p.fail, p.n, 100*gate.AtLeast(p.fail, p.n, .95)),
				fmt.Sprintf("%.0f", quantile(p.pairs, .5)), p.minutes(p.failed)))
		}
		return rows, err
	}}
}

// gatesSeen are the verdicts of measured gates.
type gatesSeen struct {
	n, fail, pass  int
	blocks, void   int
	failed, passed []float64 // seconds
	pairs          []float64 // to a FAIL
	change         float64   // sum
	square, df     float64
}

func (p *gatesSeen) add(s gate.Series, first gate.Session) {
	v := s.Judge(first)
	seconds := 0.0
	for _, b := range s.Sequence(first.Sequence) {
		p.blocks++
		seconds += b.Seconds
		if b.Invalid != "" {
			p.void++
		}
	}
	m := v.Metrics[0]
	if m.Change == nil {
		return
	}
	p.n++
	p.change += *m.Change
	if v.Pairs > 1 {
		p.square, p.df = p.square+m.SD*m.SD*float64(v.Pairs-1), p.df+float64(v.Pairs-1)
	}
	switch v.Outcome {
	case capacity.OutcomeFail:
		p.fail++
		p.failed, p.pairs = append(p.failed, seconds), append(p.pairs, float64(v.Pairs))
	case capacity.OutcomePass:
		p.pass++
		p.passed = append(p.passed, seconds)
	}
}

// sd is the standard deviation of a pair, over all gates.
func (p *gatesSeen) sd() float64 {
	if p.df == 0 {
		return 0
	}
	return math.Sqrt(p.square / p.df)
}

// minutes are those of the median gate, and of 95 %.
func (p *gatesSeen) minutes(seconds []float64) string {
	if len(seconds) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f, %.1f", quantile(seconds, .5)/60, quantile(seconds, .95)/60)
}

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[min(len(v)-1, max(0, int(math.Ceil(q*float64(len(v))))-1))]
}
