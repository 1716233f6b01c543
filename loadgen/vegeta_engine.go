package loadgen

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coinbench/history"
	"coinbench/internal/visible"
)

// Vegeta is the name of the engine that is vegeta's attacker: a second, independent generator, with numbers that its users know. It
// counts from the moment at which a worker sends, so of its loads response time and lag are not known.
const Vegeta = "vegeta"

// vegeta plays the load by vegeta's attacker, through the guard.
func (e *engine) vegeta(ctx context.Context, rec Recorder) (history.LoadEndRecord, error) {
	fail := func(err error) (history.LoadEndRecord, error) {
		return history.LoadEndRecord{}, fmt.Errorf("load %q: vegeta: %w", e.w.Name, err)
	}
	pacer, err := vegetaPacer(e.w)
	if err != nil {
		return fail(err)
	}
	tr, err := e.newTransport()
	if err != nil {
		return fail(err)
	}
	defer tr.CloseIdleConnections()
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		e.register(conn)
		return registered{conn, e}, nil
	}
	workers := uint64(vegeta.DefaultMaxWorkers)
	if n := e.w.Connections; n > 0 {
		workers = uint64(n)
	}
	client := http.Client{Transport: tr, CheckRedirect: e.checkRedirect, Timeout: e.w.Timeouts.Connect + e.w.Timeouts.Header +
		e.w.Timeouts.Body}
	attacker := vegeta.NewAttacker(vegeta.Client(&client), vegeta.Workers(min(vegeta.DefaultWorkers, workers)), vegeta.MaxWorkers(workers))
	var targets []vegeta.Target
	for _, p := range e.targets {
		t := vegeta.Target{Method: p.target.Method, URL: p.target.URL, Body: p.target.Body, Header: http.Header{}}
		for k, vs := range p.target.Header {
			if strings.EqualFold(k, "Host") {
				k = "Host" // the only spelling that vegeta looks for
			}
			t.Header[k] = vs
		}
		targets = append(targets, t)
	}

	before := usage()
	e.begin = e.now()
	graceful, release := e.graceful(ctx)
	defer release()
	e.ctx = graceful
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	defer context.AfterFunc(graceful, e.cancel)()
	results := attacker.Attack(vegeta.NewStaticTargeter(targets...), pacer, e.w.Duration, e.w.Name)
	sum := newResultTally(e, rec)
	var failed error
	for r := range results {
		if failed == nil {
			if failed = sum.add(*r); failed != nil {
				attacker.Stop() // a load that cannot be recorded is not worth playing
			}
		}
	}
	if failed == nil {
		failed = sum.finish(e.now())
	}
	end := sum.end
	end.End = e.now()
	used := usage().minus(before)
	end.CPUSeconds = used.cpu.Seconds()
	end.Warnings = append([]string{serviceOnly}, e.notes...)
	if share := end.CPUSeconds / (max((end.End-e.begin).Seconds(), 0.5) * float64(e.procs)); share > InvalidCPU {
		end.Invalid = append(end.Invalid, fmt.Sprintf("the generator used %.0f %% of its %s", 100*share, cpus(e.procs)))
	}
	if failed != nil {
		failed = fmt.Errorf("load %q: record: %w", e.w.Name, failed)
	}
	return end, failed
}

const serviceOnly = "vegeta counts from the moment at which a request is sent: response time and lag are not known, and what waited for " +
	"a worker is in no number"

// registered is a connection that cancel reaches.
type registered struct {
	net.Conn
	e *engine
}

func (r registered) Close() error {
	r.e.unregister(r.Conn)
	return r.Conn.Close()
}

var constantRate = regexp.MustCompile(`^(?:constant\()?([0-9]{1,9})/([0-9]{0,6})(s|m|h)\)?$`)

// vegetaPacer is vegeta's own one for a constant rate; other schedules are put to it as they are.
func vegetaPacer(w Workload) (vegeta.Pacer, error) {
	var p vegeta.Pacer
	if m := constantRate.FindStringSubmatch(strings.ReplaceAll(w.Schedule, " ", "")); m != nil {
		n, _ := strconv.Atoi(m[1])
		per, _ := strconv.Atoi(m[2])
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[m[3]]
		p = vegeta.ConstantPacer{Freq: n, Per: unit * time.Duration(max(per, 1))}
	} else {
		schedule, err := ParseSchedule(w.Schedule)
		if err != nil {
			return nil, err
		}
		p = &schedulePacer{dues: schedule.Dues(w.Seed)}
	}
	if w.Requests > 0 {
		p = bounded{p, uint64(w.Requests)}
	}
	return p, nil
}

