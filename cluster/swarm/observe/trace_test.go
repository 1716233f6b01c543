package observe_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/clustertest/trace"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/observe"
	"coinbench/history"
)

// TestTraces plays testdata/*.trace: each is what an engine lists and what the harness does, and below ---- what follows. A line of an
// answer begins with the time since the start. The verbs:
//
//	service NAME KEY=VALUE...    a service is deployed, or becomes something else: image, replicas, order, checked, global, id, standby
//	see ITEM; ITEM; ...          an answer of the engine, of which these have changed:
//	                               NAME ready|down|drain                        a node
//	                               ID SERVICE.SLOT NODE STATE[/DESIRED] KEY=VALUE... [: ERROR]     a task: exit, pid, image, created, set, port
//	                               ID gone                                      a task that is listed no more
//	                               update SERVICE STATE [: MESSAGE]             of the engine's own update
//	silent ERROR                 the engine does not answer
//	wait DURATION                time passes, and the engine's answers stay as they are
//	follow SERVICE [green]       a change begins, and the engine is told; it is reported on from here
//	kill, spare, pause, recover ID; cut NODE D; mend, drain, activate NODE; fetch SERVICE N; switch SERVICE
//	missing, tasks, published SERVICE; victim SERVICE SLOT; node NAME; lost
//	play FILE                    the answers of testdata/FILE.jsonl: see frame
func TestTraces(t *testing.T) {
	trace.Play(t, func(t *testing.T) func(where, line string) []string {
		p := newPlayer(t)
		return func(where, line string) []string {
			t.Helper()
			p.said, p.where = nil, where
			p.say(line)
			return p.said
		}
	})
}

var start = time.Unix(0, 0)

type player struct {
	t     *testing.T
	where string
	said  []string
	now   time.Time
	step  time.Duration // between two answers while time passes

	state    observe.State
	app      observe.App
	answer   observe.Answer
	change   *observe.Change
	reported map[string]bool
	silent   bool
	events   []history.Event
}

func newPlayer(t *testing.T) *player {
	return &player{t: t, now: start, step: 100 * time.Millisecond, app: observe.App{Network: "net"}}
}

func (p *player) print(format string, args ...any) {
	p.said = append(p.said, fmt.Sprintf("%8.2fs  ", p.now.Sub(start).Seconds())+fmt.Sprintf(format, args...))
}

func (p *player) fatal(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", p.where, err)
	}
}

// take makes a state the present one, and prints what has happened.
func (p *player) take(next observe.State, events []history.Event) {
	p.state = next
	p.events = append(p.events, events...)
	for _, e := range events {
		text := string(e.Payload.Kind())
		if who := e.Task; who != "" {
			text += " " + who
		}
		for _, k := range slices.Sorted(maps.Keys(e.Detail())) {
			v := e.Detail()[k]
			if k == "container" {
				v = v[:min(len(v), 6)]
			}
			if strings.Contains(v, " ") {
				v = strconv.Quote(v)
			}
			text += " " + k + "=" + v
		}
		p.print("%s", text)
	}
}

func (p *player) look() {
	if p.silent {
		return
	}
	p.take(p.state.Heard(nil, p.now))
	p.take(p.state.Look(p.app, p.answer, p.now))
	if p.change == nil {
		return
	}
	next, reports := p.change.Reports(p.state)
	p.change = &next
	for _, r := range reports {
		text := "report " + string(r.What)
		if r.Slot > 0 {
			text += " " + strconv.Itoa(r.Slot)
		}
		if r.What != rollout.Turned && r.What != rollout.Up && r.What != rollout.Ready && r.Reason != "" {
			text += ": " + r.Reason
		}
		if r.What == rollout.Returning && !p.reported[text] {
			p.reported = map[string]bool{}
		}
		if !p.reported[text] {
			p.reported[text] = true
			p.print("%s", text)
		}
	}
}

// pass lets time pass, with an answer at each step.
func (p *player) pass(until time.Time) {
	for p.now.Add(p.step).Before(until) {
		p.now = p.now.Add(p.step)
		p.look()
	}
	p.now = until
}

func (p *player) service(name string) (v observe.Service, i int) {
	i = slices.IndexFunc(p.app.Services, func(v observe.Service) bool { return v.Spec.Name == name })
	if i < 0 {
		p.t.Fatalf("%s: no service %q", p.where, name)
	}
	return p.app.Services[i], i
}

