package capacity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/services/settings"
)

// Config is what was in force at an instant, as far as the hash rate depends on it.
type Config struct {
	Replicas          map[string]int `json:"replicas"`
	ThinkS            float64        `json:"think_s"`            // the worker's own work in each loop
	CallOverheadS     float64        `json:"call_overhead_s"`    // the worker's, for each of its two calls
	RNGServiceS       float64        `json:"rng_service_s"`      // delay and occupancy of a request for bytes
	HasherServiceS    float64        `json:"hasher_service_s"`   // delay and occupancy of a request for a hash
	RNGConcurrency    int            `json:"rng_concurrency"`    // 0: unlimited
	HasherConcurrency int            `json:"hasher_concurrency"` // 0: unlimited
	BackoffS          float64        `json:"backoff_s"`          // the worker's silence after an exception
	KeepAlive         bool           `json:"keep_alive"`         // the worker keeps its connections
	Balance           string         `json:"balance"`            // of rng, one of the cluster's policies
	Profile           string         `json:"profile"`            // bare: no overheads; workshop: those of the originals; custom
	RNGErrorRate      float64        `json:"rng_error_rate"`     //
	ConstantDelays    bool           `json:"constant_delays"`    // rng's and hasher's delays do not vary
	Updating          bool           `json:"updating"`           // an update was under way
}

// String is the configuration in one line: "10 workers, 1 rng, think 100 ms".
func (c Config) String() string {
	s := fmt.Sprintf("%s, %d rng", count(c.Replicas[settings.Worker], "worker"), c.Replicas[settings.RNG])
	if h := c.Replicas[settings.Hasher]; h > 1 {
		s += fmt.Sprintf(", %d hashers", h)
	}
	s += ", think " + milliseconds(c.ThinkS)
	if c.Balance != "" && c.Balance != "round-robin" {
		s += ", " + c.Balance
	}
	if c.KeepAlive {
		s += ", keep-alive"
	}
	if c.RNGErrorRate > 0 {
		s += fmt.Sprintf(", rng errors %.3g %%", 100*c.RNGErrorRate)
	}
	return s
}

// inTurn says whether each replica of rng gets a connection in turn.
func (c Config) inTurn() bool { return strings.HasPrefix(c.Balance, "round-robin") }

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func milliseconds(s float64) string {
	return strconv.FormatFloat(math.Round(s*1e4)/10, 'f', -1, 64) + " ms"
}

// configLog holds what was in force from each instant on.
type configLog struct {
	at      []time.Duration
	configs []Config
	profile string

	defaults map[string]map[string]string // by service and variable
}

// configurations follows the events that deploy, scale, update and remove services. The history carries whole environments
// where a service is deployed, and changes where it is updated; names it does not carry have the service's defaults.
func configurations(run *history.Run) configLog {
	l := configLog{profile: run.Manifest.Settings["profile"], defaults: map[string]map[string]string{}}
	for _, service := range settings.Services() {
		l.defaults[service] = map[string]string{}
		for _, v := range settings.Variables(service) {
			l.defaults[service][v.Name] = v.DefaultFor(service)
		}
	}
	env := map[string]map[string]string{}
	balance := map[string]string{}
	replicas := map[string]int{}
	updating := map[string]bool{}
	l.add(-1, env, balance, replicas, false)
	for _, e := range run.Events {
		switch e.Kind {
		case history.ServiceDeployed:
			env[e.Service] = map[string]string{}
			fallthrough
		case history.ServiceUpdated:
			if env[e.Service] == nil {
				env[e.Service] = map[string]string{}
			}
			for k, v := range e.Detail {
				if name, ok := strings.CutPrefix(k, "env."); ok {
					if v == "" {
						delete(env[e.Service], name)
					} else {
						env[e.Service][name] = v
					}
				}
			}
			if b := e.Detail["balance"]; b != "" {
				balance[e.Service] = b
			}
			if n, err := strconv.Atoi(e.Detail["replicas"]); err == nil {
				replicas[e.Service] = n
			}
		case history.ServiceScaled:
			if n, err := strconv.Atoi(e.Detail["to"]); err == nil {
				replicas[e.Service] = n
			}
		case history.ServiceRemoved:
			delete(env, e.Service)
			delete(replicas, e.Service)
		case history.RolloutBegin:
			updating[e.Service] = true
		case history.RolloutEnd:
			delete(updating, e.Service)
		default:
			continue
		}
		l.add(e.At, env, balance, replicas, len(updating) > 0)
	}
	return l
}

