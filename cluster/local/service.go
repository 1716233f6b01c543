package local

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/history/event"
	"coinbench/internal/seeded"
)

// service is a deployed service. Fields below mu belong to the cluster's mutex.
type service struct {
	c         *Cluster
	life      context.Context // ends when Remove begins
	name      string
	port      int // that it would have in a container; 0: none
	isRedis   bool
	rotation  *rotation
	proxy     *proxy // nil: no port
	address   string // virtual
	published []string
	*control.Service
	*control.Bell // the cluster's
	control.SlotTable[*task]

	// mu: the cluster's
	failures int           // connections that failed and were recorded
	settled  chan struct{} // of the last switch
}

func newService(c *Cluster, life context.Context, bell *control.Bell, spec cluster.Service) *service {
	kind, _, _ := cluster.OwnImage(spec.Image)
	s := &service{c: c, life: life, name: spec.Name, isRedis: kind == cluster.Redis}
	s.Bell = bell
	s.SlotTable = control.SlotTable[*task]{Sets: control.Sets[*task]{Hands: s, Lock: &c.mu}, Numbers: c.numbers, Bell: bell, Wanted: spec,
		New: s.newTask}
	s.Service = control.New(s, rollout.State{Spec: spec}, c.hint(), c.outbox.Put)
	s.port, _ = spec.Listens()
	if s.port > 0 {
		s.rotation = newRotation(spec.Balance, seeded.NewBalancer(c.config.Seed, spec.Name))
		s.proxy = newProxy(s.rotation)
		s.proxy.failed = s.connectionFailed
	}
	return s
}

// mostFailures is how many failed connections of a service are recorded one by one; a service that is down for long would fill the
// record with them.
const mostFailures = 20000

// connectionFailed records a connection that was not brought to an end, so that a failed request can be attributed to a replica.
func (s *service) connectionFailed(task, why string) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.failures++; s.failures > mostFailures {
		return
	}
	s.c.emit(s.name, task, event.ConnectionFailed{Why: why})
}

// listen opens the virtual address.
func (s *service) listen() (err error) {
	if s.address, err = s.proxy.listen("127.0.0.1:0", ""); err != nil {
		return fmt.Errorf("virtual address of %s: %w", s.name, err)
	}
	return nil
}

// publish opens the published ports, once there is a replica to ask.
func (s *service) publish() error {
	if s.proxy == nil || len(s.published) > 0 {
		return nil
	}
	for _, port := range publishedPorts(s.Wanted, s.c.config.Publish) {
		bound, err := s.proxy.listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "")
		if err != nil {
			return portFault(s.name, port, err)
		}
		s.published = append(s.published, bound)
	}
	return nil
}

// publishedPorts are the Compose file's, or the one that is asked for instead; 0 is any free one.
func publishedPorts(s cluster.Service, instead map[string]int) (ports []int) {
	for _, p := range s.Ports {
		if port, ok := instead[s.Name]; ok {
			return []int{port}
		}
		ports = append(ports, p.Published)
	}
	return ports
}

func portFault(service string, port int, err error) error {
	return fmt.Errorf("publish service %s: port %d cannot be bound: %w; choose another by --publish %s=%d, or any free one by --publish %s=0",
		service, port, err, service, port%65535+1, service)
}

// close closes the addresses.
func (s *service) close() {
	if s.proxy != nil {
		s.proxy.close()
	}
}

// newTask is SlotTable's New.
func (s *service) newTask(name string, slot int, spec cluster.Service, held bool) (*task, func(), error) {
	if s.life.Err() != nil {
		return nil, nil, errRemoved
	}
	t := &task{
		c: s.c, s: s, name: name, slot: slot, spec: spec, state: cluster.Starting,
		stop: make(chan struct{}), kill: make(chan struct{}), gone: make(chan struct{}), held: held,
	}
	return t, func() {
		s.c.wg.Go(func() {
			t.run()
			s.c.mu.Lock()
			failure, down := "", time.Duration(-1)
			if t.err != nil && !t.stopRequested && s.life.Err() == nil {
				failure = t.lastWords()
			}
			if t.fault != nil {
				if down = t.fault.Down; t.fault.InRotation {
					down = 0 // that time is over
				}
			}
			s.Ended(slot, t, failure, t.success, down)
			s.c.bell.Ring(nil)
			s.c.mu.Unlock()
			close(t.gone)
		})
	}, nil
}

// askStop tells a task to stop. The caller holds mu.
func (t *task) askStop() {
	if !t.stopRequested {
		t.stopRequested = true
		close(t.stop)
		if t.fault != nil && t.fault.InRotation {
			t.killNow() // it is dead, and only the balancer is to learn of it
		}
	}
}

// killNow takes the rest of its grace from a task. The caller holds mu.
func (t *task) killNow() {
	if !t.killed {
		t.killed = true
		close(t.kill)
	}
}

// lastWords says how a task ended, with the last it had to say. The caller holds mu.
func (t *task) lastWords() string {
	text := fmt.Sprintf("%s: %v", t.name, t.err)
	if t.log != nil {
		if lines := t.log.last(5); len(lines) > 0 {
			text += "; its last lines:\n\t" + strings.Join(lines, "\n\t") + "\n"
		}
	}
	return text
}

// status is the service as it is. The caller holds mu.
func (s *service) status() cluster.ServiceStatus {
	status := s.Status()
	status.Published = s.published
	if s.isRedis {
		status.Tasks = s.c.redis.status(s)
		status.Running = len(status.Tasks)
	}
	return status
}

// logs writes what the tasks printed, from the files where there are any.
func (s *service) logs(w io.Writer) error {
	if s.c.config.Dir == "" {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		for _, t := range s.Tasks {
			if t.log == nil {
				continue
			}
			for _, line := range t.log.last(100) {
				if _, err := fmt.Fprintf(w, "%s | %s\n", t.name, line); err != nil {
					return err
				}
			}
		}
		return nil
	}
	names, err := filepath.Glob(filepath.Join(s.c.config.Dir, "logs", s.name+".*.log"))
	if err != nil {
		return fmt.Errorf("logs of %s: %w", s.name, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("logs of %s: %w", s.name, err)
		}
		task := strings.TrimSuffix(filepath.Base(name), ".log")
		for line := range strings.Lines(string(text)) {
			if _, err := fmt.Fprintf(w, "%s | %s\n", task, strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
