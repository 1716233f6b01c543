package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
	"coinbench/internal/engineapi"
)

// bare is a Swarm of three nodes that can pull nothing, and coinbench, which is spoken to through a recorder.
type bare struct {
	*lab.Lab
	engine   *client.Client
	recorder *engineapi.Recorder
	binary   string
	env      []string
}

func newBare(t *testing.T) *bare {
	t.Helper()
	labtest.Require(t)
	b := &bare{}
	dir, err := os.MkdirTemp("", "coinbench-bare-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b.binary = filepath.Join(dir, "coinbench")
	if err := os.WriteFile(b.binary, labtest.Binary(t), 0o755); err != nil {
		t.Fatal(err)
	}
	b.Lab = labtest.Up(t, lab.Config{Name: "boottest", Nodes: 3, Heartbeat: time.Second, Registry: []string{b.binary, "registry"}})
	socket := filepath.Join(dir, "engine.sock")
	if b.recorder, err = engineapi.Record(socket, strings.TrimPrefix(b.Host(""), "unix://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.recorder.Close)
	b.env = append(os.Environ(), "DOCKER_HOST=unix://"+socket)
	if b.engine, err = b.Client(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.engine.Close() })
	return b
}

// run runs coinbench and wants an exit code (-1: any), and parts of what it prints.
func (b *bare) run(t *testing.T, command string, code int, parts ...string) string {
	t.Helper()
	begun := time.Now()
	c := exec.Command(b.binary, strings.Fields(command)...)
	c.Env = b.env
	out, err := c.CombinedOutput()
	t.Logf("%s: %s", command, time.Since(begun).Round(100*time.Millisecond))
	if c.ProcessState == nil || code >= 0 && c.ProcessState.ExitCode() != code {
		t.Fatalf("%s: %v, want %d\n%s", command, err, code, out)
	}
	for _, part := range parts {
		if !strings.Contains(string(out), part) {
			t.Errorf("%s: no %q in\n%s", command, part, out)
		}
	}
	return string(out)
}

// eventually wants something to become true, in a time that is generous on a busy machine too.
func eventually(t *testing.T, what string, is func() (bool, error)) {
	t.Helper()
	var err error
	for end := time.Now().Add(3 * patience); time.Now().Before(end); {
		var ok bool
		if ok, err = is(); ok {
			return
		}
		wait(t, 200*time.Millisecond)
	}
	t.Fatalf("%s: not within %s: %v", what, 3*patience, err)
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// bad are the lines of the doctor that are not ok, but for the clocks: on a busy machine they are read late.
func bad(out string) []string {
	var list []string
	for line := range strings.Lines(out) {
		if what, ok := strings.CutPrefix(line, "!!  "); ok && !strings.HasPrefix(what, "clock ") {
			list = append(list, strings.TrimSpace(what[:min(len(what), 24)]))
		}
	}
	return list
}

// A Swarm that can pull nothing gets a registry, on which everything else works: the app by hand, by a stack, and the doctor, who
// finds one fault at a time. All that was asked of the engine is in the oldest API that is supported.
func TestBootstrapOnASwarm(t *testing.T) {
	t.Parallel()
	b := newBare(t)
	b.run(t, "doctor", exitFail, "!!  image", "coinbench images push")
	out := b.run(t, "swarm bootstrap --port 5005", exitPass, ":5005, for every node")
	address := regexp.MustCompile(`\S+:5005`).FindString(out[strings.LastIndex(out, " images at "):])
	b.run(t, "swarm bootstrap --port 5005", exitPass, address+", for every node")
	mesh := strings.HasPrefix(address, "127.")

	t.Run("doctor", func(t *testing.T) { b.healthy(t, mesh) })
	t.Run("stack", func(t *testing.T) { b.stack(t, address, mesh) })
	t.Run("by hand", func(t *testing.T) {
		up := "up --cluster swarm --publish webui=8086 --file " + patientFile(t)
		if !mesh {
			up += " --endpoint-mode dnsrr"
		}
		page := regexp.MustCompile(`http://\S+/`).FindString(b.run(t, up, exitPass, "The web page: ", "redis:7"))
		hashing(t, strings.TrimSuffix(page, "/"))
		b.run(t, "scale redis=1 rng=2", exitPass, "rng: 2")
		b.run(t, "ps", exitPass, "rng.2#")
		b.run(t, "update worker --env COIN_THINK=10ms --parallelism 0 --monitor 1s", exitPass)
		b.run(t, "rollback worker", exitPass)
		b.run(t, "logs hasher", exitPass, "hasher.1#")
		b.run(t, "down", exitPass)
		b.run(t, "ps", exitUnmeasured, "coinbench up")
	})
	t.Run("no registry", func(t *testing.T) {
		b.scaleRegistry(t, 0)
		out := b.run(t, "doctor", exitFail, "!!  registry push")
		if got := bad(out); !slices.Equal(got, without(mesh, "virtual addresses", "registry push")) {
			t.Errorf("%q\n%s", got, out)
		}
		b.scaleRegistry(t, 1)
	})
	t.Run("a node down", func(t *testing.T) {
		if err := b.Kill(t.Context(), "node3"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "node3 is down", func() (bool, error) {
			nodes, err := b.Ps(t.Context())
			return err == nil && nodes[2].State == "down", err
		})
		out := b.run(t, "doctor", exitFail, "docker node rm node3")
		if got := bad(out); !slices.Equal(got, without(mesh, "node node3", "virtual addresses")) {
			t.Errorf("%q\n%s", got, out)
		}
	})
	t.Run("down", func(t *testing.T) {
		b.run(t, "swarm bootstrap --down", exitPass)
		b.run(t, "swarm bootstrap --down", exitPass)
		b.nothingLeft(t)
	})
	t.Run("API", func(t *testing.T) { b.oldAPI(t) })
}

// without leaves the virtual addresses out where they work.
func without(mesh bool, list ...string) []string {
	return slices.DeleteFunc(list, func(what string) bool { return mesh && what == "virtual addresses" })
}

func (b *bare) healthy(t *testing.T, mesh bool) {
	code := exitFail // for the virtual addresses
	if mesh {
		code = -1 // the clocks may be read late
	}
	out := b.run(t, "doctor", code, "ok  overlay node1 - node2", "ok  overlay node1 - node3", "ok  overlay node2 - node3",
		"ok  registry push", "ok  registry pull node1", "ok  registry pull node2", "ok  registry pull node3",
		"clock node3", "disk node2", "ok  engine", "ok  node node1")
	if got := bad(out); !slices.Equal(got, without(mesh, "virtual addresses")) {
		t.Errorf("%q\n%s", got, out)
	}
}

// hashing wants the web page's counter to rise.
func hashing(t *testing.T, page string) {
	t.Helper()
	web := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "hashes at "+page, func() (bool, error) {
		answer, err := web.Get(page + "/json")
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		var is struct{ Hashes json.Number }
		if err := json.NewDecoder(answer.Body).Decode(&is); err != nil {
			return false, err
		}
		n, err := is.Hashes.Float64()
		return n > 0, cmp.Or(err, fmt.Errorf("%v hashes", n))
	})
}

// patientFile is the shipped Compose file with health checks that a busy machine passes too.
func patientFile(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "docker-compose.yml")
	text := regexp.MustCompile(`(?m)^  timeout: \d+s`).ReplaceAllString(string(source), "  timeout: 60s")
	if text == string(source) {
		t.Fatal("the health check is another one than this test knows")
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// stack deploys the Compose file by every docker command that is here: the engine's own and another.
func (b *bare) stack(t *testing.T, address string, mesh bool) {
	commands := map[string]bool{}
	for _, name := range []string{"/usr/bin/docker", "docker"} {
		if path, err := exec.LookPath(name); err == nil {
			commands[path] = true
		}
	}
	if len(commands) == 0 {
		t.Fatal("there is no docker command; install the package docker.io")
	}
	manager, err := b.Address("")
	if err != nil {
		t.Fatal(err)
	}
	for command := range commands {
		docker := func(args ...string) string {
			c := exec.Command(command, args...)
			c.Env = append(os.Environ(), "DOCKER_HOST="+b.Host(""), "REGISTRY="+address+"/", "REDIS_IMAGE="+address+"/library/redis:7",
				"WEBUI_PORT=8085")
			if !mesh {
				c.Env = append(c.Env, "ENDPOINT_MODE=dnsrr", "PUBLISH_MODE=host")
			}
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
			}
			return string(out)
		}
		t.Logf("%s", strings.TrimSpace(docker("--version")))
		docker("stack", "deploy", "-c", patientFile(t), "coins")
		host := manager.String()
		if !mesh {
			eventually(t, "webui runs", func() (bool, error) {
				node := strings.TrimSpace(docker("service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "coins_webui"))
				if !strings.Contains(docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}"), "coins_webui 1/1") || node == "" {
					return false, fmt.Errorf("%s", docker("stack", "ps", "coins", "--no-trunc"))
				}
				a, err := b.Address(node)
				host = a.String()
				return err == nil, err
			})
		}
		hashing(t, "http://"+host+":8085")
		docker("stack", "rm", "coins")
		eventually(t, "the stack is gone", func() (bool, error) {
			left := docker("ps", "-aq", "--filter", "label=com.docker.stack.namespace=coins") + docker("network", "ls", "-q", "--filter",
				"name=coins_")
			return left == "", fmt.Errorf("left: %s", left)
		})
	}
}

func (b *bare) scaleRegistry(t *testing.T, replicas uint64) {
	t.Helper()
	found, err := b.engine.ServiceInspect(t.Context(), "coinbench-registry", client.ServiceInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := found.Service.Spec
	spec.Mode.Replicated.Replicas = &replicas
	if _, err := b.engine.ServiceUpdate(t.Context(), found.Service.ID, client.ServiceUpdateOptions{Version: found.Service.Version,
		Spec: spec}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the registry's containers", func() (bool, error) {
		list, err := b.engine.ContainerList(t.Context(), client.ContainerListOptions{Filters: make(client.Filters).Add("label",
			"coinbench.app=coinbench-registry")})
		return err == nil && len(list.Items) == int(replicas), err
	})
}

// nothingLeft wants the manager's engine as it was.
func (b *bare) nothingLeft(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	services, err := b.engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services.Items {
		t.Errorf("the service %s is left", s.Spec.Name)
	}
	eventually(t, "no container", func() (bool, error) { // the engine removes those of removed services in its own time
		containers, err := b.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label",
			"coinbench.app=coinbench-registry")})
		if err == nil && len(containers.Items) > 0 {
			err = fmt.Errorf("%v is left: %s", containers.Items[0].Names, containers.Items[0].Status)
		}
		return err == nil, err
	})
	volumes, err := b.engine.VolumeList(ctx, client.VolumeListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Items {
		t.Errorf("the volume %s is left", v.Name)
	}
	images, err := b.engine.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images.Items {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, "127.0.0.1:") {
				t.Errorf("the image %s is left", tag)
			}
		}
	}
}

// oldAPI holds all that was asked of the engine against what API 1.41 has, and says what the list of what is used lacks.
func (b *bare) oldAPI(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := engineapi.Load(filepath.Join(strings.TrimSpace(string(dir)), "docs"), "1.41")
	if err != nil {
		t.Fatal(err)
	}
	listed, err := engineapi.Used()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, r := range b.recorder.Requests() {
		for _, u := range spec.Uses(r.Method, r.Path, r.Query, r.Body) {
			used[u.String()] = true
			if !spec.Knows(u) && engineapi.Undocumented[u.String()] == "" {
				t.Errorf("API 1.41 does not have: %s", u)
			}
		}
	}
	if len(used) < 50 {
		t.Errorf("only %d uses were recorded", len(used))
	}
	var lines []string
	for u := range used {
		if !slices.ContainsFunc(listed, func(l engineapi.Use) bool { return l.String() == u }) {
			lines = append(lines, u)
		}
	}
	slices.Sort(lines)
	if len(lines) > 0 {
		t.Logf("not in internal/engineapi/testdata/used.txt; see whether it should be:\n%s", strings.Join(lines, "\n"))
	}
}
