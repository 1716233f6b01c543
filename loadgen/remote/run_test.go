package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/loadgen/remote/frame"
)

// memory is a Place in memory: its copies meet for real, over pipes, and then say a message a second for as long as they live.
type memory struct {
	conns chan net.Conn
	live  []time.Duration // of each copy, once it has begun
	fate  []string        // as what JobEnds has it then; "hung": it says nothing more, "absent": it ended before it came

	mu     sync.Mutex
	output bytes.Buffer
	ends   map[int]string
	ended  bool
	stop   context.CancelFunc
	copies sync.WaitGroup
}

func (p *memory) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p *memory) Close() error   { return nil }
func (p *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (p *memory) DialMeeting(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- far
	return near, nil
}

func (p *memory) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *memory) end(copy int, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[copy] = why
}

func (p *memory) StartJob(ctx context.Context, _ []string, copies int) (string, error) {
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.ends = map[int]string{}
	for i := range copies {
		p.copies.Go(func() { p.copy(ctx, i+1) })
	}
	return "job", nil
}

func (p *memory) copy(ctx context.Context, n int) {
	if p.fate[n-1] == "absent" {
		fmt.Fprintln(p, "no such thing")
		p.end(n, "on node1: it ended: failed")
		return
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.DialMeeting(ctx) }}}
	q := url.Values{"name": {"job"}, "copy": {fmt.Sprint(n)}, "who": {"node"}}
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/meet?"+q.Encode(), nil)
	answer, err := client.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	_, _ = io.ReadFull(answer.Body, make([]byte, 1)) // the work
	told := make(chan struct{})
	go func() {
		if word, _ := io.ReadAll(answer.Body); string(word) == stopWord {
			close(told)
		}
	}()
	w := frame.NewWriter(p, n, fmt.Sprintf("node%d", n))
	for begun := time.Now(); time.Since(begun) < p.live[n-1]; {
		_ = w.Message([]byte("second"))
		select {
		case <-time.After(time.Second):
		case <-told:
			_ = w.End()
			p.end(n, "")
			return
		case <-ctx.Done():
			return
		}
	}
	switch why := p.fate[n-1]; why {
	case "":
		_ = w.End()
		p.end(n, "")
	case "hung":
		<-ctx.Done()
	case "log cut":
		p.end(n, "")
	default:
		p.end(n, why)
	}
}

func (p *memory) JobOutput(context.Context, string) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // what there is, and then it breaks off: it is read again from the beginning
	return io.NopCloser(strings.NewReader(p.output.String())), nil
}

func (p *memory) JobEnds(context.Context, string) (map[int]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := map[int]string{}
	for n, why := range p.ends {
		ends[n] = why
	}
	return ends, nil
}

func (p *memory) EndJob(context.Context, string) { p.ended = true; p.stop(); p.copies.Wait() }

// played runs a job in memory and returns how many messages came of each copy, and why those that were lost were.
func played(t *testing.T, ctx context.Context, p *memory) (messages map[int]int, lost map[int]string, err error) {
	t.Helper()
	p.conns = make(chan net.Conn)
	serving, quit := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ServeMeetings(serving, p) }()
	messages, lost = map[int]int{}, map[int]string{}
	job := Job{Origin: time.Now(), Message: func(copy int, _ string, _ []byte) { messages[copy]++ },
		Lost: func(copy int, why string) { lost[copy] = why }}
	for range p.live {
		job.Work = append(job.Work, []byte("w"))
	}
	err = Run(ctx, p, job)
	if !p.ended {
		t.Error("the job was not removed")
	}
	close(p.conns)
	quit()
	<-served
	return messages, lost, err
}

// Whatever becomes of some copies, the others go on to their end, and of each that is lost it is said why.
func TestACopyIsLostAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := &memory{live: []time.Duration{60 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
			fate: []string{"", "on node2: its node is down", "hung", "log cut"}}
		messages, lost, err := played(t, t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(lost) != 3 || lost[2] != "on node2: its node is down" || lost[3] != "on node3: nothing was heard from it for 20s" ||
			lost[4] != "on node4: it has ended, and its log is not complete" {
			t.Errorf("lost: %v", lost)
		}
		for n, want := range map[int]int{1: 60, 2: 10, 3: 10, 4: 10} {
			if messages[n] != want {
				t.Errorf("copy %d: %d messages, want %d", n, messages[n], want)
			}
		}
		if d := time.Since(begun); d < 60*time.Second || d > 62*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// A copy that ends before the job has begun is why it cannot, with its last words.
func TestACopyThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &memory{live: make([]time.Duration, 2), fate: []string{"", "absent"}}
		_, lost, err := played(t, t.Context(), p)
		if err == nil || len(lost) > 0 || !strings.Contains(err.Error(), "on node1: it ended: failed; last words: no such thing") {
			t.Errorf("%v, lost %v", err, lost)
		}
	})
}

// Copies that are told to stop still say what they did.
func TestAJobIsToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &memory{live: []time.Duration{time.Hour, time.Hour}, fate: []string{"", ""}}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(errors.New("enough")) })
		messages, lost, err := played(t, ctx, p)
		if err != nil || len(lost) > 0 || messages[1] < 10 || messages[2] < 10 {
			t.Errorf("%v, lost %v, messages %v", err, lost, messages)
		}
	})
}
