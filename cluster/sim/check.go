package sim

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
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
	if kind == des.Redis {
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
			faults = append(faults, app.Fault([]string{"services", s.Name, key}, err.Error(), ""))
		}
		for _, c := range s.Constraints {
			if !met(c) {
				faults = append(faults, app.Fault([]string{"services", s.Name, "deploy", "placement", "constraints"},
					fmt.Sprintf("no node of the simulated cluster meets %q: it has one, the manager sim, without labels",
						c), "node.role==manager, or no constraint"))
			}
		}
		if s.Name == settings.Worker {
			for _, called := range []string{settings.RNG, settings.Hasher} {
				if _, ok := app.Service(called); !ok {
					faults = append(faults, app.Fault([]string{"services", s.Name}, "the workers call "+called+", which the app does not have",
						"an app with "+called))
				}
			}
		}
	}
	return errors.Join(faults...)
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

// doomed says why the tasks of a service never get healthy, and how long after its start a task is given up.
func doomed(s cluster.Service, set settings.Settings) (why string, after time.Duration) {
	if s.Health == nil {
		return "", 0
	}
	after = s.Health.StartPeriod + s.Health.Interval*time.Duration(max(s.Health.Retries, 1))
	if u, own, admin := asked(s, set); u != nil && !own && !admin {
		return fmt.Sprintf("health check %s: connection refused: the replica does not listen on that port", u), after
	}
	if set.BootDelay > after {
		return fmt.Sprintf("health check failed for %s, and the boot takes %s", after, set.BootDelay), after
	}
	return "", 0
}

// asked is the URL that a service's health check asks for, nil where there is none, and whether it is at the port on which the service
// works, or at its admin port.
func asked(s cluster.Service, set settings.Settings) (u *url.URL, own, admin bool) {
	if s.Health == nil || len(s.Health.Test) == 0 {
		return nil, false, false
	}
	u, err := url.Parse(s.Health.Test[len(s.Health.Test)-1])
	if err != nil || u.Host == "" {
		return nil, false, false
	}
	port := cmp.Or(u.Port(), "80")
	_, listen, _ := net.SplitHostPort(set.Listen)
	_, other, _ := net.SplitHostPort(set.AdminListen)
	return u, port == listen, port == other
}

// queueing is the health check of a service that waits behind the service's other requests; nil: it has none, or one of the admin port,
// which no work delays.
func queueing(s cluster.Service, set settings.Settings) *des.Check {
	u, own, _ := asked(s, set)
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
