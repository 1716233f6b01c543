package capacity

import (
	"cmp"
	"math"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// Chronicle is what happened in a run, event by event: what is known of any first part of its events. The zero value is that of no event.
// A band that has not ended has an EndS below zero.
type Chronicle struct {
	Steps   []Band
	Windows []Band
	Faults  []Band    // steps that did something to the replicas of a service: rollouts and faults
	Marks   []Mark    // what a reader must see
	Counts  []Replica // replicas as asked for

	steps, faults map[int]int // of a step's number: its place
	open          map[string]int
}

// Add adds the next event.
func (c *Chronicle) Add(e history.Event) {
	if c.steps == nil {
		c.steps, c.faults, c.open = map[int]int{}, map[int]int{}, map[string]int{}
	}
	at := e.At.Seconds()
	replicas := func(n int) { c.Counts = append(c.Counts, Replica{AtS: at, Service: e.Service, Replicas: n}) }
	named := func(name string) { // of the step's first window or load
		if i, ok := c.steps[e.Step]; ok && c.Steps[i].Name == "" {
			c.Steps[i].Name, _, _ = strings.Cut(name, "/")
		}
	}
	switch p := e.Payload.(type) {
	case event.StepBegin:
		c.steps[e.Step] = len(c.Steps)
		c.Steps = append(c.Steps, Band{BeginS: at, EndS: -1, Verb: p.Verb, Title: cmp.Or(p.Title, p.Verb)})
		if p.Disturbance != "" {
			c.faults[e.Step] = len(c.Faults)
			c.Faults = append(c.Faults, Band{BeginS: at, EndS: -1, Verb: p.Verb, Title: p.Verb + " " + e.Service, Name: p.Disturbance})
		}
	case event.StepEnd:
		if i, ok := c.steps[e.Step]; ok {
			c.Steps[i].EndS, c.Steps[i].Error = at, p.Error
		}
		if i, ok := c.faults[e.Step]; ok {
			c.Faults[i].EndS, c.Faults[i].Error = at, p.Error
		}
	case event.WindowBegin:
		c.open[p.Name] = len(c.Windows)
		c.Windows = append(c.Windows, Band{BeginS: at, EndS: -1, Title: p.Name})
		named(p.Name)
	case event.WindowEnd:
		if i, ok := c.open[p.Name]; ok {
			c.Windows[i].EndS = at
		}
	case event.LoadBegin:
		named(p.Name)
	case event.ServiceDeployed:
		replicas(p.Replicas)
	case event.ServiceUpdated:
		replicas(p.Replicas)
	case event.ServiceScaled:
		replicas(p.To)
	}
	if text := describe(e); text != "" {
		c.Marks = append(c.Marks, newMark(e, text))
	}
}

// Loops follows the driver's replicas from reading to reading: when the loops were done that their counters tell.
type Loops struct {
	wall  float64 // Unix time of the run's start, in seconds
	tasks map[string]*looping
}

type looping struct {
	reading     history.Reading
	last, readS float64 // the last completed loop and the last reading
}

// NewLoops is that of a run which began at an instant.
func NewLoops(start time.Time) *Loops {
	return &Loops{wall: float64(start.UnixNano()) / 1e9, tasks: map[string]*looping{}}
}

// Add adds the next reading of a replica. Since the one before it, a number of loops were completed, evenly between two instants in seconds
// since the run's start.
func (l *Loops) Add(b history.Reading) (from, to, loops float64) {
	t := l.tasks[b.Task]
	if t == nil {
		l.tasks[b.Task] = &looping{reading: b}
		return 0, 0, 0
	}
	a := t.reading
	t.reading = b
	loops = b.Values.Of(history.Hashes) - a.Values.Of(history.Hashes)
	from, to = a.Values.Of(history.LastHash)-l.wall, b.Values.Of(history.LastHash)-l.wall
	// A wall clock that does not agree with the run's own gives way to the readings' own instants.
	if a.Values.Of(history.LastHash) <= 0 || to > b.At.Seconds()+.5 || from > a.At.Seconds()+.5 || from < 0 {
		from, to = a.At.Seconds(), b.At.Seconds()
	}
	t.last, t.readS = max(t.last, to), max(t.readS, b.At.Seconds())
	return from, to, loops
}

// Known is until when it is known what every replica did that is there at the end, in seconds since the run's start; 0 where there is none.
func (l *Loops) Known(endS float64) float64 {
	if len(l.tasks) == 0 {
		return 0
	}
	known := math.Inf(1)
	for _, t := range l.tasks {
		switch {
		case t.readS < endS-2: // it went before the end
		case t.readS-t.last > 2: // it stopped: that is known, too
			known = min(known, endS)
		default:
			known = min(known, t.last)
		}
	}
	return known
}
