package main

import (
	"fmt"

	"coinbench/history/event"
)

// canaryScenario releases one replica of rng under a load, and judges it by the watch.
const canaryScenario = `
name: canary
parameters:
  replicas: {default: 4, doc: Of rng.}
  delay: {default: 100ms, doc: Of a request.}
  distribution: {default: exponential, doc: Of the delay.}
  balance: {default: round-robin, doc: Of connections.}
  rate: {default: 'poisson(28/s)', doc: Load of rng.}
  watch: {default: 60s, doc: Of the canary.}
  changed: {default: COIN_DELAY, doc: What the canary changes.}
  to: {default: 100ms, doc: And what it is then.}
steps:
  - deploy:
      worker: 0
      webui: 0
      hasher: 0
      rng: {replicas: "${replicas}", balance: "${balance}", environment: {COIN_DELAY: "${delay}", COIN_DELAY_DISTRIBUTION: "${distribution}"}}
  - attack: {name: users, service: rng, path: /10, rate: "${rate}", timeout: 10s, background: true}
  - wait: 20s
  - update: {name: release, service: rng, image: "coinbench/rng:v0.2", environment: {"${changed}": "${to}"}, strategy: canary, watch: "${watch}", confidence: 0.99}
  - wait: 1s
`

// canaryTrial is a setting of canaryScenario.
type canaryTrial struct {
	name string
	set  map[string]string
}

// taken is how many of n canaries were taken back as worse, and how many because the watch said too little.
func (c canaryTrial) taken(n int) (worse, inconclusive int, err error) {
	for seed := range n {
		judged, err := played[event.RolloutJudged](canaryScenario, uint64(1000+seed), c.set)
		if err != nil {
			return 0, 0, err
		}
		switch judged.Verdict {
		case event.CanaryBack:
			worse++
		case event.CanaryUnknown:
			inconclusive++
		}
	}
	return worse, inconclusive, nil
}

// sameVersion are canaries that are like the other replicas.
func sameVersion() []canaryTrial {
	var trials []canaryTrial
	for _, distribution := range []string{"constant", "exponential"} {
		for _, busy := range []int{30, 50, 70, 85} {
			trials = append(trials, canaryTrial{name: fmt.Sprintf("%s delays, %d %% busy", distribution, busy),
				set: map[string]string{"distribution": distribution, "rate": fmt.Sprintf("poisson(%g/s)", .4*float64(busy))}})
		}
	}
	return trials
}

// worseVersion are canaries that fail more or are slower, at 50 requests a second and with the watch that is the default.
func worseVersion() []canaryTrial {
	var trials []canaryTrial
	for _, c := range []struct{ replicas, busy int }{{2, 30}, {4, 5}, {4, 30}, {4, 85}, {10, 30}} {
		ms := float64(c.busy) * float64(c.replicas) / 5 // 1000 ms x busy/100 x replicas/50
		for _, worse := range []struct{ name, changed, to string }{
			{"fails 5 % more", "COIN_ERROR_RATE", "0.05"},
			{"is twice as slow", "COIN_DELAY", fmt.Sprintf("%gms", 2*ms)},
		} {
			trials = append(trials, canaryTrial{name: fmt.Sprintf("%d replicas, %d %% busy, %s", c.replicas, c.busy, worse.name),
				set: map[string]string{"replicas": fmt.Sprint(c.replicas), "rate": "50/s", "watch": "30s", "delay": fmt.Sprintf("%gms", ms),
					"changed": worse.changed, "to": worse.to}})
		}
	}
	return trials
}

// falseAlarms holds how often a canary that is like the others is taken back.
func falseAlarms() table {
	return canaryTable("canary-alike", "Canaries that are like the others", `
How many of 1,000 canaries of the same version were taken back, of four rng of 100 ms under random arrivals, by a watch of 60 s with a
confidence of 0.99, which asks for at most 1 %. Busy is the share of a replica's time that the load takes. The scenario is played by the runner on
the simulated cluster.`, sameVersion(), 125)
}

// detection holds how often one that is worse is.
func detection() table {
	return canaryTable("canary-worse", "Canaries that are worse", `
How many of 100 canaries were taken back that fail 5 % more or take twice as long, under 50 requests a second at a constant rate, by a watch of 30 s, the default,
with a confidence of 0.99. Delays are exponential. Played as above.`, worseVersion(), 100)
}

func canaryTable(name, title, text string, trials []canaryTrial, n int) table {
	return table{name: name, title: title, text: text, rows: func() ([][]string, error) {
		rows := [][]string{{"canaries", "shown to be worse", "inconclusive", "of"}}
		all := [3]int{}
		for _, c := range trials {
			worse, inconclusive, err := c.taken(n)
			if err != nil {
				return nil, err
			}
			rows = append(rows, []string{c.name, fmt.Sprint(worse), fmt.Sprint(inconclusive), fmt.Sprint(n)})
			all = [3]int{all[0] + worse, all[1] + inconclusive, all[2] + n}
		}
		return append(rows, []string{"all", fmt.Sprint(all[0]), fmt.Sprint(all[1]), fmt.Sprint(all[2])}), nil
	}}
}
