package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/capacity"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
	"coinbench/history"
	"coinbench/history/event"
)

// faultLab is a Swarm of three nodes, and the very binary that its images hold: without the race detector, which would take the processors
// from what is shown.
type faultLab struct {
	*lab.Lab
	program string
}

// newFaultLab makes a lab for a test, which is going to be hurt, besides those of other tests.
func newFaultLab(t *testing.T, name string) *faultLab {
	t.Helper()
	t.Parallel()
	labtest.Require(t)
	program := os.Getenv(labtest.BinaryVariable)
	if program == "" {
		program = filepath.Join(t.TempDir(), "coinbench")
		if err := os.WriteFile(program, labtest.Binary(t), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &faultLab{program: program, Lab: labtest.Up(t, lab.Config{Name: name, Nodes: 3, Heartbeat: time.Second,
		Registry: []string{program, "registry"}, Images: labtest.Images(t, "v0.1")})}
}

// What can go wrong on a Swarm: what the run says, its exit code, and that nothing is left behind.
func TestFaultsOnASwarm(t *testing.T) {
	l := newFaultLab(t, "faults")
	t.Run("side by side", func(t *testing.T) { // they do nothing to the nodes
		for name, test := range map[string]func(*testing.T, *faultLab){
			"a load generator is killed": aLoadGeneratorIsKilled, "coinbench is killed": coinbenchIsKilled, "an image is not " +
				"there": anImageIsNotThere,
			"coinbench is killed in mid-rollout": coinbenchIsKilledInMidRollout,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, l)
			})
		}
	})
	t.Run("the registry's disk is full", func(t *testing.T) { theRegistrysDiskIsFull(t, l) })
	t.Run("a node is killed under load", func(t *testing.T) { aNodeIsKilledUnderLoad(t, l) })
}

// The same, of nodes and engines that are away for a while.
func TestOutagesOnASwarm(t *testing.T) {
	l := newFaultLab(t, "outages")
	t.Run("the engine is restarted in mid-run", func(t *testing.T) { theEngineIsRestartedInMidRun(t, l) })
	t.Run("coinbench is killed while nodes are out", func(t *testing.T) { coinbenchIsKilledWhileNodesAreOut(t, l) })
	t.Run("pause, partition, drain", func(t *testing.T) { pausePartitionDrain(t, l) })
}

// run runs coinbench on the lab.
func (l *faultLab) run(args ...string) (string, error) {
	c := exec.Command(l.program, args...)
	c.Env = append(os.Environ(), l.Env()...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// start starts coinbench with a scenario of the given steps, on the lab, under a name of its own, so that
// several run at once, and with health checks that a busy machine does not fail.
func (l *faultLab) start(t *testing.T, app, steps string, args ...string) *session {
	t.Helper()
	folder := t.TempDir()
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := "name: " + app + "\n" + strings.NewReplacer("delay: 5s", "delay: 500ms", "timeout: 5s", "timeout: 10s", "retries: 3",
		"retries: 30").Replace(string(compose))
	scenario := "name: " + app + "\napp: app.yml\nsteps:\n" + steps
	for name, text := range map[string]string{"app.yml": text, "scenario.yaml": scenario} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(folder, "run")
	command := exec.Command(l.program, append([]string{"run", filepath.Join(folder, "scenario.yaml"), "--out", dir,
		"--cluster", "swarm", "--endpoint-mode", "dnsrr", "--publish", "webui=0"}, args...)...)
	command.Env = append(os.Environ(), l.Env()...)
	var s *session
	t.Cleanup(func() { // after the command has ended
		l.nothingOf(t, app)
		if t.Failed() && s != nil {
			t.Logf("%s printed:\n%s%s", app, &s.stdout, &s.stderr)
		}
	})
	s = begin(t, dir, command)
	return s
}

// records waits until the run has recorded what is asked for, and returns its events.
func (s *session) records(t *testing.T, what string, found func([]history.Event) bool) (events []history.Event) {
	t.Helper()
	until(t, what, func() bool {
		select {
		case <-s.ended:
			t.Fatalf("%s: it ended before:\n%s%s", what, &s.stdout, &s.stderr)
		default:
		}
		run, err := history.Open(s.dir)
		if err != nil {
			return false
		}
		events = run.Events
		return found(events)
	})
	return events
}

// happened says whether an event of a kind has the texts among its details.
func happened(events []history.Event, kind event.Payload, texts ...string) bool {
	return slices.ContainsFunc(events, func(e history.Event) bool {
		if !e.Is(kind) {
			return false
		}
		all := fmt.Sprint(e.Service, e.Task, e.Detail())
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(all, text) })
	})
}

