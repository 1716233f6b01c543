package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/labs"
	"coinbench/reports"
	"coinbench/scenarios"
)

func learnCommand(p process) *cobra.Command {
	language := "en"
	c := &cobra.Command{
		Use:   "lab [NAME]",
		Short: "Learn by predicting: labs whose answers your own run measures",
		Long: `lab lists the labs and how far you are, or shows one and what comes next in it.

A lab asks for a number before anything runs. The prediction, and how sure you are of it, is sealed; then the scenario is played, you read
its report, and the prediction is judged by your own run: right; wrong, with the way of thinking that gives your number; not yet; or
cannot tell, when the machine was too busy to measure. No answer is stored. Then another setting is asked for.

What you did is kept in $XDG_STATE_HOME/coinbench/labs (by default ~/.local/state, on Windows %LOCALAPPDATA%), so that a lab goes on where
you left it.`,
		Example: `  coinbench lab
  coinbench lab four-or-three
  coinbench lab predict four-or-three 4 --confidence 75
  coinbench lab run four-or-three
  coinbench lab check four-or-three 3.9`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listLabs(p, language)
			}
			v, err := visitLab(p, args[0], language)
			if err != nil {
				return err
			}
			return v.show()
		},
	}
	c.PersistentFlags().StringVar(&language, "lang", language,
		"language of the texts, where they are translated: "+strings.Join(labs.Languages(), ", "))
	c.AddCommand(labPredictCommand(p, &language), labRunCommand(p, &language), labCheckCommand(p, &language), labHintCommand(p, &language),
		labResetCommand(p, &language), labSolveCommand(p, &language), labServeCommand(p, &language), labBoardCommand(p), labDrillCommand(p),
		labTestCommand(p), labExportCommand(p, &language))
	return c
}

// visit is a learner at a lab.
type visit struct {
	p        process
	lab      labs.Lab
	language string
	root     string
	attempt  *labs.Attempt // nil: none was begun
	state    labs.State
	out      labOutput
	seed     func(lab string) uint64 // of new attempts; nil, or 0: chance
}

// labRoot is the folder of what learners did.
func labRoot(p process) string {
	if dir, _ := p.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "coinbench", "labs")
	}
	if dir, _ := p.env("LOCALAPPDATA"); runtime.GOOS == "windows" && dir != "" {
		return filepath.Join(dir, "coinbench", "labs")
	}
	if home, _ := p.env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "coinbench", "labs")
	}
	return filepath.Join("runs", "labs")
}

func newVisit(p process, l labs.Lab, language string) *visit {
	columns := min(width(p.stdout), 100)
	if language == "zh" {
		columns /= 2 // a character takes two
	}
	return &visit{p: p, lab: l, language: language, root: labRoot(p), out: labTerminal{p, columns}}
}

func visitLab(p process, name, language string) (*visit, error) {
	l, err := labs.Load(name, language)
	if err != nil {
		return nil, usage(err)
	}
	v := newVisit(p, l, language)
	return v, v.resume()
}

// resume finds the last attempt.
func (v *visit) resume() (err error) {
	if v.attempt, err = labs.Latest(v.root, v.lab.Name); err != nil {
		return unmeasured(err)
	}
	v.state = labs.State{Round: labs.Question, Phase: labs.ToPredict}
	if v.attempt != nil {
		v.state = v.attempt.State()
	}
	return nil
}

// begun makes an attempt, unless one is under way.
func (v *visit) begun() error {
	if v.attempt != nil {
		return nil
	}
	return v.begin(0)
}

// chanceSeed is short enough to be read out.
func chanceSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, unmeasured(err)
	}
	return binary.LittleEndian.Uint64(b[:])>>40 + 1, nil
}

// begin makes an attempt.
func (v *visit) begin(seed uint64) (err error) {
	if seed == 0 && v.seed != nil {
		seed = v.seed(v.lab.Name)
	}
	if seed == 0 {
		if seed, err = chanceSeed(); err != nil {
			return err
		}
	}
	v.attempt, err = labs.Begin(v.root, v.lab.Name, seed, time.Now())
	if err == nil {
		v.state = v.attempt.State()
	}
	return unmeasured(err)
}

func (v *visit) add(e labs.Entry) error {
	e.At = time.Now()
	if e.Round == "" {
		e.Round = v.state.Round
	}
	err := v.attempt.Add(e)
	v.state = v.attempt.State()
	return unmeasured(err)
}

