package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"coinbench/labs"
	"coinbench/labs/board"
)

// sharer brings to a room's board what a learner chose to share: predictions, and how far they are in which lab.
type sharer struct {
	room    *board.Room
	root    string // of the attempts
	learner string
	name    string
	labs    []labs.Lab
	stderr  io.Writer

	mu   sync.Mutex
	told map[string]string // by lab: what the board has been told
	said map[string]string // by lab: what became of the prediction
	lost string            // why the board was not reached the last time
}

// newSharer joins a room. Learners have a number of their own in each, which tells no other room and no trainer who they are.
func newSharer(p process, address, name string) (*sharer, error) {
	room, err := board.Join(address)
	if err == nil {
		err = board.CheckName(name)
	}
	if err != nil {
		return nil, usage(err)
	}
	s := &sharer{room: room, root: labRoot(p), name: name, stderr: p.stderr, told: map[string]string{}, said: map[string]string{}}
	if s.labs, err = labs.All(); err != nil {
		return nil, unmeasured(err)
	}
	secret, err := ownSecret(s.root)
	if err != nil {
		return nil, unmeasured(err)
	}
	sum := sha256.Sum256([]byte(secret + room.Page()))
	s.learner = hex.EncodeToString(sum[:16])
	return s, nil
}

// begin makes an attempt with the room's numbers of each lab that has any and in which nothing is predicted, so that the commands of the
// terminal have them too.
func (s *sharer) begin(now time.Time) error {
	for i := range s.labs {
		l := &s.labs[i]
		if len(l.Draw) == 0 {
			continue
		}
		a, err := labs.Latest(s.root, l.Name)
		if err != nil || a != nil && slices.ContainsFunc(a.Entries, func(e labs.Entry) bool { return e.Kind == labs.Predicted }) {
			continue // under way, or not to be read: a new attempt is the learner's to begin
		}
		seed := s.seed(l.Name)
		if seed == 0 {
			return nil // new attempts of the page ask again
		}
		if a != nil && maps.Equal(board.Drawn(l, a.Seed()), board.Drawn(l, seed)) {
			continue
		}
		if _, err := labs.Begin(s.root, l.Name, seed, now); err != nil {
			return unmeasured(err)
		}
	}
	return nil
}

// ownSecret is kept in a file, so that who comes back is not counted twice.
func ownSecret(root string) (string, error) {
	path := filepath.Join(root, "learner")
	if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
		return string(text), nil
	}
	text := rand.Text()
	return text, errors.Join(os.MkdirAll(root, 0o755), os.WriteFile(path, []byte(text), 0o600))
}

// seed is what the room's numbers are drawn from; 0: the board does not say.
func (s *sharer) seed(lab string) uint64 {
	seed, err := s.room.Seed(context.Background(), lab)
	s.reached(err)
	return seed
}

func (s *sharer) reached(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = ""
	var refused *board.Refusal
	if err != nil && !errors.As(err, &refused) {
		s.lost = err.Error()
	}
}

// follow shares until the context ends. What the board did not take, for it was not there, is tried again.
func (s *sharer) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for i := range s.labs {
			if err := s.share(ctx, &s.labs[i]); err != nil {
				break // the others would not arrive either
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// share brings a lab to the board if it moved.
func (s *sharer) share(ctx context.Context, l *labs.Lab) error {
	a, err := labs.Latest(s.root, l.Name)
	if err != nil || a == nil {
		return nil // what cannot be read is said where the lab is shown
	}
	now := fmt.Sprint(a.Dir, "/", len(a.Entries))
	s.mu.Lock()
	known := s.told[l.Name] == now
	s.mu.Unlock()
	if known {
		return nil
	}
	state := a.State()
	said := ""
	if number := openPrediction(a, state); number != nil {
		err = s.room.Vote(ctx, board.Vote{Learner: s.learner, Name: s.name, Lab: l.Name, Round: state.Round, Settings: board.Drawn(l, a.Seed()),
			Number: *number, Confidence: state.Prediction.Confidence})
		said = "Your prediction is on the room's board."
	}
	var refused *board.Refusal
	if errors.As(err, &refused) {
		said, err = "Your prediction is not on the room's board: "+refused.Text+".", nil
		say(s.stderr, "%s: %s", l.Name, said) // for those who predict in the terminal
	}
	if err == nil {
		p := board.Progress{Learner: s.learner, Name: s.name, Lab: l.Name, Round: state.Round, Phase: state.Phase}
		before := labs.Question
		if state.Phase == labs.Done {
			before = labs.Transfer
		}
		if x, ok := state.Answered[before]; ok {
			p.Last = x.Check.Outcome
		}
		if err = s.room.Progress(ctx, p); errors.As(err, &refused) {
			said, err = "The room's board says: "+refused.Text+".", nil
		}
	}
	s.reached(err)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told[l.Name], s.said[l.Name] = now, said
	}
	return err
}

// openPrediction is the number that was predicted in a round of which no run has begun; nil: there is none.
func openPrediction(a *labs.Attempt, state labs.State) *float64 {
	if state.Phase != labs.ToRun || state.Prediction == nil {
		return nil
	}
	for _, e := range a.Entries {
		if e.Kind == labs.Started && e.Round == state.Round {
			return nil
		}
	}
	return state.Prediction.Prediction
}

// status is what a learner sees of what is shared in a lab; nil shares nothing.
func (s *sharer) status(lab string) string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != "" {
		return "Not shared now, and tried again: " + s.lost
	}
	return s.said[lab]
}

// page is the board's address; nil has none.
func (s *sharer) page() string {
	if s == nil {
		return ""
	}
	return s.room.Page()
}
