package capacity

import (
	"strings"
	"testing"
)

func TestCrossCheckSaysWhy(t *testing.T) {
	load := func(engine string, response, service, lag float64) LoadResult {
		l := LoadResult{Name: "own", Engine: engine, Schedule: "100/s", Service: "hasher", Method: "GET", Requests: 800,
			ServiceTime: &Latency{P99S: service}}
		if engine == "" {
			l.Response, l.Lag = &Latency{P99S: response}, &Latency{P99S: lag, MaxS: lag}
		}
		return l
	}
	for want, pair := range map[string][2]LoadResult{
		"They agree": {load("", 0.011, 0.01, 0.001), load("vegeta", 0, 0.01, 0)},
		"requests waited for a connection, up to 1.90 s": {load("", 1.95, 0.01, 1.9), load("vegeta", 0, 0.01, 0)},
		"They differ in what the server took":            {load("", 0.5, 0.5, 0.001), load("vegeta", 0, 0.01, 0)},
	} {
		all := pair[:]
		crossCheck(all)
		if len(all[0].Warnings) != 0 || len(all[1].Warnings) != 1 || !strings.Contains(all[1].Warnings[0], want) {
			t.Errorf("%q, want %q", all[1].Warnings, want)
		}
	}
	other := load("vegeta", 0, 0.01, 0)
	other.Schedule = "50/s"
	all := []LoadResult{load("", 1, 1, 0), other}
	if crossCheck(all); len(all[1].Warnings) != 0 {
		t.Error("loads that are not the same were compared")
	}
}
