package live

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/live/frame"
)

const (
	every     = time.Second      // between frames
	kept      = 120              // frames that a page which lost its connection may have missed
	judgeTime = 5 * time.Second  // between two judgements of a run that is going on, unless a step, a window or a load has ended
	thrift    = 100              // of it, one part may be spent judging
	abandoned = 10 * time.Second // after which a record that does not grow and has no end is that of a run which was killed
)

// Judge analyses a run's folder as far as it is recorded; final where nothing more is to come.
type Judge func(dir string, final bool) (*capacity.Analysis, error)

// Feed is a run that is watched. Its methods may be called from several goroutines.
type Feed struct {
	dir   string
	judge Judge // nil: nothing is judged before Finish

	mu      sync.Mutex
	tail    *history.Tail
	builder *frame.Builder
	id      string // of this feed, so that a page never takes another's frames for the next ones
	seq     int
	frames  []Message // the newest, in order
	latest  map[string]json.RawMessage
	full    *Message      // everything up to the latest frame, once somebody asked for it
	changed chan struct{} // closed with the next frame
	grown   time.Time     // when the record grew the last time
	done    bool          // no frame comes any more

	judged  time.Time // when the latest judgement ended
	took    time.Duration
	changes int // milestones that it knew of
	final   bool
	ending  bool       // nothing more will be recorded
	pending *judgement // that is being made
}

// judgement is one that is made while frames go on.
type judgement struct {
	made     chan struct{}      // closed when it is
	analysis *capacity.Analysis // nil: of a record that has just begun
}

// Message is a frame as it is sent.
type Message struct {
	ID   string
	Data []byte // JSON: id, silent_s, points {from, list}, and the parts of a frame.Frame that have changed since the one before
}

// Open begins to watch the run in a folder.
func Open(dir string, judge Judge) (*Feed, error) {
	tail, manifest, err := history.OpenTail(dir)
	if err != nil {
		return nil, err
	}
	f := &Feed{dir: dir, judge: judge, tail: tail, builder: frame.New(manifest), id: rand.Text()[:8], changed: make(chan struct{}),
		latest: map[string]json.RawMessage{}}
	for _, name := range []string{"manifest.json", "events.jsonl", "readings.jsonl"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.ModTime().After(f.grown) {
			f.grown = info.ModTime()
		}
	}
	return f, nil
}

// Follow makes a frame each second until the context is done. What cannot be read for a moment is tried again.
func (f *Feed) Follow(ctx context.Context) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		f.Step()
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// Step reads what was recorded since the last time and makes a frame of it, if anything was.
func (f *Feed) Step() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	grown := f.read()
	if f.think() || grown || f.seq == 0 || !f.final && time.Since(f.grown) > 2*every {
		f.publish()
	}
}

// read takes up what was recorded. f.mu is held.
func (f *Feed) read() bool {
	now := time.Now()
	grown, err := f.tail.Next(f.builder)
	if grown && err == nil && f.seq > 0 {
		f.grown, f.final = now, false
	}
	return grown
}

// think takes up a judgement, and begins a new one where it is time. f.mu is held.
func (f *Feed) think() (news bool) {
	over := f.builder.Over() || f.ending || time.Since(f.grown) > abandoned
	if f.pending != nil {
		select {
		case <-f.pending.made:
			if a := f.pending.analysis; a != nil {
				f.builder.Judge(a, f.final)
				news = true
			}
			f.pending = nil
		default:
			return false
		}
	}
	since := time.Since(f.judged)
	due := since > judgeTime || f.builder.Changes() > f.changes
	if f.judge == nil || f.final || !over && (!due || since < thrift*f.took) {
		return news
	}
	f.final, f.changes = over, f.builder.Changes()
	j := &judgement{made: make(chan struct{})}
	f.pending = j
	go func() {
		began := time.Now()
		if a, err := f.judge(f.dir, over); err == nil {
			j.analysis = a
		}
		f.mu.Lock()
		f.judged, f.took = time.Now(), time.Since(began)
		f.mu.Unlock()
		close(j.made)
	}()
	return news
}

// End makes the last frame, of a record that nobody goes on with, and tells every page. It waits for what is to be said of it.
func (f *Feed) End() {
	for {
		f.mu.Lock()
		f.ending = true
		f.read()
		f.think()
		pending := f.pending
		f.mu.Unlock()
		if pending == nil {
			break
		}
		<-pending.made
	}
	f.Finish(nil)
}

// Finish makes the last frame, of a run that has ended with that analysis (nil: none could be made), and tells every page.
func (f *Feed) Finish(a *capacity.Analysis) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	f.read()
	if a != nil {
		f.builder.Judge(a, true)
	}
	f.final = true
	f.publish()
	f.done = true
	close(f.changed)
}

// publish makes a frame. f.mu is held.
func (f *Feed) publish() {
	parts, err := f.parts()
	if err != nil {
		return // nothing of a frame fails to encode
	}
	fresh := map[string]json.RawMessage{}
	for name, data := range parts {
		if string(f.latest[name]) != string(data) {
			fresh[name] = data
		}
	}
	f.latest = parts
	from, points := f.builder.Take()
	f.seq++
	m, err := f.message(fresh, from, points)
	if err != nil {
		return
	}
	if f.frames = append(f.frames, m); len(f.frames) > kept {
		f.frames = f.frames[1:]
	}
	f.full = nil
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Feed) parts() (parts map[string]json.RawMessage, err error) {
	data, err := json.Marshal(f.builder.Frame())
	if err == nil {
		err = json.Unmarshal(data, &parts)
	}
	return parts, err
}

func (f *Feed) message(parts map[string]json.RawMessage, from int, points []frame.Point) (Message, error) {
	id := fmt.Sprintf("%s-%d", f.id, f.seq)
	all := map[string]any{"id": id, "points": map[string]any{"from": from, "list": points}}
	if silent := time.Since(f.grown); silent > 2*every && !f.builder.Over() {
		all["silent_s"] = int(silent.Seconds())
	}
	for name, data := range parts {
		all[name] = data
	}
	data, err := json.Marshal(all)
	return Message{ID: id, Data: data}, err
}

// After are the frames that follow the one with that id: all of them in one where it is not among the newest. more is closed when there
// are others, and is nil where none will come.
func (f *Feed) After(id string) (frames []Message, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		more = f.changed
	}
	if f.seq == 0 {
		return nil, more
	}
	if feed, text, _ := strings.Cut(id, "-"); feed == f.id {
		if seq, err := strconv.Atoi(text); err == nil && seq <= f.seq && f.seq-seq <= len(f.frames) {
			return append([]Message(nil), f.frames[len(f.frames)-(f.seq-seq):]...), more
		}
	}
	if f.full == nil {
		m, err := f.message(f.latest, 0, f.builder.All())
		if err != nil {
			return nil, more
		}
		f.full = &m
	}
	return []Message{*f.full}, more
}

// Latest is the latest frame, with the points of its last so many seconds. more is closed when there is another, and is nil where none will
// come.
func (f *Feed) Latest(seconds int) (latest frame.Frame, recent []frame.Point, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		more = f.changed
	}
	return f.builder.Frame(), f.builder.Recent(seconds), more
}
