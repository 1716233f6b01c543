package dockercoins

// Rate is a hash rate that was published for a configuration.
type Rate struct {
	Drivers int
	First   int // replicas of the first station, rng; of each other station there was one
	ThinkS  float64
	Low     float64 // per second; equal to High where one number was given
	High    float64
	Text    string // as it was stated
	Source  string
	Display bool   // read off the web page, which shows multiples of a worker's flush
	Wrong   string // why the statement cannot be true
}

// Sources of the published numbers.
const (
	sourceWorkshop = "workshop slides, sample app (container.training)"
	sourceScaling  = "workshop slides, scaling (container.training)"
	sourceExercise = "workshop exercises (container.training)"
	sourceRollout  = "workshop slides, rollout (container.training)"
	sourceA0       = "article \"Docker Swarm 4: release and rollback\""
	sourceA1       = "article \"Docker 1.12 Swarm in practice, chapter 3\""
)

// Rates are the hash rates that the workshop and the articles state, steady values only.
func Rates() []Rate {
	return []Rate{
		{1, 1, .1, 3.33, 3.33, "3.33", sourceWorkshop, false, ""},
		{1, 1, .1, 4, 4, "about 4, with dips to zero", sourceWorkshop, true, ""},
		{1, 1, .1, 3, 4, "3 to 4", sourceExercise, true, ""},
		{2, 1, .1, 6.67, 6.67, "twice the rate of 1", sourceScaling, false, ""},
		{3, 1, .1, 10, 10, "goes up again", sourceScaling, false, ""},
		{10, 1, .1, 10, 10, "peaks at 10, never past", sourceScaling, false, ""},
		{10, 5, .1, 30, 30, "about 30", sourceA1, true, ""},
		{10, 5, .1, 40, 40, "40 in theory", sourceA1, true, "10 times the display's 4: no loop of 0.3 s gives more than 33.3"},
		{10, 5, .01, 40, 40, "40, as expected", sourceA0, true, ""},
		{10, 5, 1, 8.2, 8.2, "the graph decreases significantly", sourceRollout, false, ""},
	}
}

// Bench is one of article A1's ApacheBench tables: 5 rng, 1 hasher, no workers, 50 requests.
type Bench struct {
	Program string
	Clients int
	PerS    float64
	Source  string
}

// What the tables have in common: requests of each, and replicas of the first station, rng.
const (
	BenchRequests = 50
	BenchFirst    = 5
)

// Benches are the four tables.
func Benches() []Bench {
	return []Bench{
		{"rng", 1, 9.29, sourceA1},
		{"rng", 50, 44.38, sourceA1},
		{"hasher", 1, 9.45, sourceA1},
		{"hasher", 50, 143.93, sourceA1},
	}
}

// Probe is a latency of rng's "/" under load that was published, in seconds, with the think time ThinkS.
type Probe struct {
	Drivers, First int
	LowS, HighS    float64
	Text, Source   string
}

// Probes are the published latencies.
func Probes() []Probe {
	return []Probe{
		{10, 1, .7, .7, "about 0.7", sourceScaling},
		{10, 1, .74, .79, "0.74 to 0.79", "workshop's Prometheus graph of httplat, 2020-10-29"},
	}
}

// What the published setups had in common: the think time, and of a request for bytes the least and the most that it can have occupied rng.
const (
	ThinkS      = .1
	MinServiceS = .0995
	MaxServiceS = .115
)

// CallOverheadS is what an HTTP call cost the original worker besides the server's time.
const CallOverheadS = .003

// OverheadS is what a request cost the original of a program besides its delay; 0 for one that is not among them.
func OverheadS(program string) float64 {
	return map[string]float64{"rng": .007, "hasher": .005}[program]
}
