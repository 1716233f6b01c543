package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	ours "coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

var record = flag.Bool("record", false, "record the answers of the installed engine into testdata")

var shared = &labtest.Shared{Config: lab.Config{Name: "record", Nodes: 3, Heartbeat: time.Second}, Tags: []string{"v0.1", "v9.9"}}

func TestMain(m *testing.M) { os.Exit(labtest.Main(m, shared)) }

// TestRecordOnASwarm makes testdata/20.10-*.jsonl, where 20.10 is the version of the engine that is installed:
//
//	COINBENCH_GATE=1 go test ./cluster/swarm/observe -run TestRecordOnASwarm -record -timeout 20m
//	go test ./cluster/swarm/observe -rewrite
//
// Each is what the engine of a lab of three nodes lists while coinbench itself does something to an app. The traces say what follows.
func TestRecordOnASwarm(t *testing.T) {
	if !*record {
		t.Skip("not run: recorded anew: with -record")
	}
	l := shared.Lab(t)
	seconds := func(n int) cluster.Rollout {
		return cluster.Rollout{Parallelism: 1, Delay: 500 * time.Millisecond, Monitor: time.Duration(n) * time.Second, Order: "stop-first",
			FailureAction: "pause"}
	}
	rng := cluster.Service{
		Name: "rng", Image: "coinbench/rng:v0.1", Replicas: 2, Environment: map[string]string{"COIN_DELAY": "1ms"},
		StopGrace: 10 * time.Second, Restart: cluster.Restart{Condition: "any", Delay: time.Second}, Update: seconds(1), Rollback: seconds(1),
		Health: &cluster.Health{Test: []string{"CMD", "/coinbench", "healthcheck", "http://127.0.0.1:8081/healthz"}, Interval: time.Second,
			Timeout: 5 * time.Second, Retries: 2},
	}
	sick := cluster.Change{Environment: map[string]string{"COIN_ADMIN_LISTEN": ":9999"}}
	for name, act := range map[string]func(r *recording, app *cluster.Service){
		"scale": func(r *recording, _ *cluster.Service) {
			r.mark("scale rng 3")
			r.must(r.c.Scale(r.ctx, "rng", 3))
			r.mark("scale rng 1")
			r.must(r.c.Scale(r.ctx, "rng", 1))
		},
		"update": func(r *recording, _ *cluster.Service) {
			r.mark("update rng image v9.9")
			r.must(r.c.Update(r.ctx, "rng", cluster.Change{Image: "coinbench/rng:v9.9"}))
			first := seconds(1)
			first.Order = "start-first"
			r.mark("update rng start-first")
			r.must(r.c.Update(r.ctx, "rng", cluster.Change{Image: "coinbench/rng:v0.1", Rollout: &first}))
		},
		"rolled-back": func(r *recording, _ *cluster.Service) {
			back := seconds(5)
			back.FailureAction = "rollback"
			sick.Rollout = &back
			r.mark("update rng to what is never healthy, rollback")
			r.refused(r.c.Update(r.ctx, "rng", sick))
		},
		"paused": func(r *recording, _ *cluster.Service) {
			paused := seconds(5)
			sick.Rollout = &paused
			r.mark("update rng to what is never healthy, pause")
			r.refused(r.c.Update(r.ctx, "rng", sick))
			r.mark("rollback rng")
			r.must(r.c.Rollback(r.ctx, "rng"))
		},
		"image-missing": func(r *recording, _ *cluster.Service) {
			r.mark("update rng image v7.7, which is nowhere")
			r.refused(r.c.Update(r.ctx, "rng", cluster.Change{Image: "coinbench/rng:v7.7"}))
		},
		"killed": func(r *recording, _ *cluster.Service) {
			r.mark("kill rng 1")
			r.must(r.c.Kill(r.ctx, "rng", 1, cluster.Fault{}))
			r.converge(2)
		},
		"drained": func(r *recording, _ *cluster.Service) {
			r.mark("drain node2")
			r.must(r.c.Drain(r.ctx, "node2"))
			r.mark("activate node2")
			r.must(r.c.Activate(r.ctx, "node2"))
		},
		"node-down": func(r *recording, s *cluster.Service) {
			r.mark("power off node3")
			r.must(l.Kill(r.ctx, "node3"))
			r.sleep(8 * time.Second)
			r.converge(s.Replicas)
			r.mark("power on node3")
			r.must(l.Start(r.ctx, "node3"))
			r.sleep(8 * time.Second)
		},
		"engine-restart": func(r *recording, _ *cluster.Service) {
			r.mark("stop the engine that is asked")
			r.must(l.StopEngine(r.ctx, "node1"))
			r.mark("start it")
			r.must(l.Start(r.ctx, "node1"))
			r.sleep(8 * time.Second)
			r.converge(3)
		},
		"global": func(r *recording, _ *cluster.Service) {
			r.mark("update rng image v9.9")
			r.must(r.c.Update(r.ctx, "rng", cluster.Change{Image: "coinbench/rng:v9.9"}))
			r.mark("drain node3")
			r.must(r.c.Drain(r.ctx, "node3"))
			r.mark("activate node3")
			r.must(r.c.Activate(r.ctx, "node3"))
			r.sleep(4 * time.Second)
		},
		"unplaceable": func(*recording, *cluster.Service) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := rng
			switch name {
			case "engine-restart":
				s.Replicas = 3
			case "node-down":
				s.Replicas = 3
			case "global":
				s.Global, s.Replicas = true, 0
			case "unplaceable":
				s.Constraints = []string{"node.labels.disk==ssd"}
			}
			manager, err := l.Client("")
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			e := engine.New(manager, engine.Options{Deadline: 2 * time.Minute})
			c, err := ours.New(e, ours.Config{Endpoint: ours.DNSRR, Lab: l})
			if err != nil {
				t.Fatal(err)
			}
			r := recordOf(t, c, e.Run, l.Host(""))
			r.mark("deploy rng")
			err = c.Deploy(r.ctx, cluster.App{Name: "rec-" + name, File: "docker-compose.yml", Services: []cluster.Service{s}})
			if (err != nil) != (name == "unplaceable") {
				t.Error(err)
			} else {
				act(r, &s)
			}
			r.mark("remove")
			r.must(c.Remove(context.Background()))
			r.end()
			r.write(filepath.Join("testdata", strings.Join(strings.Split(r.version, ".")[:2], ".")+"-"+name+".jsonl"))
		})
	}
}

