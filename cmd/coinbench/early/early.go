// Package early hears the signals that ask the program to end from its first moment on, before the packages that it is made of are
// ready, which takes a tenth of a second on a busy machine. Go makes packages ready in the order of their import paths, each once
// those that it imports are: this one comes before all that take time, because it imports next to nothing.
package early

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals are those that were heard since the program began: Ctrl-C, SIGTERM, and the terminal's end unless it is ignored, as nohup asks.
var Signals <-chan os.Signal = heard

var heard = listen()

func listen() chan os.Signal {
	c := make(chan os.Signal, 8)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c
}

// Stop leaves the signals to others: to those who asked for them by themselves, or to the system.
func Stop() { signal.Stop(heard) }
