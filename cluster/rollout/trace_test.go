package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/clustertest/trace"
)

// TestTraces plays testdata/*.trace: each is what is said to a machine, and below ---- what it says. A line of an answer begins with the
// time since the service was deployed. The verbs:
//
//	service KEY=VALUE...          a service is deployed: replicas, image, update.delay, rollback.monitor, native, ...
//	scale N                       its replicas are set
//	update KEY=VALUE... | rollback | restart     a change begins: image, strategy, slots, pull, update.delay, ...
//	gone N, up N, ready N, failed N, turned N    what has become of a slot's task, several on one line
//	completed, paused, returning, returned, stuck    what an engine says of its update
//	refuse                        what is done to the gateway, and what the engine is told, is refused from here on
//	wait DURATION                 time passes
//	abort                         the change ends early
func TestTraces(t *testing.T) {
	trace.Play(t, func(t *testing.T) func(where, line string) []string {
		p := &player{now: time.Unix(0, 0)}
		return func(where, line string) []string {
			p.said = nil
			p.say(t, where, line)
			return p.said
		}
	})
}

// player is the world around a machine.
type player struct {
	state   State
	machine *Machine
	images  map[int]string // by slot, of the task that has it; "": none
	olds    map[int]string // by slot, as it was before its new task
	now     time.Time
	wake    time.Time
	said    []string
	refuse  string
}

func (p *player) print(format string, args ...any) {
	at := strconv.FormatFloat(p.now.Sub(time.Unix(0, 0)).Seconds(), 'f', -1, 64)
	p.said = append(p.said, fmt.Sprintf("%6ss  ", at)+fmt.Sprintf(format, args...))
}

// say does what a line of a trace says.
func (p *player) say(t *testing.T, where, line string) {
	t.Helper()
	words := strings.Fields(line)
	verb, args := words[0], words[1:]
	begin := func(m *Machine, err error) {
		if err != nil {
			p.print("refused: %v", err)
			return
		}
		p.machine = m
		p.step(nil)
	}
	var err error
	switch verb {
	case "service":
		p.state = State{Spec: cluster.Service{Name: "rng", Image: "v1", Replicas: 1, Update: cluster.Rollout{Parallelism: 1, Order: "stop-first",
			FailureAction: "pause"},
			Rollback: cluster.Rollout{Parallelism: 1, Order: "stop-first", FailureAction: "pause"}}}
		p.images, p.machine = map[int]string{}, nil
		var change cluster.Change
		err = p.set(&p.state.Spec, &change, args)
		for n := 1; n <= p.state.Spec.Replicas; n++ {
			p.images[n] = p.state.Spec.Image
		}
	case "scale":
		p.state.Spec.Replicas, err = strconv.Atoi(args[0])
		for n := 1; n <= p.state.Spec.Replicas; n++ {
			if p.images[n] == "" {
				p.images[n] = p.state.Spec.Image
			}
		}
	case "update":
		var change cluster.Change
		spec := p.state.Spec
		if err = p.set(&spec, &change, args); err == nil {
			if change.Image = ""; spec.Image != p.state.Spec.Image {
				change.Image = spec.Image
			}
			if spec.Update != p.state.Spec.Update {
				change.Rollout = &spec.Update
			}
			begin(Update(&p.state, change, time.Minute))
		}
	case "rollback":
		begin(Rollback(&p.state))
	case "restart":
		begin(Restart(&p.state), nil)
	case "wait":
		var d time.Duration
		if d, err = time.ParseDuration(args[0]); err == nil {
			p.pass(d)
		}
	case "refuse":
		p.refuse = "it says no"
	case "abort":
		p.perform(p.machine.Abort())
	default:
		var reports []Report
		for one := range strings.SplitSeq(line, ",") {
			what, slot, _ := strings.Cut(strings.TrimSpace(one), " ")
			r := Report{What: What(what), Reason: "the engine's words"}
			if slot != "" {
				r.Slot, err = strconv.Atoi(slot)
				r.Reason = "rng." + slot + ": ill"
			}
			if !slices.Contains([]What{Gone, Up, Ready, Failed, Turned, Completed, Paused, Returning, Returned, Stuck}, r.What) || err != nil {
				t.Fatalf("%s: %q", where, one)
			}
			reports = append(reports, r)
		}
		p.step(reports)
	}
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
}

