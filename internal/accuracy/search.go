package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"coinbench/history"
	"coinbench/loadgen"
)

// station is a service of one replica in virtual time, where requests wait for each other.
type station struct {
	service     float64 // seconds, the mean
	exponential bool    // service times, and times between arrivals
	errors      float64 // share that fails at once
	shed        int     // requests of each second beyond which all fail at once; 0: none do
}

// play sends requests at a rate for a time.
func (s station) play(random *rand.Rand, rate float64, length time.Duration) loadgen.Block {
	b := loadgen.Block{Level: rate, Elapsed: length, Intervals: make([]history.Interval, int(math.Ceil(length.Seconds())))}
	for i := range b.Intervals {
		b.Intervals[i] = history.Interval{At: time.Duration(i) * time.Second, Length: time.Second, Response: history.NewHistogram()}
	}
	arrivals := make([]int, len(b.Intervals))
	at, free := 0.0, 0.0
	for at < length.Seconds() {
		second := int(at)
		arrivals[second]++
		took, done := s.service, at
		if s.exponential {
			took *= random.ExpFloat64()
		}
		good := random.Float64() >= s.errors && (s.shed == 0 || arrivals[second] <= s.shed)
		if good {
			free = max(free, at) + took
			done = free
		}
		i := &b.Intervals[min(int(done), len(b.Intervals)-1)]
		i.Due++
		if good {
			i.OK++
			history.Observe(&i.Response, time.Duration((done-at)*1e9))
		}
		if s.exponential {
			at += random.ExpFloat64() / rate
		} else {
			at += 1 / rate
		}
	}
	for _, i := range b.Intervals {
		b.Total.Merge(i)
	}
	return b
}

// searchTrial is a search whose answer is known.
type searchTrial struct {
	name     string
	s        station
	slo      string
	edge     float64 // the greatest rate that meets the objective; 0: none does
	violates float64 // the least that violates it by a tenth
}

func searchTrials() []searchTrial {
	return []searchTrial{
		{"M/M/1 of 10 ms", station{service: .01, exponential: true}, "p99<100ms", 53.95, 58.14}, // exponential with the rate mu - lambda
		{"M/M/1 of 10 ms", station{service: .01, exponential: true}, "p95<100ms", 70.04, 72.77},
		{"M/M/1 of 10 ms", station{service: .01, exponential: true}, "mean<40ms", 75, 77.27},
		{"M/M/1 of 100 ms", station{service: .1, exponential: true}, "p99<400ms", 0, 1e-9},
		{"D/D/1 of 10 ms", station{service: .01}, "p99<200ms", 100, 100.001},
		{"M/M/1 of 10 ms", station{service: .01, exponential: true}, "errors<1%", 100, 110},
		{"0.3 % fail", station{service: .001, errors: .003}, "errors<0.1%", 0, 1e-9},
		{"0.11 % fail", station{service: .001, errors: .0011}, "errors<0.1%", 0, 1e-9},
		{"more than 20 a second fail at once", station{service: .001, shed: 20}, "p99<200ms", 20.2, 20.21},
		{"more than 20 a second fail at once", station{service: .001, shed: 20}, "p99<200ms,errors<50%", 40, 44.4},
	}
}

// searches holds how often a search's answer is right.
func searches() table {
	return table{name: "search", title: "Searches", text: `
200 searches each, from 1/s to 300/s with a precision of 5 % and a confidence of 0.9, of a service whose greatest rate that meets the objective is known. Wrong: the level that is
said to meet it does not, or the one that is said to miss it meets it; at most 10 % are asked for. Violated: the level that is answered
violates the objective by a tenth or more. None: no level was answered. Answer and tested are means.`, rows: func() ([][]string, error) {
		rows := [][]string{{"service", "objective", "true", "answer", "wrong", "violated", "none", "levels tested", "requests"}}
		for _, c := range searchTrials() {
			row, err := c.row(200)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		return rows, nil
	}}
}

func (c searchTrial) row(n int) ([]string, error) {
	slo, err := loadgen.ParseSLO(c.slo)
	if err != nil {
		return nil, err
	}
	wrong, violated, none, tested, answer, requests := 0, 0, 0, 0, 0.0, int64(0)
	for seed := range uint64(n) {
		random := rand.New(rand.NewPCG(seed, 2026))
		r, err := loadgen.Search(context.Background(), loadgen.SearchConfig{SLO: slo, Most: 300, Precision: .05},
			func(_ context.Context, rate float64, length time.Duration) (loadgen.Block, error) {
				b := c.s.play(random, rate, length)
				b.Met, b.Why = slo.Judge(b.Total)
				requests += b.Total.Due
				return b, nil
			})
		if err != nil {
			return nil, err
		}
		if r.Level > c.edge || r.Above > 0 && r.Above <= c.edge {
			wrong++
		}
		if r.Level >= c.violates {
			violated++
		}
		if r.Level == 0 {
			none++
		}
		tested += r.Tested
		answer += r.Level / float64(n)
	}
	truth := "no rate"
	if c.edge > 0 {
		truth = fmt.Sprintf("%.4g/s", c.edge)
	}
	return []string{c.name, c.slo, truth, fmt.Sprintf("%.3g/s", answer), fmt.Sprint(wrong), fmt.Sprint(violated), fmt.Sprint(none),
		fmt.Sprintf("%.1f", float64(tested)/float64(n)), fmt.Sprint(requests / int64(n))}, nil
}
