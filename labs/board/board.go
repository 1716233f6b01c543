package board

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"coinbench/capacity"
	"coinbench/labs"
)

// Limits of a Board.
const (
	maxLearners  = 200
	maxPerSecond = 100             // requests that bring something, of the whole room
	maxBars      = 12              // numbers that are shown one by one
	quiet        = 5 * time.Minute // without a step, in a lab that is not done: stuck
)

// Vote is a prediction that a learner shares.
type Vote struct {
	Learner    string            `json:"learner"` // 32 hexadecimal digits, by which a room tells its learners apart
	Name       string            `json:"name,omitempty"`
	Lab        string            `json:"lab"`
	Round      string            `json:"round"`
	Settings   map[string]string `json:"settings"` // what the lab drew
	Number     float64           `json:"number"`
	Confidence int               `json:"confidence"` // percent
}

// Progress is how far a learner has come in a lab.
type Progress struct {
	Learner string       `json:"learner"`
	Name    string       `json:"name,omitempty"`
	Lab     string       `json:"lab"`
	Round   string       `json:"round"` // that is next; "": none
	Phase   labs.Phase   `json:"phase"`
	Last    labs.Outcome `json:"last,omitempty"` // of the round before
}

// Standing is how far the trainer has come in a lab.
type Standing struct {
	Lab     labs.Lab
	Attempt string    // another one: the room votes anew
	At      time.Time // of the last step
	Seed    uint64
	Round   string // that is next; "": none
	Rounds  map[string]Measured
}

// Measured is what the trainer did in a round.
type Measured struct {
	Vars     map[string]float64
	Shown    bool               // the trainer has predicted, or will not
	Closed   bool               // the trainer's run has begun
	Analysis *capacity.Analysis // of the run; nil: it has not ended
}

// Refusal is why something was not taken; Code is HTTP's.
type Refusal struct {
	Code int
	Text string
}

func (r *Refusal) Error() string { return r.Text }

func refuse(code int, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Board is what one room does. Its methods may be called from several goroutines.
type Board struct {
	mu       sync.Mutex
	order    []string
	trainer  map[string]Standing
	learners map[string]*learner
	second   time.Time // in which taken were taken
	taken    int
}

type learner struct {
	seat int // from 1 on
	name string
	labs map[string]*way
	at   string // lab of the last step
}

// way is a learner's through a lab.
type way struct {
	votes map[string]Vote // by round
	ran   map[string]bool // by round: the answer is known to this learner
	Progress
	since time.Time
}

// New is an empty board.
func New() *Board {
	return &Board{trainer: map[string]Standing{}, learners: map[string]*learner{}}
}

// Follow takes in where the trainer is in a lab. A new attempt of theirs empties the room's vote on it.
func (b *Board) Follow(s Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, known := b.trainer[s.Lab.Name]
	if !known {
		b.order = append(b.order, s.Lab.Name)
	}
	if known && before.Attempt != s.Attempt {
		for _, l := range b.learners {
			if w := l.labs[s.Lab.Name]; w != nil {
				clear(w.votes)
				clear(w.ran)
			}
		}
	}
	b.trainer[s.Lab.Name] = s
}

// Seed is what the room's numbers of a lab are drawn from.
func (b *Board) Seed(lab string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.trainer[lab]
	if !ok {
		return 0, refuse(http.StatusNotFound, "there is no lab %q", lab)
	}
	return s.Seed, nil
}

// Drawn are the settings of a lab that differ between attempts.
func Drawn(l *labs.Lab, seed uint64) map[string]string {
	drawn := map[string]string{}
	settings := l.Settings(labs.Question, seed)
	for name := range l.Draw {
		drawn[name] = settings[name]
	}
	return drawn
}

// Vote takes a prediction, which replaces the learner's one before it.
func (b *Board) Vote(now time.Time, v Vote) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, s, err := b.find(now, v.Learner, v.Name, v.Lab, v.Round)
	switch m := s.Rounds[v.Round]; {
	case err != nil:
		return err
	case v.Number < -1e9 || v.Number > 1e9:
		return refuse(http.StatusBadRequest, "number %g; accepted: -1e9 to 1e9", v.Number)
	case !slices.Contains([]int{50, 75, 95}, v.Confidence):
		return refuse(http.StatusBadRequest, "confidence %d; accepted: 50, 75, 95", v.Confidence)
	case m.Closed:
		return refuse(http.StatusConflict, "the room's run has begun, and no prediction follows it")
	case w.ran[v.Round]:
		return refuse(http.StatusConflict, "you have run this already, and no prediction follows a run")
	case !maps.Equal(v.Settings, Drawn(&s.Lab, s.Seed)):
		return refuse(http.StatusConflict, "your numbers are not the room's; a new attempt, begun in the page of lab serve, has them")
	}
	w.votes[v.Round] = v
	return nil
}

