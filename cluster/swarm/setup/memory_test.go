package setup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
	"coinbench/cluster/swarm/images"
)

// A Swarm is given a registry: through the routing mesh, or where that does not lead to it on its own node; a second time is once; and
// nothing of it is left.
func TestBootstrap(t *testing.T) {
	for _, row := range []struct {
		name string
		mesh bool
		at   string
	}{{"with the routing mesh", true, "127.0.0.1:5001"}, {"without", false, "10.9.0.1:5001"}} {
		synctest.Test(t, func(t *testing.T) {
			e, client := enginetest.New(t)
			e.Lacks = func(image string) bool {
				return strings.HasPrefix(image, "redis") || strings.HasPrefix(image, "docker.io/library/redis")
			}
			meshed := true // the registry is published by the mesh
			e.Refuses = func(string) string {
				if meshed && !row.mesh {
					meshed = false // it is on its node alone from the next try on
					return "connection refused"
				}
				return ""
			}
			var told []string
			r := Registry{Engine: engine.New(client, engine.Options{}), Port: 5001,
				Images: images.Set{images.Name("", "v0.1"): empty.Image, "coinbench/rng:v0.1": empty.Image},
				Hub:    images.Set{"redis:7": empty.Image, "alpine:3": empty.Image}, Tell: func(text string) { told = append(told, text) }}
			for range 2 {
				at, err := r.Bootstrap(t.Context())
				if err != nil || at != row.at {
					t.Fatalf("%s: %s, %v; want %s", row.name, at, err, row.at)
				}
			}
			all := strings.Join(told, "\n")
			for _, want := range []string{"loading 2 images", "warning: the engine neither has nor can pull redis:7", "on 2 nodes"} {
				if strings.Count(all, want) != 2 {
					t.Errorf("%s: told:\n%s\nwant twice %q", row.name, all, want)
				}
			}
			if strings.Contains(all, "the routing mesh does not lead to it") == row.mesh {
				t.Errorf("%s: told:\n%s", row.name, all)
			}
			for _, want := range []string{"127.0.0.1:5001/coinbench/rng:v0.1", "127.0.0.1:5001/library/redis:7", "127.0.0.1:5001/library/alpine:3"} {
				if !slices.Contains(e.Pushed(), want) {
					t.Errorf("%s: pushed are %v, without %s", row.name, e.Pushed(), want)
				}
			}
			if err := r.Remove(t.Context()); err != nil || len(e.Left()) > 0 {
				t.Errorf("%s: %v; left are %v", row.name, err, e.Left())
			}
		})
	}
}

// What hinders a registry is told with what to do, and no node that cannot pull passes for one that can.
func TestBootstrapThatCannotBe(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*enginetest.Engine)
		want  string
	}{
		"no node takes tasks": {func(e *enginetest.Engine) {
			for n := 1; n <= 2; n++ {
				e.Node(n, func(n *swarm.Node) { n.Spec.Availability = swarm.NodeAvailabilityPause })
			}
		}, "see docker node ls"},
		"its registry refuses": {func(e *enginetest.Engine) { e.Refuses = func(string) string { return "no space left on device" } },
			"no space left on device"},
		"a node cannot pull": {func(e *enginetest.Engine) {
			e.Lacks = func(image string) bool { return strings.Contains(image, "@sha256") }
		},
			"node1 cannot pull from 127.0.0.1:5000: rejected No such image"},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, client := enginetest.New(t)
			row.spoil(e)
			r := Registry{Engine: engine.New(client, engine.Options{}), Images: images.Set{images.Name("", "v0.1"): empty.Image}}
			if _, err := r.Bootstrap(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v; want %q", name, err, row.want)
			}
		})
	}
}

// The doctor finds what is ill, says what to do, and leaves nothing.
func TestDoctor(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*enginetest.Engine, map[string]Vitals)
		ill   string // what of, besides virtual addresses, which this engine has not
		says  string
	}{
		{"healthy", func(*enginetest.Engine, map[string]Vitals) {}, "", ""},
		{"a node is down", func(e *enginetest.Engine, _ map[string]Vitals) {
			e.Node(2, func(n *swarm.Node) {
				n.Status.State, n.Spec.Availability = swarm.NodeStateDown, swarm.NodeAvailabilityDrain
			})
		}, "node node2", "start its engine"},
		{"a node has an old engine", func(e *enginetest.Engine, _ map[string]Vitals) {
			e.Node(2, func(n *swarm.Node) { n.Description.Engine.EngineVersion = "19.03.1" })
		}, "node node2", "upgrade it"},
		{"a node is silent", func(_ *enginetest.Engine, heard map[string]Vitals) { delete(heard, "node2") }, "overlay node2",
			"nothing was heard from it"},
		{"a disk is full", func(_ *enginetest.Engine, heard map[string]Vitals) {
			v := heard["node1"]
			v.FreeBytes = 1 << 30
			heard["node1"] = v
		}, "disk node1", "docker system prune"},
		{"the registry refuses", func(e *enginetest.Engine, _ map[string]Vitals) { e.Refuses = func(string) string { return "denied" } },
			"registry push", "see that a registry runs"},
		{"no node can pull", func(e *enginetest.Engine, _ map[string]Vitals) {
			e.Lacks = func(image string) bool { return strings.Contains(image, "@sha256") }
		}, "registry pull node1, registry pull node2", "No such image"},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, client := enginetest.New(t)
			heard := map[string]Vitals{}
			for i, name := range []string{"node1", "node2"} {
				heard[name] = Vitals{Node: name, OriginAt: time.Now(), FreeBytes: 9 << 30, Address: fmt.Sprint("10.1.0.", i+1),
					Peers: []PeerVitals{{Address: fmt.Sprint("10.1.0.", 2-i), Trip: time.Millisecond}}}
			}
			row.spoil(e, heard)
			run := func(_ context.Context, _ cluster.Jobs, work [][]byte, _ time.Time, said func(string, []byte)) error {
				for _, name := range slices.Sorted(maps.Keys(heard))[:min(len(work), len(heard))] {
					message, _ := json.Marshal(heard[name])
					said(name, message)
				}
				return nil
			}
			var ill []string
			var texts string
			err := Doctor(t.Context(), engine.New(client, engine.Options{Registry: "10.9.0.1:5000"}), run, func(f Finding) {
				if !f.OK && f.What != "virtual addresses" {
					ill, texts = append(ill, f.What), texts+f.Text+"\n"
				}
			})
			if got := strings.Join(ill, ", "); err != nil || got != row.ill || !strings.Contains(texts, cmp.Or(row.says, texts)) {
				t.Errorf("%s: ill is %q (%v), want %q:\n%s", row.name, got, err, row.ill, texts)
			}
			if left := e.Left(); len(left) > 0 {
				t.Errorf("%s: left are %v", row.name, left)
			}
		})
	}
}
