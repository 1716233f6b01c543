package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"coinbench/loadgen/remote/frame"
)

const (
	gatherTimeout = 60 * time.Second       // until all copies, which run, have come to their meeting
	silence       = 20 * time.Second       // without a line of its log, after which a copy is taken to be lost
	logGrace      = 5 * time.Second        // for the log of a copy that has ended
	wordsGrace    = 200 * time.Millisecond // for the last words of one that has failed
	stopGrace     = 3 * time.Second        // for a job that is told to stop
	lookEvery     = 500 * time.Millisecond // at what became of the copies
	reopenEvery   = 100 * time.Millisecond // the log, when it breaks off
)

// Place is where copies of coinbench run. A cluster.Jobs is one, and says what the methods do.
type Place interface {
	StartJob(ctx context.Context, args []string, copies int) (job string, err error)
	JobOutput(ctx context.Context, job string) (io.ReadCloser, error)
	JobEnds(ctx context.Context, job string) (map[int]string, error)
	EndJob(ctx context.Context, job string)
	DialMeeting(ctx context.Context) (net.Conn, error)
}

// Job is what copies do together.
type Job struct {
	Args []string // of coinbench's command line
	Work [][]byte // one copy runs for each and is given it

	// Origin is the instant that the copies count from. They meet, and begin together Delay after the last one has come.
	Origin time.Time
	Delay  time.Duration

	// Message is told of every message that a copy (from 1) sends, in the order of that copy; Lost of a copy that had begun and did not
	// come to its end, or not all of whose messages have arrived, after which there is no message of it. They are called one at a time.
	Message func(copy int, node string, message []byte)
	Lost    func(copy int, why string)
}

// Run runs a job to its end, when each copy has said that it is done or is lost. When ctx ends the copies are told to stop.
// The error says why it could not begin, or that the copies did not stop.
func Run(ctx context.Context, place Place, job Job) error {
	if len(job.Work) == 0 {
		return errors.New("no work")
	}
	name, err := place.StartJob(ctx, job.Args, len(job.Work))
	if err != nil {
		return err
	}
	defer place.EndJob(ctx, name)
	r := &run{place: place, job: job, name: name, copies: make([]copyState, len(job.Work)), lines: make(chan string),
		ends: make(chan map[int]string)}
	r.reader = frame.NewReader(func(copy int, node string, message []byte) {
		if c := r.copy(copy); c != nil && !c.over {
			job.Message(copy, node, message)
		}
	})
	var others sync.WaitGroup
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a job that is told to stop still says what it did
	defer func() { cancel(); others.Wait() }()
	others.Go(func() { r.follow(life) })
	others.Go(func() { r.watch(life) })
	return r.play(ctx)
}

type run struct {
	place  Place
	job    Job
	name   string
	reader *frame.Reader
	copies []copyState
	said   []string // the last lines that are no frames

	lines chan string         // of the log
	ends  chan map[int]string // what became of the copies, now and again
}

type copyState struct {
	over  bool      // it has come to its end, or is lost
	lines int       // of its log so far
	heard time.Time // when the last of them came
	ended time.Time // when it was seen to have ended; zero: it was not
}

func (r *run) copy(n int) *copyState {
	if n < 1 || n > len(r.copies) {
		return nil
	}
	return &r.copies[n-1]
}

// play lets the copies meet and hears them to their end.
func (r *run) play(ctx context.Context) error {
	var came []string
	arrived := make(chan string, len(r.copies))
	met := make(chan error, 1)
	var m *meeting
	gathering, stop := context.WithTimeoutCause(ctx, gatherTimeout, fmt.Errorf("not all came to their meeting within %s", gatherTimeout))
	defer stop()
	go func() {
		var err error
		m, err = gather(gathering, r.place.DialMeeting, r.name, r.job, func(who string) { arrived <- who })
		met <- err
	}()
	defer func() {
		if m != nil {
			m.close()
		}
	}()
	begun := false
	interrupted := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case who := <-arrived:
			came = append(came, who)
		case err := <-met:
			if err != nil {
				return r.notBegun(fmt.Errorf("%w: %d of %d copies have come (%s)", err, len(came), len(r.copies), strings.Join(came, ", ")))
			}
			met, begun = nil, true
			for i := range r.copies {
				r.copies[i].heard = time.Now()
			}
		case line := <-r.lines:
			r.take(line)
		case ends := <-r.ends:
			if err := r.look(ends, begun); err != nil {
				stop()
				<-met
				return r.notBegun(err)
			}
		case <-interrupted:
			interrupted = nil
			if begun {
				m.stop()
				late = time.After(stopGrace)
			}
		case <-late:
			return context.Cause(ctx)
		}
		if begun && r.over() {
			return nil
		}
	}
}