// Progress takes in how far a learner is.
func (b *Board) Progress(now time.Time, p Progress) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := p.Round
	if p.Phase == labs.Done && round == "" {
		round = labs.Transfer
	}
	w, _, err := b.find(now, p.Learner, p.Name, p.Lab, round)
	switch {
	case err != nil:
		return err
	case (p.Phase == labs.Done) != (p.Round == "") ||
		!slices.Contains([]labs.Phase{labs.ToPredict, labs.ToRun, labs.ToCheck, labs.Done}, p.Phase):
		return refuse(http.StatusBadRequest, "phase %q of round %q; accepted: predict, run, check, and done of no round", p.Phase, p.Round)
	case !slices.Contains([]labs.Outcome{"", labs.Right, labs.WrongModel, labs.NotYet}, p.Last):
		return refuse(http.StatusBadRequest, "outcome %q; accepted: right, wrong model, not yet", p.Last)
	}
	if p.Round != labs.Question {
		w.ran[labs.Question] = true
	}
	if p.Phase == labs.ToCheck || p.Phase == labs.Done {
		w.ran[round] = true
	}
	if w.Progress != p {
		w.Progress, w.since = p, now
	}
	b.learners[p.Learner].at = p.Lab
	return nil
}

var (
	plainID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	plainName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._-]*$`) // a counted repetition of these would take a megabyte
)

// CheckName says whether a learner may be called so; "": by a number.
func CheckName(name string) error {
	if name != "" && (len([]rune(name)) > 24 || !plainName.MatchString(name)) {
		return fmt.Errorf("name %q: accepted: up to 24 letters, digits, spaces, and . _ -, a letter or digit first", name)
	}
	return nil
}

// find is a learner's way through a lab, which begins here if there is room.
func (b *Board) find(now time.Time, id, name, lab, round string) (*way, Standing, error) {
	if b.taken++; now.Sub(b.second) >= time.Second {
		b.second, b.taken = now, 1
	}
	s, ok := b.trainer[lab]
	l := b.learners[id]
	switch {
	case b.taken > maxPerSecond:
		return nil, s, refuse(http.StatusTooManyRequests, "too many at once: it is tried again")
	case !plainID.MatchString(id):
		return nil, s, refuse(http.StatusBadRequest, "learner: accepted: 32 hexadecimal digits")
	case !ok:
		return nil, s, refuse(http.StatusNotFound, "there is no lab %q", lab)
	case !slices.Contains(labs.RoundNames(), round):
		return nil, s, refuse(http.StatusBadRequest, "round %q; accepted: %v", round, labs.RoundNames())
	case l == nil && len(b.learners) == maxLearners:
		return nil, s, refuse(http.StatusServiceUnavailable, "the board is full: it has %d learners", maxLearners)
	}
	if err := CheckName(name); err != nil {
		return nil, s, refuse(http.StatusBadRequest, "%v", err)
	}
	if l == nil {
		l = &learner{seat: len(b.learners) + 1, labs: map[string]*way{}, at: lab}
		b.learners[id] = l
	}
	l.name = cmp.Or(name, l.name)
	w := l.labs[lab]
	if w == nil {
		w = &way{votes: map[string]Vote{}, ran: map[string]bool{}, since: now,
			Progress: Progress{Lab: lab, Round: labs.Question, Phase: labs.ToPredict}}
		l.labs[lab] = w
	}
	return w, s, nil
}

func (l *learner) called() string { return cmp.Or(l.name, fmt.Sprintf("learner %d", l.seat)) }

// seated are the learners in the order in which they came.
func (b *Board) seated() []*learner {
	return slices.SortedFunc(maps.Values(b.learners), func(x, y *learner) int { return x.seat - y.seat })
}

// WriteCSV writes the votes that are on the board, and how each was judged by the trainer's run.
func (b *Board) WriteCSV(to io.Writer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := csv.NewWriter(to)
	_ = w.Write([]string{"lab", "round", "learner", "prediction", "confidence", "outcome", "model"})
	for _, lab := range b.order {
		s := b.trainer[lab]
		for _, round := range labs.RoundNames() {
			for _, l := range b.seated() {
				v, ok := Vote{}, false
				if way := l.labs[lab]; way != nil {
					v, ok = way.votes[round]
				}
				if !ok {
					continue
				}
				var f labs.Feedback
				if m := s.Rounds[round]; m.Analysis != nil {
					f = s.Lab.Round(round).Judge(v.Number, m.Analysis, m.Vars)
				}
				_ = w.Write([]string{lab, round, l.called(), strconv.FormatFloat(v.Number, 'g', -1, 64), strconv.Itoa(v.Confidence),
					string(f.Outcome), f.Model})
			}
		}
	}
	w.Flush()
	return w.Error()
}
