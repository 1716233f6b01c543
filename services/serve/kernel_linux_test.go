package serve

import (
	"errors"
	"net"
	"testing"
	"time"
)

func listenOnLoopback(t *testing.T, backlog int) net.Listener {
	t.Helper()
	s, err := Bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(backlog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// The backlog is the kernel's to the letter: one more connection than it says is made, the next gets no answer.
func TestBacklogIsExact(t *testing.T) {
	const backlog = 3
	l := listenOnLoopback(t, backlog)
	for i := range backlog + 1 {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 30*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		defer c.Close()
	}
	if n, ok := queueLength(l); !ok || n != backlog+1 {
		t.Errorf("queue of %d (known: %t), want %d", n, ok, backlog+1)
	}
	c, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
	if err == nil {
		c.Close()
	}
	var late net.Error
	if !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a connection beyond the backlog: %v, want a timeout", err)
	}
}

// What the kernel says about the age of a request lies between the time that it certainly was old and the time
// since before it was sent, give or take a tick.
func TestQueueWaitIsTheKernels(t *testing.T) {
	const tick = 20 * time.Millisecond
	l := listenOnLoopback(t, 10)
	before := time.Now()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	<-time.After(100 * time.Millisecond)
	least := time.Since(after)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wait, ok := queueWait(c)
	if most := time.Since(before); !ok || wait < least-tick || wait > most+tick {
		t.Errorf("waited %s (known: %t), want %s to %s", wait, ok, least, most)
	}
}
