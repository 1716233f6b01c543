package loadgen

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"coinbench/history"
)

// Result is one request in the form that vegeta's report, plot and encode commands read.
type Result struct {
	Attack    string        `json:"attack"`
	Seq       uint64        `json:"seq"`
	Code      uint16        `json:"code"`
	Timestamp time.Time     `json:"timestamp"`
	Latency   time.Duration `json:"latency"`
	BytesOut  uint64        `json:"bytes_out"`
	BytesIn   uint64        `json:"bytes_in"`
	Error     string        `json:"error"`
	Body      []byte        `json:"body"`
	Method    string        `json:"method"`
	URL       string        `json:"url"`
	Headers   http.Header   `json:"headers"`
}

// ResultOf words a sample of a load that began its record at start. Timestamp is the instant at which the request was due
// and Latency its response time, so that what vegeta makes of it includes the waiting that vegeta itself would leave out.
// Bodies are not recorded; of the answer's headers, those that name the replica and the version are.
func ResultOf(w Workload, start time.Time, s history.Sample) Result {
	t := w.Targets[int(s.Seq%int64(len(w.Targets)))]
	r := Result{Attack: w.Name, Seq: uint64(s.Seq), Code: uint16(s.Status), Timestamp: start.Add(s.Due), Latency: s.Done - s.Due,
		BytesIn: uint64(s.Bytes), Error: s.Error, Method: t.Method, URL: t.URL}
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

// NewResultWriter returns a function that writes results as vegeta does; the format is json (one object per line) or csv.
// Every result is written at once: buffer w if there are many.
func NewResultWriter(w io.Writer, format string) (func(Result) error, error) {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(r Result) error { return e.Encode(r) }, nil
	case "csv":
		e := csv.NewWriter(w)
		return func(r Result) error {
			var headers bytes.Buffer
			if err := r.Headers.Write(&headers); err != nil {
				return err
			}
			if err := e.Write([]string{
				strconv.FormatInt(r.Timestamp.UnixNano(), 10), strconv.Itoa(int(r.Code)), strconv.FormatInt(int64(r.Latency), 10),
				strconv.FormatUint(r.BytesOut, 10), strconv.FormatUint(r.BytesIn, 10), r.Error, base64.StdEncoding.EncodeToString(r.Body),
				r.Attack, strconv.FormatUint(r.Seq, 10), r.Method, r.URL, base64.StdEncoding.EncodeToString(headers.Bytes()),
			}); err != nil {
				return err
			}
			e.Flush()
			return e.Error()
		}, nil
	}
	return nil, fmt.Errorf("result format %q: expected json or csv", format)
}

// NewResultReader returns a function that reads the next result, and io.EOF after the last one.
func NewResultReader(r io.Reader, format string) (func() (Result, error), error) {
	switch format {
	case "json":
		d := json.NewDecoder(r)
		return func() (res Result, err error) { err = d.Decode(&res); return res, err }, nil
	case "csv":
		d := csv.NewReader(r)
		d.FieldsPerRecord = 12
		return func() (Result, error) {
			f, err := d.Read()
			if err != nil {
				return Result{}, err
			}
			res, err := resultOfFields(f)
			if err != nil {
				line, _ := d.FieldPos(0)
				err = fmt.Errorf("results: line %d: %w", line, err)
			}
			return res, err
		}, nil
	}
	return nil, fmt.Errorf("result format %q: expected json or csv", format)
}

func resultOfFields(f []string) (r Result, err error) {
	number := func(i int, bits int) (n uint64) {
		if err == nil {
			if n, err = strconv.ParseUint(f[i], 10, bits); err != nil {
				err = fmt.Errorf("column %d: %w", i+1, err)
			}
		}
		return n
	}
	decode := func(i int) (b []byte) {
		if err == nil && f[i] != "" {
			if b, err = base64.StdEncoding.DecodeString(f[i]); err != nil {
				err = fmt.Errorf("column %d: %w", i+1, err)
			}
		}
		return b
	}
	r.Timestamp = time.Unix(0, int64(number(0, 63))).UTC()
	r.Code = uint16(number(1, 16))
	r.Latency = time.Duration(number(2, 63))
	r.BytesOut, r.BytesIn = number(3, 64), number(4, 64)
	r.Error, r.Body = f[5], decode(6)
	r.Attack, r.Seq, r.Method, r.URL = f[7], number(8, 64), f[9], f[10]
	if headers := decode(11); err == nil && len(headers) > 0 {
		h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(headers, "\r\n"...)))).ReadMIMEHeader()
		if err != nil {
			return r, fmt.Errorf("column 12: %w", err)
		}
		r.Headers = http.Header(h)
	}
	return r, err
}

// WritePercentiles writes a histogram of nanoseconds as HdrHistogram's percentile distribution (.hgrm), in milliseconds,
// for its plotter.
func WritePercentiles(w io.Writer, h *history.Histogram) error {
	dense := hdr.New(h.LowestTrackableValue(), h.HighestTrackableValue(), int(h.SignificantFigures()))
	h.MergeInto(dense)
	_, err := dense.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}
