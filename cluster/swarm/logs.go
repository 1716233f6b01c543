package swarm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
)

// followEvery is how often an engine is asked whether the app is still there.
const followEvery = time.Second

// Logs writes the output so far of every task of the service that the engine still has.
func (c *Cluster) Logs(ctx context.Context, service string, w io.Writer) error {
	s, err := c.app.Lookup(service)
	if err != nil {
		return fmt.Errorf("logs of %s: %w", service, err)
	}
	for _, t := range c.started(s) {
		if err := c.taskLogs(ctx, t, false, log.New(w, "", 0)); err != nil {
			return err
		}
	}
	return nil
}

// FollowLogs is Logs, and goes on with what the tasks and their successors print, until the app is removed.
func (c *Cluster) FollowLogs(ctx context.Context, service string, w io.Writer) error {
	s, err := c.app.Lookup(service)
	if err != nil {
		return fmt.Errorf("logs of %s: %w", service, err)
	}
	lines := log.New(w, "", 0) // of all tasks, whole
	reading, stop := context.WithCancelCause(ctx)
	var streams sync.WaitGroup
	defer func() {
		stop(nil)
		streams.Wait()
	}()
	followed := map[string]bool{} // by the ID of the task
	for {
		gone, err := c.gone(reading)
		switch {
		case reading.Err() != nil:
			return context.Cause(reading)
		case err != nil:
			return fmt.Errorf("logs of %s: is the app there: %w", service, err)
		case gone:
			return nil
		}
		for _, t := range c.started(s) {
			if followed[t.ID] {
				continue
			}
			followed[t.ID] = true
			streams.Go(func() {
				if err := c.taskLogs(reading, t, true, lines); err != nil && reading.Err() == nil {
					stop(err)
				}
			})
		}
		if err := c.Sleep(reading, followEvery); err != nil {
			return context.Cause(reading)
		}
	}
}

// started lists the service's tasks that have printed, or may have.
func (c *Cluster) started(s *service) []observe.Task {
	return c.state().All(func(t observe.Task) bool { return t.Service == s.name && t.Started })
}

// gone says whether the engine has no service of the app any more.
func (c *Cluster) gone(ctx context.Context) (bool, error) {
	c.mu.Lock()
	app := c.app.Name
	c.mu.Unlock()
	if app == "" {
		return true, nil
	}
	found, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: engine.Labelled(engine.AppLabel + "=" + app)})
	return len(found.Items) == 0, err
}

// taskLogs writes what a task printed, and with follow what it prints until it ends.
func (c *Cluster) taskLogs(ctx context.Context, t observe.Task, follow bool, to *log.Logger) error {
	fault := func(err error) error {
		if err == nil || engineerr.NotFound.Is(err) {
			return nil
		}
		return fmt.Errorf("logs of %s: %w", t.Name, err)
	}
	logs, err := c.engine.TaskLogs(ctx, t.ID, client.TaskLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err != nil {
		return fault(err)
	}
	lines := engine.Output(logs)
	defer lines.Close()
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := to.Output(0, t.Name+" | "+scanner.Text()); err != nil {
			return err
		}
	}
	return fault(scanner.Err())
}
