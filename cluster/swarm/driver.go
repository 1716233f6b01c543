package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/setup"
	"coinbench/history/event"
)

// newService puts a service under control.
func (c *Cluster) newService(s *service, state rollout.State) *service {
	s.c, s.name, s.Bell = c, s.spec.Name, c.bell
	hint := "see what the tasks printed with: docker service logs " + engine.ServiceName(c.app.Name, s.name) +
		"; or check the service's environment and health check"
	s.Service = control.New(s, state, hint, c.outbox.Put)
	return s
}

// NeedsGateway says that blue-green needs cluster.Service.Gateway here.
func (c *Cluster) NeedsGateway() bool { return true }

// service is control's driver of itself, but for what the bell does.

// tell notes that the engine was told something: what was seen before says nothing of what follows.
func (s *service) tell() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.told = s.c.seen.Looks
}

// Release is control's.
func (s *service) Release() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.change = observe.Change{}
	s.c.broadcast()
}

// Limit is control's: the cluster's deadline, and what the app itself asks for.
func (s *service) Limit() time.Duration {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.engine.Deadline + s.spec.ConvergeTime()
}

// Check is control's.
func (s *service) Check(m *rollout.Machine) error {
	before, after := m.Before(), m.After()
	switch {
	case cluster.ParseImage(before.Image).Kind != cluster.ParseImage(after.Image).Kind:
		return fmt.Errorf("image %s is another service than %s", after.Image, before.Image)
	case m.Strategy() == cluster.BlueGreen && m.Replaces() && s.colour == "":
		return errors.New("blue-green needs a gateway in front of the service, by which it is switched: set gateway: true in its deploy " +
			"step, or deploy.labels coinbench.gateway: \"true\" in the Compose file, and deploy again")
	}
	after.Ports, after.Other = nil, nil // these were checked at the deployment
	return errors.Join(s.c.checkService(cluster.App{}, after)...)
}

// Scale is control's.
func (s *service) Scale(ctx context.Context, replicas int) error {
	c := s.c
	c.mu.Lock()
	from := s.spec.Replicas
	s.spec.Replicas = replicas
	label := describe.Encode(s.spec)
	c.mu.Unlock()
	err := c.change(ctx, s, func(spec *swarm.ServiceSpec) {
		n := uint64(replicas)
		spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &n}
		spec.Labels[engine.ServiceLabel] = label
	})
	s.tell()
	if err != nil {
		c.mu.Lock()
		s.spec.Replicas = from
		c.mu.Unlock()
	}
	return err
}

// Become is control's.
func (s *service) Become(spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.spec, s.settings = spec, nil
	s.c.settle(s)
	if s.base != nil { // the engine went back by itself: what was tried is not there any more, and can be tried again
		base := s.c.describe(s, slices.Index(s.c.app.Services, s))
		s.base = &base
	}
	return nil
}

// Slots is control's. Which slots there are is the engine's choice.
func (s *service) Slots() (all, _ []int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	slots := map[int]bool{}
	for _, t := range s.c.seen.Live(s.name) {
		if !t.StopRequested() {
			slots[t.Slot] = true
		}
	}
	for n := 1; len(slots) < s.spec.Replicas; n++ {
		slots[n] = true
	}
	return slices.Sorted(maps.Keys(slots)), nil
}

// Successor is control's. It is asked of clusters that only pretend to pull.
func (s *service) Successor(int) string { return "" }

