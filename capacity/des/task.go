package des

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/seeded"
	"coinbench/services/settings"
)

// TaskState is where a task is in its life.
type TaskState string

// The states of a task, in the order in which it passes through them.
const (
	Starting TaskState = "starting" // not yet in rotation
	Running  TaskState = "running"
	Stopping TaskState = "stopping" // told to stop
	Gone     TaskState = "gone"
)

// Task is one life of a slot.
type Task struct {
	ID      int
	Name    string // "rng.3#2": the second task in slot 3
	Service string
	Slot    int // 1-based
	State   TaskState
	Joined  bool   // in rotation, dead or alive
	Held    bool   // kept out of rotation until Turn
	Ready   bool   // of a held one: it could be in rotation
	Error   string // of a task that is gone, and not as asked
	Version string
}

type task struct {
	name     string
	service  int32
	slot     int
	life     int   // counts the tasks of the slot, from 1
	index    int32 // of its server or worker; none before its process runs
	gen      uint32
	state    TaskState
	err      string
	settings settings.Settings
	begun    int64 // its process runs
	after    bool  // leaves the rotation when it is gone
	never    bool  // leaves the rotation when its successor joins
	restart  bool  // a successor is going to start
	check    *Check
	health   time.Duration // Service.Health at its start
	healthy  bool          // a check has succeeded
	failures int           // of checks, one after the other
	down     time.Duration // from its end to the start of the successor, where it is to stop first
	held     bool          // not to join before Turn
	ready    bool          // held, and could join
	in       bool          // in rotation, as far as one without a server can be
	freeze   Freeze        // the latest
}

// Deregister says when a task that is told to stop leaves the rotation.
type Deregister string

// The times to leave.
const (
	BeforeStop Deregister = "before" // before the signal: nobody meets a server that refuses
	AfterStop  Deregister = "after"  // when it is gone
	NeverLeave Deregister = "never"  // when a successor in its slot joins
)

// Stop says how a task is stopped.
type Stop struct {
	Grace      time.Duration // from SIGTERM to SIGKILL
	Deregister Deregister    // "": BeforeStop
}

// Kill says how a task is killed.
type Kill struct {
	Restart    bool          // a successor starts in its slot
	Down       time.Duration // after this time
	InRotation bool          // the balancer goes on sending connections, which are refused, until the successor starts
}

// Tasks lists the tasks of a service that are not gone, and the gone ones that are still in rotation, by their start.
func (s *Sim) Tasks(name string) ([]Task, error) {
	if _, err := s.find(name); err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	var out []Task
	index := s.index(name)
	for id := range s.tasks {
		if t := s.Task(id); s.tasks[id].service == index && (t.State != Gone || t.Joined) {
			out = append(out, t)
		}
	}
	return out, nil
}

// Task returns the task with an ID that StartTask gave.
func (s *Sim) Task(id int) Task {
	t := &s.tasks[id]
	v := &s.services[t.service]
	out := Task{ID: id, Name: t.name, Service: v.Name, Slot: t.slot, State: t.state, Held: t.held, Ready: t.ready, Error: t.err,
		Version: t.settings.Version}
	if v.role == serves && t.index >= 0 {
		out.Joined = s.servers[t.index].inRotation
	} else {
		out.Joined = t.state == Running
	}
	return out
}

// StartTask starts a task in a slot (1-based) of a service and returns its ID.
func (s *Sim) StartTask(name string, slot int) (int, error) {
	v, err := s.find(name)
	if err != nil {
		return 0, fmt.Errorf("start task: %w", err)
	}
	if slot < 1 {
		return 0, fmt.Errorf("start task of %s: slot %d; accepted: at least 1", name, slot)
	}
	if at := s.visits(v); v.role == works && min(at[0], at[1]) < 0 {
		return 0, fmt.Errorf("start task of %s: it calls two services; accepted: both added before", name)
	}
	return s.start(s.index(name), slot), nil
}

// StartTaskBeside starts a task as StartTask does, which stays out of rotation until Turn: it becomes ready instead of joining.
func (s *Sim) StartTaskBeside(name string, slot int) (int, error) {
	id, err := s.StartTask(name, slot)
	if err == nil {
		s.tasks[id].held = true
	}
	return id, err
}

