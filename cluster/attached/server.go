package attached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"coinbench/cluster"
)

// Host is what a Server serves. Cluster and Events are required.
type Host struct {
	Cluster   cluster.Cluster               // its events go to Events.Add
	Events    *Events                       //
	Start     time.Time                     // to which the cluster's readings are relative
	Dir       string                        // for Info
	Coinbench string                        // for Info
	Log       func(format string, a ...any) // told of every change that is asked for, and how it ends; nil: none
	Given     func(...cluster.Service)      // told of what services are given, secrets too, before they are; nil: none
}

// Server answers other processes about a cluster of this one. It ends with the app: when somebody takes it down, or when it could not be
// deployed.
type Server struct {
	host Host
	life context.Context // until End
	end  context.CancelFunc
	over chan struct{} // closed when the app is gone and the socket with it

	mu       sync.Mutex
	app      cluster.App              // as it was deployed; without a name: nothing is
	deployed chan struct{}            // closed when the deployment has ended; nil: there is none
	turns    map[string]chan struct{} // by service: held by the one change that is in progress
	changes  []*InProgress            // oldest first
}

// NewServer returns a server, which does nothing before Serve.
func NewServer(host Host) *Server {
	if host.Start.IsZero() {
		host.Start = time.Now()
	}
	if host.Log == nil {
		host.Log = func(string, ...any) {}
	}
	if host.Given == nil {
		host.Given = func(...cluster.Service) {}
	}
	life, end := context.WithCancel(context.Background())
	return &Server{host: host, life: life, end: end, over: make(chan struct{}), turns: map[string]chan struct{}{}}
}

// End makes Serve take the app down and return.
func (s *Server) End() { s.end() }

// EndUnlessDeployed is End where nothing is deployed, nor about to be.
func (s *Server) EndUnlessDeployed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app.Name == "" {
		s.End()
	}
}

// Serve answers until ctx is done, End, or a client's Down. Then it takes the app down, closes the listener and returns.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	web := &http.Server{Handler: s.handler()}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	var failed error
	select {
	case <-ctx.Done():
	case <-s.life.Done():
	case failed = <-served:
		failed = fmt.Errorf("serve the socket: %w", failed)
	}
	s.End()
	s.mu.Lock()
	deployed := s.deployed
	s.mu.Unlock()
	if deployed != nil { // it ends with the server's life, and nothing may come up after the removal
		<-deployed
	}
	removed := s.remove(ctx)
	closing := l.Close()
	close(s.over)
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // for the last answers
	defer cancel()
	if web.Shutdown(letGo) != nil {
		web.Close()
	}
	return errors.Join(failed, removed, closing)
}

// Deploy is the cluster's Deploy, for the process itself. When it fails, the server ends.
func (s *Server) Deploy(ctx context.Context, app cluster.App) error {
	s.mu.Lock()
	if s.life.Err() != nil {
		s.mu.Unlock()
		return fmt.Errorf("deploy %s: it is being taken down", app.Name)
	}
	first := s.app.Name == ""
	if first {
		s.app, s.deployed = app, make(chan struct{})
	}
	s.mu.Unlock()
	if !first {
		return s.host.Cluster.Deploy(ctx, app) // which says why not
	}
	s.host.Given(app.Services...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := s.record("deploy "+app.Name, "", func() error { return nil }, func() error { return s.host.Cluster.Deploy(ctx, app) })
	s.mu.Lock()
	close(s.deployed)
	s.deployed = nil
	s.mu.Unlock()
	if err != nil {
		s.End()
	}
	return err
}

func (s *Server) remove(ctx context.Context) error {
	err := s.host.Cluster.Remove(context.WithoutCancel(ctx))
	if err == nil {
		s.mu.Lock()
		s.app = cluster.App{}
		s.mu.Unlock()
	}
	return err
}

// record makes a change, and has Info show it until it has ended; turn returns when it may begin.
func (s *Server) record(what, service string, turn, do func() error) error {
	entry := &InProgress{What: what, Service: service, Since: time.Now(), Waiting: true}
	s.mu.Lock()
	s.changes = append(s.changes, entry)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.changes = slices.DeleteFunc(s.changes, func(c *InProgress) bool { return c == entry })
		s.mu.Unlock()
	}()
	if err := turn(); err != nil {
		return err
	}
	s.mu.Lock()
	entry.Since, entry.Waiting = time.Now(), false
	s.mu.Unlock()
	s.host.Log("%s", what)
	err := do()
	if err != nil {
		s.host.Log("%v", err)
	} else {
		s.host.Log("%s: done", what)
	}
	return err
}

