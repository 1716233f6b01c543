package scenarios

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Scale sets the replicas of services, one after the other.
type Scale struct {
	Services Map[int]
}

func (s *Scale) decode(d *decoder, node ast.Node) { d.decode(node, &s.Services) }

func (s *Scale) title() string {
	var parts []string
	for _, e := range s.Services {
		parts = append(parts, fmt.Sprintf("%s to %d", e.Key, e.Value))
	}
	return "scale " + strings.Join(parts, ", ")
}

func (s *Scale) check(p *plan) {
	p.running()
	if len(s.Services) == 0 {
		p.wrong(nil, "nothing to scale; accepted: SERVICE: REPLICAS")
	}
	for i := range s.Services {
		e := &s.Services[i]
		service := p.service(e.Key, e)
		p.replicas(service, e.Value, &e.Value)
		if service != nil {
			service.Replicas = e.Value
		}
		p.length += 2 * time.Second
	}
}

func (s *Scale) play(ctx context.Context, st *stage) error {
	for _, e := range s.Services {
		if err := st.scale(ctx, e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}