// Turn lets tasks that are held and ready join the rotation, and those that are in it leave, at one instant.
func (s *Sim) Turn(join, leave []int) {
	for _, id := range leave {
		s.leaves(int32(id))
	}
	for _, id := range join {
		t := &s.tasks[id]
		if t.state == Gone || t.state == Stopping {
			continue
		}
		t.held = false
		switch {
		case t.state == Running: // it was in rotation before
			if t.in {
				continue
			}
			if t.in = true; s.services[t.service].role == serves {
				s.join(t.index)
			}
			s.emit(int32(id), event.TaskJoined{})
		case t.ready:
			s.joins(int32(id))
		}
	}
}

// Successor is the name of the task that is started next in a slot.
func (s *Sim) Successor(name string, slot int) string {
	lives := 0
	if v, err := s.find(name); err == nil && slot >= 1 && slot <= len(v.slots) {
		lives = len(v.slots[slot-1])
	}
	return name + "." + strconv.Itoa(slot) + "#" + strconv.Itoa(lives+1)
}

// Count says how many tasks of a service are starting, running and stopping. It costs nothing, however many there are.
func (s *Sim) Count(name string) (starting, running, stopping int) {
	if v, err := s.find(name); err == nil {
		starting, running, stopping = v.starting, v.running, v.stopping
	}
	return starting, running, stopping
}

// become moves a task to another state.
func (s *Sim) become(id int32, to TaskState) {
	t := &s.tasks[id]
	v := &s.services[t.service]
	for state, n := range map[TaskState]*int{Starting: &v.starting, Running: &v.running, Stopping: &v.stopping} {
		if t.state == state {
			*n--
		}
		if to == state {
			*n++
		}
	}
	t.state = to
	s.tell(id)
}

// tell says that a task has changed.
func (s *Sim) tell(id int32) {
	s.changed = true
	if s.config.Changed != nil {
		s.config.Changed(int(id))
	}
}

// Current is the task that holds a slot: the latest that is neither told to stop nor held; false: there is none.
func (s *Sim) Current(name string, slot int) (id int, ok bool) {
	v, err := s.find(name)
	if err != nil || slot < 1 || slot > len(v.slots) {
		return 0, false
	}
	of := v.slots[slot-1]
	for i := len(of) - 1; i >= 0; i-- {
		if t := &s.tasks[of[i]]; !t.held && (t.state == Starting || t.state == Running) {
			return int(of[i]), true
		}
	}
	return 0, false
}

func (s *Sim) start(service int32, slot int) int {
	v := &s.services[service]
	for len(v.slots) < slot {
		v.slots = append(v.slots, nil)
	}
	s.cancelRestarts(v, slot, slot) // this is the successor
	id := len(s.tasks)
	v.slots[slot-1] = append(v.slots[slot-1], int32(id))
	life := len(v.slots[slot-1])
	s.tasks = append(s.tasks, task{name: v.Name + "." + strconv.Itoa(slot) + "#" + strconv.Itoa(life),
		service: service, slot: slot, index: none, life: life, settings: v.Settings, check: v.Check, health: v.Health})
	s.become(int32(id), Starting)
	delay := int64(v.StartDelay)
	if v.StartSpread > 0 {
		p := seeded.Stream(s.config.Seed, seeded.Word("start"), seeded.Word(v.Name), uint64(slot), uint64(life))
		delay += int64(uniform(&p) * float64(v.StartSpread))
	}
	s.emit(int32(id), event.TaskStarted{Version: v.Settings.Version, Image: v.Image})
	s.schedule(delay, taskBoots, int32(id), 0)
	return id
}

