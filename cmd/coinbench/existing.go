package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/attached"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/setup"
)

// existing are the flags of the commands that work on an app that is up.
type existing struct {
	cluster string // "": where it is up
	app     string // "": on this machine any, on a Swarm DockerCoins
	look    bool   // and what a run made of it, which may be looked at and not changed
	quiet   bool   // what happens meanwhile is not told
}

func (f *existing) add(c *cobra.Command) {
	c.Flags().StringVar(&f.cluster, "cluster", "", "where the app runs: local, swarm (default: where it is up)")
	c.Flags().StringVar(&f.app, "app", "", "name of the app (default: the one that is up on this machine; on a Swarm "+cluster.DefaultName+")")
}

// found is an app that is up.
type found struct {
	cluster cluster.Cluster
	here    *attached.Cluster // nil: it is on a Swarm
	close   func(context.Context) error
	whose   func(context.Context) (string, error) // a text for people; "": it was brought up to stay
}

func (a *found) lacks(what string) error {
	return usage(fmt.Errorf("the cluster %s cannot %s", a.cluster.Name(), what))
}

// on finds the app and works on it.
func (f existing) on(p process, work func(ctx context.Context, app *found) error) error {
	ctx, stop := p.interruptible()
	defer stop()
	sink := teller(p.stderr)
	if f.quiet {
		sink = nil
	}
	app, err := f.open(ctx, p, sink, time.Now())
	if err != nil {
		return err
	}
	if all, err := app.cluster.Status(ctx); err == nil {
		p.keepSecretOf(all)
	}
	err = work(ctx, app)
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closing := app.close(letGo); err == nil {
		err = closing
	}
	var refused *cluster.RolloutError
	var fault *cluster.ComposeError
	switch {
	case errors.As(err, &refused):
		return withCode(exitFail, err)
	case errors.As(err, &fault): // what was asked for cannot be
		return usage(err)
	}
	return unmeasured(err)
}

// open finds the app: on this machine first, then on the Swarm that the environment names.
func (f existing) open(ctx context.Context, p process, sink cluster.Sink, start time.Time) (*found, error) {
	switch f.cluster {
	case "", "local", "swarm":
	default:
		return nil, usage(fmt.Errorf("--cluster %s: no app stays up there; accepted: local, swarm", f.cluster))
	}
	here, err := f.here(ctx, p, attached.Config{Sink: sink, Start: start})
	switch {
	case err != nil:
		return nil, err
	case here != nil:
		if f.cluster == "" && f.upOnSwarm(ctx) {
			defer here.Close()
			return nil, usage(fmt.Errorf("%s, and %s on the Swarm too: say which by --cluster local or --cluster swarm", keptBy(here), f.onSwarm()))
		}
		return &found{cluster: here, here: here, close: func(context.Context) error { here.Close(); return nil },
			whose: func(ctx context.Context) (string, error) { return describeKeeper(ctx, here) }}, nil
	case f.cluster == "local":
		return nil, usage(errors.New("no app is up on this machine; bring one up with: coinbench up -d"))
	}
	return f.openSwarm(ctx, sink, start)
}

// here is the app on this machine; nil: none is up, or not the one that is asked for.
func (f existing) here(ctx context.Context, p process, config attached.Config) (*attached.Cluster, error) {
	if f.cluster == "swarm" {
		return nil, nil
	}
	c, err := attached.Open(ctx, socketFolder(p), config)
	switch {
	case errors.Is(err, attached.ErrDown):
		return nil, nil
	case errors.Is(err, attached.ErrUp):
		return nil, unmeasured(errors.New("a coinbench on this machine is about to bring an app up, or to end: try again"))
	case err != nil:
		return nil, unmeasured(err)
	}
	info, err := c.Info(ctx)
	if err == nil && f.app != "" && f.app != info.App {
		c.Close()
		if f.cluster == "local" {
			return nil, usage(fmt.Errorf("--app %s: the app that is up on this machine is %s", f.app, info.App))
		}
		return nil, nil
	}
	return c, unmeasured(err)
}

// onSwarm is the name of the app there.
func (f existing) onSwarm() string { return cmp.Or(f.app, cluster.DefaultName) }

func (f existing) swarmFlags() clusterFlags {
	return clusterFlags{swarm: swarmFlags{endpoint: string(swarm.Auto), generators: 1}}
}

