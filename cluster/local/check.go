package local

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"coinbench/cluster"
	"coinbench/services/settings"
)

// redis is the name of the one service that is not ours.
const redis = "redis"

// Compose keys without a meaning on one machine, which do no harm.
var harmless = []string{"restart", "labels", "logging", "build", "init", "pull_policy", "platform", "container_name", "hostname", "stop_signal"}

// Variables that the cluster sets.
var reserved = []string{"COIN_REPLICA", "COIN_HOSTS", "COIN_SUPERVISED"}

// image is what an image's name says to this cluster.
type image struct {
	kind string // rng, hasher, worker, webui, gateway or redis
	tag  string
}

func parseImage(name string) (image, bool) {
	kind, tag, ok := cluster.OwnImage(name)
	return image{kind, tag}, ok
}

// environment is what a replica of a service finds, before the cluster adds what it alone knows.
func environment(s cluster.Service) map[string]string {
	i, _ := parseImage(s.Image)
	env := settings.TagDefaults(i.kind, i.tag)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, s.Environment)
	return env
}

// ports are the ports of a service and of its admin server, as they would be in a container. A worker has no port: 0.
func ports(s cluster.Service) (listen, admin int) {
	i, _ := parseImage(s.Image)
	if i.kind == redis {
		return 6379, 0
	}
	set, err := settings.Parse(i.kind, environment(s))
	if err != nil {
		return 0, 0
	}
	port := func(address string) int {
		_, p, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(p)
		return n
	}
	return port(set.Listen), port(set.AdminListen)
}

// Check says whether this cluster can run the app; all faults at once.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		faults = append(faults, checkService(app, s)...)
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
	if c.deployed() == nil {
		faults = append(faults, c.checkPorts(app)...)
	}
	return errors.Join(faults...)
}

// checkPorts tries the ports that the app will publish.
func (c *Cluster) checkPorts(app cluster.App) (faults []error) {
	for _, s := range app.Services {
		if s.Replicas == 0 {
			continue
		}
		for _, port := range publishedPorts(s, c.config.Publish) {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				faults = append(faults, portFault(s.Name, port, err))
				continue
			}
			l.Close()
		}
	}
	return faults
}

func checkService(app cluster.App, s cluster.Service) []error {
	var faults []error
	fault := func(key, problem, accepted string) {
		faults = append(faults, app.Fault(append([]string{"services", s.Name}, strings.Split(key, "/")...), problem, accepted))
	}
	img, ok := parseImage(s.Image)
	if !ok {
		fault("image", fmt.Sprintf("the local cluster runs this binary and no image, so it cannot run %s", s.Image), cluster.OwnImages)
		return faults
	}
	for _, k := range s.Other {
		if !slices.Contains(harmless, k) {
			fault(strings.ReplaceAll(k, ".", "/"), fmt.Sprintf("the local cluster has no %s; leave the key out, or deploy to a Swarm", k), "")
		}
	}
	if len(s.Constraints) > 0 {
		fault("deploy/placement/constraints", "the local cluster has one node and places nothing; leave the key out, or deploy to a Swarm", "")
	}
	if len(s.Command) > 0 && !slices.Equal(s.Command, []string{"coinbench", "service", img.kind}) {
		fault("command", fmt.Sprintf("the local cluster runs coinbench service %s and no other command", img.kind), "no command")
	}
	if img.kind == redis {
		if s.Replicas > 1 {
			fault("deploy/replicas", fmt.Sprintf("%d replicas of redis; the local cluster has one", s.Replicas), "0 or 1")
		}
		if s.Health != nil {
			fault("healthcheck", "the local cluster embeds redis, or uses a real one, and does not check it", "no health check")
		}
	} else {
		for _, v := range reserved {
			if _, set := s.Environment[v]; set {
				fault("environment/"+v, "set by the cluster", "another variable")
			}
		}
		if err := settings.Check(img.kind, environment(s)); err != nil {
			faults = append(faults, settingFaults(app, s, err)...)
		} else if s.Health != nil {
			if _, err := healthURL(s.Health.Test); err != nil {
				fault("healthcheck/test", err.Error(), `["CMD", "/coinbench", "healthcheck", "http://127.0.0.1:8081/healthz"]`)
			}
		}
	}
	listen, _ := ports(s)
	for i, p := range s.Ports {
		if at, err := netip.ParseAddr(p.HostIP); err == nil && !at.IsUnspecified() && at != netip.MustParseAddr("127.0.0.1") {
			fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d is published at %s, but the local cluster publishes at 127.0.0.1 alone", p.Target, p.HostIP),
				"no address, or 127.0.0.1")
		}
		if listen > 0 && p.Target != listen {
			fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d of %s is published, but it listens on %d", p.Target, s.Name, listen), strconv.Itoa(listen))
		}
		if listen == 0 {
			fault("ports/"+strconv.Itoa(i), s.Name+" has no port", "no ports")
		}
	}
	return faults
}

// settingFaults gives every fault of an environment its place in the file.
func settingFaults(app cluster.App, s cluster.Service, err error) []error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	var faults []error
	for _, e := range list {
		where := []string{"services", s.Name, "environment"}
		if f := (*settings.Fault)(nil); errors.As(e, &f) && f.Variable != "" {
			where = append(where, f.Variable)
		}
		faults = append(faults, app.Fault(where, e.Error(), ""))
	}
	return faults
}

// healthURL is the URL that `CMD /coinbench healthcheck URL` asks for. This process asks for it itself: one process per check
// would cost more than the app.
func healthURL(test []string) (*url.URL, error) {
	if len(test) != 4 || test[0] != "CMD" || path.Base(test[1]) != "coinbench" || test[2] != "healthcheck" {
		return nil, fmt.Errorf("the local cluster cannot run the health check %q", strings.Join(test, " "))
	}
	u, err := url.Parse(test[3])
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("health check of %q, which is not an http URL", test[3])
	}
	if h := u.Hostname(); h != "127.0.0.1" && h != "localhost" {
		return nil, fmt.Errorf("health check of host %s; a replica checks itself, at 127.0.0.1", h)
	}
	return u, nil
}
