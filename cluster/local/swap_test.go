package local

import (
	"testing"

	"coinbench/cluster"
	"coinbench/internal/seeded"
)

// A swap is settled when the last connection that the old set was chosen for has been made, and no earlier.
func TestSwapSettles(t *testing.T) {
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	for slot := 1; slot <= 3; slot++ {
		r.join(&backend{task: "old", slot: slot, address: "a"})
	}
	first, second := r.pick(), r.pick()
	settled := 0
	from := r.swap([]*backend{{task: "new", slot: 2, address: "b"}, {task: "new", slot: 1, address: "b"}}, func() { settled++ })
	if len(from) != 3 || settled != 0 {
		t.Fatalf("%d were there, settled %d times with two connections on their way", len(from), settled)
	}
	for slot := range 4 {
		if b := r.pick(); b.task != "new" || b.slot != []int{1, 2}[slot%2] && b.slot != []int{2, 1}[slot%2] {
			t.Errorf("chose %+v", b)
		}
	}
	r.dialed(first)
	if settled != 0 {
		t.Error("settled with a connection on its way")
	}
	r.dialed(second)
	if settled != 1 {
		t.Errorf("settled %d times", settled)
	}
	if r.swap(nil, func() { settled++ }); settled != 1 { // the four above are on their way
		t.Errorf("settled %d times", settled)
	}
	if b := r.pick(); b != nil {
		t.Errorf("chose %+v of none", b)
	}
	if r.swap(nil, func() { settled++ }); settled != 2 {
		t.Errorf("a swap of none is not settled at once")
	}
}
