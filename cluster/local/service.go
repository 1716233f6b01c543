package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	*control.Sets[*task]

	// mu: the cluster's
	spec     cluster.Service
	failures int // connections that failed and were recorded
	slots    map[int]*slot
	tasks    []*task       // that are not gone yet
	settled  chan struct{} // of the last switch
}

// slot is the place of a replica.
type slot struct {
	n        int
	current  *task
	attempts []time.Time   // restarts
	givenUp  error         // it is not restarted any more
	failure  string        // what became of the last task that failed
	pending  chan struct{} // closed to cancel the restart that is waited for; nil: none is
}

// wanted is what the service shall be.
func (s *service) wanted() cluster.Service { return s.spec }

// cancel gives up the restart that is waited for. The caller holds mu.
func (s *slot) cancel() {
	if s.pending != nil {
		close(s.pending)
		s.pending = nil
	}
}

func newService(c *Cluster, life context.Context, bell *control.Bell, spec cluster.Service) *service {
	kind, _, _ := cluster.OwnImage(spec.Image)
	s := &service{c: c, life: life, name: spec.Name, spec: spec, isRedis: kind == cluster.Redis, slots: map[int]*slot{}}
	s.Bell, s.Sets = bell, &control.Sets[*task]{Hands: s, Lock: &c.mu}
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
	for _, port := range publishedPorts(s.spec, s.c.config.Publish) {
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

// launch starts a new task in a slot. The caller holds mu.
func (s *service) launch(sl *slot, spec cluster.Service) *task {
	t := s.begin(sl, spec, false)
	sl.current = t
	return t
}

// begin starts a new task next to the one that its slot has. held: it does not go into rotation by itself. The caller holds mu.
func (s *service) begin(sl *slot, spec cluster.Service, held bool) *task {
	place := fmt.Sprintf("%s.%d", s.name, sl.n)
	s.c.numbers[place]++
	t := &task{
		c: s.c, s: s, name: fmt.Sprintf("%s#%d", place, s.c.numbers[place]), slot: sl.n, spec: spec, state: cluster.Starting,
		stop: make(chan struct{}), kill: make(chan struct{}), gone: make(chan struct{}), held: held,
	}
	s.tasks = append(s.tasks, t)
	s.c.wg.Go(func() {
		t.run()
		s.c.mu.Lock()
		s.tasks = slices.DeleteFunc(s.tasks, func(x *task) bool { return x == t })
		if t.err != nil {
			sl.failure = t.lastWords()
		}
		if sl.current == t && s.slots[sl.n] == sl && !t.stopRequested && s.life.Err() == nil {
			s.replace(sl, t)
		}
		s.c.bell.Ring(nil)
		s.c.mu.Unlock()
		close(t.gone)
	})
	return t
}

// replace starts a successor of a task that ended by itself, when the restart policy says so. The caller holds mu.
func (s *service) replace(sl *slot, t *task) {
	delay := s.spec.Restart.Delay
	if t.fault != nil {
		if delay = t.fault.Down; t.fault.InRotation {
			delay = 0 // that time is over
		}
	} else {
		switch s.spec.Restart.Condition {
		case "none":
			sl.givenUp = fmt.Errorf("%s, and its restart policy is none", sl.failure)
			return
		case "on-failure":
			if t.success {
				sl.givenUp = fmt.Errorf("%s, and its restart policy is on-failure", sl.failure)
				return
			}
		}
		now := time.Now()
		if w := s.spec.Restart.Window; w > 0 {
			sl.attempts = slices.DeleteFunc(sl.attempts, func(at time.Time) bool { return now.Sub(at) > w })
		}
		if most := s.spec.Restart.MaxAttempts; most > 0 && len(sl.attempts) >= most {
			sl.givenUp = fmt.Errorf("%s, after %d restarts, which is the most that its restart policy allows", sl.failure, most)
			return
		}
		sl.attempts = append(sl.attempts, now)
	}
	cancelled := make(chan struct{})
	sl.pending = cancelled
	s.c.wg.Go(func() {
		select {
		case <-time.After(delay):
		case <-cancelled:
			return
		}
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		if sl.pending == cancelled {
			sl.pending = nil
			s.launch(sl, s.spec)
		}
	})
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

// Missing is control's.
func (s *service) Missing() (missing error, hopeless bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	var faults []error
	for _, n := range slices.Sorted(maps.Keys(s.slots)) {
		sl := s.slots[n]
		switch t := sl.current; {
		case sl.givenUp != nil:
			faults, hopeless = append(faults, sl.givenUp), true
		case t.over || t.fault != nil:
			faults = append(faults, fmt.Errorf("%s.%d waits for its restart; last, %s", s.name, n, sl.failure))
		case t.state != cluster.Running:
			text := fmt.Sprintf("%s is %s", t.name, t.state)
			if sl.failure != "" {
				text += "; before, " + sl.failure
			}
			faults = append(faults, errors.New(text))
		}
	}
	for _, t := range s.tasks {
		if sl := s.slots[t.slot]; sl == nil || sl.current != t {
			faults = append(faults, fmt.Errorf("%s has not ended yet", t.name))
		}
	}
	return errors.Join(faults...), hopeless
}

// status is the service as it is. The caller holds mu.
func (s *service) status() cluster.ServiceStatus {
	st := cluster.ServiceStatus{Service: s.spec, Published: s.published}
	if s.isRedis {
		st.Tasks = s.c.redis.status(s)
	}
	add := func(t *task) {
		x := cluster.Task{Name: t.name, Service: s.name, Slot: t.slot, Node: "local", Image: t.spec.Image, State: t.state, Address: t.listen}
		if t.err != nil {
			x.Error = t.err.Error()
		}
		st.Tasks = append(st.Tasks, x)
	}
	for _, t := range s.tasks {
		add(t)
	}
	for _, sl := range s.slots {
		if sl.current != nil && !slices.Contains(s.tasks, sl.current) {
			add(sl.current)
		}
	}
	slices.SortStableFunc(st.Tasks, func(a, b cluster.Task) int { return a.Slot - b.Slot })
	for _, t := range st.Tasks {
		if t.State == cluster.Running {
			st.Running++
		}
	}
	return st
}

// logs writes what the tasks printed, from the files where there are any.
func (s *service) logs(w io.Writer) error {
	if s.c.config.Dir == "" {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		for _, t := range s.tasks {
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
