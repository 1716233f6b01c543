package overlay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
)

const probeDeadline = 30 * time.Second // and more where more is allowed for a change

// TryVIP makes a service with a virtual address, connects to it and removes it. why says how it did not work; nil: it did.
func (o *Overlay) TryVIP(ctx context.Context) (why, err error) {
	allowed := max(probeDeadline, o.engine.Deadline/2)
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, fmt.Errorf("no answer within %s", allowed))
	defer cancel()
	o.mu.Lock()
	app, overlay := o.app, o.network
	o.mu.Unlock()
	fault := func(err error) error { return fmt.Errorf("try a virtual address: %w", err) }
	one := uint64(1)
	made, err := o.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engine.ServiceName(app, "probe"), Labels: o.engine.Labels(app, "probe")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{Image: o.engine.Program(), Args: []string{"service", "rng"}, ReadOnly: true,
				Env: []string{"COIN_DELAY=0s"}},
			Networks:  []swarm.NetworkAttachmentConfig{{Target: overlay}},
			Placement: &swarm.Placement{Constraints: []string{"node.id==" + o.engine.Node}},
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP},
	}})
	if err != nil {
		return nil, fault(err)
	}
	defer o.engine.Discard(ctx, made.ID)
	task, err := o.runs(ctx, made.ID, overlay)
	if err != nil {
		return nil, fault(err)
	}
	found, err := o.engine.ServiceInspect(ctx, made.ID, client.ServiceInspectOptions{})
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
		conn, err := o.Dial(ctx, "tcp", host+":80")
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
		if o.engine.Sleep(ctx, engine.QuickPoll) != nil {
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
		if o.engine.Sleep(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return why, nil
}

// runs waits until the one task of a service runs, and returns its address.
func (o *Overlay) runs(ctx context.Context, service, overlay string) (string, error) {
	last := "no task"
	for {
		tasks, err := o.engine.TaskList(ctx, client.TaskListOptions{Filters: engine.OfService(service)})
		if err != nil {
			return "", err
		}
		for _, t := range tasks.Items {
			last = engine.Said(t)
			if t.Status.State == swarm.TaskStateRunning {
				for _, a := range t.NetworksAttachments {
					if len(a.Addresses) > 0 && a.Network.ID == overlay {
						return a.Addresses[0].Addr().String(), nil
					}
				}
			}
			if t.Status.State == swarm.TaskStateRejected || t.Status.State == swarm.TaskStateFailed {
				return "", errors.New(last)
			}
		}
		if err := o.engine.Sleep(ctx, engine.QuickPoll); err != nil {
			return "", fmt.Errorf("%w: its task is %s", err, last)
		}
	}
}
