package rollout

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/cluster"
	"coinbench/history/event"
)

// world carries a rolling out in virtual time: stopping and starting take as long as it says, and chosen tasks fail.
type world struct {
	stop, start time.Duration
	failAt      map[int]time.Duration // slot -> how long after its start the new task fails; it is up at start
	log         []entry
	out, most   int // slots without their task: now, and at most
}

type entry struct {
	at   time.Duration
	slot int
	what string // stop, gone, start, up, failed
}

// run returns when and how the update ended.
func (w *world) run(r cluster.Rollout, slots []int, ofRollback bool) (time.Duration, event.Outcome, *rolling) {
	begin := time.Unix(0, 0)
	m := newRolling(r, slots, ofRollback)
	var due []entry
	now := time.Duration(0)
	note := func(slot int, what string) { w.log = append(w.log, entry{now, slot, what}) }
	perform := func(acts []Action) {
		for _, a := range acts {
			if a.Verb == Keep {
				continue
			}
			if a.Verb == Stop {
				note(a.Slot, "stop")
				if r.Order != "start-first" {
					w.out++
				}
				due = append(due, entry{now + w.stop, a.Slot, "gone"})
				continue
			}
			note(a.Slot, "start")
			fail, ill := w.failAt[a.Slot]
			if !ill || fail > w.start {
				due = append(due, entry{now + w.start, a.Slot, "up"})
			}
			if ill {
				due = append(due, entry{now + fail, a.Slot, "failed"})
			}
		}
		w.most = max(w.most, w.out)
	}
	for range 100_000 {
		acts, wake, outcome := m.next(begin.Add(now))
		if outcome != "" {
			return now, outcome, m
		}
		perform(acts)
		if len(acts) > 0 {
			continue
		}
		next := time.Duration(-1)
		if !wake.IsZero() {
			next = wake.Sub(begin)
		}
		for _, e := range due {
			if next < 0 || e.at < next {
				next = e.at
			}
		}
		if next < 0 {
			return now, "stuck", m
		}
		now = next
		for i := 0; i < len(due); {
			e := due[i]
			if e.at > now {
				i++
				continue
			}
			due = slices.Delete(due, i, i+1)
			note(e.slot, e.what)
			switch e.what {
			case "gone":
				perform(m.gone(e.slot))
			case "up":
				w.out--
				m.up(e.slot, begin.Add(now))
			case "failed":
				m.failed(e.slot, begin.Add(now), "a task")
			}
		}
	}
	return now, "endless", m
}

func slots(n int) []int {
	var s []int
	for i := range n {
		s = append(s, i+1)
	}
	return s
}

func TestRolloutDurations(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name        string
		n           int
		rollout     cluster.Rollout
		stop, start time.Duration
		want        time.Duration
	}{
		// 10 workers two by two with 5 s between: the published lab, with originals that must be killed and without.
		{"workers that ignore SIGTERM", 10, cluster.Rollout{Parallelism: 2, Delay: 5 * s, Monitor: 5 * s}, 10 * s, s, 85 * s},
		{"workers that obey", 10, cluster.Rollout{Parallelism: 2, Delay: 5 * s, Monitor: 5 * s}, s / 5, s, 36 * s},
		{"one by one", 10, cluster.Rollout{Parallelism: 1, Monitor: 5 * s}, 10 * s, s, 115 * s},
		{"all at once", 10, cluster.Rollout{Parallelism: 0, Monitor: 5 * s}, 10 * s, s, 16 * s},
		{"more lanes than slots", 2, cluster.Rollout{Parallelism: 9, Delay: s}, s, s, 4 * s},
		{"the delay follows the last slot, and then its watch", 1, cluster.Rollout{Parallelism: 1, Delay: 7 * s}, s, s, 16 * s},
		{"start-first does not wait for the old", 3, cluster.Rollout{Parallelism: 1, Order: "start-first"}, 10 * s, s, 3 * s},
		{"nothing to do", 0, cluster.Rollout{Parallelism: 1, Monitor: 5 * s}, s, s, 0},
	} {
		w := &world{stop: row.stop, start: row.start}
		got, outcome, _ := w.run(row.rollout, slots(row.n), false)
		if outcome != event.Completed || got != row.want {
			t.Errorf("%s: %s after %s; want completed after %s", row.name, outcome, got, row.want)
		}
	}
}

// Lanes are independent: a slow slot holds up its own lane only.
func TestRolloutLanesAreNotBatches(t *testing.T) {
	m := newRolling(cluster.Rollout{Parallelism: 2}, slots(4), false)
	now := time.Unix(0, 0)
	if acts, _, _ := m.next(now); !slices.Equal(acts, []Action{{Stop, 1}, {Stop, 2}}) {
		t.Fatalf("the first acts are %v", acts)
	}
	m.gone(2)
	m.up(2, now)
	m.next(now)
	acts, _, _ := m.next(now)
	if len(acts) != 0 {
		t.Errorf("slot 1 is busy, slot 3 was taken, and the acts are %v", acts)
	}
	if m.slots[3] == nil || m.slots[4] != nil {
		t.Error("the free lane has not taken slot 3, and only it")
	}
}

