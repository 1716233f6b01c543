package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
)

const removeDeadline = time.Minute

// run is one that made something, as the labels of that say.
type run struct {
	name     string
	home     string    // ID of the node where it was started
	up       bool      // it was brought up to stay
	youngest time.Time // when the latest of what it made was made
	made     []string  // in words
}

// runs lists the runs that made something of an app, by name.
func runs(ctx context.Context, e *engine.Engine, app string) ([]run, error) {
	label := engine.Labelled(engine.AppLabel + "=" + app)
	services, err := e.ServiceList(ctx, client.ServiceListOptions{Filters: label})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	networks, err := e.NetworkList(ctx, client.NetworkListOptions{Filters: label})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	nodes, err := e.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	found := map[string]run{}
	note := func(labels map[string]string, created time.Time, made string) {
		r := found[labels[engine.RunLabel]]
		r.made = append(r.made, made)
		r.name, r.home, r.up = labels[engine.RunLabel], labels[engine.NodeLabel], labels[engine.ModeLabel] == engine.Up
		if created.After(r.youngest) {
			r.youngest = created
		}
		found[r.name] = r
	}
	for _, s := range services.Items {
		note(s.Spec.Labels, s.CreatedAt, "the service "+s.Spec.Name)
	}
	for _, n := range networks.Items {
		note(n.Labels, n.Created, "the network "+n.Name)
	}
	for _, n := range nodes.Items {
		if n.Spec.Labels[engine.AppLabel] == app { // drained, and not activated again
			note(n.Spec.Labels, time.Time{}, "the node "+n.Description.Hostname+" drained")
		}
	}
	var list []run
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list, nil
}

// Free says whether the names of the app are free. What a dead run left is removed first, which warn is told.
func Free(ctx context.Context, e *engine.Engine, app cluster.App, warn func(format string, args ...any)) error {
	services, err := e.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	networks, err := e.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("name", engine.NetworkName(app.Name))})
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	var faults []error
	taken := func(what, name, verb string) {
		faults = append(faults, fmt.Errorf("there is a %s %s that coinbench did not make; give the app another name (name: in %s), or "+
			"remove it: docker %s rm %s", what, name, app.File, verb, name))
	}
	for _, s := range services.Items {
		own := slices.ContainsFunc(app.Services, func(a cluster.Service) bool { return engine.ServiceName(app.Name, a.Name) == s.Spec.Name })
		if own && s.Spec.Labels[engine.AppLabel] != app.Name {
			taken("service", s.Spec.Name, "service")
		}
	}
	for _, n := range networks.Items {
		if n.Name == engine.NetworkName(app.Name) && n.Labels[engine.AppLabel] != app.Name { // the filter takes parts of names
			taken("network", n.Name, "network")
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	list, err := runs(ctx, e, app.Name)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.up {
			return errors.New("it is on this Swarm already, brought up by `coinbench up`; take it down first: coinbench down")
		}
		alive, err := r.alive(ctx, e)
		if err != nil {
			return err
		}
		if alive {
			return r.stillThere(app)
		}
		warn("what a run that was killed left on the Swarm (run %s) is removed first", r.name)
		sweeping, cancel := context.WithTimeoutCause(ctx, removeDeadline, fmt.Errorf("not removed within %s", removeDeadline))
		err = Sweep(sweeping, e, app.Name, r.name)
		cancel()
		if err != nil {
			return fmt.Errorf("remove what a run that was killed left (run %s): %w", r.name, err)
		}
	}
	return nil
}

// stillThere says that a run goes on, and how long one that was killed holds the app's name: its relay sweeps from 3 s after its end.
func (r run) stillThere(app cluster.App) error {
	return fmt.Errorf("it is on this Swarm already: another coinbench runs it now, or ended a moment ago (run %s); if that was killed, its "+
		"name is free in about %s; otherwise wait for its end, or give this app another name (name: in %s)",
		r.name, justMade, app.File)
}

// justMade is how long after it made something a run may be without its relay.
const justMade = 10 * time.Second

// alive says whether a run is in progress: its relay, on the node where it was started, lives exactly as long. Where that is another
// node, and in the Swarm, it cannot be seen from here.
func (r run) alive(ctx context.Context, e *engine.Engine) (bool, error) {
	if time.Since(r.youngest) < justMade {
		return true, nil
	}
	if r.home != e.Node {
		found, err := e.NodeInspect(ctx, r.home, client.NodeInspectOptions{})
		if engineerr.NotFound.Is(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("find the node that the run %s was started on: %w", r.name, err)
		}
		return found.Node.Status.State != swarm.NodeStateDown, nil
	}
	found, err := e.ContainerList(ctx, client.ContainerListOptions{Filters: engine.Labelled(engine.RunLabel+"="+r.name,
		engine.PartLabel+"=relay")})
	if err != nil {
		return false, fmt.Errorf("list containers: %w", err)
	}
	return len(found.Items) > 0, nil
}

// IsUp says whether the app was brought up to stay. The engine may not have been asked anything yet, as with Made.
func IsUp(ctx context.Context, e *engine.Engine, app string) (bool, error) {
	return some(ctx, e, app, func(r run) bool { return r.up })
}

// Made says whether there is anything of the app that coinbench made, by whichever run.
func Made(ctx context.Context, e *engine.Engine, app string) (bool, error) {
	return some(ctx, e, app, func(run) bool { return true })
}

func some(ctx context.Context, e *engine.Engine, app string, is func(run) bool) (bool, error) {
	if err := e.Speaks(ctx); err != nil {
		return false, err
	}
	list, err := runs(ctx, e, app)
	return slices.ContainsFunc(list, is), err
}

// Whose says of each run that made something of an app, but one that was brought up to stay, whether it is in progress, and what it
// left if it is not. found says whether there is a run at all.
func Whose(ctx context.Context, e *engine.Engine, app string) (text string, found bool, err error) {
	list, err := runs(ctx, e, app)
	if err != nil {
		return "", false, err
	}
	var texts []string
	for _, r := range list {
		if r.up {
			continue
		}
		alive, err := r.alive(ctx, e)
		if err != nil {
			return "", false, err
		}
		made := strings.Join(r.made, ", ")
		if alive {
			texts = append(texts, fmt.Sprintf("run %s is in progress, or ended a moment ago: %s. Stop it by Ctrl-C where it was started.", r.name,
				made))
			continue
		}
		texts = append(texts, fmt.Sprintf("run %s was killed and left: %s. Remove it with: coinbench down --cluster swarm", r.name, made))
	}
	return strings.Join(texts, "\n"), len(list) > 0, nil
}

// Down removes everything that coinbench made of an app, whoever brought it up, and finding nothing is no error. What a run
// that is in progress made is left alone, which is an error.
func Down(ctx context.Context, e *engine.Engine, app string) error {
	fault := func(err error) error { return fmt.Errorf("take %s down: %w", app, err) }
	if err := e.Ready(ctx); err != nil {
		return fault(err)
	}
	list, err := runs(ctx, e, app)
	if err != nil {
		return fault(err)
	}
	for _, r := range list {
		if !r.up {
			alive, err := r.alive(ctx, e)
			if err != nil {
				return fault(err)
			}
			if alive {
				return fault(fmt.Errorf("a run of it is in progress, or ended a moment ago (run %s): stop it by Ctrl-C where it was started, or try "+
					"again",
					r.name))
			}
		}
		if err := Sweep(ctx, e, app, r.name); err != nil {
			return fault(err)
		}
	}
	return nil
}
