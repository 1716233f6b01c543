package history

import (
	"encoding/json"
	"errors"
	"maps"
	"time"

	"coinbench/history/event"
)

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
	Max      *longestJSON     `json:"max,omitempty"` // absent: of a record from before it was kept
	MaxGap   time.Duration    `json:"max_gap"`
	Epoch    time.Duration    `json:"epoch,omitempty"`
	Until    time.Duration    `json:"until,omitempty"`
	Served   []time.Duration  `json:"served,omitempty"` // since at: begin and length of the first span; since its end: of the next one
	LastFail time.Duration    `json:"last_failure,omitempty"`
	Parts    []partJSON       `json:"parts,omitempty"`
}

// eventJSON is an Event as it is written.
type eventJSON struct {
	At      time.Duration     `json:"at"` // nanoseconds
	Kind    event.Kind        `json:"kind"`
	Step    int               `json:"step,omitempty"`
	Service string            `json:"service,omitempty"`
	Task    string            `json:"task,omitempty"`
	Detail  map[string]string `json:"detail,omitempty"`
}

// json is the event as it is written, with what mask makes of its texts.
func (e Event) json(mask func(map[string]string) map[string]string) eventJSON {
	j := eventJSON{At: e.At, Kind: e.Payload.Kind(), Step: e.Step, Service: e.Service, Task: e.Task, Detail: event.Encode(e.Payload, mask)}
	if len(e.Rest) > 0 {
		if j.Detail == nil {
			j.Detail = map[string]string{}
		}
		maps.Copy(j.Detail, mask(e.Rest))
	}
	return j
}

// MarshalJSON writes the event as one line of events.jsonl, with nothing masked.
func (e Event) MarshalJSON() ([]byte, error) { return json.Marshal(e.json(event.Plain)) }

// UnmarshalJSON reads what MarshalJSON wrote, of this version or of another.
func (e *Event) UnmarshalJSON(data []byte) error {
	var j eventJSON
	err := json.Unmarshal(data, &j)
	if err == nil {
		*e = Event{At: j.At, Step: j.Step, Service: j.Service, Task: j.Task}
		e.Payload, e.Rest, err = event.Decode(j.Kind, j.Detail)
	}
	return err
}

// longestJSON are the longest times of an interval, which its histograms know to three digits only.
type longestJSON struct {
	Response int64 `json:"response,omitempty"`
	Service  int64 `json:"service,omitempty"`
	GivenUp  int64 `json:"given_up,omitempty"`
	Lag      int64 `json:"lag,omitempty"`
	Late     int64 `json:"late,omitempty"`
}

// partJSON is a Part as it is written.
type partJSON struct {
	Replica  string          `json:"replica,omitempty"`
	Version  string          `json:"version,omitempty"`
	OK       int64           `json:"ok"`
	Failures map[Class]int64 `json:"failures,omitempty"`
	Response string          `json:"response,omitempty"`
	Max      int64           `json:"max,omitempty"`
}

// encoded is a histogram as it is written.
type encoded struct {
	text    string // empty: an empty histogram
	longest int64  // 0: not known beyond what text says
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
	j.Max = &longestJSON{}
	for _, h := range []struct {
		from *Histogram
		text *string
		max  *int64
	}{{i.Response, &j.Response, &j.Max.Response}, {i.Service, &j.Service, &j.Max.Service}, {i.GivenUp, &j.GivenUp, &j.Max.GivenUp},
		{i.Lag, &j.Lag, &j.Max.Lag}, {i.Late, &j.Late, &j.Max.Late}} {
		e, err := h.from.encode()
		if err != nil {
			return nil, err
		}
		*h.text, *h.max = e.text, e.longest
	}
	if *j.Max == (longestJSON{}) {
		j.Max = nil
	}
	for _, p := range i.Parts {
		response, err := p.Response.encode()
		if err != nil {
			return nil, err
		}
		j.Parts = append(j.Parts, partJSON{Replica: p.Replica, Version: p.Version, OK: p.OK, Failures: p.Failures, Response: response.text,
			Max: response.longest})
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
	i.Served = Unite(i.Served, nil)
	for _, p := range j.Parts {
		i.Parts = append(i.Parts, Part{Replica: p.Replica, Version: p.Version, OK: p.OK, Failures: p.Failures})
	}
	return i
}

// histograms are those of the interval: response, service, given up, lag, late.
func (j *intervalJSON) histograms() [5]encoded {
	m := j.Max
	if m == nil {
		m = &longestJSON{}
	}
	return [5]encoded{{j.Response, m.Response}, {j.Service, m.Service}, {j.GivenUp, m.GivenUp}, {j.Lag, m.Lag}, {j.Late, m.Late}}
}

// interval is all of it.
func (j *intervalJSON) interval() (Interval, error) {
	i := j.counts()
	var errs []error
	decode := func(e encoded) *Histogram {
		h, err := e.decode()
		errs = append(errs, err)
		return h
	}
	h := j.histograms()
	i.Response, i.Service, i.GivenUp, i.Lag, i.Late = decode(h[0]), decode(h[1]), decode(h[2]), decode(h[3]), decode(h[4])
	for n, p := range j.Parts {
		i.Parts[n].Response = decode(encoded{p.Response, p.Max})
	}
	return i, errors.Join(errs...)
}
