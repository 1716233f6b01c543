package labs

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"

	"coinbench/capacity"
)

// Drill is a scenario whose cause is to be found.
type Drill struct {
	Cause    capacity.Cause
	Scenario string // YAML
	Part     string // the window or load that is to be explained
}

// DrawDrill draws a cause and a setting in which it limits. Three causes of capacity's are not drawn, for no setting of the app makes them:
// the generator's and the host's processors, and a slow store.
func DrawDrill(seed uint64) Drill {
	chance := rand.New(rand.NewPCG(seed, 0x6d797374657279))
	between := func(low, high int) int { return low + chance.IntN(high-low+1) }
	all := drills(between)
	d := all[chance.IntN(len(all))]
	if d.Part == "" {
		d.Part = "mystery"
	}
	d.Scenario = fmt.Sprintf("name: mystery\nseed: %d\nsteps:\n%s", seed, d.Scenario)
	return d
}

// drills have one setting for each cause.
func drills(between func(low, high int) int) []Drill {
	const measure = "  - measure: {name: mystery, settle: 3s, for: 10s}\n"
	rng, workers := between(1, 2), between(10, 12)
	return []Drill{
		{Cause: "rng", Scenario: fmt.Sprintf("  - deploy: {worker: %d, rng: %d, hasher: 1, webui: 0}\n", 3*rng+between(4, 8), rng) +
			measure},
		{Cause: "hasher", Scenario: fmt.Sprintf("  - deploy: {worker: %d, rng: 6, "+
			"hasher: {replicas: 1, environment: {COIN_CONCURRENCY: %d}}, webui: 0}\n",
			between(12, 16), between(1, 2)) + measure},
		{Cause: "worker", Scenario: fmt.Sprintf("  - deploy: {worker: {replicas: %d, environment: {COIN_THINK: %dms}}, "+
			"rng: %d, hasher: 1, webui: 0}\n",
			between(4, 12), 100*between(1, 3), between(5, 6)) + measure},
		{Cause: capacity.CausePinned, Scenario: fmt.Sprintf("  - deploy: {worker: {replicas: %d, environment: {COIN_KEEP_ALIVE: true}}, "+
			"rng: {replicas: 1, environment: {COIN_ACCEPT: pool, COIN_CONCURRENCY: 1}}, "+
			"hasher: 1, webui: 0}\n  - wait: {for: 2s}\n  - scale: {rng: %d}\n",
			workers, between(3, 5)) + measure},
		{Cause: capacity.CauseBackoff, Scenario: fmt.Sprintf("  - deploy: {worker: {replicas: %d, environment: {COIN_BACKOFF: %ds}}, "+
			"rng: {replicas: %d, balance: round-robin-per-client}, hasher: 1, webui: 0}\n  - wait: {for: 3s}\n"+
			"  - kill: {service: rng, replica: 1, down: 2s, in_rotation: true}\n  - measure: {name: mystery, for: 14s}\n",
			workers, between(8, 11), between(4, 5))},
		{Cause: capacity.CauseBalancing, Scenario: fmt.Sprintf("  - deploy: {worker: %d, rng: {replicas: %d, balance: random}, "+
			"hasher: 1, webui: 0}\n",
			workers, between(4, 5)) + measure},
		{Cause: capacity.CauseQueueLimit, Scenario: fmt.Sprintf("  - deploy: {worker: %d, rng: {replicas: 4, balance: random, "+
			"environment: {COIN_QUEUE_LIMIT: 1}}, hasher: 1, webui: 0}\n  - measure: {name: mystery, settle: 8s, for: 14s}\n", between(18, 22))},
		{Cause: capacity.CauseReplica, Scenario: fmt.Sprintf("  - deploy: {worker: {replicas: %d, environment: {COIN_BACKOFF: 100ms}}, "+
			"rng: 3, hasher: 1, webui: 0}\n  - wait: {for: 2s}\n  - kill: {service: rng, replica: %d, down: 60s}\n", between(14, 16),
			between(1, 3)) + measure},
		{Cause: capacity.CauseNone, Part: "probe-mystery", Scenario: fmt.Sprintf("  - deploy: {worker: 0, rng: %d, hasher: 1, webui: 0}\n"+
			"  - measure: {name: mystery, for: 10s, probe: {service: rng, path: /10, every: %dms}}\n", rng, between(3, 6)*100)},
	}
}

// Clue is a kind of evidence.
type Clue struct {
	Name string
	Doc  string
	says *regexp.Regexp // of explain's sentences, those that are of this kind
}

// Clues are the kinds of evidence from which a learner chooses.
func Clues() []Clue {
	return []Clue{
		{"full", "a service is busy all the time", regexp.MustCompile(`is busy (9[5-9]|100) % of the time`)},
		{"queue", "requests wait in a queue", regexp.MustCompile(`waits .* for it|a queue at one replica|the queue of`)},
		{"uneven", "one replica has more to do than others",
			regexp.MustCompile(`had no request|while \S+ as a whole|at one replica while another`)},
		{"silence", "workers wait after errors", regexp.MustCompile(`silent|tried again|went away`)},
		{"errors", "requests are refused, or not answered", regexp.MustCompile(`errors were|calls failed|turned away|refused`)},
		{"lost", "a replica is away", regexp.MustCompile(`was killed|is away`)},
		{"loop", "each worker's own loop takes its time, and no service is full", regexp.MustCompile(`loops? of .* each make at most`)},
		{"served", "all that was asked for was answered", regexp.MustCompile(`was answered`)},
	}
}

// Supports says whether one of explain's sentences for a part is of that kind.
func (c Clue) Supports(p *capacity.Explained) bool {
	return slices.ContainsFunc(p.Evidence, c.says.MatchString)
}

// Accepted are the causes that explain names: several in a tie.
func Accepted(p *capacity.Explained) []capacity.Cause {
	if len(p.Tied) == 0 {
		return []capacity.Cause{p.Limit}
	}
	var all []capacity.Cause
	for _, cause := range p.Tied {
		all = append(all, capacity.Cause(cause))
	}
	return all
}
