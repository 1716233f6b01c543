package capacity

import (
	"fmt"
	"math"

	"coinbench/history"
	"coinbench/history/event"
)

// Timeline is the run over time: the hash rate, the steps that were in force and what happened.
type Timeline struct {
	BinS   float64   `json:"bin_s"`
	Rate   []Point   `json:"hash_rate"`   // the hashes of each replica of the driver spread evenly over the time between its completed loops
	Stored []Point   `json:"stored_rate"` // slope of the counter in the store from reading to reading: what the web page shows
	Steps  []Band    `json:"steps"`       //
	Bands  []Band    `json:"windows"`     //
	Marks  []Mark    `json:"events"`      // what was done to the cluster and what it did
	Counts []Replica `json:"replicas"`    // replicas as asked for, over time
}

// Point is a value at an instant.
type Point struct {
	AtS   float64 `json:"at_s"`
	Value float64 `json:"value"`
}

// Band is a stretch of time with a name.
type Band struct {
	BeginS float64 `json:"begin_s"`
	EndS   float64 `json:"end_s"`
	Verb   string  `json:"verb,omitempty"`
	Title  string  `json:"title"`
	Name   string  `json:"name,omitempty"` // short: of the step's first window or load, without what follows a slash
	Error  string  `json:"error,omitempty"`
}

// Mark is an event worth seeing.
type Mark struct {
	AtS     float64    `json:"at_s"`
	Kind    event.Kind `json:"kind"`
	Service string     `json:"service,omitempty"`
	Task    string     `json:"task,omitempty"`
	Text    string     `json:"text"`

	Payload event.Payload `json:"-"`
}

func newMark(e history.Event, text string) Mark {
	return Mark{AtS: e.At.Seconds(), Kind: e.Payload.Kind(), Service: e.Service, Task: e.Task, Text: text, Payload: e.Payload}
}

// Replica is a change of a service's replicas.
type Replica struct {
	AtS      float64 `json:"at_s"`
	Service  string  `json:"service"`
	Replicas int     `json:"replicas"`
}

func timeline(run *history.Run, s series) Timeline {
	t := Timeline{BinS: 1}
	end := run.End.Seconds()
	for t.BinS*1200 < end { // at most 1,200 points however long the run
		t.BinS *= 2
	}
	n := int(math.Ceil(end / t.BinS))
	bins := make([]float64, n+1)
	spread := func(from, to, hashes float64) {
		if to <= from || hashes <= 0 {
			return
		}
		for i := max(0, int(from/t.BinS)); i <= n && float64(i)*t.BinS < to; i++ {
			overlap := min(to, float64(i+1)*t.BinS) - max(from, float64(i)*t.BinS)
			bins[i] += hashes * max(0, overlap) / (to - from)
		}
	}
	loops := NewLoops(run.Manifest.Start)
	for _, w := range s.drivers() {
		for _, r := range w.readings {
			spread(loops.Add(r))
		}
	}
	known := loops.Known(end)
	if len(s.drivers()) > 0 {
		for i := range n {
			// Loops that were under way at the end are in no reading: a bin that they reach into would be too low.
			width := min(t.BinS, end-float64(i)*t.BinS)
			if width < t.BinS/2 || float64(i)*t.BinS+width > known+.05*t.BinS {
				break
			}
			t.Rate = append(t.Rate, Point{AtS: float64(i)*t.BinS + width/2, Value: bins[i] / width})
		}
	}
	for _, r := range s.of(s.roles.Store.Service) {
		last := -1.0
		for i := 1; i < len(r.readings); i++ {
			a, b := r.readings[i-1], r.readings[i]
			dt := (b.At - a.At).Seconds()
			if dt < .5 || b.At.Seconds() < last+t.BinS/2 {
				continue // two readings in quick succession, at a window's edge
			}
			last = b.At.Seconds()
			t.Stored = append(t.Stored, Point{AtS: last, Value: max(0, b.Values.Of(history.RedisHashes)-a.Values.Of(history.RedisHashes)) / dt})
		}
	}
	var c Chronicle
	for _, e := range run.Events {
		c.Add(e)
	}
	t.Steps, t.Bands, t.Marks, t.Counts = until(c.Steps, end), until(c.Windows, end), c.Marks, c.Counts
	return t
}

// until ends the bands that have not ended.
func until(bands []Band, endS float64) []Band {
	for i := range bands {
		if bands[i].EndS < 0 {
			bands[i].EndS = endS
		}
	}
	return bands
}

// describe is an event in words; "" for what a reader of the timeline does not need.
func describe(e history.Event) string {
	switch p := e.Payload.(type) {
	case event.ServiceScaled:
		return fmt.Sprintf("%s %d → %d", e.Service, p.From, p.To)
	case event.ServiceUpdated:
		return e.Service + " updated"
	case event.RolloutBegin:
		return "rollout of " + e.Service + " begins"
	case event.RolloutEnd:
		return "rollout of " + e.Service + " ends" + after(": ", string(p.Outcome))
	case event.TaskKilled:
		return e.Task + " killed"
	case event.NodeDown:
		return p.Node + " is down"
	case event.NodeReady:
		return p.Node + " is back"
	case event.NodeCut:
		return p.Node + " cut off"
	case event.NodeMended:
		return p.Node + " no longer cut off"
	case event.NodeDrained:
		return p.Node + " drained"
	case event.NodeActivated:
		return p.Node + " takes tasks again"
	case event.TaskUnhealthy:
		return e.Task + " unhealthy" + after(": ", p.Error)
	case event.TaskGone:
		if p.Error != "" {
			return e.Task + " gone: " + p.Error
		}
	case event.Warning:
		return p.Message
	}
	return ""
}
