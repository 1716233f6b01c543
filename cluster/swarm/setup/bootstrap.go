package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/observe"
)

const (
	bootstrapApp   = "coinbench-registry" // service, volume, and value of the app's label
	insidePort     = 5000                 // where the registry listens in its container
	servingTimeout = time.Minute          // for it to be up
	meshTimeout    = time.Minute          // for a push through the routing mesh: where that does not work, it may just be silent
)

// Registry is the one that a Swarm is given.
type Registry struct {
	Engine *engine.Engine // a manager's
	Images images.Set     // what the registry shall have, by names without a registry; the bare program with Config.Tag among them
	Hub    images.Set     // images of Docker Hub that it shall have too, such as redis:7, with what takes their place where they cannot be had
	Port   int            // where it answers; 0: 5000
	Tell   func(string)   // is told what is being done, a line each; may be nil
}

// Bootstrap gives a Swarm that can pull nothing a registry, and fills it: our own image is loaded into the engine that we speak
// to, runs there as a service pinned to that node, and is pushed to by that engine. It returns the address under which every node
// pulls, and has let every node do so. What is there already is kept where it fits, so that doing it twice is once.
//
// With the routing mesh the address is 127.0.0.1:PORT, on every node; without (no IPVS), that on a single node, otherwise the
// manager's own address, which the other engines must be told to trust: an error says of each which cannot.
func (r Registry) Bootstrap(ctx context.Context) (address string, err error) {
	fault := func(err error) (string, error) { return "", fmt.Errorf("bootstrap: %w", err) }
	if r.Tell == nil {
		r.Tell = func(string) {}
	}
	r.Port = cmp.Or(r.Port, insidePort)
	if err := r.Engine.Ready(ctx); err != nil {
		return fault(err)
	}
	nodes, err := members(ctx, r.Engine)
	if err != nil {
		return fault(err)
	}
	if len(nodes) == 0 {
		return fault(errors.New("no node takes tasks; see docker node ls"))
	}
	if err := r.dropPulls(ctx); err != nil {
		return fault(err)
	}
	here := "127.0.0.1:" + strconv.Itoa(r.Port) // the engine trusts this address without TLS, and pushes there
	r.Tell(fmt.Sprintf("loading %d images into the engine", len(r.Images)))
	named := images.Set{}
	for name, image := range r.Images {
		named[here+"/"+name] = image
	}
	if err := images.LoadIntoEngine(ctx, r.Engine, named); err != nil {
		return fault(err)
	}
	program := here + "/" + images.Name("", r.Engine.Tag)
	loaded, err := r.Engine.ImageInspect(ctx, program)
	if err != nil {
		return fault(err)
	}
	at, id, err := r.serve(ctx, loaded.ID, program, len(nodes))
	if err != nil {
		return fault(err)
	}
	names := slices.Sorted(maps.Keys(named))
	hub, err := r.fromHub(ctx, here)
	if err != nil {
		return fault(err)
	}
	names = append(names, hub...)
	r.Tell("pushing to " + here)
	for _, name := range names {
		if _, err := push(ctx, r.Engine, name); err != nil {
			return fault(err)
		}
	}
	r.Tell(fmt.Sprintf("pulling from %s on %d nodes", at, len(nodes)))
	image, err := fresh(ctx, r.Engine, id, here, at)
	if err != nil {
		return fault(err)
	}
	results, err := PullEverywhere(ctx, r.Engine, bootstrapApp, image)
	if err != nil {
		return fault(err)
	}
	var faults []error
	for _, p := range results {
		if p.Fault != "" {
			faults = append(faults, fmt.Errorf("%s cannot pull from %s: %s; %s", p.Node, at, p.Fault, toPull(at, p.Fault)))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fault(fmt.Errorf("%w\nthe registry stays; do this again when it is mended", err))
	}
	return at, nil
}

// toPull says what lets a node pull from an address, after what its engine said.
func toPull(address, fault string) string {
	if strings.Contains(fault, "no space left on device") {
		return "make room there, where its engine keeps images (docker system df)"
	}
	if strings.HasPrefix(address, "127.") {
		return "load IPVS there (modprobe ip_vs), and open the ports 7946 (tcp, udp) and 4789 (udp) between the nodes"
	}
	return fmt.Sprintf(`open that port to it, and let its engine trust a registry without TLS: {"insecure-registries": [%q]} in its `+
		"/etc/docker/daemon.json, then systemctl reload docker", address)
}

// serve has the registry up and returns its address for every node, and its container. The routing mesh is tried first; where
// the registry does not answer through it, it is published on its node alone.
func (r Registry) serve(ctx context.Context, image, program string, nodes int) (at, id string, err error) {
	outside := "127.0.0.1"
	if nodes > 1 {
		if outside, err = r.ownAddress(ctx); err != nil {
			return "", "", err
		}
	}
	ways := []struct {
		mode    swarm.PortConfigPublishMode
		address string
	}{{swarm.PortConfigPublishModeIngress, "127.0.0.1"}, {swarm.PortConfigPublishModeHost, outside}}
	found, err := r.bootstrapped(ctx)
	if err != nil {
		return "", "", err
	}
	if found != nil && published(*found) == swarm.PortConfigPublishModeHost { // the mesh did not work then
		ways = ways[1:]
	}
	for i, way := range ways {
		at = way.address + ":" + strconv.Itoa(r.Port)
		r.Tell(fmt.Sprintf("starting the registry (%s mode)", way.mode))
		if id, err = r.registry(ctx, image, at, way.mode); err != nil {
			return "", "", err
		}
		if err = r.tryPush(ctx, program, way.mode); err == nil || i == len(ways)-1 || ctx.Err() != nil {
			break
		}
		r.Tell(fmt.Sprintf("the routing mesh does not lead to it (%v): the kernel may lack IPVS; publishing it on this node alone", err))
	}
	return at, id, err
}

// tryPush pushes, with less patience where it is the routing mesh that is tried.
func (r Registry) tryPush(ctx context.Context, image string, mode swarm.PortConfigPublishMode) error {
	if mode == swarm.PortConfigPublishModeIngress {
		within, cancel := context.WithTimeoutCause(ctx, meshTimeout, fmt.Errorf("not done within %s", meshTimeout))
		defer cancel()
		ctx = within
	}
	_, err := push(ctx, r.Engine, image)
	return err
}

// bootstrapped is the service of the registry; nil: there is none. A foreign one of that name, or one that another manager
// keeps, is an error.
func (r Registry) bootstrapped(ctx context.Context) (*swarm.Service, error) {
	list, err := r.Engine.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("name", bootstrapApp)})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	for _, s := range list.Items {
		switch {
		case s.Spec.Name != bootstrapApp: // the filter takes beginnings of names
		case s.Spec.Labels[engine.AppLabel] != bootstrapApp:
			return nil, fmt.Errorf("there is a service %s that coinbench did not make; remove it: docker service rm %s", bootstrapApp, bootstrapApp)
		case s.Spec.Labels[engine.NodeLabel] != r.Engine.Node:
			return nil, fmt.Errorf("the registry is kept by the manager %s; do this there, by DOCKER_HOST, or take it down first: coinbench "+
				"swarm bootstrap --down", s.Spec.Labels[engine.NodeLabel])
		default:
			return &s, nil
		}
	}
	return nil, nil
}

