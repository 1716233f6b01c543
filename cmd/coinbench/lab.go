package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
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
		labResetCommand(p, &language), labSolveCommand(p, &language), labTestCommand(p), labExportCommand(p, &language))
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

func visitLab(p process, name, language string) (*visit, error) {
	l, err := labs.Load(name, language)
	if err != nil {
		return nil, usage(err)
	}
	v := &visit{p: p, lab: l, language: language, root: labRoot(p)}
	if v.attempt, err = labs.Latest(v.root, name); err != nil {
		return nil, unmeasured(err)
	}
	v.state = labs.State{Round: labs.Question, Phase: labs.ToPredict}
	if v.attempt != nil {
		v.state = v.attempt.State()
	}
	return v, nil
}

// begin makes an attempt, unless one is under way.
func (v *visit) begin(seed uint64) (err error) {
	if seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return unmeasured(err)
		}
		seed = binary.LittleEndian.Uint64(b[:])>>40 + 1 // short enough to be read out
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

// print writes a lab's Markdown to the terminal, with its numbers in place.
func (v *visit) print(text string, vars map[string]float64, a *capacity.Analysis) error {
	var metric func(string) (float64, error)
	if a != nil {
		metric = labs.MetricsOf(a)
	}
	filled, err := labs.Fill(text, vars, metric)
	if err != nil {
		return unmeasured(err)
	}
	columns := min(width(v.p.stdout), 100)
	if v.language == "zh" {
		columns /= 2 // a character takes two
	}
	_, err = io.WriteString(v.p.stdout, plainMarkdown(filled, columns)+"\n\n")
	return unmeasured(err)
}

// emphasis is what Markdown sets in italics or bold.
var emphasis = regexp.MustCompile(`(\*\*?)(\b[^*]+)(\*\*?)`)

// plainMarkdown is Markdown as lines of a terminal: headings and emphasis lose their marks, paragraphs and items are filled anew.
func plainMarkdown(text string, width int) string {
	var out, block []string
	flush := func() {
		filled := strings.Join(block, " ")
		switch {
		case len(block) == 0:
		case strings.HasPrefix(filled, "* "):
			out = append(out, reports.Fold(filled, width)) // with a hanging indent
		default:
			out = append(out, reports.FoldWords(strings.TrimPrefix(filled, "### "), width)...)
		}
		block = nil
	}
	drawing := false
	for line := range strings.SplitSeq(text, "\n") {
		switch fence := strings.HasPrefix(line, "```"); {
		case fence:
			drawing = !drawing
		case drawing:
			out = append(out, "    "+line)
		case line == "":
			flush()
			out = append(out, "")
		default:
			if strings.HasPrefix(line, "* ") {
				flush()
			}
			block = append(block, strings.TrimSpace(line))
		}
	}
	flush()
	return emphasis.ReplaceAllString(strings.TrimRight(strings.Join(out, "\n"), "\n"), "$2")
}

