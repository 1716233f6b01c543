package capacity

import (
	"slices"
	"sort"
	"time"

	"coinbench/history"
)

// LoadResult is what one load of the generator measured. Requests = OK + failures by class.
type LoadResult struct {
	Name        string                  `json:"name"`
	Service     string                  `json:"service,omitempty"`
	Method      string                  `json:"method"`
	URL         string                  `json:"url"`
	Closed      bool                    `json:"closed"` // closed workload: clients; open workload: a schedule
	Clients     int                     `json:"clients,omitempty"`
	Schedule    string                  `json:"schedule,omitempty"`
	Config      Config                  `json:"config"` // in force when it began
	BeginS      float64                 `json:"begin_s"`
	LengthS     float64                 `json:"length_s"` // to the last answer
	Complete    bool                    `json:"complete"` // false: the load was cut off
	Requests    int64                   `json:"requests"`
	OK          int64                   `json:"ok"`
	Failed      int64                   `json:"failed"` // without those that were cancelled when the load was stopped
	Failures    map[history.Class]int64 `json:"failures,omitempty"`
	PerS        float64                 `json:"ok_per_s"`
	Available   Availability            `json:"availability"`
	MaxGapS     float64                 `json:"max_gap_s"`              // the longest time without a success
	Response    *Latency                `json:"response,omitempty"`     // done - due, of OK requests: what a user felt
	ServiceTime *Latency                `json:"service_time,omitempty"` // done - sent: what the server took
	Lag         *Latency                `json:"lag,omitempty"`          // sent - due: the generator's own delay
	MeanTurnS   float64                 `json:"mean_turn_s,omitempty"`  // clients x length / OK: what ab calls "Time per request (mean)"; closed loads only
	Waves       []Wave                  `json:"waves,omitempty"`
	Sorted      []float64               `json:"sorted_s,omitempty"` // response times, ascending, where at most 2,000 requests were made
	Replicas    map[string]int64        `json:"replicas,omitempty"` // answers by replica
	Versions    map[string]int64        `json:"versions,omitempty"`
	CPUS        float64                 `json:"generator_cpu_s,omitempty"`
	Invalid     []string                `json:"invalid,omitempty"` // why the numbers must not be used
	Warnings    []string                `json:"warnings,omitempty"`
}

// Latency is a distribution of times.
type Latency struct {
	Count int64   `json:"count"`
	Exact bool    `json:"exact"` // from every single request; false: from histograms of three digits
	MinS  float64 `json:"min_s"`
	MeanS float64 `json:"mean_s"`
	P50S  float64 `json:"p50_s"`
	P66S  float64 `json:"p66_s"`
	P75S  float64 `json:"p75_s"`
	P80S  float64 `json:"p80_s"`
	P90S  float64 `json:"p90_s"`
	P95S  float64 `json:"p95_s"`
	P98S  float64 `json:"p98_s"`
	P99S  float64 `json:"p99_s"`
	MaxS  float64 `json:"max_s"`
}

// Percentile is ApacheBench's: the value of rank count*p/100 in ascending order, counted from 0, and the largest for 100. No
// value between two measured ones is made up.
func Percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func newLatency(sorted []float64) *Latency {
	if len(sorted) == 0 {
		return nil
	}
	l := &Latency{Count: int64(len(sorted)), Exact: true, MinS: sorted[0], MaxS: sorted[len(sorted)-1]}
	for _, v := range sorted {
		l.MeanS += v
	}
	l.MeanS /= float64(len(sorted))
	l.P50S, l.P66S, l.P75S, l.P80S = Percentile(sorted, 50), Percentile(sorted, 66), Percentile(sorted, 75), Percentile(sorted, 80)
	l.P90S, l.P95S, l.P98S, l.P99S = Percentile(sorted, 90), Percentile(sorted, 95), Percentile(sorted, 98), Percentile(sorted, 99)
	return l
}