func published(s swarm.Service) swarm.PortConfigPublishMode {
	if s.Spec.EndpointSpec == nil || len(s.Spec.EndpointSpec.Ports) == 0 {
		return ""
	}
	return s.Spec.EndpointSpec.Ports[0].PublishMode
}

// registry has the service that is the registry up, in one way of publishing it, and returns its container.
func (r Registry) registry(ctx context.Context, image, at string, mode swarm.PortConfigPublishMode) (string, error) {
	found, err := r.bootstrapped(ctx)
	if err != nil {
		return "", err
	}
	if found != nil {
		if found.Spec.TaskTemplate.ContainerSpec.Image == image && found.Spec.Labels[engine.RegistryLabel] == at && published(*found) == mode {
			return r.serving(ctx, found.ID)
		}
		if err := r.dropRegistry(ctx); err != nil {
			return "", err
		}
	}
	labels := r.Engine.Labels(bootstrapApp, "registry")
	labels[engine.RegistryLabel] = at
	if _, err := r.Engine.VolumeCreate(ctx, client.VolumeCreateOptions{Name: bootstrapApp, Labels: labels}); err != nil {
		return "", fmt.Errorf("make the registry's volume: %w", err)
	}
	one, delay := uint64(1), time.Second
	made, err := r.Engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: bootstrapApp, Labels: labels},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image:  image, // its ID: the engine has it and does not look for it elsewhere
				Args:   []string{"registry", "--listen", ":" + strconv.Itoa(insidePort), "--data", images.DataPath},
				Labels: map[string]string{engine.AppLabel: bootstrapApp}, ReadOnly: true,
				Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: bootstrapApp, Target: images.DataPath}},
				Healthcheck: &container.HealthConfig{Test: []string{"CMD", images.BinaryPath, "healthcheck",
					fmt.Sprintf("http://127.0.0.1:%d/v2/", insidePort)}, Interval: time.Second, Timeout: 5 * time.Second, Retries: 5},
			},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionAny, Delay: &delay},
			Placement:     &swarm.Placement{Constraints: []string{"node.id==" + r.Engine.Node}},
		},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP, Ports: []swarm.PortConfig{{
			Protocol: network.TCP, TargetPort: insidePort, PublishedPort: uint32(r.Port), PublishMode: mode,
		}}},
	}})
	if err != nil {
		if engineerr.PortTaken.Is(err) {
			err = fmt.Errorf("%w; choose another by --port", err)
		}
		return "", fmt.Errorf("make the registry: %w", err)
	}
	return r.serving(ctx, made.ID)
}