// set reads KEY=VALUE.
func (p *player) set(s *cluster.Service, change *cluster.Change, args []string) (err error) {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		r := &s.Update
		if rest, ok := strings.CutPrefix(key, "rollback."); ok {
			r, key = &s.Rollback, "update."+rest
		}
		switch key {
		case "replicas":
			s.Replicas, err = strconv.Atoi(value)
		case "image":
			s.Image = value
		case "native":
			p.state.Native, err = strconv.ParseBool(value)
		case "strategy":
			change.Strategy = cluster.Strategy(value)
		case "pull":
			change.Pull, err = time.ParseDuration(value)
		case "slots":
			for text := range strings.SplitSeq(value, ",") {
				n := 0
				n, err = strconv.Atoi(text)
				change.Slots = append(change.Slots, n)
			}
		case "update.parallelism":
			r.Parallelism, err = strconv.Atoi(value)
		case "update.delay":
			r.Delay, err = time.ParseDuration(value)
		case "update.monitor":
			r.Monitor, err = time.ParseDuration(value)
		case "update.ratio":
			r.MaxFailureRatio, err = strconv.ParseFloat(value, 64)
		case "update.order":
			r.Order = value
		case "update.action":
			r.FailureAction = value
		default:
			err = fmt.Errorf("unknown key %s", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pass lets time pass, with a step at each instant that the machine has asked for.
func (p *player) pass(d time.Duration) {
	for end := p.now.Add(d); ; {
		if p.machine == nil || p.wake.IsZero() || p.wake.After(end) {
			p.now = end
			return
		}
		p.now = p.wake
		p.step(nil)
	}
}

// step goes on until there is nothing more to do now.
func (p *player) step(reports []Report) {
	seen := Observation{Reports: reports}
	for p.machine != nil {
		out := p.machine.Step(p.now, seen)
		for _, e := range out.Events {
			text := string(e.Payload.Kind())
			for _, k := range sortedKeys(e.Detail()) {
				text += " " + k + "=" + e.Detail()[k]
			}
			p.print("event %s", text)
		}
		seen = Observation{Looked: p.perform(out.Actions), Refused: p.refuse}
		if seen.Looked {
			for n := 1; n <= p.state.Spec.Replicas; n++ {
				seen.Slots = append(seen.Slots, n)
				if p.images[n] != p.state.Spec.Image {
					seen.Dirty = append(seen.Dirty, n)
				}
			}
			p.olds = map[int]string{}
		}
		if p.wake = out.Wake; out.Done {
			text := "done"
			if out.Outcome != "" {
				text += ", " + string(out.Outcome)
			}
			if out.Reason != "" {
				text += ": " + out.Reason
			}
			p.print("%s; %s", text, p.service())
			p.machine = nil
		}
		if len(out.Actions) == 0 {
			return
		}
	}
}

func (p *player) service() string {
	text := fmt.Sprintf("%s, %d replicas", p.state.Spec.Image, p.state.Spec.Replicas)
	if p.state.Previous != nil {
		text += ", before " + p.state.Previous.Image
	}
	return text
}

func (p *player) perform(actions []Action) (look bool) {
	for _, a := range actions {
		text := string(a.Verb)
		if a.Slot > 0 {
			text += " " + strconv.Itoa(a.Slot)
		}
		switch a.Verb {
		case Look:
			look = true
			continue
		case Fill: // it does nothing where there is no hole
			continue
		case Move:
			if p.refuse != "" {
				p.print("%s is refused; %s", text, p.service())
				p.perform(p.machine.Abort())
				p.print("aborted; %s", p.service())
				p.machine = nil
				return false
			}
			text += fmt.Sprintf(" %s", p.state.Spec.Image)
			if o := p.machine.Order(); o.Tasks > 0 {
				text += fmt.Sprintf(" tasks=%d parallelism=%d delay=%s ratio=%.2g action=%s", o.Tasks, o.Settings.Parallelism, o.Settings.Delay,
					o.Settings.MaxFailureRatio, o.Settings.FailureAction)
				if o.Force {
					text += " force"
				}
			}
		case Become:
			text += " " + p.state.Spec.Image
		case Stop:
			if _, renewed := p.olds[a.Slot]; !renewed {
				p.images[a.Slot] = ""
			}
		case Start:
			p.olds[a.Slot] = p.images[a.Slot]
			p.images[a.Slot] = p.state.Spec.Image
		case Keep:
			p.images[a.Slot] = p.olds[a.Slot]
		case TurnGreen, TurnBlue:
			for n := range p.images {
				p.images[n] = p.state.Spec.Image
			}
		}
		p.print("%s", text)
	}
	return look
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
