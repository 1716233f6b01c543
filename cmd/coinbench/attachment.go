package main

import (
	"context"
	"errors"
	"time"

	"coinbench/cluster"
	"coinbench/loadgen/remote"
	"coinbench/scenarios"
)

// attachment is the app that is up, for a run that is played on it. It is looked for once a scenario turns out to want it.
type attachment struct {
	asked   bool   // by --attach
	cluster string // as of existing
	where   clusterFlags
	p       process
	ctx     context.Context // of the command

	found *found
	start time.Time
	sink  scenarios.Sink
	err   error // why it was not found
}

// app finds the app.
func (a *attachment) app() (app cluster.App, err error) {
	defer func() { a.err = err }()
	if len(a.where.publish) > 0 || a.where.redis != "" {
		return app, usage(errors.New("--publish and --redis have no effect on an app that is up; give them to coinbench up"))
	}
	if a.found == nil {
		a.start = time.Now()
		if a.found, err = (existing{cluster: a.cluster}).open(a.ctx, a.p, a.sink.Event, a.start); err != nil {
			return app, err
		}
	}
	if a.found.here != nil {
		app, err = a.found.here.App(a.ctx)
	} else {
		app.Name = cluster.DefaultName
		var all []cluster.ServiceStatus
		all, err = a.found.cluster.Status(a.ctx)
		for _, s := range all {
			app.Services = append(app.Services, s.Service)
		}
	}
	a.p.keepSecret(app.Services...)
	return app, unmeasured(err)
}

// testbed is the app as the place of a run, and the sink that its events go to.
func (a *attachment) testbed() (testbed, *scenarios.Sink) {
	bed := testbed{cluster: a.found.cluster, start: a.start, engines: a.found.here == nil}
	if jobs, ok := a.found.cluster.(cluster.Jobs); ok { // load must come from inside
		bed.play = remote.Generators(jobs, a.where.swarm.generators)
	}
	return bed, &a.sink
}

// close lets go of the app, which stays up.
func (a *attachment) close() {
	if a.found != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), 10*time.Second)
		defer cancel()
		_ = a.found.close(ctx)
	}
}
