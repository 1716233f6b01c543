package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/images"
)

const (
	switchName  = "switch"
	downTimeout = 30 * time.Second
)

// ErrNoLab is the error of Open for a lab that is not there.
var ErrNoLab = errors.New("there is no such lab")

// Lab is a lab that is up, or was: its nodes may have been killed. It is not safe for concurrent use; two programs that
// change one lab are kept apart.
type Lab struct{ state *state }

// Check says whether labs can be made here; its error says what to do.
func Check() error {
	if !supported {
		return errors.New("a lab needs Linux")
	}
	if !isRoot() {
		return errors.New("a lab needs root: it makes network namespaces and runs engines")
	}
	var missing []string
	for _, tool := range []struct{ command, pack string }{
		{"dockerd", "docker.io"}, {"iptables", "iptables"}, {"ip", "iproute2"}, {"nsenter", "util-linux"}, {"mount", "mount"},
	} {
		if _, err := exec.LookPath(tool.command); err != nil {
			missing = append(missing, tool.pack)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a lab needs programs that are not installed: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	return nil
}

// Up makes a lab: when it returns, all nodes are ready, the registry answers and has the images. If it fails, it removes
// what it made.
func Up(ctx context.Context, c Config) (_ *Lab, err error) {
	c, err = c.complete()
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := Check(); err != nil {
		return nil, err
	}
	fault := func(err error) error { return fmt.Errorf("lab %s: %w", c.Name, err) }
	release, err := lock(c.Name)
	if err != nil {
		return nil, fault(err)
	}
	defer release()
	if old, err := readState(c.Name); err != nil || old != nil {
		if err == nil {
			err = errors.New("it is there already, or what a crash left of it: take it down first")
		}
		return nil, fault(err)
	}
	s := &state{Name: c.Name, Dir: c.Dir, Dockerd: c.Dockerd}
	if err := s.reserve(c); err != nil {
		return nil, fault(err)
	}
	l := &Lab{s}
	defer func() {
		if err != nil {
			err = fault(err)
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
			defer cancel()
			if derr := remove(clean, c.Name, s); derr != nil {
				err = fmt.Errorf("%w; and what was made could not all be removed: %w", err, derr)
			}
		}
	}()
	return l, l.build(ctx, c)
}

// build makes everything of a lab, one thing after the other, except that engines start side by side.
func (l *Lab) build(ctx context.Context, c Config) error {
	s := l.state
	if err := claim(s.Dir, s.Name); err != nil {
		return err
	}
	c.Progress("switch and registry")
	dir := filepath.Join(s.Dir, switchName)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	init, err := startMachine(ctx, s.Name, switchName, dir, "switch")
	if err != nil {
		return err
	}
	s.Switch = init
	if err := s.save(); err != nil {
		return err
	}
	if err := s.wireSwitch(ctx); err != nil {
		return err
	}
	if err := s.startRegistry(ctx, c.Registry, cmp.Or(c.RegistryDir, filepath.Join(dir, "registry"))); err != nil {
		return err
	}
	c.Progress(fmt.Sprintf("%d engines", len(s.Nodes)))
	ended := make([]<-chan struct{}, len(s.Nodes))
	for i, n := range s.Nodes {
		if err := s.bootNode(ctx, i+1); err != nil {
			return err
		}
		if ended[i], err = s.startEngine(s.Nodes[i]); err != nil {
			return fmt.Errorf("the engine of %s: %w", n.Name, err)
		}
	}
	if len(c.Images) > 0 { // while the engines start
		c.Progress("images: " + strings.Join(c.Images.Names(), ", "))
		if _, err := l.Push(ctx, c.Images); err != nil {
			return err
		}
	}
	for i, n := range s.Nodes {
		if err := s.awaitEngine(ctx, n.Name, ended[i]); err != nil {
			return err
		}
	}
	c.Progress("swarm")
	return s.formSwarm(ctx, c.Heartbeat)
}

// Open finds a lab that is up ("": the one of the default name). The error of one that is not is ErrNoLab.
func Open(name string) (*Lab, error) {
	if name == "" {
		name = DefaultName
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	s, err := readState(name)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	if s == nil {
		return nil, fmt.Errorf("lab %s: %w", name, ErrNoLab)
	}
	return &Lab{s}, nil
}

// Down removes a lab ("": the one of the default name) and every trace of it, also after a crash, and also if there is
// none. It never touches what no lab made.
func Down(ctx context.Context, name string) error {
	if name == "" {
		name = DefaultName
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if !supported || !isRoot() {
		return Check()
	}
	release, err := lock(name)
	if err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	defer release()
	s, err := readState(name)
	if err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	if s == nil {
		s = &state{Name: name, Dir: filepath.Join(dataRoot, name)}
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	if err := remove(ctx, name, s); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	return nil
}

// Down removes the lab and every trace of it.
func (l *Lab) Down(ctx context.Context) error { return Down(ctx, l.state.Name) }

// remove does all that it can, and forgets the lab only if nothing of it is left.
func remove(ctx context.Context, name string, s *state) error {
	inits, dirs, err := marked(name)
	for _, n := range s.Nodes {
		inits = append(inits, n.Init)
	}
	for _, p := range append(inits, s.Switch) {
		err = errors.Join(err, p.kill(ctx))
	}
	err = errors.Join(err, unwire(ctx, name), removeCgroups(ctx, name))
	for _, dir := range append(dirs, s.Dir) {
		err = errors.Join(err, removeTree(dir, name))
	}
	if err != nil {
		return err
	}
	os.Remove(dataRoot) // these two stay if anything is in them
	os.Remove(filepath.Dir(dataRoot))
	os.Remove(statePath(name) + ".new")
	if err := os.Remove(statePath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Name returns the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Subnet returns the network of the nodes.
func (l *Lab) Subnet() netip.Prefix { return l.state.Subnet }

// Nodes returns the names of the nodes; the first is the manager.
func (l *Lab) Nodes() []string {
	var names []string
	for _, n := range l.state.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// Host returns the value of DOCKER_HOST for a node ("": the manager).
func (l *Lab) Host(node string) string {
	if node == "" {
		node = l.state.Nodes[0].Name
	}
	return "unix://" + l.state.socket(node)
}

// Address returns a node's address ("": the manager's), which the host reaches too: a published port answers there.
func (l *Lab) Address(node string) (netip.Addr, error) {
	if node == "" {
		return l.state.Nodes[0].Address, nil
	}
	i, err := l.find(node)
	if err != nil {
		return netip.Addr{}, err
	}
	return l.state.Nodes[i].Address, nil
}

// Env returns what a shell needs to use the lab's manager, as NAME=value.
func (l *Lab) Env() []string { return []string{"DOCKER_HOST=" + l.Host("")} }

// Registry returns the registry's address, host:port, for the host and the nodes alike. The nodes trust it, and look
// there for names without a registry: coinbench/rng:v0.1 is pulled from it, redis:7 is library/redis:7.
func (l *Lab) Registry() string { return l.state.registry() }

// Remote returns how to push to the registry.
func (l *Lab) Remote() images.Remote {
	return images.Remote{Registry: l.Registry(), Insecure: true, Transport: directTransport()}
}

// Push pushes images to the registry and returns their digests.
func (l *Lab) Push(ctx context.Context, set images.Set) (map[string]v1.Hash, error) {
	to := l.Remote()
	if t, ok := to.Transport.(interface{ CloseIdleConnections() }); ok {
		defer t.CloseIdleConnections()
	}
	return images.Push(ctx, to, set)
}

// Client returns a client of a node's engine ("": the manager's). The caller closes it.
func (l *Lab) Client(node string) (*client.Client, error) {
	if node == "" {
		node = l.state.Nodes[0].Name
	}
	if _, err := l.find(node); err != nil {
		return nil, err
	}
	return l.state.client(node)
}

// Logs returns the paths of the lab's log files.
func (l *Lab) Logs() []string {
	paths := []string{filepath.Join(l.state.Dir, switchName, "registry.log")}
	for _, n := range l.state.Nodes {
		paths = append(paths, l.state.engineLog(n.Name))
	}
	return paths
}

func (l *Lab) find(node string) (int, error) {
	for i, n := range l.state.Nodes {
		if n.Name == node {
			return i, nil
		}
	}
	return 0, fmt.Errorf("lab %s: no node %q; accepted: %s", l.state.Name, node, strings.Join(l.Nodes(), ", "))
}
