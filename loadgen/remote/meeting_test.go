package remote

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// meetingPlace serves meetings on loopback, and says how the harness and how a copy gets there.
func meetingPlace(t *testing.T) (dial func(context.Context) (net.Conn, error), address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ServeMeetings(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		goleak.VerifyNone(t)
	})
	address = l.Addr().String()
	return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", address) }, address
}

func TestGeneratorsGoTogether(t *testing.T) {
	dial, address := meetingPlace(t)
	origin := time.Now().Add(-time.Minute)
	const copies = 3
	var wg sync.WaitGroup
	var mu sync.Mutex
	var starts []time.Time
	var orders []Order
	for i := range copies {
		wg.Go(func() {
			o, err := Meet(t.Context(), address, "load", i+1, fmt.Sprintf("node%d", i+1))
			if err != nil {
				t.Error(err)
				return
			}
			if d := o.Origin.Sub(origin).Abs(); d > o.Off+100*time.Millisecond {
				t.Errorf("the origin is %s off, more than %s", d, o.Off)
			}
			if want := fmt.Sprintf("work %d", i+1); string(o.Work) != want {
				t.Errorf("copy %d got %q", i+1, o.Work)
			}
			mu.Lock()
			defer mu.Unlock()
			starts, orders = append(starts, o.Start), append(orders, o)
		})
	}
	var came []string
	work := [][]byte{[]byte("work 1"), []byte("work 2"), []byte("work 3")}
	m, err := gather(t.Context(), dial, "load", Job{Work: work, Origin: origin, Delay: time.Second}, func(who string) {
		came = append(came, who)
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	m.stop()
	for _, o := range orders {
		<-o.Stop
	}
	m.close()
	if slices.Sort(came); !slices.Equal(came, []string{"node1", "node2", "node3"}) {
		t.Errorf("came: %v", came)
	}
	if len(starts) == copies {
		slices.SortFunc(starts, time.Time.Compare)
		if d := starts[copies-1].Sub(starts[0]); d > 500*time.Millisecond {
			t.Errorf("the starts are %s apart", d)
		}
	}
}

func TestMeetingEndsWithItsContext(t *testing.T) {
	dial, _ := meetingPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := gather(ctx, dial, "load", Job{Work: make([][]byte, 1), Origin: time.Now()}, func(string) {}); err == nil {
		t.Error("nobody came, and no error")
	}
}
