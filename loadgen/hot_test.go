package loadgen

import (
	"context"
	"net"
	"testing"
	"time"

	"coinbench/internal/race"
)

const replicaAnswer = "HTTP/1.1 200 OK\r\nServer: coinbench\r\nDate: Fri, 20 Nov 2026 06:00:00 GMT\r\nContent-Type: " +
	"application/octet-stream\r\n" +
	"Content-Length: 32\r\nX-Coinbench-Replica: rng.1\r\nX-Coinbench-Version: v2\r\n\r\n01234567890123456789012345678901"

var cannedAnswer = []byte(replicaAnswer)

// canned is a connection that answers every request at once.
type canned struct {
	net.Conn
	left []byte
}

func (c *canned) Write(b []byte) (int, error) { c.left = cannedAnswer; return len(b), nil }
func (c *canned) Read(b []byte) (int, error) {
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}
func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) SetReadDeadline(time.Time) error {
	return nil
}
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// echo answers every request on one real connection after another without allocating.
func echo(t testing.TB) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := []byte(replicaAnswer)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 4096)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// hot returns a function that makes one request on a connection that is kept, and records it.
func hot(t testing.TB, player Player, address string) (request func()) {
	w := Workload{Targets: []Target{{URL: "http://" + address + "/32"}}, Clients: 1, Requests: 1, MaxSamples: -1,
		Expect: Expect{Status: []int{200}, Length: 32}, Timeouts: Timeouts{Header: time.Hour, Body: time.Hour}}
	e, err := newEngine(player, w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.ctx = context.Background()
	s := &connection{e: e, shard: e.shards[0]}
	t.Cleanup(s.close)
	ctx := context.Background()
	var o outcome
	request = func() {
		now := e.now()
		o = outcome{due: now, sent: now}
		s.do(ctx, e.target(0), &o)
		if o.class != ok {
			t.Fatalf("%v: %v", o.class.class(), o.err)
		}
		s.shard.record(&o)
		s.shard.mu.Lock() // as the collector would, so that windows do not pile up
		s.shard.spare = append(s.shard.spare, s.shard.aside...)
		s.shard.aside = s.shard.aside[:0]
		s.shard.mu.Unlock()
	}
	request() // connects, meets the names, makes the histograms
	return request
}

var cannedPlayer = Player{Dial: func(context.Context, string, string) (net.Conn, error) { return &canned{}, nil }}

func TestARequestOnAKeptConnectionAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the race detector allocates")
	}
	t.Run("socket", func(t *testing.T) {
		if n := testing.AllocsPerRun(2000, hot(t, Player{}, echo(t))); n != 0 {
			t.Errorf("%v allocations per request, want 0", n)
		}
	})
}

// What a request costs the generator but for the system calls.
func BenchmarkRequest(b *testing.B) {
	request := hot(b, cannedPlayer, "127.0.0.1:1")
	b.ReportAllocs()
	for b.Loop() {
		request()
	}
}

func BenchmarkRequestOnASocket(b *testing.B) {
	request := hot(b, Player{}, echo(b))
	b.ReportAllocs()
	for b.Loop() {
		request()
	}
}

func BenchmarkParseHead(b *testing.B) {
	in := []byte(replicaAnswer)
	var h head
	b.ReportAllocs()
	for b.Loop() {
		if done, err := parseHead(in, &h); !done || err != nil {
			b.Fatal(done, err)
		}
	}
}

func BenchmarkDue(b *testing.B) {
	for _, text := range []string{"500/s", "ramp(10/s, 500/s, 30s)", "sine(mean 100/s, amp 50/s, period 60s)", "poisson(200/s)"} {
		b.Run(text, func(b *testing.B) {
			d := mustSchedule(b, text).Dues(1)
			for b.Loop() {
				d.Next()
			}
		})
	}
}
