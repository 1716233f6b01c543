package scenarios

import (
	"context"
	"fmt"
	"time"
)

// Wait does nothing for a while; the app goes on.
type Wait struct {
	// How long.
	For time.Duration `json:"for" jsonschema:"required"`
}

func (s *Wait) short() any { return &s.For }

func (s *Wait) title() string { return fmt.Sprintf("wait %s", s.For) }

func (s *Wait) check(p *plan) {
	p.positive(&s.For, "for")
	p.length = s.For
}

func (s *Wait) play(ctx context.Context, st *stage) error {
	st.doing("waiting")
	return st.cluster.Sleep(ctx, s.For)
}
