package describe

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/observe"
)

// pairs tells the sets in rotation from the others, which an update that was cut off has left: by the ID of the set in
// rotation.
func pairs(all []swarm.Service) (in []swarm.Service, standby map[string]swarm.Service) {
	standby = map[string]swarm.Service{}
	place := map[string]int{}
	for _, x := range all {
		if x.Spec.Labels[engine.ColourLabel] == "" {
			in = append(in, x)
			continue
		}
		name := strings.TrimSuffix(x.Spec.Name, "-"+Green)
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
		in[i], standby[a.ID] = a, b
	}
	return in, standby
}

// isPart says that a service's update has replaced some tasks only and waits.
func isPart(x swarm.Service) bool {
	return x.Spec.UpdateConfig != nil && x.Spec.UpdateConfig.Delay >= rollout.Held && x.UpdateStatus != nil &&
		x.UpdateStatus.State == swarm.UpdateStateUpdating
}

// Unfinished says that a service's update, or the way back from one, has not replaced all tasks: it goes on, waits or was paused.
func Unfinished(x swarm.Service) bool {
	u := x.UpdateStatus
	return u != nil && u.State != "" && u.State != swarm.UpdateStateCompleted && u.State != swarm.UpdateStateRollbackCompleted
}

// Explain says what a person must know of a service whose update was cut off, or did not complete; "": nothing. x is its set in rotation,
// and other the other one, if there is one; tasks are those of the service.
func Explain(e *engine.Engine, s cluster.Service, x, other swarm.Service, tasks []observe.Task) string {
	if other.ID != "" {
		if other.Spec.Labels[engine.KeptLabel] == "true" {
			return fmt.Sprintf("a blue-green update was cut off after its switch: %s serves, and the old set is kept out of rotation; the next "+
				"blue-green update removes it, or take all down: coinbench down", s.Image)
		}
		return fmt.Sprintf("a blue-green update was cut off before its switch: %s serves, and %s is there out of rotation; the next "+
			"blue-green update removes it, or take all down: coinbench down",
			s.Image, e.Plain(other.Spec.TaskTemplate.ContainerSpec.Image))
	}
	if x.UpdateStatus == nil {
		return ""
	}
	there, all := 0, 0
	for _, t := range tasks {
		if t.StopRequested() {
			continue
		}
		if all++; strings.HasSuffix(t.Image, s.Image) && t.Force == x.Spec.TaskTemplate.ForceUpdate {
			there++
		}
	}
	since := ""
	if at := x.UpdateStatus.StartedAt; at != nil {
		since = " since " + at.UTC().Format(time.TimeOnly) + " UTC"
	}
	progress := fmt.Sprintf("%d of %d tasks are as desired (%s)", there, all, s.Image)
	const on, back = "go on by: coinbench update ", "; or back by: coinbench rollback "
	switch state := x.UpdateStatus.State; {
	case isPart(x):
		return fmt.Sprintf("an update has replaced a part%s, and waits: %s; %s%s%s%s", since, progress, on, s.Name, back, s.Name)
	case state == swarm.UpdateStateUpdating:
		return fmt.Sprintf("a rolling update is in progress%s, which the engine carries on by itself: %s", since, progress)
	case state == swarm.UpdateStateRollbackStarted:
		return fmt.Sprintf("an update is being rolled back%s, which the engine carries on by itself: %s", since, progress)
	case state == swarm.UpdateStatePaused, state == swarm.UpdateStateRollbackPaused:
		return fmt.Sprintf("an update was paused: %s (%s); %s%s%s%s", progress, cmp.Or(strings.TrimSpace(x.UpdateStatus.Message), string(state)),
			on, s.Name, back, s.Name)
	}
	return ""
}
