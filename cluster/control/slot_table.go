package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
)

// SlotTable has the tasks of a service by slot, their names and their restarts: what drivers do alike that start each task and see each
// end. A driver has them instead of Sets, whose Hands they are for the most part. Where nothing else is said, the caller holds the lock.
type SlotTable[T comparable] struct {
	Sets[T]
	Numbers map[string]int // of the cluster: the tasks so far of each slot, so that a name is given once
	Bell    interface{ Ring(error) }
	Wanted  cluster.Service // what the service shall be
	Tasks   []T             // that are not gone

	// New makes a task, whose life begins when live is called. held: it does not go into rotation by itself.
	New func(name string, slot int, spec cluster.Service, held bool) (task T, live func(), err error)

	slots map[int]*slot[T]
}

// slot is the place of a replica.
type slot[T any] struct {
	current  T
	restarts rollout.Restarts
	givenUp  error       // why it is not restarted any more
	failure  string      // how its last task ended that was not told to
	pending  *time.Timer // of the restart that is waited for; nil: none is
}

func (s *slot[T]) cancel() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}

func (s *SlotTable[T]) place(slot int) string { return fmt.Sprintf("%s.%d", s.Wanted.Name, slot) }

func (s *SlotTable[T]) name(slot int) string {
	return fmt.Sprintf("%s#%d", s.place(slot), s.Numbers[s.place(slot)]+1)
}

// Successor is a Driver's.
func (s *SlotTable[T]) Successor(slot int) string {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	return s.name(slot)
}

// Release is a Driver's.
func (s *SlotTable[T]) Release() {
	s.Reset()
	s.Bell.Ring(nil)
}

// Become is a Driver's.
func (s *SlotTable[T]) Become(spec cluster.Service) error {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	s.Wanted = spec
	return nil
}

// Spec is Hands'.
func (s *SlotTable[T]) Spec() cluster.Service { return s.Wanted }

// Places is Hands'.
func (s *SlotTable[T]) Places() []int { return slices.Sorted(maps.Keys(s.slots)) }

// Current is Hands'.
func (s *SlotTable[T]) Current(slot int) (none T) {
	if p := s.slots[slot]; p != nil {
		return p.current
	}
	return none
}

// Begin is Hands'.
func (s *SlotTable[T]) Begin(slot int, spec cluster.Service, held bool) (T, error) {
	p := s.slots[slot]
	if !held {
		p.cancel()
		p.restarts, p.givenUp, p.failure = rollout.Restarts{}, nil, ""
	}
	return s.launch(slot, spec, held)
}

func (s *SlotTable[T]) launch(slot int, spec cluster.Service, held bool) (T, error) {
	t, live, err := s.New(s.name(slot), slot, spec, held)
	if err != nil {
		return t, err
	}
	s.Numbers[s.place(slot)]++
	s.Tasks = append(s.Tasks, t)
	if !held {
		s.slots[slot].current = t
	}
	live()
	return t, nil
}

// Give is Hands'.
func (s *SlotTable[T]) Give(slot int, t T) {
	p := s.slots[slot]
	p.cancel()
	p.current, p.givenUp = t, nil
}

// Fill is Hands'. It stops the tasks of slots that are too many, too.
func (s *SlotTable[T]) Fill() error {
	for _, n := range s.Places() {
		if n > s.Wanted.Replicas {
			p := s.slots[n]
			delete(s.slots, n)
			p.cancel()
			s.stop(p.current)
		}
	}
	for n := 1; n <= s.Wanted.Replicas; n++ {
		p := s.slots[n]
		if p == nil {
			p = &slot[T]{}
			if s.slots == nil {
				s.slots = map[int]*slot[T]{}
			}
			s.slots[n] = p
		}
		is := s.look(p.current)
		ending := is.Failure != "" && slices.Contains(s.Tasks, p.current) // it has a successor when it is gone
		if is.Stopping && !ending && p.pending == nil && p.givenUp == nil {
			if _, err := s.launch(n, s.Wanted, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// Abandon gives up all restarts that are waited for.
func (s *SlotTable[T]) Abandon() {
	for _, p := range s.slots {
		p.cancel()
	}
}

// Ended takes a task out that is gone. failure says how it ended, if it was not told to: it has a successor then, as the restart policy
// says, or after down, if that is at least 0.
func (s *SlotTable[T]) Ended(slot int, t T, failure string, succeeded bool, down time.Duration) {
	s.Tasks = slices.DeleteFunc(s.Tasks, func(x T) bool { return x == t })
	p := s.slots[slot]
	if p == nil || p.current != t || failure == "" {
		return
	}
	p.failure = failure
	if down < 0 {
		var never string
		if down, never = p.restarts.Next(s.Wanted.Restart, succeeded, time.Now()); never != "" {
			p.givenUp = fmt.Errorf("%s; %s", failure, never)
			return
		}
	}
	var timer *time.Timer
	timer = time.AfterFunc(down, func() {
		s.Lock.Lock()
		defer s.Lock.Unlock()
		if p.pending != timer {
			return
		}
		p.pending = nil
		if _, err := s.launch(slot, s.Wanted, false); err != nil {
			p.givenUp = err
		}
		s.Bell.Ring(nil)
	})
	p.pending = timer
}

// Missing is a Driver's.
func (s *SlotTable[T]) Missing() (missing error, hopeless bool) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	var faults []error
	for _, n := range s.Places() {
		p := s.slots[n]
		switch is := s.look(p.current); {
		case p.givenUp != nil:
			faults, hopeless = append(faults, p.givenUp), true
		case is.Failure != "":
			faults = append(faults, fmt.Errorf("%s waits for its restart; last, %s", s.place(n), is.Failure))
		case is.State != cluster.Running:
			text := fmt.Sprintf("%s is %s", is.Name, is.State)
			if p.failure != "" {
				text += "; before, " + p.failure
			}
			faults = append(faults, errors.New(text))
		}
	}
	for _, t := range s.Tasks {
		if is := s.Look(t); s.Current(is.Slot) != t {
			faults = append(faults, fmt.Errorf("%s has not ended yet", is.Name))
		}
	}
	return errors.Join(faults...), hopeless
}

// Status is the service as it is.
func (s *SlotTable[T]) Status() cluster.ServiceStatus {
	status := cluster.ServiceStatus{Service: s.Wanted}
	tasks := slices.Clone(s.Tasks)
	for _, p := range s.slots {
		if !slices.Contains(tasks, p.current) {
			tasks = append(tasks, p.current) // it waits for its restart
		}
	}
	for _, t := range tasks {
		is := s.look(t)
		if is.State == cluster.Running {
			status.Running++
		}
		status.Tasks = append(status.Tasks, is.Task)
	}
	slices.SortStableFunc(status.Tasks, func(a, b cluster.Task) int { return a.Slot - b.Slot })
	return status
}
