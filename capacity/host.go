package capacity

import (
	"fmt"
	"time"

	"coinbench/history"
)

// hostService is the name under which the machine's own counters are read.
const hostService = "host"

// HostUse is what the processors of the machine did within a window.
type HostUse struct {
	Busy float64 `json:"busy"` // share of the processors that anything used, 0..1
	Own  float64 `json:"own"`  // share that the app and the process that measures used, 0..1
	// share by which the app's delays lasted longer than they were to; absent: nothing of the app slept
	Late *float64 `json:"late,omitempty"`
	// share of the time in which something was ready to run and had to wait, 0..1; absent: the kernel does not say
	Pressure *float64 `json:"pressure,omitempty"`

	engines bool // engines and their health checks run besides the app, and are a part of what is measured
}

// The limits beyond which a window says more about the machine than about the app. The app's work is made of sleeping, so how late
// its sleeps end is what the machine does to it: 0.1 % on a free one, 0.6 % on a Swarm of three engines on two processors whose
// containers come first, 10 % (and a fifth of the hash rate) where they do not. Where nothing slept, what waits for a processor is
// the only sign: a whole app of 17 processes on a free machine was measured at a pressure below 0.05.
const (
	mostLate     = .05 // delays lasted longer by this share: the hash rate is lower by about as much, or more where services queue
	warnLate     = .01
	mostPressure = .50 // something waits for a processor in this share of the time; at .99 the app was measured 5 % slow
	mostCrowding = .70 // the same where engines run too: three of them on two idle processors make .55, and the app is not slower
	mostBusy     = .90 // where the kernel keeps no account of waiting
	mostForeign  = .10 // share of the processors that other programs may use before they are to blame
)

// HostDuring is the use of the machine between two instants of a run; nil: it was not read.
func HostDuring(run *history.Run, begin, end time.Duration) *HostUse {
	return host(newSeries(run), begin, end)
}

// host returns the use of the machine between two instants, or nil where it was not read.
func host(s series, begin, end time.Duration) *HostUse {
	for _, t := range s.of(hostService) {
		sp, ok := t.between(begin, end)
		if !ok || sp.delta(history.HostCPU) <= 0 {
			continue
		}
		offered := sp.delta(history.HostCPU)
		u := &HostUse{Busy: sp.delta(history.HostBusy) / offered, engines: s.engines}
		if _, known := sp.last.Values.Get(history.HostPressure); known {
			u.Pressure = ptr(sp.delta(history.HostPressure) / sp.seconds())
		}
		var asked, late float64
		for _, t := range s.tasks {
			if sp, ok := t.between(begin, end); ok {
				u.Own += sp.delta(history.ProcessCPU) / offered
				asked += sp.delta(history.Slept)
				late += sp.delta(history.SleptLate)
			}
		}
		if asked > 0 {
			u.Late = ptr(late / asked)
		}
		return u
	}
	return nil
}

// disturbed says why a window's numbers are those of a machine that was too busy with other things, or "".
func (u *HostUse) disturbed() string {
	if u == nil || u.Busy-u.Own < mostForeign {
		return ""
	}
	if u.Late != nil {
		if *u.Late > mostLate {
			return fmt.Sprintf("the app's delays lasted %s longer than they were to, and other programs used %s of the processors: stop them, or "+
				"use a quieter machine",
				percent(*u.Late), percent(u.Busy-u.Own))
		}
		return ""
	}
	most := mostPressure
	if u.engines {
		most = mostCrowding
	}
	if u.Pressure != nil && *u.Pressure > most {
		return fmt.Sprintf("processes waited for a processor in %s of the time, and other programs used %s of the processors: stop them, or "+
			"use a quieter machine",
			percent(*u.Pressure), percent(u.Busy-u.Own))
	}
	if u.Pressure == nil && u.Busy > mostBusy {
		return fmt.Sprintf("the processors were busy %s of the time, %s with other programs: stop them, or use a quieter machine",
			percent(u.Busy), percent(u.Busy-u.Own))
	}
	return ""
}