// taskBoots is the moment at which the process runs.
func (s *Sim) taskBoots(id int32, gen uint32) {
	t := &s.tasks[id]
	if t.gen != gen {
		return
	}
	t.begun = s.now
	v := &s.services[t.service]
	p := seeded.Stream(s.config.Seed, seeded.Word("task"), seeded.Word(v.Name), uint64(t.slot), uint64(t.life))
	switch v.role {
	case serves:
		t.index = int32(len(s.servers))
		n := newServer(id, t.service, t.settings, p)
		n.condition = booting
		if n.distribution == constant {
			n.lane = s.lane(max(n.occupancy+n.delay, leastService))
			if n.occupancy+n.delay < leastService {
				n.occupancy, n.delay = 0, leastService
			}
		}
		s.servers = append(s.servers, n)
	case works:
		t.index = int32(len(s.workers))
		s.workers = append(s.workers, s.newWorker(id, t.service, t.settings, p))
	}
	switch {
	case t.check != nil:
		s.schedule(int64(t.check.Interval), checkBegins, id, gen)
	case t.health == 0:
		s.enters(id)
	}
	if t.settings.BootDelay == 0 {
		s.taskReady(id, gen)
		return
	}
	s.schedule(int64(t.settings.BootDelay), taskReady, id, gen)
}

func (s *Sim) taskReady(id int32, gen uint32) {
	t := &s.tasks[id]
	if t.gen != gen {
		return
	}
	v := &s.services[t.service]
	switch v.role {
	case serves:
		n := &s.servers[t.index]
		if n.condition == booting { // else it drains already
			n.condition = up
			if !n.paused {
				s.serveNext(n)
			}
		}
	case works:
		s.workerBegins(t.index, s.workers[t.index].gen)
	case stores:
		s.store.up = true
		s.store.epoch++
		s.store.tasks = id
	}
	if t.health > 0 && t.check == nil {
		// Checks come one interval after the start and then every interval; the first that finds it ready lets it join.
		interval := int64(t.health)
		wait := interval - (s.now-t.begun)%interval
		if s.now > t.begun && wait == interval {
			wait = 0
		}
		s.schedule(wait, taskJoins, id, gen)
	}
}

func (s *Sim) taskJoins(id int32, gen uint32) {
	t := &s.tasks[id]
	if t.gen != gen || t.state != Starting {
		return
	}
	s.emit(id, event.TaskHealthy{})
	s.enters(id)
}

// enters is the moment at which a task could be in rotation.
func (s *Sim) enters(id int32) {
	if t := &s.tasks[id]; t.held {
		t.ready = true
		s.tell(id)
		return
	}
	s.joins(id)
}

func (s *Sim) joins(id int32) {
	s.become(id, Running)
	t := &s.tasks[id]
	t.in = true
	if v := &s.services[t.service]; v.role == serves {
		s.join(t.index)
		for _, other := range v.slots[t.slot-1] { // a dead predecessor may still be in rotation
			if s.tasks[other].state == Gone {
				s.leaves(other)
			}
		}
	}
	s.emit(id, event.TaskJoined{})
}

func (s *Sim) leaves(id int32) {
	t := &s.tasks[id]
	left := t.in
	if s.services[t.service].role == serves {
		left = t.index >= 0 && s.leave(t.index)
	}
	if t.in = false; left {
		s.emit(id, event.TaskLeft{})
	}
}

// StopTask takes a task out of the rotation and sends it SIGTERM, to which it answers as its settings say.
func (s *Sim) StopTask(id int, how Stop) error {
	if id < 0 || id >= len(s.tasks) {
		return fmt.Errorf("stop task %d: accepted: what StartTask returned", id)
	}
	s.stop(int32(id), how)
	return nil
}

func (s *Sim) stop(id int32, how Stop) {
	t := &s.tasks[id]
	if t.state == Gone || t.state == Stopping {
		return
	}
	switch how.Deregister {
	case AfterStop:
		t.after = true
	case NeverLeave:
		t.never = true
	default:
		s.leaves(id)
	}
	s.become(id, Stopping)
	s.emit(id, event.TaskStopping{})
	if t.index < 0 { // no process yet, or the store
		s.taskGone(id, "")
		return
	}
	if s.frozen(t) || !s.obeys(id) { // a frozen one cannot obey before it is let go on
		s.schedule(int64(how.Grace), taskGraceEnds, id, t.gen)
	}
}

