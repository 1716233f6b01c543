package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// announceTimeout is how long a replica may take to say where it listens. It binds first of all.
const announceTimeout = 20 * time.Second

// task is one replica's life. Fields below mu belong to the cluster's mutex.
type task struct {
	c    *Cluster
	s    *service
	name string
	slot int
	spec cluster.Service
	log  *logFile

	stop chan struct{} // closed when it shall end
	kill chan struct{} // closed when it shall be killed at once, told to stop or not
	gone chan struct{} // closed when it has ended and everyone knows

	// mu: the cluster's
	state         cluster.TaskState
	stopRequested bool           // by us
	killed        bool           // kill is closed
	fault         *cluster.Fault // killed because a scenario asked for it
	err           error          // why it ended though it was not told to
	success       bool           // it ended with status 0
	process       *os.Process    // nil: not started yet
	listen        string         // host:port
	admin         string
	backend       *backend // nil: not in rotation yet, or of a service without an address
	inRotation    bool
	joined        bool // it is or was in rotation
	held          bool // it does not go into rotation by itself
	ready         bool // it is held, and would be in rotation otherwise
	over          bool // it has ended
}

// announcement is what a supervised service says on file descriptor 3.
type announcement struct {
	Listen string `json:"listen"`
	Admin  string `json:"admin"`
}

// process is a started replica.
type process struct {
	cmd       *exec.Cmd
	lifeline  *os.File
	announced chan announcement // receives once, or is closed
	exited    chan struct{}     // closed when it has ended; err is set then
	err       error
	started   time.Time
}

// run lives the task's life. It returns when the process is gone and out of the books.
func (t *task) run() {
	defer t.closeDoors()
	p, err := t.start()
	if err != nil {
		t.ended("", err)
		return
	}
	failure := t.live(p)
	t.finish(p, failure)
}