// scenario is what a round plays.
func labScenario(p process, l *labs.Lab, round string, seed uint64) (scenarios.Scenario, error) {
	source := []byte(l.Scenario)
	if !strings.Contains(l.Scenario, "\n") {
		var err error
		if source, err = scenarios.Load(l.Scenario); err != nil {
			return scenarios.Scenario{}, usage(err)
		}
	}
	return parseScenario(p, "lab "+l.Name+".yaml", source, l.Settings(round, seed), nil)
}

// vars are the numbers of a round's settings.
func (v *visit) vars(round string) (map[string]float64, error) {
	s, err := labScenario(v.p, &v.lab, round, v.attempt.Seed())
	return labs.Numbers(s.Settings), err
}

// print tells a lab's Markdown, with its numbers in place.
func (v *visit) print(text string, vars map[string]float64, a *capacity.Analysis) error {
	var metric func(string) (float64, error)
	if a != nil {
		metric = labs.MetricsOf(a)
	}
	filled, err := labs.Fill(text, vars, metric)
	if err != nil {
		return unmeasured(err)
	}
	return unmeasured(v.out.markdown(filled))
}

// show prints what the learner needs now.
func (v *visit) show() error {
	if err := v.begun(); err != nil {
		return err
	}
	v.out.say("%s\nlab %s · %d minutes · on %s\n", v.lab.Title, v.lab.Name, v.lab.Minutes, strings.Join(v.lab.On, ", "))
	return v.now()
}

// now tells the question that is under way.
func (v *visit) now() error {
	round := v.state.Round
	if round == "" {
		return v.next()
	}
	vars, err := v.vars(round)
	if err != nil {
		return err
	}
	if round == labs.Question && v.state.Phase == labs.ToPredict {
		if err := v.print(v.lab.Section("why"), vars, nil); err != nil {
			return err
		}
	}
	if v.state.Phase == labs.ToCheck {
		if err := v.print(v.lab.Section("look"), vars, nil); err != nil {
			return err
		}
		return v.next()
	}
	if err := v.print(v.lab.Round(round).Ask, vars, nil); err != nil {
		return err
	}
	return v.next()
}

// next says what comes next.
func (v *visit) next() error {
	if v.state.Cut && !v.underWay() {
		v.out.say("The last run did not come to its end: it cannot tell. Your prediction stays.")
	}
	if v.state.Why != "" {
		v.out.say("Cannot tell: %s. It is the run, not you; your prediction stays.", v.state.Why)
		if last := v.lastCluster(); last != "sim" && slices.Contains(v.lab.On, "sim") {
			v.out.say("A machine that stays too busy does not disturb the simulator: coinbench lab run %s --cluster sim", v.lab.Name)
		}
	}
	return v.out.next(v)
}

// lastCluster is where the last run was played; "": nowhere.
func (v *visit) lastCluster() string {
	for _, e := range slices.Backward(v.attempt.Entries) {
		if e.Cluster != "" {
			return e.Cluster
		}
	}
	return ""
}

// underWay says whether the last run, of whatever process, is being recorded: a cluster is read each second.
func (v *visit) underWay() bool {
	if !v.state.Cut {
		return false
	}
	for _, name := range []string{"manifest.json", "events.jsonl", "readings.jsonl"} {
		if info, err := os.Stat(filepath.Join(v.attempt.LastRun(), name)); err == nil && time.Since(info.ModTime()) < 5*time.Second {
			return true
		}
	}
	return false
}

func predicted(e *labs.Entry, unit string) string {
	if e == nil || e.Prediction == nil {
		return "none"
	}
	return fmt.Sprintf("%s %s, %d %% sure", labs.Figures(*e.Prediction), unit, e.Confidence)
}

func listLabs(p process, language string) error {
	rows := reports.Table{{"lab ", "minutes", "title ", "where ", "you "}}
	visits, score, err := visitAll(p, language)
	if err != nil {
		return err
	}
	for _, v := range visits {
		rows = append(rows, []string{v.lab.Name, strconv.Itoa(v.lab.Minutes), v.lab.Title, strings.Join(v.lab.On, ", "), v.standing()})
	}
	if err := table(p.stdout, rows); err != nil {
		return err
	}
	if score != "" {
		say(p.stdout, "\n%s", score)
	}
	say(p.stdout, "\n%s", goOn(visits))
	return nil
}

