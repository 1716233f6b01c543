package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
	"coinbench/reports"
)

// targetFlags say where load goes and how: what attack and search share.
type targetFlags struct {
	targets, format string
	method, body    string
	headers         []string
	connections     int
	backlog         int
	reuse           string
	pinDNS          bool
	timeouts        [4]time.Duration // all, connect, header, body
	transport       loadgen.Transport
	seed            uint64
	recordFlags
}

func (f *targetFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.SortFlags = false
	s.StringVar(&f.targets, "targets", "", "read the requests from `FILE` (- for standard input) instead of URL; they are used in turn")
	s.StringVar(&f.format, "targets-format", "http", "format of --targets: http or json, as vegeta's")
	s.StringVarP(&f.method, "method", "m", "", "method of the request (default GET, or POST with a body)")
	s.StringVar(&f.body, "body", "", "`FILE` with the body of the request")
	s.StringArrayVarP(&f.headers, "header", "H", nil, "header of every request, as `'NAME: VALUE'`; may be repeated")
	s.IntVar(&f.connections, "connections", 0, "most connections at once; requests that find them busy wait, and the waiting counts "+
		"(default 10000)")
	s.IntVar(&f.backlog, "backlog", 0, "most requests that wait for a connection; those beyond it are dropped and counted (default no limit)")
	s.StringVar(&f.reuse, "reuse", "keep", "when a connection is given up: keep, never (a new one for each request), after `N` requests, "+
		"or at an age like 30s")
	s.BoolVar(&f.pinDNS, "pin-dns", false, "resolve names once, at the start, instead of once per connection")
	s.DurationVar(&f.timeouts[0], "timeout", 30*time.Second, "longest time to connect, to the end of the header, and of the body after it; "+
		"0: no limit")
	s.DurationVar(&f.timeouts[1], "timeout-connect", 0, "longest time to connect, instead of --timeout")
	s.DurationVar(&f.timeouts[2], "timeout-header", 0, "longest time to the end of the header, instead of --timeout")
	s.DurationVar(&f.timeouts[3], "timeout-body", 0, "longest time for the body after the header, instead of --timeout")
	s.BoolVar(&f.transport.Insecure, "insecure", false, "accept any certificate")
	s.BoolVar(&f.transport.HTTP2, "http2", false, "speak HTTP/2")
	s.IntVar(&f.transport.Redirects, "redirects", 0, "follow at most this many redirects; 0: a redirect is an answer")
	s.StringVar(&f.transport.Proxy, "proxy", "", "`URL` of an HTTP or SOCKS5 proxy; proxies of the environment are never used")
	s.Uint64Var(&f.seed, "seed", 1, "seed of what varies at random")
	f.recordFlags.add(c)
}

// workload is what the flags and the argument say, without its clients or schedule.
func (f *targetFlags) workload(p process, name string, args []string) (loadgen.Workload, error) {
	w := loadgen.Workload{Name: name, Connections: f.connections, Backlog: f.backlog, Transport: f.transport, Seed: f.seed,
		Patience: f.patience}
	if f.patience <= 0 {
		return w, errPatience(f.patience)
	}
	var err error
	if w.Reuse, err = parseReuse(f.reuse); err != nil {
		return w, err
	}
	w.Reuse.PinDNS = f.pinDNS
	limit := func(i int) time.Duration {
		if f.timeouts[i] != 0 {
			return f.timeouts[i]
		}
		return f.timeouts[0]
	}
	w.Timeouts = loadgen.Timeouts{Connect: limit(1), Header: limit(2), Body: limit(3)}
	header, err := parseHeaders(f.headers)
	if err != nil {
		return w, err
	}
	switch {
	case (len(args) == 1) == (f.targets != ""):
		return w, errors.New("where to? accepted: one of a URL and --targets FILE")
	case f.targets != "":
		if f.method != "" || f.body != "" {
			return w, errors.New("--method and --body belong to a URL; with --targets they are in the file")
		}
		if w.Targets, err = readTargets(p, f.targets, f.format); err != nil {
			return w, err
		}
	default:
		t := loadgen.Target{Method: f.method, URL: args[0]}
		if f.body != "" {
			if t.Body, err = loadgen.ReadBody(f.body); err != nil {
				return w, fmt.Errorf("read the body: %w", err)
			}
		}
		if t.Method == "" {
			t.Method = http.MethodGet
			if f.body != "" {
				t.Method = http.MethodPost
			}
		}
		w.Targets = []loadgen.Target{t}
	}
	for i := range w.Targets {
		w.Targets[i].Header = withHeaders(w.Targets[i].Header, header)
	}
	return w, nil
}

func errPatience(d time.Duration) error {
	return fmt.Errorf("--patience %s: accepted: a duration greater than 0, like 5s", d)
}

