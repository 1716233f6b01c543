package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/cluster"
	"coinbench/history/event"
)

// model is a cluster in a few lines: stopping and starting take the time that is drawn, and chosen new tasks fail.
type model struct {
	state       State
	image       string // since Become
	now         time.Time
	stop, start func() time.Duration
	fails       func(slot int) bool // before it is up
	slots       map[int]*place
	fewest      int // tasks that served at once
	most        int // tasks in a slot
}

// place is a slot: the task that it has, its predecessor and one of green. Nil: there is none.
type place struct{ old, current, green *life }

type life struct {
	image   string
	serving bool
	due     time.Time // when it comes up or, having been told to stop, is gone; zero: nothing is due
	told    bool
	gone    bool
	failed  bool
	young   bool // of the change in progress
}

func newModel(t *rapid.T, spec cluster.Service) *model {
	m := &model{state: State{Spec: spec}, image: spec.Image, now: time.Unix(0, 0), slots: map[int]*place{},
		fails: func(int) bool { return false }}
	ms := func(name string) func() time.Duration {
		return func() time.Duration { return time.Duration(rapid.IntRange(1, 20).Draw(t, name)) * time.Millisecond }
	}
	m.stop, m.start = ms("stop"), ms("start")
	for n := 1; n <= spec.Replicas; n++ {
		m.slots[n] = &place{current: &life{image: spec.Image, serving: true}}
	}
	return m
}

func (m *model) count() {
	serving := 0
	for _, p := range m.slots {
		tasks := 0
		for _, l := range []*life{p.old, p.current, p.green} {
			if l != nil && l.serving {
				serving++
			}
			if l != nil && !l.gone {
				tasks++
			}
		}
		m.most = max(m.most, tasks)
	}
	m.fewest = min(m.fewest, serving)
}

func (m *model) ask(l *life) {
	if l != nil && !l.told && !l.gone {
		l.told, l.serving, l.due = true, false, m.now.Add(m.stop())
	}
}

func (m *model) begin() *life {
	return &life{image: m.image, due: m.now.Add(m.start()), young: true}
}

func (m *model) do(t *rapid.T, machine *Machine, a Action) {
	p := m.slots[a.Slot]
	switch a.Verb {
	case Become:
		m.image = m.state.Spec.Image
	case Pulled, Open:
	case Stop:
		if p.old == nil {
			p.old, p.current = p.current, nil
		}
		m.ask(p.old)
	case Start:
		if p.current != nil { // start-first
			p.old = p.current
		}
		p.current = m.begin()
	case Keep:
		if p.old != nil && !p.old.told {
			m.ask(p.current)
			p.current, p.old = p.old, p.current
		}
	case Fill:
		for _, p := range m.slots {
			if p.current == nil || p.current.gone {
				p.current = &life{image: m.image, serving: true}
			}
		}
	case Prepare:
		for _, p := range m.slots {
			p.green = m.begin()
			p.green.image = machine.After().Image
		}
	case TurnGreen, TurnBlue:
		for _, p := range m.slots {
			p.current, p.green = p.green, p.current
			p.current.serving = !p.current.gone
			p.green.serving = false
		}
	case RetireGreen, RetireBlue:
		for _, p := range m.slots {
			m.ask(p.green)
		}
	default:
		t.Fatalf("what is %q?", a.Verb)
	}
}

// run carries a change out as control does.
func (m *model) run(t *rapid.T, machine *Machine) Output {
	m.fewest, m.most = len(m.slots), 0
	for _, p := range m.slots {
		p.old, p.green = nil, nil
	}
	var seen Observation
	for range 10_000 {
		out := machine.Step(m.now, seen)
		seen = Observation{}
		for _, a := range out.Actions {
			if a.Verb != Look {
				m.do(t, machine, a)
				m.count()
				continue
			}
			seen.Looked = true
			for _, n := range sorted(m.slots) {
				if p := m.slots[n]; p.current != nil {
					p.old, p.current.young = nil, false
				}
				seen.Slots = append(seen.Slots, n)
				if l := m.slots[n].current; l == nil || l.gone || l.image != m.state.Spec.Image {
					seen.Dirty = append(seen.Dirty, n)
				}
			}
		}
		if out.Done {
			return out
		}
		if len(out.Actions) == 0 {
			m.pass(out.Wake)
		}
		seen.Reports = m.reports()
	}
	t.Fatal("it does not end")
	return Output{}
}