func (p *player) follow(name, green string) {
	v, _ := p.service(name)
	if green != "" {
		green = v.Standby
	}
	change := p.state.Change(v, green)
	p.change, p.reported = &change, map[string]bool{}
}

func (p *player) told() {
	told := p.change.Told(p.state)
	p.change = &told
}

// say does what a line of a trace says.
func (p *player) say(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	args := append(strings.Fields(rest), "", "")
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		p.fatal(err)
		return n
	}
	duration := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		p.fatal(err)
		return d
	}
	switch verb {
	case "service":
		p.deploy(args[0], strings.Fields(rest)[1:])
	case "see":
		for item := range strings.SplitSeq(rest, ";") {
			p.see(strings.TrimSpace(item))
		}
		p.silent = false
		p.look()
	case "silent":
		p.silent = true
		p.take(p.state.Heard(errors.New(rest), p.now))
	case "wait":
		until := p.now.Add(duration(args[0]))
		p.pass(until)
		p.look()
	case "follow":
		p.follow(args[0], args[1])
		p.told()
	case "play":
		p.play(filepath.Join("testdata", args[0]+".jsonl"))
	case "kill":
		p.take(p.state.Kill(args[0], 5*time.Second))
	case "spare":
		p.state = p.state.Spare(args[0])
	case "pause":
		p.take(p.state.Pause(args[0], time.Second))
	case "recover":
		p.take(p.state.Recover(args[0]))
	case "cut":
		p.take(p.state.Cut(args[0], duration(args[1])))
		p.print("cut off: %s", strings.Join(p.state.IsCut(), ", "))
	case "mend":
		p.take(p.state.Mend(args[0]))
	case "drain":
		p.take(p.state.Drain(args[0]))
	case "activate":
		p.take(p.state.Activate(args[0]))
	case "fetch":
		p.take(p.state.Fetch(args[0], number(args[1])))
	case "switch":
		_, i := p.service(args[0])
		v := &p.app.Services[i]
		v.ID, v.Standby = v.Standby, v.ID
		p.take(p.state.Switch(*v))
	case "missing":
		v, _ := p.service(args[0])
		p.missing(v)
	case "tasks":
		v, _ := p.service(args[0])
		list, slots := p.state.Tasks(v)
		for _, x := range list {
			text := fmt.Sprintf("%s %s on %s", x.Name, x.State, x.Node)
			if x.Error != "" {
				text += ": " + x.Error
			}
			p.print("%s", text)
		}
		p.print("%d slots", slots)
	case "published":
		v, _ := p.service(args[0])
		p.print("%s", strings.Join(p.state.Published(v, []int{30000}, "n1"), " "))
	case "victim":
		v, _ := p.service(args[0])
		victim, err := p.state.Victim(v, number(args[1]))
		p.print("%s%s", victim.Name, text(err))
	case "node":
		id, err := p.state.Node(args[0])
		p.print("%s%s", id, text(err))
	case "lost":
		p.print("silent for %s", p.state.Silent(p.now))
	case "forget":
		p.state, p.answer, p.app.Services = p.state.Forget(), observe.Answer{}, nil
	default:
		p.t.Fatalf("%s: no verb %q", p.where, verb)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (p *player) missing(v observe.Service) {
	advice, err := p.state.Missing(v, p.now)
	if err == nil {
		p.print("%s: nothing is missing", v.Spec.Name)
		return
	}
	for line := range strings.Lines(err.Error()) {
		p.print("%s: %s", v.Spec.Name, strings.TrimSpace(line))
	}
	if advice != "" {
		p.print("advice: %s", advice)
	}
}

func (p *player) deploy(name string, args []string) {
	v := observe.Service{ID: name, Spec: cluster.Service{Name: name, Image: "coinbench/" + name + ":v1", Replicas: 1}}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "replicas":
			n, err := strconv.Atoi(value)
			p.fatal(err)
			v.Spec.Replicas = n
		case "image":
			v.Spec.Image = value
		case "order":
			v.Spec.Update.Order = value
		case "checked":
			v.Spec.Health = &cluster.Health{}
		case "global":
			v.Spec.Global = true
		case "id":
			v.ID = value
		case "standby":
			v.Standby = value
		default:
			p.t.Fatalf("%s: no key %q", p.where, key)
		}
	}
	i := slices.IndexFunc(p.app.Services, func(x observe.Service) bool { return x.Spec.Name == name })
	if i < 0 {
		p.app.Services = append(p.app.Services, v)
		return
	}
	p.app.Services[i] = v
}