// show prints what the learner needs now.
func (v *visit) show() error {
	if v.attempt == nil {
		if err := v.begin(0); err != nil {
			return err
		}
	}
	say(v.p.stdout, "%s\nlab %s · %d minutes · on %s\n", v.lab.Title, v.lab.Name, v.lab.Minutes, strings.Join(v.lab.On, ", "))
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

// next says which command comes next.
func (v *visit) next() error {
	name, r, w := v.lab.Name, v.lab.Round(v.state.Round), v.p.stdout
	if v.state.Cut {
		say(w, "The last run did not come to its end: it cannot tell. Your prediction stays.")
	}
	switch v.state.Phase {
	case labs.ToPredict:
		say(w, "Your prediction, in %s, and how sure you are of it (50, 75 or 95 %%):\n  coinbench lab predict %s NUMBER --confidence 75", r.Unit,
			name)
		say(w, "No idea? coinbench lab hint %s", name)
	case labs.ToRun:
		say(w, "Your prediction: %s. Now measure it, and from then on it is sealed:\n  coinbench lab run %s",
			predicted(v.state.Prediction, r.Unit), name)
	case labs.ToCheck:
		more := ""
		if r.Evidence != nil {
			more = " EVIDENCE"
			say(w, "%s One of: %s", r.Evidence.Ask, strings.Join(r.Evidence.Choices, ", "))
		}
		say(w, "What did you read, in %s?\n  coinbench lab check %s NUMBER%s", r.Unit, name, more)
		say(w, "The report again: coinbench report %s", filepath.Join(v.attempt.Dir, v.state.Run.Run))
	case labs.Done:
		all, err := labs.All()
		if err != nil {
			return unmeasured(err)
		}
		say(w, "This lab is done. Again, with other numbers: coinbench lab reset %s", name)
		i := slices.IndexFunc(all, func(l labs.Lab) bool { return l.Name == name })
		if i >= 0 && i+1 < len(all) {
			say(w, "Next: coinbench lab %s (%s)", all[i+1].Name, all[i+1].Title)
		}
		say(w, "How you are doing: coinbench lab")
	}
	return nil
}

func predicted(e *labs.Entry, unit string) string {
	if e == nil || e.Prediction == nil {
		return "none"
	}
	return fmt.Sprintf("%s %s, %d %% sure", labs.Figures(*e.Prediction), unit, e.Confidence)
}

func listLabs(p process, language string) error {
	rows := reports.Table{{"lab ", "minutes", "title ", "where ", "you "}}
	all, err := labs.All()
	if err != nil {
		return unmeasured(err)
	}
	var attempts []*labs.Attempt
	for _, l := range all {
		v, err := visitLab(p, l.Name, language)
		if err != nil {
			return err
		}
		if v.attempt != nil {
			attempts = append(attempts, v.attempt)
		}
		rows = append(rows, []string{l.Name, strconv.Itoa(l.Minutes), v.lab.Title, strings.Join(l.On, ", "), v.standing()})
	}
	if err := table(p.stdout, rows); err != nil {
		return err
	}
	if s := labs.Calibration(attempts); s.Predictions > 0 {
		say(p.stdout, "\n%d of %d predictions right. Brier score %.2f: 0 is best, 0.25 is what 50 %% every time gives, and more is too sure "+
			"of oneself.",
			s.Right, s.Predictions, s.Brier)
	}
	say(p.stdout, "\nBegin: coinbench lab %s", all[0].Name)
	return nil
}

// standing is how far the learner is, in a few words.
func (v *visit) standing() string {
	if v.attempt == nil {
		return "–"
	}
	var words []string
	for _, round := range labs.RoundNames() {
		if c, ok := v.state.Checks[round]; ok {
			words = append(words, string(c.Outcome))
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
			if !slices.Contains([]int{50, 75, 95}, confidence) {
				return usage(fmt.Errorf("--confidence %d: accepted: 50, 75, 95", confidence))
			}
			switch {
			case v.state.Phase == labs.Done:
				return usage(fmt.Errorf("lab %s is done; again, with other numbers: coinbench lab reset %s", v.lab.Name, v.lab.Name))
			case v.state.Phase != labs.ToPredict:
				return usage(fmt.Errorf("the prediction is sealed (%s); another one is a new attempt: coinbench lab reset %s",
					predicted(v.state.Prediction, v.lab.Round(v.state.Round).Unit), v.lab.Name))
			}
			e := labs.Entry{Kind: labs.Predicted, Confidence: confidence}
			if skip {
				e.Confidence = 0
			} else if e.Prediction, err = labNumber(args[1], v.lab.Round(v.state.Round).Unit); err != nil {
				return err
			}
			if v.attempt == nil {
				if err := v.begin(0); err != nil {
					return err
				}
			}
			if err := v.add(e); err != nil {
				return err
			}
			return v.next()
		},
	}
	c.Flags().IntVar(&confidence, "confidence", 75, "how sure you are of it, in percent: 50, 75, 95")
	c.Flags().BoolVar(&skip, "skip", false, "run without a prediction, which is kept too")
	return c
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
			switch v.state.Phase {
			case labs.ToPredict:
				return usage(fmt.Errorf("predict first, or say that you will not: coinbench lab predict %s NUMBER, or --skip", v.lab.Name))
			case labs.Done:
				return usage(fmt.Errorf("lab %s is done; again, with other numbers: coinbench lab reset %s", v.lab.Name, v.lab.Name))
			}
			return v.run(where)
		},
	}
	where.add(c)
	return c
}

// run plays the round that is under way.
func (v *visit) run(where clusterFlags) error {
	if !slices.Contains(v.lab.On, where.name) {
		return usage(fmt.Errorf("lab %s is not made for %s; accepted: --cluster %s", v.lab.Name, where.name, strings.Join(v.lab.On, ", ")))
	}
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
		if err := v.add(labs.Entry{Kind: labs.Checked, Outcome: f.Outcome}); err != nil {
			return err
		}
		say(v.p.stdout, "Cannot tell: %s. It is the run, not you; your prediction stays.\n  coinbench lab run %s", f.Why, v.lab.Name)
		return exit(exitUnmeasured)
	}
	page, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return unmeasured(err)
	}
	if err := errors.Join(reports.HTML(page, a), page.Close(), reports.Text(v.p.stdout, a, textOptions(v.p))); err != nil {
		return unmeasured(fmt.Errorf("report: %w", err))
	}
	say(v.p.stdout, "\nThe same as a page: %s\n", page.Name())
	if err := v.print(v.lab.Section("look"), vars, nil); err != nil {
		return err
	}
	return v.next()
}