// bounded ends an attack after a number of requests.
type bounded struct {
	vegeta.Pacer
	most uint64
}

func (b bounded) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	if hits >= b.most {
		return 0, true
	}
	return b.Pacer.Pace(elapsed, hits)
}

// schedulePacer is a schedule as vegeta asks for one: for one hit after the other.
type schedulePacer struct {
	dues interface{ Next() (time.Duration, bool) }
	next time.Duration
	hits uint64 // of which next is the due instant, minus 1
	over bool
}

func (s *schedulePacer) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	for s.hits <= hits && !s.over {
		var more bool
		if s.next, more = s.dues.Next(); !more {
			s.over = true
		}
		s.hits++
	}
	return max(s.next-elapsed, 0), s.over
}

func (s *schedulePacer) Rate(time.Duration) float64 { return math.NaN() }

// resultTally makes intervals and samples of vegeta's results, which come about in the order in which they ended.
type resultTally struct {
	e       *engine
	rec     Recorder
	windows []*history.Interval // not yet recorded, one after the other
	next    int64               // number of the first of them
	lastOK  time.Duration
	end     history.LoadEndRecord
	unread  int64 // answers of that class
}

func newResultTally(e *engine, rec Recorder) *resultTally {
	return &resultTally{e: e, rec: rec, lastOK: e.begin}
}

func (t *resultTally) window(at time.Duration) *history.Interval {
	n := max(int64((at-t.e.begin)/window)-t.next, 0)
	for int64(len(t.windows)) <= n {
		t.windows = append(t.windows, &history.Interval{
			At: t.e.begin + time.Duration(t.next+int64(len(t.windows)))*window, Length: window, Failures: map[history.Class]int64{},
			Replicas: map[string]int64{}, Versions: map[string]int64{},
			Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram(),
		})
	}
	return t.windows[n]
}

func (t *resultTally) add(r Result) error {
	e := t.e
	s := history.Sample{Seq: int64(r.Seq), Status: int(r.Code), Bytes: int64(r.BytesIn), Class: classOfResult(r),
		Replica: visible.Text(r.Headers.Get(ReplicaHeader), visible.Nothing), Version: visible.Text(r.Headers.Get(VersionHeader),
			visible.Nothing)}
	s.Sent = r.Timestamp.Sub(e.origin)
	s.Due, s.Done = s.Sent, s.Sent+r.Latency
	if s.Class != history.OK {
		s.Error = visible.Text(e.secrets.Mask(r.Error), visible.Nothing)
		if e.ctx != nil && e.ctx.Err() != nil && r.Code == 0 {
			s.Class = history.Cancelled
			t.end.InFlight++
		}
	}
	i := t.window(s.Done)
	i.Due++
	i.Bytes += s.Bytes
	t.end.Due++
	if s.Class == history.OK {
		i.OK++
		t.end.OK++
		history.Observe(&i.Service, r.Latency)
		i.MaxGap = max(i.MaxGap, s.Done-t.lastOK)
		t.lastOK = max(t.lastOK, s.Done)
	} else {
		i.Failures[s.Class]++
		t.end.Failed++
	}
	if s.Class == history.Unread {
		t.unread++
	}
	t.end.MaxGap = max(t.end.MaxGap, i.MaxGap)
	if s.Replica != "" {
		i.Replicas[s.Replica]++
	}
	if s.Version != "" {
		i.Versions[s.Version]++
	}
	kept := s.Seq < e.maxSamples
	if !kept && s.Class != history.OK && t.end.FailuresKept < e.maxFailures {
		t.end.FailuresKept++
		kept = true
	}
	if kept {
		t.end.SamplesKept++
		if err := t.rec.Sample(s); err != nil {
			return err
		}
	}
	return t.record(2)
}

