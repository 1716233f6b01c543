package capacity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity/dockercoins"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// Config is what was in force at an instant, as far as the hash rate depends on it.
type Config struct {
	Replicas       map[string]int `json:"replicas"`
	ThinkS         float64        `json:"think_s"`         // the driver's own work in each loop
	CallOverheadS  float64        `json:"call_overhead_s"` // the driver's, for each of its calls
	Stations       []Station      `json:"stations"`        // in the order in which the driver visits them
	BackoffS       float64        `json:"backoff_s"`       // the driver's silence after an exception
	KeepAlive      bool           `json:"keep_alive"`      // the driver keeps its connections
	Balance        string         `json:"balance"`         // of the first station, one of the cluster's policies
	Profile        string         `json:"profile"`         // bare: no overheads; workshop: those of the originals; custom
	ConstantDelays bool           `json:"constant_delays"` // the stations' delays do not vary
	Updating       bool           `json:"updating"`        // an update was under way

	roles    history.Roles
	told     map[string]settings.Settings // by service: all that is in force, whatever it came from
	balances map[string]string            // by service
}

// Told is what a service is told: its defaults, what its image's tag carries, and its environment, which has the last word.
func (c Config) Told(service string) settings.Settings { return c.told[service] }

// String is the configuration in one line: "10 workers, 1 rng, think 100 ms".
func (c Config) String() string {
	s := c.roles.Driver.Count(c.Drivers())
	for i, r := range c.roles.Stations {
		if n := c.Replicas[r.Service]; i == 0 || n > 1 {
			s += ", " + r.Count(n)
		}
	}
	s += ", think " + setting(c.ThinkS)
	if c.Balance != "" && c.Balance != "round-robin" {
		s += ", " + c.Balance
	}
	if c.KeepAlive {
		s += ", keep-alive"
	}
	for _, v := range c.Stations {
		if v.ErrorRate > 0 {
			s += fmt.Sprintf(", %s errors %.3g %%", v.Service, 100*v.ErrorRate)
		}
	}
	return s
}

// inTurn says whether each replica of the first station gets a connection in turn.
func (c Config) inTurn() bool { return strings.HasPrefix(c.Balance, "round-robin") }

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// setting is a length of time that was set, exactly.
func setting(s float64) string {
	if s < 1 {
		return strconv.FormatFloat(math.Round(s*1e4)/10, 'f', -1, 64) + " ms"
	}
	return strconv.FormatFloat(math.Round(s*1e3)/1e3, 'f', -1, 64) + " s"
}

// configLog holds what was in force from each instant on.
type configLog struct {
	at      []time.Duration
	configs []Config
	profile string
	roles   history.Roles
}

// told are the settings of a service that runs a program: those that its image's tag carries below those of its environment. What the
// service does not know or cannot read has no say: with it no task would have started.
func told(program string, is event.InForce) settings.Settings {
	name := is.Image[strings.LastIndex(is.Image, "/")+1:]
	name, _, _ = strings.Cut(name, "@")
	_, tag, _ := strings.Cut(name, ":")
	env := map[string]string{}
	maps.Copy(env, settings.TagDefaults(program, tag))
	maps.Copy(env, is.Environment)
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	for {
		s, err := settings.Parse(program, env)
		faults, joined := err.(interface{ Unwrap() []error })
		if !joined {
			return s
		}
		for _, f := range faults.Unwrap() {
			var fault *settings.Fault
			if errors.As(f, &fault) {
				delete(env, fault.Variable)
			}
		}
	}
}

// configurations follows the events that deploy, scale, update and remove services. What they do not say has the service's default.
func configurations(run *history.Run) configLog {
	l := configLog{profile: run.Manifest.Settings["profile"], roles: RolesOf(run)}
	services := map[string]event.InForce{}
	replicas := map[string]int{}
	updating := map[string]bool{}
	l.add(-1, services, replicas, false)
	for _, e := range run.Events {
		switch p := e.Payload.(type) {
		case event.ServiceDeployed:
			services[e.Service], replicas[e.Service] = p.InForce, p.Replicas
		case event.ServiceUpdated:
			services[e.Service], replicas[e.Service] = p.InForce, p.Replicas
		case event.ServiceScaled:
			replicas[e.Service] = p.To
		case event.ServiceRemoved:
			delete(services, e.Service)
			delete(replicas, e.Service)
		case event.RolloutBegin:
			updating[e.Service] = true
		case event.RolloutEnd:
			delete(updating, e.Service)
		default:
			continue
		}
		l.add(e.At, services, replicas, len(updating) > 0)
	}
	return l
}

func (l *configLog) add(at time.Duration, services map[string]event.InForce, replicas map[string]int, updating bool) {
	c := Config{Replicas: maps.Clone(replicas), Updating: updating, roles: l.roles, told: map[string]settings.Settings{},
		balances: map[string]string{}, ConstantDelays: true}
	tell := func(r history.Role) settings.Settings {
		c.told[r.Service] = told(r.Program, services[r.Service])
		c.balances[r.Service] = cmp.Or(services[r.Service].Balance, "round-robin")
		return c.told[r.Service]
	}
	driver := tell(l.roles.Driver)
	c.ThinkS = driver.Think.Seconds()
	c.CallOverheadS = driver.CallOverhead.Seconds()
	c.BackoffS = driver.Backoff.Seconds()
	c.KeepAlive = driver.KeepAlive
	bare, workshop := c.CallOverheadS == 0, near(c.CallOverheadS, dockercoins.CallOverheadS)
	for i, r := range l.roles.Stations {
		told := tell(r)
		c.Stations = append(c.Stations, Station{Service: r.Service, ServiceS: (told.Delay + told.Occupancy).Seconds(),
			Concurrency: told.Concurrency, ErrorRate: told.ErrorRate})
		c.ConstantDelays = c.ConstantDelays && told.Distribution == settings.Constant
		if i == 0 {
			c.Balance = c.balances[r.Service]
		}
		bare = bare && told.Occupancy == 0
		workshop = workshop && near((told.Occupancy+told.Intake).Seconds(), dockercoins.OverheadS(r.Program))
	}
	switch {
	case l.profile != "" && l.profile != "none" && l.profile != "default":
		c.Profile = l.profile
	case bare:
		c.Profile = "bare"
	case workshop:
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
	c.Replicas = maps.Clone(c.Replicas)
	return c
}

// first returns the first configuration in which every part of the app was deployed, or else the last one.
func (l configLog) first() Config {
	for _, c := range l.configs {
		if _, ok := c.Replicas[l.roles.Driver.Service]; ok && len(c.Replicas) > 2 {
			return c
		}
	}
	return l.configs[len(l.configs)-1]
}
