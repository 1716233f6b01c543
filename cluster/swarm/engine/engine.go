package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
)

const (
	QuickPoll  = 100 * time.Millisecond // of what is about to change
	SlowPoll   = 500 * time.Millisecond // otherwise
	AskTimeout = 10 * time.Second       // for one answer
)

// OldestAPI is the oldest version of the engine's API that all of this is held against: that of the engine OldestVersion.
const (
	OldestAPI     = "1.41"
	OldestVersion = "20.10"
)

// Options say as whom an engine is spoken to. All can be left out.
type Options struct {
	Run      string        // tells runs apart, the value of a label; "": random
	Keep     bool          // what is made is meant to outlive this process
	Registry string        // host:port, put in front of coinbench/... images; "": that of a bootstrap, or else the names as they are
	Tag      string        // of the image coinbench/coinbench, which relay and load generators run; "": v0.1
	Socket   string        // the engine's socket on every node, for what is done to a container there; "": /var/run/docker.sock
	Deadline time.Duration // for a change to converge, and for an engine to be back, besides the times that the app itself asks for; 0: 60 s
}

// Engine is a manager's engine. Its fields are set before anything runs.
type Engine struct {
	*client.Client
	cluster.RealTime
	Options
	Node string // ID of the engine's own node; Ready sets it

	mirrored map[string]bool // images of Docker Hub that are in our registry too
}

// New returns an engine that is asked nothing yet. The caller closes the client.
func New(c *client.Client, o Options) *Engine {
	if o.Run == "" {
		var b [6]byte
		_, _ = rand.Read(b[:])
		o.Run = hex.EncodeToString(b[:])
	}
	o.Tag = cmp.Or(o.Tag, "v0.1")
	o.Socket = cmp.Or(o.Socket, "/var/run/docker.sock")
	o.Deadline = cmp.Or(o.Deadline, time.Minute)
	o.Registry = strings.TrimSuffix(o.Registry, "/")
	return &Engine{Client: c, Options: o}
}

// Speaks says whether the engine's API is new enough. The version is negotiated: newer engines are spoken to as the client
// knows best.
func (e *Engine) Speaks(ctx context.Context) error {
	if _, err := e.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("the engine does not answer: %w; start it, or name another by DOCKER_HOST", err)
	}
	if v := e.ClientVersion(); versions.LessThan(v, OldestAPI) {
		return fmt.Errorf("the engine is spoken to by API %s, and coinbench needs %s; upgrade the engine to %s or newer, and leave "+
			"DOCKER_API_VERSION unset", v, OldestAPI, OldestVersion)
	}
	return nil
}

// Ready says whether the engine is a manager of a Swarm, and notes which node it is.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.Speaks(ctx); err != nil {
		return err
	}
	info, err := e.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("the engine does not answer: %w; start it, or name another by DOCKER_HOST", err)
	}
	switch {
	case info.Info.Swarm.LocalNodeState != swarm.LocalNodeStateActive:
		return fmt.Errorf("the engine %s is in no Swarm; make one with: docker swarm init", info.Info.Name)
	case !info.Info.Swarm.ControlAvailable:
		return fmt.Errorf("the engine %s is a worker of its Swarm; name a manager by DOCKER_HOST", info.Info.Name)
	}
	e.Node = info.Info.Swarm.NodeID
	return nil
}

// Retried calls the engine until it answers: a manager that restarts, or has no leader for a moment, is waited for.
func (e *Engine) Retried(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.Deadline, fmt.Errorf("the engine did not answer within %s", e.Deadline))
	defer cancel()
	for {
		err := call(ctx)
		if err == nil || !engineerr.Passing.Is(err) {
			return err
		}
		if cause := e.Sleep(ctx, 300*time.Millisecond); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
}

// Discard removes a service, whatever became of ctx. That it cannot is found again by its labels.
func (e *Engine) Discard(ctx context.Context, service string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AskTimeout)
	defer cancel()
	_ = e.Retried(ctx, func(ctx context.Context) error {
		_, err := e.ServiceRemove(ctx, service, client.ServiceRemoveOptions{})
		return err
	})
}

// Said is a task's state with what the engine says of it.
func Said(t swarm.Task) string { return strings.TrimSpace(string(t.Status.State) + " " + t.Status.Err) }

// Locate decides where images come from: the registry that was given, or else the one that a bootstrap left on the Swarm; and
// which images of Docker Hub are in it as well, redis above all.
func (e *Engine) Locate(ctx context.Context, images []string) error {
	if e.Registry == "" {
		found, err := e.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", RegistryLabel)})
		if err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		for _, s := range found.Items {
			e.Registry = s.Spec.Labels[RegistryLabel]
		}
	}
	e.mirrored = map[string]bool{}
	if e.Registry == "" {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, image := range images {
		if image == "" || strings.ContainsAny(image, "/@") || e.mirrored[image] {
			continue
		}
		_, err := e.DistributionInspect(asking, e.Registry+"/library/"+image, client.DistributionInspectOptions{})
		e.mirrored[image] = err == nil
	}
	return context.Cause(ctx)
}

// Reference is the full name of an image on this Swarm.
func (e *Engine) Reference(image string) string {
	switch {
	case e.Registry != "" && strings.HasPrefix(image, "coinbench/"):
		return e.Registry + "/" + image
	case e.mirrored[image]:
		return e.Registry + "/library/" + image
	}
	return image
}

// Plain is an image's name as the app has it.
func (e *Engine) Plain(image string) string {
	return observe.PlainImage(e.Registry, image)
}

// Program is the image of the bare program.
func (e *Engine) Program() string { return e.Reference("coinbench/coinbench:" + e.Tag) }

// HavePulled sees to it that the engine has the image; one that it has is fetched again only if the registry has another.
func (e *Engine) HavePulled(ctx context.Context, image string) error {
	_, have := e.ImageInspect(ctx, image)
	if have == nil && e.Registry == "" {
		return nil
	}
	answer, err := e.ImagePull(ctx, image, client.ImagePullOptions{})
	if err == nil {
		err = answer.Wait(ctx)
	}
	if err != nil && have != nil {
		return err
	}
	return nil
}
