package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/capacity/gate"
	"coinbench/history"
	"coinbench/reports"
	"coinbench/scenarios"
)

// gateFlags are what a gate is asked for.
type gateFlags struct {
	scenario           string
	sets               []string // of both sides
	base, head         sideFlags
	metrics            []string
	tolerate, detect   string
	budget             time.Duration
	settle, block      time.Duration
	store, out         string
	more, plan, tested bool
	calibrate, both    bool
	null               bool
	precision          string
	alike              int
	where              clusterFlags
	built              string // folder of what is built of revisions
}

func gateCommand(p process) *cobra.Command {
	f := gateFlags{budget: 12 * time.Minute, settle: 2 * time.Second, block: 10 * time.Second, store: defaultStore}
	c := &cobra.Command{
		Use:   "gate NAME|FILE",
		Short: "Fail when a change loses hash rate, with stated error rates",
		Long: `gate deploys base and head in turn, again and again, each time afresh and for one window of the scenario, and stops as soon as the
pairs decide: FAIL, when head is shown to be worse by more than --tolerate, or PASS, when it is shown not to be worse by --detect. A loss
of up to the one fails at most 1 % of gates, one from the other on passes at most 2.5 %; between them either answer is right.

Every block is kept in the store. The same base and head again continue what is stored, so that neither looking twice nor starting again
changes the error rates; what is decided is only shown. A series is green only once its --self-test has shown that it can fail.

Exit codes: 0 PASS; 1 FAIL; 2 bad input; 3 it could not be told or measured.`,
		Example: `  coinbench gate setting --base-set think=100ms --head-set think=110ms
  coinbench gate bottleneck --base v0.1 --head v0.2 --self-test      # once: it shows that this gate can fail
  coinbench gate bottleneck --base v0.1 --head v0.2                  # two tags of the app's images
  coinbench gate setting --base-file a.yml --head-file b.yml         # two Compose files
  coinbench gate setting --base main --head .                        # a revision of coinbench and the working tree, which are built
  coinbench gate setting --base anchor --head .                      # against what was released, or accepted, last
  coinbench gate setting --base-set think=100ms --head-set think=110ms --more --budget 20m`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.scenario = args[0]
			return runGate(p, f)
		},
	}
	f.base.add(c, "base")
	f.head.add(c, "head")
	setFlag(c, &f.sets)
	c.Flags().StringArrayVar(&f.metrics, "metric", nil, "what is compared: `hash_rate(WINDOW)`, a latency such as p99(probe-WINDOW), or of a "+
		"rollout availability, lost_requests, hashes_lost or a latency; with limits of its own as in 'availability(ROLLOUT) 0.1%..1%'; may be "+
		"repeated, and the first is the one that the gate is about (default: the hash rate of the scenario's first window)")
	c.Flags().StringVar(&f.tolerate, "tolerate", "1%", "a `loss` up to this fails at most 1 % of gates")
	c.Flags().StringVar(&f.detect, "detect", "3%", "a `loss` from this on passes at most 2.5 % of gates")
	c.Flags().DurationVar(&f.budget, "budget", f.budget, "how long to measure at most, by the cluster's clock")
	c.Flags().DurationVar(&f.settle, "settle", f.settle, "time between a deployment and its window")
	c.Flags().DurationVar(&f.block, "block", f.block, "length of the window")
	storeFlag(c, &f.store)
	c.Flags().StringVar(&f.out, "out", "", "folder of the report and of the blocks' runs (default runs/gate/TIME)")
	c.Flags().BoolVar(&f.more, "more", false, "add pairs to what is stored, though it was decided")
	c.Flags().BoolVar(&f.plan, "plan", false, "measure nothing, and say how many pairs it will take")
	c.Flags().BoolVar(&f.tested, "self-test", false, "compare base with itself made slower by what is to be detected: this must FAIL, and is "+
		"then exit code 0")
	c.Flags().IntVar(&f.alike, "aa", 0, "play `N` gates of base against itself, and count those that fail")
	c.Flags().StringVar(&f.precision, "precision", "", "go on until the interval is no wider than this `share` to either side, within the "+
		"budget")
	c.Flags().BoolVar(&f.both, "both", false, "go on until a gain is known as well: one of more than --tolerate, or none of --detect; it "+
		"never fails")
	c.Flags().BoolVar(&f.null, "null-arm", false, "measure base once more in each pair, in half as much more time: a FAIL is none if that "+
		"fails as well")
	c.Flags().BoolVar(&f.calibrate, "calibrate", false, fmt.Sprintf("measure how much %d windows of each of %d deployments of base vary",
		gate.CalibrationWindows, gate.CalibrationDeployments))
	c.MarkFlagsMutuallyExclusive("self-test", "aa", "calibrate")
	c.MarkFlagsMutuallyExclusive("null-arm", "calibrate")
	f.where.add(c)
	return c
}