// goOn says with which lab a learner goes on: one that is under way before one that was not begun.
func goOn(visits []*visit) string {
	is := func(begun bool) func(v *visit) bool {
		return func(v *visit) bool { return (v.attempt != nil) == begun && v.state.Phase != labs.Done }
	}
	if i := slices.IndexFunc(visits, is(true)); i >= 0 {
		return "Go on: coinbench lab " + visits[i].lab.Name
	}
	switch i := slices.IndexFunc(visits, is(false)); i {
	case 0:
		return "Begin: coinbench lab " + visits[0].lab.Name
	case -1:
		return "All labs are done. A fault to find: coinbench lab drill"
	default:
		return "Next: coinbench lab " + visits[i].lab.Name
	}
}

// visitAll visits every lab; score is how well the learner knows how sure to be, "" before anything was judged.
func visitAll(p process, language string) (visits []*visit, score string, err error) {
	all, err := labs.All()
	if err != nil {
		return nil, "", unmeasured(err)
	}
	var attempts []*labs.Attempt
	for _, l := range all {
		v, err := visitLab(p, l.Name, language)
		if err != nil {
			return nil, "", err
		}
		if v.attempt != nil {
			attempts = append(attempts, v.attempt)
		}
		visits = append(visits, v)
	}
	if s := labs.Calibration(attempts); s.Predictions > 0 {
		score = fmt.Sprintf("%d of %d predictions right. Brier score %.2f: 0 is best, 0.25 is what 50 %% every time gives, and more is too sure "+
			"of oneself.",
			s.Right, s.Predictions, s.Brier)
	}
	return visits, score, nil
}

// standing is how far the learner is, in a few words.
func (v *visit) standing() string {
	if v.attempt == nil {
		return "–"
	}
	var words []string
	for _, round := range labs.RoundNames() {
		if c, ok := v.state.Answered[round]; ok {
			words = append(words, string(c.Check.Outcome))
		}
	}
	switch {
	case v.state.Phase == labs.Done:
	case v.state.Phase == labs.ToPredict && len(words) == 0:
		words = append(words, "begun")
	case v.state.Phase == labs.ToPredict:
		words = append(words, "the other setting is next")
	case v.state.Phase == labs.ToRun && v.state.Cut:
		words = append(words, "to be run again")
	case v.state.Phase == labs.ToRun:
		words = append(words, "predicted")
	default:
		words = append(words, "to be checked")
	}
	return strings.Join(words, ", then ")
}

func labPredictCommand(p process, language *string) *cobra.Command {
	var confidence int
	var skip bool
	c := &cobra.Command{
		Use:   "predict NAME NUMBER",
		Short: "Seal a prediction before the run",
		Example: `  coinbench lab predict four-or-three 4 --confidence 75
  coinbench lab predict four-or-three --skip`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			if skip == (len(args) == 2) {
				return usage(errors.New("accepted: a number, or --skip to run without a prediction"))
			}
			number := ""
			if !skip {
				number = args[1]
			}
			if err := v.predict(number, confidence); err != nil {
				return err
			}
			return v.next()
		},
	}
	c.Flags().IntVar(&confidence, "confidence", 75, "how sure you are of it, in percent: 50, 75, 95")
	c.Flags().BoolVar(&skip, "skip", false, "run without a prediction, which is kept too")
	return c
}

// predict seals a prediction; "": there is none.
func (v *visit) predict(number string, confidence int) (err error) {
	if !slices.Contains([]int{50, 75, 95}, confidence) {
		return usage(fmt.Errorf("--confidence %d: accepted: 50, 75, 95", confidence))
	}
	unit := v.lab.Round(v.state.Round).Unit
	switch {
	case v.state.Phase == labs.Done:
		return usage(fmt.Errorf("lab %s is done; again, with other numbers: coinbench lab reset %s", v.lab.Name, v.lab.Name))
	case v.state.Phase != labs.ToPredict:
		return usage(fmt.Errorf("the prediction is sealed (%s); another one is a new attempt: coinbench lab reset %s",
			predicted(v.state.Prediction, unit), v.lab.Name))
	}
	e := labs.Entry{Kind: labs.Predicted}
	if number != "" {
		e.Confidence = confidence
		if e.Prediction, err = labNumber(number, unit); err != nil {
			return err
		}
	}
	if err := v.begun(); err != nil {
		return err
	}
	return v.add(e)
}

