package capacity

import (
	"coinbench/capacity/dockercoins"
	"coinbench/history"
	"coinbench/services/settings"
)

// RolesOf are the parts of the services of a run's app: those of its manifest, or DockerCoins' where it has none.
func RolesOf(run *history.Run) history.Roles { return dockercoins.Default(run.Manifest.Roles) }

// Station is what is in force of a service that the driver visits.
type Station struct {
	Service     string  `json:"service"`
	ServiceS    float64 `json:"service_s"`   // delay and occupancy of a request for work
	Concurrency int     `json:"concurrency"` // requests that a replica serves at once; 0: unlimited
	ErrorRate   float64 `json:"error_rate"`  // share of the requests that it answers with an error
}

// Station returns what is in force of a station; zero where the service is none.
func (c Config) Station(service string) Station {
	for _, s := range c.Stations {
		if s.Service == service {
			return s
		}
	}
	return Station{}
}

// Roles are the parts of the app's services.
func (c Config) Roles() history.Roles { return c.roles }

// Drivers is the number of the driver's replicas.
func (c Config) Drivers() int { return c.Replicas[c.roles.Driver.Service] }

// first is the number of replicas of the first station, which the driver visits first.
func (c Config) first() (station Station, replicas int) {
	if len(c.Stations) == 0 {
		return Station{}, 0
	}
	return c.Stations[0], c.Replicas[c.Stations[0].Service]
}

// single says whether every station but the first has one replica.
func (c Config) single() bool {
	for i, s := range c.Stations {
		if i > 0 && c.Replicas[s.Service] != 1 {
			return false
		}
	}
	return true
}

// posts are the labels of the requests for work that a station answers, and their method.
func posts(r history.Role) (label, method string) {
	method = settings.Method(r.Program)
	return `method="` + method + `"`, method
}
