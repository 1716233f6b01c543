package frame

import (
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// Frame is what a watcher sees of a run at an instant. Units are in the names; times are seconds since the run's start, on the run's clock.
type Frame struct {
	Run      Run                `json:"run"`
	Now      Now                `json:"now"`
	Steps    []capacity.Band    `json:"steps"`    // an end below zero: it has not ended
	Windows  []capacity.Band    `json:"windows"`  // measurements
	Faults   []capacity.Band    `json:"faults"`   // rollouts and faults
	Marks    []capacity.Mark    `json:"events"`   // the newest
	Counts   []capacity.Replica `json:"replicas"` // as asked for, over time
	Services []Service          `json:"services"` // in the order of their names
	Lanes    []Lane             `json:"lanes"`    // the replicas' lives, by service
	Loads    []Load             `json:"loads"`    // in the order in which they began
	Judged   *Judged            `json:"judged"`   // what capacity says of a record up to an instant; nil: nothing yet
	Left     Left               `json:"left_out"`
}

// Run says what is played.
type Run struct {
	Scenario   string    `json:"scenario"`
	Cluster    string    `json:"cluster"`
	Simulated  bool      `json:"simulated"`
	Start      time.Time `json:"start"`
	Steps      int       `json:"steps"`
	Objectives []string  `json:"objectives"`
	Unit       string    `json:"unit"`   // of work, plural
	Driver     string    `json:"driver"` // the service whose loops are units of work
	Stations   []string  `json:"stations"`
}

// Now is the latest of everything.
type Now struct {
	AtS    float64           `json:"at_s"`
	Status history.RunStatus `json:"status,omitempty"` // "": no end is on record
	Step   int               `json:"step"`             // 1-based; 0: none
	Title  string            `json:"title,omitempty"`
	Rate   *float64          `json:"rate,omitempty"`   // units a second over the last three seconds that are known
	Stored *float64          `json:"stored,omitempty"` // what the app's own page shows
	OKPerS *float64          `json:"ok_per_s,omitempty"`
	Failed int64             `json:"failed"` // of the run
	P50S   *float64          `json:"p50_s,omitempty"`
	P99S   *float64          `json:"p99_s,omitempty"`
	LagS   *float64          `json:"lag_s,omitempty"`
	Away   int               `json:"backing_off"` // replicas of the driver that wait after an error
}

// Service is a service's replicas.
type Service struct {
	Name     string         `json:"name"`
	Asked    int            `json:"asked"`
	Serving  int            `json:"serving"`
	Healthy  int            `json:"healthy"`            // alive and healthy, in rotation or not
	Versions map[string]int `json:"versions,omitempty"` // of those that serve
	Busy     *float64       `json:"busy,omitempty"`
	Queue    *float64       `json:"queue,omitempty"`
	Shares   []Share        `json:"shares,omitempty"` // of what its replicas did between the last two readings
}

// Share is a replica's part.
type Share struct {
	Task  string  `json:"task"`
	Share float64 `json:"share"` // 0..1
	Busy  float64 `json:"busy"`  // 0..1
}

// Lane is the life of a replica.
type Lane struct {
	Service string `json:"service"`
	capacity.TaskLife
}

// Load is what became of a load's requests. Due = OK + Failed.
type Load struct {
	Name    string                  `json:"name"`
	Service string                  `json:"service"`
	BeginS  float64                 `json:"begin_s"`
	Ended   bool                    `json:"ended"`
	Due     int64                   `json:"due"`
	OK      int64                   `json:"ok"`
	Failed  int64                   `json:"failed"`
	ByClass map[history.Class]int64 `json:"failures,omitempty"`
	P50S    *float64                `json:"p50_s,omitempty"` // of the response times of the whole load so far
	P99S    *float64                `json:"p99_s,omitempty"`
	LagS    *float64                `json:"lag_s,omitempty"` // 99th percentile
}

// Left counts what a frame has no room for.
type Left struct {
	Marks int `json:"events,omitempty"`
	Lanes int `json:"lanes,omitempty"`
	Loads int `json:"loads,omitempty"`
}

// Judged is what capacity says of a record.
type Judged struct {
	AtS        float64     `json:"at_s"`  // of the record that it was said of
	Final      bool        `json:"final"` // the run has ended: this is its report
	Outcome    string      `json:"outcome"`
	Why        string      `json:"why"`
	Headline   string      `json:"headline,omitempty"`
	Invalid    []string    `json:"invalid,omitempty"`  // why the numbers must not be used
	Doubts     []string    `json:"doubts,omitempty"`   // of a final one: what leaves the verdict open
	Warnings   []string    `json:"warnings,omitempty"` //
	Objectives []Objective `json:"objectives"`
	Windows    []Window    `json:"windows"`
}

// Objective is a judgement.
type Objective struct {
	Text   string `json:"text"`
	Result string `json:"result"`
	Reason string `json:"reason"`
}

// Window is a measurement.
type Window struct {
	Name     string   `json:"name"`
	BeginS   float64  `json:"begin_s"`
	EndS     float64  `json:"end_s"`
	Complete bool     `json:"complete"` // false: it is going on, or was cut off
	PerS     *float64 `json:"per_s,omitempty"`
	Low      *float64 `json:"low,omitempty"` // of the 95 % interval
	High     *float64 `json:"high,omitempty"`
	Bound    *float64 `json:"bound_per_s,omitempty"`
	Limit    string   `json:"limit,omitempty"`
	Evidence string   `json:"evidence,omitempty"`
	Try      string   `json:"try,omitempty"`
}
