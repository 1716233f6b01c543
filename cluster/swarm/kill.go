package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/history"
)

const killDeadline = 20 * time.Second

// Kill ends a replica by SIGKILL: by the engine that we speak to where the replica is on its node, otherwise by a job on the
// replica's node that is given the engine's socket there. Its successor starts after the service's own restart delay; the
// engine knows no other, and keeps no dead replica in rotation. Where the slot is not there any more, because the service was
// made smaller, it is the one in that place among those that are.
func (c *Cluster) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	s, err := c.find(service)
	if err != nil {
		return fmt.Errorf("kill %s: %w", nth(service, slot), err)
	}
	if fault.InRotation {
		return fmt.Errorf("kill %s: a Swarm takes a dead replica out of rotation: %w", nth(service, slot), errors.ErrUnsupported)
	}
	c.mu.Lock()
	var victim *task
	var app string
	slots := []int{} // that there are: the engine chooses which stay when a service is made smaller
	for _, t := range c.live(s) {
		if !leaving(t) && !slices.Contains(slots, t.slot) {
			slots = append(slots, t.slot)
		}
	}
	real := slot
	if !slices.Contains(slots, slot) && slot >= 1 && slot <= len(slots) {
		real = slots[slot-1]
	}
	for _, t := range c.live(s) {
		if t.slot == real && t.joined && !leaving(t) && t.container != "" {
			victim = t
		}
	}
	replicas := s.spec.Replicas
	if victim == nil {
		c.mu.Unlock()
		if slot < 1 || slot > replicas {
			return fmt.Errorf("kill %s: the service has %d replicas; accepted: a slot from 1 to %d", nth(service, slot), replicas, replicas)
		}
		return fmt.Errorf("kill %s: no task of it runs now", nth(service, slot))
	}
	app = c.app.Name
	node, container, name := victim.node, victim.container, victim.name
	delay := s.spec.Restart.Delay
	victim.killed = true
	c.emit(history.TaskKilled, service, name, "down", delay.String(), "in_rotation", strconv.FormatBool(false))
	c.mu.Unlock()
	defer c.hurry()()
	if node == c.tunnel.node {
		_, err = c.engine.ContainerKill(ctx, container, client.ContainerKillOptions{Signal: "SIGKILL"})
		if cerrdefs.IsNotFound(err) {
			err = errors.New("its container is gone already")
		}
	} else {
		err = c.killOn(ctx, app, node, container)
	}
	if err != nil {
		c.mu.Lock()
		victim.killed = false
		c.mu.Unlock()
		return fmt.Errorf("kill %s: %w", name, err)
	}
	return nil
}

// killOn kills a container on another node by a job there.
func (c *Cluster) killOn(ctx context.Context, app, node, container string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killDeadline, fmt.Errorf("not done within %s", killDeadline))
	defer cancel()
	one := uint64(1)
	made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engineName(app, "kill-"+container[:12]), Labels: c.labels(app, "job")},
		Mode:        swarm.ServiceMode{ReplicatedJob: &swarm.ReplicatedJob{MaxConcurrent: &one, TotalCompletions: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: c.helper(), Args: []string{"kill-container", container}, User: "0:0", ReadOnly: true,
				Mounts: []mount.Mount{{Type: mount.TypeBind, Source: c.config.Socket, Target: "/var/run/docker.sock"}},
			},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone},
			Placement:     &swarm.Placement{Constraints: []string{"node.id==" + node}},
		},
	}})
	if err != nil {
		return err
	}
	defer func() {
		_, _ = c.engine.ServiceRemove(context.WithoutCancel(ctx), made.ID, client.ServiceRemoveOptions{})
	}()
	for {
		tasks, err := c.engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", made.ID)})
		if err != nil {
			return err
		}
		state := "no task"
		for _, t := range tasks.Items {
			state = string(t.Status.State) + " " + t.Status.Err
			switch t.Status.State {
			case swarm.TaskStateComplete:
				return nil
			case swarm.TaskStateFailed, swarm.TaskStateRejected:
				return fmt.Errorf("by a job on its node: %s", t.Status.Err)
			}
		}
		if err := c.Sleep(ctx, quickPoll); err != nil {
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
	c.mu.Lock()
	names := map[string]string{}
	var ids []string
	for id, t := range c.tasks {
		if t.s == s && t.started {
			names[id] = t.name
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	for _, id := range sortedBy(ids, names) {
		if err := c.taskLogs(ctx, id, names[id], w); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("logs of %s: %w", names[id], err)
		}
	}
	return nil
}

func (c *Cluster) taskLogs(ctx context.Context, id, name string, w io.Writer) error {
	logs, err := c.engine.TaskLogs(ctx, id, client.TaskLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err
	}
	defer logs.Close()
	lines, feed := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(feed, feed, logs)
		feed.CloseWithError(err)
	}()
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
