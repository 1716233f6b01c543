package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"coinbench/cmd/coinbench/early"
)

// interrupts passes on what asks the program to end: to what is happening, which ends in order, or to the program, when there is nothing
// to be put in order or it was asked before.
type interrupts struct {
	mu      sync.Mutex
	running []*context.CancelFunc
}

// sameRequest is within which time a further signal is the same request: timeout(1) signals its command and then the command's group, and
// a terminal that closes is announced by the kernel and by the shell.
const sameRequest = 500 * time.Millisecond

// watch ends the program by die where nothing else can be ended.
func (i *interrupts) watch(signals <-chan os.Signal, die func()) {
	var asked time.Time // when what was running was last asked to end
	for range signals {
		i.mu.Lock()
		running := i.running
		i.running = nil
		i.mu.Unlock()
		switch {
		case len(running) > 0:
			asked = time.Now()
		case asked.IsZero() || time.Since(asked) > sameRequest:
			die()
		}
		for _, stop := range running {
			(*stop)()
		}
	}
}

// interruptible is a context that ends with Ctrl-C, SIGTERM, or the terminal's end. A second one, a moment later, ends the process at once.
func (p process) interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	i := p.interrupts
	if i == nil {
		return ctx, stop
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = append(i.running, &stop)
	return ctx, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.running = slices.DeleteFunc(i.running, func(other *context.CancelFunc) bool { return other == &stop })
		stop()
	}
}

// terminable is the context of a command that coinbench starts itself: it ends when that tells it to.
func terminable() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	early.Stop()
	return ctx, stop
}
