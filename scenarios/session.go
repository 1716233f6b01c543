package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"coinbench/cluster"
)

// Session is a run whose steps are asked for one after the other while it is played. Each is read and checked as the next step of a
// file, which is what the session is in the end: played again, it does the same. Between two of them it waits, which is a step too.
// Its methods may be called from several goroutines.
type Session struct {
	file    string
	options Options
	patient time.Duration // it ends when nothing was asked for so long

	mu      sync.Mutex
	cluster cluster.Cluster // once it is played
	head    string          // of the file, with its first steps
	first   []Step          // that are still to be played
	items   []item          // what follows them
	number  int             // 1-based, of the step in force
	waiting bool            // for the next one to be asked for
	asked   *Step           // the next one
	ended   bool
	forgot  bool // it ended by itself
}

// item is a step of the file that a session makes.
type item struct{ yaml, failed string }

// ErrBusy is why a step cannot be asked for now.
var ErrBusy = errors.New("another step is being played")

// NewSession begins a session with the file that it is to continue, which ends in its steps. It ends when nothing was asked for in
// patient.
func NewSession(file string, head []byte, o Options, patient time.Duration) (*Session, Scenario, error) {
	if o.App != nil {
		o.App = kept(o.App)
	}
	if o.Attached != nil {
		o.Attached = sync.OnceValues(o.Attached)
	}
	scenario, err := Parse(file, head, o)
	if err != nil {
		return nil, Scenario{}, err
	}
	return &Session{file: file, options: o, patient: patient, head: strings.TrimRight(string(head), "\n") + "\n", first: scenario.Steps},
		scenario, nil
}

// kept is the app as it was at first: all that was asked for since is in the file that is read with it.
func kept(load func(path string) (cluster.App, error)) func(path string) (cluster.App, error) {
	path := ""
	first := sync.OnceValues(func() (cluster.App, error) { return load(path) })
	return func(p string) (cluster.App, error) {
		path = p
		return first()
	}
}

func (s *Session) on(c cluster.Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = c
}

// Ask has a step played next, which by asked for: one item of a list of steps, without its dash. It says which step of the run that is.
// The error is ErrBusy, or says what is wrong with it, as Parse does.
func (s *Session) Ask(yaml, by string) (number int, title string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting || s.asked != nil || s.ended {
		return 0, "", ErrBusy
	}
	if strings.ContainsAny(yaml, "\n\r") {
		return 0, "", errors.New("a step is one line")
	}
	items := append(s.items[:len(s.items):len(s.items)], item{yaml: "wait: 1s"}, item{yaml: yaml})
	scenario, err := Parse(s.file, s.text(items), s.options)
	if err == nil {
		err = Check(scenario, s.cluster)
	}
	if err != nil {
		return 0, "", err
	}
	step := scenario.Steps[len(scenario.Steps)-1]
	step.By = by
	s.asked, s.items = &step, items
	return s.number + 1, step.Title, nil
}

// Steps is the number of the step in force: how many were begun.
func (s *Session) Steps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// End ends the session, at once where it waits. Otherwise it says false: a step is being played, after whose end it ends.
func (s *Session) End() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.waiting && s.asked == nil
}

// YAML is the session so far as a scenario.
func (s *Session) YAML() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text(s.items)
}

func (s *Session) text(items []item) []byte {
	var b strings.Builder
	b.WriteString(s.head)
	for _, i := range items {
		dash := "- "
		if i.failed != "" {
			fmt.Fprintf(&b, "  # failed: %s\n", strings.ReplaceAll(i.failed, "\n", " "))
			dash = "# - "
		}
		fmt.Fprintf(&b, "  %s%s\n", dash, i.yaml)
	}
	return []byte(b.String())
}

// next is the source of its steps.
func (s *Session) next(failed error) (step Step, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed != nil {
		if len(s.items) == 0 { // there is no app
			return step, false
		}
		s.items[len(s.items)-1].failed = failed.Error()
	}
	switch {
	case len(s.first) > 0:
		step, s.first = s.first[0], s.first[1:]
	case s.asked != nil:
		step, s.asked = *s.asked, nil
	case s.ended:
		return step, false
	default:
		step, s.waiting = Step{Verb: "wait", Title: "wait for the next step", act: &await{s}}, true
	}
	s.number++
	return step, true
}

// await is the wait between two steps of a session.
type await struct{ session *Session }

func (*await) title() string { return "" }

func (*await) check(*plan) {}

const glance = 50 * time.Millisecond // how often it is looked whether something was asked for

func (a *await) play(ctx context.Context, st *stage) error {
	s, begun := a.session, st.cluster.Now()
	for {
		if err := st.cluster.Sleep(ctx, glance); err != nil {
			return err
		}
		if s.wake(st.cluster.Now().Sub(begun)) {
			return nil
		}
	}
}

// wake says whether a wait that has lasted so long is over, and if so puts it into the file.
func (s *Session) wake(waited time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil && !s.ended && waited >= s.patient {
		s.ended, s.forgot = true, true
	}
	text := item{yaml: fmt.Sprintf("wait: %s", waited.Round(time.Millisecond))}
	switch {
	case s.asked != nil:
		s.items[len(s.items)-2] = text
	case s.ended && !s.forgot:
		s.items = append(s.items, text)
	case !s.ended:
		return false
	}
	s.waiting = false
	return true
}

// Forgotten says that the session ended because nothing was asked for.
func (s *Session) Forgotten() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forgot
}