// see takes up one thing that the engine lists.
func (p *player) see(item string) {
	item, fault, _ := strings.Cut(item, ": ")
	words := strings.Fields(item)
	switch {
	case words[0] == "update":
		v, _ := p.service(words[1])
		at := p.now
		p.answer.Services = slices.DeleteFunc(p.answer.Services, func(x swarm.Service) bool { return x.ID == v.ID })
		p.answer.Services = append(p.answer.Services, swarm.Service{ID: v.ID, UpdateStatus: &swarm.UpdateStatus{
			State: swarm.UpdateState(words[2]), StartedAt: &at, Message: fault}})
	case len(words) == 2 && words[1] == "gone":
		p.answer.Tasks = slices.DeleteFunc(slices.Clone(p.answer.Tasks), func(x swarm.Task) bool { return x.ID == words[0] })
	case len(words) == 2:
		n := swarm.Node{ID: words[0], Description: swarm.NodeDescription{Hostname: words[0]}, Status: swarm.NodeStatus{
			State: swarm.NodeState(words[1]), Addr: "10.0.0." + words[0][1:]}}
		n.Spec.Availability = swarm.NodeAvailabilityActive
		if words[1] == "drain" {
			n.Status.State, n.Spec.Availability = swarm.NodeStateReady, swarm.NodeAvailabilityDrain
		}
		p.answer.Nodes = slices.DeleteFunc(slices.Clone(p.answer.Nodes), func(x swarm.Node) bool { return x.ID == n.ID })
		p.answer.Nodes = append(p.answer.Nodes, n)
	default:
		p.task(words, fault)
	}
}

func (p *player) task(words []string, fault string) {
	name, slot, _ := strings.Cut(words[1], ".")
	v, _ := p.service(name)
	n, err := strconv.Atoi(slot)
	p.fatal(err)
	x := swarm.Task{ID: words[0], ServiceID: v.ID, Slot: n, DesiredState: swarm.TaskStateRunning}
	x.CreatedAt = p.now
	spec := &swarm.ContainerSpec{Image: v.Spec.Image}
	if v.Spec.Health != nil {
		spec.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "check"}}
	}
	old := slices.IndexFunc(p.answer.Tasks, func(x swarm.Task) bool { return x.ID == words[0] })
	if old >= 0 {
		x, spec = p.answer.Tasks[old], p.answer.Tasks[old].Spec.ContainerSpec
		x.DesiredState = swarm.TaskStateRunning
		p.answer.Tasks = slices.Delete(slices.Clone(p.answer.Tasks), old, old+1)
	}
	x.Spec.ContainerSpec = spec
	if x.NodeID = words[2]; x.NodeID == "-" {
		x.NodeID = ""
	}
	state, desired, _ := strings.Cut(words[3], "/")
	x.Status.State, x.Status.Err = swarm.TaskState(state), fault
	if desired != "" {
		x.DesiredState = swarm.TaskState(desired)
	}
	switch x.Status.State {
	case swarm.TaskStateStarting, swarm.TaskStateRunning:
		x.Status.ContainerStatus = &swarm.ContainerStatus{ContainerID: "c-" + words[0], PID: 1}
	}
	for _, arg := range words[4:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "exit":
			code, err := strconv.Atoi(value)
			p.fatal(err)
			x.Status.ContainerStatus = &swarm.ContainerStatus{ContainerID: "c-" + words[0], ExitCode: code}
		case "pid":
			pid, err := strconv.Atoi(value)
			p.fatal(err)
			x.Status.ContainerStatus.PID = pid
		case "image":
			x.Spec.ContainerSpec.Image = value
		case "set":
			x.ServiceID = value
		case "created":
			d, err := time.ParseDuration(value)
			p.fatal(err)
			x.CreatedAt = p.now.Add(d)
		case "port":
			port, err := strconv.Atoi(value)
			p.fatal(err)
			x.Status.PortStatus.Ports = append(x.Status.PortStatus.Ports, swarm.PortConfig{PublishMode: swarm.PortConfigPublishModeHost,
				PublishedPort: uint32(port)})
		default:
			p.t.Fatalf("%s: no key %q", p.where, key)
		}
	}
	p.answer.Tasks = append(p.answer.Tasks, x)
}