// record hands over all windows but the latest ones.
func (t *resultTally) record(but int) error {
	for len(t.windows) > but {
		if err := t.rec.Interval(*t.windows[0]); err != nil {
			return err
		}
		t.windows = t.windows[1:]
		t.next++
	}
	return nil
}

func (t *resultTally) finish(end time.Duration) error {
	last := t.window(end)
	last.MaxGap = max(last.MaxGap, end-t.lastOK)
	t.end.MaxGap = max(t.end.MaxGap, last.MaxGap)
	if last.Length = end - last.At; last.Length <= 0 {
		last.Length = time.Millisecond
	}
	if t.unread > 0 {
		t.end.Invalid = append(t.end.Invalid, fmt.Sprintf(unreadAnswers, t.unread))
	}
	return t.record(0)
}

// classOfResult finds the class of failure in vegeta's words.
func classOfResult(r Result) history.Class {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(r.Error, w) })
	}
	switch {
	case r.Code >= 400 || r.Code > 0 && r.Code < 200:
		return history.UnexpectedStatus
	case r.Error == "":
		return history.OK
	case isUnread(r.Error):
		return history.Unread
	case r.Code > 0: // and a body that did not come whole
		return history.ResetInBody
	case has("no such host", "lookup "):
		return history.NameResolution
	case has("connection refused"):
		return history.Refused
	case has("no route to host", "network is unreachable"):
		return history.NoRoute
	case has("i/o timeout") && has("dial "):
		return history.ConnectTimeout
	case has("dial ", "tls: ", "x509: "):
		return history.ConnectFailed
	case has("Timeout", "timeout", "deadline exceeded"):
		return history.HeaderTimeout
	case has("malformed"):
		return history.Malformed
	}
	return history.ResetBeforeByte
}

// RecordResults makes a record of results that vegeta wrote. It returns the load's spec and what to record it with, since a history
// must know the first before it takes the second.
func RecordResults(name string, next func() (Result, error)) (start time.Time, spec history.LoadSpec,
	record func(Recorder) (history.LoadEndRecord, error), err error) {
	var all []Result
	texts := map[string]string{} // most results repeat those of others
	for {
		r, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return start, spec, nil, err
		}
		r.Body, r.Attack = nil, "" // of which nothing is said
		for _, text := range []*string{&r.Method, &r.URL, &r.Error} {
			if known, is := texts[*text]; is {
				*text = known
			} else if len(texts) < 1000 {
				texts[*text] = *text
			}
		}
		var who http.Header
		for _, name := range []string{ReplicaHeader, VersionHeader} {
			if v := r.Headers.Get(name); v != "" {
				if who == nil {
					who = http.Header{}
				}
				who.Set(name, v)
			}
		}
		r.Headers = who
		all = append(all, r)
	}
	if len(all) == 0 {
		return start, spec, nil, fmt.Errorf("%s holds no result", name)
	}
	start, last, first := all[0].Timestamp, all[0].End(), all[0]
	latest := start
	for _, r := range all {
		if r.Timestamp.Before(start) {
			start, first = r.Timestamp, r
		}
		if r.End().After(last) {
			last = r.End()
		}
		if r.Timestamp.After(latest) {
			latest = r.Timestamp
		}
	}
	slices.SortStableFunc(all, func(a, b Result) int { return a.End().Compare(b.End()) })
	spec = history.LoadSpec{Name: name, Method: first.Method, URL: history.MaskText(first.URL), Engine: Vegeta, ServiceOnly: true,
		Requests: int64(len(all)), Schedule: "not known"}
	if length := latest.Sub(start); length > 0 && len(all) > 1 {
		spec.Schedule = fmt.Sprintf("%.4g/s as sent", float64(len(all)-1)/length.Seconds())
	}
	return start, spec, func(rec Recorder) (history.LoadEndRecord, error) {
		e := &engine{origin: start, maxSamples: math.MaxInt64, maxFailures: math.MaxInt64}
		t := newResultTally(e, rec)
		for _, r := range all {
			if err := t.add(r); err != nil {
				return t.end, err
			}
		}
		err := t.finish(last.Sub(start))
		t.end.End = last.Sub(start)
		t.end.Warnings = []string{serviceOnly}
		return t.end, err
	}, nil
}
