package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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
			if perr := pause(ctx, poll); perr != nil {
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

// Partition pulls a node's network cable: it runs on and reaches nobody.
func (l *Lab) Partition(ctx context.Context, node string) error { return l.cable(ctx, node, "down") }

// Heal plugs the cable in again.
func (l *Lab) Heal(ctx context.Context, node string) error { return l.cable(ctx, node, "up") }

func (l *Lab) cable(ctx context.Context, node, direction string) error {
	return l.change(node, func(s *state, _ int) error {
		return s.Switch.links(ctx, "link set "+port(node)+" "+direction)
	})
}
