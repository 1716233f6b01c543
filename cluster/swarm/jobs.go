package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/frame"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/relay"
)

// The environment by which a copy of a job finds the others, set beside what the job asks for.
const (
	RelayVariable = "COIN_RELAY" // host:port of the meeting
	JobVariable   = "COIN_JOB"   // its name
	NodeVariable  = "COIN_NODE"  // where the copy is
)

const (
	gatherTimeout = 60 * time.Second // until all copies have come
	silence       = 20 * time.Second // without a line of the log, after which a copy is taken to be lost
	logGrace      = 5 * time.Second  // for the log of tasks that have ended
	stopGrace     = 3 * time.Second  // for a job that is told to stop
)

// once is the restart policy that makes a job of a service: its tasks run to their end, and that is all. The engine's own job modes are
// not used: with the service an engine forgets the tasks of a job, which go on or stay as dead containers on the nodes for ever
// (https://github.com/moby/moby/issues/42789, seen with 20.10).
func once() *swarm.RestartPolicy {
	return &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone}
}

// RunJob runs copies of coinbench in the overlay, spread over the nodes, until each has said that it is done.
func (c *Cluster) RunJob(ctx context.Context, job cluster.Job, message func(copy int, node string, message []byte)) (err error) {
	fault := func(err error) error { return fmt.Errorf("job %s: %w", job.Name, err) }
	if len(job.Work) == 0 {
		return fault(errors.New("no work"))
	}
	r, _, err := c.tunnel.use(ctx)
	if err != nil {
		return fault(err)
	}
	c.mu.Lock()
	c.jobs++
	name := fmt.Sprintf("job%d", c.jobs)
	app, overlay := c.app.Name, c.network
	placement, err := c.placeJobs()
	c.mu.Unlock()
	if err != nil {
		return fault(err)
	}
	c.tunnel.mu.Lock()
	place := c.tunnel.address + ":" + relay.Port
	c.tunnel.mu.Unlock()
	copies := uint64(len(job.Work))
	made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engineName(app, name), Labels: c.labels(app, "job")},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &copies}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: c.helper(), Args: job.Args, ReadOnly: true,
				Env: []string{RelayVariable + "=" + place, JobVariable + "=" + name, NodeVariable + "={{.Node.Hostname}}"},
			},
			RestartPolicy: once(),
			Placement:     placement,
			Networks:      []swarm.NetworkAttachmentConfig{{Target: overlay}},
			LogDriver:     &swarm.Driver{Name: "json-file"}, // whatever the nodes' own is, this one can be read back
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeDNSRR},
	}})
	if err != nil {
		return fault(err)
	}
	run := &jobRun{c: c, id: made.ID, copies: len(job.Work), heard: time.Now()}
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a job that is told to stop still says what it did
	var others sync.WaitGroup
	defer func() {
		cancel(nil)
		others.Wait()
		removing, done := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer done()
		_ = c.retried(removing, func(ctx context.Context) error {
			_, err := c.engine.ServiceRemove(ctx, made.ID, client.ServiceRemoveOptions{})
			return err
		})
	}()
	run.reader = frame.NewReader(message)
	others.Go(func() { run.supervise(life, cancel) })
	whole := make(chan error, 1)
	others.Go(func() { whole <- run.follow(life) })

	calling := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	allowed := max(gatherTimeout, c.config.Deadline)
	gathering, late := context.WithTimeoutCause(life, allowed, fmt.Errorf("not all copies came within %s", allowed))
	var came []string
	meeting, err := r.Gather(gathering, name, job.Work, job.Origin, job.Delay, func(_ int, who string) {
		came = append(came, who)
		run.sign()
	})
	late()
	if !calling() && err == nil {
		meeting.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if cause := context.Cause(life); cause != nil {
			err = cause
		}
		if len(came) < run.copies {
			err = fmt.Errorf("%w: %d of %d copies have come (%s)", err, len(came), run.copies, strings.Join(came, ", "))
		}
		return fault(err)
	}
	defer meeting.Close()
	run.begin()
	interrupted := ctx.Done()
	for {
		select {
		case err = <-whole:
			if err != nil && context.Cause(life) != nil {
				err = context.Cause(life)
			}
			return err
		case <-life.Done():
			return context.Cause(life)
		case <-interrupted:
			interrupted = nil
			meeting.Stop()
			late := time.AfterFunc(stopGrace, func() { cancel(context.Cause(ctx)) })
			defer late.Stop()
		}
	}
}

// Spare keeps load generators off nodes that something will be done to: what it does to the app is to be measured, and not what it does
// to them.
func (c *Cluster) Spare(nodes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spared = slices.Clone(nodes)
}

