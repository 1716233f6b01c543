package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
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
	errorHeader   = "X-Meeting-Error"
	lengthHeader  = "X-Meeting-Length" // of the work; what follows it says that the copy shall stop
	elapsedHeader = "X-Meeting-Elapsed"
	delayHeader   = "X-Meeting-Delay"
)

// stopWord is what a copy is told when it shall stop. That the stream just ends says nothing: the machine of the meeting may
// have been restarted, and the load goes on.
const stopWord = "stop"

// gathering is a meeting in progress.
type gathering struct {
	arrived chan string   // each copy that comes
	open    chan struct{} // closed when all may go
	ticket  ticket        // set before open is closed
	at      time.Time     // of the ticket, on this machine's clock
	stop    chan struct{} // closed when all shall stop
	came    map[int]bool  // the meetings'
}

type meetings struct {
	mu  sync.Mutex
	all map[string]*gathering
}

// ServeMeetings is where the copies of jobs meet, and the harness, which comes over this machine's loopback. It ends with ctx.
func ServeMeetings(ctx context.Context, l net.Listener) error {
	m := &meetings{all: map[string]*gathering{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/gather", m.gather)
	mux.HandleFunc("/meet", m.meet)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: &protocols, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve meetings: %w", err)
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set(errorHeader, fmt.Sprintf(format, args...))
	w.WriteHeader(status)
}

func (m *meetings) of(name string) *gathering {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.all[name]
	if g == nil {
		g = &gathering{arrived: make(chan string, 1000), open: make(chan struct{}), stop: make(chan struct{}), came: map[int]bool{}}
		m.all[name] = g
	}
	return g
}

// gather tells the harness of every copy that arrives, a line each; what it then sends is the ticket for all.
func (m *meetings) gather(w http.ResponseWriter, r *http.Request) {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && !from.Addr().Unmap().IsLoopback() {
		refuse(w, http.StatusForbidden, "only the harness gathers")
		return
	}
	name := r.URL.Query().Get("name")
	g := m.of(name)
	defer func() {
		m.mu.Lock()
		delete(m.all, name)
		m.mu.Unlock()
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

// meet keeps a copy until all may go.
func (m *meetings) meet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Has("ping") {
		fmt.Fprintln(w, "pong")
		return
	}
	number, err := strconv.Atoi(q.Get("copy"))
	if err != nil || number < 1 {
		refuse(w, http.StatusBadRequest, "copy %q; accepted: a number from 1", q.Get("copy"))
		return
	}
	g := m.of(q.Get("name"))
	m.mu.Lock()
	twice := g.came[number]
	g.came[number] = true
	m.mu.Unlock()
	if twice {
		refuse(w, http.StatusConflict, "copy %d has come already", number)
		return
	}
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
		refuse(w, http.StatusBadRequest, "this is copy %d, %d are wanted", number, len(g.ticket.Work))
		return
	}
	waited := time.Since(g.at) // between the ticket and this very answer
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

// meeting is one that has begun: the copies are under way.
type meeting struct {
	feed *io.PipeWriter
	end  func()
}

// stop tells every copy to stop.
func (m *meeting) stop() { _ = json.NewEncoder(m.feed).Encode(stopWord) }

// close ends the meeting. It stops no copy.
func (m *meeting) close() {
	m.feed.Close()
	m.end()
}

// gather waits until a copy has come for each work, gives them their works and lets them go together: they begin after
// delay. came is told what each that comes says of itself.
func gather(ctx context.Context, dial func(context.Context) (net.Conn, error), name string, job Job, came func(who string)) (_ *meeting,
	err error) {
	conn, err := dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	// The connection is of one request and closed with it, by us: to the transport it is idle only some time after the request has ended.
	transport := &http.Transport{Protocols: &h2, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	up, feed := io.Pipe()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { end(); feed.CloseWithError(context.Cause(ctx)) }) // a body that is waited for heeds no context
	defer stop()
	m := &meeting{feed: feed, end: func() { end(); conn.Close() }}
	defer func() {
		if err != nil {
			m.close()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	request, err := http.NewRequestWithContext(life, http.MethodPost, "http://meeting/gather?name="+url.QueryEscape(name), up)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	m.end = func() { end(); answer.Body.Close(); conn.Close() }
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Header.Get(errorHeader))
	}
	lines := bufio.NewScanner(answer.Body)
	next := func() error {
		if lines.Scan() {
			return nil
		}
		return errors.Join(errors.New("the meeting ended"), lines.Err())
	}
	for range job.Work {
		if err := next(); err != nil {
			return nil, err
		}
		_, who, _ := strings.Cut(lines.Text(), " ")
		came(who)
	}
	if err := json.NewEncoder(feed).Encode(ticket{Elapsed: time.Since(job.Origin), Delay: job.Delay, Work: job.Work}); err != nil {
		return nil, err
	}
	return m, next()
}

// Order is what a copy is told when all have come. Instants are on its own machine's clock.
type Order struct {
	Work   []byte        //
	Start  time.Time     // when it shall begin
	Origin time.Time     // what the harness counts from
	Off    time.Duration // bound of the error of both
	Stop   chan struct{} // closed when it shall stop early
}

// Meet is called by a copy of a job: it arrives at the meeting, at host:port, and waits until all are there. who is passed on
// to the harness. The connection stays until ctx is done, so that the copy can be told to stop.
func Meet(ctx context.Context, address, name string, copy int, who string) (o Order, err error) {
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
	answer, err := ask(url.Values{"name": {name}, "copy": {strconv.Itoa(copy)}, "who": {who}})
	if err != nil {
		return fault(err)
	}
	now := time.Now().Add(-shortest / 2) // when the meeting said it
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return fault(fmt.Errorf("%s %s", answer.Status, answer.Header.Get(errorHeader)))
	}
	length, lerr := strconv.Atoi(answer.Header.Get(lengthHeader))
	elapsed, eerr := time.ParseDuration(answer.Header.Get(elapsedHeader))
	delay, derr := time.ParseDuration(answer.Header.Get(delayHeader))
	if err := errors.Join(lerr, eerr, derr); err != nil || length < 0 {
		answer.Body.Close()
		return fault(errors.Join(errors.New("the answer makes no sense"), err))
	}
	work := make([]byte, length)
	if _, err := io.ReadFull(answer.Body, work); err != nil {
		answer.Body.Close()
		return fault(err)
	}
	o = Order{Work: work, Start: now.Add(delay), Origin: now.Add(-elapsed), Off: shortest / 2, Stop: make(chan struct{})}
	go func() {
		defer client.CloseIdleConnections()
		defer answer.Body.Close()
		if word, _ := io.ReadAll(answer.Body); string(word) == stopWord {
			close(o.Stop)
		}
	}()
	return o, nil
}
