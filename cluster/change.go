package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// With returns a copy of the app in which a service has other replicas (nil: as before) and is changed. It is how a scenario
// adjusts an App before it is deployed.
func (a App) With(service string, replicas *int, change Change) (App, error) {
	i := slices.IndexFunc(a.Services, func(s Service) bool { return s.Name == service })
	if i < 0 {
		return App{}, a.Unknown(service)
	}
	s, err := a.Services[i].Changed(change)
	if err != nil {
		return App{}, fmt.Errorf("change %s: %w", service, err)
	}
	if replicas != nil {
		if *replicas < 0 {
			return App{}, fmt.Errorf("change %s: %d replicas; accepted: a number, at least 0", service, *replicas)
		}
		if s.Global {
			return App{}, fmt.Errorf("change %s: %s", service, GlobalNumber(service, *replicas))
		}
		s.Replicas = *replicas
	}
	a.Services = slices.Clone(a.Services)
	a.Services[i] = s
	return a, nil
}

// GlobalNumber says that a global service was given a number of replicas.
func GlobalNumber(service string, replicas int) string {
	return fmt.Sprintf("%d replicas of %s, which is global: one task on each node", replicas, service)
}

// ErrServed is that of a fault for a service that the cluster serves in coinbench's own process.
var ErrServed = errors.New("coinbench itself serves it on this cluster; accepted: a service that has replicas of its own, or --cluster swarm")

// Unknown is the error for a name that no service of the app has.
func (a App) Unknown(service string) error {
	var names []string
	for _, s := range a.Services {
		names = append(names, s.Name)
	}
	return fmt.Errorf("unknown service %q; the app has %s", service, strings.Join(names, ", "))
}

// Changed returns the service with a change applied. Nothing of the receiver is shared with the result that a change touches.
func (s Service) Changed(change Change) (Service, error) {
	if change.Image != "" {
		s.Image = change.Image
	}
	s.Environment = maps.Clone(s.Environment)
	if s.Environment == nil {
		s.Environment = map[string]string{}
	}
	for name, value := range change.Environment {
		if value == "" {
			delete(s.Environment, name)
		} else {
			s.Environment[name] = value
		}
	}
	if change.Balance != "" {
		if !change.Balance.valid() {
			return Service{}, fmt.Errorf("balance %q; accepted: %s", change.Balance, balances())
		}
		s.Balance = change.Balance
	}
	if change.Rollout != nil {
		if key, problem, accepted := change.Rollout.fault(false); problem != "" {
			return Service{}, fmt.Errorf("rollout %s: %s; accepted: %s", key, problem, accepted)
		}
		s.Update = *change.Rollout
	}
	return s, nil
}

// SameTasks says whether tasks of the one are as good as tasks of the other, so that an update need not replace them.
func (s Service) SameTasks(o Service) bool {
	return s.Image == o.Image && slices.Equal(s.Command, o.Command) && maps.Equal(s.Environment, o.Environment) &&
		s.StopGrace == o.StopGrace && s.Restart == o.Restart && s.Health.equal(o.Health)
}

func (h *Health) equal(o *Health) bool {
	if h == nil || o == nil {
		return h == o
	}
	return slices.Equal(h.Test, o.Test) && h.Interval == o.Interval && h.Timeout == o.Timeout &&
		h.Retries == o.Retries && h.StartPeriod == o.StartPeriod
}

func (b Balance) valid() bool { return slices.Contains(Balances(), b) }

func balances() string {
	var names []string
	for _, b := range Balances() {
		names = append(names, string(b))
	}
	return strings.Join(names, ", ")
}

// fault names the first field, by its Compose key, whose value makes no sense.
func (r Rollout) fault(ofRollback bool) (key, problem, accepted string) {
	switch {
	case r.Parallelism < 0:
		return "parallelism", fmt.Sprintf("%d", r.Parallelism), "a number, at least 0 (all at once)"
	case r.Delay < 0:
		return "delay", r.Delay.String(), "a duration, at least 0s"
	case r.Order != "" && r.Order != "stop-first" && r.Order != "start-first":
		return "order", fmt.Sprintf("%q", r.Order), "stop-first, start-first"
	case r.Monitor < 0:
		return "monitor", r.Monitor.String(), "a duration, at least 0s"
	case !(r.MaxFailureRatio >= 0 && r.MaxFailureRatio <= 1): // nor what is no number
		return "max_failure_ratio", fmt.Sprintf("%g", r.MaxFailureRatio), "a ratio from 0 to 1"
	case ofRollback && r.FailureAction == "rollback":
		return "failure_action", `"rollback"`, "pause, continue (a rollback is never rolled back)"
	case r.FailureAction != "" && !slices.Contains([]string{"pause", "continue", "rollback"}, r.FailureAction):
		return "failure_action", fmt.Sprintf("%q", r.FailureAction), "pause, continue, rollback"
	}
	return "", "", ""
}
