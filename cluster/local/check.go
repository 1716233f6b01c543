package local

import (
	"errors"
	"fmt"
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

// Check says whether this cluster can run the app; all faults at once.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		faults = append(faults, checkService(app, s)...)
	}
	faults = append(faults, app.CheckPublish(c.config.Publish)...)
	if c.app.Deployed() == nil {
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
		faults = append(faults, app.ServiceFault(s.Name, key, problem, accepted))
	}
	kind, _, ok := cluster.OwnImage(s.Image)
	if !ok {
		fault("image", fmt.Sprintf("the local cluster runs this binary and no image, so it cannot run %s", s.Image), cluster.OwnImages)
		return faults
	}
	faults = app.CheckService(s, "the local cluster has no %s; leave the key out, or deploy to a Swarm", "stop_signal")
	if len(s.Constraints) > 0 {
		fault("deploy/placement/constraints", "the local cluster has one node and places nothing; leave the key out, or deploy to a Swarm", "")
	}
	if len(s.Command) > 0 && !slices.Equal(s.Command, []string{"coinbench", "service", kind}) {
		fault("command", fmt.Sprintf("the local cluster runs coinbench service %s and no other command", kind), "no command")
	}
	if kind == cluster.Redis {
		if s.Replicas > 1 {
			fault("deploy/replicas", fmt.Sprintf("%d replicas of redis; the local cluster has one", s.Replicas), "0 or 1")
		}
		if s.Health != nil {
			fault("healthcheck", "the local cluster embeds redis, or uses a real one, and does not check it", "no health check")
		}
	} else if s.Health != nil {
		if _, err := healthURL(s.Health.Test); err != nil {
			fault("healthcheck/test", err.Error(), `["CMD", "/coinbench", "healthcheck", "http://127.0.0.1:8081/healthz"]`)
		}
	}
	for i, p := range s.Ports {
		if at, one := p.At(); one && at != netip.MustParseAddr("127.0.0.1") {
			fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d is published at %s, but the local cluster publishes at 127.0.0.1 alone", p.Target,
				p.HostIP),
				"no address, or 127.0.0.1")
		}
	}
	if listen, _ := s.Listens(); listen == 0 && len(s.Ports) > 0 && settings.Check(kind, s.Effective()) == nil {
		fault("ports", s.Name+" has no port", "no ports")
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
