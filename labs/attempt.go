package labs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Kind is what an entry records.
type Kind string

// The kinds of entries.
const (
	Begun     Kind = "begin"
	Predicted Kind = "predict"
	Started   Kind = "run"   // from here on the prediction is sealed
	Ended     Kind = "ran"   // the run's record is whole
	Checked   Kind = "check" //
	Hinted    Kind = "hint"
	Solved    Kind = "solve" // the answer was shown
)

// Entry is a line of an attempt's file.
type Entry struct {
	At         time.Time `json:"at"`
	Kind       Kind      `json:"kind"`
	Round      string    `json:"round,omitempty"`
	Seed       uint64    `json:"seed,omitempty"`
	Prediction *float64  `json:"prediction,omitempty"` // absent: it was left out
	Confidence int       `json:"confidence,omitempty"` // that it is right, in percent
	Run        string    `json:"run,omitempty"`        // folder below the attempt's
	Cluster    string    `json:"cluster,omitempty"`
	Reading    *float64  `json:"reading,omitempty"`
	Evidence   string    `json:"evidence,omitempty"`
	Outcome    Outcome   `json:"outcome,omitempty"`
	Model      string    `json:"model,omitempty"`
	Why        string    `json:"why,omitempty"` // nothing can be told
	Hash       string    `json:"hash"`          // SHA-256 of the hash of the line before and of this line without its hash
}

// Attempt is a learner's way through a lab.
type Attempt struct {
	Dir     string
	Lab     string
	Entries []Entry
}

const logName = "lab.jsonl"

// Begin makes a new attempt at a lab below root. Those before it stay.
func Begin(root, lab string, seed uint64, now time.Time) (*Attempt, error) {
	parent := filepath.Join(root, lab)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("begin lab %s: %w", lab, err)
	}
	for n := last(parent) + 1; ; n++ {
		dir := filepath.Join(parent, strconv.Itoa(n))
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) { // somebody else's, who began at the same time
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("begin lab %s: %w", lab, err)
		}
		a := &Attempt{Dir: dir, Lab: lab}
		return a, a.Add(Entry{At: now.UTC(), Kind: Begun, Seed: seed})
	}
}

// Latest is the last attempt at a lab; nil when there is none.
func Latest(root, lab string) (*Attempt, error) {
	parent := filepath.Join(root, lab)
	for n := last(parent); n > 0; n-- {
		dir := filepath.Join(parent, strconv.Itoa(n))
		a := &Attempt{Dir: dir, Lab: lab}
		text, err := os.ReadFile(filepath.Join(dir, logName))
		if errors.Is(err, fs.ErrNotExist) { // it was killed before it began
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read lab %s: %w", lab, err)
		}
		if err := a.read(text); err != nil {
			return nil, fmt.Errorf("read %s: %w; start again: coinbench lab reset %s", filepath.Join(dir, logName), err, lab)
		}
		if len(a.Entries) > 0 {
			return a, nil
		}
	}
	return nil, nil
}

// last is the greatest number of a folder in parent; 0 when there is none.
func last(parent string) (greatest int) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
			greatest = max(greatest, n)
		}
	}
	return greatest
}

// read reads the entries. A last line without an end was being written when its process was killed: it is left out, and the next entry
// takes its place.
func (a *Attempt) read(text []byte) error {
	for n := 1; len(text) > 0; n++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return os.Truncate(filepath.Join(a.Dir, logName), a.size(n))
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if e.Hash != a.hash(e) {
			return fmt.Errorf("line %d was changed after it was written", n)
		}
		a.Entries = append(a.Entries, e)
		text = rest
	}
	return nil
}

// size is that of the first lines.
func (a *Attempt) size(before int) (bytes int64) {
	for _, e := range a.Entries[:before-1] {
		line, _ := json.Marshal(e)
		bytes += int64(len(line)) + 1
	}
	return bytes
}

// hash is that of an entry that follows those read so far.
func (a *Attempt) hash(e Entry) string {
	before := ""
	if n := len(a.Entries); n > 0 {
		before = a.Entries[n-1].Hash
	}
	e.Hash = ""
	line, _ := json.Marshal(e)
	sum := sha256.Sum256(append([]byte(before), line...))
	return hex.EncodeToString(sum[:])
}

