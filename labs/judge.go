package labs

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
)

// Outcome is how a prediction was judged.
type Outcome string

// The outcomes.
const (
	Right      Outcome = "right"
	WrongModel Outcome = "wrong model" // Feedback.Model says which
	NotYet     Outcome = "not yet"     // wrong, and by no way of thinking that the lab knows
	CannotTell Outcome = "cannot tell" // the run measured nothing that judges
)

// Feedback is a prediction, judged.
type Feedback struct {
	Outcome    Outcome
	Model      string  // the wrong model that gives the number
	Prediction float64 //
	Measured   float64 // the answer
	Half       float64 // half of its 95 % interval
	Band       float64 // a prediction is right within it
	Why        string  // nothing can be told
}

// near is the share of a wrong model's number within which a prediction is that model's: more than rounding to two digits takes.
const near = .03

// apart is how many bands must lie between two answers that are told apart.
const apart = 2

// measure computes the answer and half of its 95 % interval, to which the errors of its metrics add as independent ones do.
func (r *Round) measure(a *capacity.Analysis, vars map[string]float64) (value, half float64, err error) {
	margins := map[string]float64{}
	from := MetricsOf(a)
	value, err = Eval(r.Answer, vars, func(text string) (float64, error) {
		v, err := measured(a, text)
		if err != nil {
			return 0, err
		}
		margins[text] = v.half
		return v.value, nil
	})
	if err != nil {
		return 0, 0, err
	}
	for text, margin := range margins {
		if margin == 0 || r.Whole {
			continue
		}
		moved, err := Eval(r.Answer, vars, func(other string) (float64, error) {
			v, err := from(other)
			if other == text {
				v += margin
			}
			return v, err
		})
		if err != nil {
			return 0, 0, err
		}
		half = math.Hypot(half, moved-value)
	}
	return value, half, nil
}

type number struct{ value, half float64 }

// MetricsOf are the metrics of a run, for formulas.
func MetricsOf(a *capacity.Analysis) func(string) (float64, error) {
	return func(text string) (float64, error) {
		v, err := measured(a, text)
		return v.value, err
	}
}

// measured is one metric of a run.
func measured(a *capacity.Analysis, text string) (number, error) {
	o, err := capacity.ParseObjectiveOf(a.Roles, text+" >= 0")
	if err != nil {
		return number{}, err
	}
	v := o.Judge(a)
	if v.Value == nil {
		return number{}, fmt.Errorf("%s: %s", text, v.Reason)
	}
	n := number{value: *v.Value}
	if v.Low != nil && v.High != nil {
		n.half = (*v.High - *v.Low) / 2
	}
	return n, nil
}

// judges says why a run judges nothing; "": it does.
func (r *Round) judges(a *capacity.Analysis) string {
	switch {
	case a.Run.Status != history.Finished:
		return "the run did not come to its end"
	case len(a.Validity.Invalid) > 0:
		return "the machine was busy, or the load generator was late: " + a.Validity.Invalid[0]
	case len(a.Validity.Doubts) > 0:
		return a.Validity.Doubts[0]
	}
	for _, text := range r.Holds {
		o, err := capacity.ParseObjectiveOf(a.Roles, text)
		if err != nil {
			return err.Error()
		}
		if v := o.Judge(a); v.Result != capacity.Pass {
			return fmt.Sprintf("the run does not show what the lab is about: %s does not hold (%s)", text, v.Reason)
		}
	}
	return ""
}

// Judge judges a prediction by a run.
func (r *Round) Judge(prediction float64, a *capacity.Analysis, vars map[string]float64) Feedback {
	f := Feedback{Outcome: CannotTell, Prediction: prediction}
	if f.Why = r.judges(a); f.Why != "" {
		return f
	}
	var err error
	if f.Measured, f.Half, err = r.measure(a, vars); err != nil {
		f.Why = err.Error()
		return f
	}
	f.Band = r.band(f.Measured, f.Half)
	if f.Why = r.tooWide(f, vars); f.Why != "" {
		return f
	}
	if f.Why = r.disturbed(f, vars); f.Why != "" {
		return f
	}
	f.Outcome = NotYet
	if math.Abs(prediction-f.Measured) <= f.Band {
		f.Outcome = Right
	} else if w := r.thought(prediction, vars); w != nil {
		f.Outcome, f.Model = WrongModel, w.Model
	}
	return f
}

// wholeBand is that of whole numbers: none, but for the rounding of formulas.
const wholeBand = 1e-6

