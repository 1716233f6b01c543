package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/relay"
)

const startTimeout = time.Minute // for all copies to run, and more where more is allowed for a change

// Once is the restart policy that makes a job of a service: its tasks run to their end, and that is all. The engine's own job modes are
// not used: with the service an engine forgets the tasks of a job, which go on or stay as dead containers on the nodes for ever
// (https://github.com/moby/moby/issues/42789, seen with 20.10).
func Once() *swarm.RestartPolicy {
	return &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone}
}

// ReadBack is the log driver of a job: whatever the nodes' own is, this one can be read back.
func ReadBack() *swarm.Driver { return &swarm.Driver{Name: "json-file"} }

// StartJob is that of cluster.Jobs.
func (o *Overlay) StartJob(ctx context.Context, args []string, copies int) (job string, err error) {
	if _, _, err := o.Relay(ctx); err != nil {
		return "", err
	}
	placement := &swarm.Placement{Preferences: []swarm.PlacementPreference{{Spread: &swarm.SpreadOver{SpreadDescriptor: "node.id"}}}}
	if o.Constraints != nil {
		if placement.Constraints, err = o.Constraints(); err != nil {
			return "", err
		}
	}
	o.mu.Lock()
	o.jobs++
	job = engine.ServiceName(o.app, fmt.Sprintf("job%d", o.jobs))
	app, overlay, place := o.app, o.network, o.address+":"+relay.MeetingPort
	o.mu.Unlock()
	n := uint64(copies)
	_, err = o.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: job, Labels: o.engine.Labels(app, "job")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &n}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: o.engine.Program(), Args: args, ReadOnly: true,
				Env: []string{cluster.MeetingVariable + "=" + place, cluster.JobVariable + "=" + job,
					cluster.CopyVariable + "={{.Task.Slot}}", cluster.NodeVariable + "={{.Node.Hostname}}"},
			},
			RestartPolicy: Once(),
			Placement:     placement,
			Networks:      []swarm.NetworkAttachmentConfig{{Target: overlay}},
			LogDriver:     ReadBack(),
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeDNSRR},
	}})
	if err != nil {
		return "", err
	}
	if err := o.started(ctx, job, copies); err != nil {
		o.engine.Discard(ctx, job)
		return "", err
	}
	return job, nil
}

// started waits until all copies of a job run.
func (o *Overlay) started(ctx context.Context, job string, copies int) error {
	allowed := max(startTimeout, o.engine.Deadline)
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, fmt.Errorf("not all copies ran within %s", allowed))
	defer cancel()
	last := "there is no task yet"
	for {
		tasks, err := o.engine.TaskList(ctx, client.TaskListOptions{Filters: engine.OfService(job)})
		if err != nil && !engineerr.Passing.Is(err) {
			return err
		}
		run := 0
		for _, t := range tasks.Items {
			switch said := engine.Said(t); {
			case t.Status.State == swarm.TaskStateRunning, t.Status.State == swarm.TaskStateComplete:
				run++
			case observe.Ended(t.Status.State):
				return errors.New(engineerr.Advised(said))
			case engineerr.NoPlace.In(said) && time.Since(t.CreatedAt) > 5*time.Second:
				return fmt.Errorf("one has no place: %s", t.Status.Err)
			default:
				last = "the next is " + said
			}
		}
		if run == copies {
			return nil
		}
		if err := o.engine.Sleep(ctx, engine.QuickPoll); err != nil {
			return fmt.Errorf("%w: %d of %d run; %s", err, run, copies, last)
		}
	}
}

// JobOutput is that of cluster.Jobs.
func (o *Overlay) JobOutput(ctx context.Context, job string) (io.ReadCloser, error) {
	logs, err := o.engine.ServiceLogs(ctx, job, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		return nil, err
	}
	return engine.Output(logs), nil
}

// JobEnds is that of cluster.Jobs.
func (o *Overlay) JobEnds(ctx context.Context, job string) (map[int]string, error) {
	tasks, err := o.engine.TaskList(ctx, client.TaskListOptions{Filters: engine.OfService(job)})
	if err != nil {
		return nil, err
	}
	nodes, err := o.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, err
	}
	byID := map[string]swarm.Node{}
	for _, n := range nodes.Items {
		byID[n.ID] = n
	}
	ends := map[int]string{}
	for _, t := range tasks.Items {
		n := byID[t.NodeID]
		switch {
		case t.Status.State == swarm.TaskStateComplete:
			ends[t.Slot] = ""
		case observe.Ended(t.Status.State):
			ends[t.Slot] = fmt.Sprintf("on %s: it ended: %s", n.Description.Hostname, engine.Said(t))
		case n.Status.State == swarm.NodeStateDown:
			ends[t.Slot] = fmt.Sprintf("on %s: its node is down", n.Description.Hostname)
		}
	}
	return ends, nil
}

// EndJob is that of cluster.Jobs.
func (o *Overlay) EndJob(ctx context.Context, job string) { o.engine.Discard(ctx, job) }

// DialMeeting is that of cluster.Jobs.
func (o *Overlay) DialMeeting(ctx context.Context) (net.Conn, error) {
	return o.Dial(ctx, "tcp", "127.0.0.1:"+relay.MeetingPort)
}
