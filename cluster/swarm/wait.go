package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
)

var errRemoved = errors.New("the app was removed meanwhile")

// Texts of engines that waiting does not help against, and what to do.
var hopeless = []struct{ text, advice string }{
	{"No such image", "push the image where every node can pull it: coinbench images push --registry HOST:PORT, then --registry HOST:PORT"},
	{"manifest unknown", "push the image: coinbench images push --registry HOST:PORT"},
	{"pull access denied", "push the image to a registry that every node may pull from: coinbench images push --registry HOST:PORT"},
	{"no matching manifest", "the image is made for another machine"},
	{"invalid mount", "correct the mount"},
	{"executable file not found", "correct the command"},
	{"no space left on device", "make room on the node"},
}

// await waits until a service is as wished: every slot in rotation, nothing else left.
func (c *Cluster) await(ctx context.Context, s *service, what string) error {
	allowance := c.allowance(s)
	deadline := time.NewTimer(allowance)
	defer deadline.Stop()
	since := c.looks()
	for {
		c.mu.Lock()
		advice, missing := c.missing(s, since)
		removed, news := s.removed, c.news
		c.mu.Unlock()
		switch {
		case removed:
			return fmt.Errorf("%s %s: %w", what, s.name, errRemoved)
		case missing == nil:
			return nil
		case advice != "":
			return fmt.Errorf("%s %s: %w; %s", what, s.name, missing, advice)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w: %w", what, s.name, context.Cause(ctx), missing)
		case <-deadline.C:
			return fmt.Errorf("%s %s: not converged within %s: %w; see what the tasks printed with: docker service logs %s; or check the "+
				"service's environment and health check",
				what, s.name, allowance, missing, engineName(c.app.Name, s.name))
		}
	}
}

// looks is how often the watcher has looked: what it saw before a change says nothing of it.
func (c *Cluster) looks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looked
}

// allowance is the deadline of one change: the cluster's, and what the app itself asks for.
func (c *Cluster) allowance(s *service) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.config.Deadline + s.spec.StopGrace
	if boot, err := time.ParseDuration(s.spec.Environment["COIN_BOOT_DELAY"]); err == nil {
		d += boot
	}
	if h := s.spec.Health; h != nil {
		d += h.StartPeriod + time.Duration(h.Retries)*(h.Interval+h.Timeout)
	}
	return d
}