// recording asks an engine all the time and keeps what has changed.
type recording struct {
	t       *testing.T
	c       *ours.Cluster
	run     string
	ctx     context.Context
	web     *http.Client
	version string
	begun   time.Time
	stop    chan struct{}
	done    sync.WaitGroup

	mu     sync.Mutex
	was    *listing
	silent bool
	lines  bytes.Buffer
}

func recordOf(t *testing.T, c *ours.Cluster, run, host string) *recording {
	t.Helper()
	r := &recording{t: t, c: c, run: run, ctx: t.Context(), was: newListing(), begun: time.Now(), stop: make(chan struct{}),
		web: &http.Client{Timeout: 10 * time.Second}}
	r.web.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}}
	var version struct{ Version string }
	r.must(r.get("/version", &version))
	r.version = version.Version
	r.done.Go(func() {
		for {
			select {
			case <-r.stop:
				return
			case <-time.After(20 * time.Millisecond):
				r.ask()
			}
		}
	})
	return r
}

func (r *recording) get(path string, into any) error {
	answer, err := r.web.Get("http://engine" + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// ask asks once, in the order of the cluster's watcher.
func (r *recording) ask() {
	filters := url.Values{"filters": {fmt.Sprintf(`{"label":{"coinbench.run=%s":true}}`, r.run)}}.Encode()
	at := time.Since(r.begun)
	is := newListing()
	var fault error
	for _, of := range []struct {
		path string
		into map[string]any
	}{{"/services?" + filters, is.services}, {"/nodes", is.nodes}, {"/tasks?" + filters, is.tasks}} {
		var list []map[string]any
		if fault = r.get("/v1.41"+of.path, &list); fault != nil {
			break
		}
		for _, x := range list {
			if d, ok := x["Description"].(map[string]any); ok { // of a node: certificates, and what its engine can do
				delete(d, "TLSInfo")
				delete(d, "Engine")
				delete(d, "Resources")
			}
			of.into[x["ID"].(string)] = x
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := frame{At: at.Round(time.Millisecond).String()}
	if silent := fault != nil; silent {
		if f.Silent = "the engine refuses the connection"; !r.silent {
			r.line(f)
		}
		r.silent = true
		return
	}
	f.Services = difference(r.was.services, is.services)
	f.Nodes, f.Tasks = difference(r.was.nodes, is.nodes), difference(r.was.tasks, is.tasks)
	r.was = is
	if r.silent || f.Services != nil || f.Nodes != nil || f.Tasks != nil {
		r.line(f)
	}
	r.silent = false
}

func (r *recording) line(f frame) {
	data, err := json.Marshal(f)
	if err != nil {
		r.t.Error(err)
	}
	r.lines.Write(append(data, '\n'))
}

// mark notes what is done now.
func (r *recording) mark(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(frame{At: time.Since(r.begun).Round(time.Millisecond).String(), Mark: text})
}

func (r *recording) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Error(err)
	}
}

func (r *recording) refused(err error) {
	r.t.Helper()
	var refused *cluster.RolloutError
	if !errors.As(err, &refused) {
		r.t.Errorf("the update was not refused: %v", err)
	}
}

func (r *recording) sleep(d time.Duration) { r.must(r.c.Sleep(r.ctx, d)) }

// converge waits until the tasks of the service are in rotation.
func (r *recording) converge(n int) {
	for range 600 {
		list, err := r.c.Status(r.ctx)
		if err == nil && list[0].Running == n && len(list[0].Tasks) == n {
			return
		}
		r.sleep(100 * time.Millisecond)
	}
	r.t.Errorf("it has no %d tasks in rotation", n)
}

func (r *recording) end() {
	close(r.stop)
	r.done.Wait()
	r.web.CloseIdleConnections()
}

func (r *recording) write(path string) { r.must(os.WriteFile(path, r.lines.Bytes(), 0o644)) }
