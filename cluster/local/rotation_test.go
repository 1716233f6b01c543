package local

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"coinbench/cluster"
	"coinbench/internal/seeded"
)

// pick chooses for a client that has no turn of its own.
func (r *rotation) pick() *backend {
	b, _ := r.choose("")
	return b
}

func backends(r *rotation, n int) []*backend {
	var list []*backend
	for i := range n {
		list = append(list, &backend{slot: i + 1, address: "somewhere"})
		r.join(list[i])
	}
	return list
}

// Between two changes of the rotation no backend gets more than one connection more than another.
func TestRoundRobinIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRotation(cluster.RoundRobin, seeded.Balancer{})
		in := backends(r, rapid.IntRange(1, 6).Draw(t, "backends"))
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			got := map[*backend]int{}
			for range rapid.IntRange(0, 30).Draw(t, "connections") {
				b := r.pick()
				got[b]++
				r.dialed(b)
				r.done(b)
			}
			least, most := 1<<30, 0
			for _, b := range in {
				least, most = min(least, got[b]), max(most, got[b])
			}
			if most-least > 1 {
				t.Fatalf("shares differ by %d", most-least)
			}
			if len(in) > 1 && rapid.Bool().Draw(t, "leave") {
				i := rapid.IntRange(0, len(in)-1).Draw(t, "who")
				settled := false
				r.leave(in[i], func() { settled = true })
				if !settled {
					t.Fatal("nothing is being connected, and it is not settled")
				}
				in = append(in[:i:i], in[i+1:]...)
			} else {
				b := &backend{slot: rapid.IntRange(1, 9).Draw(t, "slot"), address: "somewhere"}
				r.join(b)
				in = append(in, b)
			}
		}
	})
}

// However the clients' connections mingle, and whoever comes and goes, each client meets the backends in their order.
func TestEachClientHasItsOwnTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRotation(cluster.RoundRobinPerClient, seeded.NewBalancer(1, "rng"))
		in := backends(r, rapid.IntRange(2, 6).Draw(t, "backends"))
		clients := []string{"", "a", "b", "c"}
		expected := map[string]*backend{} // by client: who is next
		after := func(b *backend) *backend { return in[(slices.Index(in, b)+1)%len(in)] }
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			switch act := rapid.IntRange(0, 9).Draw(t, "act"); {
			case act == 0 && len(in) > 2:
				i := rapid.IntRange(0, len(in)-1).Draw(t, "who leaves")
				for client, b := range expected {
					if b == in[i] {
						expected[client] = after(b)
					}
				}
				r.leave(in[i], func() {})
				in = slices.Delete(slices.Clone(in), i, i+1)
			case act == 1:
				client := rapid.SampledFrom(clients[1:]).Draw(t, "who is gone")
				r.forget(client)
				delete(expected, client)
			default:
				client := rapid.SampledFrom(clients).Draw(t, "client")
				b, _ := r.choose(client)
				if want := expected[client]; want != nil && b != want {
					t.Fatalf("client %q meets slot %d; want %d", client, b.slot, want.slot)
				}
				expected[client] = after(b)
				r.dialed(b)
				r.done(b)
			}
		}
	})
}

// Clients that start together do not all begin with the same backend.
func TestTurnsBeginAnywhere(t *testing.T) {
	r := newRotation(cluster.RoundRobinPerClient, seeded.NewBalancer(1, "rng"))
	in := backends(r, 4)
	begun := map[*backend]int{}
	for i := range 400 {
		b, _ := r.choose(strconv.Itoa(i + 1))
		begun[b]++
	}
	for _, b := range in {
		if n := begun[b]; n < 70 || n > 130 { // 3.5 standard deviations, and the seed is fixed
			t.Errorf("%d of 400 clients begin with slot %d", n, b.slot)
		}
	}
}

// A leave does not skip or repeat anyone's turn.
func TestLeaveKeepsTheTurn(t *testing.T) {
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	in := backends(r, 4)
	r.pick()
	r.pick()
	r.leave(in[0], func() {})
	for _, want := range []*backend{in[2], in[3], in[1], in[2]} {
		if got := r.pick(); got != want {
			t.Fatalf("slot %d has the turn; want %d", got.slot, want.slot)
		}
	}
}

func TestLeastConnections(t *testing.T) {
	r := newRotation(cluster.LeastConnections, seeded.Balancer{})
	in := backends(r, 3)
	for range 3 { // one each
		r.pick()
	}
	r.done(in[1])
	if got := r.pick(); got != in[1] {
		t.Errorf("slot %d is chosen; want 2, which has none", got.slot)
	}
	// Among equals the one that has stood the longest: not one that was chosen a moment ago while others are about to be free.
	r.done(in[2])
	r.done(in[0])
	for _, want := range []*backend{in[2], in[0], in[1], in[2]} {
		if got := r.pick(); got != want {
			t.Errorf("slot %d is chosen; want %d", got.slot, want.slot)
		}
	}
	r.done(in[1])
	r.done(in[2])
	for range 300 {
		r.pick()
	}
	for _, b := range in {
		if b.active != 101 {
			t.Errorf("slot %d has %d of 303", b.slot, b.active)
		}
	}
}

func TestRandomIsSeededAndFair(t *testing.T) {
	play := func() (order []int, got map[int]int) {
		r := newRotation(cluster.Random, seeded.NewBalancer(1, "rng"))
		backends(r, 4)
		got = map[int]int{}
		for range 4000 {
			b := r.pick()
			order = append(order, b.slot)
			got[b.slot]++
		}
		return order, got
	}
	first, got := play()
	second, _ := play()
	for i := range first {
		if first[i] != second[i] {
			t.Fatal("the same seed gives another order")
		}
	}
	for slot, n := range got {
		if n < 900 || n > 1100 { // 3.6 standard deviations, and the seed is fixed
			t.Errorf("slot %d got %d of 4000", slot, n)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	if r.pick() != nil {
		t.Error("an empty rotation chooses someone")
	}
	in := backends(r, 2)
	in[0].address = ""
	r.kill(in[1])
	for range 2 {
		if r.pick() != nil {
			t.Error("a backend that is dead or does not listen is chosen")
		}
	}
}

func TestLeaveWaitsForConnectionsBeingMade(t *testing.T) {
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	b := backends(r, 1)[0]
	r.pick()
	r.pick()
	settled := 0
	r.leave(b, func() { settled++ })
	r.dialed(b)
	if settled != 0 {
		t.Error("settled while a connection is being made")
	}
	r.dialed(b)
	if settled != 1 {
		t.Errorf("settled %d times", settled)
	}
}
