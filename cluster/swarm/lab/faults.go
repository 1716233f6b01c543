package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
)

// change runs an act on a node under the lab's lock, with the state as it is now.
func (l *Lab) change(node string, act func(s *state, i int) error) error {
	i, err := l.find(node)
	if err != nil {
		return err
	}
	release, err := lock(l.state.Name)
	if err != nil {
		return err
	}
	defer release()
	s, err := readState(l.state.Name)
	if err == nil && s == nil {
		err = ErrNoLab
	}
	if err == nil {
		l.state = s
		err = act(s, i)
	}
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.state.Name, err)
	}
	return nil
}

// Kill takes a node's power away: engine, containers and network end at once. Its data stays for Start.
func (l *Lab) Kill(ctx context.Context, node string) error {
	return l.change(node, func(s *state, i int) error {
		if err := s.Nodes[i].Init.kill(ctx); err != nil {
			return err
		}
		s.Nodes[i].Init = process{}
		return s.save()
	})
}

// KillEngine ends a node's dockerd with SIGKILL. The machine and its containers live on.
func (l *Lab) KillEngine(ctx context.Context, node string) error {
	return l.change(node, func(s *state, i int) error { return s.endEngine(ctx, s.Nodes[i], sendKill) })
}

// StopEngine ends a node's dockerd with SIGTERM and waits; it stops its containers first.
func (l *Lab) StopEngine(ctx context.Context, node string) error {
	return l.change(node, func(s *state, i int) error { return s.endEngine(ctx, s.Nodes[i], sendTerm) })
}

func (s *state) endEngine(ctx context.Context, n nodeState, signal func(int) error) error {
	engines, err := s.engines(n)
	for _, e := range engines {
		err = errors.Join(err, signal(e.PID))
	}
	for _, e := range engines {
		for e.alive() {
			if perr := (cluster.RealTime{}).Sleep(ctx, poll); perr != nil {
				return errors.Join(err, fmt.Errorf("the engine of %s does not end: %w", n.Name, perr))
			}
		}
	}
	return err
}

// engines are the running dockerds of a node.
func (s *state) engines(n nodeState) ([]process, error) {
	if !n.Init.alive() {
		return nil, nil
	}
	return n.Init.inside(filepath.Base(s.Dockerd))
}

// Start starts what of a node does not run: the machine, the engine. It returns when the engine answers; the swarm may
// need some more seconds to call the node ready.
func (l *Lab) Start(ctx context.Context, node string) error {
	return l.change(node, func(s *state, i int) error {
		if !s.Nodes[i].Init.alive() {
			if err := s.bootNode(ctx, i+1); err != nil {
				return err
			}
		}
		running, err := s.engines(s.Nodes[i])
		if err != nil {
			return err
		}
		var ended <-chan struct{}
		if len(running) == 0 {
			if ended, err = s.startEngine(s.Nodes[i]); err != nil {
				return err
			}
		}
		return s.awaitEngine(ctx, node, ended)
	})
}

// Partition pulls a node's network cable: it runs on and reaches no other.
func (l *Lab) Partition(ctx context.Context, node string) error {
	return l.cable(node, func(s *state) error { return s.Switch.links(ctx, "link set "+port(node)+" down") })
}

// mendScript plugs a cable in again after a time, unless that was done before: then the file does not hold the token any more.
const mendScript = `sleep "$1"; [ "$(cat "$2" 2>/dev/null)" = "$3" ] && rm -f "$2" && ip link set "$4" up`

// CutOff is Partition for a time. The cable is plugged in again after that whatever becomes of this program.
func (l *Lab) CutOff(ctx context.Context, node string, d time.Duration) error {
	return l.cable(node, func(s *state) error {
		dir := filepath.Join(s.Dir, switchName)
		token := strconv.FormatInt(time.Now().UnixNano(), 10)
		if err := os.WriteFile(s.cutFile(node), []byte(token), 0o600); err != nil {
			return err
		}
		if _, err := s.Switch.launch([]string{"-n", "-p", "-i"}, filepath.Join(dir, "mend.log"), nil,
			"sh", "-c", mendScript, "mend", strconv.FormatFloat(d.Seconds(), 'f', 3, 64), s.cutFile(node), token, port(node)); err != nil {
			return err
		}
		return s.Switch.links(ctx, "link set "+port(node)+" down")
	})
}

// Heal plugs the cable in again.
func (l *Lab) Heal(ctx context.Context, node string) error {
	return l.cable(node, func(s *state) error {
		if err := os.Remove(s.cutFile(node)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return s.Switch.links(ctx, "link set "+port(node)+" up")
	})
}

// cutFile is there while a node is cut off for a time.
func (s *state) cutFile(node string) string { return filepath.Join(s.Dir, switchName, "cut-"+node) }

// cable changes a node's way to the switch. It needs no lock: what is recorded of the lab stays.
func (l *Lab) cable(node string, act func(s *state) error) error {
	if _, err := l.find(node); err != nil {
		return err
	}
	s, err := readState(l.state.Name)
	if err == nil && s == nil {
		err = ErrNoLab
	}
	if err == nil {
		err = act(s)
	}
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.state.Name, err)
	}
	return nil
}

// Serving finds the lab to which an engine belongs, by a value of DOCKER_HOST; nil: it belongs to none.
func Serving(host string) *Lab {
	files, _ := filepath.Glob(statePath("*"))
	for _, file := range files {
		l, err := Open(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			continue
		}
		for _, n := range l.Nodes() {
			if l.Host(n) == host {
				return l
			}
		}
	}
	return nil
}
