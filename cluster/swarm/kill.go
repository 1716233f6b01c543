package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/overlay"
)

const besideDeadline = 20 * time.Second // for a job on a replica's node to do its work

// Kill ends a replica by SIGKILL: by the engine that we speak to where the replica is on its node, otherwise by a job on the
// replica's node that is given the engine's socket there. Its successor starts after the service's own restart delay; the
// engine knows no other, and keeps no dead replica in rotation.
func (c *Cluster) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	defer c.outbox.Flush()
	failed := func(err error) error { return fmt.Errorf("kill %s: %w", nth(service, slot), err) }
	if fault.InRotation {
		return failed(fmt.Errorf("a Swarm takes a dead replica out of rotation: %w", errors.ErrUnsupported))
	}
	v, err := c.victim(service, slot)
	if err != nil {
		return failed(err)
	}
	c.mu.Lock()
	c.advance(c.seen.Kill(v.id, v.restart))
	c.mu.Unlock()
	defer c.pollFast()()
	if v.node == c.engine.Node {
		_, err = c.engine.ContainerKill(ctx, v.container, client.ContainerKillOptions{Signal: "SIGKILL"})
		if engineerr.NotFound.Is(err) {
			err = errors.New("its container is gone already")
		}
	} else {
		err = c.killOn(ctx, v)
	}
	if err != nil {
		c.mu.Lock()
		c.seen = c.seen.Spare(v.id)
		c.mu.Unlock()
		return fmt.Errorf("kill %s: %w", v.name, err)
	}
	return nil
}

// spot is where a task's container is.
type spot struct {
	app, id, name, node, container string
	restart                        time.Duration // until its successor starts
}

// victim finds observe.State.Victim.
func (c *Cluster) victim(name string, slot int) (spot, error) {
	s, err := c.find(name)
	if err != nil {
		return spot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.seen.Victim(s.observed(), slot)
	if err != nil {
		return spot{}, err
	}
	return spot{c.app.Name, t.ID, t.Name, t.Node, t.Container, s.spec.Restart.Delay}, nil
}

// beside starts a job on a container's node that is given the engine's socket there.
func (c *Cluster) beside(ctx context.Context, at spot, verb string, args ...string) (id string, err error) {
	one := uint64(1)
	made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engine.ServiceName(at.app, verb+"-"+at.container[:12]), Labels: c.engine.Labels(at.app, "job")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: c.engine.Program(), Args: append([]string{verb + "-container", at.container}, args...), User: "0:0", ReadOnly: true,
				Mounts: []mount.Mount{{Type: mount.TypeBind, Source: c.engine.Socket, Target: "/var/run/docker.sock"}},
			},
			RestartPolicy: overlay.Once(),
			Placement:     &swarm.Placement{Constraints: []string{"node.id==" + at.node}},
			LogDriver:     overlay.ReadBack(),
		},
	}})
	return made.ID, err
}

// jobTask is the one task of a job as it is now; nil: there is none.
func (c *Cluster) jobTask(ctx context.Context, job string) (*swarm.Task, error) {
	// By label: of a service that was removed the engine lists no tasks, though they have not ended yet.
	tasks, err := c.engine.TaskList(ctx, client.TaskListOptions{Filters: engine.Labelled(engine.RunLabel + "=" + c.engine.Run)})
	if err != nil {
		return nil, err
	}
	for i := range tasks.Items {
		if tasks.Items[i].ServiceID == job {
			return &tasks.Items[i], nil
		}
	}
	return nil, nil
}

// killOn kills a container on another node by a job there.
func (c *Cluster) killOn(ctx context.Context, v spot) error {
	ctx, cancel := context.WithTimeoutCause(ctx, besideDeadline, fmt.Errorf("not done within %s", besideDeadline))
	defer cancel()
	job, err := c.beside(ctx, v, "kill")
	if err != nil {
		return err
	}
	defer c.engine.Discard(ctx, job)
	for {
		t, err := c.jobTask(ctx, job)
		if err != nil {
			return err
		}
		state := "no task"
		if t != nil {
			state = string(t.Status.State) + " " + t.Status.Err
			switch t.Status.State {
			case swarm.TaskStateComplete:
				return nil
			case swarm.TaskStateFailed, swarm.TaskStateRejected:
				return fmt.Errorf("by a job on its node: %s", t.Status.Err)
			}
		}
		if err := c.Sleep(ctx, engine.QuickPoll); err != nil {
			return fmt.Errorf("by a job on its node: %w: %s", err, state)
		}
	}
}

// Logs writes the output so far of every task of the service that the engine still has.
func (c *Cluster) Logs(ctx context.Context, service string, w io.Writer) error {
	s, err := c.find(service)
	if err != nil {
		return fmt.Errorf("logs of %s: %w", service, err)
	}
	tasks := c.state().All(func(t observe.Task) bool { return t.Service == s.name && t.Started })
	for _, t := range tasks {
		if err := c.taskLogs(ctx, t.ID, t.Name, w); err != nil && !engineerr.NotFound.Is(err) {
			return fmt.Errorf("logs of %s: %w", t.Name, err)
		}
	}
	return nil
}

func (c *Cluster) taskLogs(ctx context.Context, id, name string, w io.Writer) error {
	logs, err := c.engine.TaskLogs(ctx, id, client.TaskLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err
	}
	lines := engine.Output(logs)
	defer lines.Close()
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if _, err := fmt.Fprintf(w, "%s | %s\n", name, scanner.Text()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
