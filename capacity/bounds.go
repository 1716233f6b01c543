package capacity

import (
	"fmt"
	"math"
	"slices"

	"coinbench/history"
)

// Bounds are the asymptotic bounds of a closed system of N workers, the driver's replicas, that each think, visit the stations and begin
// again (Lazowska et al. 1984, section 5.2, with centres of several slots):
//
//	X(N) <= min( N/D, slots_k/D_k for every service k )     D = Z + the sum of D_k
//	X(N) >= N / (Z + N x the sum of D_k)                    every other worker is always ahead in the queue
//
// Z is what a worker does without a server (think time, client overheads, Redis, the network), D_k the occupied time of service k for each
// hash and what it takes a request in, slots_k those that requests of others than the workers leave. The knee N* is where the two upper
// bounds meet: below it the workers limit, above it a service does.
type Bounds struct {
	Source      string   `json:"source"` // measured or configured
	Driver      string   `json:"driver"` // the service that the workers are replicas of
	Workers     int      `json:"drivers"`
	ThinkS      float64  `json:"think_s"`    // the worker's own work
	OverheadS   float64  `json:"overhead_s"` // client overheads and Redis, for each loop
	Demands     []Demand `json:"demands"`
	LoopS       float64  `json:"loop_s"`       // D: the shortest loop, without any wait
	WorkerPerS  float64  `json:"driver_per_s"` // N/D
	UpperPerS   float64  `json:"upper_per_s"`
	LowerPerS   float64  `json:"lower_per_s"`
	Limit       string   `json:"limit"`                  // the driver or the station whose bound is lowest
	KneeWorkers *float64 `json:"knee_drivers,omitempty"` // N*; absent: no service limits
}

// Demand is what one hash needs of a service.
type Demand struct {
	Service   string   `json:"service"`
	DemandS   float64  `json:"demand_s"`
	Replicas  int      `json:"replicas"`
	Slots     int      `json:"slots"`                  // 0: unlimited
	ForeignS  float64  `json:"foreign_busy,omitempty"` // slots that requests of others than the workers occupy
	IntakeS   float64  `json:"intake_s,omitempty"`     // of a request by a replica, one after the other
	BoundPerS *float64 `json:"bound_per_s,omitempty"`  // min((slots - foreign)/demand, replicas/intake); absent: it does not limit
}

func (d Demand) bound() *float64 {
	bound := math.Inf(1)
	if d.Slots > 0 && d.DemandS > 0 {
		bound = max(0, float64(d.Slots)-d.ForeignS) / d.DemandS
	}
	if d.IntakeS > 0 {
		bound = min(bound, float64(d.Replicas)/d.IntakeS)
	}
	if math.IsInf(bound, 1) {
		return nil
	}
	return ptr(bound)
}

// NewBounds computes the bounds for n replicas of the driver. The limit N/D, the driver's own loop, has the driver's name.
func NewBounds(source, driver string, n int, thinkS, overheadS float64, demands []Demand) Bounds {
	b := Bounds{Source: source, Driver: driver, ThinkS: thinkS, OverheadS: overheadS, Demands: demands, LoopS: thinkS + overheadS}
	for i, d := range demands {
		b.LoopS += d.DemandS + d.IntakeS
		demands[i].BoundPerS = d.bound()
	}
	return b.At(n)
}

// At is the same system with n workers.
func (b Bounds) At(n int) Bounds {
	b.Workers = n
	b.KneeWorkers = nil
	queued := 0.0
	saturation := math.Inf(1)
	service := ""
	for _, d := range b.Demands {
		queued += d.DemandS + d.IntakeS
		if d.BoundPerS != nil && *d.BoundPerS < saturation {
			saturation, service = *d.BoundPerS, d.Service
		}
	}
	if b.LoopS > 0 {
		b.WorkerPerS = float64(n) / b.LoopS
	}
	b.UpperPerS, b.Limit = b.WorkerPerS, b.Driver
	if saturation < b.WorkerPerS {
		b.UpperPerS, b.Limit = saturation, service
	}
	if t := b.LoopS - queued + float64(n)*queued; t > 0 {
		b.LowerPerS = min(float64(n)/t, b.UpperPerS)
	}
	if service != "" {
		b.KneeWorkers = ptr(saturation * b.LoopS)
	}
	return b
}

