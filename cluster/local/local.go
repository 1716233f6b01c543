package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/history"
	"coinbench/history/event"
)

// The time that Remove gives replicas to end in good order, and the default of Config.Deadline.
const (
	removeGrace     = 4 * time.Second
	defaultDeadline = 60 * time.Second
)

// Config says how a local cluster runs. Only Command is needed.
type Config struct {
	Command  []string       // the beginning of the command line that runs coinbench's binary; "service rng" follows it
	Dir      string         // logs/<task>.log are written here; "": logs are not kept
	Sink     cluster.Sink   // takes events, must not change the cluster; nil: none
	Redis    string         // host:port of a real Redis; "": an embedded one
	Publish  map[string]int // the port to publish a service at instead of the Compose file's; 0: any free one
	Seed     uint64         // of random balancing, and of where each client's turn begins
	Start    time.Time      // the run's start, to which readings are relative; zero: the call of New
	Deadline time.Duration  // for a change to converge, besides the times that the app itself asks for; 0: 60 s
}

// Cluster is this machine.
type Cluster struct {
	cluster.RealTime

	control.Changes
	config  Config
	outbox  *control.Outbox
	removal sync.Mutex // held by Deploy's set-up and by Remove

	mu      sync.Mutex
	numbers map[string]int // tasks so far of every slot, so that names are unique within a run
	app     control.App[*service]
	hosts   string // COIN_HOSTS
	spawner *spawner
	probes  *http.Client // for health checks: a connection each, as they come from outside
	scrapes *http.Client // for counters
	redis   *redisServer
	end     context.CancelFunc // of the life of what is deployed
	bell    *control.Bell      // rung at every change of it
	wg      sync.WaitGroup
}

var errRemoved = errors.New("the app was removed meanwhile")

// New returns a cluster with nothing deployed.
func New(config Config) (*Cluster, error) {
	if len(config.Command) == 0 {
		return nil, errors.New("local cluster: no command that runs coinbench")
	}
	if config.Redis != "" {
		_, port, err := net.SplitHostPort(config.Redis)
		if n, e := strconv.Atoi(port); err == nil && (e != nil || n < 1 || n > 65535) {
			err = fmt.Errorf("port %q", port)
		}
		if err != nil {
			return nil, fmt.Errorf("redis %q: %w; accepted: host:port, such as 127.0.0.1:6379", config.Redis, err)
		}
	}
	if config.Start.IsZero() {
		config.Start = time.Now()
	}
	if config.Deadline == 0 {
		config.Deadline = defaultDeadline
	}
	c := &Cluster{config: config, outbox: control.NewOutbox(config.Sink, config.Start), numbers: map[string]int{}}
	c.app.Lock = &c.mu
	c.Changes = c.app.Changes(c.outbox.Flush)
	return c, nil
}

// Name is local.
func (c *Cluster) Name() string { return "local" }

