package cluster

import (
	"maps"
	"net/netip"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// App is what is deployed: a Compose file, read and checked.
type App struct {
	Name     string
	File     string    // name of the Compose file, for messages
	Services []Service // dependencies first; order is otherwise that of names
	Source   []byte    // the Compose file as it was read

	Roles history.Roles // of the services, by their labels

	// Apart is what the file says of networks beyond one that all services share; on one machine it means nothing.
	Apart []*ComposeError
}

// Service returns the named service, and whether there is one.
func (a App) Service(name string) (Service, bool) {
	for _, s := range a.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}

// Service is one service of an App, as it shall be.
type Service struct {
	Name        string
	Image       string            // coinbench/rng:v0.1; redis:7 is the one foreign image that every cluster knows
	Command     []string          // of the container, where the Compose file gives one
	Environment map[string]string //
	Replicas    int               //
	Global      bool              // one task a node
	Ports       []Port            //
	Expose      []int             // ports that it listens on without publishing them
	Health      *Health           // nil: in rotation as soon as it is started
	StopGrace   time.Duration     // from the signal to the kill; default 10 s
	Restart     Restart           //
	Update      Rollout           //
	Rollback    Rollout           //
	Balance     Balance           // label coinbench.balance
	Endpoint    string            // vip, dnsrr or "" (the cluster decides)
	// label coinbench.gateway: a gateway in front, for blue-green where the cluster's balancing cannot be switched
	Gateway     bool
	DependsOn   []string //
	Constraints []string //
	Other       []string // Compose keys in effect that App has no field for, such as volumes or deploy.resources
}

// Port is a published port.
type Port struct {
	Target    int    // within the container
	Published int    // on the host; 0: any free one
	HostIP    string // the host's address that it is published at; "": all of them
	Mode      string // of a Swarm: host, at the node of each task alone; otherwise by the routing mesh
}

// At is the one address of the host that the port is published at; false: it is published at all of them.
func (p Port) At() (at netip.Addr, one bool) {
	at, err := netip.ParseAddr(p.HostIP)
	return at, err == nil && !at.IsUnspecified()
}

// Health is a health check. The first check runs one Interval after the start, as Docker does it.
type Health struct {
	Test        []string // as in Compose: CMD, then the command
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration
}

// Restart says what happens when a task ends by itself. Docker's defaults: any, 5 s.
type Restart struct {
	Condition   string // any, on-failure or none
	Delay       time.Duration
	MaxAttempts int           // restarts of a slot; 0: no limit
	Window      time.Duration // in which MaxAttempts are counted; 0: for ever
}

// Rollout says how tasks are replaced, in the words and with the defaults of Docker Swarm.
type Rollout struct {
	Parallelism     int           // tasks replaced at the same time; 0: all
	Delay           time.Duration // after each task
	Order           string        // stop-first or start-first
	Monitor         time.Duration // how long a new task is watched for failure; default 5 s
	MaxFailureRatio float64       // 0..1
	FailureAction   string        // pause, continue or rollback
}

// Balance says how connections are spread over a service's replicas.
type Balance string

// The policies. IPVS, which serves Swarm's virtual addresses, is round robin: since Docker 18.09 the clients on a node share a
// turn, before it each container had its own. DNS round robin acts like random.
const (
	RoundRobin          Balance = "round-robin"            // one turn, which all clients take together
	RoundRobinPerClient Balance = "round-robin-per-client" // each client has a turn of its own, which begins anywhere
	Random              Balance = "random"
	LeastConnections    Balance = "least-connections"
)

// Balances lists the policies.
func Balances() []Balance {
	return []Balance{RoundRobin, RoundRobinPerClient, Random, LeastConnections}
}

// InForce is what holds for the service, as an event says it.
func (s Service) InForce() event.InForce {
	return event.InForce{Image: s.Image, Replicas: s.Replicas, Balance: string(s.Balance), Environment: maps.Clone(s.Environment)}
}

// ConvergeTime is how long a task may take to stop, and its successor to get healthy, by the service's own settings.
func (s Service) ConvergeTime() time.Duration {
	d := s.StopGrace
	if boot, err := time.ParseDuration(s.Environment["COIN_BOOT_DELAY"]); err == nil {
		d += boot
	}
	if h := s.Health; h != nil {
		d += h.StartPeriod + time.Duration(h.Retries)*(h.Interval+h.Timeout)
	}
	return d
}

// Levels groups services, of which dependencies come first, so that each is in a later group than those it depends on.
func Levels[S any](services []S, spec func(S) Service) (groups [][]S) {
	depth := map[string]int{}
	for _, s := range services {
		d, what := 0, spec(s)
		for _, name := range what.DependsOn {
			d = max(d, depth[name]+1)
		}
		depth[what.Name] = d
		for len(groups) <= d {
			groups = append(groups, nil)
		}
		groups[d] = append(groups[d], s)
	}
	return groups
}
