package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"coinbench/services/settings"
)

// Variables that the clusters set.
var reserved = []string{"COIN_REPLICA", "COIN_HOSTS", "COIN_SUPERVISED"}

// Compose keys that mean nothing on any cluster, or what coinbench decides itself, and that do no harm.
var harmless = []string{"restart", "logging", "build", "init", "pull_policy", "platform", "container_name", "hostname"}

// CheckService lists what every cluster finds wrong with a service: Compose keys that it does not carry, for which problem has %s for the
// key, variables that it sets itself, settings, and published ports on which nothing listens. Keys in also are harmless, too.
func (a App) CheckService(s Service, problem string, also ...string) (faults []error) {
	for _, k := range s.Other {
		if !slices.Contains(harmless, k) && !slices.Contains(also, k) {
			faults = append(faults, a.Fault(append([]string{"services", s.Name}, strings.Split(k, ".")...), fmt.Sprintf(problem, k), ""))
		}
	}
	return append(faults, a.CheckSettings(s)...)
}

// CheckSettings is the part of CheckService for which no cluster need be known: variables, settings and ports.
func (a App) CheckSettings(s Service) (faults []error) {
	if i := ParseImage(s.Image); i.Coinbench() {
		for _, v := range reserved {
			if _, set := s.Environment[v]; set {
				faults = append(faults, a.ServiceFault(s.Name, "environment/"+v, "set by the cluster", "another variable"))
			}
		}
		if err := settings.Check(i.Kind, s.Effective()); err != nil {
			faults = append(faults, a.settingFaults(s, err)...)
		}
	}
	if listen, _ := s.Listens(); listen > 0 {
		for i, p := range s.Ports {
			if p.Target != listen {
				faults = append(faults, a.ServiceFault(s.Name, "ports/"+strconv.Itoa(i),
					fmt.Sprintf("port %d of %s is published, but it listens on %d", p.Target, s.Name, listen), strconv.Itoa(listen)))
			}
		}
	}
	return faults
}

// settingFaults gives every fault of an environment its place in the file.
func (a App) settingFaults(s Service, err error) (faults []error) {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, e := range list {
		where := []string{"services", s.Name, "environment"}
		if f := (*settings.Fault)(nil); errors.As(e, &f) && f.Variable != "" {
			where = append(where, f.Variable)
		}
		faults = append(faults, a.Fault(where, e.Error(), ""))
	}
	return faults
}

// CheckPublish lists what is wrong with ports that are asked for instead of those of the Compose file, by service.
func (a App) CheckPublish(publish map[string]int) (faults []error) {
	for _, name := range slices.Sorted(maps.Keys(publish)) {
		s, ok := a.Service(name)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("publish %s=%d: %w", name, publish[name], a.Unknown(name)))
		case len(s.Ports) == 0:
			faults = append(faults, fmt.Errorf("publish %s=%d: the service publishes no port in %s", name, publish[name], a.File))
		}
	}
	return faults
}
