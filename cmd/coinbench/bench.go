package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coinbench/loadgen"
	"coinbench/reports"
)

// seconds is a flag that takes what ab takes, a number of seconds, and Go's durations.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }
func (s *seconds) Type() string   { return "DURATION" }

func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1e9 {
		*s = seconds(n * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("accepted: seconds like 10, or a duration like 1m30s")
	}
	*s = seconds(d)
	return nil
}

// benchFlags are ab's.
type benchFlags struct {
	clients     int
	requests    int64
	length      seconds
	keepAlive   bool
	anyLength   bool
	contentType string
	post        string
	method      string
	headers     []string
	timeout     seconds
	objectiveFlags
	recordFlags
}

func benchCommand(p process) *cobra.Command {
	f := benchFlags{timeout: seconds(30 * time.Second)}
	c := &cobra.Command{
		Use:   "bench [-c CLIENTS] [-n REQUESTS | -t TIME] [-k] URL",
		Short: "Send requests from a number of clients, as ApacheBench does, and say what it hides",
		Long: `bench takes ab's flags and prints ab's summary, by ab's definitions, with a note next to each number that misleads;
what ab does not say follows. It is a closed load: each client sends its next request when its last one ended.

Exit codes: 0 it was measured, and --slo was met; 1 --slo was missed; 2 bad input; 3 nothing answered, or the generator was at fault.`,
		Example: `  coinbench bench -n 50 -c 50 http://127.0.0.1:8001/10
  coinbench bench -n 200 -c 5 --slo 'p99<200ms,errors<0.1%' --out runs/gate http://127.0.0.1:8001/10
  coinbench bench -t 10 -c 20 -k http://127.0.0.1:8001/10
  coinbench bench -n 50 -c 20 -T application/octet-stream -p body.bin http://127.0.0.1:8002/`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("requests") && f.requests < 1 {
				return usage(fmt.Errorf("-n %d: accepted: at least 1", f.requests))
			}
			w, err := f.workload(args[0])
			if err != nil {
				return usage(err)
			}
			// This process does nothing but send: room for as many event loops as there are processors, see package loadgen.
			runtime.GOMAXPROCS(2 * runtime.NumCPU())
			if os.Getenv("GOGC") == "" { // it makes little garbage, and is often the tool with less memory than the server
				debug.SetGCPercent(25)
			}
			letGo()
			return bench(p, f, w)
		},
	}
	s := c.Flags()
	s.SortFlags = false
	s.IntVarP(&f.clients, "concurrency", "c", 1, "number of clients")
	s.Int64VarP(&f.requests, "requests", "n", 0, "number of requests (default 1 without -t)")
	s.VarP(&f.length, "timelimit", "t", "length of the load; without -n there is no limit to the requests, where ab stops at 50000")
	s.BoolVarP(&f.keepAlive, "keepalive", "k", false, "keep connections; otherwise each request has a new one")
	s.BoolVarP(&f.anyLength, "any-length", "l", false, "accept answers of any length")
	s.StringVarP(&f.contentType, "content-type", "T", "text/plain", "content type of the body")
	s.StringVarP(&f.post, "postfile", "p", "", "`FILE` with the body; the method is POST then")
	s.StringVarP(&f.method, "method", "m", "", "method of the request")
	s.StringArrayVarP(&f.headers, "header", "H", nil, "header, as `'NAME: VALUE'`; may be repeated")
	s.VarP(&f.timeout, "timeout", "s", "longest time to connect, to the end of the header, and of the body after it")
	f.objectiveFlags.add(c)
	f.recordFlags.add(c)
	return c
}

// workload is what the flags say.
func (f benchFlags) workload(url string) (loadgen.Workload, error) {
	w := loadgen.Workload{
		Name: "bench", Clients: f.clients, Requests: f.requests, Duration: time.Duration(f.length),
		Reuse:    loadgen.Reuse{PerRequest: !f.keepAlive},
		Timeouts: loadgen.Timeouts{Connect: time.Duration(f.timeout), Header: time.Duration(f.timeout), Body: time.Duration(f.timeout)},
		// ab's time is up when it is up; what is in flight then is counted, where ab forgets it.
		Grace: -1, Patience: f.patience,
		Seed: 1,
	}
	for status := 200; status < 300; status++ {
		w.Expect.Status = append(w.Expect.Status, status)
	}
	if w.Requests == 0 && w.Duration == 0 {
		w.Requests = 1
	}
	switch {
	case f.patience <= 0:
		return w, errPatience(f.patience)
	case f.clients < 1:
		return w, fmt.Errorf("-c %d: accepted: at least 1", f.clients)
	case w.Requests > 0 && int64(f.clients) > w.Requests:
		return w, fmt.Errorf("-c %d with %d requests: accepted: at most as many clients as requests (-n)", f.clients, w.Requests)
	}
	header, err := parseHeaders(f.headers)
	if err != nil {
		return w, err
	}
	t := loadgen.Target{Method: f.method, URL: url}
	if f.post != "" {
		if t.Body, err = loadgen.ReadBody(f.post); err != nil {
			return w, fmt.Errorf("read the body: %w", err)
		}
		header = withHeaders(header, http.Header{"Content-Type": {f.contentType}})
	}
	if t.Method == "" {
		t.Method = http.MethodGet
		if f.post != "" {
			t.Method = http.MethodPost
		}
	}
	t.Header = withHeaders(nil, header)
	w.Targets = []loadgen.Target{t}
	return w, nil
}

func bench(p process, f benchFlags, w loadgen.Workload) error {
	objectives, err := f.objectives(w.Name)
	if err != nil {
		return usage(err)
	}
	l, err := startLoading(p, f.recordFlags, "bench", w, objectives...)
	if err != nil {
		return err
	}
	defer l.close()
	ctx, giveUp := context.WithCancel(l.ctx) // clients without a server would do nothing but hurry
	defer giveUp()
	played, err := l.play(ctx, w, &summary{kept: new(reports.ABRequests), silent: giveUp})
	if err != nil {
		return unmeasured(err)
	}
	return l.finish(played, p.stdout, func(out io.Writer) error {
		return reports.ABText(out, played, reports.ABOptions{KeepAlive: f.keepAlive, VariableLength: f.anyLength}, textOptions(p))
	})
}