// histogram is the part of an HDR histogram that is needed here.
type histogram interface {
	TotalCount() int64
	Min() int64
	Max() int64
	Mean() float64
	ValueAtPercentile(float64) int64
}

func fromHistogram(h histogram) *Latency {
	n := h.TotalCount()
	if n == 0 {
		return nil
	}
	// The value of ab's rank n*p/100, counted from 0, is the one at which rank+1 requests are reached.
	at := func(p int64) float64 {
		rank := min(n*p/100+1, n)
		return float64(h.ValueAtPercentile(100*float64(rank)/float64(n))) / 1e9
	}
	return &Latency{Count: n, MinS: float64(h.Min()) / 1e9, MeanS: h.Mean() / 1e9, MaxS: float64(h.Max()) / 1e9,
		P50S: at(50), P66S: at(66), P75S: at(75), P80S: at(80), P90S: at(90), P95S: at(95), P98S: at(98), P99S: at(99)}
}

func loads(run *history.Run, configs configLog) []LoadResult {
	var all []LoadResult
	for _, l := range run.Loads {
		all = append(all, newLoadResult(l, configs.in(l.Begin)))
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].BeginS < all[j].BeginS })
	return all
}

func newLoadResult(l history.Load, c Config) LoadResult {
	total := l.Total()
	r := LoadResult{
		Name: l.Name, Service: l.Service, Method: l.Method, URL: l.URL, Closed: l.Closed, Clients: l.Clients, Schedule: l.Schedule,
		Config: c, BeginS: l.Begin.Seconds(), Complete: l.Closing != nil,
		Requests: total.Due, OK: total.OK, Failures: total.Failures, MaxGapS: total.MaxGap.Seconds(),
		Replicas: total.Replicas, Versions: total.Versions,
	}
	for class, n := range total.Failures {
		if class != history.Cancelled {
			r.Failed += n
		}
	}
	r.Available = NewAvailability(total.Due-total.Failures[history.Cancelled], r.Failed)
	end := l.Begin
	for _, i := range l.Intervals {
		end = max(end, i.At+i.Length)
	}
	if l.Closing != nil {
		end = l.Closing.End
		r.CPUS, r.Invalid, r.Warnings = l.Closing.CPUSeconds, l.Closing.Invalid, l.Closing.Warnings
	}
	begin := l.Begin
	if kept := int64(len(l.Samples)); kept > 0 && kept == total.Due {
		// The load lasts from its first request to its last answer, as ab counts it.
		var response, service, lag []float64
		begin, end = l.Samples[0].Due, 0
		for _, s := range l.Samples {
			begin, end = min(begin, s.Due), max(end, s.Done)
			if s.Class != history.Dropped {
				lag = append(lag, (s.Sent - s.Due).Seconds())
			}
			if s.Class == history.OK {
				response = append(response, (s.Done - s.Due).Seconds())
				service = append(service, (s.Done - s.Sent).Seconds())
			}
		}
		slices.Sort(response)
		slices.Sort(service)
		slices.Sort(lag)
		r.Response, r.ServiceTime, r.Lag = newLatency(response), newLatency(service), newLatency(lag)
		if len(response) <= 2000 {
			r.Sorted = response
		}
		if l.Closed {
			r.Waves = waves(l.Samples)
		}
	} else {
		r.Response, r.ServiceTime, r.Lag = fromHistogram(total.Response), fromHistogram(total.Service), fromHistogram(total.Lag)
	}
	if r.LengthS = (end - begin).Seconds(); r.LengthS > 0 {
		r.PerS = float64(r.OK) / r.LengthS
	}
	if l.Closed && r.OK > 0 {
		r.MeanTurnS = float64(l.Clients) * r.LengthS / float64(r.OK)
	}
	return r
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

// NewLatency is the distribution of times that are all known. It sorts them.
func NewLatency(times []float64) *Latency {
	slices.Sort(times)
	return newLatency(times)
}