// serving waits until the registry is up and returns its container.
func (r Registry) serving(ctx context.Context, service string) (string, error) {
	within, cancel := context.WithTimeoutCause(ctx, servingTimeout, fmt.Errorf("not up within %s", servingTimeout))
	defer cancel()
	state := "there is no task of it"
	for {
		tasks, err := r.Engine.TaskList(ctx, client.TaskListOptions{Filters: engine.OfService(service)})
		if err != nil {
			return "", fmt.Errorf("list tasks: %w", err)
		}
		for _, t := range tasks.Items {
			switch {
			case t.Status.State == swarm.TaskStateRunning && t.DesiredState == swarm.TaskStateRunning && t.Status.ContainerStatus != nil:
				return t.Status.ContainerStatus.ContainerID, nil
			case engineerr.PortTaken.In(t.Status.Err):
				return "", fmt.Errorf("the registry: %s; choose another by --port", t.Status.Err)
			case t.Status.Err != "" || observe.Ended(t.Status.State):
				state = "its last task: " + engine.Said(t)
			}
		}
		if err := r.Engine.Sleep(within, engine.QuickPoll); err != nil {
			return "", fmt.Errorf("the registry: %w: %s; see docker service ps --no-trunc %s", err, state, bootstrapApp)
		}
	}
}

