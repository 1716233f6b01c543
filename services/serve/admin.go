package serve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coinbench/services/settings"
)

// Admin is the port of a service's own for /healthz and /metrics. It must not be that of the service: behind the
// work of a serial server a probe would wait for seconds.
type Admin struct {
	Registry *prometheus.Registry

	addr   net.Addr
	ready  atomic.Bool
	server *http.Server
}

// StartAdmin binds the admin port and serves it until Close. /healthz is 503 until SetReady(true).
func StartAdmin(s settings.Settings, p Process) (*Admin, error) { return startAdmin(s, p, nil) }

func startAdmin(s settings.Settings, p Process, more func(*http.ServeMux)) (*Admin, error) {
	a := &Admin{Registry: prometheus.NewRegistry()}
	a.Registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	if p.Lateness != nil {
		p.Lateness.register(a.Registry)
	}

	socket, err := p.Bind(s.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("admin port: %w (COIN_ADMIN_LISTEN sets it)", err)
	}
	l, err := socket.Listen(128)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("admin port: %w", err)
	}
	a.addr = socket.Addr()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8}))
	if more != nil {
		more(mux)
	}
	a.server = &http.Server{
		Handler:           named(s, p, mux),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          noLog,
	}
	go a.server.Serve(l)
	return a, nil
}

// SetReady says whether the service takes requests.
func (a *Admin) SetReady(ready bool) { a.ready.Store(ready) }

// Addr returns the bound address.
func (a *Admin) Addr() net.Addr { return a.addr }

// Close stops the admin server at once.
func (a *Admin) Close() error {
	if err := a.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the admin port: %w", err)
	}
	return nil
}

func (a *Admin) health(w http.ResponseWriter, _ *http.Request) {
	if !a.ready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}
