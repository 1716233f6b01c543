// Package peers finds out whether containers on an overlay network reach each other.
//
// Each side serves an echo; Try connects to another's, sends more than one packet's worth and wants it back, so that a network
// which loses large packets (an MTU that leaves no room for VXLAN's header) is noticed as well as one that loses all. In go a
// listener and addresses, out come round trips. The package knows no Docker and prints nothing.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Port is where containers listen.
const Port = "8084"

const (
	payload = 8 << 10         // bytes; some packets' worth
	patient = 3 * time.Second // for one peer
	retry   = 100 * time.Millisecond
)

// Serve echoes on every connection until ctx is done. It closes the listener.
func Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serve peers: %w", err)
		}
		open.Go(func() {
			end := context.AfterFunc(ctx, func() { conn.Close() })
			defer end()
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		})
	}
}

// Try asks the peer at host:port for an echo and returns the round trip of one byte. A peer that refuses is tried again for a
// while: it may not listen yet.
func Try(ctx context.Context, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return echo(ctx, conn)
		}
		again := time.NewTimer(retry)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return 0, fmt.Errorf("no connection to %s: %w", address, err)
		}
	}
}

func echo(ctx context.Context, conn net.Conn) (time.Duration, error) {
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	begun := time.Now()
	if err := ask(conn, []byte{1}); err != nil {
		return 0, fmt.Errorf("connected, but no answer: %w", err)
	}
	trip := time.Since(begun)
	if err := ask(conn, bytes.Repeat([]byte{2}, payload)); err != nil {
		return 0, fmt.Errorf("small packets pass, %d bytes do not: %w", payload, err)
	}
	return trip, nil
}

func ask(conn net.Conn, question []byte) error {
	if _, err := conn.Write(question); err != nil {
		return err
	}
	answer := make([]byte, len(question))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(question, answer) {
		return errors.New("another answer than what was sent")
	}
	return nil
}

// Resolve looks a name up until it has as many addresses as are wanted, or for a while, and returns those of the last answer.
func Resolve(ctx context.Context, name string, want int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patient)
	defer cancel()
	for {
		found, err := net.DefaultResolver.LookupHost(ctx, name)
		if len(found) >= want {
			return found, nil
		}
		again := time.NewTimer(retry)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			if len(found) > 0 {
				err = nil
			}
			return found, err
		}
	}
}
