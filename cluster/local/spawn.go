package local

import (
	"os/exec"
	"runtime"
)

// spawner starts processes from one operating system thread that lives as long as it: on Linux, the signal that kills a
// child after its parent follows the thread that started the child, not the process.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// start is cmd.Start.
func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread. What it started and still runs is killed by the kernel, where it can.
func (s *spawner) close() {
	close(s.jobs)
	<-s.done
}
