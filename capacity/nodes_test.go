package capacity_test

import (
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
)

// lossy is a run of four workers, 10 hashes a second, in which node2 dies at 20 s with two of them, which run again at 28 s. The cluster
// notices at 23 s.
func lossy(asked bool) *history.Run {
	run := &history.Run{Manifest: history.Manifest{Cluster: "swarm", Start: time.Unix(0, 0).UTC()}, Status: history.Finished,
		End: 40 * time.Second}
	happened := func(at float64, service, task string, p event.Payload) {
		run.Events = append(run.Events, history.Event{At: time.Duration(at * 1e9), Step: 1, Service: service, Task: task, Payload: p})
	}
	worker := func(task string, from, to int) {
		for at := from; at <= to; at++ {
			run.Readings = append(run.Readings, history.Reading{At: time.Duration(at) * time.Second, Service: "worker", Task: task,
				Values: history.ValuesOf(map[string]float64{history.Hashes: 2.5 * float64(at-from)})})
		}
	}
	for _, task := range []string{"worker.1#1", "worker.2#1", "worker.3#1", "worker.4#1"} {
		happened(0, "worker", task, event.TaskJoined{})
	}
	worker("worker.1#1", 0, 40)
	worker("worker.2#1", 0, 20)
	worker("worker.3#1", 0, 40)
	worker("worker.4#1", 0, 20)
	if asked {
		happened(20, "", "", event.NodeCut{Node: "node2"})
	}
	happened(23, "", "", event.NodeDown{Node: "node2"})
	for _, task := range []string{"worker.2#1", "worker.4#1"} {
		happened(23, "worker", task, event.TaskGone{Node: "node2", Error: "its node node2 is down"})
	}
	happened(27, "worker", "worker.2#2", event.TaskJoined{})
	happened(28, "worker", "worker.4#2", event.TaskJoined{})
	worker("worker.2#2", 28, 40)
	worker("worker.4#2", 28, 40)
	happened(35, "", "", event.NodeReady{Node: "node2"})
	sample := func(seq int64, at float64, class history.Class) history.Sample {
		d := time.Duration(at * 1e9)
		return history.Sample{Seq: seq, Due: d, Sent: d, Done: d + 10*time.Millisecond, Class: class}
	}
	load := history.Load{LoadSpec: history.LoadSpec{Name: "users", Service: "rng"}, Samples: []history.Sample{
		sample(1, 5, history.Refused), sample(2, 19, history.OK), sample(3, 21, history.ConnectTimeout), sample(4, 22, history.ConnectTimeout),
		sample(5, 24, history.Refused), sample(6, 39, history.Refused),
	}}
	run.Loads = []history.Load{load}
	return run
}

func TestALostNode(t *testing.T) {
	a := capacity.Analyse(lossy(false))
	if len(a.Losses) != 1 {
		t.Fatalf("%d losses", len(a.Losses))
	}
	l := a.Losses[0]
	if l.BeginS != 20 || l.DownS != 23 || l.BackS == nil || *l.BackS != 35 || l.MovedS == nil || *l.MovedS != 28 {
		t.Errorf("%+v", l)
	}
	if l.Failed[history.ConnectTimeout] != 2 || l.Failed[history.Refused] != 1 {
		t.Errorf("failed: %v", l.Failed)
	}
	if l.HashesLost == nil || *l.HashesLost < 35 || *l.HashesLost > 45 { // 8 s at half of 10 hashes a second
		t.Errorf("hashes: %v", l.HashesLost)
	}
	if a.Overall.Outcome != capacity.OutcomeInconclusive {
		t.Errorf("%s: %s", a.Overall.Outcome, a.Overall.Why)
	}
	for _, want := range []string{"node2 was lost at 20.0 s (noticed 3.0 s later)", "2 tasks (worker.2#1, worker.4#1)",
		"ran elsewhere 8.0 s later",
		"3 requests failed meanwhile (2 connect timeout, 1 refused)", "hashes were not made"} {
		if !strings.Contains(strings.Join(a.Validity.Doubts, "\n"), want) {
			t.Errorf("it is not said that %q:\n%s", want, strings.Join(a.Validity.Doubts, "\n"))
		}
	}
	marks := 0
	for _, m := range a.Timeline.Marks {
		if strings.HasPrefix(string(m.Kind), "node.") {
			marks++
		}
	}
	if marks != 2 {
		t.Errorf("%d marks on the timeline, want down and back", marks)
	}
}

func TestANodeThatWasCutOffIsNotLost(t *testing.T) {
	if a := capacity.Analyse(lossy(true)); len(a.Losses) != 0 {
		t.Errorf("%+v", a.Losses)
	}
}
