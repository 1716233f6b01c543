package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/observe"
)

const (
	pushTimeout = 3 * time.Minute  // for one image
	pullTimeout = 45 * time.Second // for every node to have pulled one
	pullTag     = "pull-test"      // of the image that is made to be pulled
)

// push lets the engine push an image that it has, and returns its digest.
func push(ctx context.Context, e *engine.Engine, image string) (digest string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pushTimeout, fmt.Errorf("not done within %s", pushTimeout))
	defer cancel()
	fault := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("push %s: %w", image, err)
	}
	// {}: nobody; engines before 1.42 want the header
	answer, err := e.ImagePush(ctx, image, client.ImagePushOptions{RegistryAuth: "e30="})
	if err != nil {
		return "", fault(err)
	}
	for m, err := range answer.JSONMessages(ctx) {
		switch {
		case err != nil:
			return "", fault(err)
		case m.Error != nil:
			return "", fault(m.Error)
		case m.Aux != nil:
			var pushed struct{ Digest string }
			if json.Unmarshal(*m.Aux, &pushed) == nil && pushed.Digest != "" {
				digest = pushed.Digest
			}
		}
	}
	if digest == "" {
		return "", fault(errors.New("the engine named no digest"))
	}
	return digest, nil
}

// fresh makes an image that no node can have yet: the program's own with another birthday, by committing a container of ours.
// It is pushed to one address of the registry and returned by digest at another, that of the nodes.
func fresh(ctx context.Context, e *engine.Engine, id, to, at string) (string, error) {
	name := images.Name("", pullTag)
	if _, err := e.ContainerCommit(ctx, id, client.ContainerCommitOptions{Reference: to + "/" + name, NoPause: true}); err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	digest, err := push(ctx, e, to+"/"+name)
	_, removing := e.ImageRemove(context.WithoutCancel(ctx), to+"/"+name, client.ImageRemoveOptions{})
	if err := errors.Join(err, removing); err != nil {
		return "", err
	}
	repository, _, _ := strings.Cut(name, ":")
	return at + "/" + repository + "@" + digest, nil
}

// members are the nodes that take tasks, names by ID.
func members(ctx context.Context, e *engine.Engine) (map[string]string, error) {
	list, err := e.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	names := map[string]string{}
	for _, n := range list.Items {
		if n.Status.State == swarm.NodeStateReady && n.Spec.Availability == swarm.NodeAvailabilityActive {
			names[n.ID] = n.Description.Hostname
		}
	}
	return names, nil
}

// Pulled is whether a node can pull.
type Pulled struct {
	Node  string
	Fault string // "": it can
}

// PullEverywhere runs an image of the program on every node that takes tasks and says of each whether that worked; in the order of
// their names. It is no job: of a job that has ended, the engine leaves the containers on the nodes when it is removed.
func PullEverywhere(ctx context.Context, e *engine.Engine, app, image string) ([]Pulled, error) {
	waiting, err := members(ctx, e)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	made, err := e.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: engine.ServiceName(app, "pull"), Labels: e.Labels(app, "job")},
		Mode:        swarm.ServiceMode{Global: &swarm.GlobalService{}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: image, Command: []string{images.BinaryPath}, Args: []string{"--version"}, User: "65532:65532", ReadOnly: true,
				Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
			},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone},
		},
	}})
	if err != nil {
		return nil, fmt.Errorf("pull %s on every node: %w", image, err)
	}
	defer e.Discard(ctx, made.ID)
	var results []Pulled
	last := map[string]string{}
	for len(waiting) > 0 {
		tasks, err := e.TaskList(ctx, client.TaskListOptions{Filters: engine.OfService(made.ID)})
		if err != nil {
			return nil, fmt.Errorf("list tasks: %w", err)
		}
		for _, t := range tasks.Items {
			name, ok := waiting[t.NodeID]
			if !ok {
				continue
			}
			last[t.NodeID] = engine.Said(t)
			switch {
			case t.Status.State == swarm.TaskStateRunning, t.Status.State == swarm.TaskStateComplete: // that it ran is enough
				results = append(results, Pulled{Node: name})
				delete(waiting, t.NodeID)
			case observe.Ended(t.Status.State):
				results = append(results, Pulled{name, last[t.NodeID]})
				delete(waiting, t.NodeID)
			}
		}
		if len(waiting) > 0 && e.Sleep(within, engine.QuickPoll) != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for id, name := range waiting {
		state := last[id]
		if state == "" {
			state = "there is no task on it"
		}
		results = append(results, Pulled{name, fmt.Sprintf("not done within %s: %s", pullTimeout, state)})
	}
	slices.SortFunc(results, func(a, b Pulled) int { return strings.Compare(a.Node, b.Node) })
	return results, nil
}
