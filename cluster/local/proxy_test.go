package local

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/internal/seeded"
)

// front is a proxy before one server, which treats every connection by serve.
func front(t testing.TB, serve func(*net.TCPConn)) (address string, p *proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	r.join(&backend{slot: 1, address: l.Addr().String()})
	p = newProxy(r)
	if address, err = p.listen("127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.close()
		l.Close()
		<-done
	})
	return address, p
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// A client that has said all may still listen: the server sees its end and answers after it.
func TestHalfClose(t *testing.T) {
	address, p := front(t, func(c *net.TCPConn) {
		defer c.Close()
		all, _ := io.ReadAll(c)
		c.Write(bytes.ToUpper(all))
	})
	c := dial(t, address)
	body := bytes.Repeat([]byte("coin"), 1<<18) // more than the buffers hold
	go func() {
		c.Write(body)
		c.CloseWrite()
	}()
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(answer, bytes.ToUpper(body)) {
		t.Errorf("%d bytes come back, %v; want %d", len(answer), err, len(body))
	}
	settle(t, p)
}

// settle waits until the proxy holds no connection.
func settle(t *testing.T, p *proxy) {
	t.Helper()
	wait(t, "no connection", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.conns) == 0
	})
}

func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

func TestResetsGoThrough(t *testing.T) {
	address, p := front(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		reset(c)
	})
	c := dial(t, address)
	c.Write([]byte("x"))
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server resets, and the client sees %v", err)
	}
	settle(t, p)

	seen := make(chan error, 1)
	address, p = front(t, func(c *net.TCPConn) {
		defer c.Close()
		c.Write([]byte("x"))
		_, err := io.ReadAll(c)
		seen <- err
	})
	c = dial(t, address)
	c.Read(make([]byte, 1))
	reset(c)
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client resets, and the server sees %v", err)
	}
	settle(t, p)
}

func TestNobodyThereIsAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for what, in := range map[string][]*backend{"no backend": nil, "a backend that refuses": {{slot: 1, address: l.Addr().String()}},
		"a dead backend": {{slot: 1, address: "x", dead: true}}} {
		r := newRotation(cluster.RoundRobin, seeded.Balancer{})
		for _, b := range in {
			r.join(b)
		}
		p := newProxy(r)
		address, err := p.listen("127.0.0.1:0", "")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err == nil { // else it was quick
			c.SetDeadline(time.Now().Add(30 * time.Second))
			_, err = io.ReadAll(c)
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client sees %v; want a reset", what, err)
		}
		settle(t, p)
		p.close()
	}
}

// Closing does not wait for anyone: connections that stand are reset.
func TestCloseEndsConnections(t *testing.T) {
	address, p := front(t, func(c *net.TCPConn) {
		defer c.Close()
		io.Copy(c, c)
	})
	c := dial(t, address)
	c.Write([]byte("x"))
	c.Read(make([]byte, 1))
	p.close()
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the connection ends in good order")
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the address still listens")
	}
}

// What a request costs on a new connection, direct and through the proxy.
func BenchmarkRequest(b *testing.B) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("coin")) })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	r := newRotation(cluster.RoundRobin, seeded.Balancer{})
	r.join(&backend{slot: 1, address: l.Addr().String()})
	p := newProxy(r)
	defer p.close()
	address, err := p.listen("127.0.0.1:0", "")
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, row := range []struct{ name, address string }{{"direct", l.Addr().String()}, {"proxy", address}} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				answer, err := client.Get("http://" + row.address)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		})
	}
}
