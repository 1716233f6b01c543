package serve

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"coinbench/services/settings"
)

// Service is a service that answers HTTP.
type Service struct {
	Settings   settings.Settings
	Handler    http.Handler
	AccessLine AccessLine           // nil: requests are not logged
	Running    string               // what the log says when the service listens, with the address for %s; "": nothing
	Admin      func(*http.ServeMux) // adds to what the admin port serves; nil: nothing
}

// Work runs a service that takes a while over what it is asked: its handler is made of the replica's name, the most bytes and the delay.
func Work(ctx context.Context, s settings.Settings, p Process, handler func(replica string, limit int64, delay func()) http.Handler,
	line AccessLine, running string) error {
	p = p.WithDefaults()
	return Service{Settings: s, Handler: handler(Replica(s, p), s.MaxBytes, Delay(s, p)), AccessLine: line, Running: running}.Run(ctx, p)
}

// Run binds the ports, boots, serves and stops, as the settings say. It returns nil when it was told to stop or ctx
// was cancelled, and otherwise why it could not serve.
func (v Service) Run(ctx context.Context, p Process) error {
	s := v.Settings
	p = p.WithDefaults()
	socket, err := p.Bind(s.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w (COIN_LISTEN sets it)", s.Service, err)
	}
	defer socket.Close()
	admin, err := startAdmin(s, p, v.Admin)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Service, err)
	}
	defer admin.Close()
	m := newMetrics(admin.Registry, s.Concurrency)
	if err := Announce(p, socket.Addr(), admin.Addr()); err != nil {
		return fmt.Errorf("%s: %w", s.Service, err)
	}

	lines := log.New(p.Log, "", 0)
	handler := named(s, p, observed(m, lines, v.AccessLine, s.HeaderTimeout, occupied(s, p, v.Handler)))
	booting := named(s, p, observed(m, lines, v.AccessLine, s.HeaderTimeout, http.HandlerFunc(unavailable)))
	err = Supervise(ctx, s, p, admin, func(ctx context.Context, draining <-chan struct{}) error {
		l, ok, err := boot(ctx, draining, s, m, socket, booting)
		if err != nil || !ok {
			return err
		}
		if v.Running != "" {
			lines.Printf(v.Running, socket.Addr())
		}
		admin.SetReady(true)
		if s.Accept == settings.Serial {
			return (&serial{settings: s, metrics: m, handler: handler}).serve(ctx, draining, l)
		}
		return servePool(ctx, draining, s, m, l, handler, p.Sleep)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.Service, err)
	}
	return nil
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "booting", http.StatusServiceUnavailable)
}

// backlog is how many connections the kernel keeps for a server that is not serial: it accepts them at once.
const backlog = 1024

// boot passes the boot delay in the way of the boot mode and returns the listener; false: the service is to stop.
func boot(ctx context.Context, draining <-chan struct{}, s settings.Settings, m *metrics, socket Socket,
	booting http.Handler) (net.Listener, bool, error) {
	n := backlog
	if s.Accept == settings.Serial {
		n = s.QueueLimit
	}
	if s.BootDelay <= 0 || s.BootMode == settings.Refuse {
		if !pause(ctx, draining, s.BootDelay) {
			return nil, false, nil
		}
		l, err := socket.Listen(n)
		return l, err == nil, err
	}
	l, err := socket.Listen(n)
	if err != nil {
		return nil, false, err
	}
	ready := false
	if s.BootMode == settings.Hang {
		ready = pause(ctx, draining, s.BootDelay)
	} else {
		ready = refuseAll(ctx, draining, s, m, l, booting)
	}
	if !ready {
		l.Close()
	}
	return l, ready, nil
}

// refuseAll answers every request with the booting handler until the boot is over.
func refuseAll(ctx context.Context, draining <-chan struct{}, s settings.Settings, m *metrics, l net.Listener, booting http.Handler) bool {
	over := time.Now().Add(s.BootDelay)
	setDeadline(l, over)
	defer setDeadline(l, time.Time{})
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-ctx.Done():
		case <-draining:
		case <-stopped:
			return
		}
		setDeadline(l, time.Now())
	}()
	var inHand sync.WaitGroup
	defer inHand.Wait()
	slots := make(chan struct{}, s.QueueLimit)
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				return !time.Now().Before(over)
			}
			if !pause(ctx, draining, 10*time.Millisecond) {
				return false
			}
			continue
		}
		slots <- struct{}{}
		inHand.Go(func() {
			defer func() { <-slots }()
			exchange(conn, time.Second, m, booting)
		})
	}
}