// pass goes to the next instant at which something happens.
func (m *model) pass(wake time.Time) {
	next := wake
	for _, p := range m.slots {
		for _, l := range []*life{p.old, p.current, p.green} {
			if l != nil && !l.due.IsZero() && (next.IsZero() || l.due.Before(next)) {
				next = l.due
			}
		}
	}
	if next.After(m.now) {
		m.now = next
	}
	for n, p := range m.slots {
		for _, l := range []*life{p.old, p.current, p.green} {
			if l == nil || l.due.IsZero() || l.due.After(m.now) {
				continue
			}
			l.due = time.Time{}
			switch {
			case l.told:
				l.gone = true
			case m.fails(n):
				l.gone, l.failed = true, true
			default:
				l.serving = l != p.green
			}
		}
	}
	m.count()
}

func (m *model) reports() (reports []Report) {
	for _, n := range sorted(m.slots) {
		p := m.slots[n]
		for _, l := range []*life{p.current, p.green, p.old} {
			if l != nil && l.failed && l.young {
				reports = append(reports, Report{n, Failed, fmt.Sprintf("task of slot %d", n)})
			}
		}
		if p.green != nil && p.green.due.IsZero() && !p.green.gone {
			reports = append(reports, Report{n, Ready, ""})
		}
		if p.current == nil && (p.old == nil || p.old.gone) {
			reports = append(reports, Report{n, Gone, ""})
		}
		if p.current != nil && p.current.serving && p.current.young {
			reports = append(reports, Report{n, Up, ""})
		}
	}
	return reports
}

func drawn(t *rapid.T) (spec cluster.Service, change func(image string) cluster.Change) {
	n := rapid.IntRange(1, 9).Draw(t, "replicas")
	settings := func() cluster.Rollout {
		return cluster.Rollout{
			Parallelism:     rapid.IntRange(0, 10).Draw(t, "parallelism"),
			Delay:           time.Duration(rapid.IntRange(0, 20).Draw(t, "delay")) * time.Millisecond,
			Monitor:         time.Duration(rapid.IntRange(0, 20).Draw(t, "monitor")) * time.Millisecond,
			Order:           rapid.SampledFrom([]string{"stop-first", "start-first"}).Draw(t, "order"),
			FailureAction:   rapid.SampledFrom([]string{"pause", "continue", "rollback"}).Draw(t, "action"),
			MaxFailureRatio: rapid.SampledFrom([]float64{0, .25, .5, 1}).Draw(t, "ratio"),
		}
	}
	spec = cluster.Service{Name: "rng", Image: "v1", Replicas: n, Update: settings(), Rollback: settings()}
	return spec, func(image string) cluster.Change {
		c := cluster.Change{Image: image, Strategy: rapid.SampledFrom(cluster.Strategies()).Draw(t, "strategy"),
			Pull: time.Duration(rapid.IntRange(0, 10).Draw(t, "pull")) * time.Millisecond}
		if rapid.Bool().Draw(t, "other settings") {
			r := c.Strategy.Rollout(settings(), n)
			c.Rollout = &r
		}
		return c
	}
}

// allowed is how few of n tasks may serve while none fails.
func allowed(r cluster.Rollout, blueGreen bool, n int) int {
	switch {
	case blueGreen || r.Order == "start-first":
		return n
	case r.Parallelism == 0:
		return 0
	}
	return max(n-r.Parallelism, 0)
}