// start starts the process.
func (t *task) start() (*process, error) {
	name := ""
	if t.c.config.Dir != "" {
		name = filepath.Join(t.c.config.Dir, "logs", t.name+".log")
	}
	log, err := newLogFile(name)
	if err != nil {
		log, _ = newLogFile("")
		t.c.warn(fmt.Sprintf("log of %s is not kept: %v", t.name, err))
	}
	t.c.mu.Lock()
	t.log = log
	t.c.mu.Unlock()
	kind, _, _ := cluster.OwnImage(t.spec.Image)
	hosts, err := t.openDoors(kind)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	argv := slices.Concat(t.c.config.Command, []string{"service", kind})
	lifelineEnd, lifeline, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	defer lifelineEnd.Close()
	announce, announceEnd, err := os.Pipe()
	if err != nil {
		lifeline.Close()
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	defer announceEnd.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = t.environment(hosts)
	cmd.Stdin = lifelineEnd
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{announceEnd}
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second
	p := &process{cmd: cmd, lifeline: lifeline, announced: make(chan announcement, 1), exited: make(chan struct{}), started: time.Now()}
	if err := t.c.spawner.start(cmd); err != nil {
		lifeline.Close()
		announce.Close()
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	go func() {
		defer announce.Close()
		defer close(p.announced)
		announce.SetReadDeadline(time.Now().Add(announceTimeout))
		line, _ := bufio.NewReader(io.LimitReader(announce, 4096)).ReadBytes('\n')
		var a announcement
		if json.Unmarshal(line, &a) == nil {
			p.announced <- a
		}
	}()
	go func() {
		defer close(p.exited)
		p.err = cmd.Wait()
		lifeline.Close()
	}()
	return p, nil
}

// openDoors gives a client of the app its own virtual address of every service that it asks, as a container had with Docker before
// 18.09: the balancer can tell the clients apart, wherever they come from. It returns the task's COIN_HOSTS.
func (t *task) openDoors(kind string) (hosts string, err error) {
	t.c.mu.Lock()
	hosts, services := t.c.hosts, t.c.app.Services
	t.c.mu.Unlock()
	if kind != settings.Worker { // no other service opens connections again and again
		return hosts, nil
	}
	var list []string
	for _, s := range services {
		if s.proxy == nil {
			continue
		}
		address := s.address
		if !s.isRedis { // one replica
			if address, err = s.proxy.listen("127.0.0.1:0", t.name); err != nil {
				return "", fmt.Errorf("virtual address of %s: %w", s.name, err)
			}
		}
		list = append(list, fmt.Sprintf("%s:%d=%s", s.name, s.port, address))
	}
	return strings.Join(list, ","), nil
}

func (t *task) closeDoors() {
	t.c.mu.Lock()
	services := t.c.app.Services
	t.c.mu.Unlock()
	for _, s := range services {
		if s.proxy != nil {
			s.proxy.forget(t.name)
		}
	}
}

// environment is exactly what the replica finds: nothing comes from our own.
func (t *task) environment(hosts string) []string {
	env := t.spec.Effective()
	if listen, _ := t.spec.Listens(); listen > 0 {
		env["COIN_LISTEN"] = "127.0.0.1:0"
	}
	env["COIN_ADMIN_LISTEN"] = "127.0.0.1:0"
	env["COIN_REPLICA"] = fmt.Sprintf("%s.%d", t.s.name, t.slot)
	env["COIN_HOSTS"] = hosts
	env["COIN_SUPERVISED"] = "true"
	if kind := cluster.ParseImage(t.spec.Image).Kind; kind == settings.RNG || kind == settings.Worker {
		env["GOMAXPROCS"] = "1" // they do one thing at a time; waking a second thread for it costs a quarter more processor
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// live brings the task into rotation and returns when it shall end: nil when it was told to, else the reason. The process may
// still run then.
func (t *task) live(p *process) error {
	select {
	case a, ok := <-p.announced:
		if !ok {
			select {
			case <-p.exited:
				return exitError(p)
			case <-t.stop:
				return nil
			case <-time.After(time.Second):
				return fmt.Errorf("did not announce its addresses within %s", announceTimeout)
			}
		}
		if err := t.announce(p, a); err != nil {
			return err
		}
	case <-t.stop:
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	close(watched)
	defer func() { cancel(); <-watched }()
	var results chan error
	if t.spec.Health == nil {
		t.join()
	} else {
		checker, err := newChecker(*t.spec.Health, t.c.probes, t.addresses())
		if err != nil {
			return err
		}
		results, watched = make(chan error), make(chan struct{})
		go func() {
			defer close(watched)
			checker.watch(ctx, p.started, results)
		}()
	}
	joined := t.spec.Health == nil
	for {
		select {
		case <-p.exited:
			return exitError(p)
		case <-t.stop:
			return nil
		case err := <-results:
			if err != nil {
				t.c.mu.Lock()
				t.c.emit(t.s.name, t.name, event.TaskUnhealthy{Error: err.Error()})
				t.c.mu.Unlock()
				return fmt.Errorf("unhealthy: %w", err)
			}
			if !joined {
				joined = true
				t.c.mu.Lock()
				t.c.emit(t.s.name, t.name, event.TaskHealthy{})
				t.c.mu.Unlock()
				t.join()
			}
		}
	}
}

// announce notes where the replica listens.
func (t *task) announce(p *process, a announcement) error {
	if listen, _ := t.spec.Listens(); listen > 0 {
		if _, _, err := net.SplitHostPort(a.Listen); err != nil {
			return fmt.Errorf("announced the address %q: %w", a.Listen, err)
		}
	}
	if _, _, err := net.SplitHostPort(a.Admin); err != nil {
		return fmt.Errorf("announced the admin address %q: %w", a.Admin, err)
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.process, t.listen, t.admin = p.cmd.Process, a.Listen, a.Admin
	t.c.emit(t.s.name, t.name, event.TaskStarted{Version: t.spec.Effective()["COIN_VERSION"], Image: t.spec.Image, PID: t.process.Pid,
		Address: t.listen})
	t.c.bell.Ring(nil)
	return nil
}

// addresses maps the ports that the replica would have in a container to where they are.
func (t *task) addresses() map[string]string {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	listen, admin := t.spec.Listens()
	m := map[string]string{strconv.Itoa(admin): t.admin}
	if listen > 0 {
		m[strconv.Itoa(listen)] = t.listen
	}
	return m
}

// join puts the task into rotation.
func (t *task) join() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.stopRequested || t.fault != nil {
		return
	}
	if t.s.proxy != nil {
		t.backend = &backend{task: t.name, slot: t.slot}
		if listen, _ := t.spec.Listens(); listen == t.s.port {
			t.backend.address = t.listen
		}
	}
	if t.held {
		t.ready = true
		t.c.bell.Ring(nil)
		return
	}
	if t.backend != nil {
		t.s.rotation.join(t.backend)
	}
	t.enter()
}

// enter writes down that the task is in rotation. The caller holds mu.
func (t *task) enter() {
	t.state, t.inRotation, t.joined, t.held = cluster.Running, true, true, false
	t.c.emit(t.s.name, t.name, event.TaskJoined{})
	t.c.bell.Ring(nil)
}

// leave takes the task out of rotation, if it is in it, and returns when every connection that was meant for it has reached it.
func (t *task) leave() {
	settled := make(chan struct{})
	t.c.mu.Lock()
	if t.inRotation && t.backend != nil {
		t.s.rotation.leave(t.backend, func() { close(settled) })
	} else {
		close(settled)
	}
	if t.inRotation {
		t.inRotation = false
		t.c.emit(t.s.name, t.name, event.TaskLeft{})
		t.c.bell.Ring(nil)
	}
	t.c.mu.Unlock()
	select {
	case <-settled:
	case <-time.After(time.Second): // its backlog is full; waiting on would only prolong that
	}
}

// finish takes the task out of rotation and the process down, and writes the end down.
func (t *task) finish(p *process, failure error) {
	t.c.mu.Lock()
	fault := t.fault
	if failure == nil && fault == nil {
		t.state = cluster.Stopping
	}
	t.c.mu.Unlock()
	inRotation := fault != nil && fault.InRotation
	if !inRotation {
		t.leave()
	}
	select {
	case <-p.exited:
	default:
		if fault == nil {
			t.c.mu.Lock()
			t.state = cluster.Stopping
			t.c.emit(t.s.name, t.name, event.TaskStopping{})
			t.c.bell.Ring(nil)
			t.c.mu.Unlock()
			t.terminate(p)
		}
		<-p.exited
	}
	if fault != nil && failure == nil {
		failure = exitError(p)
	}
	if err := t.log.close(); err != nil {
		t.c.warn(fmt.Sprintf("log of %s is not complete: %v", t.name, err))
	}
	t.ended(exitText(p), failure)
	if inRotation {
		select { // the balancer learns of it only now
		case <-time.After(fault.Down):
		case <-t.kill:
		}
		t.leave()
	}
}

// terminate asks the process to end and kills it when its grace is over, or when the cluster has no more patience.
func (t *task) terminate(p *process) {
	grace := t.spec.StopGrace
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		grace = 0
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return
	case <-timer.C:
	case <-t.kill:
	}
	p.cmd.Process.Kill()
}

// ended writes the task's end down.
func (t *task) ended(exit string, failure error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.state, t.over = cluster.Complete, true
	t.success = failure == nil
	gone := event.TaskGone{Exit: exit}
	if !t.stopRequested {
		if failure == nil { // it was not told to, either
			failure = fmt.Errorf("ended by itself with %s", exit)
		}
		t.state, t.err = cluster.Failed, failure
		gone.Error = failure.Error()
	}
	t.c.emit(t.s.name, t.name, gone)
	t.c.bell.Ring(nil)
}

func exitError(p *process) error {
	if text := exitText(p); text != "exit status 0" {
		return errors.New(text)
	}
	return nil
}

func exitText(p *process) string {
	if p.cmd.ProcessState == nil {
		return ""
	}
	return strings.TrimSpace(p.cmd.ProcessState.String())
}
