package swarm

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
)

// Nodes that lose what they tell each other of tasks make it good within 30 s.
const switchTimeout = 45 * time.Second

// route makes the gateway in front of a service send all new requests to one of its sets, as soon as the gateway finds the
// addresses of all of its replicas.
func (c *Cluster) route(ctx context.Context, s *service, colour string) error {
	gate, err := c.app.Lookup(describe.GatewayName(s.name))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, switchTimeout, fmt.Errorf("not done within %s", switchTimeout))
	defer cancel()
	c.mu.Lock()
	to, least := describe.Upstream(s.spec, colour), s.spec.Replicas
	if s.mode == VIP {
		least = 1 // the virtual address
	}
	_, admin := gate.spec.Listens()
	c.mu.Unlock()
	for {
		_, web, err := c.overlay.Relay(ctx)
		var gateways []string
		if err == nil {
			c.mu.Lock()
			for _, t := range c.seen.Live(gate.name) {
				if t.Joined && !t.StopRequested() && t.IP != "" {
					gateways = append(gateways, net.JoinHostPort(t.IP, strconv.Itoa(admin)))
				}
			}
			c.mu.Unlock()
			if len(gateways) == 0 {
				err = fmt.Errorf("no task of %s runs", gate.name)
			}
		}
		for _, gateway := range gateways {
			if err == nil {
				err = putUpstream(ctx, web, gateway, to, least)
			}
		}
		if err == nil {
			return nil
		}
		if c.Sleep(ctx, engine.QuickPoll) != nil {
			return fmt.Errorf("switch %s to %s: %w: %w", gate.name, to, context.Cause(ctx), err)
		}
	}
}

func putUpstream(ctx context.Context, web *http.Client, gateway, to string, least int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("http://%s/upstream?addresses=%d", gateway, least),
		strings.NewReader(to))
	if err != nil {
		return err
	}
	answer, err := web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1024))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d: %s", answer.StatusCode, strings.TrimSpace(string(text)))
	}
	return nil
}
