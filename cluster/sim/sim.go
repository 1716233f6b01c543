package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/history"
	"coinbench/history/event"
)

// Config is how a simulated cluster is made. The zero value is one without a sink.
type Config struct {
	Seed  uint64
	Start time.Time    // what Now says first; zero: 2000-01-01 UTC, so that runs repeat
	Sink  cluster.Sink // nil: none
	Costs Costs

	// Publish is what the other clusters publish: its services must be the app's, and nothing listens there.
	Publish map[string]int
}

// Costs are what the settings do not say and every real machine costs; the zero value is an ideal machine.
type Costs struct {
	TaskStart   time.Duration // from the start of a task to its process
	StartSpread time.Duration // up to this more, drawn for each task; 0: 20 ms, for no machine starts all at one instant
	Connect     time.Duration // of each new connection
	Request     time.Duration // occupancy of a server by each request, besides its settings
	Call        time.Duration // of the worker for each call, besides its settings
	Redis       time.Duration // of a command
}

// Cluster is the simulated cluster.
type Cluster struct {
	clock
	control.Changes
	config Config
	app    control.App[*service]
}

// patience is how long, in virtual time, a change may take without anything moving.
const patience = 5 * time.Minute

// New returns a cluster with nothing deployed. The caller is its first participant.
func New(config Config) *Cluster {
	if config.Start.IsZero() {
		config.Start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if config.Costs.StartSpread == 0 {
		config.Costs.StartSpread = 20 * time.Millisecond
	}
	c := &Cluster{config: config}
	c.clock = clock{start: config.Start, running: 1}
	c.app.Lock = &c.mu
	c.Changes = c.app.Changes(func() {})
	c.sim = des.New(des.Config{Seed: config.Seed, Start: config.Start, Events: func(e history.Event) {
		c.now.Store(int64(e.At))
		e.At = 0 // the sink's to stamp
		c.emit(e)
	}, Changed: func(id int) {
		for _, s := range c.app.Services {
			if t := c.sim.Task(id); s.spec.Name == t.Service {
				s.touched = append(s.touched, t.Slot)
			}
		}
		c.changed() // also where a fault changed it, and no time passed
	}})
	return c
}

func (c *Cluster) emit(e history.Event) {
	if c.config.Sink != nil {
		c.config.Sink(e)
	}
}

// Name is sim.
func (c *Cluster) Name() string { return "sim" }

// Deploy brings the app up.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	return c.app.Deploy(ctx, app, c.Check, func(spec cluster.Service) (*service, error) {
		if spec.Global {
			spec.Replicas = 1
		}
		return newService(c, spec), c.tell(spec)
	})
}

// tell gives the simulator what a service is now.
func (c *Cluster) tell(spec cluster.Service) error {
	set, err := parse(spec)
	if err != nil {
		return err
	}
	k := c.config.Costs
	v := des.Service{Name: spec.Name, Image: spec.Image, Settings: set, Balance: des.Balance(spec.Balance),
		StartDelay: k.TaskStart, StartSpread: k.StartSpread, Network: k.Connect, Stores: set.Service == "", Delay: k.Redis}
	v.Settings.Occupancy += k.Request
	v.Settings.CallOverhead += k.Call
	if spec.Health != nil {
		v.Health, v.Check = spec.Health.Interval, queueing(spec)
		if why, _ := spec.NeverHealthy(); why != "" {
			v.Health, v.Check = 100*365*24*time.Hour, nil // no check finds it ready
		}
	}
	if set.Drives() { // the requests of others are no cost of its own
		v.Settings.Occupancy = 0
	}
	if slices.Contains(c.sim.Services(), spec.Name) {
		return c.sim.ChangeService(v)
	}
	return c.sim.AddService(v)
}

// running is the task of a slot that faults can befall. The caller holds mu.
func (c *Cluster) running(verb, name string, slot int) (*service, int, error) {
	s, err := c.app.Find(name)
	if err == nil && !cluster.ParseImage(s.spec.Image).Coinbench() {
		err = cluster.ErrServed
	}
	if err == nil {
		if id, ok := c.sim.Current(name, slot); ok {
			return s, id, nil
		}
		err = fmt.Errorf("no task of it runs now; the service has %d replicas", s.spec.Replicas)
	}
	return nil, 0, fmt.Errorf("%s %s.%d: %w", verb, name, slot, err)
}

