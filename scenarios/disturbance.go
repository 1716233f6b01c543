package scenarios

import (
	"fmt"

	"coinbench/services/settings"
)

// disturbing is a step that does something to the replicas of a service, of which a report says what its users felt.
type disturbing interface {
	disturbs() (name, service string)
}

// disturbance gives a disturbance its name, which must stand once: that of the service, with a number from the second one on.
func (p *plan) disturbance(name *string, service string) {
	if *name == "" {
		*name = service
		for n := 2; p.disturbances[*name] != (place{}); n++ {
			*name = fmt.Sprintf("%s-%d", service, n)
		}
	}
	p.named("rollout", p.disturbances, *name, name)
}

// port reports a service that nobody can connect to.
func (p *plan) port(service string, pointer any) {
	if service == settings.Worker {
		p.wrong(pointer, "nobody connects to %s; accepted: a service with a port", service)
	}
}
