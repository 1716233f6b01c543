package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"time"

	"coinbench/services/settings"
)

// Process is what a service is given of the process that it runs in. The zero value runs silently on the real
// network and is never told to stop.
type Process struct {
	Host string    // the host's name: the replica's, unless a setting says otherwise
	Log  io.Writer // the service's log, in the format of the original; nil: none

	// Stop tells the service to stop, in the way that COIN_ON_SIGTERM says. It is read once, or always when it is ignored.
	Stop <-chan os.Signal

	// Announce, when not nil, gets one line of JSON with the bound addresses as soon as they are bound, and is closed.
	Announce io.WriteCloser

	// Sleep passes the time of the service's work; nil: time.Sleep.
	Sleep func(time.Duration)

	// Lateness counts how late sleeps end, on the admin port; nil: it is not counted.
	Lateness *Lateness

	Bind func(address string) (Socket, error)                                 // nil: TCP
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: TCP, without any timeout of its own
}

// Socket is an address that is taken and does not yet accept connections.
type Socket interface {
	Addr() net.Addr
	// Listen begins to accept connections, of which the given number may wait. It can be called once.
	Listen(backlog int) (net.Listener, error)
	// Close gives up the address; once Listen has been called, that is the listener's business.
	Close() error
}

// WithDefaults fills in what is nil.
func (p Process) WithDefaults() Process {
	if p.Host == "" {
		p.Host = "localhost"
	}
	if p.Log == nil {
		p.Log = io.Discard
	}
	if p.Sleep == nil {
		p.Sleep = time.Sleep
	}
	if p.Bind == nil {
		p.Bind = Bind
	}
	if p.Dial == nil {
		p.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	return p
}

// Replica returns the name of the replica.
func Replica(s settings.Settings, p Process) string {
	if s.Replica != "" {
		return s.Replica
	}
	return p.Host
}

// seed returns the seed of the replica's random numbers.
func seed(s settings.Settings, p Process) uint64 {
	if s.Seed != 0 {
		return s.Seed
	}
	h := fnv.New64a()
	io.WriteString(h, Replica(s, p))
	return h.Sum64()
}

// Dialer returns the process's dialer with the settings' hosts and connect timeout.
func Dialer(s settings.Settings, p Process) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if found, ok := s.Hosts[address]; ok {
			address = found
		}
		if s.ConnectTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.ConnectTimeout)
			defer cancel()
		}
		return p.Dial(ctx, network, address)
	}
}

// Announce says where the service is; listen is nil for a service without a port.
func Announce(p Process, listen, admin net.Addr) error {
	if p.Announce == nil {
		return nil
	}
	var at struct {
		Listen string `json:"listen"`
		Admin  string `json:"admin"`
	}
	if listen != nil {
		at.Listen = listen.String()
	}
	at.Admin = admin.String()
	err := json.NewEncoder(p.Announce).Encode(at)
	if closeErr := p.Announce.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("announce the addresses: %w", err)
	}
	return nil
}

// Job is work that a service does until it is told to stop. Closing draining asks it to finish what was begun and
// return; cancelling ctx asks it to drop everything.
type Job func(ctx context.Context, draining <-chan struct{}) error

// Supervise boots, runs and stops a job alongside its admin server, as the settings say: it is the life of every
// service. It returns when the job ends, or without waiting for it when the service is to exit at once: what the job
// was doing is lost then, as in a process that dies.
func Supervise(ctx context.Context, s settings.Settings, p Process, a *Admin, job Job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	draining := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- job(ctx, draining) }()

	stop := p.Stop
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-done:
			return err
		case <-stop:
			switch s.OnSIGTERM {
			case settings.Exit:
				return nil
			case settings.Drain:
				a.SetReady(false)
				close(draining)
				stop = nil
			case settings.Ignore:
			}
		}
	}
}

// pause waits for a duration, unless the service is to stop: then it returns false.
func pause(ctx context.Context, draining <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-draining:
		return false
	}
}

// Boot waits for the boot delay of a service that has nothing to serve, then says that it is ready. It returns false
// if the service is to stop instead.
func Boot(ctx context.Context, draining <-chan struct{}, s settings.Settings, a *Admin) bool {
	if !pause(ctx, draining, s.BootDelay) {
		return false
	}
	a.SetReady(true)
	return true
}
