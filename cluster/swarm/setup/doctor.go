package setup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/overlay"
)

// doctorApp is the name of what Doctor makes and removes.
const doctorApp = "coinbench-doctor"

// Limits past which Doctor says something.
const (
	maxSkew = 500 * time.Millisecond
	minGiB  = 2
)

// Finding is one line of Doctor.
type Finding struct {
	What string
	OK   bool
	Text string // what was found and, unless OK, what to do
}

// Everywhere runs a copy of coinbench for each work, as many as there are nodes, that says how its node is (the command vitals). said
// is told what each says, until ctx ends.
type Everywhere func(ctx context.Context, jobs cluster.Jobs, work [][]byte, origin time.Time, said func(node string, message []byte)) error

// Doctor examines the Swarm, telling each finding as it comes. It makes a network, a relay, an image and two services that run on
// every node, and removes them, except what the registry and the nodes keep of the image: some kilobytes.
func Doctor(ctx context.Context, e *engine.Engine, run Everywhere, tell func(Finding)) error {
	d := &doctor{engine: e, tell: tell}
	version, err := e.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		d.bad("engine", "%v; start it, or name another by DOCKER_HOST", err)
		return nil
	}
	speaks := fmt.Sprintf("version %s, API %s (in use: %s)", version.Version, version.APIVersion, e.ClientVersion())
	if err := e.Speaks(ctx); err != nil {
		d.bad("engine", "%s: %v", speaks, err)
		return nil
	}
	d.good("engine", "%s", speaks)
	if err := e.Ready(ctx); err != nil {
		d.bad("swarm", "%v", err)
		return nil
	}
	d.good("swarm", "the engine is a manager of it")
	ready, err := d.members(ctx)
	if err != nil {
		return err
	}
	net := overlay.New(e, func(format string, args ...any) { d.bad("engine", format, args...) })
	defer func() {
		ending, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), removeDeadline, fmt.Errorf("not removed within %s",
			removeDeadline))
		defer cancel()
		if err := errors.Join(net.Close(ending), Sweep(ending, e, doctorApp, e.Run)); err != nil {
			d.bad("cleaning up", "%v; finish it with: coinbench down --app %s", err, doctorApp)
		}
	}()
	err = Free(ctx, e, cluster.App{Name: doctorApp}, func(string, ...any) {})
	if err == nil {
		err = e.Locate(ctx, nil)
	}
	if err == nil {
		_, err = net.Create(ctx, doctorApp)
	}
	if err != nil {
		d.bad("image", "%v", err)
		return nil
	}
	d.good("image", "%s runs on the manager", e.Program())
	switch why, err := net.TryVIP(ctx); {
	case err != nil:
		d.bad("virtual addresses", "%v", err)
	case why != nil:
		d.bad("virtual addresses", "%v; load IPVS on every node (modprobe ip_vs), or use --endpoint-mode dnsrr", why)
	default:
		d.good("virtual addresses", "work")
	}
	if err := d.registry(ctx, net.Container()); err != nil {
		return err
	}
	return d.nodes(ctx, net, run, ready)
}

type doctor struct {
	engine *engine.Engine
	tell   func(Finding)
}

func (d *doctor) good(what, format string, args ...any) {
	d.tell(Finding{what, true, fmt.Sprintf(format, args...)})
}

func (d *doctor) bad(what, format string, args ...any) {
	d.tell(Finding{what, false, fmt.Sprintf(format, args...)})
}

// members tells of every node whether it takes tasks, and returns those that do, names by ID.
func (d *doctor) members(ctx context.Context) (map[string]string, error) {
	list, err := d.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	ready := map[string]string{}
	for _, n := range list.Items {
		name, version := n.Description.Hostname, n.Description.Engine.EngineVersion
		what := "node " + name
		switch {
		case n.Status.State != swarm.NodeStateReady:
			d.bad(what, "is %s; start its engine, or remove it: docker node rm %s", n.Status.State, name)
		case n.Spec.Availability != swarm.NodeAvailabilityActive:
			d.bad(what, "takes no tasks (%s); docker node update --availability active %s", n.Spec.Availability, name)
		case versions.LessThan(version, engine.OldestVersion):
			d.bad(what, "has engine %s; upgrade it to %s or newer", version, engine.OldestVersion)
		default:
			ready[n.ID] = name
			d.good(what, "%s, engine %s", n.Spec.Role, version)
		}
	}
	return ready, nil
}

// registry has the engine push an image that no node has, made of a container, and every node pull it.
func (d *doctor) registry(ctx context.Context, container string) error {
	at := d.engine.Registry
	if at == "" {
		d.good("registry", "none is named (--registry HOST:PORT) and none was made (coinbench swarm bootstrap): every node must get %s by itself",
			d.engine.Program())
		return nil
	}
	image, err := fresh(ctx, d.engine, container, at, at)
	if err != nil {
		d.bad("registry push", "%v; see that a registry runs at %s and that the manager reaches it, or make one: coinbench swarm bootstrap", err,
			at)
		return nil
	}
	d.good("registry push", "the manager's engine pushed to %s", at)
	results, err := PullEverywhere(ctx, d.engine, doctorApp, image)
	if err != nil {
		return err
	}
	for _, p := range results {
		if what := "registry pull " + p.Node; p.Fault == "" {
			d.good(what, "the node pulled from %s", at)
		} else {
			d.bad(what, "%s; %s", p.Fault, toPull(at, p.Fault))
		}
	}
	return nil
}