// labNumber reads what a learner types: 3.3, or a duration where the unit is one.
func labNumber(text, unit string) (*float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if d, fault := time.ParseDuration(text); err != nil && fault == nil {
		switch unit {
		case "s":
			v, err = d.Seconds(), nil
		case "ms":
			v, err = d.Seconds()*1000, nil
		}
	}
	if err != nil || v < -1e9 || v > 1e9 || v != v {
		return nil, usage(fmt.Errorf("%q: accepted: a number such as 12.5, in %s", text, unit))
	}
	return &v, nil
}

// addToLab adds the flags, for a lab: it is played on this machine, or where that cannot be on the simulator.
func (f *clusterFlags) addToLab(c *cobra.Command) {
	f.add(c)
	if runtime.GOOS == "windows" {
		f.name = "sim"
		c.Flags().Lookup("cluster").DefValue = f.name
	}
}

func labRunCommand(p process, language *string) *cobra.Command {
	var where clusterFlags
	c := &cobra.Command{
		Use:   "run NAME",
		Short: "Play the lab's scenario and report what it shows",
		Example: `  coinbench lab run four-or-three
  coinbench lab run four-or-three --cluster sim     # in virtual time, within a second`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			if err := v.ready(where); err != nil {
				return err
			}
			return v.run(where)
		},
	}
	where.addToLab(c)
	return c
}

// ready says why the round that is under way cannot be played now.
func (v *visit) ready(where clusterFlags) error {
	switch {
	case v.state.Phase == labs.ToPredict:
		return usage(fmt.Errorf("predict first, or say that you will not: coinbench lab predict %s NUMBER, or --skip", v.lab.Name))
	case v.state.Phase == labs.Done:
		return usage(fmt.Errorf("lab %s is done; again, with other numbers: coinbench lab reset %s", v.lab.Name, v.lab.Name))
	case !slices.Contains(v.lab.On, where.name):
		return usage(fmt.Errorf("lab %s is not made for %s; accepted: --cluster %s", v.lab.Name, where.name, strings.Join(v.lab.On, ", ")))
	}
	return nil
}

// run plays the round that is under way, which is ready.
func (v *visit) run(where clusterFlags) error {
	ctx, stop := v.p.interruptible()
	defer stop()
	s, err := labScenario(v.p, &v.lab, v.state.Round, v.attempt.Seed())
	if err != nil {
		return err
	}
	name := "run-" + strconv.Itoa(len(v.attempt.Entries)) // no two have the same
	if err := v.add(labs.Entry{Kind: labs.Started, Run: name, Cluster: where.name}); err != nil {
		return err
	}
	dir := filepath.Join(v.attempt.Dir, name)
	_, err = record(ctx, v.p, s, where, runFolder{dir: dir})
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return unmeasured(fmt.Errorf("interrupted; your prediction stays: coinbench lab run %s", v.lab.Name))
		}
		return unmeasured(err)
	}
	a, err := analyse(dir)
	if err != nil {
		return unmeasured(err)
	}
	if err := v.add(labs.Entry{Kind: labs.Ended, Run: name, Cluster: where.name}); err != nil {
		return err
	}
	round := v.lab.Round(v.state.Round)
	vars := labs.Numbers(s.Settings)
	if f := round.Judge(0, a, vars); f.Outcome == labs.CannotTell {
		return v.cannotTell(labs.Entry{Kind: labs.Checked, Outcome: f.Outcome, Why: f.Why})
	}
	page, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return unmeasured(err)
	}
	if err := errors.Join(reports.HTML(page, a), page.Close(), v.out.report(a)); err != nil {
		return unmeasured(fmt.Errorf("report: %w", err))
	}
	v.out.say("\nThe same as a page: %s\n", page.Name())
	if err := v.print(v.lab.Section("look"), vars, nil); err != nil {
		return err
	}
	return v.next()
}

// cannotTell records that the last run judges nothing.
func (v *visit) cannotTell(e labs.Entry) error {
	if err := v.add(e); err != nil {
		return err
	}
	if err := v.next(); err != nil {
		return err
	}
	return exit(exitUnmeasured)
}

func labCheckCommand(p process, language *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME READING [EVIDENCE]",
		Short: "Say what you read in the report, and have the prediction judged",
		Example: `  coinbench lab check four-or-three 3.32
  coinbench lab check ten-times-the-workers 10 rng`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			return v.check(args[1], args[2:]...)
		},
	}
}

func evidenceWanted(r *labs.Round) string {
	if r.Evidence == nil {
		return ""
	}
	return ", and one of " + strings.Join(r.Evidence.Choices, ", ")
}