// Kill ends a replica as by SIGKILL.
func (c *Cluster) Kill(_ context.Context, name string, slot int, fault cluster.Fault) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, id, err := c.running("kill", name, slot)
	if err != nil {
		return err
	}
	fault.Down = cmp.Or(fault.Down, s.spec.Restart.Delay)
	return c.sim.KillTask(id, des.Kill{Restart: true, Down: fault.Down, InRotation: fault.InRotation})
}

// Pause freezes a replica for a time. Where a health check asks for its admin port it is found out as on the other clusters: it leaves the
// rotation after a number of failures in a row, and is replaced.
func (c *Cluster) Pause(_ context.Context, name string, slot int, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, id, err := c.running("pause", name, slot)
	if err != nil {
		return err
	}
	freeze := des.Freeze{For: d, Stop: des.Stop{Grace: s.spec.StopGrace}, Restart: restart(s.spec)}
	if s.spec.Health != nil && queueing(s.spec) == nil {
		h := s.spec.Health
		freeze.Missed = time.Duration(max(h.Retries, 1)) * (h.Interval + h.Timeout)
	}
	return c.sim.FreezeTask(id, freeze)
}

// Status lists the services as they are now.
func (c *Cluster) Status(context.Context) ([]cluster.ServiceStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []cluster.ServiceStatus
	for _, s := range c.app.Services {
		status := cluster.ServiceStatus{Service: s.spec}
		list, err := c.sim.Tasks(s.spec.Name)
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		for _, t := range list {
			if t.State == des.Gone {
				continue
			}
			if t.State == des.Running && t.Joined {
				status.Running++
			}
			status.Tasks = append(status.Tasks, cluster.Task{Name: t.Name, Service: t.Service, Slot: t.Slot, Node: "sim",
				Image: s.as(task(t.ID + 1)).Image,
				State: cluster.TaskState(t.State), Error: t.Error})
		}
		slices.SortStableFunc(status.Tasks, func(a, b cluster.Task) int { return a.Slot - b.Slot })
		out = append(out, status)
	}
	return out, nil
}

// domain marks the addresses of simulated services: no socket leads to them.
const domain = ".sim.invalid:80"

// Address says which service is meant, to Play alone.
func (c *Cluster) Address(_ context.Context, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.app.Find(name)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", name, err)
	}
	if set, _ := parse(s.spec); set.Service == "" || set.Drives() {
		return "", fmt.Errorf("address of %s: no load can be sent to it", name)
	}
	return name + domain, nil
}

// Service is the name of the service that an address of this cluster means.
func (c *Cluster) Service(address string) (string, error) {
	name, ok := strings.CutSuffix(address, domain)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.app.Find(name); !ok || err != nil {
		return "", fmt.Errorf("address %s is not of the simulated cluster; accepted: what Address returns", address)
	}
	return name, nil
}

// Play plays a load in virtual time, from now to its end, and gives its record to load.Recorder. When ctx ends, what is in flight is given
// up.
func (c *Cluster) Play(ctx context.Context, load des.Load) (history.LoadEndRecord, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := c.sim.StartLoad(load)
	if err != nil {
		return history.LoadEndRecord{}, err
	}
	for {
		end, over, err := c.sim.LoadEnd(id)
		if over || err != nil {
			return end, err
		}
		if c.wait(ctx, c.sim.Now()+time.Hour, true) != nil {
			if err := c.sim.StopLoad(id); err != nil {
				return end, err
			}
		}
	}
}

// Counters reads every task's counters.
func (c *Cluster) Counters(context.Context) ([]history.Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.app.Services == nil {
		return nil, nil
	}
	return c.sim.Readings(), nil
}

// Remove takes everything down. It takes no time that ctx could cut short.
func (c *Cluster) Remove(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.app.Services) - 1; i >= 0; i-- {
		s := c.app.Services[i]
		if err := c.sim.Scale(s.spec.Name, 0, des.Stop{Grace: s.spec.StopGrace}); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		for {
			if starting, running, stopping := c.sim.Count(s.spec.Name); starting+running+stopping == 0 {
				break
			}
			// A removal takes no time that a caller waits for: at the latest it waits for SIGKILL.
			if err := c.wait(context.Background(), c.sim.Now()+patience, true); err != nil {
				return fmt.Errorf("remove: %w", err)
			}
		}
		c.emit(history.NewEvent(s.spec.Name, "", event.ServiceRemoved{}))
	}
	c.app.Clear()
	return nil
}
