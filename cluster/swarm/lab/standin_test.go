package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

// standIn is the name under which this test program is an engine. It runs no containers; what it knows of its swarm it keeps where an
// engine does, and it asks the other machines over the lab's network whether they are there.
const standIn = "standin-dockerd"

// membership is what a stand-in has recorded.
type membership struct {
	Manager bool
	Address string
	Members map[string]string // addresses by host name
}

type standInEngine struct {
	host string
	file string

	mu sync.Mutex
	membership
}

func runStandIn() error {
	if len(os.Args) != 3 || os.Args[1] != "--config-file" {
		return fmt.Errorf("arguments %q", os.Args[1:])
	}
	data, err := os.ReadFile(os.Args[2])
	if err != nil {
		return err
	}
	var config struct {
		Hosts   []string `json:"hosts"`
		Mirrors []string `json:"registry-mirrors"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	e := &standInEngine{file: "/var/lib/docker/swarm.json", membership: membership{Members: map[string]string{}}}
	if e.host, err = os.Hostname(); err != nil {
		return err
	}
	if data, err := os.ReadFile(e.file); err == nil {
		if err := json.Unmarshal(data, &e.membership); err != nil {
			return err
		}
		if err := e.serveMembers(); err != nil {
			return err
		}
	}
	path := strings.TrimPrefix(config.Hosts[0], "unix://")
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "API listen on", path)
	return http.Serve(l, e)
}

// serveMembers listens for the other machines, once this one is a member.
func (e *standInEngine) serveMembers() error {
	l, err := net.Listen("tcp", net.JoinHostPort(e.Address, "2377"))
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.FormValue("join"); name != "" {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.Members[name] = r.FormValue("at")
			if err := e.save(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}))
	return nil
}

func (e *standInEngine) save() error {
	data, err := json.Marshal(e.membership)
	if err != nil {
		return err
	}
	return os.WriteFile(e.file, data, 0o600)
}

var apiVersion = regexp.MustCompile(`^/v1\.\d+`)

func (e *standInEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	answer, err := e.answer(apiVersion.ReplaceAllString(r.URL.Path, ""), r)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		answer = map[string]string{"message": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (e *standInEngine) answer(path string, r *http.Request) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch path {
	case "/_ping":
		return "OK", nil
	case "/swarm/init":
		var in swarm.InitRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		e.Manager, e.Address = true, in.AdvertiseAddr
		e.Members[e.host] = in.AdvertiseAddr
		return e.host, errors.Join(e.serveMembers(), e.save())
	case "/swarm/join":
		var in swarm.JoinRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		e.Address = in.AdvertiseAddr
		if err := errors.Join(e.serveMembers(), e.save()); err != nil {
			return nil, err
		}
		resp, err := http.PostForm("http://"+in.RemoteAddrs[0]+"/", url.Values{"join": {e.host}, "at": {e.Address}})
		if err != nil {
			return nil, err
		}
		return "", resp.Body.Close()
	case "/swarm":
		return swarm.Swarm{JoinTokens: swarm.JoinTokens{Worker: "token"}}, nil
	case "/nodes":
		nodes := []swarm.Node{}
		for name, at := range e.Members {
			n := swarm.Node{ID: name, Description: swarm.NodeDescription{Hostname: name}}
			n.Spec.Role, n.Status.State = swarm.NodeRoleWorker, swarm.NodeStateReady
			if name == e.host {
				n.Spec.Role = swarm.NodeRoleManager
			} else if c, err := net.DialTimeout("tcp", net.JoinHostPort(at, "2377"), 300*time.Millisecond); err != nil {
				n.Status.State = swarm.NodeStateDown
			} else {
				c.Close()
			}
			nodes = append(nodes, n)
		}
		return nodes, nil
	}
	return nil, fmt.Errorf("a stand-in does not answer %s", path)
}

// standInLab is the configuration of a lab of stand-ins.
func standInLab(t *testing.T) lab.Config {
	t.Helper()
	if err := lab.Check(); err != nil {
		t.Skipf("not run: making a lab, whose engines are stand-ins: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lab") // a short path
	if err != nil {
		t.Fatal(err)
	}
	dockerd := filepath.Join(dir, standIn)
	if err := os.Symlink(self, dockerd); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("standin-%d", os.Getpid())
	t.Cleanup(func() {
		if err := lab.Down(context.WithoutCancel(t.Context()), name); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return lab.Config{Name: name, Nodes: 2, Dir: filepath.Join(dir, "d"), Dockerd: dockerd, Registry: []string{self, labtest.RegistryArgument}}
}

// A lab's machines, its network and its registry are real; only the engines are none.
func TestALabOfStandIns(t *testing.T) {
	config := standInLab(t)
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	config.Images = images.Set{"coinbench/rng:v0.1": image}
	var doing []string
	config.Progress = func(what string) { doing = append(doing, what) }
	ctx := t.Context()
	l, err := lab.Up(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(doing, "; "); got != "switch and registry; 2 engines; images: coinbench/rng:v0.1; swarm" {
		t.Errorf("progress: %s", got)
	}
	if _, err := lab.Up(ctx, config); err == nil || !strings.Contains(err.Error(), "take it down first") {
		t.Errorf("a second time: %v", err)
	}
	// is waits until a node is in a state, with its engine or without.
	is := func(node, state string, engine bool) {
		t.Helper()
		await(t, node+" is "+state, time.Minute, func() (bool, string) {
			nodes, err := l.Ps(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range nodes {
				if n.Name == node {
					return n.State == state && n.Engine == engine, fmt.Sprintf("%+v", n)
				}
			}
			return false, "not listed"
		})
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	is("node1", "ready", true)
	is("node2", "ready", true)

	resp, err := http.Get("http://" + l.Registry() + "/v2/coinbench/rng/tags/list")
	do("ask the registry", err)
	var tags struct{ Tags []string }
	do("read its answer", json.NewDecoder(resp.Body).Decode(&tags))
	resp.Body.Close()
	if len(tags.Tags) != 1 || tags.Tags[0] != "v0.1" {
		t.Errorf("the registry has %v", tags)
	}
	if at, err := l.Address("node2"); err != nil || !l.Subnet().Contains(at) {
		t.Errorf("address of node2: %s, %v", at, err)
	}
	if found := lab.Serving(l.Host("node2")); found == nil || found.Name() != l.Name() {
		t.Errorf("the lab of %s: %v", l.Host("node2"), found)
	}
	if env := l.Env(); len(env) != 1 || env[0] != "DOCKER_HOST="+l.Host("node1") {
		t.Errorf("environment: %q", env)
	}
	for _, log := range l.Logs() {
		if _, err := os.Stat(log); err != nil {
			t.Error(err)
		}
	}

	do("cut node2 off", l.Partition(ctx, "node2"))
	is("node2", "down", true)
	do("heal it", l.Heal(ctx, "node2"))
	is("node2", "ready", true)
	do("cut it off for a second", l.CutOff(ctx, "node2", time.Second))
	is("node2", "down", true)
	is("node2", "ready", true)

	do("kill its engine", l.KillEngine(ctx, "node2"))
	is("node2", "down", false)
	do("start it", l.Start(ctx, "node2"))
	is("node2", "ready", true)
	do("stop its engine", l.StopEngine(ctx, "node2"))
	is("node2", "down", false)
	do("kill the machine", l.Kill(ctx, "node2"))
	if err := l.Partition(ctx, "node9"); err == nil || !strings.Contains(err.Error(), "accepted: node1, node2") {
		t.Errorf("node9: %v", err)
	}
	do("start it again", l.Start(ctx, "node2"))
	is("node2", "ready", true)
	do("kill the manager", l.Kill(ctx, "node1"))
	is("node2", "", true) // nobody knows

	do("down", l.Down(ctx))
	if _, err := l.Ps(ctx); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("after it was taken down: %v", err)
	}
	if _, err := os.Stat(config.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
	if err := l.Heal(ctx, "node2"); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("heal a node of it: %v", err)
	}
}
