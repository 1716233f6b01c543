package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/services/settings"
)

// parse reads what a service is told.
func parse(s cluster.Service) (settings.Settings, error) {
	kind, _, ok := cluster.OwnImage(s.Image)
	if !ok {
		return settings.Settings{}, fmt.Errorf("the simulator plays coinbench's own services, so it cannot run the image %s; accepted: %s",
			s.Image, cluster.OwnImages)
	}
	if kind == cluster.Redis {
		return settings.Settings{}, nil
	}
	return settings.Parse(kind, s.Effective())
}

// Check says whether the simulator can play the app; all faults at once.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		set, err := parse(s)
		if set.Service == settings.Gateway {
			err = errors.New("the simulator has no gateway: its own balancing is switched; leave the service out")
		}
		if err != nil {
			key := "environment"
			if _, _, ok := cluster.OwnImage(s.Image); !ok {
				key = "image"
			}
			faults = append(faults, app.ServiceFault(s.Name, key, err.Error(), ""))
		}
		for _, c := range s.Constraints {
			if !met(c) {
				faults = append(faults, app.ServiceFault(s.Name, "deploy/placement/constraints",
					fmt.Sprintf("no node of the simulated cluster meets %q: it has one, the manager sim, without labels",
						c), "node.role==manager, or no constraint"))
			}
		}
		for _, called := range set.Visits() {
			if _, ok := app.Service(called); !ok {
				faults = append(faults, app.ServiceFault(s.Name, "", fmt.Sprintf("%s calls %s, which the app does not have", s.Name, called),
					"an app with "+called))
			}
		}
	}
	return errors.Join(append(faults, app.CheckPublish(c.config.Publish)...)...)
}

// met says whether the one node meets a placement constraint, as an engine compares them: in any case of letters. A processor it has not.
func met(constraint string) bool {
	key, value, equal := strings.Cut(constraint, "==")
	if !equal {
		var other bool
		if key, value, other = strings.Cut(constraint, "!="); !other {
			return false
		}
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	has := map[string]string{"node.id": "sim", "node.hostname": "sim", "node.role": "manager",
		"node.platform.os": "linux"}[strings.ToLower(key)]
	return strings.EqualFold(key, "node.platform.arch") || strings.EqualFold(has, value) == equal
}

// queueing is the health check of a service that waits behind the service's other requests; nil: it has none, or one of the admin port,
// which no work delays.
func queueing(s cluster.Service) *des.Check {
	u, own, _ := s.Probed()
	if !own {
		return nil
	}
	h := s.Health
	return &des.Check{Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: max(h.Retries, 1),
		Work: strings.Trim(u.Path, "/") != "",
		Stop: des.Stop{Grace: s.StopGrace}, Restart: restart(s)}
}

// restart is how long after its end a failed task has a successor; negative: it has none.
func restart(s cluster.Service) time.Duration {
	if s.Restart.Condition == "none" {
		return -1
	}
	return s.Restart.Delay
}
