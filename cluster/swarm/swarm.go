package swarm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/overlay"
	"coinbench/history"
	"coinbench/history/event"
)

// EndpointMode says how a service's name leads to its replicas.
type EndpointMode string

// The endpoint modes. Auto tries VIP on a service made for that, and falls back to DNSRR with a warning.
const (
	Auto  EndpointMode = "auto"
	VIP   EndpointMode = "vip"
	DNSRR EndpointMode = "dnsrr"
)

// EndpointModes lists the modes in the order of the documentation.
func EndpointModes() []EndpointMode { return []EndpointMode{Auto, VIP, DNSRR} }

const (
	removeDeadline = 60 * time.Second
	lostDeadline   = 5 * time.Second // instead, where the engine has not answered for long
)

// Config says how a Swarm is used. All can be left out.
type Config struct {
	Sink     cluster.Sink   // takes events, must not call the cluster; nil: they are dropped
	Start    time.Time      // the run's start, to which readings are relative; zero: the call of New
	Endpoint EndpointMode   // "": Auto
	Publish  map[string]int // the port to publish a service at instead of the Compose file's; 0: any free one
	Lab      Lab            // whose nodes Partition can cut off; nil: none can be
}

// Cluster is a Swarm.
type Cluster struct {
	cluster.RealTime
	cluster.Jobs // of the overlay
	control.Changes

	config Config
	engine *engine.Engine
	outbox *control.Outbox

	removal sync.Mutex // held by Deploy's set-up and by Remove
	overlay *overlay.Overlay

	mu       sync.Mutex
	app      control.App[*service]
	network  string // its ID
	vip      bool   // virtual addresses work, or are asked for
	seen     observe.State
	spared   []string      // nodes that no job runs on
	busy     int           // changes in progress, during which the engine is asked often
	poll     chan struct{} // holds something when the engine shall be asked at once
	changed  chan struct{} // closed and replaced whenever something was seen, at which the bell rings, too
	bell     *control.Bell
	stop     context.CancelFunc
	life     context.Context // from the deployment to the removal; nil: outside of it
	watching sync.WaitGroup  // all that goes on during life

	cutting sync.Mutex // held while a node is cut off or mended
}

// service is a deployed service. Fields below mu belong to the cluster's mutex.
type service struct {
	*control.Service
	*control.Bell
	c    *Cluster
	name string
	id   string // "": not created yet

	// mu: the cluster's
	spec      cluster.Service
	previous  *cluster.Service // before the last update, as a label says
	mode      EndpointMode     // VIP or DNSRR
	force     uint64           // counts forced updates
	mesh      []int            // ports published by the routing mesh, which any node answers
	published []string         // host:port of all published ports, as they were seen last
	removed   bool
	colour    string // of the set in rotation, behind a gateway: blue or green; "": there is none
	standby   string // the other set's ID on the engine, while there is one
	note      string // what a person must know

	change   observe.Change   // in progress
	told     int              // the look when the engine was told something last
	settings *cluster.Rollout // as it was told last; nil: not known
	retired  bool             // the other set was removed, and may not have ended yet

	base *swarm.ServiceSpec // as we describe what an earlier process brought up; nil: no other can have changed it
}

// New returns a cluster on the Swarm of a manager's engine, with nothing deployed. It touches nothing.
func New(e *engine.Engine, config Config) (*Cluster, error) {
	config.Endpoint = cmp.Or(config.Endpoint, Auto)
	if !slices.Contains(EndpointModes(), config.Endpoint) {
		return nil, fmt.Errorf("endpoint mode %q; accepted: auto, vip, dnsrr", config.Endpoint)
	}
	if config.Start.IsZero() {
		config.Start = time.Now()
	}
	c := &Cluster{config: config, engine: e, outbox: control.NewOutbox(config.Sink, config.Start), changed: make(chan struct{}),
		poll: make(chan struct{}, 1)}
	c.app.Lock = &c.mu
	c.Changes = c.app.Changes(func() { c.pollSlow(); c.outbox.Flush() })
	find := c.Changes.Find
	c.Changes.Find = func(service string) (*control.Service, error) { // during a change the engine is asked often
		c.pollFast()
		return find(service)
	}
	c.overlay = overlay.New(e, c.warn)
	c.overlay.Constraints = c.jobConstraints
	c.Jobs = c.overlay
	c.forget()
	return c, nil
}

// forget is the state without an app. Task numbers stay: names are unique within a run.
func (c *Cluster) forget() {
	c.app.Clear()
	c.network, c.bell = "", control.NewBell()
	c.seen = c.seen.Forget()
}

// Ready says whether the engine is a manager of a Swarm.
func (c *Cluster) Ready(ctx context.Context) error { return c.engine.Ready(ctx) }

// Name is swarm.
func (c *Cluster) Name() string { return "swarm" }

// pollFast makes the watcher ask often until the returned function is called.
func (c *Cluster) pollFast() func() {
	c.mu.Lock()
	c.busy++
	c.mu.Unlock()
	c.pollNow()
	return c.pollSlow
}

func (c *Cluster) pollSlow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
}

// pollNow makes the watcher ask at once.
func (c *Cluster) pollNow() {
	select {
	case c.poll <- struct{}{}:
	default:
	}
}

// warn puts a warning on record.
func (c *Cluster) warn(format string, args ...any) {
	c.outbox.Put(history.NewEvent("", "", event.Warning{Message: fmt.Sprintf(format, args...)}))
}

// broadcast wakes all who wait for something. The caller holds mu.
func (c *Cluster) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
	c.bell.Ring(nil)
}

// describe turns what a service shall be into the engine's words. The caller holds mu.
func (c *Cluster) describe(s *service, order int) swarm.ServiceSpec {
	a := describe.App{Engine: c.engine, Name: c.app.Name, Network: c.network, Publish: c.config.Publish}
	return a.Service(describe.Set{Spec: s.spec, Previous: s.previous, Mode: swarm.ResolutionMode(s.mode), Force: s.force, Colour: s.colour},
		order)
}

// settle says what a service really gets: how its name leads to its replicas, which decides the balancing. The caller holds mu.
func (c *Cluster) settle(s *service) {
	s.mode = c.config.Endpoint
	if s.mode == Auto {
		s.mode = VIP
		if !c.vip || s.spec.Balance == cluster.Random || s.spec.Endpoint == string(DNSRR) {
			s.mode = DNSRR
		}
	}
	s.spec.Endpoint, s.spec.Balance = string(s.mode), cluster.RoundRobin
	if s.mode == DNSRR {
		s.spec.Balance = cluster.Random
	}
}

func nth(service string, slot int) string { return fmt.Sprintf("%s.%d", service, slot) }

// wanted is what the service shall be.
func (s *service) wanted() cluster.Service { return s.spec }
