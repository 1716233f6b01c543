package describe

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

// Adopt takes over what somebody changed by hand of an image and an environment since coinbench deployed a service, and says what:
// a change applies to the service as the engine has it.
func Adopt(e *engine.Engine, s *cluster.Service, now *swarm.ContainerSpec) (differs []string) {
	if now == nil {
		return nil
	}
	if image := e.Plain(now.Image); image != s.Image {
		differs = append(differs, fmt.Sprintf("image %s instead of %s", image, s.Image))
		s.Image = image
	}
	env := map[string]string{}
	for _, entry := range now.Env {
		name, value, _ := strings.Cut(entry, "=")
		if name != "COIN_REPLICA" { // which Service sets
			env[name] = value
		}
	}
	names := map[string]bool{}
	for _, of := range []map[string]string{env, s.Environment} {
		for name := range of {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := s.Environment[name]
		is, has := env[name]
		if had != has || was != is {
			differs = append(differs, "environment "+name)
		}
	}
	s.Environment = env
	return differs
}

// Kept returns a service's description with what somebody changed by hand: where ours says what it said before (base), the engine's
// stays. How tasks are replaced is ours: an update that was cut off has left its own rules.
func Kept(base, ours, engine swarm.ServiceSpec) (spec swarm.ServiceSpec) {
	var trees [3]any
	for i, of := range []swarm.ServiceSpec{base, ours, engine} {
		data, err := json.Marshal(of)
		if err == nil {
			err = json.Unmarshal(data, &trees[i])
		}
		if err != nil {
			panic(err) // plain data
		}
	}
	data, err := json.Marshal(merged(trees[0], trees[1], trees[2]))
	if err == nil {
		err = json.Unmarshal(data, &spec)
	}
	if err != nil {
		panic(err) // plain data
	}
	spec.UpdateConfig, spec.RollbackConfig = ours.UpdateConfig, ours.RollbackConfig
	return spec
}

// merged is ours where that differs from base, and otherwise theirs; maps by their keys. Nil: it is not there.
func merged(base, ours, theirs any) any {
	a, isA := ours.(map[string]any)
	b, isB := theirs.(map[string]any)
	if !isA || !isB {
		if reflect.DeepEqual(ours, base) {
			return theirs
		}
		return ours
	}
	was, _ := base.(map[string]any)
	all := map[string]any{}
	for _, of := range []map[string]any{a, b} {
		for name := range of {
			if v := merged(was[name], a[name], b[name]); v != nil {
				all[name] = v
			}
		}
	}
	return all
}
