package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Stop ends a load in the background before the last step has ended. One that has ended by itself is no fault.
type Stop struct {
	Load string `json:"load" jsonschema:"required" jsonschema_description:"Name of the load; that of a bench is NAME/cCLIENTS."`
}

func (s *Stop) title() string { return "stop the load " + s.Load }

func (s *Stop) check(p *plan) {
	if _, ok := p.beside[s.Load]; !ok {
		p.wrong(&s.Load, "%s", unknown("load in the background", s.Load, sortedKeys(p.beside)))
	}
	delete(p.beside, s.Load)
}

func (s *Stop) play(_ context.Context, st *stage) error {
	i := slices.IndexFunc(st.backgrounds, func(b *background) bool { return b.name == s.Load })
	if i < 0 {
		return fmt.Errorf("stop: no load %s was begun in the background", s.Load)
	}
	b := st.backgrounds[i]
	st.backgrounds = slices.Delete(st.backgrounds, i, i+1)
	return b.end(true)
}

// end waits for the load, having stopped it or not. That it was stopped is no error.
func (b *background) end(stopped bool) error {
	if stopped {
		b.stop()
	}
	b.wait()
	b.stop()
	if stopped && errors.Is(b.err, context.Canceled) {
		return nil
	}
	return b.err
}