// Deploy brings the app up.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	defer c.outbox.Flush()
	fault := func(err error) error { return fmt.Errorf("deploy %s: %w", app.Name, err) }
	if err := c.Check(app); err != nil {
		return fault(err)
	}
	if err := c.setUp(app); err != nil {
		return fault(err)
	}
	for _, level := range cluster.Levels(c.app.Deployed(), (*service).Spec) {
		for _, s := range level {
			if err := s.Scale(ctx, s.Wanted.Replicas); err != nil {
				return fault(err)
			}
		}
		for _, s := range level {
			if err := s.Deployed(ctx); err != nil {
				return fmt.Errorf("deploy %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// hint is where to look when a service does not come up.
func (c *Cluster) hint() string {
	if c.config.Dir == "" {
		return "see what the tasks printed, or check the service's environment and health check"
	}
	return "see " + filepath.Join(c.config.Dir, "logs") + ", or check the service's environment and health check"
}

// setUp makes everything that replicas need. When it fails nothing is left of it.
func (c *Cluster) setUp(app cluster.App) (err error) {
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.app.Deployed() != nil {
		return fmt.Errorf("%s is deployed already; remove it first", c.app.Name)
	}
	if c.config.Dir != "" {
		if err := os.MkdirAll(filepath.Join(c.config.Dir, "logs"), 0o755); err != nil {
			return err
		}
	}
	life, end := context.WithCancel(context.Background())
	bell := control.NewBell()
	services := []*service{}
	var server *redisServer
	defer func() {
		if err != nil {
			end()
			for _, s := range services {
				s.close()
			}
			if server != nil {
				server.close()
			}
		}
	}()
	var hosts []string
	for _, spec := range app.Services {
		s := newService(c, life, bell, spec)
		services = append(services, s)
		if s.port > 0 {
			if err := s.listen(); err != nil {
				return err
			}
			hosts = append(hosts, fmt.Sprintf("%s:%d=%s", s.name, s.port, s.address))
		}
		if s.isRedis && server == nil {
			if server, err = newRedis(c.config.Redis); err != nil {
				return err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.app.App, c.app.Services, c.redis, c.end, c.bell = app, services, server, end, bell
	c.hosts = strings.Join(hosts, ",")
	c.spawner = newSpawner()
	c.probes = &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.scrapes = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}}
	return nil
}

// Remove takes everything down, dependents first. Whatever still runs after four seconds, or when ctx is done, is killed.
func (c *Cluster) Remove(ctx context.Context) error {
	defer c.outbox.Flush()
	c.removal.Lock()
	defer c.removal.Unlock()
	services := c.app.Deployed()
	if services == nil {
		return nil
	}
	c.mu.Lock()
	c.end()
	c.bell.Ring(errRemoved)
	for _, s := range services {
		s.Abandon()
	}
	c.mu.Unlock()
	patience, cancel := context.WithTimeout(ctx, removeGrace)
	defer cancel()
	all := cluster.Levels(services, (*service).Spec)
	for i := len(all) - 1; i >= 0; i-- {
		c.mu.Lock()
		var tasks []*task
		for _, s := range all[i] {
			for _, t := range s.Tasks {
				t.askStop()
				tasks = append(tasks, t)
			}
		}
		c.mu.Unlock()
		for _, t := range tasks {
			select {
			case <-t.gone:
				continue
			case <-patience.Done():
			}
			c.mu.Lock()
			t.killNow()
			c.mu.Unlock()
			<-t.gone
		}
	}
	c.wg.Wait()
	if c.redis != nil {
		c.mu.Lock()
		c.redis.remove()
		c.mu.Unlock()
		c.redis.close()
	}
	for _, s := range services {
		s.close()
	}
	c.probes.CloseIdleConnections()
	c.scrapes.CloseIdleConnections()
	c.spawner.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(services) - 1; i >= 0; i-- {
		c.emit(services[i].name, "", event.ServiceRemoved{})
	}
	c.app.Clear()
	c.redis, c.hosts = nil, ""
	return nil
}

// Status lists the services as they are.
func (c *Cluster) Status(context.Context) ([]cluster.ServiceStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []cluster.ServiceStatus
	for _, s := range c.app.Services {
		list = append(list, s.status())
	}
	return list, nil
}

// Address is the virtual address of a service.
func (c *Cluster) Address(_ context.Context, service string) (string, error) {
	s, err := c.app.Lookup(service)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	if s.address == "" {
		return "", fmt.Errorf("address of %s: the service has no port", service)
	}
	return s.address, nil
}

// Kill ends a replica by SIGKILL.
func (c *Cluster) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	defer c.outbox.Flush()
	s, err := c.app.Lookup(service)
	if err != nil {
		return fmt.Errorf("kill %s.%d: %w", service, slot, err)
	}
	if s.isRedis {
		return fmt.Errorf("kill %s.%d: redis is no replica of the local cluster", service, slot)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := s.alive(slot)
	if err != nil {
		return fmt.Errorf("kill %s.%d: %w", service, slot, err)
	}
	fault.Down = cmp.Or(fault.Down, s.Wanted.Restart.Delay)
	t.fault, t.state = &fault, cluster.Stopping
	if t.backend != nil {
		s.rotation.kill(t.backend)
	}
	c.emit(service, t.name, event.TaskKilled{Down: fault.Down, InRotation: fault.InRotation})
	if err := t.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", t.name, err)
	}
	c.bell.Ring(nil)
	return nil
}

// Logs writes the output so far of every task of the service, those that are gone included where logs are kept.
func (c *Cluster) Logs(_ context.Context, service string, w io.Writer) error {
	s, err := c.app.Lookup(service)
	if err != nil {
		return fmt.Errorf("logs of %s: %w", service, err)
	}
	return s.logs(w)
}

// emit puts an event. Where the caller holds mu, events come in the order of what happened.
func (c *Cluster) emit(service, task string, p event.Payload) {
	c.outbox.Put(history.NewEvent(service, task, p))
}

func (c *Cluster) warn(message string) { c.emit("", "", event.Warning{Message: message}) }