// Add appends an entry, which is on disk when it returns. It follows those that another process has added meanwhile.
func (a *Attempt) Add(e Entry) error {
	if text, err := os.ReadFile(filepath.Join(a.Dir, logName)); err == nil {
		now := &Attempt{Dir: a.Dir, Lab: a.Lab}
		if err := now.read(text); err != nil {
			return fmt.Errorf("record lab %s: %w", a.Lab, err)
		}
		a.Entries = now.Entries
	}
	e.At = e.At.UTC()
	e.Hash = a.hash(e)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(a.Dir, logName), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("record lab %s: %w", a.Lab, err)
	}
	_, err = f.Write(append(line, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("record lab %s: %w", a.Lab, err)
	}
	a.Entries = append(a.Entries, e)
	return nil
}

// Seed is what the attempt's numbers are drawn from.
func (a *Attempt) Seed() uint64 { return a.Entries[0].Seed }

// LastRun is the folder of the run that began last; "": none did.
func (a *Attempt) LastRun() string {
	for _, e := range slices.Backward(a.Entries) {
		if e.Kind == Started {
			return filepath.Join(a.Dir, e.Run)
		}
	}
	return ""
}

// Phase is what comes next in a round.
type Phase string

// The phases of a round.
const (
	ToPredict Phase = "predict"
	ToRun     Phase = "run"
	ToCheck   Phase = "check"
	Done      Phase = "done"
)

// State is how far an attempt has come.
type State struct {
	Round      string // "": both are done
	Phase      Phase
	Prediction *Entry // of the round; its number may be absent
	Run        *Entry // the last that has ended
	Cut        bool   // the last run has no end
	Hints      int    // that were shown
	Solved     bool
	Why        string              // the last run could not tell
	Answered   map[string]Answered // rounds that are done
}

// Answered is a round that is done.
type Answered struct {
	Prediction *Entry // its number may be absent
	Run        *Entry //
	Check      *Entry
}

// State reads the entries.
func (a *Attempt) State() State {
	s := State{Round: Question, Phase: ToPredict, Answered: map[string]Answered{}}
	for i := range a.Entries {
		e := &a.Entries[i]
		switch e.Kind {
		case Predicted:
			s.Prediction, s.Phase = e, ToRun
		case Started:
			s.Cut, s.Run, s.Why = true, nil, ""
			s.Phase = ToRun
		case Ended:
			s.Cut, s.Run, s.Phase = false, e, ToCheck
		case Hinted:
			s.Hints++
		case Solved:
			s.Solved = true
		case Checked:
			if e.Outcome == CannotTell {
				s.Phase, s.Run, s.Why = ToRun, nil, e.Why
				continue
			}
			s.Answered[e.Round] = Answered{s.Prediction, s.Run, e}
			next := Transfer
			if e.Round == Transfer {
				next = ""
			}
			s = State{Round: next, Phase: ToPredict, Answered: s.Answered}
			if next == "" {
				s.Phase = Done
			}
		}
	}
	return s
}

// Score is how well confidence met truth.
type Score struct {
	Predictions int
	Right       int
	Brier       float64 // mean of (confidence - outcome)², 0 is best, 0.25 is what 50 % every time gives (Brier 1950)
}

// Calibration scores the predictions that were judged.
func Calibration(attempts []*Attempt) (s Score) {
	for _, a := range attempts {
		confidence, counts := 0, false
		for _, e := range a.Entries {
			switch {
			case e.Kind == Predicted:
				confidence, counts = e.Confidence, e.Prediction != nil
			case e.Kind == Solved:
				counts = false
			case e.Kind == Checked && e.Outcome != CannotTell && counts:
				truth := 0.0
				if e.Outcome == Right {
					truth = 1
					s.Right++
				}
				p := float64(confidence) / 100
				s.Brier += (p - truth) * (p - truth)
				s.Predictions++
				counts = false
			}
		}
	}
	if s.Predictions > 0 {
		s.Brier /= float64(s.Predictions)
	}
	return s
}