func labCheckCommand(p process, language *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME READING [EVIDENCE]",
		Short: "Say what you read in the report, and have the prediction judged",
		Example: `  coinbench lab check four-or-three 3.32
  coinbench lab check ten-times-the-workers 10 rng`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := visitLab(p, args[0], *language)
			if err != nil {
				return err
			}
			if v.state.Phase != labs.ToCheck {
				return usage(fmt.Errorf("there is no run to check; what comes next: coinbench lab %s", v.lab.Name))
			}
			r := v.lab.Round(v.state.Round)
			want := 2
			if r.Evidence != nil {
				want = 3
			}
			if len(args) != want {
				return usage(fmt.Errorf("accepted: coinbench lab check %s, the number that you read in %s%s", v.lab.Name, r.Unit, evidenceWanted(r)))
			}
			reading, err := labNumber(args[1], r.Unit)
			if err != nil {
				return err
			}
			evidence := ""
			if r.Evidence != nil {
				if evidence = args[2]; !slices.Contains(r.Evidence.Choices, evidence) {
					return usage(fmt.Errorf("evidence %q; accepted: %s", evidence, strings.Join(r.Evidence.Choices, ", ")))
				}
			}
			return v.check(reading, evidence)
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
func (v *visit) check(reading *float64, evidence string) error {
	round, w := v.state.Round, v.p.stdout
	r := v.lab.Round(round)
	a, err := analyse(filepath.Join(v.attempt.Dir, v.state.Run.Run))
	if err != nil {
		return unmeasured(err)
	}
	vars, err := v.vars(round)
	if err != nil {
		return err
	}
	prediction, skipped := 0.0, v.state.Prediction.Prediction == nil
	if !skipped {
		prediction = *v.state.Prediction.Prediction
	}
	f := r.Judge(prediction, a, vars)
	if skipped && f.Outcome != labs.CannotTell {
		f.Outcome, f.Model = labs.NotYet, ""
	}
	if err := v.add(labs.Entry{Kind: labs.Checked, Round: round, Outcome: f.Outcome, Model: f.Model, Reading: reading,
		Evidence: evidence}); err != nil {
		return err
	}
	if f.Outcome == labs.CannotTell {
		say(w, "Cannot tell: %s. It is the run, not you; your prediction stays.\n  coinbench lab run %s", f.Why, v.lab.Name)
		return exit(exitUnmeasured)
	}
	if err := v.judged(f, r, vars, skipped); err != nil {
		return err
	}
	if reading != nil {
		if f.Reads(*reading) {
			say(w, "Your reading, %s, is what the run measured.", labs.Figures(*reading))
		} else {
			say(w, "Your reading, %s, is not what the run measured: look again where the number stands.", labs.Figures(*reading))
		}
	}
	if r.Evidence != nil {
		seen, err := r.Evidence.Seen(a)
		switch {
		case err != nil:
			return unmeasured(err)
		case r.Evidence.Agrees(evidence, seen):
			say(w, "Your evidence, %s, is what the run shows.", evidence)
		default:
			say(w, "Your evidence, %s, is not what the run shows: that is %s.", evidence, seen)
		}
	}
	say(w, "")
	text := v.lab.Section(f.Paragraph(round))
	if skipped {
		text = v.lab.Section(labs.Feedback{Outcome: labs.Right}.Paragraph(round))
	}
	if err := v.print(text, vars, a); err != nil {
		return err
	}
	if v.state.Round == "" {
		return v.next()
	}
	if vars, err = v.vars(v.state.Round); err != nil {
		return err
	}
	if err := v.print(v.lab.Round(v.state.Round).Ask, vars, nil); err != nil {
		return err
	}
	return v.next()
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
	rows := reports.Table{{"you", "law", "measured", "unit ", "outcome "}, {you, law, found, r.Unit, outcome}}
	if err := table(v.p.stdout, rows); err != nil {
		return err
	}
	for _, text := range r.Published {
		say(v.p.stdout, "published: %s", text)
	}
	say(v.p.stdout, "")
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
			if v.state.Phase == labs.Done {
				return v.next()
			}
			if v.attempt == nil {
				if err := v.begin(0); err != nil {
					return err
				}
			}
			hints := v.lab.Round(v.state.Round).Hints
			n := min(v.state.Hints+1, len(hints))
			if v.state.Hints < len(hints) {
				if err := v.add(labs.Entry{Kind: labs.Hinted}); err != nil {
					return err
				}
			}
			vars, err := v.vars(v.state.Round)
			if err != nil {
				return err
			}
			return v.print(fmt.Sprintf("Hint %d of %d: %s", n, len(hints), hints[n-1]), vars, nil)
		},
	}
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
			v := &visit{p: p, lab: l, language: *language, root: labRoot(p)} // whatever the attempts before it hold
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
	where.add(c)
	return c
}

// solve does what is left of the round that is under way. What is predicted is what the simulator measures.
func (v *visit) solve(where clusterFlags) error {
	if v.attempt == nil {
		if err := v.begin(0); err != nil {
			return err
		}
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
		if err := v.run(where); err != nil {
			return err
		}
	}
	r := v.lab.Round(v.state.Round)
	a, err := analyse(filepath.Join(v.attempt.Dir, v.state.Run.Run))
	if err != nil {
		return unmeasured(err)
	}
	vars, err := v.vars(v.state.Round)
	if err != nil {
		return err
	}
	f := r.Judge(0, a, vars)
	evidence := ""
	if r.Evidence != nil {
		if evidence, err = r.Evidence.Seen(a); err != nil {
			return unmeasured(err)
		}
	}
	return v.check(&f.Measured, evidence)
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
