package overlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/relay"
)

const relayTimeout = 30 * time.Second // for a relay to start, and more where more is allowed for a change

// Overlay is the network of an app, with a relay that ends with us.
type Overlay struct {
	// Constraints say on which nodes jobs may run; nil: on all.
	Constraints func() ([]string, error)

	engine *engine.Engine
	warn   func(format string, args ...any)

	mu      sync.Mutex
	app     string // "": there is none
	network string // its ID
	id      string // of the relay's container
	address string // of it, in the overlay
	relay   *relay.Client
	http    *http.Client // through the relay
	said    *tail
	jobs    int       // so far
	opening time.Time // of the last attempt
	failure error     // of it
}

// New returns the overlay of no app yet. warn is told what a person should know.
func New(e *engine.Engine, warn func(format string, args ...any)) *Overlay {
	return &Overlay{engine: e, warn: warn}
}

// Create makes the network of an app, and starts the relay. If it fails, what was made is found by its labels.
func (o *Overlay) Create(ctx context.Context, app string) (network string, err error) {
	name := engine.NetworkName(app)
	made, err := o.engine.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver: "overlay", Scope: "swarm", Attachable: true, Labels: o.engine.Labels(app, "app"),
	})
	if err != nil {
		return "", fmt.Errorf("make the network %s: %w", name, err)
	}
	o.Adopt(app, made.ID)
	o.mu.Lock()
	defer o.mu.Unlock()
	return made.ID, o.start(ctx)
}

// Adopt takes the network of an app that is there. The relay is started when it is needed.
func (o *Overlay) Adopt(app, network string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.app, o.network = app, network
}

// Container is the relay's; "": it has none.
func (o *Overlay) Container() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id
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

// start starts the relay. The caller holds mu.
func (o *Overlay) start(ctx context.Context) error {
	allowed := max(relayTimeout, o.engine.Deadline/2)
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, fmt.Errorf("not there within %s", allowed))
	defer cancel()
	image := o.engine.Program()
	if err := o.engine.HavePulled(ctx, image); err != nil {
		return fmt.Errorf("the engine has no image %s and cannot pull it: %w; push it first: coinbench images push --registry HOST:PORT, and "+
			"give --registry HOST:PORT here too", image, err)
	}
	for {
		// The engine gives the first container of a network on its node 20 s, which is too little for a slow one; the second
		// finds the network made.
		err := o.launch(ctx, image)
		if !engineerr.SlowNetwork.Is(err) || ctx.Err() != nil {
			return err
		}
		if o.engine.Sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

// launch makes and starts the relay's container once. The caller holds mu.
func (o *Overlay) launch(ctx context.Context, image string) error {
	fault := func(err error) error { return fmt.Errorf("start the relay (%s): %w", image, err) }
	// With the engine's socket the relay can clean up when this process is killed. Where the socket is elsewhere, or may
	// not be had, the next run does it.
	janitor := !o.engine.Keep
	var made client.ContainerCreateResult
	for {
		config := &container.Config{
			Image: image, Cmd: []string{"relay"}, OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
			Labels: o.engine.Labels(o.app, "relay"),
		}
		host := &container.HostConfig{AutoRemove: true, ReadonlyRootfs: true, NetworkMode: container.NetworkMode(engine.NetworkName(o.app)),
			LogConfig: container.LogConfig{Type: "none"}}
		if janitor {
			config.Cmd = append(config.Cmd, "--sweep", o.app, "--run", o.engine.Run)
			config.User = "0:0"
			host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: o.engine.Socket, Target: "/var/run/docker.sock"}}
		}
		var err error
		made, err = o.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config: config, HostConfig: host,
			NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
				engine.NetworkName(o.app): {NetworkID: o.network}}},
		})
		if janitor && engineerr.NoSocket.Is(err) {
			janitor = false
			o.warn("the engine's socket is not at %s: should this run be killed, the next one removes what it left", o.engine.Socket)
			continue
		}
		if err != nil {
			return fault(err)
		}
		break
	}
	discard := func() {
		_, _ = o.engine.ContainerRemove(context.WithoutCancel(ctx), made.ID, client.ContainerRemoveOptions{Force: true})
	}
	attached, err := o.engine.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true,
		Stderr: true})
	if err != nil {
		discard()
		return fault(err)
	}
	if _, err := o.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		attached.Close()
		discard()
		return fault(err)
	}
	said := &tail{}
	out, toOut := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(toOut, said, attached.Reader)
		toOut.CloseWithError(err) // nil: EOF
	}()
	stream := relay.Stream(out, attached.Conn, func() {
		attached.Close()
		out.Close()
	})
	o.id, o.said = made.ID, said
	o.relay = relay.NewClient(stream)
	o.http = &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: o.relay.Dial, MaxIdleConnsPerHost: 2,
		IdleConnTimeout: time.Minute}}
	if _, err := o.relay.Resolve(ctx, "127.0.0.1"); err != nil {
		o.end()
		discard()
		return fault(fmt.Errorf("%w: %s", err, said))
	}
	if found, err := o.engine.ContainerInspect(ctx, made.ID, client.ContainerInspectOptions{}); err == nil &&
		found.Container.NetworkSettings != nil {
		if e := found.Container.NetworkSettings.Networks[engine.NetworkName(o.app)]; e != nil && e.IPAddress.IsValid() {
			o.address = e.IPAddress.String()
		}
	}
	return nil
}

// Relay returns the relay and HTTP through it; a new one if the last has ended (as it does with its engine).
func (o *Overlay) Relay(ctx context.Context) (*relay.Client, *http.Client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.relay != nil {
		select {
		case <-o.relay.Ended():
			o.end()
		default:
			return o.relay, o.http, nil
		}
	}
	if o.app == "" {
		return nil, nil, errors.New("no app is deployed")
	}
	if time.Since(o.opening) < 2*time.Second {
		return nil, nil, cmp.Or(o.failure, errors.New("the relay ended a moment ago"))
	}
	o.opening = time.Now()
	if o.failure = o.start(context.WithoutCancel(ctx)); o.failure != nil {
		return nil, nil, o.failure
	}
	return o.relay, o.http, nil
}

// end ends the connection. The caller holds mu.
func (o *Overlay) end() {
	if o.relay != nil {
		o.http.CloseIdleConnections()
		_ = o.relay.Close()
		o.relay = nil
	}
}

// Close ends the relay and waits until its container is gone. The network stays.
func (o *Overlay) Close(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end()
	o.app = ""
	if o.id == "" {
		return nil
	}
	_, err := o.engine.ContainerRemove(ctx, o.id, client.ContainerRemoveOptions{Force: true})
	for engineerr.BeingRemoved.Is(err) && ctx.Err() == nil {
		_ = o.engine.Sleep(ctx, 20*time.Millisecond)
		_, err = o.engine.ContainerRemove(ctx, o.id, client.ContainerRemoveOptions{Force: true})
	}
	o.id = ""
	if err != nil && !engineerr.NotFound.Is(err) {
		return fmt.Errorf("remove the relay: %w", err)
	}
	return nil
}

// Dial connects to an address inside the overlay, such as one that Address returned. It is for looking at the app, not for
// measuring it.
func (o *Overlay) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	r, _, err := o.Relay(ctx)
	if err != nil {
		return nil, err
	}
	return r.Dial(ctx, network, address)
}

// Resolve looks a name up inside the overlay, as the app's own services do.
func (o *Overlay) Resolve(ctx context.Context, name string) ([]string, error) {
	r, _, err := o.Relay(ctx)
	if err != nil {
		return nil, err
	}
	return r.Resolve(ctx, name)
}