// check judges the round that is under way.
func (v *visit) check(number string, evidence ...string) error {
	if v.state.Phase != labs.ToCheck {
		return usage(fmt.Errorf("there is no run to check; what comes next: coinbench lab %s", v.lab.Name))
	}
	round := v.state.Round
	r := v.lab.Round(round)
	if (r.Evidence != nil) != (len(evidence) == 1) {
		return usage(fmt.Errorf("accepted: coinbench lab check %s, the number that you read in %s%s", v.lab.Name, r.Unit, evidenceWanted(r)))
	}
	e := labs.Entry{Kind: labs.Checked, Round: round}
	var err error
	if e.Reading, err = labNumber(number, r.Unit); err != nil {
		return err
	}
	if r.Evidence != nil {
		if e.Evidence = evidence[0]; !slices.Contains(r.Evidence.Choices, e.Evidence) {
			return usage(fmt.Errorf("evidence %q; accepted: %s", e.Evidence, strings.Join(r.Evidence.Choices, ", ")))
		}
	}
	f, _, _, err := v.judge(round, labs.Answered{Prediction: v.state.Prediction, Run: v.state.Run})
	if err != nil {
		return err
	}
	e.Outcome, e.Model, e.Why = f.Outcome, f.Model, f.Why
	if e.Outcome == labs.CannotTell {
		return v.cannotTell(e)
	}
	if err := v.add(e); err != nil {
		return err
	}
	if err := v.told(round); err != nil {
		return err
	}
	if v.state.Round == "" {
		return v.next()
	}
	return v.now()
}

// judge judges the prediction of a round by its run.
func (v *visit) judge(round string, x labs.Answered) (f labs.Feedback, a *capacity.Analysis, vars map[string]float64, err error) {
	if a, err = analyse(filepath.Join(v.attempt.Dir, x.Run.Run)); err != nil {
		return f, nil, nil, unmeasured(err)
	}
	if vars, err = v.vars(round); err != nil {
		return f, nil, nil, err
	}
	prediction := 0.0
	if x.Prediction.Prediction != nil {
		prediction = *x.Prediction.Prediction
	}
	f = v.lab.Round(round).Judge(prediction, a, vars)
	if x.Prediction.Prediction == nil && f.Outcome != labs.CannotTell {
		f.Outcome, f.Model = labs.NotYet, ""
	}
	return f, a, vars, nil
}

// told tells how a round was judged.
func (v *visit) told(round string) error {
	x, r := v.state.Answered[round], v.lab.Round(round)
	f, a, vars, err := v.judge(round, x)
	if err != nil {
		return err
	}
	skipped := x.Prediction.Prediction == nil
	if err := v.judged(f, r, vars, skipped); err != nil {
		return err
	}
	if reading := x.Check.Reading; reading != nil {
		if f.Reads(*reading) {
			v.out.say("Your reading, %s, is what the run measured.", labs.Figures(*reading))
		} else {
			v.out.say("Your reading, %s, is not what the run measured: look again where the number is.", labs.Figures(*reading))
		}
	}
	if r.Evidence != nil {
		seen, err := r.Evidence.Seen(a)
		switch {
		case err != nil:
			return unmeasured(err)
		case r.Evidence.Agrees(x.Check.Evidence, seen):
			v.out.say("Your evidence, %s, is what the run shows.", x.Check.Evidence)
		default:
			v.out.say("Your evidence, %s, is not what the run shows: that is %s.", x.Check.Evidence, seen)
		}
	}
	v.out.say("")
	text := v.lab.Section(f.Paragraph(round))
	if skipped {
		text = v.lab.Section(labs.Feedback{Outcome: labs.Right}.Paragraph(round))
	}
	return v.print(text, vars, a)
}

// judged prints the table of a judgement.
func (v *visit) judged(f labs.Feedback, r *labs.Round, vars map[string]float64, skipped bool) error {
	you, outcome := labs.Figures(f.Prediction), string(f.Outcome)
	if f.Model != "" {
		outcome += ": " + f.Model
	}
	if skipped {
		you, outcome = "–", "no prediction"
	}
	law := "–"
	if r.Law != "" {
		x, err := labs.Eval(r.Law, vars, nil)
		if err != nil {
			return unmeasured(err)
		}
		law = labs.Figures(x)
	}
	found := labs.Figures(f.Measured)
	if f.Half > .0005*math.Abs(f.Measured) {
		found += " ± " + labs.Figures(f.Half)
	}
	rows := [][]string{{"you", "law", "measured", "unit ", "outcome "}, {you, law, found, r.Unit, outcome}}
	if err := v.out.table(rows); err != nil {
		return err
	}
	for _, text := range r.Published {
		v.out.say("published: %s", text)
	}
	v.out.say("")
	return nil
}

