package des

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/internal/seeded"
	"coinbench/services/settings"
)

// Config is what a simulation is made of before there is any service.
type Config struct {
	Seed      uint64
	Balancers uint64              // seed of the balancers' choices; 0: Seed
	Start     time.Time           // wall clock of the instant 0, for the series that carry Unix time
	Events    func(history.Event) // takes what happens to tasks; nil: none

	// Changed is told the ID of every task that comes into another state or is ready, so that a caller with many tasks need not look at all;
	// nil:
	// nobody asks. It must not call the simulation.
	Changed func(id int)
}

// Balance says how calls are spread over the tasks in rotation.
type Balance string

// The policies.
const (
	RoundRobin          Balance = "round-robin"            // one turn for all clients, as one virtual address has it
	RoundRobinPerClient Balance = "round-robin-per-client" // each client has its own turn, as Docker had it before 18.09
	Random              Balance = "random"
	LeastConnections    Balance = "least-connections" // the longest unused among those with the fewest
	Sticky              Balance = "sticky"            // each client draws a task once and stays with it while it is in rotation
)

// Service is one service of the app.
type Service struct {
	Name     string            // "": Settings.Service
	Image    string            // for the record alone
	Settings settings.Settings // the store has none
	Balance  Balance           // "": RoundRobin

	StartDelay  time.Duration // from the start of a task to its process; the boot delay follows
	StartSpread time.Duration // and up to this more, drawn for each task: nothing on a real machine starts at one instant
	Health      time.Duration // interval of the health check: a task joins the rotation at its first success; 0: as soon as its process runs
	Check       *Check        // a health check that queues, instead of Health; nil: there is none
	Network     time.Duration // from the client's call until the request is at the server, of each new connection

	Stores bool          // it is the store, in which units of work are counted; it has one task
	Delay  time.Duration // of the store: time of a command
	Visits []string      // of the driver: the services that its loop visits, in their order; nil: those that its settings name
}

// Sim is a simulation. Its methods may not be called at the same time.
type Sim struct {
	config Config
	now    int64
	agenda
	processed uint64
	changed   bool // a task or a load is not what it was: RunUntilChange returns
	keeping   bool // there is or was a client that keeps connections

	services []service
	tasks    []task
	servers  []server
	workers  []worker
	calls    []call
	freeCall int32
	loads    []*load
	clients  []client

	store store
}

// store is where units of work are counted.
type store struct {
	up             bool
	epoch          uint32 // counts its lives: a connection to an earlier one is dead
	delay          int64
	hashes, coins  int64
	service, tasks int32
}

// service is a Service at work.
type service struct {
	Service
	role                        role
	starting, running, stopping int // tasks

	slots    [][]int32 // by slot: the tasks that it has had
	rotation []int32   // servers, in the order of slots
	turn     uint32    // of round robin
	balancer seeded.Balancer
	byConns  connections // of least connections
	policy   policy
	network  int64
	lane     int8 // of network
}

type role uint8

const (
	serves role = iota
	works
	stores
)

// New returns an empty simulation at instant 0.
func New(c Config) *Sim {
	return &Sim{config: c, agenda: agenda{wheel: newWheel()}, freeCall: none, store: store{up: true, service: none}}
}

const none = int32(-1)

// AddService adds a service without tasks. Those that a driver visits must be there before it starts.
func (s *Sim) AddService(spec Service) error {
	if spec.Name == "" {
		spec.Name = spec.Settings.Service
	}
	if spec.Name == "" || slices.Contains(s.Services(), spec.Name) {
		return fmt.Errorf("add service %q: accepted: a name that no other service has", spec.Name)
	}
	v := service{balancer: seeded.NewBalancer(cmp.Or(s.config.Balancers, s.config.Seed), spec.Name)}
	switch {
	case spec.Stores:
		v.role = stores
	case spec.Settings.Drives():
		v.role = works
	case !slices.Contains(settings.Services(), spec.Settings.Service):
		return fmt.Errorf("add service %s: settings of service %q; accepted: those of %s", spec.Name, spec.Settings.Service,
			strings.Join(settings.Services(), ", "))
	}
	s.services = append(s.services, v)
	if err := s.configure(&s.services[len(s.services)-1], spec); err != nil {
		s.services = s.services[:len(s.services)-1]
		return fmt.Errorf("add service %s: %w", spec.Name, err)
	}
	if v.role == stores {
		s.store.up, s.store.service = false, int32(len(s.services)-1)
	}
	return nil
}

