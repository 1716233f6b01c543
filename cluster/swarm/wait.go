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

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
)

var errRemoved = errors.New("the app was removed meanwhile")

// askedSince says whether the engine was asked anew since a look: the one in progress then may have begun before a change. The caller
// holds mu.
func (c *Cluster) askedSince(since int) error {
	if c.seen.Looks >= since+2 {
		return nil
	}
	c.pollNow()
	return errors.New("the engine was not asked yet")
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
		theirs := *spec
		theirs.Labels = maps.Clone(theirs.Labels)
		edit(spec)
		ours := *spec
		*spec = describe.Kept(*base, ours, theirs)
		next = describe.Kept(theirs, ours, *base) // what this change does is ours from now on
	})
	if err == nil {
		c.mu.Lock()
		s.base = &next
		c.mu.Unlock()
	}
	return err
}

func (c *Cluster) changeSet(ctx context.Context, id string, edit func(*swarm.ServiceSpec)) error {
	return c.engine.Retried(ctx, func(ctx context.Context) error {
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
	for _, s := range c.app.Services {
		st := cluster.ServiceStatus{Service: s.spec, Published: s.published, Note: s.note}
		var slots int
		if st.Tasks, slots = c.seen.Tasks(s.observed()); s.spec.Global {
			st.Replicas = slots
		}
		st.Running = running(st.Tasks)
		list = append(list, st)
	}
	return list, nil
}

// running is how many of the tasks run.
func running(tasks []cluster.Task) (n int) {
	for _, t := range tasks {
		if t.State == cluster.Running {
			n++
		}
	}
	return n
}

// Address is the service's name and port, as the app itself reaches it inside the overlay. Of an image that is not ours and publishes
// nothing, the port is the one that the image exposes, where the manager's engine has it.
func (c *Cluster) Address(ctx context.Context, service string) (string, error) {
	s, err := c.app.Lookup(service)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	c.mu.Lock()
	listen, _ := s.spec.Listens()
	image := c.engine.Reference(s.spec.Image)
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
	s, err := c.app.Lookup(service)
	if err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	return net.JoinHostPort(s.name, strconv.Itoa(port)), nil
}

// exposed is the one TCP port that an image exposes.
func (c *Cluster) exposed(ctx context.Context, image string) (int, error) {
	asking, cancel := context.WithTimeout(ctx, engine.AskTimeout)
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