// change makes a change of a service when it is its turn. Until then it is given up with ctx; from then on it goes on.
func (s *Server) change(ctx context.Context, what, service string, do func(context.Context) error) error {
	s.mu.Lock()
	deployed := s.deployed
	turn := s.turns[service]
	if turn == nil {
		turn = make(chan struct{}, 1)
		s.turns[service] = turn
	}
	s.mu.Unlock()
	wait := func() error {
		if deployed != nil {
			select {
			case <-deployed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		select {
		case turn <- struct{}{}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return s.record(what, service, wait, func() error {
		defer func() { <-turn }()
		return do(context.WithoutCancel(ctx))
	})
}

// verbs are the methods that can be called.
func (s *Server) verbs() map[string]func(ctx context.Context, in call, out *answer) error {
	c := s.host.Cluster
	return map[string]func(context.Context, call, *answer) error{
		"info": func(_ context.Context, _ call, out *answer) error {
			out.Info = s.info()
			return nil
		},
		"app": func(_ context.Context, _ call, out *answer) error {
			s.mu.Lock()
			app := s.app
			s.mu.Unlock()
			out.App = &app
			return nil
		},
		"check": func(_ context.Context, in call, _ *answer) error { return c.Check(in.app()) },
		"deploy": func(ctx context.Context, in call, _ *answer) error {
			return s.Deploy(context.WithoutCancel(ctx), in.app())
		},
		"remove": func(ctx context.Context, _ call, _ *answer) error { return s.remove(ctx) },
		"down": func(ctx context.Context, _ call, _ *answer) error {
			s.host.Log("down")
			s.End()
			select {
			case <-s.over:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
		"scale": func(ctx context.Context, in call, _ *answer) error {
			return s.change(ctx, fmt.Sprintf("scale %s to %d", in.Service, in.Replicas), in.Service, func(ctx context.Context) error {
				return c.Scale(ctx, in.Service, in.Replicas)
			})
		},
		"update": func(ctx context.Context, in call, _ *answer) error {
			if in.Change == nil {
				return errors.New("update: no change is given")
			}
			s.host.Given(cluster.Service{Environment: in.Change.Environment})
			return s.change(ctx, "update "+in.Service, in.Service, func(ctx context.Context) error { return c.Update(ctx, in.Service, *in.Change) })
		},
		"rollback": func(ctx context.Context, in call, _ *answer) error {
			on, ok := c.(cluster.Rollbacker)
			if !ok {
				return s.lacks("rollback")
			}
			return s.change(ctx, "rollback "+in.Service, in.Service, func(ctx context.Context) error { return on.Rollback(ctx, in.Service) })
		},
		"restart": func(ctx context.Context, in call, _ *answer) error {
			on, ok := c.(cluster.Restarter)
			if !ok {
				return s.lacks("restart")
			}
			return s.change(ctx, "restart "+in.Service, in.Service, func(ctx context.Context) error { return on.Restart(ctx, in.Service) })
		},
		"kill": func(ctx context.Context, in call, _ *answer) error {
			on, ok := c.(cluster.Killer)
			if !ok || in.Fault == nil {
				return s.lacks("kill")
			}
			return on.Kill(context.WithoutCancel(ctx), in.Service, in.Slot, *in.Fault)
		},
		"pause": func(ctx context.Context, in call, _ *answer) error {
			on, ok := c.(cluster.Pauser)
			if !ok {
				return s.lacks("pause")
			}
			return on.Pause(context.WithoutCancel(ctx), in.Service, in.Slot, in.For)
		},
		"slow": func(ctx context.Context, in call, _ *answer) error {
			on, ok := c.(cluster.LatencyInjector)
			if !ok {
				return s.lacks("slow")
			}
			return on.Slow(context.WithoutCancel(ctx), in.Service, in.Slot, in.Delay, in.For)
		},
		"status": func(ctx context.Context, _ call, out *answer) (err error) {
			out.Services, err = c.Status(ctx)
			return err
		},
		"address": func(ctx context.Context, in call, out *answer) (err error) {
			out.Address, err = c.Address(ctx, in.Service)
			return err
		},
		"counters": func(ctx context.Context, _ call, out *answer) error {
			readings, err := c.Counters(ctx)
			now := c.Now().Sub(s.host.Start)
			for _, r := range readings {
				out.Readings = append(out.Readings, reading{now - r.At, r.Service, r.Task, r.Values})
			}
			return err
		},
	}
}

func (in call) app() cluster.App {
	if in.App == nil {
		return cluster.App{}
	}
	return *in.App
}

func (s *Server) lacks(verb string) error {
	return fmt.Errorf("%s: the cluster %s cannot do it: %w", verb, s.host.Cluster.Name(), errors.ErrUnsupported)
}

func (s *Server) info() *Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &Info{Cluster: s.host.Cluster.Name(), App: s.app.Name, PID: os.Getpid(), Since: s.host.Start, Dir: s.host.Dir,
		Coinbench: s.host.Coinbench}
	for _, c := range s.changes {
		i.Changes = append(i.Changes, *c)
	}
	if c, ok := s.host.Cluster.(cluster.Strategist); ok {
		i.Strategies = c.Strategies()
	}
	return i
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for verb, do := range s.verbs() {
		mux.HandleFunc("POST /v1/"+verb, func(w http.ResponseWriter, r *http.Request) {
			var in call
			var out answer
			err := json.NewDecoder(r.Body).Decode(&in)
			if err == nil {
				err = do(r.Context(), in, &out)
			}
			out.Error, out.Events = faultOf(err), s.host.Events.Last()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out) // a client that is gone needs none
		})
	}
	mux.HandleFunc("GET /v1/events", s.streamEvents)
	mux.HandleFunc("GET /v1/logs", s.streamLogs)
	return mux
}

// streamEvents sends the events from now on, a line each.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	number := s.host.Events.Last()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w).Flush
	if out.Encode(eventLine{Number: number}) != nil || flush() != nil {
		return
	}
	for ended := false; !ended; {
		events, missed, more := s.host.Events.After(number)
		number += missed
		for _, e := range events {
			number++
			if out.Encode(eventLine{Number: number, Event: &e, Missed: missed}) != nil {
				return
			}
			missed = 0
		}
		if flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-s.over: // and what happened before
			ended = s.host.Events.Last() == number
		}
	}
}

// faultTrailer carries what became of a stream of logs.
const faultTrailer = "Coinbench-Fault"

// streamLogs sends what the tasks of a service printed, and with follow=true goes on.
func (s *Server) streamLogs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", faultTrailer)
	service := r.FormValue("service")
	var err error
	if r.FormValue("follow") == "true" {
		if c, ok := s.host.Cluster.(cluster.LogFollower); ok {
			err = c.FollowLogs(r.Context(), service, &flushed{w, http.NewResponseController(w)})
		} else {
			err = s.lacks("logs --follow")
		}
	} else if c, ok := s.host.Cluster.(cluster.Logs); ok {
		err = c.Logs(r.Context(), service, w)
	} else {
		err = s.lacks("logs")
	}
	if err != nil {
		text, _ := json.Marshal(faultOf(err))
		w.Header().Set(faultTrailer, strconv.QuoteToASCII(string(text)))
	}
}

// flushed sends every write at once.
type flushed struct {
	io.Writer
	control *http.ResponseController
}

// Write writes and sends.
func (f *flushed) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