// withHeaders sets headers that a target has not.
func withHeaders(own, more http.Header) http.Header {
	if len(more) == 0 {
		return own
	}
	out := own.Clone()
	if out == nil {
		out = http.Header{}
	}
	for name, values := range more {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(own)), func(k string) bool { return strings.EqualFold(k, name) }) {
			out[name] = values
		}
	}
	return out
}

// parseHeaders reads NAME: VALUE.
func parseHeaders(texts []string) (http.Header, error) {
	header := http.Header{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("-H: a header without a colon; accepted: 'NAME: VALUE'")
		}
		header[name] = append(header[name], strings.TrimSpace(value)) // as it is spelled
	}
	return header, nil
}

func parseReuse(text string) (loadgen.Reuse, error) {
	switch text {
	case "keep":
		return loadgen.Reuse{}, nil
	case "never":
		return loadgen.Reuse{PerRequest: true}, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return loadgen.Reuse{MaxRequests: n}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return loadgen.Reuse{MaxAge: age}, nil
	}
	return loadgen.Reuse{}, fmt.Errorf("--reuse %s: accepted: keep, never, a number of requests like 100, or an age like 30s", text)
}

func readTargets(p process, name, format string) ([]loadgen.Target, error) {
	in, shown := p.stdin, "standard input"
	if name != "-" {
		shown = name
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read targets: %w", err)
		}
		defer f.Close()
		in = f
	}
	switch format {
	case "http":
		return loadgen.ReadHTTPTargets(shown, in, loadgen.ReadBody)
	case "json":
		return loadgen.ReadJSONTargets(shown, in)
	}
	return nil, fmt.Errorf("--targets-format %s: accepted: http, json", format)
}

// objectiveFlags say what a load must meet: what bench and attack share.
type objectiveFlags struct{ slo string }

func (f *objectiveFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.slo, "slo", "",
		"what the load must meet, else exit code 1: `OBJECTIVES` such as 'p99<200ms,errors<0.1%'; also mean, max")
}

