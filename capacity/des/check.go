package des

import (
	"fmt"
	"time"

	"coinbench/history/event"
)

// Check is a health check of the port that the service works on: it goes to its own task, waits there behind the others' requests, and
// goes on for as long as the task runs. The first comes an Interval after the start, each further one an Interval after the end of the one
// before. A task joins the rotation at the first success; one that fails too often is told to stop, and has a successor.
type Check struct {
	Interval    time.Duration
	Timeout     time.Duration // of one check
	StartPeriod time.Duration // of a task, in which failures do not count before the first success
	Retries     int           // failures, one after the other, that a task does not survive
	Work        bool          // it asks for what the workers ask for, not for GET /
	Stop        Stop          // of a task that failed
	Restart     time.Duration // from its end to the start of its successor; negative: there is none
}

func (c *Check) fault(r role) error {
	switch {
	case r != serves:
		return fmt.Errorf("a health check of the service's own port; accepted: of a service that answers requests")
	case c.Interval <= 0 || c.Timeout <= 0 || c.StartPeriod < 0:
		return fmt.Errorf("health check every %s, within %s, after %s; accepted: more than 0s, more than 0s, at least 0s", c.Interval, c.Timeout,
			c.StartPeriod)
	case c.Retries < 1:
		return fmt.Errorf("health check with %d retries; accepted: at least 1", c.Retries)
	}
	return nil
}

// checkBegins sends a check to its task. It passes no balancer, and no network.
func (s *Sim) checkBegins(task int32, gen uint32) {
	t := &s.tasks[task]
	if t.gen != gen || t.state == Stopping {
		return
	}
	id := s.newCall()
	q := &s.calls[id]
	*q = call{gen: q.gen, sent: s.now, owner: task, ofCheck: true, work: t.check.Work, next: none, server: t.index}
	s.schedule(int64(t.check.Timeout), callTimesOut, id, q.gen)
	if s.servers[t.index].refuses() {
		q.state, q.failure = failing, refused
		s.schedule(refusal, callFails, id, q.gen)
		return
	}
	q.state = connecting
	s.connect(t.index, 1)
	s.arrive(id)
}

// checked is the end of a check that was sent at an instant; why it failed, "": it did not.
func (s *Sim) checked(task int32, sent int64, why string) {
	t := &s.tasks[task]
	if t.state == Stopping || t.state == Gone {
		return
	}
	c := t.check
	switch {
	case why == "":
		t.failures = 0
		if !t.healthy {
			t.healthy = true
			s.taskJoins(task, t.gen)
		}
	case t.healthy || sent >= t.begun+int64(c.StartPeriod):
		if t.failures++; t.failures >= c.Retries {
			s.unhealthy(task, "health check: "+why, c.Stop, c.Restart)
			return
		}
	}
	s.schedule(int64(c.Interval), checkBegins, task, t.gen)
}

// unhealthy takes a task out of the rotation and tells it to stop.
func (s *Sim) unhealthy(id int32, why string, stop Stop, restart time.Duration) {
	t := &s.tasks[id]
	s.emit(id, event.TaskUnhealthy{Error: why})
	t.err, t.restart, t.down = "unhealthy: "+why, restart >= 0, restart
	s.stop(id, stop)
}
