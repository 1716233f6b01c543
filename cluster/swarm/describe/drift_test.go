package describe

import (
	"maps"
	"slices"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/engine"
)

// A change applies to the service as the engine has it: what somebody changed by hand stays, unless it is what was asked for.
func TestAChangeKeepsWhatWasChangedByHand(t *testing.T) {
	a := App{Engine: engine.New(nil, engine.Options{Registry: "10.77.0.254:5000"})}
	s := Set{Mode: api.ResolutionModeVIP, Spec: cluster.Service{Name: "rng", Image: "coinbench/rng:v0.1", Replicas: 1,
		Environment: map[string]string{"COIN_DELAY": "100ms", "COIN_SEED": "1"}, Update: cluster.Rollout{Parallelism: 1, Delay: time.Second}}}
	theirs := a.Service(s, 0)
	theirs.Labels = maps.Clone(theirs.Labels)
	theirs.Labels["team"] = "a"
	theirs.TaskTemplate.ContainerSpec.Image = "10.77.0.254:5000/coinbench/rng:v2@sha256:0123"
	theirs.TaskTemplate.ContainerSpec.Env = []string{"COIN_DELAY=50ms", "COIN_REPLICA=x", "OTHER=y=z"}
	theirs.TaskTemplate.Resources = &api.ResourceRequirements{Limits: &api.Limit{MemoryBytes: 1 << 28}}
	theirs.UpdateConfig = &api.UpdateConfig{Delay: rollout.Held}

	differs := Adopt(a.Engine, &s.Spec, theirs.TaskTemplate.ContainerSpec)
	if want := []string{"image coinbench/rng:v2 instead of coinbench/rng:v0.1", "environment COIN_DELAY", "environment COIN_SEED",
		"environment OTHER"}; !slices.Equal(differs, want) {
		t.Errorf("differs in %q, want %q", differs, want)
	}
	if again := Adopt(a.Engine, &s.Spec, theirs.TaskTemplate.ContainerSpec); len(again) != 0 {
		t.Errorf("still differs in %q", again)
	}
	base := a.Service(s, 0)
	var err error
	if s.Spec, err = s.Spec.Changed(cluster.Change{Environment: map[string]string{"COIN_SEED": "7"}}); err != nil {
		t.Fatal(err)
	}
	got := Kept(base, a.Service(s, 0), theirs)
	if got.Labels["team"] != "a" || got.TaskTemplate.Resources == nil || got.TaskTemplate.Resources.Limits.MemoryBytes != 1<<28 {
		t.Errorf("labels %v, resources %+v", got.Labels, got.TaskTemplate.Resources)
	}
	if got.TaskTemplate.ContainerSpec.Image != theirs.TaskTemplate.ContainerSpec.Image {
		t.Errorf("image %s", got.TaskTemplate.ContainerSpec.Image)
	}
	if want := []string{"COIN_DELAY=50ms", "COIN_REPLICA=rng.{{.Task.Slot}}", "COIN_SEED=7",
		"OTHER=y=z"}; !slices.Equal(got.TaskTemplate.ContainerSpec.Env, want) {
		t.Errorf("environment %v, want %v", got.TaskTemplate.ContainerSpec.Env, want)
	}
	if got.UpdateConfig.Delay != time.Second {
		t.Errorf("an update that was cut off has left its delay: %s", got.UpdateConfig.Delay)
	}
	if *got.Mode.Replicated.Replicas != 1 || got.Name != theirs.Name || got.EndpointSpec.Mode != api.ResolutionModeVIP {
		t.Errorf("%+v", got)
	}

	// Asked for, the image and its tag are ours again; and nothing that was never there comes from a base.
	s.Spec.Image = "coinbench/rng:v0.1"
	if got := Kept(base, a.Service(s, 0), theirs); got.TaskTemplate.ContainerSpec.Image != "10.77.0.254:5000/coinbench/rng:v0.1" {
		t.Errorf("image %s", got.TaskTemplate.ContainerSpec.Image)
	}
}