func (l *configLog) add(at time.Duration, env map[string]map[string]string, balance map[string]string, replicas map[string]int, updating bool) {
	c := Config{Replicas: map[string]int{}, Balance: balance[settings.RNG], Updating: updating}
	if c.Balance == "" {
		c.Balance = "round-robin"
	}
	for k, v := range replicas {
		c.Replicas[k] = v
	}
	value := func(service, name string) string {
		if v, ok := env[service][name]; ok {
			return v
		}
		return l.defaults[service][name]
	}
	seconds := func(service, name string) float64 {
		d, err := time.ParseDuration(value(service, name))
		if err != nil {
			return 0
		}
		return d.Seconds()
	}
	number := func(service, name string) float64 {
		f, err := strconv.ParseFloat(value(service, name), 64)
		if err != nil {
			return 0
		}
		return f
	}
	c.ThinkS = seconds(settings.Worker, "COIN_THINK")
	c.CallOverheadS = seconds(settings.Worker, "COIN_CALL_OVERHEAD")
	c.BackoffS = seconds(settings.Worker, "COIN_BACKOFF")
	c.KeepAlive, _ = strconv.ParseBool(value(settings.Worker, "COIN_KEEP_ALIVE"))
	rngOccupancy, hasherOccupancy := seconds(settings.RNG, "COIN_OCCUPANCY"), seconds(settings.Hasher, "COIN_OCCUPANCY")
	c.RNGServiceS = seconds(settings.RNG, "COIN_DELAY") + rngOccupancy
	c.HasherServiceS = seconds(settings.Hasher, "COIN_DELAY") + hasherOccupancy
	c.RNGConcurrency = int(number(settings.RNG, "COIN_CONCURRENCY"))
	c.HasherConcurrency = int(number(settings.Hasher, "COIN_CONCURRENCY"))
	c.RNGErrorRate = number(settings.RNG, "COIN_ERROR_RATE")
	c.ConstantDelays = true
	for _, s := range []string{settings.RNG, settings.Hasher} {
		if d := value(s, "COIN_DELAY_DISTRIBUTION"); d != "" && d != string(settings.Constant) {
			c.ConstantDelays = false
		}
	}
	switch {
	case l.profile != "" && l.profile != "none" && l.profile != "default":
		c.Profile = l.profile
	case rngOccupancy == 0 && hasherOccupancy == 0 && c.CallOverheadS == 0:
		c.Profile = "bare"
	case near(rngOccupancy, .007) && near(hasherOccupancy+seconds(settings.Hasher, "COIN_INTAKE"), .005) && near(c.CallOverheadS, .003):
		c.Profile = "workshop"
	default:
		c.Profile = "custom"
	}
	l.at = append(l.at, at)
	l.configs = append(l.configs, c)
}

func near(a, b float64) bool { return math.Abs(a-b) < 5e-4 }

// in returns what was in force at t.
func (l configLog) in(t time.Duration) Config {
	c := l.configs[0]
	for i, at := range l.at {
		if at > t {
			break
		}
		c = l.configs[i]
	}
	replicas := make(map[string]int, len(c.Replicas))
	for k, v := range c.Replicas {
		replicas[k] = v
	}
	c.Replicas = replicas
	return c
}

// first returns the first configuration in which every part of the app was deployed, or else the last one.
func (l configLog) first() Config {
	for _, c := range l.configs {
		if _, ok := c.Replicas[settings.Worker]; ok && len(c.Replicas) > 2 {
			return c
		}
	}
	return l.configs[len(l.configs)-1]
}