// Saturation is the lowest bound of a service and its name; 0 and "" when none limits.
func (b Bounds) Saturation() (float64, string) {
	best, service := 0.0, ""
	for _, d := range b.Demands {
		if d.BoundPerS != nil && (service == "" || *d.BoundPerS < best) {
			best, service = *d.BoundPerS, d.Service
		}
	}
	return best, service
}

// With is the same system with another number of replicas of one service.
func (b Bounds) With(service string, replicas int) Bounds {
	demands := append([]Demand(nil), b.Demands...)
	for i, d := range demands {
		if d.Service == service && d.Replicas > 0 && d.Slots > 0 {
			each := max(1, int(math.Round(float64(d.Slots)/float64(d.Replicas))))
			demands[i].Slots = max(1, d.Slots+each*(replicas-d.Replicas))
			demands[i].Replicas = replicas
			demands[i].BoundPerS = demands[i].bound()
		}
	}
	b.Demands = demands
	return b.At(b.Workers)
}

// Bounds are the bounds that the settings alone give.
func (c Config) Bounds() Bounds {
	var demands []Demand
	for _, s := range c.Stations {
		told, n := c.told[s.Service], c.Replicas[s.Service]
		demands = append(demands, Demand{Service: s.Service, DemandS: meanService(told), Replicas: n, Slots: s.Concurrency * n,
			IntakeS: intake(told)})
	}
	return NewBounds("configured", c.roles.Driver.Service, c.Drivers(), c.ThinkS, float64(len(c.Stations))*c.CallOverheadS, demands)
}

func (w *Window) findBounds() {
	n := w.workers()
	roles := w.Config.roles
	if !slices.ContainsFunc(roles.Stations, func(r history.Role) bool { return w.Config.Replicas[r.Service] == 0 }) {
		w.Config.Replicas[roles.Driver.Service] = n
		w.Configured = ptr(w.Config.Bounds())
	}
	if n == 0 || w.Hashes == 0 || w.Loop == nil {
		return
	}
	calls := float64(len(roles.Stations))
	think, overhead := w.Config.ThinkS, calls*w.Config.CallOverheadS
	if len(w.Loop.Stages) > 0 {
		think, overhead = 0, 0
		for _, s := range w.Loop.Stages {
			if _, visit := roles.Station(s.Name); s.Name == stageThink {
				think = s.PerLoopS
			} else if !visit {
				overhead += s.PerLoopS
			}
		}
	}
	var demands []Demand
	for _, u := range w.Services {
		if u.DemandS != nil {
			demands = append(demands, Demand{Service: u.Service, DemandS: *u.DemandS, Replicas: u.Replicas, Slots: u.Slots, ForeignS: u.ForeignBusy,
				IntakeS: intake(w.Config.told[u.Service])})
		}
	}
	overhead += calls * w.decompose().network
	if len(demands) > 0 {
		w.Bounds = ptr(NewBounds("measured", roles.Driver.Service, n, think, overhead, demands))
	}
}

// aboveBound are the windows whose hash rate is above what the settings allow, by more than its error: something is in force that the
// history does not say, or the measurement is wrong.
func aboveBound(windows []Window) []string {
	var all []string
	for i := range windows {
		w := &windows[i]
		if w.HashRate == nil || w.Configured == nil || w.Configured.UpperPerS <= 0 || w.Config.Updating {
			continue
		}
		bound, least := w.Configured.UpperPerS, w.HashRate.Value/1.02
		if w.HashRate.Low != nil {
			least = min(*w.HashRate.Low, w.HashRate.Value/1.005)
		}
		if least > bound {
			all = append(all, fmt.Sprintf("window %s: %s are more than the settings allow, %s: something else is in force than the history says",
				w.Name, perSecond(w.HashRate.Value), perSecond(bound)))
		}
	}
	return all
}
