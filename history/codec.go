package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// LongestRecorded is the longest time that a histogram distinguishes; longer ones are recorded as this.
const LongestRecorded = 24 * time.Hour

// Histogram counts times in nanoseconds. It is sparse: it costs about five bytes for each time that occurred, to three significant
// digits, and next to nothing while it is empty.
type Histogram = hdr.PackedHistogram

// NewHistogram returns an empty histogram with three significant digits, the one kind that histories hold.
func NewHistogram() *Histogram {
	return hdr.NewPacked(1, int64(LongestRecorded), 3)
}

// Observe counts a time, of which one below zero is zero and one beyond LongestRecorded is that. A histogram that is nil is made.
func Observe(h **Histogram, d time.Duration) {
	if *h == nil {
		*h = NewHistogram()
	}
	_ = (*h).RecordValue(int64(min(max(d, 0), LongestRecorded))) // within the range, so never an error
}

// intervalJSON is an Interval as it is written: histograms in HdrHistogram's V2 compressed form (base64), which other
// languages' libraries read too.
type intervalJSON struct {
	At       time.Duration    `json:"at"`
	Length   time.Duration    `json:"length"`
	Due      int64            `json:"due"`
	OK       int64            `json:"ok"`
	Failures map[Class]int64  `json:"failures,omitempty"`
	Bytes    int64            `json:"bytes"`
	Received int64            `json:"received,omitempty"`
	Replicas map[string]int64 `json:"replicas,omitempty"`
	Versions map[string]int64 `json:"versions,omitempty"`
	Response string           `json:"response,omitempty"`
	Service  string           `json:"service,omitempty"`
	GivenUp  string           `json:"given_up,omitempty"`
	Lag      string           `json:"lag,omitempty"`
	Late     string           `json:"late,omitempty"`
	MaxGap   time.Duration    `json:"max_gap"`
	Epoch    time.Duration    `json:"epoch,omitempty"`
	Until    time.Duration    `json:"until,omitempty"`
	Served   []time.Duration  `json:"served,omitempty"` // since at: begin and length of the first span; since its end: of the next one
	LastFail time.Duration    `json:"last_failure,omitempty"`
	Parts    []partJSON       `json:"parts,omitempty"`
}

// partJSON is a Part as it is written.
type partJSON struct {
	Replica  string          `json:"replica,omitempty"`
	Version  string          `json:"version,omitempty"`
	OK       int64           `json:"ok"`
	Failures map[Class]int64 `json:"failures,omitempty"`
	Response string          `json:"response,omitempty"`
}

// MarshalJSON writes the interval as one line of intervals.jsonl.
func (i Interval) MarshalJSON() ([]byte, error) {
	j := intervalJSON{At: i.At, Length: i.Length, Due: i.Due, OK: i.OK, Failures: i.Failures, Bytes: i.Bytes, Received: i.Received,
		Replicas: i.Replicas, Versions: i.Versions, MaxGap: i.MaxGap, Epoch: i.Epoch, Until: i.Until, LastFail: i.LastFail}
	from := i.At
	for _, s := range i.Served {
		j.Served = append(j.Served, s.Begin-from, s.End-s.Begin)
		from = s.End
	}
	var errs [5]error
	j.Response, errs[0] = encodeHistogram(i.Response)
	j.Service, errs[1] = encodeHistogram(i.Service)
	j.GivenUp, errs[2] = encodeHistogram(i.GivenUp)
	j.Lag, errs[3] = encodeHistogram(i.Lag)
	j.Late, errs[4] = encodeHistogram(i.Late)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for _, p := range i.Parts {
		response, err := encodeHistogram(p.Response)
		if err != nil {
			return nil, err
		}
		j.Parts = append(j.Parts, partJSON{Replica: p.Replica, Version: p.Version, OK: p.OK, Failures: p.Failures, Response: response})
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. An absent histogram is an empty one.
func (i *Interval) UnmarshalJSON(data []byte) error {
	var j intervalJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	all, err := j.interval()
	*i = all
	return err
}

// counts is the interval without its histograms and without the parts'.
func (j *intervalJSON) counts() Interval {
	i := Interval{At: j.At, Length: j.Length, Due: j.Due, OK: j.OK, Failures: j.Failures, Bytes: j.Bytes, Received: j.Received,
		Replicas: j.Replicas, Versions: j.Versions, MaxGap: j.MaxGap, Epoch: j.Epoch, Until: j.Until, LastFail: j.LastFail}
	from := i.At
	for n := 0; n+1 < len(j.Served); n += 2 {
		s := Span{Begin: from + j.Served[n]}
		s.End = s.Begin + j.Served[n+1]
		i.Served = append(i.Served, s)
		from = s.End
	}
	for _, p := range j.Parts {
		i.Parts = append(i.Parts, Part{Replica: p.Replica, Version: p.Version, OK: p.OK, Failures: p.Failures})
	}
	return i
}

// interval is all of it.
func (j *intervalJSON) interval() (Interval, error) {
	i := j.counts()
	var errs [5]error
	i.Response, errs[0] = decodeHistogram(j.Response)
	i.Service, errs[1] = decodeHistogram(j.Service)
	i.GivenUp, errs[2] = decodeHistogram(j.GivenUp)
	i.Lag, errs[3] = decodeHistogram(j.Lag)
	i.Late, errs[4] = decodeHistogram(j.Late)
	for n := range i.Parts {
		var err error
		if i.Parts[n].Response, err = decodeHistogram(j.Parts[n].Response); err != nil {
			errs[0] = err
		}
	}
	return i, errors.Join(errs[:]...)
}

func encodeHistogram(h *Histogram) (string, error) {
	if h == nil || h.TotalCount() == 0 {
		return "", nil
	}
	encoded, err := h.Encode()
	if err != nil {
		return "", fmt.Errorf("encode histogram: %w", err)
	}
	return string(encoded), nil
}

func decodeHistogram(encoded string) (*Histogram, error) {
	if encoded == "" {
		return NewHistogram(), nil
	}
	h, err := hdr.DecodePacked([]byte(encoded))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	return h, nil
}