func labHintCommand(p process, language *string) *cobra.Command {
	return &cobra.Command{
		Use:     "hint NAME",
		Short:   "Show the next hint: where to look, what to compute, the formula",
		Example: `  coinbench lab hint four-or-three`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			return v.hint()
		},
	}
}

// hint shows the next hint, or the last one again.
func (v *visit) hint() error {
	if v.state.Phase == labs.Done {
		return v.next()
	}
	if err := v.begun(); err != nil {
		return err
	}
	if v.state.Hints < len(v.lab.Round(v.state.Round).Hints) {
		if err := v.add(labs.Entry{Kind: labs.Hinted}); err != nil {
			return err
		}
	}
	return v.hinted(v.state.Hints)
}

// hinted tells the nth hint.
func (v *visit) hinted(n int) error {
	vars, err := v.vars(v.state.Round)
	if err != nil {
		return err
	}
	hints := v.lab.Round(v.state.Round).Hints
	return v.print(fmt.Sprintf("Hint %d of %d: %s", n, len(hints), hints[n-1]), vars, nil)
}

func labResetCommand(p process, language *string) *cobra.Command {
	var seed uint64
	c := &cobra.Command{
		Use:   "reset NAME",
		Short: "Begin a new attempt, with other numbers where the lab has some; those before it are kept",
		Example: `  coinbench lab reset ten-times-the-workers
  coinbench lab reset ten-times-the-workers --seed 7    # the same numbers for a whole room`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := labs.Load(args[0], *language)
			if err != nil {
				return usage(err)
			}
			v := newVisit(p, l, *language) // whatever the attempts before it hold
			if err := v.begin(seed); err != nil {
				return err
			}
			return v.show()
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 0, "what the numbers are drawn from; 0: chance")
	return c
}

func labSolveCommand(p process, language *string) *cobra.Command {
	var where clusterFlags
	c := &cobra.Command{
		Use:     "solve NAME",
		Short:   "Play the question that is under way with its answer filled in; it counts as solved, not as yours",
		Example: `  coinbench lab solve four-or-three --cluster sim`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			if v.state.Phase == labs.Done {
				return v.next()
			}
			return v.solve(where)
		},
	}
	where.addToLab(c)
	return c
}

// solve does what is left of the round that is under way. What is predicted is what the simulator measures.
func (v *visit) solve(where clusterFlags) error {
	if err := v.begun(); err != nil {
		return err
	}
	if v.state.Phase == labs.ToPredict {
		f, err := simulatedAnswer(v.p, &v.lab, v.state.Round, v.attempt.Seed())
		if err != nil {
			return err
		}
		if err := v.add(labs.Entry{Kind: labs.Predicted, Prediction: &f.Measured, Confidence: 95}); err != nil {
			return err
		}
	}
	if err := v.add(labs.Entry{Kind: labs.Solved}); err != nil {
		return err
	}
	if v.state.Phase == labs.ToRun {
		if err := v.ready(where); err != nil {
			return err
		}
		if err := v.run(where); err != nil {
			return err
		}
	}
	r := v.lab.Round(v.state.Round)
	f, a, _, err := v.judge(v.state.Round, labs.Answered{Prediction: v.state.Prediction, Run: v.state.Run})
	if err != nil {
		return err
	}
	var evidence []string
	if r.Evidence != nil {
		seen, err := r.Evidence.Seen(a)
		if err != nil {
			return unmeasured(err)
		}
		evidence = strings.Split(seen, "+")[:1]
	}
	return v.check(strconv.FormatFloat(f.Measured, 'g', -1, 64), evidence...)
}

// simulatedAnswer is the answer of a round, played in virtual time.
func simulatedAnswer(p process, l *labs.Lab, round string, seed uint64) (labs.Feedback, error) {
	r, err := playLab(p, l, round, seed, clusterFlags{name: "sim"})
	if err != nil {
		return labs.Feedback{}, err
	}
	f := l.Round(round).Judge(0, r.analysis, r.vars)
	if f.Outcome == labs.CannotTell {
		return f, unmeasured(fmt.Errorf("lab %s: %s: the simulator cannot tell: %s", l.Name, round, f.Why))
	}
	return f, nil
}
