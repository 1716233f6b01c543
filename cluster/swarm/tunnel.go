package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/relay"
)

const relayTimeout = 30 * time.Second // for a relay to start, and more where more is allowed for a change

// tunnel is the relay of a cluster: a container in the overlay, on the engine that we speak to, which ends with us.
type tunnel struct {
	c    *Cluster
	node string // ID of the engine's node

	mu      sync.Mutex
	id      string // of the container
	address string // in the overlay
	relay   *relay.Client
	http    *http.Client // through the relay
	said    *tail
	opening time.Time // of the last attempt
	failure error     // of it
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - 2000; n > 0 {
		t.text = t.text[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// helper is the image of the bare program.
func (c *Cluster) helper() string { return c.reference("coinbench/coinbench:" + c.config.Tag) }

// open starts the relay.
func (t *tunnel) open(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.start(ctx)
}

// start starts the relay. The caller holds mu.
func (t *tunnel) start(ctx context.Context) error {
	allowed := max(relayTimeout, t.c.config.Deadline/2)
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, fmt.Errorf("not there within %s", allowed))
	defer cancel()
	image := t.c.helper()
	if err := t.pull(ctx, image); err != nil {
		return err
	}
	for {
		// The engine gives the first container of a network on its node 20 s, which is too little for a slow one; the second
		// finds the network made.
		err := t.launch(ctx, image)
		if err == nil || !strings.Contains(err.Error(), "attach") || !strings.Contains(err.Error(), "context deadline exceeded") ||
			ctx.Err() != nil {
			return err
		}
		if t.c.Sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

// launch makes and starts the relay's container once. The caller holds mu.
func (t *tunnel) launch(ctx context.Context, image string) error {
	c := t.c
	c.mu.Lock()
	net, app := c.network, c.app.Name
	c.mu.Unlock()
	fault := func(err error) error { return fmt.Errorf("start the relay (%s): %w", image, err) }
	// With the engine's socket the relay can clean up when this process is killed. Where the socket is elsewhere, or may
	// not be had, the next run does it.
	janitor := !c.config.Keep
	var made client.ContainerCreateResult
	for {
		config := &container.Config{
			Image: image, Cmd: []string{"relay"}, OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
			Labels: c.labels(app, "relay"),
		}
		host := &container.HostConfig{AutoRemove: true, ReadonlyRootfs: true, NetworkMode: container.NetworkMode(networkName(app)),
			LogConfig: container.LogConfig{Type: "none"}}
		if janitor {
			config.Cmd = append(config.Cmd, "--sweep", app, "--run", c.config.Run)
			config.User = "0:0"
			host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: c.config.Socket, Target: "/var/run/docker.sock"}}
		}
		var err error
		made, err = c.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config: config, HostConfig: host,
			NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{networkName(app): {NetworkID: net}}},
		})
		if err != nil && janitor && strings.Contains(err.Error(), "bind source path") {
			janitor = false
			c.warn("the engine's socket is not at %s: should this run be killed, the next one removes what it left", c.config.Socket)
			continue
		}
		if err != nil {
			return fault(err)
		}
		break
	}
	discard := func() {
		_, _ = c.engine.ContainerRemove(context.WithoutCancel(ctx), made.ID, client.ContainerRemoveOptions{Force: true})
	}
	attached, err := c.engine.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true,
		Stderr: true})
	if err != nil {
		discard()
		return fault(err)
	}
	if _, err := c.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		attached.Close()
		discard()
		return fault(err)
	}
	said := &tail{}
	out, toOut := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(toOut, said, attached.Reader)
		toOut.CloseWithError(cmpErr(err, io.EOF))
	}()
	stream := relay.Stream(out, attached.Conn, func() {
		attached.Close()
		out.Close()
	})
	t.id, t.said = made.ID, said
	t.relay = relay.NewClient(stream)
	t.http = &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: t.relay.Dial, MaxIdleConnsPerHost: 2,
		IdleConnTimeout: time.Minute}}
	if _, err := t.relay.Resolve(ctx, "127.0.0.1"); err != nil {
		t.end()
		discard()
		return fault(fmt.Errorf("%w: %s", err, said))
	}
	if found, err := c.engine.ContainerInspect(ctx, made.ID, client.ContainerInspectOptions{}); err == nil &&
		found.Container.NetworkSettings != nil {
		if e := found.Container.NetworkSettings.Networks[networkName(app)]; e != nil && e.IPAddress.IsValid() {
			t.address = e.IPAddress.String()
		}
	}
	return nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// pull sees to it that the engine has the image; one that it has is fetched again only if the registry has another.