// obeys is what SIGTERM does to a process; false: it has not ended yet.
func (s *Sim) obeys(id int32) bool {
	t := &s.tasks[id]
	switch {
	case t.settings.OnSIGTERM == settings.Exit:
		s.taskGone(id, "")
		return true
	case t.settings.OnSIGTERM == settings.Ignore:
	case s.services[t.service].role == works:
		w := &s.workers[t.index]
		w.draining = true
		if w.backingOff || t.begun+int64(t.settings.BootDelay) > s.now {
			s.taskGone(id, "")
			return true
		}
	default:
		v := &s.servers[t.index]
		v.condition = draining
		s.dropKept(t.index)
		if v.busy == 0 && v.first < 0 {
			s.taskGone(id, "")
			return true
		}
		if !v.paused {
			s.serveNext(v) // what hung during the boot
		}
	}
	return false
}

// frozen says whether a task is paused.
func (s *Sim) frozen(t *task) bool {
	if s.services[t.service].role == works {
		return s.workers[t.index].paused
	}
	return s.servers[t.index].paused
}

func (s *Sim) taskGraceEnds(id int32, gen uint32) {
	if s.tasks[id].gen == gen {
		s.taskGone(id, "")
	}
}

// KillTask ends a task as SIGKILL does: its connections are reset.
func (s *Sim) KillTask(id int, how Kill) error {
	if id < 0 || id >= len(s.tasks) || s.tasks[id].state == Gone {
		return fmt.Errorf("kill task %d: accepted: a task that is not gone", id)
	}
	t := &s.tasks[id]
	s.emit(int32(id), event.TaskKilled{Down: how.Down, InRotation: how.InRotation})
	t.never = how.InRotation
	s.taskGone(int32(id), "killed")
	if t.restart = how.Restart; t.restart {
		s.schedule(int64(how.Down), taskRestarts, int32(id), 0)
	}
	return nil
}

func (s *Sim) taskRestarts(id int32) {
	if s.tasks[id].restart {
		s.leaves(id) // it was in rotation for as long as it was down; from here on the slot is empty until the successor joins
		s.start(s.tasks[id].service, s.tasks[id].slot)
	}
}

// CancelRestart gives up the successor that is going to start in a slot.
func (s *Sim) CancelRestart(name string, slot int) {
	if v, err := s.find(name); err == nil && slot >= 1 && slot <= len(v.slots) {
		s.cancelRestarts(v, slot, slot)
	}
}

// cancelRestarts gives up the successors of killed tasks in a range of slots, for others have taken their place, or none shall.
func (s *Sim) cancelRestarts(v *service, from, to int) {
	for slot := from; slot <= to; slot++ {
		for _, id := range v.slots[slot-1] {
			s.tasks[id].restart = false
		}
	}
}

// taskGone ends a task at once.
func (s *Sim) taskGone(id int32, why string) {
	t := &s.tasks[id]
	if t.state == Gone {
		return
	}
	if !t.after && !t.never {
		s.leaves(id)
	}
	t.gen++
	t.err = cmp.Or(why, t.err)
	s.become(id, Gone)
	switch s.services[t.service].role {
	case stores:
		if s.store.up && s.store.tasks == id {
			s.store.up, s.store.hashes, s.store.coins = false, 0, 0
		}
	case works:
		if t.index >= 0 {
			w := &s.workers[t.index]
			w.alive, w.backingOff = false, false
			w.gen++
			asked := -1
			if w.call >= 0 { // the server does not notice
				s.calls[w.call].owner = none
				asked, w.call = int(w.asked), none
			}
			for i := range w.callers {
				if kept := w.callers[i].kept; kept >= 0 && i != asked {
					s.connect(kept, -1)
				}
				w.callers[i].kept = none
			}
		}
	default:
		if t.index >= 0 {
			s.servers[t.index].condition = dead
			s.cutOff(t.index)
		}
	}
	s.emit(id, event.TaskGone{Error: t.err})
	if t.after {
		s.leaves(id)
	}
	if t.restart {
		s.schedule(int64(t.down), taskRestarts, id, 0)
	}
}

// Freeze says for how long a task is frozen, and what its cluster does when its health checks find it out, which is nothing where Missed is
// 0 (a Check that queues finds it by itself).
type Freeze struct {
	For     time.Duration
	Missed  time.Duration // from now until the checks have failed too often
	Stop    Stop          // of a task that failed them
	Restart time.Duration // from its end to the start of its successor; negative: there is none
}

