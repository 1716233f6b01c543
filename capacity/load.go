package capacity

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"coinbench/history"
)

// LoadResult is what one load of the generator measured. Requests = OK + failures by class.
type LoadResult struct {
	Name     string  `json:"name"`
	Engine   string  `json:"engine,omitempty"` // what played it; empty: coinbench itself
	Service  string  `json:"service,omitempty"`
	Method   string  `json:"method"`
	URL      string  `json:"url"`
	Closed   bool    `json:"closed"` // closed workload: clients; open workload: a schedule
	Clients  int     `json:"clients,omitempty"`
	Schedule string  `json:"schedule,omitempty"`
	Config   Config  `json:"config"` // in force when it began
	BeginS   float64 `json:"begin_s"`
	// in which requests fell due, as was asked for, and to the last answer if that is later; of a load of a number of requests from the first
	// one to the last answer
	LengthS  float64 `json:"length_s"`
	Complete bool    `json:"complete"` // false: the load was cut off
	Requests int64   `json:"requests"`
	OK       int64   `json:"ok"`
	Failed   int64   `json:"failed"` // without LeftOut
	// had no answer when the load ended, and were younger than PatienceS: in no failure and no availability
	LeftOut   int64                   `json:"left_out,omitempty"`
	Missing   int64                   `json:"missing,omitempty"` // about: what a generator that was lost did not send
	PatienceS float64                 `json:"patience_s,omitempty"`
	Failures  map[history.Class]int64 `json:"failures,omitempty"`
	PerS      float64                 `json:"ok_per_s"`
	Available Availability            `json:"availability"`
	MaxGapS   float64                 `json:"max_gap_s"` // the longest time without a success
	// done - due, of OK requests and of those that were given up: what a user felt
	Response    *Latency `json:"response,omitempty"`
	ServiceTime *Latency `json:"service_time,omitempty"` // done - sent: what the server took
	Lag         *Latency `json:"lag,omitempty"`          // sent - due: the generator's own delay
	// the generator's own part of Lag, without the waiting for a connection; nil: not known
	Late *Latency `json:"late,omitempty"`
	// clients x length / OK: what ab calls "Time per request (mean)"; closed loads only
	MeanTurnS float64              `json:"mean_turn_s,omitempty"`
	Estimates map[string]*Estimate `json:"estimates,omitempty"` // throughput, mean, p50, p90, p95, p99 and p99.9 with their errors
	Waves     []Wave               `json:"waves,omitempty"`
	Sorted    []float64            `json:"sorted_s,omitempty"` // response times, ascending, where at most 2,000 requests were made
	OverTime  []LoadPoint          `json:"over_time,omitempty"`
	Quantiles []Quantile           `json:"quantiles,omitempty"` // of Response, towards 1 as far as there are requests
	Histogram []HistogramBin       `json:"histogram,omitempty"` // of Response
	Replicas  map[string]int64     `json:"replicas,omitempty"`  // answers by replica
	Versions  map[string]int64     `json:"versions,omitempty"`
	CPUS      float64              `json:"generator_cpu_s,omitempty"`
	Invalid   []string             `json:"invalid,omitempty"` // why the numbers must not be used
	Warnings  []string             `json:"warnings,omitempty"`

	sooner int64 // failures of which an answer might have come in time, had the generator not been late itself

	whole bool // a closed load of a fixed number of requests: they are all there are, and an objective about them has no error
}

func loads(run *history.Run, configs configLog) []LoadResult {
	var all []LoadResult
	for _, l := range run.Loads {
		all = append(all, newLoadResult(l, configs.in(l.Begin)))
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].BeginS < all[j].BeginS })
	crossCheck(all)
	return all
}