// Fetch is control's: the image is pulled on every node at the same time.
func (s *service) Fetch(ctx context.Context, spec cluster.Service) error {
	c := s.c
	list, err := setup.PullEverywhere(ctx, c.engine, c.app.Name, c.engine.Reference(spec.Image))
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range list {
		if p.Fault != "" {
			faults = append(faults, fmt.Errorf("pull %s on %s: %s", spec.Image, p.Node, engineerr.Advised(p.Fault)))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !spec.Global {
		c.advance(c.seen.Fetch(s.name, spec.Replicas))
	}
	return nil
}

// Move is control's.
func (s *service) Move(ctx context.Context, o rollout.Order) error {
	c := s.c
	c.mu.Lock()
	mode := s.mode
	s.spec, s.previous = o.Spec, o.Previous
	c.settle(s)
	if o.Force {
		s.force++
	}
	spec := c.describe(s, slices.Index(c.app.Services, s))
	spec.UpdateConfig = describe.UpdateConfig(o.Settings)
	same := o.Tasks == 0 && mode == s.mode && s.settings != nil && *s.settings == o.Settings
	change := c.seen.Change(s.observed(), "")
	s.settings, s.note = nil, ""
	c.mu.Unlock()
	if !same {
		if err := c.change(ctx, s, func(to *swarm.ServiceSpec) { *to = spec }); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.settings, s.told, s.change = &o.Settings, c.seen.Looks, change.Told(c.seen)
	return nil
}

// InForce is control's.
func (s *service) InForce(is *event.InForce) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	is.Balance, is.Endpoint, is.Published = string(s.spec.Balance), string(s.mode), strings.Join(s.published, " ")
}

// Names is control's.
func (s *service) Names(ctx context.Context) map[string]string { return s.c.names(ctx, s) }

// Prepare is control's: the second set is another service of the engine.
func (s *service) Prepare(ctx context.Context, after cluster.Service) error {
	c := s.c
	if leftover, _ := s.sets(); leftover != "" { // of an update that was cut off
		if err := c.discardSet(ctx, leftover); err != nil {
			return err
		}
	}
	c.mu.Lock()
	before := s.spec
	twin := &service{name: s.name, spec: after, previous: &before, mode: s.mode, force: s.force, colour: describe.OtherColour(s.colour)}
	c.settle(twin)
	spec := c.describe(twin, slices.Index(c.app.Services, s))
	c.mu.Unlock()
	made, err := c.createSet(ctx, spec)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.standby, s.retired, s.note, s.told = made, false, "", c.seen.Looks
	s.change = c.seen.Change(s.observed(), made).Told(c.seen)
	c.pollNow()
	return nil
}

// Do is control's.
func (s *service) Do(ctx context.Context, a rollout.Action) error {
	c := s.c
	standby, colour := s.sets()
	switch a.Verb {
	case rollout.Open:
		return c.route(ctx, s, describe.OtherColour(colour))
	case rollout.TurnGreen:
		c.mark(ctx, s, c.turn(s), true)
	case rollout.TurnBlue:
		if err := c.route(ctx, s, describe.OtherColour(colour)); err != nil {
			return err
		}
		c.turn(s)
		c.mark(ctx, s, standby, false)
	case rollout.RetireGreen, rollout.RetireBlue:
		if standby == "" {
			return nil
		}
		err := c.discardSet(ctx, standby)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.retired, s.told = true, c.seen.Looks
		return err
	default:
		return fmt.Errorf("a Swarm cannot %s", a.Verb)
	}
	return nil
}

// sets are the ID of the set that is out of rotation, and the colour of the other.
func (s *service) sets() (standby, colour string) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.standby, s.colour
}

// mark notes, for a process that finds it after this one was killed, whether a set is one that was switched away from; its tasks do not
// notice.
func (c *Cluster) mark(ctx context.Context, s *service, set string, kept bool) {
	err := c.changeSet(ctx, set, func(spec *swarm.ServiceSpec) {
		delete(spec.Labels, engine.KeptLabel)
		if kept {
			spec.Labels[engine.KeptLabel] = "true"
		}
	})
	if err != nil {
		c.warn("the old set of %s could not be marked as one that is, or was, out of rotation: %v", s.name, err)
	}
}

// turn notes that the standby set is in rotation now, and the other, which it returns, is standby.
func (c *Cluster) turn(s *service) (standby string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.id, s.standby, s.colour = s.standby, s.id, describe.OtherColour(s.colour)
	c.advance(c.seen.Switch(s.observed()))
	return s.standby
}

// Reports is control's.
func (s *service) Reports() (reports []rollout.Report, wake time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.change, reports = s.change.Reports(s.c.seen)
	return reports, time.Time{}
}

// Missing is control's.
func (s *service) Missing() (missing error, hopeless bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.c.askedSince(s.told); err != nil {
		return err, false
	}
	advice, missing := s.c.seen.Missing(s.observed(), time.Now())
	switch {
	case missing != nil && advice != "":
		return fmt.Errorf("%w; %s", missing, advice), true
	case missing == nil && s.retired:
		s.standby, s.retired = "", false
	}
	return missing, false
}
