package capacity

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"coinbench/history"
	"coinbench/history/event"
)

// NodeLoss is a machine of the cluster that was lost though the scenario did not ask for it, and what went with it.
type NodeLoss struct {
	Node       string                  `json:"node"`
	BeginS     float64                 `json:"begin_s"` // the last that was heard of its tasks
	DownS      float64                 `json:"down_s"`  // the cluster noticed
	BackS      *float64                `json:"back_s,omitempty"`
	Tasks      []string                `json:"tasks"`                 // that ended with it
	MovedS     *float64                `json:"moved_s,omitempty"`     // all of them had a successor in rotation; nil: not all did
	Failed     map[history.Class]int64 `json:"failed,omitempty"`      // requests that failed from the begin until then
	HashesLost *float64                `json:"hashes_lost,omitempty"` // rate before x time - hashes made; nil: no worker mined
}

// mostNotice is how long before a cluster notices the loss of a node the last sign of its tasks is looked for: three heartbeats
// of Docker Swarm's, and some.
const mostNotice = 30.0

// losses finds the nodes that were lost. One that a step had cut off shows in what that step did.
func losses(run *history.Run, s series, t Timeline) (all []NodeLoss) {
	cut := map[string]bool{}
	for i, e := range run.Events {
		switch p := e.Payload.(type) {
		case event.NodeCut:
			cut[p.Node] = true
		case event.NodeReady:
			cut[p.Node] = false
		case event.NodeDown:
			if !cut[p.Node] {
				l := NodeLoss{Node: p.Node, DownS: e.At.Seconds()}
				l.read(run, s, i, t)
				all = append(all, l)
			}
		}
	}
	return all
}

// read finds out what the loss of the node meant that event number i tells of.
func (l *NodeLoss) read(run *history.Run, s series, i int, t Timeline) {
	waiting := map[string]bool{} // replicas without a successor
	last := run.End.Seconds()
	for _, e := range run.Events[i+1:] {
		at := e.At.Seconds()
		replica, _, _ := strings.Cut(e.Task, "#")
		switch p := e.Payload.(type) {
		case event.NodeReady:
			if p.Node == l.Node && l.BackS == nil {
				l.BackS = ptr(at)
			}
		case event.TaskGone:
			if p.Node == l.Node && l.BackS == nil && e.Step > 0 {
				l.Tasks = append(l.Tasks, e.Task)
				waiting[replica] = true
				l.MovedS = nil
			}
		case event.TaskJoined:
			if waiting[replica] {
				delete(waiting, replica)
				if len(waiting) == 0 {
					l.MovedS = ptr(at)
				}
			}
		}
	}
	if l.MovedS != nil {
		last = *l.MovedS
	}
	l.BeginS = l.DownS
	heard := -1.0
	for _, task := range s.tasks {
		if n := len(task.readings); n > 0 && slices.Contains(l.Tasks, task.name) {
			heard = max(heard, task.readings[n-1].At.Seconds())
		}
	}
	if heard >= l.DownS-mostNotice {
		l.BeginS = min(heard, l.DownS)
	}
	l.Failed = failuresIn(run, phase{l.BeginS, math.Nextafter(last, math.Inf(1))})
	r := Disturbance{BeginS: l.BeginS, EndS: last}
	r.mined(t)
	l.HashesLost = r.HashesLost
}

// words says what was lost.
func (l *NodeLoss) words() string {
	text := fmt.Sprintf("%s was lost at %.1f s", l.Node, l.BeginS)
	if notice := l.DownS - l.BeginS; notice >= .05 {
		text += fmt.Sprintf(" (noticed %.1f s later)", notice)
	}
	switch n := len(l.Tasks); {
	case n == 0:
		text += ", without a task of the app"
	case l.MovedS == nil:
		text += fmt.Sprintf(", with %s (%s), which did not all run again", count(n, "task"), strings.Join(l.Tasks, ", "))
	default:
		text += fmt.Sprintf(", with %s (%s), which ran elsewhere %.1f s later", count(n, "task"), strings.Join(l.Tasks, ", "), *l.MovedS-l.BeginS)
	}
	if len(l.Failed) > 0 {
		total := int64(0)
		var parts []string
		for _, class := range slices.Sorted(maps.Keys(l.Failed)) {
			total += l.Failed[class]
			parts = append(parts, fmt.Sprintf("%d %s", l.Failed[class], class))
		}
		text += fmt.Sprintf("; %s failed meanwhile (%s)", count(int(total), "request"), strings.Join(parts, ", "))
	}
	if l.HashesLost != nil && *l.HashesLost > 0 {
		text += fmt.Sprintf("; about %.0f hashes were not made", *l.HashesLost)
	}
	return text
}

// failuresIn counts the requests of all loads that failed in a part of the run, by class; nil: none did.
func failuresIn(run *history.Run, p phase) map[history.Class]int64 {
	all := map[history.Class]int64{}
	for n := range run.Loads {
		load := &run.Loads[n]
		if !keptFailures(load) {
			for class, n := range p.in(load).failures {
				all[class] += n
			}
			continue
		}
		for _, x := range load.Samples {
			if at := instant(x).Seconds(); bad(x) && at >= p.fromS && at < p.toS {
				all[x.Class]++
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}
