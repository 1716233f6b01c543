package board

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"coinbench/labs"
	"coinbench/labs/web"
)

// View is the board as it is shown.
type View struct {
	Labs     []Line  `json:"labs"`
	Lab      string  `json:"lab"` // that is shown: the one asked for, or the trainer's last
	Title    string  `json:"title"`
	Rounds   []Round `json:"rounds"`
	Learners []Seat  `json:"learners,omitempty"` // for the trainer alone
}

// Line is how many learners are where in a lab.
type Line struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Predict int    `json:"predict"`
	Run     int    `json:"run"`
	Check   int    `json:"check"`
	Done    int    `json:"done"`
	Stuck   int    `json:"stuck"`
}

// Seat is a learner.
type Seat struct {
	Name    string `json:"name"`
	Lab     string `json:"lab"`
	Text    string `json:"text"`
	Minutes int    `json:"minutes"` // since the last step
	Stuck   bool   `json:"stuck"`
}

// Round is the room's vote on a question.
type Round struct {
	Heading  string     `json:"heading"`
	Ask      []web.Node `json:"ask"`
	Unit     string     `json:"unit"`
	Stage    string     `json:"stage"`
	Votes    int        `json:"votes"`
	Bars     []Bar      `json:"bars"`     // by number
	Models   []Model    `json:"models"`   // once it was measured: the answer, and each wrong model
	Measured string     `json:"measured"` // "": not yet
}

// Bar is how many predicted a number.
type Bar struct {
	Number string `json:"number"`
	Count  int    `json:"count"`
	Sure   int    `json:"sure"`  // percent, on average
	Means  string `json:"means"` // the way of thinking that gives it; "": none that is known, or not measured
	Right  bool   `json:"right"`

	value float64
}

// Model is a way of thinking, and how many voted for its number.
type Model struct {
	Name   string `json:"name"`
	Number string `json:"number"`
	Count  int    `json:"count"`
	Right  bool   `json:"right"`
}

// View is the board for the room, or for its trainer; lab "": the trainer's last.
func (b *Board) View(now time.Time, lab string, trainer bool) (v View, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	latest := ""
	for _, name := range b.order {
		if latest == "" || b.trainer[name].At.After(b.trainer[latest].At) {
			latest = name
		}
		v.Labs = append(v.Labs, b.line(now, name))
	}
	v.Lab = cmp.Or(lab, latest)
	s, ok := b.trainer[v.Lab]
	if !ok {
		return v, refuse(http.StatusNotFound, "there is no lab %q", v.Lab)
	}
	v.Title = s.Lab.Title
	for _, name := range labs.RoundNames() {
		r, err := b.round(s, name, trainer)
		if err != nil {
			return v, err
		}
		if name == labs.Question || s.Round != labs.Question || r.Votes > 0 {
			v.Rounds = append(v.Rounds, r)
		}
	}
	if trainer {
		for _, l := range b.seated() {
			w := l.labs[l.at]
			v.Learners = append(v.Learners, Seat{l.called(), w.Lab, w.text(), int(now.Sub(w.since).Minutes()), w.stuck(now)})
		}
	}
	return v, nil
}

func (w *way) stuck(now time.Time) bool { return w.Phase != labs.Done && now.Sub(w.since) >= quiet }

// text is where a learner is, in a few words.
func (w *way) text() string {
	phases := map[labs.Phase]string{labs.ToPredict: "to predict", labs.ToRun: "predicted", labs.ToCheck: "to be checked", labs.Done: "done"}
	text := phases[w.Phase]
	if w.Round == labs.Transfer {
		text += ", other setting"
	}
	if w.Last != "" {
		text += "; last: " + string(w.Last)
	}
	return text
}

// line counts the learners whose last step was in a lab.
func (b *Board) line(now time.Time, lab string) Line {
	line := Line{Name: lab, Title: b.trainer[lab].Lab.Title}
	for _, l := range b.learners {
		w := l.labs[lab]
		if w == nil || l.at != lab && w.Phase != labs.Done {
			continue
		}
		*map[labs.Phase]*int{labs.ToPredict: &line.Predict, labs.ToRun: &line.Run, labs.ToCheck: &line.Check, labs.Done: &line.Done}[w.Phase]++
		if w.stuck(now) {
			line.Stuck++
		}
	}
	return line
}

