package gate

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Estimator is the version of what makes a block's value of its window. Values of two versions are never mixed.
const Estimator = 1

// A series is a file of lines, to which lines are only added: what was asked for when a session began, each block when it was over, and how
// the session ended. A verdict is made of blocks, again each time; the one in the file is for a reader's eyes. Files of two clones are
// merged by keeping the lines of both, in any order: lines that are equal count once.

// Line is one of a series; exactly one field is there.
type Line struct {
	Session  *Session  `json:"session,omitempty"`
	Block    *Block    `json:"block,omitempty"`
	End      *End      `json:"end,omitempty"`
	Accepted *Accepted `json:"accepted,omitempty"`
}

// Kind is what a session is for.
type Kind string

// The kinds of sessions.
const (
	Compare  Kind = "gate"
	SelfTest Kind = "self-test" // head is base with an injected loss of what is to be detected
	Alike    Kind = "aa"        // base against base
	// Calibration is of several windows of each deployment of base.
	Calibration Kind = "calibrate"
)

// Session is what was asked for by one call of the command.
type Session struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Series   string    `json:"series"`
	Sequence string    `json:"sequence"` // of sessions that continue each other: the same kind, base and head
	Kind     Kind      `json:"kind"`
	Base     Subject   `json:"base"`
	Head     Subject   `json:"head"`
	Seed     uint64    `json:"seed"` // of the sequence: the order of its quads
	Design   Design    `json:"design"`
	Host     string    `json:"host"` // its class
	Version  string    `json:"coinbench"`
	Command  []string  `json:"command"`
}

// Subject is one side: what was asked for, and what that was.
type Subject struct {
	Text    string   `json:"text"`   // e.g. think=110ms, or v0.2
	Digest  string   `json:"digest"` // of everything that it deploys
	Commit  string   `json:"commit,omitempty"`
	Parents []string `json:"parents,omitempty"`
}

// Design is what a series has in common: with any of it changed, its numbers would not be comparable, or its promise not kept.
type Design struct {
	Scenario  string            `json:"scenario"`
	Settings  map[string]string `json:"settings,omitempty"` // parameters that both sides were given
	Cluster   string            `json:"cluster"`
	Metrics   []Metric          `json:"metrics"`
	Window    string            `json:"window"`
	SettleS   float64           `json:"settle_s"`
	BlockS    float64           `json:"block_s"`
	Rule      Rule              `json:"rule"`
	NullArm   bool              `json:"null_arm,omitempty"`
	Estimator int               `json:"estimator"`
}

// End is how a session ended.
type End struct {
	Session string `json:"session"`
	Outcome string `json:"outcome"`
	Why     string `json:"why"`
	Pairs   int    `json:"pairs"` // of the sequence
}

// Accepted is a loss that was accepted: from here on the series' anchor is this head.
type Accepted struct {
	Sequence string    `json:"sequence"`
	Digest   string    `json:"digest"` // of the head
	At       time.Time `json:"at"`
	Why      string    `json:"why"`
}

// Series is what a file holds, in an order that does not depend on that of its lines.
type Series struct {
	Sessions []Session // by time
	Blocks   []Block   // by session, quad and place
	Ends     []End
	Accepted []Accepted
	Broken   int // lines that could not be read: of a process that was killed while it wrote one
}

// Encode is the line as it stands in a file.
func (l Line) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("encode a line of the store: %w", err)
	}
	return b.Bytes(), nil
}

// ReadSeries reads a series.
func ReadSeries(r io.Reader) (Series, error) {
	var s Series
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || seen[string(text)] {
			continue
		}
		seen[string(text)] = true
		var l Line
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err := d.Decode(&l)
		switch {
		case err != nil:
			s.Broken++
		case l.Session != nil:
			s.Sessions = append(s.Sessions, *l.Session)
		case l.Block != nil:
			s.Blocks = append(s.Blocks, *l.Block)
		case l.End != nil:
			s.Ends = append(s.Ends, *l.End)
		case l.Accepted != nil:
			s.Accepted = append(s.Accepted, *l.Accepted)
		default:
			s.Broken++
		}
	}
	if err := lines.Err(); err != nil {
		return s, fmt.Errorf("read a series: %w", err)
	}
	at := map[string]int{}
	slices.SortFunc(s.Sessions, func(a, b Session) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for i, session := range s.Sessions {
		at[session.ID] = i
	}
	slices.SortFunc(s.Blocks, func(a, b Block) int {
		return cmp.Or(cmp.Compare(at[a.Session], at[b.Session]), cmp.Compare(a.Quad, b.Quad), cmp.Compare(a.Place, b.Place))
	})
	slices.SortFunc(s.Ends, func(a, b End) int {
		return cmp.Or(cmp.Compare(at[a.Session], at[b.Session]), cmp.Compare(a.Pairs, b.Pairs))
	})
	slices.SortFunc(s.Accepted, func(a, b Accepted) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Why, b.Why)) })
	return s, nil
}

// Next is the block to be measured after those that were, as the design has it.
func (d Design) Next(seed uint64, session string, blocks []Block) Block {
	if d.NullArm {
		return NextOfThree(seed, session, blocks)
	}
	return Next(seed, session, blocks)
}

// Sequence are the blocks of all sessions of a sequence, in order.
func (s Series) Sequence(name string) (blocks []Block) {
	of := map[string]bool{}
	for _, session := range s.Sessions {
		of[session.ID] = session.Sequence == name
	}
	for _, b := range s.Blocks {
		if of[b.Session] {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// Sequences are the first sessions of all sequences of a kind, in the order of time.
func (s Series) Sequences(kind Kind) (first []Session) {
	seen := map[string]bool{}
	for _, session := range s.Sessions {
		if session.Kind == kind && !seen[session.Sequence] {
			seen[session.Sequence] = true
			first = append(first, session)
		}
	}
	return first
}

// Judge is the verdict on a sequence of the series as it is stored, as if no more will be measured.
func (s Series) Judge(session Session) Verdict {
	return Judge(session.Design.Rule, session.Design.Metrics, s.Sequence(session.Sequence), true)
}