// FreezeTask pauses a task for a time, and says so.
func (s *Sim) FreezeTask(id int, how Freeze) error {
	if err := s.PauseTask(id); err != nil {
		return err
	}
	t := &s.tasks[id]
	s.emit(int32(id), event.TaskPaused{For: how.For})
	t.freeze = how
	s.schedule(int64(how.For), taskThaws, int32(id), t.gen)
	if how.Missed > 0 && how.Missed < how.For {
		s.schedule(int64(how.Missed), taskMissed, int32(id), t.gen)
	}
	return nil
}

func (s *Sim) taskThaws(id int32, gen uint32) {
	if s.tasks[id].gen != gen || s.ResumeTask(int(id)) != nil {
		return
	}
	s.emit(id, event.TaskRecovered{})
	if s.tasks[id].state == Stopping {
		s.obeys(id)
	}
}

func (s *Sim) taskMissed(id int32, gen uint32) {
	if t := &s.tasks[id]; t.gen == gen && t.state != Stopping {
		s.unhealthy(id, "health check: no answer", t.freeze.Stop, t.freeze.Restart)
	}
}

// PauseTask stops a process as SIGSTOP does: its kernel still takes connections, and its time goes on.
func (s *Sim) PauseTask(id int) error { return s.setPaused(id, true) }

// ResumeTask lets it go on.
func (s *Sim) ResumeTask(id int) error { return s.setPaused(id, false) }

func (s *Sim) setPaused(id int, paused bool) error {
	if id < 0 || id >= len(s.tasks) || s.tasks[id].state == Gone || s.tasks[id].index < 0 {
		return fmt.Errorf("pause or resume task %d: accepted: a task whose process runs", id)
	}
	index := s.tasks[id].index
	if s.services[s.tasks[id].service].role == works {
		if w := &s.workers[index]; w.paused != paused {
			w.paused = paused
			if !paused {
				s.resumeWorker(index)
			}
		}
		return nil
	}
	v := &s.servers[index]
	if v.paused == paused {
		return nil
	}
	v.paused = paused
	if paused {
		return nil
	}
	for i := range s.calls {
		if q := &s.calls[i]; q.state == stalled && q.server == index {
			q.state = serving
			s.schedule(0, callEnds, int32(i), q.gen)
		}
	}
	if v.condition != booting {
		s.serveNext(v)
	}
	return nil
}

// Scale starts or stops tasks until there are as many slots of a service as asked: the lowest free slots are filled, the highest
// are stopped. It returns at once; RunUntilChange shows how it goes on.
func (s *Sim) Scale(name string, replicas int, how Stop) error {
	v, err := s.find(name)
	if err == nil && replicas < 0 {
		err = fmt.Errorf("%d replicas; accepted: at least 0", replicas)
	}
	if err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	index := s.index(name)
	s.cancelRestarts(v, replicas+1, len(v.slots))
	live := make([]bool, max(replicas, len(v.slots)))
	for id := len(s.tasks) - 1; id >= 0; id-- {
		t := &s.tasks[id]
		if t.service != index {
			continue
		}
		if t.slot > replicas && t.state == Gone {
			s.leaves(int32(id)) // dead in rotation, and without a successor
		}
		if t.state == Gone || t.state == Stopping {
			continue
		}
		if t.slot > replicas {
			if err := s.StopTask(id, how); err != nil {
				return err
			}
			continue
		}
		live[t.slot-1] = true
	}
	for id := range s.tasks { // a killed task whose successor is on its way holds its slot
		if t := &s.tasks[id]; t.service == index && t.restart && t.slot <= replicas {
			live[t.slot-1] = true
		}
	}
	for slot := 1; slot <= replicas; slot++ {
		if !live[slot-1] {
			if _, err := s.StartTask(name, slot); err != nil {
				return fmt.Errorf("scale: %w", err)
			}
		}
	}
	return nil
}

func (s *Sim) emit(id int32, p event.Payload) {
	if s.config.Events != nil {
		t := &s.tasks[id]
		e := history.NewEvent(s.services[t.service].Name, t.name, p)
		e.At = time.Duration(s.now)
		s.config.Events(e)
	}
}