func when(kind event.Payload, texts ...string) func([]history.Event) bool {
	return func(events []history.Event) bool { return happened(events, kind, texts...) }
}

// analysis reads what the run left, after its end with an exit code.
func (s *session) analysis(t *testing.T, codes ...int) *capacity.Analysis {
	t.Helper()
	s.ends(t, codes...)
	a, err := analyse(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answered waits until requests of the run's one load were answered.
func (s *session) answered(t *testing.T) {
	t.Helper()
	until(t, "requests are answered", func() bool {
		run, err := history.Open(s.dir)
		return err == nil && len(run.Loads) == 1 && run.Loads[0].Total().OK > 0
	})
}

// ends waits for the end of the run; it may be long on a busy machine.
func (s *session) ends(t *testing.T, codes ...int) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if code := s.ProcessState.ExitCode(); !slices.Contains(codes, code) {
		t.Errorf("exit code %d, want one of %v", code, codes)
	}
}

func (s *session) says(t *testing.T, texts ...string) {
	t.Helper()
	all := unfolded(s.stdout.String() + s.stderr.String())
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("it does not say %q", text)
		}
	}
}

// unfolded is a text without the ends of its lines, which are where a terminal's width is.
func unfolded(text string) string { return strings.Join(strings.Fields(text), " ") }