func newLoadResult(l history.Load, c Config) LoadResult {
	total := l.Total()
	r := LoadResult{
		Name: l.Name, Engine: l.Engine, Service: l.Service, Method: l.Method, URL: l.URL, Closed: l.Closed, Clients: l.Clients,
		Schedule: l.Schedule,
		Config:   c, BeginS: l.Begin.Seconds(), Complete: l.Closing != nil,
		Requests: total.Due, OK: total.OK, Failures: total.Failures, MaxGapS: total.MaxGap.Seconds(),
		Replicas: total.Replicas, Versions: total.Versions,
		Failed: total.Failed() - total.Failures[history.Cancelled], LeftOut: total.Failures[history.Cancelled], PatienceS: l.Patience.Seconds(),
	}
	r.Available = NewAvailability(total.Due-r.LeftOut, r.Failed)
	begin, last := l.Begin, l.Begin // of the requests; of the answers
	for _, i := range l.Intervals {
		if i.OK > 0 {
			last = i.At + i.Length
		}
	}
	if l.Closing != nil {
		r.CPUS, r.Invalid, r.Warnings, r.Missing = l.Closing.CPUSeconds, l.Closing.Invalid, l.Closing.Warnings, l.Closing.Missing
	}
	r.Warnings = append(slices.Clip(r.Warnings), unanswered(total.Failures, l.Patience)...)
	var times []tied
	allKept := len(l.Samples) > 0 && int64(len(l.Samples)) == total.Due
	if allKept {
		var response, givenUp, service, lag []float64
		begin, last = l.Samples[0].Due, l.Begin
		for _, s := range l.Samples {
			begin = min(begin, s.Due)
			if s.Class != history.Dropped {
				lag = append(lag, (s.Sent - s.Due).Seconds())
			}
			if s.Class.GivenUp() {
				givenUp = append(givenUp, (s.Done - s.Due).Seconds())
			}
			if s.Class == history.OK {
				last = max(last, s.Done)
				response = append(response, (s.Done - s.Due).Seconds())
				service = append(service, (s.Done - s.Sent).Seconds())
			}
		}
		times = tiedOf(response, givenUp)
		r.Response, r.ServiceTime, r.Lag = newLatency(times, true), NewLatency(service), NewLatency(lag)
		if len(response) <= 2000 {
			r.Sorted = response
		}
		if l.Closed {
			r.Waves = waves(l.Samples)
		}
	} else {
		times = tiedIn(total.Response, total.GivenUp)
		r.Response, r.ServiceTime, r.Lag = HistogramLatency(total.Response, total.GivenUp), HistogramLatency(total.Service,
			nil), HistogramLatency(total.Lag, nil)
	}
	r.Late = HistogramLatency(total.Late, nil)
	r.sooner = sooner(total, r.Late, r.ServiceTime)
	if l.Closing != nil && l.Closing.Ceased > 0 {
		begin, last = l.Begin, max(last, l.Closing.Ceased)
	}
	if r.LengthS = max(last-begin, 0).Seconds(); r.LengthS > 0 {
		r.PerS = float64(r.OK) / r.LengthS
	}
	r.Available.over(r.LengthS, outages(l))
	seconds := bySecond(l.Intervals)
	over, parts := newShape(len(seconds)), newParts(r.Response)
	late := unansweredBySecond(seconds)
	var reader history.TimesReader
	for k, second := range seconds { // once, for to read the times of an hour takes seconds
		for _, i := range second {
			answered, givenUp := reader.Of(i)
			if !allKept {
				parts.interval(i, answered, givenUp)
			}
			if l.ServiceOnly {
				answered = reader.Service(i)
			}
			over.add(i, answered, givenUp)
		}
		over.addWithoutAnswer(late[k])
		over.next()
	}
	if allKept {
		parts.samples(l.Samples, begin.Seconds(), last.Seconds())
	}
	r.whole = l.Closed && l.Requests > 0
	r.measureErrors(begin.Seconds(), parts.all, times)
	if l.Closed && r.OK > 0 {
		r.MeanTurnS = float64(l.Clients) * r.LengthS / float64(r.OK)
	}
	felt, known := total.Response, r.Response
	if l.ServiceOnly {
		felt, known = total.Service, r.ServiceTime
	}
	r.OverTime, r.Quantiles, r.Histogram = over.overTime(), quantiles(known), bins(felt)
	if l.ServiceOnly { // samples have an instant at which they were due, but it is the one at which they were sent
		r.Response, r.Lag, r.Late, r.Sorted = nil, nil, nil, nil
		if t := r.ServiceTime; t != nil {
			r.Warnings = append(r.Warnings, fmt.Sprintf("what is known is the service time: mean %s, p50 %s, p90 %s, p99 %s, max %s",
				FormatSeconds(t.MeanS), FormatSeconds(t.P50S), FormatSeconds(t.P90S), FormatSeconds(t.P99S), FormatSeconds(t.MaxS)))
		}
	}
	return r
}

// maxMissing is the share of a load that may be missing for its response times to be those of the load that was asked for.
const maxMissing = 0.05

// missingShare is the share of what was asked for that was not sent, because a generator was lost.
func (r *LoadResult) missingShare() float64 {
	if r.Missing == 0 {
		return 0
	}
	return float64(r.Missing) / float64(r.Missing+r.Requests)
}

// unanswered says what became of the requests that had no answer when their load ended.
func unanswered(failures map[history.Class]int64, patience time.Duration) (texts []string) {
	if n := failures[history.NoAnswer]; n > 0 {
		texts = append(texts, fmt.Sprintf("%s had no answer when the load ended, after more than its patience of %s: they failed, and count "+
			"as at least their age in percentiles",
			count(int(n), "request"), patience))
	}
	if n := failures[history.Cancelled]; n > 0 {
		texts = append(texts, fmt.Sprintf("%s had no answer when the load ended, within its patience of %s: they are left out of failures and "+
			"availability, and count as at least their age in percentiles",
			count(int(n), "request"), patience))
	}
	return texts
}

// Wave is a group of answers that came together: what a pool of servers gives to clients that began together.
type Wave struct {
	Size  int     `json:"size"`
	AtS   float64 `json:"at_s"`   // of the first answer, since the load's first request
	LastS float64 `json:"last_s"` // of the last answer
}

// maxWaves is how many groups are worth telling; a load with more has no waves but a stream.
const maxWaves = 64

// waves groups answers by the gaps between them: a gap of more than half the shortest service time begins a new wave, for a
// server that is free again needs a whole one. A load of one client, and one without gaps, has no waves.
func waves(samples []history.Sample) []Wave {
	var done []time.Duration
	shortest := time.Duration(-1)
	var begin time.Duration = -1
	clients := false
	for _, s := range samples {
		if begin < 0 || s.Due < begin {
			begin = s.Due
		}
		if s.Class != history.OK {
			continue
		}
		done = append(done, s.Done)
		if d := s.Done - s.Sent; shortest < 0 || d < shortest {
			shortest = d
		}
	}
	if len(done) == 0 {
		return nil
	}
	slices.Sort(done)
	var all []Wave
	for i, d := range done {
		if i == 0 || d-done[i-1] > shortest/2 {
			all = append(all, Wave{AtS: (d - begin).Seconds()})
		} else {
			clients = true
		}
		w := &all[len(all)-1]
		w.Size++
		w.LastS = (d - begin).Seconds()
	}
	if !clients || len(all) > maxWaves {
		return nil
	}
	return all
}
