package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == standIn {
		fmt.Fprintln(os.Stderr, runStandIn())
		os.Exit(1)
	}
	os.Exit(labtest.Main(m))
}

// await polls until a condition holds.
func await(t *testing.T, what string, limit time.Duration, holds func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	for {
		ok, seen := holds()
		if ok {
			t.Logf("%s: after %s", what, time.Since(start).Round(time.Millisecond))
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %s", what, limit, seen)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func awaitState(t *testing.T, l *lab.Lab, node, state string) {
	t.Helper()
	await(t, node+" is "+state, 40*time.Second, func() (bool, string) {
		nodes, err := l.Ps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if n.Name == node {
				return n.State == state, fmt.Sprintf("%+v", n)
			}
		}
		return false, "it is not listed"
	})
}

// spec is a service of one of our images on the overlay network, in DNSRR mode, on the given nodes.
func spec(name, image string, command []string, constraints ...string) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: name},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{Image: image, Command: command, ReadOnly: true},
			Placement:     &swarm.Placement{Constraints: constraints},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: "coins"}},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone},
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeDNSRR},
	}
}

func create(t *testing.T, c *client.Client, s swarm.ServiceSpec) string {
	t.Helper()
	r, err := c.ServiceCreate(t.Context(), client.ServiceCreateOptions{Spec: s})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// tasks are the tasks of a service in a state, and all of them as text.
func tasks(t *testing.T, c *client.Client, service string, state swarm.TaskState) ([]swarm.Task, string) {
	t.Helper()
	all, err := c.TaskList(t.Context(), client.TaskListOptions{Filters: make(client.Filters).Add("service", service)})
	if err != nil {
		t.Fatal(err)
	}
	var found []swarm.Task
	var b strings.Builder
	for _, task := range all.Items {
		fmt.Fprintf(&b, "%s on %s: %s %s; ", task.ID[:8], task.NodeID, task.Status.State, task.Status.Err)
		if task.Status.State == state {
			found = append(found, task)
		}
	}
	return found, b.String()
}

func awaitTasks(t *testing.T, c *client.Client, service string, state swarm.TaskState, count int) {
	t.Helper()
	await(t, fmt.Sprintf("%d %s tasks of %s", count, state, service), 40*time.Second, func() (bool, string) {
		found, all := tasks(t, c, service, state)
		return len(found) == count, all
	})
}

func logs(t *testing.T, c *client.Client, service string) string {
	t.Helper()
	r, err := c.ServiceLogs(t.Context(), service, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A swarm of three nodes does what a swarm of three machines does: services answer across nodes, a node that is killed,
// cut off or without engine is down and comes back, and afterwards nothing is left.
func TestAWholeSwarm(t *testing.T) {
	labtest.Require(t)
	set := labtest.Images(t, "v0.1")
	before := traces(t)

	start := time.Now()
	l := labtest.Up(t, lab.Config{Name: "labtest", Heartbeat: time.Second, Images: set})
	t.Logf("up after %s", time.Since(start))
	c, err := l.Client("")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	t.Run("Services", func(t *testing.T) {
		if _, err := c.NetworkCreate(t.Context(), "coins", client.NetworkCreateOptions{Driver: "overlay", Attachable: true}); err != nil {
			t.Fatal(err)
		}
		// The names are those of a Compose file: the registry answers for Docker Hub.
		rng := create(t, c, spec("rng", images.Name("rng", "v0.1"), nil, "node.hostname==node3"))
		redis := create(t, c, spec("redis", "redis:7", nil, "node.hostname==node2"))
		awaitTasks(t, c, rng, swarm.TaskStateRunning, 1)
		awaitTasks(t, c, redis, swarm.TaskStateRunning, 1)

		probe := spec("probe", l.Remote().Ref(images.Name("", "v0.1")), []string{images.BinaryPath, "healthcheck", "http://rng/"})
		probe.Mode = swarm.ServiceMode{GlobalJob: &swarm.GlobalJob{}}
		probe.EndpointSpec = nil
		started := time.Now()
		id := create(t, c, probe)
		await(t, "the first line of the job's log", 30*time.Second, func() (bool, string) { return logs(t, c, id) != "", "" })
		t.Logf("ServiceCreate to the first log line: %s", time.Since(started))
		awaitTasks(t, c, id, swarm.TaskStateComplete, 3)
		if out := logs(t, c, id); strings.Count(out, "200 OK") != 3 {
			t.Errorf("the probes of three nodes say %q", out)
		}
	})

	t.Run("PublishedPort", func(t *testing.T) {
		s := spec("web", images.Name("rng", "v0.1"), nil, "node.hostname==node2")
		s.EndpointSpec.Ports = []swarm.PortConfig{{Protocol: network.TCP, TargetPort: 80, PublishedPort: 8000,
			PublishMode: swarm.PortConfigPublishModeHost}}
		create(t, c, s)
		address, err := l.Address("node2")
		if err != nil {
			t.Fatal(err)
		}
		hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
		await(t, "the host reaches a published port", 30*time.Second, func() (bool, string) {
			resp, err := hc.Get("http://" + address.String() + ":8000/")
			if err != nil {
				return false, err.Error()
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK, resp.Status
		})
	})

	t.Run("AnUnknownImageFailsSoon", func(t *testing.T) {
		id := create(t, c, spec("nonsense", "nobody/nothing:v9", nil))
		awaitTasks(t, c, id, swarm.TaskStateRejected, 1)
		if _, all := tasks(t, c, id, swarm.TaskStateRejected); !strings.Contains(all, "No such image") {
			t.Errorf("%s", all)
		}
	})

	t.Run("Kill", func(t *testing.T) {
		if err := l.Kill(t.Context(), "node3"); err != nil {
			t.Fatal(err)
		}
		awaitState(t, l, "node3", "down")
		if err := l.Start(t.Context(), "node3"); err != nil {
			t.Fatal(err)
		}
		awaitState(t, l, "node3", "ready")
	})

	t.Run("Partition", func(t *testing.T) {
		if err := l.Partition(t.Context(), "node2"); err != nil {
			t.Fatal(err)
		}
		awaitState(t, l, "node2", "down")
		if err := l.Heal(t.Context(), "node2"); err != nil {
			t.Fatal(err)
		}
		awaitState(t, l, "node2", "ready")
	})

	t.Run("ManagerEngine", func(t *testing.T) {
		if err := l.KillEngine(t.Context(), "node1"); err != nil {
			t.Fatal(err)
		}
		again, err := lab.Open("labtest") // as another program would
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := again.Ps(t.Context())
		if err != nil || nodes[0].Engine || nodes[0].PID == 0 || nodes[1].State != "" {
			t.Errorf("%+v, %v", nodes, err)
		}
		if err := again.Start(t.Context(), "node1"); err != nil {
			t.Fatal(err)
		}
		for _, n := range l.Nodes() {
			awaitState(t, l, n, "ready")
		}
		if err := l.Kill(t.Context(), "node4"); err == nil || !strings.Contains(err.Error(), "accepted: node1, node2, node3") {
			t.Errorf("an unknown node: %v", err)
		}
	})

	t.Run("Down", func(t *testing.T) {
		if _, err := lab.Up(t.Context(), lab.Config{Name: "labtest"}); err == nil || !strings.Contains(err.Error(), "take it down first") {
			t.Errorf("up twice: %v", err)
		}
		start := time.Now()
		if err := l.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("down after %s", time.Since(start))
		compareTraces(t, before)
		if _, err := lab.Open("labtest"); !errors.Is(err, lab.ErrNoLab) {
			t.Errorf("%v", err)
		}
		if err := l.Down(t.Context()); err != nil {
			t.Errorf("down again: %v", err)
		}
	})
}

// What a program that crashed left behind is found without its notes, and removed.
func TestDownAfterACrash(t *testing.T) {
	labtest.Require(t)
	before := traces(t)
	l := labtest.Up(t, lab.Config{Name: "labcrash", Nodes: 1})
	other := labtest.Up(t, lab.Config{Name: "labcrash-2", Nodes: 1}) // whose name begins alike
	if l.Subnet().Overlaps(other.Subnet()) {
		t.Errorf("two labs in one network: %s and %s", l.Subnet(), other.Subnet())
	}
	if err := os.Remove("/run/coinbench/lab/labcrash.json"); err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodes, err := other.Ps(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].State != "ready" {
		t.Errorf("the other lab: %+v, %v", nodes, err)
	}
	if err := other.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	compareTraces(t, before)
}

func TestUpThatFailsLeavesNothing(t *testing.T) {
	labtest.Require(t)
	before := traces(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "someones"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config lab.Config
		says   string
	}{
		"a registry that ends":    {lab.Config{Registry: []string{"/bin/sh", "-c", "echo out of order; exit 1"}}, "out of order"},
		"an engine that ends":     {lab.Config{Registry: nil, Dockerd: "/bin/false"}, "the engine of node1 ended"},
		"someone's folder":        {lab.Config{Dir: full}, "no lab made it"},
		"a subnet that is in use": {lab.Config{Subnet: netip.MustParsePrefix("127.0.0.0/24")}, "choose another"},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Name, c.config.Nodes = "labfail", 2
			if c.config.Registry == nil {
				self, err := os.Executable()
				if err != nil {
					t.Fatal(err)
				}
				c.config.Registry = []string{self, labtest.RegistryArgument}
			}
			l, err := lab.Up(t.Context(), c.config)
			if err == nil {
				l.Down(t.Context())
				t.Fatal("it is up")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			compareTraces(t, before)
		})
	}
	if _, err := os.Stat(filepath.Join(full, "someones")); err != nil {
		t.Errorf("it took someone's file: %v", err)
	}
}

// traces are the things of this machine that a lab could leave behind.
func traces(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		found["interfaces"] = append(found["interfaces"], i.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "coinbench") || strings.Contains(line, "docker") || strings.Contains(line, "nsfs") {
			found["mounts"] = append(found["mounts"], line)
		}
	}
	for _, pattern := range []string{"/run/*", "/run/coinbench/lab/*", "/var/lib/coinbench/lab/*", "/etc/docker/*",
		"/sys/fs/cgroup/*/coinbench-lab/*", "/sys/fs/cgroup/coinbench-lab/*", "/sys/fs/cgroup/*/docker", "/var/lib/docker*"} {
		found[pattern], _ = filepath.Glob(pattern)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		line, _ := os.ReadFile(path)
		if bytes.Contains(line, []byte("coinbench-lab/")) || bytes.HasPrefix(line, []byte("containerd-shim")) {
			found["processes"] = append(found["processes"], string(line))
		}
	}
	return found
}

// compareTraces fails the test for what was not there before. Labs of other tests, which come and go, are not meant.
func compareTraces(t *testing.T, before map[string][]string) {
	t.Helper()
	for kind, now := range traces(t) {
		for _, thing := range now {
			if !slices.Contains(before[kind], thing) {
				t.Errorf("left behind in %s: %s", kind, thing)
			}
		}
	}
}
