package swarm

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"coinbench/cluster"
	"coinbench/services/settings"
)

// Compose keys that mean nothing here, or what coinbench decides itself, and that do no harm.
var harmless = []string{"restart", "labels", "logging", "build", "init", "pull_policy", "platform", "container_name", "hostname"}

// Variables that the cluster sets.
var reserved = []string{"COIN_REPLICA", "COIN_HOSTS", "COIN_SUPERVISED"}

// Check says whether a Swarm can run the app; all faults at once. It asks no engine.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		faults = append(faults, c.checkService(app, s)...)
	}
	for _, f := range app.Apart {
		faults = append(faults, f)
	}
	for _, name := range slices.Sorted(maps.Keys(c.config.Publish)) {
		s, ok := app.Service(name)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("publish %s=%d: %w", name, c.config.Publish[name], app.Unknown(name)))
		case len(s.Ports) == 0:
			faults = append(faults, fmt.Errorf("publish %s=%d: the service publishes no port in %s", name, c.config.Publish[name], app.File))
		}
	}
	return errors.Join(faults...)
}

func (c *Cluster) checkService(app cluster.App, s cluster.Service) []error {
	var faults []error
	fault := func(key, problem, accepted string) {
		faults = append(faults, app.Fault(append([]string{"services", s.Name}, strings.Split(key, "/")...), problem, accepted))
	}
	for _, k := range s.Other {
		if !slices.Contains(harmless, k) {
			fault(strings.ReplaceAll(k, ".", "/"), fmt.Sprintf("coinbench does not carry %s to a Swarm; leave the key out, or deploy by docker stack deploy", k), "")
		}
	}
	const policies = "round-robin (virtual addresses), random (DNS round robin)"
	switch s.Balance {
	case cluster.LeastConnections:
		fault("deploy/labels/"+cluster.BalanceLabel, "a Swarm cannot balance by the least connections", policies)
	case cluster.RoundRobinPerClient:
		fault("deploy/labels/"+cluster.BalanceLabel, "in a Swarm the clients on a node share a turn of the round robin, since Docker 18.09", policies)
	}
	if k, tag := kind(s.Image); k != "" && k != "redis" {
		for _, v := range reserved {
			if _, set := s.Environment[v]; set {
				fault("environment/"+v, "set by the cluster", "another variable")
			}
		}
		env := settings.TagDefaults(k, tag)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, s.Environment)
		if err := settings.Check(k, env); err != nil {
			list := []error{err}
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				list = joined.Unwrap()
			}
			for _, e := range list {
				where := []string{"services", s.Name, "environment"}
				if f := (*settings.Fault)(nil); errors.As(e, &f) && f.Variable != "" {
					where = append(where, f.Variable)
				}
				faults = append(faults, app.Fault(where, e.Error(), ""))
			}
		}
	}
	for i, p := range s.Ports {
		if at, err := netip.ParseAddr(p.HostIP); err == nil && !at.IsUnspecified() {
			fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d is published at %s, but a Swarm publishes at every address of its nodes", p.Target, p.HostIP),
				fmt.Sprintf(`"%d:%d", and a firewall`, p.Published, p.Target))
		}
	}
	if listen, _ := ports(s); listen > 0 {
		for i, p := range s.Ports {
			if p.Target != listen {
				fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d of %s is published, but it listens on %d", p.Target, s.Name, listen), strconv.Itoa(listen))
			}
		}
	}
	return faults
}

// checkChange says whether a service can become what it shall be.
func (c *Cluster) checkChange(before, after cluster.Service) error {
	was, _ := kind(before.Image)
	is, _ := kind(after.Image)
	if was != is {
		return fmt.Errorf("image %s is another service than %s", after.Image, before.Image)
	}
	after.Ports, after.Other = nil, nil // these were checked at the deployment
	return errors.Join(c.checkService(cluster.App{}, after)...)
}
