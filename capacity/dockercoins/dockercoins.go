// Package dockercoins is what the analysis knows of DockerCoins alone: the parts of its services, what its originals cost, and what the
// workshop and the articles state. All of it is data; what is said of every app is in capacity.
package dockercoins

import "coinbench/history"

// Default are the roles of an app that says none: DockerCoins'.
func Default(r history.Roles) history.Roles {
	if r.None() {
		return Roles()
	}
	return r
}

// Services are the app's, dependencies first.
func Services() []string { return []string{"redis", "hasher", "rng", "webui", "worker"} }

// Roles are those of the app's services as the workshop names them. A run that was recorded without roles has these.
func Roles() history.Roles {
	part := func(service, plural string) history.Role {
		return history.Role{Service: service, Program: service, Plural: plural}
	}
	return history.Roles{
		Driver:   part("worker", "workers"),
		Stations: []history.Role{part("rng", "rng"), part("hasher", "hashers")},
		Store:    part("redis", "redis"),
		Unit:     history.Word{One: "hash", Many: "hashes"},
		Share:    history.Share{Word: history.Word{One: "coin", Many: "coins"}, In: 16},
	}
}