func TestRolloutFailures(t *testing.T) {
	const s = time.Second
	early := map[int]time.Duration{1: s / 2, 2: s / 2, 3: s / 2, 4: s / 2, 5: s / 2, 6: s / 2, 7: s / 2} // before they are up
	for _, row := range []struct {
		name       string
		rollout    cluster.Rollout
		fail       map[int]time.Duration
		ofRollback bool
		outcome    event.Outcome
		started    int // slots of 7 that were touched
	}{
		{"the first failure pauses", cluster.Rollout{FailureAction: "pause"}, early, false, event.Paused, 1},
		{"a half needs the fourth of seven", cluster.Rollout{FailureAction: "rollback", MaxFailureRatio: 0.5}, early, false, event.RolledBack,
			4},
		{"a quarter needs the second of seven", cluster.Rollout{FailureAction: "rollback", MaxFailureRatio: 0.25}, early, false,
			event.RolledBack, 2},
		{"a rollback is never rolled back", cluster.Rollout{FailureAction: "rollback"}, early, true, event.Paused, 1},
		{"continue", cluster.Rollout{FailureAction: "continue"}, early, false, event.Completed, 7},
		{"all may fail", cluster.Rollout{FailureAction: "pause", MaxFailureRatio: 1}, early, false, event.Completed, 7},
		{"a failure while it is monitored", cluster.Rollout{FailureAction: "pause", Monitor: 5 * s}, map[int]time.Duration{7: 4 * s}, false,
			event.Paused, 7},
		{"a failure after that", cluster.Rollout{FailureAction: "pause", Monitor: 5 * s}, map[int]time.Duration{1: 7 * s}, false,
			event.Completed, 7},
	} {
		row.rollout.Parallelism = 1
		w := &world{stop: s, start: s, failAt: row.fail}
		_, outcome, m := w.run(row.rollout, slots(7), row.ofRollback)
		if outcome != row.outcome || len(m.slots) != row.started {
			t.Errorf("%s: %s after %d slots; want %s after %d", row.name, outcome, len(m.slots), row.outcome, row.started)
		}
		if (m.reason != "") != (outcome != event.Completed) {
			t.Errorf("%s: %s with the reason %q", row.name, outcome, m.reason)
		}
	}
}

// Whatever the rollout: it ends; every slot that was taken is stopped once and started once, in that order; never are
// more slots without a task than there are lanes.
func TestRolloutLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Millisecond
		}
		n := rapid.IntRange(1, 12).Draw(t, "slots")
		r := cluster.Rollout{
			Parallelism:     rapid.IntRange(0, 14).Draw(t, "parallelism"),
			Delay:           ms("delay", 0, 20),
			Monitor:         ms("monitor", 0, 20),
			Order:           rapid.SampledFrom([]string{"stop-first", "start-first"}).Draw(t, "order"),
			FailureAction:   rapid.SampledFrom([]string{"pause", "continue", "rollback"}).Draw(t, "action"),
			MaxFailureRatio: rapid.SampledFrom([]float64{0, 0.25, 0.5, 1}).Draw(t, "ratio"),
		}
		w := &world{stop: ms("stop", 0, 20), start: ms("start", 1, 20), failAt: map[int]time.Duration{}}
		for _, slot := range rapid.SliceOfDistinct(rapid.IntRange(1, n), rapid.ID[int]).Draw(t, "ill") {
			w.failAt[slot] = ms("after", 0, 40)
		}
		_, outcome, m := w.run(r, slots(n), rapid.Bool().Draw(t, "of rollback"))
		if outcome != event.Completed && outcome != event.Paused && outcome != event.RolledBack {
			t.Fatalf("it ends %s", outcome)
		}
		if outcome == event.Completed && len(m.slots) != n {
			t.Fatalf("completed after %d of %d slots", len(m.slots), n)
		}
		if len(w.failAt) == 0 && outcome != event.Completed {
			t.Fatalf("nothing failed, and it ends %s", outcome)
		}
		lanes := r.Parallelism
		if lanes == 0 || lanes > n {
			lanes = n
		}
		if len(w.failAt) == 0 && r.Order == "stop-first" && w.most > lanes {
			t.Fatalf("%d slots without a task with %d lanes", w.most, lanes)
		}
		for slot := range m.slots {
			var whats []string
			for _, e := range w.log {
				if e.slot == slot && (e.what == "stop" || e.what == "start") {
					whats = append(whats, e.what)
				}
			}
			switch {
			case r.Order == "stop-first" && outcome == event.RolledBack: // may end between the two
				if !slices.Equal(whats, []string{"stop", "start"}) && !slices.Equal(whats, []string{"stop"}) {
					t.Fatalf("slot %d: %v", slot, whats)
				}
			case r.Order == "stop-first":
				if !slices.Equal(whats, []string{"stop", "start"}) {
					t.Fatalf("slot %d: %v", slot, whats)
				}
			default:
				if !slices.Equal(whats, []string{"start", "stop"}) && !slices.Equal(whats, []string{"start"}) {
					t.Fatalf("slot %d: %v", slot, whats)
				}
			}
		}
	})
}
