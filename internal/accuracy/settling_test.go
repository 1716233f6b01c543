package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"coinbench/capacity"
	"coinbench/history"
)

// A window that begins while new workers are at their first loops shows no hash that was not made: what rng allows is never exceeded by
// more than the window's error, however many workers begin at once and however short it is.
func TestNoRateAboveItsBoundWhileWorkersBegin(t *testing.T) {
	const source = `
name: settling
parameters:
  from: {default: 1, doc: workers before}
  workers: {default: 1, doc: workers after}
  rng: {default: 1, doc: rng}
  balance: {default: round-robin, doc: balancing}
  think: {default: 100ms, doc: think time}
  settle: {default: 0s, doc: time between the change and the window}
  length: {default: 1s, doc: length of the window}
steps:
  - deploy: {worker: {replicas: "${from}", environment: {COIN_THINK: "${think}"}}, rng: {replicas: "${rng}", balance: "${balance}"}, hasher: 1, webui: 0}
  - wait: 4s
  - scale: {worker: "${workers}"}
  - measure: {name: w, settle: "${settle}", for: "${length}"}
`
	r := rand.New(rand.NewPCG(1, 4))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for n := range 40 {
		set := map[string]string{"from": pick("1", "4", "21", "100"), "workers": pick("2", "8", "20", "40", "100"),
			"rng":     pick("1", "1", "2", "5"),
			"balance": pick("round-robin", "random", "least-connections"), "think": pick("10ms", "37ms", "100ms", "300ms"),
			"settle": pick("0s", "200ms", "500ms", "1s", "2s"), "length": pick("500ms", "1s", "2s", "5s")}
		err := recorded(source, uint64(n), set, func(dir string) error {
			run, err := history.Open(dir)
			if err != nil {
				return err
			}
			a := capacity.Analyse(run)
			w := a.Window("w")
			if w == nil || w.HashRate == nil || w.Configured == nil {
				return fmt.Errorf("no rate or no bound")
			}
			allowed := 1.005 * w.Configured.UpperPerS
			if m := w.HashRate.Margin(); m != nil {
				allowed = max(allowed, w.Configured.UpperPerS+*m)
			}
			if w.HashRate.Value > allowed {
				t.Errorf("%v: %.3f hashes/s, the bound is %.3f", set, w.HashRate.Value, w.Configured.UpperPerS)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%v: %v", set, err)
		}
	}
}