// band is never narrower than what the measurement leaves open and 2 %.
func (r *Round) band(measured, half float64) float64 {
	if r.Whole {
		return wholeBand
	}
	return max(float64(r.Band)*math.Abs(measured), half+.02*math.Abs(measured))
}

// tooWide says that the run's error hides the difference between the answer and a wrong model.
func (r *Round) tooWide(f Feedback, vars map[string]float64) string {
	for _, w := range r.Wrong {
		says, err := w.Number(vars)
		if err != nil {
			return err.Error()
		}
		distance := math.Abs(says - f.Measured)
		if w.Upto != nil {
			distance = max(0, f.Measured-*w.Upto)
		}
		if distance <= f.Band {
			return fmt.Sprintf("the run measured %s ± %s, which does not tell it from %s, the number of a wrong model", Figures(f.Measured),
				Figures(f.Half), Figures(says))
		}
	}
	return ""
}

// disturbed says that the run measured another number than its settings give, so that who predicted rightly would be told that it is wrong:
// a busy machine prolongs delays by a few percent before the run is invalid.
func (r *Round) disturbed(f Feedback, vars map[string]float64) string {
	if r.Law == "" {
		return ""
	}
	law, err := Eval(r.Law, vars, nil)
	if err != nil {
		return err.Error()
	}
	if math.Abs(law-f.Measured) > f.Band {
		return fmt.Sprintf("the run measured %s where its settings give %s: something else took the machine's time", Figures(f.Measured),
			Figures(law))
	}
	return ""
}

// Number is what the model says.
func (w Wrong) Number(vars map[string]float64) (float64, error) { return Eval(w.Says, vars, nil) }

// meets says whether a number is this model's.
func (w Wrong) meets(x, says float64, whole bool) bool {
	if w.Upto != nil && x >= 0 && x <= *w.Upto {
		return true
	}
	if whole {
		return math.Abs(x-says) <= wholeBand
	}
	return math.Abs(x-says) <= near*math.Abs(says)
}

// thought is the wrong model whose number is the nearest of those that a prediction meets.
func (r *Round) thought(prediction float64, vars map[string]float64) *Wrong {
	var found *Wrong
	best := math.Inf(1)
	for i, w := range r.Wrong {
		says, err := w.Number(vars)
		if err == nil && w.meets(prediction, says, r.Whole) && math.Abs(prediction-says) < best {
			found, best = &r.Wrong[i], math.Abs(prediction-says)
		}
	}
	return found
}

// Reads judges the number that was read off a run: within its error, and at least 2 %.
func (f Feedback) Reads(reading float64) bool {
	return math.Abs(reading-f.Measured) <= max(f.Half, .02*math.Abs(f.Measured), .005)
}

// Seen is the word that is the evidence in a run; those of a tie have + between them.
func (e *Evidence) Seen(a *capacity.Analysis) (string, error) {
	o, err := capacity.ParseObjectiveOf(a.Roles, e.Answer+" != "+e.Choices[0])
	if err != nil {
		return "", err
	}
	v := o.Judge(a)
	if v.Word == "" {
		return "", fmt.Errorf("%s: %s", e.Answer, v.Reason)
	}
	return strings.ReplaceAll(v.Word, " ", "-"), nil
}

// Agrees says whether an answer is what was seen, or one of a tie.
func (e *Evidence) Agrees(answer, seen string) bool {
	return slices.Contains(strings.Split(seen, "+"), answer)
}

// Paragraph is the id of the section that an outcome leads to; "" for one that cannot be told.
func (f Feedback) Paragraph(round string) string {
	switch f.Outcome {
	case Right:
		return prefix(round) + "right"
	case WrongModel:
		return prefix(round) + "wrong-" + f.Model
	case NotYet:
		return prefix(round) + "wrong"
	}
	return ""
}

// Distinct says which answers of a round lie too near each other to be told apart; "": none.
func (r *Round) Distinct(f Feedback, vars map[string]float64) string {
	type named struct {
		name        string
		value, band float64
	}
	all := []named{{"the answer", f.Measured, f.Band}}
	for _, w := range r.Wrong {
		says, err := w.Number(vars)
		if err != nil {
			return err.Error()
		}
		all = append(all, named{w.Model, says, near * math.Abs(says)})
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			least := apart * max(a.band, b.band)
			if r.Whole {
				least = .5
			}
			if math.Abs(a.value-b.value) <= least {
				return fmt.Sprintf("%s (%s) and %s (%s) are not %d bands apart", a.name, Figures(a.value), b.name, Figures(b.value), apart)
			}
		}
	}
	return ""
}