// gateRun is one call of the command.
type gateRun struct {
	p       process
	f       gateFlags
	design  gate.Design
	kind    gate.Kind
	base    side
	head    side
	series  string // name of the file in the store
	host    string
	store   *gateStore
	out     runFolder
	session gate.Session
	width   float64 // that is asked for by --precision; 0: none is
}

func runGate(p process, f gateFlags) error {
	return withBuilds(f, func(f gateFlags) error {
		g, err := newGateRun(p, f)
		if err != nil {
			return usage(err)
		}
		if f.plan {
			return g.plan()
		}
		if g.out, err = folder(f.out, "gate"); err != nil {
			return err
		}
		defer g.out.giveUp() // if nothing came of it
		if err := g.check(); err != nil {
			return err
		}
		switch g.kind {
		case gate.Alike:
			return g.playAlike()
		case gate.Calibration:
			return g.playCalibration()
		}
		r, err := g.play(g.sequence())
		if err != nil {
			return err
		}
		return g.conclude(r)
	})
}

// withBuilds plays a gate with a folder for what is built of revisions, which is gone afterwards.
func withBuilds(f gateFlags, play func(gateFlags) error) error {
	if f.areRevisions() {
		dir, err := os.MkdirTemp("", "coinbench-gate-*")
		if err != nil {
			return unmeasured(fmt.Errorf("make a folder for what is built: %w", err))
		}
		defer os.RemoveAll(dir)
		f.built = dir
	}
	return play(f)
}

// newGateRun checks everything that can be known before something is measured.
func newGateRun(p process, f gateFlags) (*gateRun, error) {
	g := &gateRun{p: p, f: f, kind: gate.Compare, host: hostClass(f.where)}
	switch {
	case f.tested:
		g.kind = gate.SelfTest
	case f.alike > 0:
		g.kind = gate.Alike
	case f.calibrate:
		g.kind = gate.Calibration
	}
	rule, err := f.rule()
	if err != nil {
		return nil, err
	}
	if f.precision != "" {
		if g.width, err = lossFlag("--precision", f.precision); err == nil && g.width <= 0 {
			err = fmt.Errorf("--precision %s; accepted: a share above 0 such as 1%%", f.precision)
		}
		if err != nil {
			return nil, err
		}
	}
	asked, err := f.metricList()
	if err != nil {
		return nil, err
	}
	window := asked.part()
	if err := f.sides(g.kind); err != nil {
		return nil, err
	}
	if g.base, err = f.base.read(p, f, window); err != nil {
		return nil, err
	}
	window = g.base.part
	metrics, err := asked.of(g.base, rule)
	if err != nil {
		return nil, err
	}
	switch g.kind {
	case gate.Alike, gate.Calibration:
		g.head = g.base
	case gate.SelfTest:
		g.head, err = g.base.worse(metrics, rule)
	default:
		g.head, err = f.head.read(p, f, window)
	}
	if err != nil {
		return nil, err
	}
	given := map[string]string{}
	for _, s := range f.sets {
		key, value, _ := strings.Cut(s, "=")
		given[key] = value
	}
	g.design = gate.Design{Scenario: g.base.scenario.Name, Settings: given, Cluster: f.where.name, Metrics: metrics, Window: window,
		SettleS: f.settle.Seconds(), BlockS: f.block.Seconds(), Rule: rule, NullArm: f.null,
		Estimator: gate.Estimator}
	g.series = fmt.Sprintf("%s-%s-%s", g.base.scenario.Name, window, digest(g.design, g.host, digestOf(g.base.scenario.Source))[:8])
	g.store, err = openStore(f.store, g.series)
	return g, err
}

