package swarm

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/engine"
)

// pairs tells the sets in rotation from those beside them, which an update that was cut off has left: by the ID of the set in
// rotation.
func pairs(all []swarm.Service) (in []swarm.Service, beside map[string]swarm.Service) {
	beside = map[string]swarm.Service{}
	place := map[string]int{}
	for _, x := range all {
		if x.Spec.Labels[engine.ColourLabel] == "" {
			in = append(in, x)
			continue
		}
		name := strings.TrimSuffix(x.Spec.Name, "-"+green)
		i, twice := place[name]
		if !twice {
			place[name] = len(in)
			in = append(in, x)
			continue
		}
		a, b := in[i], x
		// Without a mark there was no switch yet, and the younger one was to come.
		if kept := func(s swarm.Service) bool { return s.Spec.Labels[engine.KeptLabel] == "true" }; kept(a) || !kept(b) &&
			b.CreatedAt.Before(a.CreatedAt) {
			a, b = b, a
		}
		in[i], beside[a.ID] = a, b
	}
	return in, beside
}

// isPart says that a service's update has replaced some tasks only and waits.
func isPart(x swarm.Service) bool {
	return x.Spec.UpdateConfig != nil && x.Spec.UpdateConfig.Delay >= rollout.Held && x.UpdateStatus != nil &&
		x.UpdateStatus.State == swarm.UpdateStateUpdating
}

// isPaused says that a service's update, or the way back from one, was paused.
func isPaused(x swarm.Service) bool {
	return x.UpdateStatus != nil && (x.UpdateStatus.State == swarm.UpdateStatePaused || x.UpdateStatus.State == swarm.UpdateStateRollbackPaused)
}

// explain says what a person must know of a service whose update was cut off, or did not complete; "": nothing. The caller holds mu.
func (c *Cluster) explain(s *service, x, other swarm.Service) string {
	if other.ID != "" {
		if other.Spec.Labels[engine.KeptLabel] == "true" {
			return fmt.Sprintf("a blue-green update was cut off after its switch: %s serves, and the old set is kept out of rotation; the next "+
				"blue-green update removes it, or take all down: coinbench down", s.spec.Image)
		}
		return fmt.Sprintf("a blue-green update was cut off before its switch: %s serves, and %s stands beside it out of rotation; the next "+
			"blue-green update removes it, or take all down: coinbench down",
			s.spec.Image, c.engine.Plain(other.Spec.TaskTemplate.ContainerSpec.Image))
	}
	if x.UpdateStatus == nil {
		return ""
	}
	there, all := 0, 0
	for _, t := range c.seen.Live(s.name) {
		if t.StopRequested() {
			continue
		}
		if all++; strings.HasSuffix(t.Image, s.spec.Image) && t.Force == x.Spec.TaskTemplate.ForceUpdate {
			there++
		}
	}
	since := ""
	if at := x.UpdateStatus.StartedAt; at != nil {
		since = " since " + at.UTC().Format(time.TimeOnly) + " UTC"
	}
	progress := fmt.Sprintf("%d of %d tasks are as wished (%s)", there, all, s.spec.Image)
	const on, back = "go on by: coinbench update ", "; or back by: coinbench rollback "
	switch state := x.UpdateStatus.State; {
	case isPart(x):
		return fmt.Sprintf("an update has replaced a part%s, and waits: %s; %s%s%s%s", since, progress, on, s.name, back, s.name)
	case state == swarm.UpdateStateUpdating:
		return fmt.Sprintf("a rolling update is going on%s, which the engine carries on by itself: %s", since, progress)
	case state == swarm.UpdateStateRollbackStarted:
		return fmt.Sprintf("an update is being rolled back%s, which the engine carries on by itself: %s", since, progress)
	case isPaused(x):
		return fmt.Sprintf("an update was paused: %s (%s); %s%s%s%s", progress, cmp.Or(strings.TrimSpace(x.UpdateStatus.Message), string(state)),
			on, s.name, back, s.name)
	}
	return ""
}
