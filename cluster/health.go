package cluster

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"coinbench/services/settings"
)

// Probed is the URL that the health check of a service of coinbench asks for, nil where there is none, and whether it is at the port on
// which the service works, or at its admin port.
func (s Service) Probed() (u *url.URL, own, admin bool) {
	if s.Health == nil || len(s.Health.Test) == 0 {
		return nil, false, false
	}
	u, err := url.Parse(s.Health.Test[len(s.Health.Test)-1])
	if err != nil || u.Host == "" {
		return nil, false, false
	}
	port, _ := strconv.Atoi(cmp.Or(u.Port(), "80"))
	listen, other := s.Listens()
	return u, port == listen, port == other
}

// NeverHealthy says why tasks of the service never get healthy, for clusters that run none, and how long after its start a task is given
// up; "": they do.
func (s Service) NeverHealthy() (why string, after time.Duration) {
	if s.Health == nil {
		return "", 0
	}
	after = s.Health.StartPeriod + s.Health.Interval*time.Duration(max(s.Health.Retries, 1))
	if u, own, admin := s.Probed(); u != nil && !own && !admin {
		return fmt.Sprintf("health check %s: connection refused: the replica does not listen on that port", u), after
	}
	set, err := settings.Parse(ParseImage(s.Image).Kind, s.Effective())
	if err == nil && set.BootDelay > after {
		return fmt.Sprintf("health check failed for %s, and the boot takes %s", after, set.BootDelay), after
	}
	return "", 0
}