// ChangeService replaces what a service is: its balancing and network at once, the rest in tasks that start from now on.
func (s *Sim) ChangeService(spec Service) error {
	if spec.Name == "" {
		spec.Name = spec.Settings.Service
	}
	v, err := s.find(spec.Name)
	if err == nil {
		err = s.configure(v, spec)
	}
	if err != nil {
		return fmt.Errorf("change service: %w", err)
	}
	return nil
}

func (s *Sim) configure(v *service, spec Service) error {
	p, ok := policies()[spec.Balance]
	if !ok {
		return fmt.Errorf("balance %q; accepted: %s, %s, %s, %s, %s", spec.Balance, RoundRobin, RoundRobinPerClient, Random, LeastConnections,
			Sticky)
	}
	for _, d := range []time.Duration{spec.StartDelay, spec.StartSpread, spec.Health, spec.Network, spec.Delay} {
		if d < 0 {
			return fmt.Errorf("duration %s; accepted: at least 0s", d)
		}
	}
	if spec.Check != nil {
		if err := spec.Check.fault(v.role); err != nil {
			return err
		}
	}
	before := v.policy
	v.Service, v.policy = spec, p
	v.network, v.lane = int64(spec.Network), s.lane(int64(spec.Network))
	if v.role == stores {
		s.store.delay = int64(spec.Delay)
	}
	if p == leastConnections && before != p {
		v.byConns.rebuild(s.servers, v.rotation)
	}
	return nil
}

// Services lists the names of the services in the order in which they were added.
func (s *Sim) Services() []string {
	var names []string
	for i := range s.services {
		names = append(names, s.services[i].Name)
	}
	return names
}

func (s *Sim) find(name string) (*service, error) {
	if i := s.index(name); i >= 0 {
		return &s.services[i], nil
	}
	return nil, fmt.Errorf("unknown service %q; accepted: %s", name, strings.Join(s.Services(), ", "))
}

func (s *Sim) index(name string) int32 {
	for i := range s.services {
		if s.services[i].Name == name {
			return int32(i)
		}
	}
	return none
}

// Now is the present instant.
func (s *Sim) Now() time.Duration { return time.Duration(s.now) }

// Processed is the number of events so far.
func (s *Sim) Processed() uint64 { return s.processed }

// RunUntil advances to an instant. It does nothing when that has passed.
func (s *Sim) RunUntil(t time.Duration) {
	for s.run(int64(t)) {
	}
}

// RunUntilChange advances until a task or a load changes its state, at most to an instant; it says whether something changed.
func (s *Sim) RunUntilChange(t time.Duration) bool {
	s.changed = false
	return s.run(int64(t))
}

// run is the main loop. It ends early, with true, when something has changed.
func (s *Sim) run(until int64) bool {
	var e entry
	for s.pop(until, &e) {
		s.now = e.at
		s.processed++
		switch kind(e.key) {
		case workerBegins:
			s.workerBegins(e.id, e.gen)
		case workerCallsFirst:
			s.workerCallsFirst(e.id, e.gen)
		case workerCallsNext:
			s.workerCallsNext(e.id, e.gen)
		case callEnds:
			s.callEnds(e.id, e.gen)
		case callArrives:
			s.callArrives(e.id, e.gen)
		case callRetries:
			s.callRetries(e.id, e.gen)
		case callFails:
			s.callFails(e.id, e.gen)
		case callTimesOut:
			s.callTimesOut(e.id, e.gen)
		case workerFlushed:
			s.workerFlushed(e.id, e.gen)
		case workerStored:
			s.workerStored(e.id, e.gen)
		case workerBackoffEnds:
			s.workerBackoffEnds(e.id, e.gen)
		case clientSends:
			s.clientSends(e.id, e.gen)
		case loadDue:
			s.loadDue(e.id)
		case loadEnds:
			s.loadEnds(e.id)
		case loadGraceEnds:
			s.loadGraceEnds(e.id)
		case taskBoots:
			s.taskBoots(e.id, e.gen)
		case taskReady:
			s.taskReady(e.id, e.gen)
		case taskJoins:
			s.taskJoins(e.id, e.gen)
		case taskGraceEnds:
			s.taskGraceEnds(e.id, e.gen)
		case taskRestarts:
			s.taskRestarts(e.id)
		case taskThaws:
			s.taskThaws(e.id, e.gen)
		case taskMissed:
			s.taskMissed(e.id, e.gen)
		case checkBegins:
			s.checkBegins(e.id, e.gen)
		}
		if s.changed {
			s.changed = false
			return true
		}
	}
	s.now = max(s.now, until)
	return false
}

func (s *Sim) schedule(delay int64, k kind, id int32, gen uint32) {
	s.after(s.now, delay, -1, k, id, gen)
}
