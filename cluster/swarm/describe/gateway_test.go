package describe

import (
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/observe"
)

// A gateway comes after its service, takes over its name and its ports, and is waited for by those that depend on the service.
func TestWithGateways(t *testing.T) {
	all := WithGateways([]cluster.Service{
		{Name: "redis", Image: "redis:7"},
		{Name: "webui", Image: "coinbench/webui:v0.1", Gateway: true, Ports: []cluster.Port{{Target: 80, Published: 8000}},
			DependsOn: []string{"redis"}},
		{Name: "probe", Image: "coinbench/rng:v0.1", DependsOn: []string{"webui"}},
	}, "v7")
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"redis", "webui", "webui-gateway", "probe"}) {
		t.Fatalf("services are %v", names)
	}
	own, gate, probe := all[1], all[2], all[3]
	if len(own.Ports) != 0 || len(gate.Ports) != 1 || gate.Image != "coinbench/gateway:v7" ||
		gate.Environment["COIN_UPSTREAM"] != "webui-blue:80,webui-green:80" {
		t.Errorf("the service %+v, its gateway %+v", own, gate)
	}
	if !slices.Contains(gate.DependsOn, "webui") || !slices.Contains(probe.DependsOn, "webui-gateway") {
		t.Errorf("dependencies are %v and %v", gate.DependsOn, probe.DependsOn)
	}
	if got := []string{Alias(own, Blue), Alias(own, Green), Alias(gate, ""), Alias(all[0], "")}; !slices.Equal(got,
		[]string{"webui-blue", "webui-green", "webui", "redis"}) {
		t.Errorf("names in the overlay are %v", got)
	}
}

func set(id, name, colour string, kept bool, created int64) api.Service {
	s := api.Service{ID: id}
	s.CreatedAt = time.Unix(created, 0)
	s.Spec.Name = name
	s.Spec.Labels = map[string]string{}
	if colour != "" {
		s.Spec.Labels[engine.ColourLabel] = colour
	}
	if kept {
		s.Spec.Labels[engine.KeptLabel] = "true"
	}
	s.Spec.TaskTemplate.ContainerSpec = &api.ContainerSpec{Image: "coinbench/hasher:" + id}
	return s
}

// Whichever set an update that was cut off has left, the one in rotation is found, and what is said of the other is true.
func TestPairs(t *testing.T) {
	for _, row := range []struct {
		what          string
		all           []api.Service
		serves, other string
		says          string
	}{
		{"before the switch", []api.Service{set("a", "x_hasher", Blue, false, 1), set("b", "x_hasher-green", Green, false, 2)}, "a", "b",
			"before its switch"},
		{"before the switch back to blue", []api.Service{set("a", "x_hasher", Blue, false, 2), set("b", "x_hasher-green", Green, false, 1)}, "b",
			"a", "before its switch"},
		{"after the switch", []api.Service{set("a", "x_hasher", Blue, true, 1), set("b", "x_hasher-green", Green, false, 2)}, "b", "a",
			"after its switch"},
		{"after the switch, listed the other way", []api.Service{set("b", "x_hasher-green", Green, false, 2),
			set("a", "x_hasher", Blue, true, 1)}, "b", "a", "after its switch"},
		{"alone", []api.Service{set("b", "x_hasher-green", Green, false, 2)}, "b", "", ""},
	} {
		in, standby := pairs(append([]api.Service{set("r", "x_redis", "", false, 0)}, row.all...))
		if len(in) != 2 || in[0].ID != "r" || in[1].ID != row.serves || standby[row.serves].ID != row.other {
			t.Errorf("%s: in rotation %+v, standby %+v", row.what, in, standby)
			continue
		}
		e := engine.New(nil, engine.Options{})
		if note := Explain(e, cluster.Service{Name: "hasher"}, in[1], standby[row.serves], nil); !strings.Contains(note, row.says) ||
			row.says == "" &&
				note != "" {
			t.Errorf("%s: %q", row.what, note)
		}
	}
}

// What is said of an update that the engine carries on, pauses or holds.
func TestExplain(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		state api.UpdateState
		delay time.Duration
		says  []string
	}{
		{api.UpdateStateUpdating, time.Second, []string{"since 03:04:05", "by itself",
			"1 of 2 tasks are as desired (coinbench/hasher:v2)"}},
		{api.UpdateStateUpdating, rollout.Held, []string{"a part", "coinbench update hasher", "coinbench rollback hasher"}},
		{api.UpdateStatePaused, time.Second, []string{"paused", "sick", "coinbench rollback hasher"}},
		{api.UpdateStateRollbackStarted, time.Second, []string{"rolled back", "by itself"}},
		{api.UpdateStateCompleted, time.Second, nil},
	} {
		s := cluster.Service{Name: "hasher", Image: "coinbench/hasher:v2"}
		runs := func(id string, slot int, image string) api.Task {
			return api.Task{ID: id, ServiceID: "a", Slot: slot, Spec: api.TaskSpec{ContainerSpec: &api.ContainerSpec{Image: image}}}
		}
		seen, _ := observe.State{}.Look(observe.App{Services: []observe.Service{{Spec: s, ID: "a"}}}, observe.Answer{Tasks: []api.Task{
			runs("1", 1, "coinbench/hasher:v2"), runs("2", 2, "coinbench/hasher:v1")}}, at)
		x := set("a", "x_hasher", "", false, 1)
		x.Spec.UpdateConfig = &api.UpdateConfig{Delay: row.delay}
		x.UpdateStatus = &api.UpdateStatus{State: row.state, StartedAt: &at, Message: "sick"}
		note := Explain(engine.New(nil, engine.Options{}), s, x, api.Service{}, seen.Live("hasher"))
		if len(row.says) == 0 && note != "" {
			t.Errorf("%s: %q", row.state, note)
		}
		for _, text := range row.says {
			if !strings.Contains(note, text) {
				t.Errorf("%s: %q does not say %q", row.state, note, text)
			}
		}
	}
}
