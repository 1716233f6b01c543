package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
)

// PausedWord is what a job says when the container is frozen.
const PausedWord = "paused"

// thawMargin is how long after the time that was asked for a job that nobody ends thaws the container by itself.
const thawMargin = 15 * time.Second

// Pause freezes a replica for at least a time: a job on its node, which is given the engine's socket there, freezes it and thaws it when
// it is told to stop, whoever tells it, or nobody does. A health check of a frozen replica fails: one that is frozen for longer than
// its checks allow is replaced.
func (c *Cluster) Pause(ctx context.Context, service string, slot int, d time.Duration) error {
	defer c.outbox.Flush()
	failed := func(err error) error { return fmt.Errorf("pause %s: %w", nth(service, slot), err) }
	at, err := c.victim(service, slot)
	if err != nil {
		return failed(err)
	}
	starting, cancel := context.WithTimeoutCause(ctx, besideDeadline, fmt.Errorf("not done within %s", besideDeadline))
	defer cancel()
	job, err := c.beside(starting, at, "pause", "--for", (d + thawMargin).String())
	if err != nil {
		return failed(err)
	}
	if err := c.hears(starting, job, PausedWord); err != nil {
		c.engine.Discard(ctx, job)
		return failed(fmt.Errorf("by a job on its node: %w", err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.seen.Pause(at.id, d))
	if c.life == nil {
		return failed(errRemoved)
	}
	life := c.life
	c.watching.Go(func() {
		if c.Sleep(life, d) != nil {
			return // the job goes with the app
		}
		c.engine.Discard(life, job)
		for { // its last act is to thaw the replica
			if t, err := c.jobTask(life, job); err == nil && (t == nil || observe.Ended(t.Status.State)) {
				break
			}
			if c.Sleep(life, engine.QuickPoll) != nil {
				return
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.advance(c.seen.Recover(at.id))
	})
	return nil
}

// hears waits until a job says a word.
func (c *Cluster) hears(ctx context.Context, job, word string) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	heard := make(chan string, 1)
	go func() { heard <- c.listen(reading, job, word) }()
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
		if t, err := c.jobTask(ctx, job); err == nil && t != nil {
			last = strings.TrimSpace(string(t.Status.State) + " " + t.Status.Err)
			if t.Status.State == swarm.TaskStateRejected || t.Status.State == swarm.TaskStateFailed && t.Status.ContainerStatus == nil {
				return errors.New(engineerr.Advised(last)) // it never said anything
			}
		}
	}
}

// listen reads a job's log until it says a word, or ends. It returns the last line.
func (c *Cluster) listen(ctx context.Context, job, word string) (last string) {
	logs, err := c.engine.ServiceLogs(ctx, job, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
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
