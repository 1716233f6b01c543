package main

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// timeout(1) sends its signal twice, at once; a person who asks again does so later.
func TestASignalThatComesTwiceIsOneRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  os.Signal
		apart  time.Duration
		killed bool
	}{
		{"timeout(1)", syscall.SIGTERM, time.Millisecond, false},
		{"a terminal's end", syscall.SIGHUP, 100 * time.Millisecond, false},
		{"Ctrl-C again", os.Interrupt, time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &interrupts{}
				killed := 0
				signals := make(chan os.Signal)
				go i.watch(signals, func() { killed++ })
				ctx, stop := process{interrupts: i}.interruptible()
				defer stop()
				signals <- c.first
				<-ctx.Done()
				time.Sleep(c.apart)
				signals <- c.first
				close(signals)
				synctest.Wait()
				if (killed > 0) != c.killed {
					t.Errorf("ended at once %d times", killed)
				}
			})
		})
	}
	i, killed := &interrupts{}, 0
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	close(signals)
	if i.watch(signals, func() { killed++ }); killed != 1 {
		t.Error("a program with nothing to put in order was not ended")
	}
}
