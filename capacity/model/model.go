package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/history"
	"coinbench/services/settings"
)

// Version of a Model as JSON.
const Version = 1

// Model is what one measured run says about the app on its machine.
type Model struct {
	Version  int          `json:"version"`
	Scenario string       `json:"scenario"`
	Cluster  string       `json:"cluster"`
	Start    time.Time    `json:"start"`
	Host     history.Host `json:"host"`

	// Environment holds the settings of rng, hasher and worker that the run began with; Base is the app as it was then.
	Environment map[string]map[string]string `json:"environment"`
	Base        Setting                      `json:"base"`

	RNG    Cost `json:"rng"`    // occupancy of rng by each request, beside its delay
	Hasher Cost `json:"hasher"` // the same of hasher
	// of a worker in each loop, beside think time, queues and services: connections, transfers, late sleeps
	Client    Cost       `json:"client"`
	VisitS    float64    `json:"visit_s"`     // of a request of the load generator, beside queue and service
	RedisS    float64    `json:"redis_s"`     // of a command
	JitterS   float64    `json:"jitter_s"`    // standard deviation of a service time
	StartS    float64    `json:"start_s"`     // how much later each further worker begins: those that begin together stay together for long
	Found     []Found    `json:"concurrency"` // requests that a replica serves at once
	Residuals []Residual `json:"residuals"`   // of the run's own windows
	Range     Range      `json:"range"`       // that was measured; beyond it predictions are extrapolations
	Notes     []string   `json:"notes,omitempty"`
}

// Cost is a time that grows with the hash rate, for a busier machine is later: BaseS + PerRateS x hashes/s. PerRateS is never negative.
type Cost struct {
	BaseS    float64 `json:"base_s"`
	PerRateS float64 `json:"per_hash_per_s_s"`
	StdErrS  float64 `json:"residual_s"` // standard deviation of the windows around it
	Points   int     `json:"points"`
}

// At is the cost at a hash rate.
func (c Cost) At(rate float64) float64 { return max(0, c.BaseS+c.PerRateS*rate) }

// Found is a service's concurrency and how it was found.
type Found struct {
	Service     string `json:"service"`
	Concurrency int    `json:"concurrency"` // of a replica
	How         string `json:"how"`
}

// Residual is one window of the calibration, measured and predicted.
type Residual struct {
	Window    string  `json:"window"`
	Setting   Setting `json:"setting"`
	Measured  float64 `json:"measured_per_s"`
	Predicted float64 `json:"predicted_per_s"`
	Error     float64 `json:"error"` // predicted/measured - 1
}

// Range is where the costs were measured.
type Range struct {
	MinWorkers int     `json:"min_workers"`
	MaxWorkers int     `json:"max_workers"`
	MaxRNG     int     `json:"max_rng"`
	MaxPerS    float64 `json:"max_hash_rate_per_s"`
}

// Setting is a state of the app that a prediction is asked for.
type Setting struct {
	Workers int           `json:"workers"`
	RNG     int           `json:"rng"`
	Hasher  int           `json:"hasher"`
	Think   time.Duration `json:"think"`
	Balance string        `json:"balance"` // of rng: one of the simulator's
	// Environment changes settings of a service: SERVICE, VARIABLE.
	Environment map[string]map[string]string `json:"environment,omitempty"`
}

