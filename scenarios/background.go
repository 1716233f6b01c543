package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
	"coinbench/loadgen"
)

// background is a load that goes on alongside the steps that follow its own.
type background struct {
	name string
	open bool // it has no end of its own
	stop context.CancelFunc
	wait func()
	err  error // once wait has returned
}

// loadBeside begins a load and returns when it has begun. An open one ends when the last step has.
func (st *stage) loadBeside(ctx context.Context, service string, w loadgen.Workload, open bool) {
	ctx, stop := context.WithCancel(ctx)
	b := &background{name: w.Name, open: open, stop: stop}
	begun := make(chan struct{})
	b.wait = st.spawn(func() {
		b.err = st.loadFrom(ctx, service, w, func() { close(begun) })
		select {
		case <-begun:
		default:
			close(begun)
		}
		if ctx.Err() == nil && b.err != nil { // what the following steps shall show is lost
			st.stop(fmt.Errorf("load %s in the background: %w", b.name, b.err))
		}
	})
	st.backgrounds = append(st.backgrounds, b)
	if _, ok := st.cluster.(cluster.VirtualClock); !ok {
		<-begun
		return
	}
	// Virtual time passes only while everyone waits by the cluster's clock, the load too until it has begun.
	for d := time.Duration(0); ; d = time.Millisecond {
		select {
		case <-begun:
			return
		default:
		}
		if st.cluster.Sleep(ctx, d) != nil {
			b.wait()
			return
		}
	}
}

// settle waits for the loads in the background, having stopped those without an end; all: those with one as well.
func (st *stage) settle(all bool) error {
	var errs []error
	for _, b := range st.backgrounds {
		stopped := all || b.open
		if !stopped {
			st.doing("waiting for the end of the load %s", b.name)
		}
		errs = append(errs, b.end(stopped))
	}
	st.backgrounds = nil
	return errors.Join(errs...)
}