// placeJobs spreads a job over the nodes that are not spared. The caller holds mu.
func (c *Cluster) placeJobs() (*swarm.Placement, error) {
	p := &swarm.Placement{Preferences: []swarm.PlacementPreference{{Spread: &swarm.SpreadOver{SpreadDescriptor: "node.id"}}}}
	left := 0
	for _, n := range c.seen.Nodes {
		if !n.Down && !n.Drained && !slices.Contains(c.spared, n.Name) {
			left++
		}
	}
	if len(c.spared) > 0 && left == 0 {
		return nil, fmt.Errorf("no node is left for load generators: the scenario drains or cuts off %s, and no other takes tasks; join one",
			strings.Join(c.spared, ", "))
	}
	for _, name := range c.spared {
		p.Constraints = append(p.Constraints, "node.hostname!="+name)
	}
	return p, nil
}

// jobRun is a job that is going on.
type jobRun struct {
	c      *Cluster
	id     string
	copies int
	reader *frame.Reader

	mu    sync.Mutex
	begun bool
	heard time.Time // when a sign of life came last
	said  []string  // the last lines that are no frames
}

func (j *jobRun) sign() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = time.Now()
}

func (j *jobRun) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun, j.heard = true, time.Now()
}

// lost is the error for a copy, with what it said last.
func (j *jobRun) lost(node, reason string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.said) > 0 {
		reason += "; its last words: " + strings.Join(j.said, " / ")
	}
	if !j.begun {
		if node != "" {
			reason = "on " + node + ": " + reason
		}
		return errors.New(advised(reason))
	}
	return &cluster.JobError{Node: node, Reason: reason}
}

func advised(reason string) string {
	if advice := observe.Advice(reason); advice != "" {
		return reason + "; " + advice
	}
	return reason
}

// follow reads the log until every copy has come to its end. A log that breaks off is opened again.
func (j *jobRun) follow(ctx context.Context) error {
	for {
		err := j.read(ctx)
		var f *frame.Fault
		switch {
		case errors.As(err, &f):
			return &cluster.JobError{Node: f.Node, Reason: f.Reason}
		case j.reader.Ended() == j.copies:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if err := j.c.Sleep(ctx, quickPoll); err != nil {
			return err
		}
	}
}

func (j *jobRun) read(ctx context.Context) error {
	logs, err := j.c.engine.ServiceLogs(ctx, j.id, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		return err
	}
	defer logs.Close()
	out, feed := io.Pipe()
	defer out.Close()
	errs := &words{j: j}
	go func() {
		_, err := stdcopy.StdCopy(feed, errs, logs)
		feed.CloseWithError(err)
	}()
	lines := bufio.NewReaderSize(out, 32<<10)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		ours, err := j.reader.Line(line)
		if err != nil {
			return err
		}
		if !ours {
			errs.note(line)
		}
		j.sign()
		if j.reader.Ended() == j.copies {
			return nil
		}
	}
}

// words keeps the last lines of what copies said beside their frames.
type words struct{ j *jobRun }

// Write never fails.
func (w *words) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		w.note(strings.TrimSpace(line))
	}
	return len(p), nil
}

func (w *words) note(line string) {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	if len(w.j.said) > 0 && w.j.said[len(w.j.said)-1] == line {
		return
	}
	w.j.said = append(w.j.said, line)
	if n := len(w.j.said) - 5; n > 0 {
		w.j.said = w.j.said[n:]
	}
}

// supervise looks at the job's tasks and ends it when one of them cannot come to its end.
func (j *jobRun) supervise(ctx context.Context, end context.CancelCauseFunc) {
	over := time.Time{} // since when every task has ended
	for {
		if j.c.Sleep(ctx, slowPoll) != nil {
			return
		}
		tasks, err := j.c.engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", j.id)})
		if err != nil {
			continue // the engine may be back in time
		}
		complete := 0
		for _, t := range tasks.Items {
			n := j.c.state().Nodes[t.NodeID]
			switch {
			case t.Status.State == swarm.TaskStateComplete:
				complete++
			case observe.Ended(t.Status.State):
				time.Sleep(200 * time.Millisecond) // its last words may still be under way
				end(j.lost(n.Name, fmt.Sprintf("the generator ended: %s %s", t.Status.State, t.Status.Err)))
				return
			case n.Down:
				end(j.lost(n.Name, "the generator is lost: its node is down"))
				return
			case t.Status.State == swarm.TaskStatePending && strings.Contains(t.Status.Err, "no suitable node") &&
				time.Since(t.CreatedAt) > 5*time.Second:
				end(j.lost("", "a generator has no place: "+t.Status.Err))
				return
			}
		}
		j.mu.Lock()
		quiet := j.begun && time.Since(j.heard) > silence
		j.mu.Unlock()
		if complete < j.copies {
			over = time.Time{}
		} else if over.IsZero() {
			over = time.Now()
		}
		if quiet || !over.IsZero() && time.Since(over) > logGrace {
			node, reason := "", "nothing was heard for "+silence.String()
			if !over.IsZero() {
				reason = "the generators have ended, and their log is not complete"
			}
			end(j.lost(node, reason))
			return
		}
	}
}
