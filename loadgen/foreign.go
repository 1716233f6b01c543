package loadgen

import (
	"context"
	"errors"
)

type httpClient struct{}

func (s *slot) doForeign(ctx context.Context, p *prepared, o *outcome) {
	s.fail(o, s.e.now(), connectFailed, errors.New("https is not supported yet"))
}
