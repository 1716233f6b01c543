package loadgen

import (
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
// it is.
func NewResultReader(r io.Reader) (func() (Result, error), error) {
	decode := vegeta.DecoderFor(r)
	if decode == nil {
		return nil, fmt.Errorf("no results of vegeta; accepted: its formats %s", strings.Join(ResultFormats(), ", "))
	}
	n := 0
	return func() (res Result, err error) {
		n++
		if err = decode(&res); err != nil && !errors.Is(err, io.EOF) {
			err = fmt.Errorf("result %d: %w", n, err)
		}
		return res, err
	}, nil
}

// WritePercentiles writes a histogram of nanoseconds as HdrHistogram's percentile distribution (.hgrm), in milliseconds,
// for its plotter.
func WritePercentiles(w io.Writer, h *history.Histogram) error {
	dense := hdr.New(h.LowestTrackableValue(), h.HighestTrackableValue(), int(h.SignificantFigures()))
	h.MergeInto(dense)
	_, err := dense.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}