// While no new task fails: never fewer serve than the settings allow, none is left over, settings persist, and a rollback of a rollback
// returns.
func TestChangesThatGoWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, change := drawn(t)
		m := newModel(t, spec)
		n := spec.Replicas
		check := func(machine *Machine, err error, image string) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			blueGreen := machine.green != nil || machine.change.Strategy == cluster.BlueGreen
			least := allowed(machine.Settings(), blueGreen, n)
			if out := m.run(t, machine); out.Outcome != event.Completed || !out.Converge {
				t.Fatalf("it ends with %+v", out)
			}
			if m.fewest < least {
				t.Fatalf("%d of %d served; want at least %d", m.fewest, n, least)
			}
			if m.most > 2 {
				t.Fatalf("%d tasks in a slot", m.most)
			}
			for slot, p := range m.slots {
				if p.current == nil || !p.current.serving || p.current.image != image {
					t.Fatalf("slot %d has %+v; want %s", slot, p.current, image)
				}
			}
		}
		c := change("v2")
		machine, err := Update(&m.state, c, time.Minute)
		check(machine, err, "v2")
		want := spec.Update
		if c.Rollout != nil {
			want = *c.Rollout
		}
		if m.state.Spec.Update != want || m.state.Spec.Rollback != spec.Rollback {
			t.Fatalf("the settings in force are %+v; want %+v", m.state.Spec.Update, want)
		}
		updated := m.state.Spec
		for _, back := range []cluster.Service{spec, updated, spec} {
			machine, err := Rollback(&m.state)
			check(machine, err, back.Image)
			if !m.state.Spec.SameTasks(back) || m.state.Spec.Update != back.Update {
				t.Fatalf("the rollback went to %+v; want %+v", m.state.Spec, back)
			}
		}
		check(Restart(&m.state), nil, "v1")
	})
}

// When new tasks fail: it ends, no more of them are started than lanes and failures explain, and what is rolled back is as it was.
func TestChangesThatFail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, change := drawn(t)
		m := newModel(t, spec)
		ill := rapid.SliceOfDistinct(rapid.IntRange(1, spec.Replicas), rapid.ID[int]).Draw(t, "ill")
		m.fails = func(slot int) bool { return m.state.Spec.Image != "v1" && slices.Contains(ill, slot) }
		c := change("v2")
		machine, err := Update(&m.state, c, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		r, blueGreen := machine.Settings(), c.Strategy == cluster.BlueGreen
		if blueGreen { // green fails while the service is v1 still
			m.fails = func(slot int) bool { return slices.Contains(ill, slot) }
		}
		out := m.run(t, machine)
		tolerated := r.Tolerated(spec.Replicas)
		want := event.Completed
		switch {
		case blueGreen && len(ill) > 0:
			want = event.RolledBack
		case blueGreen || r.FailureAction == "continue" || len(ill) <= tolerated:
		case r.FailureAction == "rollback":
			want = event.RolledBack
		default:
			want = event.Paused
		}
		if out.Outcome != want {
			t.Fatalf("%d of %d fail, %d are tolerated: %s; want %s", len(ill), spec.Replicas, tolerated, out.Outcome, want)
		}
		if (out.Reason == "") != (want == event.Completed) {
			t.Fatalf("%s with the reason %q", want, out.Reason)
		}
		image := "v2"
		if want == event.RolledBack {
			image = "v1"
			for slot, p := range m.slots {
				if p.current == nil || p.current.image != "v1" || !p.current.serving {
					t.Fatalf("slot %d has %+v after the rollback", slot, p.current)
				}
			}
		}
		if m.state.Spec.Image != image {
			t.Fatalf("%s, and the service is %s", want, m.state.Spec.Image)
		}
		if (blueGreen || r.Order == "start-first" && spec.Rollback.Order == "start-first") && m.fewest < spec.Replicas {
			t.Fatalf("%d of %d served, though old tasks stay until new ones are up", m.fewest, spec.Replicas)
		}
	})
}