// fromHub tags images of Docker Hub for the registry, and returns the tags. Where the engine neither has nor can pull one, another takes
// its place, which is told.
func (r Registry) fromHub(ctx context.Context, here string) (names []string, err error) {
	for _, image := range slices.Sorted(maps.Keys(r.Hub)) {
		name := here + "/library/" + image
		names = append(names, name)
		pulling, cancel := context.WithTimeout(ctx, time.Minute)
		err := r.Engine.HavePulled(pulling, image)
		cancel()
		if err == nil {
			_, err = r.Engine.ImageTag(ctx, client.ImageTagOptions{Source: image, Target: name})
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.Tell(fmt.Sprintf("warning: the engine neither has nor can pull %s (%s): coinbench's own takes its place on this Swarm", image,
			strings.Join(strings.Fields(err.Error()), " ")))
		if err := images.LoadIntoEngine(ctx, r.Engine, images.Set{name: r.Hub[image]}); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// ownAddress is that of the engine's node, as the other nodes reach it.
func (r Registry) ownAddress(ctx context.Context) (string, error) {
	found, err := r.Engine.NodeInspect(ctx, r.Engine.Node, client.NodeInspectOptions{})
	if err != nil {
		return "", fmt.Errorf("look at the manager's node: %w", err)
	}
	address := found.Node.Status.Addr
	if m := found.Node.ManagerStatus; m != nil && address == "0.0.0.0" {
		address, _, _ = strings.Cut(m.Addr, ":")
	}
	return address, nil
}

// dropPulls removes what a bootstrap that was killed left.
func (r Registry) dropPulls(ctx context.Context) error {
	left, err := r.Engine.ServiceList(ctx, client.ServiceListOptions{Filters: engine.Labelled(engine.AppLabel+"="+bootstrapApp,
		engine.PartLabel+"=job")})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	for _, s := range left.Items {
		if s.Spec.Labels[engine.AppLabel] != bootstrapApp || s.Spec.Labels[engine.PartLabel] != "job" {
			continue
		}
		if _, err := r.Engine.ServiceRemove(ctx, s.ID, client.ServiceRemoveOptions{}); err != nil && !engineerr.NotFound.Is(err) {
			return fmt.Errorf("remove service %s: %w", s.Spec.Name, err)
		}
	}
	return nil
}

// dropRegistry removes the service, and waits until its container has let go of port and volume. The volume stays.
func (r Registry) dropRegistry(ctx context.Context) error {
	if err := Sweep(ctx, r.Engine, bootstrapApp, ""); err != nil {
		return err
	}
	within, cancel := context.WithTimeoutCause(ctx, servingTimeout, fmt.Errorf("still there after %s", servingTimeout))
	defer cancel()
	for {
		left, err := r.Engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: engine.Labelled(engine.AppLabel + "=" +
			bootstrapApp)})
		if err != nil {
			return fmt.Errorf("list containers: %w", err)
		}
		if len(left.Items) == 0 {
			return nil
		}
		if err := r.Engine.Sleep(within, engine.QuickPoll); err != nil {
			return fmt.Errorf("the registry's container %s: %w", left.Items[0].ID[:12], err)
		}
	}
}

// Remove removes the registry that Bootstrap made, its volume, and what was loaded into the engine for it. Finding nothing
// is no error.
func (r Registry) Remove(ctx context.Context) error {
	fault := func(err error) error { return fmt.Errorf("remove the registry: %w", err) }
	if err := r.Engine.Ready(ctx); err != nil {
		return fault(err)
	}
	volume, err := r.Engine.VolumeInspect(ctx, bootstrapApp, client.VolumeInspectOptions{})
	if err != nil && !engineerr.NotFound.Is(err) {
		return fault(fmt.Errorf("look at the volume %s: %w", bootstrapApp, err))
	}
	service, err := r.bootstrapped(ctx)
	if err != nil {
		return fault(err)
	}
	ports := []string{portOf(volume.Volume.Labels)}
	if service != nil {
		ports = append(ports, portOf(service.Spec.Labels))
	}
	if err := r.dropRegistry(ctx); err != nil {
		return fault(err)
	}
	var faults []error
	list, err := r.Engine.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return fault(fmt.Errorf("list images: %w", err))
	}
	for _, i := range list.Items {
		for _, name := range i.RepoTags {
			if !slices.ContainsFunc(ports, func(port string) bool { return port != "" && strings.HasPrefix(name, "127.0.0.1:"+port+"/") }) {
				continue
			}
			if _, err := r.Engine.ImageRemove(ctx, name, client.ImageRemoveOptions{Force: true}); err != nil && !engineerr.NotFound.Is(err) {
				faults = append(faults, fmt.Errorf("remove image %s: %w", name, err))
			}
		}
	}
	if volume.Volume.Labels[engine.AppLabel] == bootstrapApp {
		if _, err := r.Engine.VolumeRemove(ctx, bootstrapApp, client.VolumeRemoveOptions{}); err != nil && !engineerr.NotFound.Is(err) {
			faults = append(faults, fmt.Errorf("remove the volume %s: %w", bootstrapApp, err))
		}
	}
	if len(faults) > 0 {
		return fault(errors.Join(faults...))
	}
	return nil
}

// portOf is the port of the registry that a label names; "": it names none.
func portOf(labels map[string]string) string {
	address := labels[engine.RegistryLabel]
	return address[strings.LastIndex(address, ":")+1:]
}