// round is the vote on one question.
func (b *Board) round(s Standing, name string, trainer bool) (out Round, err error) {
	r, m := s.Lab.Round(name), s.Rounds[name]
	out.Heading, out.Unit = labs.Heading(name, "en"), r.Unit
	ask, err := labs.Fill(r.Ask, m.Vars, nil)
	if err == nil {
		out.Ask, err = web.Markdown(ask)
	}
	if err != nil {
		return out, err
	}
	var votes []Vote
	for _, l := range b.seated() {
		if w := l.labs[s.Lab.Name]; w != nil {
			if v, ok := w.votes[name]; ok {
				votes = append(votes, v)
			}
		}
	}
	out.Votes = len(votes)
	if !trainer && !m.Shown && !m.Closed {
		out.Stage = "open: the numbers are shown when the trainer has predicted too"
		return out, nil
	}
	judge := func(float64) labs.Feedback { return labs.Feedback{} }
	switch {
	case m.Analysis != nil:
		judge = func(x float64) labs.Feedback { return r.Judge(x, m.Analysis, m.Vars) }
		if f := judge(0); f.Outcome == labs.CannotTell {
			out.Stage = "the run cannot tell: " + f.Why
		} else {
			out.Stage = "measured"
			out.Measured = labs.Figures(f.Measured)
			out.Models = models(s, name, votes, judge)
		}
	case m.Closed:
		out.Stage = "closed: the run is under way"
	default:
		out.Stage = "open until the run begins"
	}
	out.Bars = bars(s, name, votes, judge)
	return out, nil
}

// title is the heading of the paragraph that a judgement leads to.
func title(l *labs.Lab, round string, f labs.Feedback) string {
	if f.Outcome != labs.Right && f.Outcome != labs.WrongModel {
		return ""
	}
	return l.SectionHeading(f.Paragraph(round))
}

// bars count the votes by their number, in order. The rarest of many are one bar.
func bars(s Standing, round string, votes []Vote, judge func(float64) labs.Feedback) (all []Bar) {
	for _, v := range votes {
		f := judge(v.Number)
		one := Bar{Number: labs.Figures(v.Number), Means: title(&s.Lab, round, f), Right: f.Outcome == labs.Right, value: v.Number}
		i := slices.IndexFunc(all, func(x Bar) bool { return x.Number == one.Number && x.Means == one.Means })
		if i < 0 {
			i, all = len(all), append(all, one)
		}
		all[i].Count++
		all[i].Sure += v.Confidence
	}
	slices.SortStableFunc(all, func(x, y Bar) int { return cmp.Or(y.Count-x.Count, cmp.Compare(x.value, y.value)) })
	var rest Bar
	if len(all) > maxBars {
		for _, x := range all[maxBars-1:] {
			rest.Count += x.Count
			rest.Sure += x.Sure
		}
		rest.Number = fmt.Sprintf("%d other numbers", len(all)-maxBars+1)
		all = all[:maxBars-1]
	}
	slices.SortStableFunc(all, func(x, y Bar) int { return cmp.Compare(x.value, y.value) })
	if rest.Count > 0 {
		all = append(all, rest)
	}
	for i := range all {
		all[i].Sure /= all[i].Count
	}
	return all
}

// models are the answer, each wrong model, and what is none of them, with the votes for each.
func models(s Standing, round string, votes []Vote, judge func(float64) labs.Feedback) []Model {
	measured := judge(0)
	right := Model{Name: title(&s.Lab, round, labs.Feedback{Outcome: labs.Right}), Right: true, Number: labs.Figures(measured.Measured)}
	if measured.Half > .0005*measured.Measured {
		right.Number += " ± " + labs.Figures(measured.Half)
	}
	all, at := []Model{right}, map[string]int{"": 0}
	for _, w := range s.Lab.Round(round).Wrong {
		says, err := w.Number(s.Rounds[round].Vars)
		if err != nil {
			continue // lab test holds that there are none
		}
		at[w.Model] = len(all)
		all = append(all, Model{Name: title(&s.Lab, round, labs.Feedback{Outcome: labs.WrongModel, Model: w.Model}), Number: labs.Figures(says)})
	}
	none := 0
	for _, v := range votes {
		if f := judge(v.Number); f.Outcome == labs.NotYet {
			none++
		} else {
			all[at[f.Model]].Count++
		}
	}
	return append(all, Model{Name: "none of these", Count: none})
}