// missing says which tasks are not as wished, judged by looks after since; nil: all are. advice is not empty when waiting
// does not help. The caller holds mu.
func (c *Cluster) missing(s *service, since int) (advice string, err error) {
	if c.looked < since+2 { // the look that was going on may have begun before the change
		c.look()
		return "", errors.New("the engine was not asked yet")
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	filled := map[int]bool{}
	for _, t := range c.live(s) {
		switch {
		case leaving(t) || t.engine != s.id:
			fault("%s has not ended yet", t.name)
			continue
		case t.joined && !filled[t.slot]:
			filled[t.slot] = true
			continue
		}
		filled[t.slot] = true
		text := fmt.Sprintf("%s is %s", t.name, t.state)
		if n := c.nodes[t.node].name; n != "" {
			text += " on " + n
		}
		if t.pending != "" {
			text += ": " + t.pending
			if strings.Contains(t.pending, "no suitable node") && time.Since(t.created) > 5*time.Second {
				advice = "make room, or change deploy.placement.constraints or the published port"
			}
		}
		if last := c.lastFault(s, t.slot); last != "" {
			text += "; before, " + last
			advice = advise(last, advice)
		}
		fault("%s", text)
	}
	// Which slots stay when a service is made smaller is the engine's choice.
	switch n := len(filled); {
	case s.spec.Global && n == 0:
		fault("%s has no task on any node", s.name)
	case !s.spec.Global && n > s.spec.Replicas:
		fault("%d of %d tasks of %s are not told to stop yet", n-s.spec.Replicas, n, s.name)
	case !s.spec.Global && n < s.spec.Replicas:
		text := fmt.Sprintf("%d of %d tasks of %s are not there", s.spec.Replicas-n, s.spec.Replicas, s.name)
		if last := c.lastFault(s, 0); last != "" {
			text += "; last, " + last
			advice = advise(last, advice)
		}
		fault("%s", text)
	}
	if len(faults) > 5 {
		faults = append(faults[:5:5], fmt.Errorf("and %d more", len(faults)-5))
	}
	return advice, errors.Join(faults...)
}

func advise(fault, advice string) string {
	for _, h := range hopeless {
		if strings.Contains(fault, h.text) {
			return h.advice
		}
	}
	return advice
}

// retried calls the engine until it answers: a manager that restarts, or has no leader for a moment, is waited for.
func (c *Cluster) retried(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Deadline, fmt.Errorf("the engine did not answer within %s", c.config.Deadline))
	defer cancel()
	for {
		err := call(ctx)
		if err == nil || !passing(err) {
			return err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// passing says that an error is one of a moment: of the engine's restart, or of a Swarm without a leader.
func passing(err error) bool {
	text := err.Error()
	return client.IsErrConnectionFailed(err) || cerrdefs.IsUnavailable(err) || strings.Contains(text, "EOF") ||
		strings.Contains(text, "update out of sequence") || strings.Contains(text, "does not have a leader") ||
		strings.Contains(text, "connection reset")
}

// change changes the engine's service: edit is given its spec as it is now.
func (c *Cluster) change(ctx context.Context, s *service, edit func(*swarm.ServiceSpec)) error {
	c.mu.Lock()
	base := s.base
	c.mu.Unlock()
	if base == nil {
		return c.changeSet(ctx, s.id, edit)
	}
	var next swarm.ServiceSpec
	err := c.changeSet(ctx, s.id, func(spec *swarm.ServiceSpec) {
		engine := *spec
		engine.Labels = maps.Clone(engine.Labels)
		edit(spec)
		ours := *spec
		*spec = kept(*base, ours, engine)
		next = kept(engine, ours, *base) // what this change does is ours from now on
	})
	if err == nil {
		c.mu.Lock()
		s.base = &next
		c.mu.Unlock()
	}
	return err
}

func (c *Cluster) changeSet(ctx context.Context, id string, edit func(*swarm.ServiceSpec)) error {
	return c.retried(ctx, func(ctx context.Context) error {
		found, err := c.engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
		if err != nil {
			return err
		}
		spec := found.Service.Spec
		edit(&spec)
		_, err = c.engine.ServiceUpdate(ctx, id, client.ServiceUpdateOptions{Version: found.Service.Version, Spec: spec})
		return err
	})
}

// Status lists the services as they are now.
func (c *Cluster) Status(ctx context.Context) ([]cluster.ServiceStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []cluster.ServiceStatus
	for _, s := range c.services {
		st := cluster.ServiceStatus{Service: s.spec, Published: s.published, Note: s.note}
		present := map[int]bool{}
		add := func(t *task) {
			x := cluster.Task{Name: t.name, Service: s.name, Slot: t.slot, Node: c.nodes[t.node].name, Image: t.image, State: t.taskState(),
				Error: t.fault(), Address: t.reach()}
			if x.Error == "" {
				x.Error = t.pending
			}
			if x.Error == "" && x.State == cluster.Starting {
				x.Error = c.lastFault(s, t.slot)
			}
			if x.State == cluster.Running {
				st.Running++
			}
			st.Tasks = append(st.Tasks, x)
		}
		for _, t := range c.live(s) {
			present[t.slot] = true
			add(t)
		}
		if s.spec.Global {
			st.Replicas = len(present)
		}
		list = append(list, st)
	}
	return list, nil
}

// publishedNow are the addresses at which the published ports are reached: by the routing mesh at any node, of which the manager's is
// given; otherwise at the node of each task, which may have a port of its own. The caller holds mu.
func (c *Cluster) publishedNow(s *service) []string {
	var list []string
	for _, port := range s.mesh {
		if here := c.nodes[c.tunnel.node].address; here != "" {
			list = append(list, net.JoinHostPort(here, strconv.Itoa(port)))
		}
	}
	for _, t := range c.live(s) {
		for _, port := range t.ports {
			if at := c.nodes[t.node].address; t.joined && !leaving(t) && at != "" {
				list = append(list, net.JoinHostPort(at, strconv.Itoa(port)))
			}
		}
	}
	return list
}

// Address is the service's name and port, as the app itself reaches it inside the overlay. Of an image that is not ours and publishes
// nothing, the port is the one that the image exposes, where the manager's engine has it.
func (c *Cluster) Address(ctx context.Context, service string) (string, error) {
	s, err := c.find(service)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	c.mu.Lock()
	listen, _ := s.spec.Listens()
	image := c.reference(s.spec.Image)
	foreign := cluster.ParseImage(s.spec.Image).Kind == ""
	c.mu.Unlock()
	if listen == 0 && foreign {
		if listen, err = c.exposed(ctx, image); err != nil {
			return "", fmt.Errorf("address of %s: %w; say it by port: in the step, or by expose: in the Compose file", service, err)
		}
	}
	if listen == 0 {
		return "", fmt.Errorf("address of %s: the service has no port", service)
	}
	return net.JoinHostPort(s.name, strconv.Itoa(listen)), nil
}

// AddressAt is the service's name, and a port.
func (c *Cluster) AddressAt(_ context.Context, service string, port int) (string, error) {
	s, err := c.find(service)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	return net.JoinHostPort(s.name, strconv.Itoa(port)), nil
}

// exposed is the one TCP port that an image exposes.
func (c *Cluster) exposed(ctx context.Context, image string) (int, error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := c.engine.ImageInspect(asking, image)
	if err != nil {
		return 0, fmt.Errorf("on which port it listens is not known (%w)", err)
	}
	var list []int
	if found.Config != nil {
		for text := range found.Config.ExposedPorts {
			number, protocol, _ := strings.Cut(text, "/")
			if n, err := strconv.Atoi(number); err == nil && (protocol == "" || protocol == "tcp") {
				list = append(list, n)
			}
		}
	}
	if len(list) != 1 {
		slices.Sort(list)
		return 0, fmt.Errorf("on which port it listens is not known: its image %s exposes %v", image, list)
	}
	return list[0], nil
}