// String is "12 workers, 4 rng, 1 hasher, think 100ms, round-robin".
func (s Setting) String() string {
	return fmt.Sprintf("%s, %d rng, %s, think %s, %s", plural(s.Workers, "worker"), s.RNG, plural(s.Hasher, "hasher"), s.Think, s.Balance)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// Keys are what With accepts, beside SERVICE.COIN_NAME.
func Keys() []string { return []string{"worker", "rng", "hasher", "think", "balance"} }

// With returns the setting with one key changed, or what is wrong with it.
func (s Setting) With(key, value string) (Setting, error) {
	number := func() (int, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 20000 {
			return 0, fmt.Errorf("%s=%s: accepted: a whole number from 0 to 20000", key, value)
		}
		return n, nil
	}
	var err error
	switch key {
	case "worker", "workers":
		s.Workers, err = number()
	case "rng":
		s.RNG, err = number()
	case "hasher":
		s.Hasher, err = number()
	case "think":
		if s.Think, err = time.ParseDuration(value); err != nil || s.Think < 0 {
			err = fmt.Errorf("think=%s: accepted: a duration such as 100ms", value)
		}
	case "balance":
		if !slices.Contains(balances(), value) {
			err = fmt.Errorf("balance=%s: accepted: %s", value, strings.Join(balances(), ", "))
		}
		s.Balance = value
	default:
		service, name, ok := strings.Cut(key, ".")
		if !ok || !slices.Contains([]string{settings.RNG, settings.Hasher, settings.Worker}, service) {
			return s, fmt.Errorf("%s=%s: unknown; accepted: %s, and SERVICE.COIN_NAME such as rng.COIN_DELAY", key, value,
				strings.Join(Keys(), ", "))
		}
		if err := settings.Check(service, map[string]string{name: value}); err != nil {
			return s, err
		}
		changed := map[string]map[string]string{}
		for k, v := range s.Environment {
			changed[k] = maps.Clone(v)
		}
		if changed[service] == nil {
			changed[service] = map[string]string{}
		}
		changed[service][name] = value
		s.Environment = changed
	}
	return s, err
}

func balances() []string {
	return []string{string(des.RoundRobin), string(des.RoundRobinPerClient), string(des.Random), string(des.LeastConnections)}
}

// Read reads a model.
func Read(r io.Reader) (Model, error) {
	var m Model
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return m, fmt.Errorf("read model: %w", err)
	}
	if m.Version != Version {
		return m, fmt.Errorf("read model: version %d; this program reads version %d: calibrate anew", m.Version, Version)
	}
	if m.Environment == nil {
		return m, errors.New("read model: it has no environment; accepted: what coinbench calibrate writes")
	}
	return m, nil
}

// parsed are a service's settings in a setting, without the machine's costs.
func (m Model) parsed(service string, s Setting) (settings.Settings, error) {
	env := maps.Clone(m.Environment[service])
	if env == nil {
		env = map[string]string{}
	}
	if service == settings.Worker {
		env["COIN_THINK"] = s.Think.String()
	}
	maps.Copy(env, s.Environment[service])
	c, err := settings.Parse(service, env)
	if err != nil {
		return c, fmt.Errorf("%s: %w", service, err)
	}
	return c, nil
}

// Bounds are the asymptotic bounds of a setting with the machine's costs at a hash rate.
func (m Model) Bounds(s Setting, rate float64) (capacity.Bounds, error) {
	rng, err := m.parsed(settings.RNG, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	hasher, err := m.parsed(settings.Hasher, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	worker, err := m.parsed(settings.Worker, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	demand := func(c settings.Settings, cost Cost) float64 {
		return c.Delay.Seconds()*(1-c.ErrorRate) + c.Occupancy.Seconds() + cost.At(rate)
	}
	overhead := 2*worker.CallOverhead.Seconds() + m.Client.At(rate)
	demands := []capacity.Demand{
		{Service: settings.RNG, DemandS: demand(rng, m.RNG), Replicas: s.RNG, Slots: rng.Concurrency * s.RNG, IntakeS: rng.Intake.Seconds()},
		{Service: settings.Hasher, DemandS: demand(hasher, m.Hasher), Replicas: s.Hasher, Slots: hasher.Concurrency * s.Hasher,
			IntakeS: hasher.Intake.Seconds()},
	}
	loop := worker.Think.Seconds() + overhead
	for _, d := range demands {
		loop += d.DemandS + d.IntakeS
	}
	overhead += m.RedisS * commands(loop)
	return capacity.NewBounds("model", s.Workers, worker.Think.Seconds(), overhead, demands), nil
}

// commands is how often a loop turns to Redis: a coin in sixteen hashes, and a flush when a second has passed.
func commands(loopS float64) float64 {
	return 1./16 + 1/math.Max(1, math.Ceil(1/loopS))
}
