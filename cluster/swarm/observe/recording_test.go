package observe_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/observe"
)

// A recording is what an engine listed, answer after answer, as lines of JSON. Of each answer it has what has changed since the one before,
// as merge patches (RFC 7386) of the engine's own objects by their ID; null: the engine lists it no more. Those of 20.10 are recorded by
// TestRecordOnASwarm. Those of current engines say in their first line that they are written by hand.
type frame struct {
	At       string         `json:"at"`               // since the recording began
	Note     string         `json:"note,omitempty"`   // on what this is
	Mark     string         `json:"mark,omitempty"`   // what is done now
	Silent   string         `json:"silent,omitempty"` // the engine did not answer
	Services map[string]any `json:"services,omitempty"`
	Nodes    map[string]any `json:"nodes,omitempty"`
	Tasks    map[string]any `json:"tasks,omitempty"`
}

// listing is what an engine lists now, by ID.
type listing struct{ services, nodes, tasks map[string]any }

func newListing() *listing { return &listing{map[string]any{}, map[string]any{}, map[string]any{}} }

// difference is the merge patch that makes b of a; nil: there is none to make.
func difference(a, b map[string]any) map[string]any {
	patch := map[string]any{}
	for k := range a {
		if _, ok := b[k]; !ok {
			patch[k] = nil
		}
	}
	for k, v := range b {
		was, ok := a[k]
		if ok && reflect.DeepEqual(was, v) {
			continue
		}
		x, isX := was.(map[string]any)
		y, isY := v.(map[string]any)
		if isX && isY {
			v = difference(x, y)
		}
		patch[k] = v
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
}

// patched is RFC 7386's MergePatch.
func patched(target any, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = patched(t[k], v)
		}
	}
	return t
}

func (l *listing) take(f frame) {
	patched(l.services, f.Services)
	patched(l.nodes, f.Nodes)
	patched(l.tasks, f.Tasks)
}

// answer is what the engine's client would return.
func (l *listing) answer(t testing.TB) (a observe.Answer) {
	t.Helper()
	decode(t, l.services, &a.Services)
	decode(t, l.nodes, &a.Nodes)
	decode(t, l.tasks, &a.Tasks)
	return a
}

func decode[T swarm.Service | swarm.Node | swarm.Task](t testing.TB, objects map[string]any, into *[]T) {
	t.Helper()
	for _, o := range objects {
		data, err := json.Marshal(o)
		var x T
		if err == nil {
			strict := json.NewDecoder(bytes.NewReader(data)) // a name that the types do not have is a slip of the pen
			strict.DisallowUnknownFields()
			err = strict.Decode(&x)
		}
		if err != nil {
			t.Fatal(err)
		}
		*into = append(*into, x)
	}
}

func readRecording(t testing.TB, path string) (frames []frame) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		frames = append(frames, f)
	}
	if err := lines.Err(); err != nil || len(frames) == 0 {
		t.Fatalf("%s: %d answers, %v", path, len(frames), err)
	}
	return frames
}

func (f frame) at(t testing.TB) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(f.At)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// appOf is the app that listed services are, as their labels say.
func appOf(t testing.TB, services []swarm.Service) (app observe.App) {
	t.Helper()
	for _, x := range services {
		label := x.Spec.Labels["coinbench.service"]
		if label == "" {
			continue
		}
		var spec cluster.Service
		if err := json.Unmarshal([]byte(label), &spec); err != nil {
			t.Fatal(err)
		}
		image := x.Spec.TaskTemplate.ContainerSpec.Image
		if registry, _, ok := strings.Cut(image, "/coinbench/"); ok {
			app.Registry = registry
		}
		app.Network = x.Spec.TaskTemplate.Networks[0].Target
		app.Services = append(app.Services, observe.Service{Spec: spec, ID: x.ID})
	}
	slices.SortFunc(app.Services, func(a, b observe.Service) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return app
}

// play plays a recording from its start, and at each mark, and at the end, says what is missing.
func (p *player) play(path string) {
	*p = player{t: p.t, where: p.where, now: start, step: p.step}
	listed := newListing()
	begun := p.now
	var changing string // service that the engine is to be told of, and the version that it had before
	var version uint64
	for _, f := range readRecording(p.t, path) {
		p.pass(begun.Add(f.at(p.t)))
		if f.Mark != "" {
			p.missingNow()
			p.print("-- %s", f.Mark)
			switch verb, service := markOf(f.Mark); verb {
			case "update", "rollback", "restart":
				p.follow(service, "")
				changing, version = service, versionOf(p.answer.Services, service)
			case "kill":
				v, _ := p.service(service)
				victim, err := p.state.Victim(v, 1)
				p.fatal(err)
				p.take(p.state.Kill(victim.ID, v.Spec.Restart.Delay))
			}
			continue
		}
		if p.silent = f.Silent != ""; p.silent {
			p.take(p.state.Heard(errors.New(f.Silent), p.now))
			continue
		}
		listed.take(f)
		p.answer = listed.answer(p.t)
		app := appOf(p.t, p.answer.Services)
		for _, v := range p.app.Services { // one that is removed is still what was deployed
			if !slices.ContainsFunc(app.Services, func(x observe.Service) bool { return x.ID == v.ID }) {
				app.Network, app.Registry, app.Services = p.app.Network, p.app.Registry, append(app.Services, v)
			}
		}
		p.app = app
		if changing != "" && versionOf(p.answer.Services, changing) != version {
			changing = ""
			p.told()
		}
		p.look()
	}
	p.pass(p.now.Add(10 * p.step))
	p.missingNow()
}

func (p *player) missingNow() {
	for _, v := range p.app.Services {
		p.missing(v)
	}
}

func markOf(mark string) (verb, service string) {
	verb, rest, _ := strings.Cut(mark, " ")
	service, _, _ = strings.Cut(rest, " ")
	return verb, service
}

func versionOf(services []swarm.Service, name string) uint64 {
	for _, x := range services {
		if strings.HasSuffix(x.Spec.Name, "_"+name) {
			return x.Version.Index
		}
	}
	return 0
}
