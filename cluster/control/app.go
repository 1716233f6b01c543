package control

import (
	"context"
	"fmt"
	"sync"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
)

// App is what a cluster has deployed: the services of an app, S, each under control.
type App[S Controlled] struct {
	Lock sync.Locker // of the cluster
	cluster.App
	Services []S // in the order of the app, which is that of dependencies; nil: nothing is deployed
}

// Controlled is a service with its driver, in one.
type Controlled interface {
	Controlled() *Service
	Do(context.Context, rollout.Action) error
}

// Controlled is the service itself.
func (s *Service) Controlled() *Service { return s }

// Find finds a service. The caller holds the lock.
func (a *App[S]) Find(name string) (none S, err error) {
	for _, s := range a.Services {
		if s.Controlled().name == name {
			return s, nil
		}
	}
	if a.Services == nil {
		return none, fmt.Errorf("unknown service %q: nothing is deployed", name)
	}
	return none, a.App.Unknown(name)
}

// Lookup is Find for a caller that does not hold the lock.
func (a *App[S]) Lookup(name string) (S, error) {
	a.Lock.Lock()
	defer a.Lock.Unlock()
	return a.Find(name)
}

// Deployed returns the services, for a caller that does not hold the lock.
func (a *App[S]) Deployed() []S {
	a.Lock.Lock()
	defer a.Lock.Unlock()
	return a.Services
}

// Changes are those of the services; done follows each.
func (a *App[S]) Changes(done func()) Changes {
	return Changes{Done: done, Find: func(name string) (*Service, error) {
		s, err := a.Lookup(name)
		if err != nil {
			return nil, err
		}
		return s.Controlled(), nil
	}}
}

// Deploy makes the services of an app that the cluster can play, with the lock held, fills one after the other with tasks and waits for
// them.
func (a *App[S]) Deploy(ctx context.Context, app cluster.App, check func(cluster.App) error, make func(cluster.Service) (S, error)) error {
	services, err := a.make(app, check, make)
	for _, s := range services {
		if err = s.Do(ctx, rollout.Action{Verb: rollout.Fill}); err == nil {
			err = s.Controlled().Deployed(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Controlled().name, err)
			break
		}
	}
	if err != nil {
		return fmt.Errorf("deploy %s: %w", app.Name, err)
	}
	return nil
}

func (a *App[S]) make(app cluster.App, check func(cluster.App) error, make func(cluster.Service) (S, error)) ([]S, error) {
	a.Lock.Lock()
	defer a.Lock.Unlock()
	if a.Services != nil {
		return nil, fmt.Errorf("%s is deployed already; remove it first", a.Name)
	}
	if err := check(app); err != nil {
		return nil, err
	}
	a.App, a.Services = app, []S{}
	for _, spec := range app.Services {
		s, err := make(spec)
		if err != nil {
			a.Clear()
			return nil, err
		}
		a.Services = append(a.Services, s)
	}
	return a.Services, nil
}

// Clear forgets the app. The caller holds the lock.
func (a *App[S]) Clear() { a.App, a.Services = cluster.App{}, nil }
