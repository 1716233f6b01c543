package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ticket is what the harness sends when all have come.
type ticket struct {
	Elapsed time.Duration `json:"elapsed"` // since the harness's origin, when it was sent
	Delay   time.Duration `json:"delay"`   // from then on until the start, so that all have their tickets by then
	Work    [][]byte      `json:"work"`    // of each copy
}

// The headers of the answer to one who has come.
const (
	copyHeader    = "X-Relay-Copy"
	lengthHeader  = "X-Relay-Length" // of the work; what follows it says that the generator shall stop
	elapsedHeader = "X-Relay-Elapsed"
	delayHeader   = "X-Relay-Delay"
)

// gathering is a meeting that is going on.
type gathering struct {
	arrived chan string   // whoever comes
	open    chan struct{} // closed when all may go
	ticket  ticket        // set before open is closed
	at      time.Time     // of the ticket, on the relay's clock
	stop    chan struct{} // closed when all shall stop
	copies  int           // who have come; the server's
}

// stopWord is what a generator is told when it shall stop. That the stream just ends says nothing: the relay's engine may
// have been restarted, and the load goes on.
const stopWord = "stop"

func (s *server) gathering(name string) *gathering {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.meetings[name]
	if g == nil {
		g = &gathering{arrived: make(chan string, 1000), open: make(chan struct{}), stop: make(chan struct{})}
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
	var sent ticket
	go func() {
		d := json.NewDecoder(r.Body)
		said <- d.Decode(&sent)
		var word string
		if d.Decode(&word) == nil && word == stopWord {
			close(g.stop)
		}
	}()
	for {
		select {
		case who := <-g.arrived:
			fmt.Fprintln(w, who)
			_ = control.Flush()
		case err := <-said:
			if err != nil {
				return
			}
			g.ticket, g.at = sent, time.Now()
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
	s.mu.Lock()
	g.copies++
	number := g.copies
	s.mu.Unlock()
	select {
	case g.arrived <- strconv.Itoa(number) + " " + q.Get("who"):
	case <-r.Context().Done():
		return
	}
	select {
	case <-g.open:
	case <-r.Context().Done():
		return
	}
	if number > len(g.ticket.Work) {
		refuse(w, fmt.Errorf("%d generators came, %d are wanted", number, len(g.ticket.Work)))
		return
	}
	waited := time.Since(g.at) // between the ticket and this very answer
	w.Header().Set(copyHeader, strconv.Itoa(number))
	w.Header().Set(elapsedHeader, (g.ticket.Elapsed + waited).String())
	w.Header().Set(delayHeader, (g.ticket.Delay - waited).String())
	work := g.ticket.Work[number-1]
	w.Header().Set(lengthHeader, strconv.Itoa(len(work)))
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	_ = control.Flush()
	if _, err := w.Write(work); err != nil || control.Flush() != nil {
		return
	}
	select {
	case <-g.stop:
		_, _ = io.WriteString(w, stopWord)
	case <-r.Context().Done():
	}
}

// Order is what a generator is told when all have come. Instants are on its own machine's clock.
type Order struct {
	Copy   int           // which one it is, from 1
	Work   []byte        //
	Start  time.Time     // when it shall begin
	Origin time.Time     // what the harness counts from
	Off    time.Duration // bound of the error of both
	Stop   chan struct{} // closed when it shall stop early
}

// Meet is called by a generator inside the overlay: it arrives at the meeting and waits until all are there. who is passed on
// to the harness. The connection stays until ctx is done, so that the generator can be told to stop.
func Meet(ctx context.Context, address, name, who string) (o Order, err error) {
	client := &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1}}
	fault := func(err error) (Order, error) {
		return Order{}, fmt.Errorf("meet the other generators at %s: %w", address, err)
	}
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
			return fault(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		shortest = min(shortest, time.Since(begun))
	}
	answer, err := ask(url.Values{"name": {name}, "who": {who}})
	if err != nil {
		return fault(err)
	}
	now := time.Now().Add(-shortest / 2) // when the relay said it
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return fault(fmt.Errorf("%s %s", answer.Status, answer.Header.Get(errorHeader)))
	}
	number, nerr := strconv.Atoi(answer.Header.Get(copyHeader))
	length, lerr := strconv.Atoi(answer.Header.Get(lengthHeader))
	elapsed, eerr := time.ParseDuration(answer.Header.Get(elapsedHeader))
	delay, derr := time.ParseDuration(answer.Header.Get(delayHeader))
	if err := errors.Join(nerr, lerr, eerr, derr); err != nil || length < 0 {
		answer.Body.Close()
		return fault(errors.Join(errors.New("the answer makes no sense"), err))
	}
	work := make([]byte, length)
	if _, err := io.ReadFull(answer.Body, work); err != nil {
		answer.Body.Close()
		return fault(err)
	}
	o = Order{Copy: number, Work: work, Start: now.Add(delay), Origin: now.Add(-elapsed), Off: shortest / 2, Stop: make(chan struct{})}
	go func() {
		defer client.CloseIdleConnections()
		defer answer.Body.Close()
		if word, _ := io.ReadAll(answer.Body); string(word) == stopWord {
			close(o.Stop)
		}
	}()
	return o, nil
}
