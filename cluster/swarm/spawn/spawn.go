// Package spawn does something to a container on any node, by a job there that is this program and is given the engine's socket.
package spawn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
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

const deadline = 20 * time.Second // for a job to do its work

// PausedWord is what a job says when the container is frozen.
const PausedWord = "paused"

// thawMargin is how long after the time that was asked for a job that nobody ends thaws the container by itself.
const thawMargin = 15 * time.Second

// Container is where something is done.
type Container struct {
	App  string
	Node string // ID
	ID   string
}

// Job does it.
type Job struct {
	engine *engine.Engine
	id     string
}

// Kill ends a container by SIGKILL.
func Kill(ctx context.Context, e *engine.Engine, at Container) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not done within %s", deadline))
	defer cancel()
	j, err := start(ctx, e, at, "kill")
	if err != nil {
		return err
	}
	defer e.Discard(ctx, j.id)
	for {
		t, err := j.task(ctx)
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
		if err := (cluster.RealTime{}).Sleep(ctx, engine.QuickPoll); err != nil {
			return fmt.Errorf("by a job on its node: %w: %s", err, state)
		}
	}
}

// Freeze stops the processes of a container, until Thaw, and for d and a margin at most.
func Freeze(ctx context.Context, e *engine.Engine, at Container, d time.Duration) (Job, error) {
	starting, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not done within %s", deadline))
	defer cancel()
	j, err := start(starting, e, at, "pause", "--for", (d + thawMargin).String())
	if err != nil {
		return j, err
	}
	if err := j.hears(starting, PausedWord); err != nil {
		e.Discard(ctx, j.id)
		return j, fmt.Errorf("by a job on its node: %w", err)
	}
	return j, nil
}

// Thaw ends the job, whose last act is to thaw the container, and waits for its end.
func (j Job) Thaw(ctx context.Context) error {
	j.engine.Discard(ctx, j.id)
	for {
		if t, err := j.task(ctx); err == nil && (t == nil || observe.Ended(t.Status.State)) {
			return nil
		}
		if err := (cluster.RealTime{}).Sleep(ctx, engine.QuickPoll); err != nil {
			return err
		}
	}
}

// start starts a job on a container's node that is given the engine's socket there.
func start(ctx context.Context, e *engine.Engine, at Container, verb string, args ...string) (Job, error) {
	one := uint64(1)
	made, err := e.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engine.ServiceName(at.App, verb+"-"+at.ID[:12]), Labels: e.Labels(at.App, "job")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: e.Program(), Args: append([]string{verb + "-container", at.ID}, args...), User: "0:0", ReadOnly: true,
				Mounts: []mount.Mount{{Type: mount.TypeBind, Source: e.Socket, Target: "/var/run/docker.sock"}},
			},
			RestartPolicy: overlay.Once(),
			Placement:     &swarm.Placement{Constraints: []string{"node.id==" + at.Node}},
			LogDriver:     overlay.ReadBack(),
		},
	}})
	return Job{e, made.ID}, err
}

// task is the one task of a job as it is now; nil: there is none.
func (j Job) task(ctx context.Context) (*swarm.Task, error) {
	// By label: of a service that was removed the engine lists no tasks, though they have not ended yet.
	tasks, err := j.engine.TaskList(ctx, client.TaskListOptions{Filters: engine.Labelled(engine.RunLabel + "=" + j.engine.Run)})
	if err != nil {
		return nil, err
	}
	for i := range tasks.Items {
		if tasks.Items[i].ServiceID == j.id {
			return &tasks.Items[i], nil
		}
	}
	return nil, nil
}

// hears waits until a job says a word.
func (j Job) hears(ctx context.Context, word string) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	heard := make(chan string, 1)
	go func() { heard <- j.listen(reading, word) }()
	last := "no task"
	for {
		timer := time.NewTimer(engine.SlowPoll)
		select {
		case said := <-heard:
			timer.Stop()
			if said == word {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %s", context.Cause(ctx), last)
			}
			return errors.New(engineerr.Advised(said))
		case <-timer.C:
		}
		if t, err := j.task(ctx); err == nil && t != nil {
			last = strings.TrimSpace(string(t.Status.State) + " " + t.Status.Err)
			if t.Status.State == swarm.TaskStateRejected || t.Status.State == swarm.TaskStateFailed && t.Status.ContainerStatus == nil {
				return errors.New(engineerr.Advised(last)) // it never said anything
			}
		}
	}
}

// listen reads a job's log until it says a word, or ends. It returns the last line.
func (j Job) listen(ctx context.Context, word string) (last string) {
	logs, err := j.engine.ServiceLogs(ctx, j.id, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		return err.Error()
	}
	out := engine.Output(logs)
	defer out.Close()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if last = strings.TrimSpace(lines.Text()); last == word {
			break
		}
	}
	return last
}
