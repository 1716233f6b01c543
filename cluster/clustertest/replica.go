package clustertest

import (
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Replica is a service of the app, for clusters that start this test program as `service NAME`: it returns the process's exit code when it
// was told to stop.
func Replica(name string) int {
	env := map[string]string{}
	for _, e := range os.Environ() {
		if k, v, ok := strings.Cut(e, "="); ok {
			env[k] = v
		}
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM)
	if err := services.Run(context.Background(), name, env, services.IO{
		Host: "host", Log: os.Stderr, Stop: stop, Stdin: os.Stdin,
		Announce: func() (io.WriteCloser, error) { return os.NewFile(3, "announcement"), nil },
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// Events collects what a cluster reports. Its methods may be called from several goroutines.
type Events struct {
	mu  sync.Mutex
	all []history.Event
}

// Add is a cluster.Sink.
func (e *Events) Add(x history.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

// List is all of them, in their order.
func (e *Events) List() []history.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// Count is how many are of a kind.
func (e *Events) Count(kind event.Payload) int {
	return len(slices.DeleteFunc(e.List(), func(x history.Event) bool { return !x.Is(kind) }))
}
