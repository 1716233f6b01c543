package capacity

import (
	"slices"
	"time"

	"coinbench/history"
)

// Version is the version of Analysis as JSON. It grows when a field changes its meaning or goes away; new fields do not
// change it.
const Version = 2

// Analysis is all that a report says of a run. As JSON it is result.json: units are in the names (_s seconds, _per_s per
// second, otherwise counts and ratios 0..1), and an absent number is one that could not be measured.
type Analysis struct {
	Version        int            `json:"version"`
	Overall        Overall        `json:"verdict"`
	Objectives     []Verdict      `json:"objectives"`
	Validity       Validity       `json:"validity"`
	Run            RunInfo        `json:"run"`
	Roles          history.Roles  `json:"roles"`
	Windows        []Window       `json:"windows"` // in the order of time
	Sweeps         []Sweep        `json:"sweeps"`  //
	Loads          []LoadResult   `json:"loads"`   // in the order of time
	Searches       []Search       `json:"searches,omitempty"`
	Comparison     []Row          `json:"comparison"`     // measured, published and bound
	Reconciliation Reconciliation `json:"reconciliation"` // hasher's posts against the hashes that were counted
	Timeline       Timeline       `json:"timeline"`
	Rollouts       []Disturbance  `json:"rollouts,omitempty"` // rollouts and faults, in the order of time
	Flows          []Flow         `json:"flows,omitempty"`    // the loads that met them, over time
	Losses         []NodeLoss     `json:"losses,omitempty"`   // nodes that were lost unasked, in the order of time
}

// RunInfo says what ran, where, and how to repeat it.
type RunInfo struct {
	Scenario  string            `json:"scenario"`
	Cluster   string            `json:"cluster"`
	Simulated bool              `json:"simulated"` // true: a prediction, nothing was measured
	Start     time.Time         `json:"start"`
	LengthS   float64           `json:"length_s"`
	Status    history.RunStatus `json:"status"`
	Seed      uint64            `json:"seed"`
	Command   []string          `json:"command"`
	Settings  map[string]string `json:"settings,omitempty"`
	Profile   string            `json:"profile"` // bare, workshop or custom: the overheads that were in force first
	Coinbench string            `json:"coinbench"`
	Host      history.Host      `json:"host"`
}

// Analyse computes everything that can be said of a run. The objectives are those of its scenario; without any, nothing is
// judged but whether the run is whole.
func Analyse(run *history.Run, objectives ...Objective) Analysis {
	return analyse(run, true, objectives)
}

// Measure is Analyse without the changes that are played on the simulator: for a caller that has the numbers in mind, and not the advice.
// What limits a window is then told from the workers' waits alone.
func Measure(run *history.Run, objectives ...Objective) Analysis {
	return analyse(run, false, objectives)
}

func analyse(run *history.Run, play bool, objectives []Objective) Analysis {
	a := Analysis{
		Version: Version,
		Run: RunInfo{
			Scenario: run.Manifest.Scenario, Cluster: run.Manifest.Cluster, Simulated: run.Manifest.Simulated,
			Start: run.Manifest.Start, LengthS: run.End.Seconds(), Status: run.Status, Seed: run.Manifest.Seed,
			Command: run.Manifest.Command, Settings: run.Manifest.Settings, Coinbench: run.Manifest.Coinbench, Host: run.Manifest.Host,
		},
	}
	s := newSeries(run)
	a.Roles = s.roles
	settings := configurations(run)
	a.Run.Profile = settings.first().Profile
	a.Windows = windows(run, s, settings)
	a.Sweeps = sweeps(a.Windows)
	a.Loads = loads(run, settings)
	attribute(run, s, &a, play)
	a.Searches = searches(run)
	a.Comparison = compareWithPublished(a.Windows, slices.DeleteFunc(slices.Clone(a.Loads),
		func(l LoadResult) bool { return a.OfSearch(l.Name) }))
	a.Reconciliation = reconcile(run, s, a.Windows)
	a.Timeline = timeline(run, s)
	a.Rollouts = rollouts(run, a.Timeline)
	a.Flows = flows(run, a.Rollouts)
	a.Losses = losses(run, s, a.Timeline)
	a.Validity = validity(run, s, &a)
	a.Validity.Warnings = append(a.Validity.Warnings, aboveBound(a.Windows)...)
	for _, o := range objectives {
		a.Objectives = append(a.Objectives, o.Judge(&a))
	}
	a.Objectives = append(a.Objectives, expected(&a, objectives)...)
	a.Overall = overall(&a)
	a.Overall.Unmet = run.Begin().Unmet
	return a
}

// Window returns the named window, or nil. When the name was used twice it is the last one.
func (a *Analysis) Window(name string) *Window {
	for i := len(a.Windows) - 1; i >= 0; i-- {
		if a.Windows[i].Name == name {
			return &a.Windows[i]
		}
	}
	return nil
}

// Load returns the named load, or nil. When the name was used twice it is the last one.
func (a *Analysis) Load(name string) *LoadResult {
	for i := len(a.Loads) - 1; i >= 0; i-- {
		if a.Loads[i].Name == name {
			return &a.Loads[i]
		}
	}
	return nil
}

func ptr[T any](v T) *T { return &v }
