package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

const probeDeadline = 30 * time.Second // and more where more is allowed for a change

// chooseEndpoint decides whether virtual addresses are used, in auto mode by trying one.
func (c *Cluster) chooseEndpoint(ctx context.Context) error {
	c.mu.Lock()
	c.vip = c.config.Endpoint == VIP
	c.mu.Unlock()
	if c.config.Endpoint != Auto {
		return nil
	}
	why, err := c.TryVIP(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.vip = why == nil
	c.mu.Unlock()
	if why != nil {
		c.warn("virtual addresses do not work on this Swarm (%v): DNS round robin is used instead, where a client picks a replica at random; "+
			"the node's kernel may lack IPVS (modprobe ip_vs)", why)
	}
	return nil
}

// TryVIP makes a service with a virtual address, connects to it and removes it. why says how it did not work; nil: it did.
func (c *Cluster) TryVIP(ctx context.Context) (why, err error) {
	allowed := max(probeDeadline, c.config.Deadline/2)
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, fmt.Errorf("no answer within %s", allowed))
	defer cancel()
	c.mu.Lock()
	app, overlay := c.app.Name, c.network
	c.mu.Unlock()
	fault := func(err error) error { return fmt.Errorf("try a virtual address: %w", err) }
	one := uint64(1)
	made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engineName(app, "probe"), Labels: c.labels(app, "probe")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{Image: c.helper(), Args: []string{"service", "rng"}, ReadOnly: true, Env: []string{"COIN_DELAY=0s"}},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: overlay}},
			Placement:     &swarm.Placement{Constraints: []string{"node.id==" + c.tunnel.node}},
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP},
	}})
	if err != nil {
		return nil, fault(err)
	}
	defer func() {
		_, _ = c.engine.ServiceRemove(context.WithoutCancel(ctx), made.ID, client.ServiceRemoveOptions{})
	}()
	task, err := c.runs(ctx, made.ID)
	if err != nil {
		return nil, fault(err)
	}
	found, err := c.engine.ServiceInspect(ctx, made.ID, client.ServiceInspectOptions{})
	if err != nil {
		return nil, fault(err)
	}
	address := ""
	for _, v := range found.Service.Endpoint.VirtualIPs {
		if v.NetworkID == overlay {
			address = v.Addr.Addr().String()
		}
	}
	if address == "" {
		return errors.New("the engine gave none"), nil
	}
	connect := func(host string) error {
		ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, fmt.Errorf("no answer from %s", host))
		defer cancel()
		conn, err := c.Dial(ctx, "tcp", host+":80")
		if err == nil {
			conn.Close()
		}
		return err
	}
	// The task itself must answer first; its virtual address may need a moment more.
	for end := time.Now().Add(5 * time.Second); ; {
		if err = connect(task); err == nil || time.Now().After(end) || ctx.Err() != nil {
			break
		}
		if c.Sleep(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	if err != nil {
		return nil, fault(fmt.Errorf("the task itself does not answer: %w", err))
	}
	for range 5 {
		if why = connect(address); why == nil {
			return nil, nil
		}
		if c.Sleep(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return why, nil
}

// runs waits until the one task of a service runs, and returns its address.
func (c *Cluster) runs(ctx context.Context, id string) (string, error) {
	last := "no task"
	for {
		tasks, err := c.engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", id)})
		if err != nil {
			return "", err
		}
		for _, t := range tasks.Items {
			last = string(t.Status.State) + " " + t.Status.Err
			if t.Status.State == swarm.TaskStateRunning {
				for _, a := range t.NetworksAttachments {
					if len(a.Addresses) > 0 && a.Network.ID == c.network {
						return a.Addresses[0].Addr().String(), nil
					}
				}
			}
			if t.Status.State == swarm.TaskStateRejected || t.Status.State == swarm.TaskStateFailed {
				return "", fmt.Errorf("%s", last)
			}
		}
		if err := c.Sleep(ctx, quickPoll); err != nil {
			return "", fmt.Errorf("%w: its task is %s", err, last)
		}
	}
}