// upOnSwarm says whether the app was brought up to stay on a Swarm as well. An engine that does not answer within a second has none.
func (f existing) upOnSwarm(ctx context.Context) bool {
	e, err := f.swarmFlags().swarm.engine(true)
	if err != nil {
		return false
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	up, err := setup.IsUp(ctx, e, f.onSwarm())
	return err == nil && up
}

func (f existing) openSwarm(ctx context.Context, sink cluster.Sink, start time.Time) (*found, error) {
	c, err := f.swarmFlags().onManager(start, sink, true)
	if err != nil {
		return nil, f.nothingHere(err)
	}
	whose := ""
	if f.look {
		whose, err = c.Look(ctx, f.onSwarm())
	} else {
		err = c.Attach(ctx, f.onSwarm())
	}
	if err != nil {
		return nil, unmeasured(err)
	}
	return &found{cluster: c, close: c.Close, whose: func(context.Context) (string, error) { return whose, nil }}, nil
}

// nothingHere adds to what is wrong with the engine that this machine has no app either.
func (f existing) nothingHere(err error) error {
	if f.cluster == "swarm" {
		return err
	}
	return usage(fmt.Errorf("no app is up on this machine (coinbench up -d brings one up), and no Swarm is reached: %w", err))
}

// describeKeeper is who keeps the app up, where its logs are, and what is in progress.
func describeKeeper(ctx context.Context, c *attached.Cluster) (string, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s; its logs are in %s", keptBy(c), info.Dir)
	for _, change := range info.Changes {
		text += "\n" + progressText(change)
	}
	return text, nil
}

func progressText(c attached.InProgress) string {
	state := "in progress"
	if c.Waiting {
		state = "waiting"
	}
	return fmt.Sprintf("%s: %s for %s", c.What, state, time.Since(c.Since).Round(time.Second))
}

// change makes a change of a service. It says what the change waits for, and after Ctrl-C what goes on.
func (a *found) change(ctx context.Context, p process, service string, do func() error) error {
	all, err := a.cluster.Status(ctx)
	if err != nil {
		return err
	}
	var app cluster.App
	for _, s := range all {
		app.Services = append(app.Services, s.Service)
	}
	if _, known := app.Service(service); !known {
		return usage(app.Unknown(service))
	}
	if a.here == nil {
		return do()
	}
	busy := func(ctx context.Context) (texts []string) {
		info, err := a.here.Info(ctx)
		if err != nil {
			return nil
		}
		for _, c := range info.Changes {
			if c.Service == service || c.Service == "" {
				texts = append(texts, progressText(c))
			}
		}
		return texts
	}
	for _, text := range busy(ctx) {
		fmt.Fprintf(p.stderr, "%s; this waits for its end\n", text)
	}
	err = do()
	if err == nil || ctx.Err() == nil {
		return err
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	texts := busy(after)
	if len(texts) == 0 {
		return errors.New("interrupted; nothing is in progress")
	}
	return fmt.Errorf("interrupted; what has begun goes on: coinbench ps shows it. %s", strings.Join(texts, "; "))
}

// down takes the app down.
func (f existing) down(p process) error {
	ctx, stop := p.interruptible()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	here, err := f.here(ctx, p, attached.Config{Sink: teller(p.stderr)})
	switch {
	case err != nil:
		return err
	case here != nil:
		defer here.Close()
		if f.cluster == "" && f.upOnSwarm(ctx) {
			return usage(fmt.Errorf("%s, and %s on the Swarm too: say which by --cluster local or --cluster swarm", keptBy(here), f.onSwarm()))
		}
		info, err := here.Info(ctx)
		if err == nil {
			err = here.Down(ctx)
		}
		if err != nil {
			return unmeasured(err)
		}
		fmt.Fprintf(p.stdout, "%s is down\n", info.App)
		return nil
	case f.cluster == "local":
		fmt.Fprintln(p.stdout, "no app is up on this machine")
		return nil
	}
	e, err := f.swarmFlags().swarm.engine(true)
	if err == nil {
		defer e.Close()
		err = reach(e.Ready)
	}
	if err != nil {
		if _, named := p.env("DOCKER_HOST"); f.cluster == "" && !named {
			fmt.Fprintln(p.stdout, "no app is up on this machine, and there is no Swarm")
			return nil
		}
		return f.nothingHere(err)
	}
	any, err := setup.Made(ctx, e, f.onSwarm())
	if err == nil && !any {
		fmt.Fprintf(p.stdout, "nothing of %s is up on this machine or on the Swarm\n", f.onSwarm())
		return nil
	}
	return unmeasured(setup.Down(ctx, e, f.onSwarm()))
}
