package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coinbench/history"
)

// Result is one request in the form that vegeta's report, plot and encode commands read.
type Result = vegeta.Result

// ResultOf words a sample of a load that began its record at start. Timestamp is the instant at which the request was due
// and Latency its response time, so that what vegeta makes of it includes the waiting that vegeta itself would leave out.
// Bodies are not recorded; of the answer's headers, those that name the replica and the version are.
func ResultOf(w Workload, start time.Time, s history.Sample) Result {
	t := w.Targets[int(s.Seq%int64(len(w.Targets)))]
	r := Result{Attack: w.Name, Seq: uint64(s.Seq), Code: uint16(s.Status), Timestamp: start.Add(s.Due), Latency: s.Done - s.Due,
		BytesIn: uint64(s.Bytes), Error: s.Error, Method: t.Method, URL: history.MaskText(t.URL)}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if s.Class != history.Dropped {
		r.BytesOut = uint64(len(t.Body))
	}
	if s.Class != history.OK && r.Error == "" {
		r.Error = string(s.Class)
	}
	for k, v := range map[string]string{ReplicaHeader: s.Replica, VersionHeader: s.Version} {
		if v != "" {
			if r.Headers == nil {
				r.Headers = http.Header{}
			}
			r.Headers.Set(k, v)
		}
	}
	return r
}

// ResultFormats are those of NewResultWriter.
func ResultFormats() []string { return []string{"json", "csv", "gob"} }

// NewResultWriter returns a function that writes results as vegeta does; the format is json (one object per line), csv, or gob, which
// is vegeta's default. Every result is written at once: buffer w if there are many.
func NewResultWriter(w io.Writer, format string) (func(Result) error, error) {
	encoders := map[string]func(io.Writer) vegeta.Encoder{"json": vegeta.NewJSONEncoder, "csv": vegeta.NewCSVEncoder, "gob": vegeta.NewEncoder}
	encoder, known := encoders[format]
	if !known {
		return nil, fmt.Errorf("result format %q: expected %s", format, strings.Join(ResultFormats(), ", "))
	}
	encode := encoder(w)
	return func(r Result) error { return encode(&r) }, nil
}

// NewResultReader returns a function that reads the next result, and io.EOF after the last one. It finds out which of vegeta's formats
// it is. A file that ends within a result is an error, as is one that holds something else.
func NewResultReader(r io.Reader) (func() (Result, error), error) {
	in := &ending{in: bufio.NewReader(r)}
	accepted := "accepted: its formats " + strings.Join(ResultFormats(), ", ")
	head, err := in.in.Peek(2)
	switch {
	case len(head) == 0 && errors.Is(err, io.EOF):
		return nil, fmt.Errorf("the file is empty: no results of vegeta; %s", accepted)
	case len(head) == 0:
		return nil, err
	case string(head) == "\x1f\x8b":
		return nil, fmt.Errorf("no results of vegeta: the file is compressed by gzip; gunzip it first; %s", accepted)
	}
	lines := head[0] == '{' || isDigit(head[0]) // not gob
	decode := vegeta.DecoderFor(in)
	if decode == nil {
		return nil, fmt.Errorf("no results of vegeta; %s", accepted)
	}
	n := 0
	return func() (res Result, err error) {
		n++
		err = decode(&res)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF) && lines && in.last != '\n':
			return res, fmt.Errorf("result %d: the file ends within it, so it is not whole; accepted: all of it, or its whole results", n)
		case errors.Is(err, io.EOF):
			return res, io.EOF
		case err != nil:
			return res, fmt.Errorf("result %d: %w; accepted: one format from the first to the last result", n, err)
		case res.Timestamp.IsZero() || res.Latency < 0:
			return res, fmt.Errorf("result %d has no timestamp, or a negative latency; accepted: what vegeta or attack --output wrote", n)
		}
		return res, nil
	}, nil
}

// ending remembers how what it reads ends.
type ending struct {
	in   *bufio.Reader
	last byte
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.in.Read(p)
	if n > 0 {
		e.last = p[n-1]
	}
	return n, err
}

// WritePercentiles writes a histogram of nanoseconds as HdrHistogram's percentile distribution (.hgrm), in milliseconds,
// for its plotter.
func WritePercentiles(w io.Writer, h *history.Histogram) error {
	dense := hdr.New(h.LowestTrackableValue(), h.HighestTrackableValue(), int(h.SignificantFigures()))
	h.MergeInto(dense)
	_, err := dense.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}
