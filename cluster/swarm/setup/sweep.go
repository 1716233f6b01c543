package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
)

// Sweep removes everything that a run made of an app, found by its labels ("": every run of that app). It touches nothing
// else, and finding nothing is no error.
func Sweep(ctx context.Context, e *engine.Engine, app, run string) error {
	label := engine.AppLabel + "=" + app
	ours := func(labels map[string]string) bool {
		return labels[engine.AppLabel] == app && (run == "" || labels[engine.RunLabel] == run)
	}
	faults := []error{restoreNodes(ctx, e, app, run)}
	fault := func(err error, format string, args ...any) {
		if err != nil && !engineerr.NotFound.Is(err) {
			faults = append(faults, fmt.Errorf(format+": %w", append(args, err)...))
		}
	}
	var found client.ServiceListResult
	err := e.Retried(ctx, func(ctx context.Context) (err error) {
		found, err = e.ServiceList(ctx, client.ServiceListOptions{Filters: engine.Labelled(label)})
		return err
	})
	if fault(err, "list services"); err != nil {
		return errors.Join(faults...)
	}
	for _, s := range found.Items {
		if ours(s.Spec.Labels) {
			_, err := e.ServiceRemove(ctx, s.ID, client.ServiceRemoveOptions{})
			fault(err, "remove service %s", s.Spec.Name)
		}
	}
	containers, err := e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: engine.Labelled(label, engine.PartLabel+"=relay")})
	fault(err, "list containers")
	// The relay goes last: it may be the relay itself that sweeps, after its harness was killed. So it leaves the network first.
	relays := slices.DeleteFunc(containers.Items, func(x container.Summary) bool {
		return !ours(x.Labels) || x.Labels[engine.PartLabel] != "relay"
	})
	networks, err := e.NetworkList(ctx, client.NetworkListOptions{Filters: engine.Labelled(label)})
	fault(err, "list networks")
	for _, n := range networks.Items {
		if ours(n.Labels) {
			for _, x := range relays {
				_, _ = e.NetworkDisconnect(ctx, n.ID, client.NetworkDisconnectOptions{Container: x.ID, Force: true})
			}
			fault(removeNetwork(ctx, e, n.ID), "remove network %s", n.Name)
		}
	}
	for _, x := range relays {
		if _, err := e.ContainerRemove(ctx, x.ID, client.ContainerRemoveOptions{Force: true}); !engineerr.BeingRemoved.Is(err) {
			fault(err, "remove container %s", x.ID[:12])
		}
	}
	return errors.Join(faults...)
}

// removeNetwork waits until nothing uses the network any more, and until the engine itself has let go of it: for a moment it
// still lists a network that the Swarm has forgotten.
func removeNetwork(ctx context.Context, e *engine.Engine, id string) error {
	for {
		_, err := e.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		switch {
		case err == nil || engineerr.NotFound.Is(err):
			if _, err = e.NetworkInspect(ctx, id, client.NetworkInspectOptions{}); engineerr.NotFound.Is(err) {
				return nil
			}
			if err == nil {
				err = errors.New("it is still there")
			}
		case !engineerr.InUse.Is(err) && !engineerr.Passing.Is(err):
			return err
		}
		if cause := e.Sleep(ctx, engine.QuickPoll); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
}

// restoreNodes lets the nodes that a run drained take tasks again.
func restoreNodes(ctx context.Context, e *engine.Engine, app, run string) error {
	nodes, err := e.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var faults []error
	for _, n := range nodes.Items {
		spec := n.Spec
		if !Restore(&spec, app, run) {
			continue
		}
		if _, err := e.NodeUpdate(ctx, n.ID, client.NodeUpdateOptions{Version: n.Version, Spec: spec}); err != nil {
			faults = append(faults, fmt.Errorf("let the node %s take tasks again: %w", n.Description.Hostname, err))
		}
	}
	return errors.Join(faults...)
}

// Restore undoes what a run ("": any) of an app did to a node, and says whether it did anything.
func Restore(spec *swarm.NodeSpec, app, run string) bool {
	if spec.Labels[engine.AppLabel] != app || run != "" && spec.Labels[engine.RunLabel] != run {
		return false
	}
	spec.Availability = swarm.NodeAvailability(cmp.Or(spec.Labels[engine.AvailabilityLabel], string(swarm.NodeAvailabilityActive)))
	maps.DeleteFunc(spec.Labels, func(name, _ string) bool { return strings.HasPrefix(name, "coinbench.") })
	return true
}
