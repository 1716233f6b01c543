package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engineerr"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

const (
	engineTimeout   = 3 * time.Minute // an emulated processor needs one of them
	registryTimeout = time.Minute
)

// engineConfig is the daemon.json of a node. Everything that is not here is dockerd's default, in the node's own folders.
func (s *state) engineConfig(node string) ([]byte, error) {
	return json.MarshalIndent(map[string]any{
		"hosts":               []string{"unix:///run/docker.sock"},
		"exec-opts":           []string{"native.cgroupdriver=cgroupfs"}, // the namespaces have no systemd to ask
		"cgroup-parent":       s.cgroupParent(node),
		"insecure-registries": []string{s.Subnet.String()},
		"registry-mirrors":    []string{"http://" + s.registry()},
		"group":               "root",
	}, "", "  ")
}

func (s *state) registry() string {
	return netip.AddrPortFrom(host(s.Subnet, switchHost), registryPort).String()
}

func (s *state) socket(node string) string { return filepath.Join(s.Dir, node, "run", "docker.sock") }

// startEngine starts dockerd in a node that has none running.
func (s *state) startEngine(n nodeState) (<-chan struct{}, error) {
	dir := filepath.Join(s.Dir, n.Name)
	config, err := s.engineConfig(n.Name)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "run", "daemon.json"), config, 0o644); err != nil {
		return nil, err
	}
	dockerd, err := exec.LookPath(s.Dockerd)
	if err != nil {
		return nil, err
	}
	s.preferContainers(n.Name)
	return n.Init.launch([]string{"-n", "-u", "-m", "-p", "-i"}, s.engineLog(n.Name), engineEnvironment(dockerd), dockerd, "--config-file",
		"/run/daemon.json")
}

func (s *state) engineLog(node string) string { return filepath.Join(s.Dir, node, "dockerd.log") }

// awaitEngine waits until an engine answers, or has ended.
func (s *state) awaitEngine(ctx context.Context, node string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, engineTimeout, fmt.Errorf("no answer within %s", engineTimeout))
	defer cancel()
	c, err := s.client(node)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		if _, err := c.Ping(ctx, client.PingOptions{}); err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the engine of %s ended; the end of its log (%s):\n%s", node, s.engineLog(node), tail(s.engineLog(node), 5))
		case <-ctx.Done():
			return fmt.Errorf("the engine of %s: %w; the end of its log (%s):\n%s", node, context.Cause(ctx), s.engineLog(node),
				tail(s.engineLog(node), 5))
		case <-time.After(4 * poll):
		}
	}
}

func (s *state) client(node string) (*client.Client, error) {
	return client.New(client.WithHost("unix://" + s.socket(node)))
}

// formSwarm makes the first node a manager and the others its workers.
func (s *state) formSwarm(ctx context.Context, heartbeat time.Duration) error {
	first := s.Nodes[0]
	manager, err := s.client(first.Name)
	if err != nil {
		return err
	}
	defer manager.Close()
	options := client.SwarmInitOptions{ListenAddr: first.Address.String() + ":2377", AdvertiseAddr: first.Address.String()}
	options.Spec.Dispatcher.HeartbeatPeriod = heartbeat
	if _, err := manager.SwarmInit(ctx, options); err != nil {
		return fmt.Errorf("swarm init on %s: %w", first.Name, err)
	}
	found, err := manager.SwarmInspect(ctx, client.SwarmInspectOptions{})
	if err != nil {
		return fmt.Errorf("swarm inspect on %s: %w", first.Name, err)
	}
	joined := make(chan error, len(s.Nodes)-1)
	for _, n := range s.Nodes[1:] {
		go func() { joined <- s.join(ctx, n, first, found.Swarm.JoinTokens.Worker) }()
	}
	var faults error
	for range s.Nodes[1:] {
		faults = errors.Join(faults, <-joined)
	}
	if faults != nil {
		return faults
	}
	for {
		nodes, err := manager.NodeList(ctx, client.NodeListOptions{})
		if err != nil {
			return fmt.Errorf("node list on %s: %w", first.Name, err)
		}
		ready := 0
		for _, n := range nodes.Items {
			if n.Status.State == swarm.NodeStateReady {
				ready++
			}
		}
		if ready == len(s.Nodes) {
			return nil
		}
		if err := (cluster.RealTime{}).Sleep(ctx, 4*poll); err != nil {
			return fmt.Errorf("%d of %d nodes are ready: %w", ready, len(s.Nodes), err)
		}
	}
}

func (s *state) join(ctx context.Context, n, manager nodeState, token string) error {
	c, err := s.client(n.Name)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.SwarmJoin(ctx, client.SwarmJoinOptions{
		ListenAddr: n.Address.String() + ":2377", AdvertiseAddr: n.Address.String(),
		RemoteAddrs: []string{manager.Address.String() + ":2377"}, JoinToken: token,
	}); err != nil && !engineerr.Joining.Is(err) { // a slow node is waited for with the others
		return fmt.Errorf("swarm join on %s: %w", n.Name, err)
	}
	return nil
}

// startRegistry starts the registry of a folder on the switch and waits until it answers.
func (s *state) startRegistry(ctx context.Context, command []string, data string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, registryTimeout, fmt.Errorf("no answer within %s", registryTimeout))
	defer cancel()
	logPath := filepath.Join(s.Dir, switchName, "registry.log")
	args := append(command[:len(command):len(command)], "--listen", s.registry(), "--data", data)
	ended, err := s.Switch.launch([]string{"-n", "-p", "-i"}, logPath, nil, args...)
	if err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	client := &http.Client{Transport: directTransport()}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.registry()+"/v2/", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			return fmt.Errorf("the registry (%s) ended:\n%s", command[0], tail(logPath, 5))
		case <-ctx.Done():
			return fmt.Errorf("the registry (%s): %w\n%s", command[0], context.Cause(ctx), tail(logPath, 5))
		case <-time.After(4 * poll):
		}
	}
}

// directTransport uses no proxy: the lab is on this machine.
func directTransport() *http.Transport {
	return &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout: 10 * time.Second}
}
