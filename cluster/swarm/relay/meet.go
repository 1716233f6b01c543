package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Ticket is what a generator is given when it is let go.
type Ticket struct {
	Elapsed time.Duration `json:"elapsed"` // since the harness's origin, when the relay let it go
	Delay   time.Duration `json:"delay"`   // from then on until the start, so that all have their tickets by then
}

// gathering is a meeting that is going on.
type gathering struct {
	arrived chan string   // copies, as they come
	open    chan struct{} // closed when all may go
	ticket  Ticket        // set before open is closed
	at      time.Time     // of the ticket, on the relay's clock
}

func (s *server) gathering(name string) *gathering {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.meetings[name]
	if g == nil {
		g = &gathering{arrived: make(chan string, 1000), open: make(chan struct{})}
		s.meetings[name] = g
	}
	return g
}

// watch tells the harness of everyone who arrives, a line each; what it then sends is the ticket for all.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	g := s.gathering(name)
	defer func() {
		s.mu.Lock()
		delete(s.meetings, name)
		s.mu.Unlock()
	}()
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	_ = control.Flush()
	said := make(chan error, 1)
	var ticket Ticket
	go func() { said <- json.NewDecoder(r.Body).Decode(&ticket) }()
	for {
		select {
		case copy := <-g.arrived:
			fmt.Fprintln(w, copy)
			_ = control.Flush()
		case err := <-said:
			if err != nil {
				return
			}
			g.ticket, g.at = ticket, time.Now()
			close(g.open)
			fmt.Fprintln(w, "open")
			_ = control.Flush()
			<-r.Context().Done() // the tickets are still being handed out
			return
		case <-r.Context().Done():
			return
		}
	}
}

// meet keeps a generator until all may go.
func (s *server) meet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Has("ping") {
		fmt.Fprintln(w, "pong")
		return
	}
	g := s.gathering(q.Get("name"))
	select {
	case g.arrived <- q.Get("copy"):
	default:
		refuse(w, fmt.Errorf("too many generators"))
		return
	}
	select {
	case <-g.open:
		t := g.ticket
		waited := time.Since(g.at) // between the ticket and this very answer
		t.Elapsed += waited
		t.Delay -= waited
		_ = json.NewEncoder(w).Encode(t)
	case <-r.Context().Done():
	}
}

// Meet is called by a generator inside the overlay: it arrives at the meeting and waits until all are there. start is the
// instant at which it shall begin, origin that of the harness's clock, both on this machine's clock; off is the bound of the
// error of both.
func Meet(ctx context.Context, address, name string, copy int) (start, origin time.Time, off time.Duration, err error) {
	client := &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	ask := func(q url.Values) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/meet?"+q.Encode(), nil)
		if err != nil {
			return nil, err
		}
		return client.Do(request)
	}
	// The shortest of some round trips bounds how old a ticket is when it comes.
	shortest := time.Hour
	for range 8 {
		begun := time.Now()
		answer, err := ask(url.Values{"ping": {""}})
		if err != nil {
			return start, origin, 0, fmt.Errorf("meet the other generators at %s: %w", address, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		shortest = min(shortest, time.Since(begun))
	}
	answer, err := ask(url.Values{"name": {name}, "copy": {strconv.Itoa(copy)}})
	if err != nil {
		return start, origin, 0, fmt.Errorf("meet the other generators at %s: %w", address, err)
	}
	defer answer.Body.Close()
	var t Ticket
	if err := json.NewDecoder(answer.Body).Decode(&t); err != nil {
		return start, origin, 0, fmt.Errorf("meet the other generators at %s: %s %s: %w", address, answer.Status, answer.Header.Get(errorHeader), err)
	}
	now := time.Now().Add(-shortest / 2) // when the relay said it
	return now.Add(t.Delay), now.Add(-t.Elapsed), shortest / 2, nil
}
