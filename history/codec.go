package history

import (
	"encoding/json"
	"fmt"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// LongestRecorded is the longest time that a histogram distinguishes; longer ones are recorded as this.
const LongestRecorded = time.Hour

// NewHistogram returns an empty histogram of nanoseconds with three significant digits, the one kind that histories hold.
func NewHistogram() *hdr.Histogram {
	return hdr.New(1, int64(LongestRecorded), 3)
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
	Replicas map[string]int64 `json:"replicas,omitempty"`
	Versions map[string]int64 `json:"versions,omitempty"`
	Response string           `json:"response,omitempty"`
	Service  string           `json:"service,omitempty"`
	Lag      string           `json:"lag,omitempty"`
	MaxGap   time.Duration    `json:"max_gap"`
}

// MarshalJSON writes the interval as one line of intervals.jsonl.
func (i Interval) MarshalJSON() ([]byte, error) {
	j := intervalJSON{At: i.At, Length: i.Length, Due: i.Due, OK: i.OK, Failures: i.Failures, Bytes: i.Bytes,
		Replicas: i.Replicas, Versions: i.Versions, MaxGap: i.MaxGap}
	for _, h := range []struct {
		from *hdr.Histogram
		to   *string
	}{{i.Response, &j.Response}, {i.Service, &j.Service}, {i.Lag, &j.Lag}} {
		if h.from == nil || h.from.TotalCount() == 0 {
			continue
		}
		encoded, err := h.from.Encode(hdr.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encode histogram: %w", err)
		}
		*h.to = string(encoded)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. An absent histogram is an empty one.
func (i *Interval) UnmarshalJSON(data []byte) error {
	var j intervalJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*i = Interval{At: j.At, Length: j.Length, Due: j.Due, OK: j.OK, Failures: j.Failures, Bytes: j.Bytes,
		Replicas: j.Replicas, Versions: j.Versions, MaxGap: j.MaxGap}
	for _, h := range []struct {
		from string
		to   **hdr.Histogram
	}{{j.Response, &i.Response}, {j.Service, &i.Service}, {j.Lag, &i.Lag}} {
		if h.from == "" {
			*h.to = NewHistogram()
			continue
		}
		decoded, err := hdr.Decode([]byte(h.from))
		if err != nil {
			return fmt.Errorf("decode histogram: %w", err)
		}
		*h.to = decoded
	}
	return nil
}

// Merge adds the requests of other to i, as if one generator had made both: counts add up, histograms merge, the longer
// gap stays. Percentiles of the result are those of all the requests together, within the histogram's precision.
func (i *Interval) Merge(other Interval) {
	end := max(i.At+i.Length, other.At+other.Length)
	if i.Length == 0 && i.Due == 0 {
		i.At = other.At
	}
	i.At = min(i.At, other.At)
	i.Length = end - i.At
	i.Due += other.Due
	i.OK += other.OK
	i.Bytes += other.Bytes
	i.Failures = addCounts(i.Failures, other.Failures)
	i.Replicas = addCounts(i.Replicas, other.Replicas)
	i.Versions = addCounts(i.Versions, other.Versions)
	i.Response = mergeHistogram(i.Response, other.Response)
	i.Service = mergeHistogram(i.Service, other.Service)
	i.Lag = mergeHistogram(i.Lag, other.Lag)
	i.MaxGap = max(i.MaxGap, other.MaxGap)
}

// Failed is the number of requests that did not succeed, the dropped ones among them.
func (i Interval) Failed() int64 {
	var n int64
	for _, c := range i.Failures {
		n += c
	}
	return n
}

func addCounts[K comparable](to, from map[K]int64) map[K]int64 {
	if to == nil && len(from) > 0 {
		to = make(map[K]int64, len(from))
	}
	for k, n := range from {
		to[k] += n
	}
	return to
}

func mergeHistogram(to, from *hdr.Histogram) *hdr.Histogram {
	if to == nil {
		to = NewHistogram()
	}
	if from != nil {
		to.Merge(from)
	}
	return to
}