func (r *run) notBegun(err error) error {
	if len(r.said) > 0 {
		return fmt.Errorf("%w; last words: %s", err, strings.Join(r.said, " / "))
	}
	return err
}

func (r *run) over() bool {
	for _, c := range r.copies {
		if !c.over {
			return false
		}
	}
	return true
}

// take hears a line.
func (r *run) take(line string) {
	copy, err := r.reader.Line(line)
	c := r.copy(copy)
	if c != nil && r.reader.Lines(copy) > c.lines { // of a log that is read again, most came before
		c.lines, c.heard = r.reader.Lines(copy), time.Now()
	}
	switch {
	case c == nil:
		r.note(line)
	case err != nil:
		r.lose(copy, err.Error())
	default:
		c.over = c.over || r.reader.Ended(copy)
	}
}

// note keeps the last lines of what copies said besides their frames.
func (r *run) note(line string) {
	if line = strings.TrimSpace(line); line == "" || len(r.said) > 0 && r.said[len(r.said)-1] == line {
		return
	}
	r.said = append(r.said, line)
	if n := len(r.said) - 5; n > 0 {
		r.said = r.said[n:]
	}
}

// lose gives a copy up.
func (r *run) lose(copy int, why string) {
	c := r.copy(copy)
	if c.over {
		return
	}
	if node := r.reader.Node(copy); node != "" && !strings.HasPrefix(why, "on ") {
		why = "on " + node + ": " + why
	}
	c.over = true
	r.job.Lost(copy, why)
}

// look judges what became of the copies.
func (r *run) look(ends map[int]string, begun bool) error {
	for i := range r.copies {
		c := &r.copies[i]
		why, ended := ends[i+1]
		if ended && !begun {
			return errors.New("a copy ended before it began: " + why)
		}
		if !begun || c.over {
			continue
		}
		if ended && c.ended.IsZero() {
			c.ended = time.Now()
		}
		switch {
		case ended && why != "" && time.Since(c.ended) >= wordsGrace:
			if len(r.said) > 0 {
				why += "; last words: " + strings.Join(r.said, " / ")
			}
			r.lose(i+1, why)
		case ended && why == "" && time.Since(c.ended) > logGrace:
			r.lose(i+1, "it has ended, and its log is not complete")
		case time.Since(c.heard) > silence:
			r.lose(i+1, "nothing was heard from it for "+silence.String())
		}
	}
	return nil
}

// watch asks now and again what became of the copies. A place that does not answer may be back in time.
func (r *run) watch(life context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-life.Done():
			return
		}
		ends, err := r.place.JobEnds(life, r.name)
		if err != nil {
			ends = nil
		}
		select {
		case r.ends <- ends:
		case <-life.Done():
			return
		}
	}
}

// follow reads the log. One that breaks off is opened again.
func (r *run) follow(life context.Context) {
	for {
		if log, err := r.place.JobOutput(life, r.name); err == nil {
			stop := context.AfterFunc(life, func() { log.Close() })
			for lines := bufio.NewReaderSize(log, 32<<10); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					break
				}
				select {
				case r.lines <- strings.TrimRight(line, "\r\n"):
				case <-life.Done():
				}
			}
			stop()
			log.Close()
		}
		again := time.NewTimer(reopenEvery)
		select {
		case <-again.C:
		case <-life.Done():
			again.Stop()
			return
		}
	}
}