func (t *tunnel) pull(ctx context.Context, image string) error {
	_, have := t.c.engine.ImageInspect(ctx, image)
	if have == nil && t.c.config.Registry == "" {
		return nil
	}
	answer, err := t.c.engine.ImagePull(ctx, image, client.ImagePullOptions{})
	if err == nil {
		err = answer.Wait(ctx)
	}
	if err != nil && have != nil {
		return fmt.Errorf("the engine has no image %s and cannot pull it: %w; push it first: coinbench images push --registry HOST:PORT, and "+
			"give --registry HOST:PORT here too", image, err)
	}
	return nil
}

// use returns the relay, a new one if the last has ended (as it does with its engine).
func (t *tunnel) use(ctx context.Context) (*relay.Client, *http.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.relay != nil {
		select {
		case <-t.relay.Ended():
			t.end()
		default:
			return t.relay, t.http, nil
		}
	}
	if t.c.deployed() == nil {
		return nil, nil, errors.New("no app is deployed")
	}
	if time.Since(t.opening) < 2*time.Second {
		return nil, nil, t.failure
	}
	t.opening = time.Now()
	if t.failure = t.start(context.WithoutCancel(ctx)); t.failure != nil {
		return nil, nil, t.failure
	}
	return t.relay, t.http, nil
}

// end ends the connection. The caller holds mu.
func (t *tunnel) end() {
	if t.relay != nil {
		t.http.CloseIdleConnections()
		_ = t.relay.Close()
		t.relay = nil
	}
}

// close ends the relay and waits until its container is gone.
func (t *tunnel) close(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	if t.id == "" {
		return nil
	}
	_, err := t.c.engine.ContainerRemove(ctx, t.id, client.ContainerRemoveOptions{Force: true})
	for err != nil && strings.Contains(err.Error(), "already in progress") && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
		_, err = t.c.engine.ContainerRemove(ctx, t.id, client.ContainerRemoveOptions{Force: true})
	}
	t.id = ""
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("remove the relay: %w", err)
	}
	return nil
}

// Dial connects to an address inside the overlay, such as one that Address returned. It is for looking at the app, not for
// measuring it.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	r, _, err := c.tunnel.use(ctx)
	if err != nil {
		return nil, err
	}
	return r.Dial(ctx, network, address)
}

// Resolve looks a name up inside the overlay, as the app's own services do.
func (c *Cluster) Resolve(ctx context.Context, name string) ([]string, error) {
	r, _, err := c.tunnel.use(ctx)
	if err != nil {
		return nil, err
	}
	return r.Resolve(ctx, name)
}

// names are the answers of the overlay's DNS for a service and for its tasks, as the details of an event. Nodes tell each other of
// tasks by gossip, so the last one may be known a moment after it runs: for that moment it waits.
func (c *Cluster) names(ctx context.Context, s *service) []string {
	if c.config.Keep {
		return nil
	}
	c.mu.Lock()
	want := s.spec.Replicas
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var detail []string
	for _, name := range []string{s.name, "tasks." + s.name} {
		addresses, err := c.Resolve(ctx, name)
		for err == nil && name != s.name && len(addresses) != want && c.Sleep(ctx, quickPoll) == nil {
			if more, err := c.Resolve(ctx, name); err == nil {
				addresses = more
			}
		}
		if err == nil {
			slices.Sort(addresses)
			detail = append(detail, "dns."+name, strings.Join(addresses, " "))
		}
	}
	return detail
}