// check says what the cluster cannot play of either side, before one of them is measured.
func (g *gateRun) check() error {
	for _, s := range []struct {
		name gate.Side
		side
	}{{gate.Base, g.base}, {gate.Head, g.head}} {
		c, err := s.where.cluster(request{dir: g.out.dir, seed: 1, start: time.Now(), sink: (&scenarios.Sink{}).Event})
		if err == nil {
			err = usage(scenarios.Check(s.scenario, c.cluster))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (f gateFlags) rule() (r gate.Rule, err error) {
	if r.Tolerate, err = lossFlag("--tolerate", f.tolerate); err != nil {
		return r, err
	}
	if r.Detect, err = lossFlag("--detect", f.detect); err != nil {
		return r, err
	}
	switch {
	case f.block < time.Second || f.settle < 0 || f.budget <= 0:
		return r, fmt.Errorf("--block %s, --settle %s, --budget %s; accepted: a window of at least 1s, and times above 0", f.block, f.settle,
			f.budget)
	case f.alike < 0:
		return r, fmt.Errorf("--aa %d; accepted: a number of gates", f.alike)
	case (f.alike > 0 || f.calibrate) && (f.more || f.plan):
		return r, errors.New("--aa and --calibrate start afresh; accepted: without --more and --plan")
	}
	return r, r.Check()
}

// lossFlag reads 1%, or 0.01.
func lossFlag(flag, text string) (float64, error) {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%s %s: accepted: a loss such as 1%% or 0.01", flag, text)
	}
	if isPercent {
		v /= 100
	}
	return v, nil
}

// sequence is the name of what this call continues. Gates of base against itself, and calibrations, begin anew.
func (g *gateRun) sequence() string {
	name := fmt.Sprintf("%s-%s-%s", g.kind, g.base.digest[:12], g.head.digest[:12])
	if g.kind == gate.Alike || g.kind == gate.Calibration {
		name += "-" + sessionID()
	}
	return name
}

// begin makes the session of a sequence.
func (g *gateRun) begin(sequence string) {
	seed, _ := strconv.ParseUint(digest(g.series, sequence)[:15], 16, 64)
	mask := g.p.secrets.Mask
	command := []string{"coinbench"}
	for _, a := range g.p.args {
		command = append(command, mask(a))
	}
	g.session = gate.Session{ID: sessionID(), At: time.Now().UTC().Truncate(time.Second), Series: g.series, Sequence: sequence, Kind: g.kind,
		Base: g.base.subject(mask), Head: g.head.subject(mask), Seed: seed, Design: g.design, Host: g.host, Version: version(),
		Command: command}
}

// play continues a sequence until it is decided, or its session's pairs or time are used up. Each block is stored as soon as it is over.
func (g *gateRun) play(sequence string) (gate.Report, error) {
	g.begin(sequence)
	stored, err := g.store.read()
	if err != nil {
		return gate.Report{}, err
	}
	known := stored.Sequence(sequence)
	if i := slices.IndexFunc(stored.Sessions, func(s gate.Session) bool { return s.Sequence == sequence }); i >= 0 && len(known) > 0 {
		if v := gate.Judge(g.design.Rule, g.design.Metrics, known, false); v.Decided() && !g.f.more && !g.wantsMore(v) {
			fmt.Fprintf(g.p.stderr, "these two were decided by the %d pairs that are stored; --more adds to them\n", v.Pairs)
			first := stored.Sessions[i]
			return stored.Report(first, true), nil
		}
	} else if g.f.more {
		return gate.Report{}, usage(fmt.Errorf("--more: %s has no pair of these two with these limits; accepted: the same without --more",
			g.f.store))
	}
	if err := g.store.append(gate.Line{Session: &g.session}); err != nil {
		return gate.Report{}, err
	}
	stopped := g.measure(known)
	if stored, err = g.store.read(); err != nil {
		return gate.Report{}, err
	}
	r := stored.Report(g.session, true)
	if stopped != nil && !errors.Is(stopped, context.Canceled) {
		return r, stopped
	}
	if stopped != nil {
		r.Verdict.Outcome = capacity.OutcomeInconclusive
		r.Verdict.Why = "interrupted; the same command goes on. Until then: " + r.Verdict.Why
	}
	return r, g.store.append(gate.Line{End: &gate.End{Session: g.session.ID, Outcome: string(r.Verdict.Outcome), Why: r.Verdict.Why,
		Pairs: r.Verdict.Pairs}})
}

// measure plays quads until the sequence is decided, and returns what stopped it before.
func (g *gateRun) measure(blocks []gate.Block) error {
	before, spent, quads := len(gate.Pairs(blocks)), 0.0, 0.0
	for {
		v := gate.Judge(g.design.Rule, g.design.Metrics, blocks, false)
		most := gate.MostPairs
		if v.More {
			most += most / 2
		}
		measured := len(gate.Pairs(blocks)) - before
		if v.Outcome != "" && measured > 0 && !g.wantsMore(v) || measured >= most && g.width == 0 {
			return nil
		}
		if quads > 0 && spent*(1+1/quads) > g.f.budget.Seconds() {
			return nil
		}
		quads++
		next := func() gate.Block { return g.design.Next(g.session.Seed, g.session.ID, blocks) }
		quad := next().Quad
		for b := next(); b.Quad == quad; b = next() {
			if err := g.playBlock(&b); err != nil {
				return err
			}
			if err := g.store.append(gate.Line{Block: &b}); err != nil {
				return err
			}
			spent += b.Seconds
			blocks = append(blocks, b)
			half := 2
			if g.design.NullArm {
				half = 3
			}
			g.tell(fmt.Sprintf("pair %d  %s", 2*b.Quad+b.Place/half+1, b.Side), b)
		}
	}
}

// wantsMore says whether a decided sequence is to go on: until its interval is narrow enough, a gain is known, or each metric of a
// self-test has shown its loss.
func (g *gateRun) wantsMore(v gate.Verdict) bool {
	return v.Decided() && (g.width > 0 && v.Width() > g.width || g.f.both && v.Outcome == capacity.OutcomePass && v.Gain == "" ||
		g.kind == gate.SelfTest && slices.ContainsFunc(v.Metrics, func(x gate.Measured) bool { return !x.Worse() }))
}

// tell prints a line for a block.
func (g *gateRun) tell(which string, b gate.Block) {
	what := b.Invalid
	if what == "" {
		var values []string
		for i, m := range g.design.Metrics {
			values = append(values, m.Value(b.Values[i]))
		}
		what = strings.Join(values, ", ")
	} else {
		what = "void: " + what
	}
	fmt.Fprintf(g.p.stderr, "%s  %s\n", which, what)
}

// playBlock deploys one side afresh and measures its window. A block that could not be measured is invalid; an error is what must stop the
// gate.
func (g *gateRun) playBlock(b *gate.Block) error {
	s := g.base
	if b.Side == gate.Head {
		s = g.head
	}
	played, err := g.deploy(s, b, fmt.Sprintf("%02d-%d-%s", b.Quad+1, b.Place+1, b.Side))
	if played != nil {
		g.take(b, played, g.design.Window, g.design.Metrics)
	}
	return err
}

// playedBlock is a block that was played.
type playedBlock struct {
	run      *history.Run
	analysis capacity.Analysis
}

// deploy deploys a side afresh, with the block's seed, and measures it. nil: it could not be measured, and the block says why.
func (g *gateRun) deploy(s side, b *gate.Block, name string) (*playedBlock, error) {
	scenario := s.scenario
	scenario.Seed = b.Seed
	dir := filepath.Join(g.out.dir, g.session.ID[len(g.session.ID)-4:]+"-"+name)
	quiet := g.p
	quiet.stderr = io.Discard
	began := time.Now()
	recorded, stopped := recordAlone(quiet, scenario, s.where, dir)
	b.Seconds = time.Since(began).Seconds()
	if !recorded || errors.Is(stopped, context.Canceled) {
		return nil, stopped
	}
	g.out.link()
	run, err := openHistory(dir)
	if err != nil {
		return nil, unmeasured(err)
	}
	if run.Manifest.Simulated {
		b.Seconds = run.End.Seconds()
	}
	if stopped != nil {
		b.Invalid, b.Down = stopped.Error(), true
		return nil, nil
	}
	return &playedBlock{run, capacity.Measure(run)}, nil
}

// conclude writes the report and ends with the verdict's exit code; a self-test that fails is the good news.
func (g *gateRun) conclude(r gate.Report) error {
	outputs, err := reports.WriteGate(g.out.dir, r)
	g.out.link()
	if text := unlessGone(reports.GateText(g.p.stdout, r, textOptions(g.p))); text != nil {
		err = errors.Join(err, fmt.Errorf("print report: %w", text))
	}
	fmt.Fprintf(g.p.stdout, "\nStored in %s. Written to %s: %s\n", g.store.path, g.out.dir, strings.Join(outputs, ", "))
	if err != nil {
		return unmeasured(fmt.Errorf("%w: make room; the blocks are in %s", err, g.store.path))
	}
	if err := tellCI(g.p, g.out.dir, r); err != nil {
		return err
	}
	code := r.Verdict.Outcome.ExitCode()
	if r.Accepted != nil && r.Verdict.Outcome == capacity.OutcomeFail {
		code = exitPass
	}
	if g.kind == gate.SelfTest {
		var losses []string
		for _, m := range g.design.Metrics {
			losses = append(losses, m.Amount(m.Rule(g.design.Rule).Detect)+" of "+m.Name)
		}
		switch {
		case r.SelfTest.CanFail():
			fmt.Fprintf(g.p.stdout, "The self-test succeeded: the gate fails for a loss of %s.\n", listed(losses))
			code = exitPass
		case r.Verdict.Outcome == capacity.OutcomePass:
			fmt.Fprintf(g.p.stdout, "The self-test failed: the gate passed a loss of %s.\n", listed(losses))
			code = exitFail
		case r.Verdict.Outcome == capacity.OutcomeFail:
			fmt.Fprintf(g.p.stdout, "The self-test did not end: %s did not show its loss; --more adds pairs.\n",
				strings.Join(r.SelfTest.Unshown, ", "))
			code = exitUnmeasured
		}
	}
	return exit(code)
}

// listed joins losses: 3 % of one, of 5 % of another and of 2 points of the last.
func listed(losses []string) string {
	last := len(losses) - 1
	if last == 0 {
		return losses[0]
	}
	return strings.Join(losses[:last], ", of ") + " and of " + losses[last]
}

// plan says what a gate will take, from what is stored.
func (g *gateRun) plan() error {
	stored, err := g.store.read()
	if err != nil {
		return err
	}
	g.begin(g.sequence())
	return reports.GatePlanText(g.p.stdout, stored.Report(g.session, false), textOptions(g.p))
}

// playAlike plays gates of base against itself.
func (g *gateRun) playAlike() error {
	var last gate.Report
	for range g.f.alike {
		var err error
		if last, err = g.play(g.sequence()); err != nil {
			return err
		}
		fmt.Fprintf(g.p.stdout, "%s  %s  %d pairs, %s\n", last.Verdict.Outcome, last.Verdict.Metrics[0].Text(), last.Verdict.Pairs,
			capacity.FormatSeconds(last.Seconds))
	}
	a := last.Asked
	fmt.Fprintf(g.p.stdout, "Gates of identical code failed %d of %d times, at most %s with a confidence of 95 %%. Stored in %s.\n",
		a.Failed, a.Gates, gate.Percent(a.Bound), g.store.path)
	if again := last.Again; again.Gates > 0 {
		fmt.Fprintf(g.p.stdout, "The same blocks under other labels: %d of %d fail.\n", again.Failed, again.Gates)
	}
	if gate.AtLeast(a.Failed, a.Gates, .95) > .01 {
		return exit(exitFail)
	}
	return nil
}

// digest is that of values, in hexadecimal.
func digest(values ...any) string {
	h := sha256.New()
	for _, v := range values {
		b, err := json.Marshal(v) // of plain values, which do not fail
		if err != nil {
			b = []byte(err.Error())
		}
		h.Write(append(b, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digestOf(b []byte) string { return digest(string(b)) }

// hostClass is what must be alike for absolute numbers to be comparable.
func hostClass(where clusterFlags) string {
	if where.name == "sim" {
		return "simulated"
	}
	h := host()
	return fmt.Sprintf("%s/%s, %d x %s, %.0f GB", h.OS, h.Arch, h.CPUs, orUnknown(h.CPU), float64(h.MemoryBytes)/(1<<30))
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown processor"
	}
	return s
}
