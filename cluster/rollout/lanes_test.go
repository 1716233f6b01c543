package rollout

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/cluster"
	"coinbench/history/event"
)

// lanes is the simple version of rolling: each lane is looked at on each call. rolling must not be told from it.
type lanes struct {
	*rolling
	all []lane
}

type lane struct {
	slot  int       // 0: none
	until time.Time // end of the delay
}

func (r *lanes) next(now time.Time) (acts []Action, wake time.Time, done event.Outcome) {
	if r.total == 0 {
		return nil, time.Time{}, event.Completed
	}
	if r.halted == event.RolledBack {
		return nil, time.Time{}, event.RolledBack
	}
	busy, delaying := false, false
	for i := range r.all {
		l := &r.all[i]
		if p := r.slots[l.slot]; l.slot != 0 && (p.phase == up || p.phase == failed) {
			if p.phase == up && r.startFirst() {
				p.replace = true
				acts = append(acts, Action{Stop, l.slot})
			}
			*l = lane{until: now.Add(r.rollout.Delay)}
		}
		if l.slot != 0 {
			busy = true
			continue
		}
		if l.until.After(now) {
			delaying = true
			if wake.IsZero() || l.until.Before(wake) {
				wake = l.until
			}
			continue
		}
		if len(r.queue) > 0 && r.halted == "" {
			l.slot, r.queue = r.queue[0], r.queue[1:]
			if r.startFirst() {
				r.slots[l.slot] = &progress{phase: starting}
				acts = append(acts, Action{Start, l.slot})
			} else {
				r.slots[l.slot] = &progress{phase: stopping, replace: true}
				acts = append(acts, Action{Stop, l.slot})
			}
			busy = true
		}
	}
	switch {
	case busy:
		return acts, wake, ""
	case r.halted == event.Paused:
		return nil, time.Time{}, event.Paused
	case delaying:
		return acts, wake, ""
	case !r.drained:
		r.drained, r.finish = true, now.Add(max(r.rollout.Monitor, r.rollout.Delay))
		fallthrough
	default:
		if r.finish.After(now) {
			return acts, r.finish, ""
		}
		return nil, time.Time{}, event.Completed
	}
}

func TestRollingIsTheSimpleVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "slots")
		r := cluster.Rollout{Parallelism: rapid.IntRange(0, 6).Draw(t, "parallelism"), Delay: time.Duration(rapid.IntRange(0, 3).Draw(t,
			"delay")) * time.Second,
			Order:   rapid.SampledFrom([]string{"stop-first", "start-first"}).Draw(t, "order"),
			Monitor: time.Duration(rapid.IntRange(0, 3).Draw(t, "monitor")) * time.Second, MaxFailureRatio: rapid.SampledFrom([]float64{0, .3,
				1}).Draw(t, "ratio"),
			FailureAction: rapid.SampledFrom([]string{"pause", "continue", "rollback"}).Draw(t, "action")}
		var slots []int
		for i := range n {
			slots = append(slots, i+1)
		}
		ofRollback := rapid.Bool().Draw(t, "of rollback")
		fast := newRolling(r, slots, ofRollback)
		slow := &lanes{rolling: newRolling(r, slots, ofRollback)}
		slow.all = make([]lane, fast.idle)
		now := time.Unix(0, 0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			acts, wake, outcome := fast.next(now)
			want, wantWake, wantOutcome := slow.next(now)
			for _, list := range [][]Action{acts, want} { // of one instant: no order among slots is promised
				slices.SortFunc(list, func(a, b Action) int { return cmp.Compare(a.Slot, b.Slot) })
			}
			if !slices.Equal(acts, want) || !wake.Equal(wantWake) || outcome != wantOutcome {
				t.Fatalf("at %v: %v, %v, %q; the simple version says %v, %v, %q", now, acts, wake, outcome, want, wantWake, wantOutcome)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "passes")) * 500 * time.Millisecond)
			slot := rapid.IntRange(1, 13).Draw(t, "slot")
			switch rapid.SampledFrom([]string{"gone", "up", "up", "failed"}).Draw(t, "event") {
			case "gone":
				if !slices.Equal(fast.gone(slot), slow.gone(slot)) {
					t.Fatalf("gone %d: another act", slot)
				}
				fallthrough
			case "up":
				fast.up(slot, now)
				slow.up(slot, now)
			case "failed":
				if !slices.Equal(fast.failed(slot, now, "ill"), slow.failed(slot, now, "ill")) {
					t.Fatalf("failed %d: another action", slot)
				}
			}
		}
	})
}
