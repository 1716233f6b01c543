package swarm

import (
	"errors"
	"fmt"
	"strconv"

	"coinbench/cluster"
)

// Check says whether a Swarm can run the app; all faults at once. It asks no engine.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		faults = append(faults, c.checkService(app, s)...)
	}
	for _, f := range app.Apart {
		faults = append(faults, f)
	}
	return errors.Join(append(faults, app.CheckPublish(c.config.Publish)...)...)
}

func (c *Cluster) checkService(app cluster.App, s cluster.Service) []error {
	faults := app.CheckService(s, "coinbench does not carry %s to a Swarm; leave the key out, or deploy by docker stack deploy")
	fault := func(key, problem, accepted string) {
		faults = append(faults, app.ServiceFault(s.Name, key, problem, accepted))
	}
	const policies = "round-robin (virtual addresses), random (DNS round robin)"
	switch s.Balance {
	case cluster.LeastConnections:
		fault("deploy/labels/"+cluster.BalanceLabel, "a Swarm cannot balance by the least connections", policies)
	case cluster.RoundRobinPerClient:
		fault("deploy/labels/"+cluster.BalanceLabel, "in a Swarm the clients on a node share a turn of the round robin, since Docker 18.09",
			policies)
	}
	for i, p := range s.Ports {
		if _, one := p.At(); one {
			fault("ports/"+strconv.Itoa(i), fmt.Sprintf("port %d is published at %s, but a Swarm publishes at every address of its nodes", p.Target,
				p.HostIP),
				fmt.Sprintf(`"%d:%d", and a firewall`, p.Published, p.Target))
		}
	}
	return faults
}
