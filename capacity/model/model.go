package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/capacity/dockercoins"
	"coinbench/history"
	"coinbench/services/settings"
)

// Version of a Model as JSON.
const Version = 2

// Model is what one measured run says about the app on its machine.
type Model struct {
	Version  int          `json:"version"`
	Scenario string       `json:"scenario"`
	Cluster  string       `json:"cluster"`
	Start    time.Time    `json:"start"`
	Host     history.Host `json:"host"`

	Roles history.Roles `json:"roles"` // of the app's services: a driver and two stations

	// Environment holds the settings of driver and stations that the run began with, by service; Base is the app as it was then.
	Environment map[string]map[string]string `json:"environment"`
	Base        Setting                      `json:"base"`

	First Cost `json:"first"` // occupancy of the first station by each request, besides its delay
	Last  Cost `json:"last"`  // the same of the last
	// of the driver in each loop, besides think time, queues and services: connections, transfers, late sleeps
	Client  Cost    `json:"client"`
	VisitS  float64 `json:"visit_s"`  // of a request of the load generator, besides queue and service
	StoreS  float64 `json:"store_s"`  // of a command
	JitterS float64 `json:"jitter_s"` // standard deviation of a service time
	// how much later each further replica of the driver begins: those that begin together stay together for long
	StartS    float64    `json:"start_s"`
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
	MinDrivers int     `json:"min_drivers"`
	MaxDrivers int     `json:"max_drivers"`
	MaxFirst   int     `json:"max_first"` // replicas of the first station
	MaxPerS    float64 `json:"max_hash_rate_per_s"`
}

// Setting is a state of the app that a prediction is asked for.
type Setting struct {
	Drivers int           `json:"drivers"` // replicas
	First   int           `json:"first"`   // of the first station
	Last    int           `json:"last"`    // of the last
	Think   time.Duration `json:"think"`
	Balance string        `json:"balance"` // of the first station: one of the simulator's
	// Environment changes settings of a service: SERVICE, VARIABLE.
	Environment map[string]map[string]string `json:"environment,omitempty"`

	Roles history.Roles `json:"-"` // of the services, by which it says what it is; without any they are called as in DockerCoins
}

// Parts are the driver, the first station and the last.
func (s Setting) Parts() (driver, first, last history.Role) { return parts(s.Roles) }

func parts(r history.Roles) (driver, first, last history.Role) {
	r = dockercoins.Default(r)
	return r.Driver, r.Stations[0], r.Last()
}

// String is "12 workers, 4 rng, 1 hasher, think 100ms, round-robin".
func (s Setting) String() string {
	driver, first, last := s.Parts()
	return fmt.Sprintf("%s, %s, %s, think %s, %s", driver.Count(s.Drivers), first.Count(s.First), last.Count(s.Last), s.Think, s.Balance)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// Keys are what With accepts, besides SERVICE.COIN_NAME.
func Keys(roles history.Roles) []string {
	driver, first, last := parts(roles)
	return []string{driver.Service, first.Service, last.Service, "think", "balance"}
}

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
	driver, first, last := s.Parts()
	switch key {
	case driver.Service, driver.Plural:
		s.Drivers, err = number()
	case first.Service:
		s.First, err = number()
	case last.Service:
		s.Last, err = number()
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
		role, known := dockercoins.Default(s.Roles).Of(service)
		if !ok || !known {
			return s, fmt.Errorf("%s=%s: unknown; accepted: %s, and SERVICE.COIN_NAME such as %s.COIN_DELAY", key, value,
				strings.Join(Keys(s.Roles), ", "), first.Service)
		}
		if err := settings.Check(role.Program, map[string]string{name: value}); err != nil {
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
		return m, fmt.Errorf("read model: version %d; this program reads version %d: calibrate again", m.Version, Version)
	}
	if m.Environment == nil || len(m.Roles.Stations) != stations {
		return m, errors.New("read model: it has no environment or no roles; accepted: what coinbench calibrate writes")
	}
	m.Base.Roles = m.Roles
	for i := range m.Residuals {
		m.Residuals[i].Setting.Roles = m.Roles
	}
	return m, nil
}

// stations is how many the driver of a model visits.
const stations = 2

// parsed are a service's settings in a setting, without the machine's costs.
func (m Model) parsed(r history.Role, s Setting) (settings.Settings, error) {
	service := r.Service
	env := maps.Clone(m.Environment[service])
	if env == nil {
		env = map[string]string{}
	}
	if service == m.Roles.Driver.Service {
		env["COIN_THINK"] = s.Think.String()
	}
	maps.Copy(env, s.Environment[service])
	c, err := settings.Parse(r.Program, env)
	if err != nil {
		return c, fmt.Errorf("%s: %w", service, err)
	}
	return c, nil
}

// Bounds are the asymptotic bounds of a setting with the machine's costs at a hash rate.
func (m Model) Bounds(s Setting, rate float64) (capacity.Bounds, error) {
	driver, first, last := parts(m.Roles)
	one, err := m.parsed(first, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	other, err := m.parsed(last, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	loops, err := m.parsed(driver, s)
	if err != nil {
		return capacity.Bounds{}, err
	}
	demand := func(c settings.Settings, cost Cost) float64 {
		return c.Delay.Seconds()*(1-c.ErrorRate) + c.Occupancy.Seconds() + cost.At(rate)
	}
	overhead := stations*loops.CallOverhead.Seconds() + m.Client.At(rate)
	demands := []capacity.Demand{
		{Service: first.Service, DemandS: demand(one, m.First), Replicas: s.First, Slots: one.Concurrency * s.First,
			IntakeS: one.Intake.Seconds()},
		{Service: last.Service, DemandS: demand(other, m.Last), Replicas: s.Last, Slots: other.Concurrency * s.Last,
			IntakeS: other.Intake.Seconds()},
	}
	loop := loops.Think.Seconds() + overhead
	for _, d := range demands {
		loop += d.DemandS + d.IntakeS
	}
	overhead += m.StoreS * capacity.Commands(m.Roles, loop)
	return capacity.NewBounds("model", driver.Service, s.Drivers, loops.Think.Seconds(), overhead, demands), nil
}
