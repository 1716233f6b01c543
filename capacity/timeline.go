package capacity

import (
	"math"
	"strconv"
	"strings"

	"coinbench/history"
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
	AtS     float64 `json:"at_s"`
	Kind    string  `json:"kind"`
	Service string  `json:"service,omitempty"`
	Task    string  `json:"task,omitempty"`
	Text    string  `json:"text"`
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
	wall := float64(run.Manifest.Start.UnixNano()) / 1e9
	known := math.Inf(1) // until here it is known of every worker that is there at the end what it did
	for _, w := range s.drivers() {
		last, read := 0.0, 0.0 // the last completed loop and the last reading
		for i := 1; i < len(w.readings); i++ {
			a, b := w.readings[i-1], w.readings[i]
			hashes := b.Values[history.Hashes] - a.Values[history.Hashes]
			from, to := a.Values[history.LastHash]-wall, b.Values[history.LastHash]-wall
			// A wall clock that does not agree with the run's own gives way to the readings' own instants.
			if a.Values[history.LastHash] <= 0 || to > b.At.Seconds()+.5 || from > a.At.Seconds()+.5 || from < 0 {
				from, to = a.At.Seconds(), b.At.Seconds()
			}
			spread(from, to, hashes)
			last, read = max(last, to), max(read, b.At.Seconds())
		}
		switch {
		case read < end-2: // it went before the end
		case read-last > 2: // it stands still: that is known, too
			known = min(known, end)
		default:
			known = min(known, last)
		}
	}
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
			t.Stored = append(t.Stored, Point{AtS: last, Value: max(0, b.Values[history.RedisHashes]-a.Values[history.RedisHashes]) / dt})
		}
	}
	steps, open := map[int]int{}, map[string]int{}
	for _, e := range run.Events {
		at := e.At.Seconds()
		switch e.Kind {
		case history.StepBegin:
			steps[e.Step] = len(t.Steps)
			title := e.Detail["title"]
			if title == "" {
				title = e.Detail["verb"]
			}
			t.Steps = append(t.Steps, Band{BeginS: at, EndS: end, Verb: e.Detail["verb"], Title: title})
		case history.StepEnd:
			if i, ok := steps[e.Step]; ok {
				t.Steps[i].EndS, t.Steps[i].Error = at, e.Detail["error"]
			}
		case history.WindowOpen:
			open[e.Detail["name"]] = len(t.Bands)
			t.Bands = append(t.Bands, Band{BeginS: at, EndS: end, Title: e.Detail["name"]})
		case history.WindowEnd:
			if i, ok := open[e.Detail["name"]]; ok {
				t.Bands[i].EndS = at
			}
		}
		if e.Kind == history.WindowOpen || e.Kind == history.LoadBegin {
			if i, ok := steps[e.Step]; ok && t.Steps[i].Name == "" {
				t.Steps[i].Name, _, _ = strings.Cut(e.Detail["name"], "/")
			}
		}
		if text := describe(e); text != "" {
			t.Marks = append(t.Marks, Mark{AtS: at, Kind: string(e.Kind), Service: e.Service, Task: e.Task, Text: text})
		}
		key := map[history.EventKind]string{history.ServiceDeployed: "replicas", history.ServiceScaled: "to",
			history.ServiceUpdated: "replicas"}[e.Kind]
		if n, err := strconv.Atoi(e.Detail[key]); key != "" && err == nil {
			t.Counts = append(t.Counts, Replica{AtS: at, Service: e.Service, Replicas: n})
		}
	}
	return t
}

// describe is an event in words; "" for what a reader of the timeline does not need.
func describe(e history.Event) string {
	with := func(s, key string) string {
		if v := e.Detail[key]; v != "" {
			return s + ": " + v
		}
		return s
	}
	switch e.Kind {
	case history.ServiceScaled:
		return e.Service + " " + e.Detail["from"] + " → " + e.Detail["to"]
	case history.ServiceUpdated:
		return e.Service + " updated"
	case history.ServiceRemoved:
		return ""
	case history.RolloutBegin:
		return "rollout of " + e.Service + " begins"
	case history.RolloutEnd:
		return with("rollout of "+e.Service+" ends", "state")
	case history.TaskKilled:
		return e.Task + " killed"
	case history.NodeDown:
		return e.Detail["node"] + " is down"
	case history.NodeReady:
		return e.Detail["node"] + " is back"
	case history.NodeCut:
		return e.Detail["node"] + " cut off"
	case history.NodeMended:
		return e.Detail["node"] + " no longer cut off"
	case history.NodeDrained:
		return e.Detail["node"] + " drained"
	case history.NodeActivated:
		return e.Detail["node"] + " takes tasks again"
	case history.TaskUnhealthy:
		return with(e.Task+" unhealthy", "error")
	case history.TaskGone:
		if e.Detail["error"] != "" {
			return e.Task + " gone: " + e.Detail["error"]
		}
	case history.Warning:
		return e.Detail["message"]
	}
	return ""
}