// objectives are the flag's, of the load of that name.
func (f *objectiveFlags) objectives(load string) ([]capacity.Objective, error) {
	if f.slo == "" {
		return nil, nil
	}
	slo, err := loadgen.ParseSLO(f.slo)
	if err != nil {
		return nil, fmt.Errorf("--slo: %w", err)
	}
	var all []capacity.Objective
	for _, text := range slo.Objectives(load) {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			return nil, fmt.Errorf("--slo %s: %w", f.slo, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// recordFlags say where load may go and what is kept of it: what bench, attack and search share.
type recordFlags struct {
	allow    []string
	metrics  string
	out      string
	patience time.Duration
}

func (f *recordFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.allow, "allow", nil, "a `HOST` that is yours to load, besides this machine's loopback; may be repeated")
	c.Flags().StringVar(&f.metrics, "metrics", "", "serve live Prometheus metrics at `ADDR`, such as 127.0.0.1:9000")
	c.Flags().DurationVar(&f.patience, "patience", history.DefaultPatience,
		"a request that has no answer when the load ends has failed if it is older; a younger one is left out")
	c.Flags().StringVar(&f.out, "out", "", "record the run in the folder `DIR`, which 'coinbench report' reads")
}

// loading is a command that sends load: its signals, its record and its live line. It plays one load after the other.
type loading struct {
	p       process
	ctx     context.Context // done at Ctrl-C
	guard   *loadgen.Guard
	start   time.Time
	writer  *history.Writer // nil: no --out
	metrics *metricsServer
	live    *liveLine
	closers []func()
	ended   history.RunStatus // "": it has not

	objectives []capacity.Objective
}

// startLoading checks that w may be sent and opens what is asked for. Its close must be called.
func startLoading(p process, f recordFlags, name string, w loadgen.Workload, objectives ...capacity.Objective) (*loading, error) {
	if err := w.Validate(); err != nil {
		return nil, usage(err)
	}
	for _, v := range w.Secrets() {
		p.secrets.keep(v, "", nil)
	}
	ctx, stop := p.interruptible()
	l := &loading{p: p, ctx: ctx, guard: loadgen.NewGuard(f.allow, nil), start: time.Now(), live: newLiveLine(p.stderr),
		closers: []func(){stop}, objectives: objectives}
	if err := l.guard.Check(ctx, w); err != nil && ctx.Err() == nil {
		l.close()
		return nil, usage(err)
	}
	if f.metrics != "" {
		var err error
		if l.metrics, err = serveMetrics(p, f.metrics); err != nil {
			l.close()
			return nil, usage(err)
		}
		l.closers = append(l.closers, l.metrics.close)
	}
	if ctx.Err() != nil {
		l.close()
		return nil, notBegun()
	}
	manifest := history.Manifest{
		Scenario: name, Cluster: "none", Start: l.start.UTC(), Seed: w.Seed, Command: append([]string{"coinbench"}, p.args...),
		Coinbench: version(), Host: host(), Secrets: p.secrets.all(),
	}
	if l.metrics != nil {
		l.metrics.tell(manifest)
	}
	if f.out != "" {
		var err error
		l.writer, err = history.Create(f.out, manifest, nil, nil)
		if err != nil {
			l.close()
			return nil, withCode(folderCode(err), err)
		}
		l.event(l.begins(name))
	}
	return l, nil
}

// begins is what the run's begin says.
func (l *loading) begins(name string) event.RunBegin {
	begin := event.RunBegin{Scenario: name}
	for _, o := range l.objectives {
		begin.Objectives = append(begin.Objectives, o.Text)
	}
	return begin
}

func (l *loading) event(p event.Payload) {
	if l.writer != nil {
		_ = l.writer.Event(history.Event{At: time.Since(l.start), Payload: p}) // the writer keeps its first error
	}
}

// close ends the record and everything that runs alongside the load.
func (l *loading) close() error {
	err := l.closeRecord()
	for _, c := range l.closers {
		c()
	}
	l.closers = nil
	return err
}

func (l *loading) closeRecord() error {
	l.live.clear()
	if l.writer == nil {
		return nil
	}
	w := l.writer
	l.event(event.RunEnd{Status: string(l.status())})
	l.writer = nil
	if err := w.Close(); err != nil {
		return unmeasured(err)
	}
	fmt.Fprintf(l.p.stderr, "recorded in %s: coinbench report %s\n", w.Dir(), w.Dir())
	return nil
}

// status is how the load ended; what is told to stop later has ended already.
func (l *loading) status() history.RunStatus {
	if l.ended == "" {
		l.ended = history.Finished
		if l.ctx.Err() != nil {
			l.ended = history.Interrupted
		}
	}
	return l.ended
}

// finish closes the record and judges the load by its objectives. Files come first, then text, which print writes to out.
func (l *loading) finish(played reports.PlayedLoad, out io.Writer, print func(io.Writer) error) error {
	judged := l.judge(played)
	a, err := l.report()
	if a != nil {
		judged = *a
	}
	text := print(out)
	if text == nil && len(l.objectives) > 0 {
		text = reports.ObjectivesText(out, &judged, textOptions(l.p))
	}
	if text = unlessGone(text); text != nil {
		err = errors.Join(err, fmt.Errorf("print report: %w", text))
	}
	if err == nil && played.Interrupted && judged.Overall.Outcome != capacity.OutcomeFail {
		err = interruption()
	}
	if err == nil {
		err = l.verdict(played)
	}
	if err == nil && len(l.objectives) > 0 {
		err = exit(judged.Overall.Outcome.ExitCode())
	}
	return unmeasured(err)
}

// report closes the record and makes the reports from it; nil: there is none, or it could not be read.
func (l *loading) report() (*capacity.Analysis, error) {
	if l.writer == nil {
		return nil, l.closeRecord()
	}
	dir := l.writer.Dir()
	err := l.closeRecord()
	a, e := analyse(dir)
	if e == nil {
		_, e = reports.Write(dir, a)
	}
	return a, errors.Join(err, e)
}

// judge is what the record would say of the one load, had there been one.
func (l *loading) judge(played reports.PlayedLoad) capacity.Analysis {
	return capacity.Analyse(&history.Run{
		Manifest: history.Manifest{Scenario: played.Spec.Name, Start: l.start}, Status: l.status(), End: played.End.End,
		Events: []history.Event{{Payload: l.begins(played.Spec.Name)},
			{At: played.End.End, Payload: event.RunEnd{Status: string(l.status())}}},
		Loads: []history.Load{{LoadSpec: played.Spec, Intervals: []history.Interval{played.Total}, Closing: &played.End}},
	}, l.objectives...)
}

// play sends one load until it ends or ctx, which is l.ctx or comes from it, is done; it records it and sums it up. An
// interrupted load is no error.
func (l *loading) play(ctx context.Context, w loadgen.Workload, sum *summary) (reports.PlayedLoad, error) {
	recorder, end, err := l.begin(w)
	if err != nil {
		return reports.PlayedLoad{}, err
	}
	sum.next = recorder
	spec, err := w.Spec(time.Since(l.start))
	if err != nil {
		return reports.PlayedLoad{}, err
	}
	record, err := loadgen.Player{Guard: l.guard}.Run(ctx, w, l.start, sum)
	l.live.clear()
	if err = errors.Join(err, end(record, err)); err != nil {
		if l.writer != nil {
			err = withRoom(err, l.writer.Dir())
		}
		return reports.PlayedLoad{}, err
	}
	return reports.PlayedLoad{Spec: spec, Targets: len(w.Targets), Total: sum.total, End: record, Errors: sum.errors, Kept: sum.kept,
		Interrupted: l.status() == history.Interrupted}, nil
}

// begin opens the record of a load: its recorder, and what is called with its end.
func (l *loading) begin(w loadgen.Workload) (loadgen.Recorder, func(history.LoadEndRecord, error) error, error) {
	all := recorders{l.live}
	spec, err := w.Spec(time.Since(l.start))
	if err != nil {
		return nil, nil, err
	}
	if l.metrics != nil {
		all = append(all, l.metrics.load(spec))
	}
	if l.writer == nil {
		return all, func(history.LoadEndRecord, error) error { return nil }, nil
	}
	record, err := l.writer.Load(spec)
	if err != nil {
		return nil, nil, err
	}
	return append(all, record), record.End, nil
}

// verdict is the exit code of a load: what has no answer, or must not be used, was not measured.
func (ld *loading) verdict(l reports.PlayedLoad) error {
	switch refused := ld.guard.Refused(); {
	case refused != nil:
		return usage(refused)
	case !l.Answered() && !l.Interrupted:
		return unmeasured(nothingAnswered(l))
	case len(l.End.Invalid) > 0:
		return exit(exitUnmeasured)
	}
	return nil
}

// interrupted is how a load ends that was stopped before its time.
func interruption() error {
	return unmeasured(errors.New("interrupted: the report shows what was measured until then"))
}

// notBegun is how a command ends that was stopped before it had done anything.
func notBegun() error { return unmeasured(errors.New("interrupted before it had begun")) }

func nothingAnswered(l reports.PlayedLoad) error {
	why := "no request was made"
	for _, c := range history.Classes() {
		if l.Total.Failures[c] == 0 {
			continue
		}
		why = string(c)
		if text := l.Errors[c]; text != "" {
			why += ": " + text
		}
		break
	}
	return fmt.Errorf("nothing answers at %s (%s): start the service, or correct the URL", l.Spec.URL, why)
}

// recorders pass a record on to each of them.
type recorders []loadgen.Recorder

func (all recorders) Interval(i history.Interval) error {
	for _, r := range all {
		if err := r.Interval(i); err != nil {
			return err
		}
	}
	return nil
}

func (all recorders) Sample(s history.Sample) error {
	for _, r := range all {
		if err := r.Sample(s); err != nil {
			return err
		}
	}
	return nil
}

// summary gathers what the report of a load needs, in bounded memory, and passes everything on.
type summary struct {
	next   loadgen.Recorder
	kept   *reports.ABRequests                                 // takes the samples, too; nil: they only pass by
	silent func()                                              // called when there was no listener for two seconds; nil: nothing
	each   func(spec loadgen.Workload, s history.Sample) error // nil: nothing
	w      loadgen.Workload
	total  history.Interval
	errors map[history.Class]string
}

func (s *summary) Interval(i history.Interval) error {
	s.total.Merge(i)
	if s.silent != nil && s.total.Length >= 2*time.Second && s.total.Due > 0 && s.total.Due == s.total.Failures[history.Refused] {
		s.silent()
	}
	return s.next.Interval(i)
}

func (s *summary) Sample(sample history.Sample) error {
	if sample.Class != history.OK {
		if s.errors == nil {
			s.errors = map[history.Class]string{}
		}
		if _, known := s.errors[sample.Class]; !known {
			s.errors[sample.Class] = sample.Error
		}
	}
	if s.kept != nil {
		s.kept.Add(sample)
	}
	if s.each != nil {
		if err := s.each(s.w, sample); err != nil {
			return err
		}
	}
	return s.next.Sample(sample)
}

// resultFile writes every request as vegeta does.
type resultFile struct {
	file *os.File
	buf  *bufio.Writer
	put  func(loadgen.Result) error
}

// openResults creates a file of results; - is standard output.
func openResults(p process, name, format string) (*resultFile, error) {
	r := &resultFile{}
	var out io.Writer = p.stdout
	if name != "-" {
		var err error
		if r.file, err = os.Create(name); err != nil {
			return nil, fmt.Errorf("--output: %w", err)
		}
		out = r.file
	}
	r.buf = bufio.NewWriterSize(out, 64<<10)
	var err error
	if r.put, err = loadgen.NewResultWriter(r.buf, format); err != nil {
		return nil, errors.Join(fmt.Errorf("--output: %w", err), r.close())
	}
	return r, nil
}

func (r *resultFile) close() error {
	err := r.buf.Flush()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}