// engine is a client of a node's engine ("": the manager's).
func (l *faultLab) engine(t *testing.T, node string) *client.Client {
	t.Helper()
	c, err := l.Client(node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// generators are the nodes that have a load generator of an app now, and its container there.
func (l *faultLab) generators(t *testing.T, app string, n int) map[string]string {
	t.Helper()
	engine := l.engine(t, "")
	found := map[string]string{}
	until(t, "the generators of "+app+" run", func() bool {
		nodes, err := engine.NodeList(t.Context(), client.NodeListOptions{})
		if err != nil {
			return false
		}
		names := map[string]string{}
		for _, x := range nodes.Items {
			names[x.ID] = x.Description.Hostname
		}
		tasks, err := engine.TaskList(t.Context(), client.TaskListOptions{Filters: make(client.Filters).Add("service", app+"_job1")})
		if err != nil {
			return false
		}
		for _, x := range tasks.Items {
			if x.Status.State == swarm.TaskStateRunning && x.Status.ContainerStatus != nil {
				found[names[x.NodeID]] = x.Status.ContainerStatus.ContainerID
			}
		}
		return len(found) == n
	})
	return found
}

// nodesReady waits until every node is up, and takes tasks.
func (l *faultLab) nodesReady(t *testing.T) {
	t.Helper()
	engine := l.engine(t, "")
	until(t, "every node is ready", func() bool {
		nodes, err := engine.NodeList(context.Background(), client.NodeListOptions{})
		return err == nil && !slices.ContainsFunc(nodes.Items, func(n swarm.Node) bool {
			return n.Status.State != swarm.NodeStateReady || n.Spec.Availability != swarm.NodeAvailabilityActive || len(n.Spec.Labels) > 0
		})
	})
}

// nothingOf waits until no node has anything of an app: no service, network, container or volume, nor a label of it.
func (l *faultLab) nothingOf(t *testing.T, app string) {
	t.Helper()
	left := func() (list []string, err error) {
		ctx := context.Background()
		manager := l.engine(t, "")
		services, err := manager.ServiceList(ctx, client.ServiceListOptions{})
		if err != nil {
			return nil, err
		}
		for _, s := range services.Items {
			if strings.HasPrefix(s.Spec.Name, app+"_") {
				list = append(list, "the service "+s.Spec.Name)
			}
		}
		for _, node := range l.Nodes() {
			engine := l.engine(t, node)
			networks, err := engine.NetworkList(ctx, client.NetworkListOptions{})
			if err != nil {
				return nil, err
			}
			for _, n := range networks.Items {
				if strings.HasPrefix(n.Name, app+"_") {
					list = append(list, "the network "+n.Name+" on "+node)
				}
			}
			containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
			if err != nil {
				return nil, err
			}
			for _, c := range containers.Items {
				if c.Labels["coinbench.app"] == app || strings.HasPrefix(c.Labels["com.docker.swarm.service.name"], app+"_") {
					list = append(list, fmt.Sprintf("the container %v on %s (%s)", c.Names, node, c.Status))
				}
			}
			volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", "coinbench.app="+app)})
			if err != nil {
				return nil, err
			}
			for _, v := range volumes.Items {
				list = append(list, "the volume "+v.Name+" on "+node)
			}
		}
		return list, nil
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		list, err := left()
		if err == nil && len(list) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("left behind: %s %v", strings.Join(list, ", "), err)
			return
		}
	}
}

// A node loses its power while two runs go on, each under its own name. One has a load generator there: its numbers are void, what the
// other generators measured is kept. The other has tasks there, which move, and it says what was lost.
func aNodeIsKilledUnderLoad(t *testing.T, l *faultLab) {
	loads := l.start(t, "blinded", `
  - deploy: {rng: 1, hasher: 0, worker: 0, webui: 0}
  - attack: {name: users, service: rng, rate: 6/s, for: 75s}
`, "--generators", "3")
	blind := l.generators(t, "blinded", 3)
	loads.answered(t)
	tasks := l.start(t, "losing", `
  - deploy: {rng: {replicas: 3, environment: {COIN_DELAY: 10ms}}, hasher: {replicas: 3, environment: {COIN_DELAY: 10ms}}, worker: 3, webui: 0}
  - attack: {name: users, service: rng, rate: 20/s, timeout: 1s, background: true}
  - measure: {name: mining, for: 15s}
  - scale: {redis: 1, rng: 3, hasher: 3, worker: 3} # that is: until they are there
`)
	here := l.generators(t, "losing", 1)
	tasks.records(t, "the workers are measured", when(event.WindowBegin{}, "mining"))
	victim := "node2"
	if here[victim] != "" {
		victim = "node3"
	}
	if blind[victim] == "" {
		t.Fatalf("no generator on %s: %v", victim, blind)
	}
	if err := l.Kill(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Start(context.Background(), victim); err != nil {
			t.Error(err)
		}
		l.nodesReady(t)
	}()

	a := loads.analysis(t, 0, exitUnmeasured) // which it is where the others are late
	loads.says(t, "was lost on "+victim)
	if len(a.Loads) != 1 || a.Loads[0].Missing == 0 || a.Loads[0].OK < 6*75/2 {
		t.Errorf("%+v: what the others measured is not kept, or what is missing is not said", a.Loads)
	}

	a = tasks.analysis(t, exitUnmeasured)
	tasks.says(t, victim+" was lost at", "ran elsewhere")
	if len(a.Losses) != 1 || a.Losses[0].Node != victim || len(a.Losses[0].Tasks) == 0 || a.Losses[0].MovedS == nil {
		t.Errorf("what was lost: %+v", a.Losses)
	}
	if !slices.ContainsFunc(a.Timeline.Marks, func(m capacity.Mark) bool {
		return m.Kind == event.NodeDown{}.Kind() && strings.Contains(m.Text, victim)
	}) {
		t.Error("the timeline does not show it")
	}
	page, err := os.ReadFile(filepath.Join(tasks.dir, "report.html"))
	if err != nil || !strings.Contains(string(page), victim+" is down") || !strings.Contains(string(page), victim+" was lost at") {
		t.Errorf("the page does not show it: %v", err)
	}
	t.Logf("%+v", a.Validity.Doubts)
}

// The manager's engine is restarted in mid-run: the run goes on, and says what it did not see.
func theEngineIsRestartedInMidRun(t *testing.T, l *faultLab) {
	s := l.start(t, "restarted", `
  - deploy: {rng: {replicas: 2, environment: {COIN_DELAY: 10ms}}, hasher: 2, worker: 2, webui: 0}
  - measure: {name: mining, for: 12s}
  - scale: {rng: 3}
`)
	s.records(t, "the workers are measured", when(event.WindowBegin{}, "mining"))
	if err := l.StopEngine(t.Context(), "node1"); err != nil {
		t.Fatal(err)
	}
	s.records(t, "the run notices", when(event.Warning{}, "the engine does not answer"))
	if err := l.Start(t.Context(), "node1"); err != nil {
		t.Fatal(err)
	}
	s.records(t, "it answers again", when(event.Warning{}, "the engine answers again"))
	a := s.analysis(t, exitUnmeasured)
	s.says(t, "the engine answers again, after", "was not read for")
	if a.Run.Status != history.Finished {
		t.Errorf("the run did not go on: %s", a.Run.Status)
	}
	record, err := history.Open(s.dir)
	if err != nil || !happened(record.Events, event.ServiceScaled{}, "rng") {
		t.Errorf("nothing was done after the restart: %v", err)
	}
	l.nodesReady(t)
}

// The container of one of two load generators dies: that costs its share.
func aLoadGeneratorIsKilled(t *testing.T, l *faultLab) {
	s := l.start(t, "deaf", `
  - deploy: {rng: 1, hasher: 0, worker: 0, webui: 0}
  - attack: {name: users, service: rng, rate: 6/s, for: 60s}
`, "--generators", "2")
	found := l.generators(t, "deaf", 2)
	s.answered(t)
	for node, container := range found {
		if _, err := l.engine(t, node).ContainerKill(t.Context(), container, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
			t.Fatal(err)
		}
		a := s.analysis(t, 0, exitUnmeasured) // which it is where the other is late
		s.says(t, "was lost on "+node)
		if len(a.Loads) != 1 || a.Loads[0].OK == 0 || a.Loads[0].Missing == 0 {
			t.Errorf("%+v: what was measured is not kept, or what is missing is not said", a.Loads)
		}
		break
	}
}

// coinbench is killed, and nobody else can clean up: `ps` says what is left and whose it was, `down` removes it. Meanwhile another
// coinbench that wants the same names is refused, and touches nothing.
func coinbenchIsKilled(t *testing.T, l *faultLab) {
	s := l.start(t, "orphaned", `
  - deploy: {rng: 1, hasher: 1, worker: 1, webui: 0}
  - attack: {name: users, service: rng, rate: 5/s, for: 10m}
`, "--engine-socket", "/nowhere.sock")
	l.generators(t, "orphaned", 1)
	out, err := l.run("run", filepath.Join(filepath.Dir(s.dir), "scenario.yaml"), "--out", filepath.Join(t.TempDir(), "second"), "--cluster",
		"swarm", "--publish", "webui=0")
	if exitCode(err) != exitUnmeasured || !strings.Contains(out, "another coinbench runs it now") {
		t.Errorf("the second run: exit code %d\n%s", exitCode(err), out)
	}
	out, err = l.run("down", "--app", "orphaned")
	if exitCode(err) != exitUnmeasured || !strings.Contains(out, "is in progress") {
		t.Errorf("down, of what goes on: exit code %d\n%s", exitCode(err), out)
	}
	out, err = l.run("ps", "--app", "orphaned")
	if err != nil || !strings.Contains(out, "is in progress") || !strings.Contains(out, "worker.1#1") {
		t.Errorf("ps, of what goes on: %v\n%s", err, out)
	}
	if err := s.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	until(t, "ps says that the run was killed", func() bool {
		out, err = l.run("ps", "--app", "orphaned")
		return err == nil && strings.Contains(out, "was killed and left")
	})
	for _, want := range []string{"the service orphaned_worker", "the service orphaned_job1", "the network orphaned_overlay", "coinbench down",
		"rng.1#1"} {
		if !strings.Contains(unfolded(out), want) {
			t.Errorf("ps does not say %q:\n%s", want, out)
		}
	}
	if out, err = l.run("down", "--app", "orphaned"); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
	l.nothingOf(t, "orphaned")
	if out, err = l.run("ps", "--app", "orphaned"); exitCode(err) != exitUnmeasured {
		t.Errorf("ps, of nothing: exit code %d\n%s", exitCode(err), out)
	}
}

// coinbench is killed in the middle of a rollout, which the engine goes on with: `ps` says so, `down` ends it.
func coinbenchIsKilledInMidRollout(t *testing.T, l *faultLab) {
	s := l.start(t, "halfway", `
  - deploy: {rng: 3, hasher: 0, worker: 0, webui: 0}
  - update: {name: forth, service: rng, environment: {COIN_DELAY: 10ms}, parallelism: 1, delay: 30s, monitor: 1s}
`, "--engine-socket", "/nowhere.sock")
	s.records(t, "a replica is replaced", when(event.TaskGone{}, "rng."))
	if err := s.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	var out string
	until(t, "ps says that the run was killed", func() bool {
		var err error
		out, err = l.run("ps", "--app", "halfway")
		return err == nil && strings.Contains(out, "was killed and left")
	})
	for _, want := range []string{"a rolling update is in progress since", "which the engine carries on by itself",
		"of 3 tasks are as desired",
		"coinbench down"} {
		if !strings.Contains(unfolded(out), want) {
			t.Errorf("ps does not say %q:\n%s", want, out)
		}
	}
	if out, err := l.run("down", "--app", "halfway"); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
	l.nothingOf(t, "halfway")
}

// coinbench is killed while a node is drained and another cut off: the lab mends the one, the relay lets the other take tasks again and
// removes everything.
func coinbenchIsKilledWhileNodesAreOut(t *testing.T, l *faultLab) {
	s := l.start(t, "outlived", `
  - deploy: {rng: 2, hasher: 1, worker: 2, webui: 0}
  - drain: {node: node2, service: rng}
  - partition: {node: node3, service: rng, for: 8s, name: cut}
  - wait: 10m
`)
	s.records(t, "the node is cut off", when(event.NodeCut{}, "node3"))
	if err := s.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	l.nothingOf(t, "outlived")
	l.nodesReady(t)
}

// Every fault that a scenario can ask of a Swarm, and all of it undone at the end.
func pausePartitionDrain(t *testing.T, l *faultLab) {
	s := l.start(t, "faulty", `
  - deploy: {rng: {replicas: 3, environment: {COIN_DELAY: 10ms}}, hasher: {replicas: 1, environment: {COIN_DELAY: 10ms}}, worker: 3, webui: 0}
  - attack: {name: users, service: rng, rate: 20/s, timeout: 500ms, background: true}
  - pause: {service: rng, replica: 2, for: 1s, name: frozen}
  - wait: 2s
  - partition: {node: node3, service: rng, for: 1500ms, name: cut}
  - wait: 4s
  - drain: {node: node2, service: rng, name: drained}
  - wait: 1s
  - drain: {node: node2, service: rng, name: activated, activate: true}
  - drain: {node: node3, service: rng, name: left}
`)
	s.ends(t, exitPass, exitUnmeasured) // the latter where the machine is busy
	record, err := history.Open(s.dir)
	if err != nil || record.Status != history.Finished {
		t.Fatalf("%v, %v", record.Status, err)
	}
	for _, want := range []struct {
		kind  event.Payload
		texts []string
	}{
		{event.TaskPaused{}, []string{"rng.2#"}},
		{event.NodeCut{}, []string{"node3", "1.5s"}}, {event.TaskCut{}, []string{"node3"}}, {event.NodeMended{}, []string{"node3"}},
		{event.NodeDrained{}, []string{"node2"}}, {event.NodeActivated{}, []string{"node2"}},
		{event.NodeDrained{}, []string{"node3"}}, {event.NodeActivated{}, []string{"node3"}}, // at the end, by itself
	} {
		if !happened(record.Events, want.kind, want.texts...) {
			t.Errorf("no event %s %v", want.kind, want.texts)
		}
	}
	a, err := analyse(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Losses) != 0 {
		t.Errorf("what was asked for is called a loss: %+v", a.Losses)
	}
	if !happened(record.Events, event.TaskRecovered{}, "rng.2#") && !happened(record.Events, event.TaskGone{}, "rng.2#1") {
		t.Error("the frozen replica neither recovered nor was replaced")
	}
	for _, name := range []string{"frozen", "cut", "drained", "left"} {
		if a.Disturbance(name) == nil {
			t.Errorf("the report says nothing of %s", name)
		}
	}
	l.nodesReady(t)
}

// An image that was not pushed.
func anImageIsNotThere(t *testing.T, l *faultLab) {
	s := l.start(t, "imageless", "\n  - deploy: {rng: {replicas: 1, image: \"coinbench/rng:v7.7\"}, hasher: 0, worker: 0, webui: 0}\n")
	s.ends(t, exitUnmeasured)
	s.says(t, "rng.1", "No such image", "coinbench images push")

}

// The registry's disk is full.
func theRegistrysDiskIsFull(t *testing.T, l *faultLab) {
	disk := filepath.Join(filepath.Dir(l.Logs()[0]), "registry")
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	for _, folder := range []string{"blobs", "manifests"} { // as the registry made them when it began
		if err := os.Mkdir(filepath.Join(disk, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := l.run("images", "push", "--registry", l.Registry(), "--tag", "v7.7")
	if exitCode(err) != exitUnmeasured || !strings.Contains(out, "no space left on device") ||
		!strings.Contains(out, "make room on the registry's disk") {
		t.Errorf("push to a full disk: exit code %d\n%s", exitCode(err), out)
	}
	if left, _ := filepath.Glob(filepath.Join(disk, "blobs", "upload-*")); len(left) > 0 {
		t.Errorf("half of an upload is left: %v", left)
	}
}

// A step that cuts a node off is refused before anything is done where there is no lab.
func TestPartitionElsewhereIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cut.yaml")
	if err := os.WriteFile(file, []byte("name: cut\nsteps: [{deploy: }, {partition: {node: node2, service: rng, for: 1s}}]\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{"swarm": "in a lab only", "local": "no nodes to cut off", "sim": "no nodes to cut off"} {
		c := exec.Command("coinbench", "run", file, "--cluster", where, "--out", filepath.Join(t.TempDir(), "run"))
		c.Env = append(os.Environ(), "DOCKER_HOST=unix:///nowhere.sock")
		out, err := c.CombinedOutput()
		if exitCode(err) != exitUsage || !strings.Contains(string(out), want) {
			t.Errorf("%s: exit code %d\n%s", where, exitCode(err), out)
		}
	}
}
