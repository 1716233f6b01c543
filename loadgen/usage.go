package loadgen

import (
	"runtime"
	"runtime/debug"
	"time"
)

// resources are what this process has used since it began, or during a load. What a system does not tell is 0.
type resources struct {
	cpu     time.Duration // user and system
	pause   time.Duration // the garbage collector stopped the world
	starved time.Duration // threads were ready to run and had no CPU
}

func usage() resources {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	return resources{cpu: cpuTime(), pause: gc.PauseTotal, starved: starved()}
}

func (r resources) minus(b resources) resources {
	return resources{cpu: r.cpu - b.cpu, pause: r.pause - b.pause, starved: max(r.starved-b.starved, 0)}
}

// procs is how many CPUs this process can use.
func procs() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }
