package loadgen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/internal/visible"
)

// The limits past which a load's numbers are not the server's. Beyond an Invalid one the numbers must not be used; beyond
// a Warning one the reader must know.
const (
	// InvalidLag bounds the 99th percentile of what the generator itself added: sent - due of the requests of an open
	// workload that did not wait for a connection, and the pacer's own delay. Where the median service time is long, lag up
	// to InvalidLagShare of it is harmless.
	InvalidLag      = 5 * time.Millisecond
	InvalidLagShare = 0.05
	WarnLag         = time.Millisecond

	// InvalidCPU bounds the share of the CPUs that the generator may use (its own CPU time / (time * CPUs), where event
	// loops are a CPU each and everything else has GOMAXPROCS).
	InvalidCPU = 0.95
	WarnCPU    = 0.80

	// InvalidPause bounds the share of the time in which the garbage collector stopped the generator.
	InvalidPause = 0.05
	WarnPause    = 0.01

	// WarnStarved bounds the share of the time that the generator's threads were ready to run and had no CPU.
	WarnStarved = 0.5

	// WarnShare is how far a replica's share of the answers may be from even while connections are kept.
	WarnShare = 0.25
)

// unreadAnswers is the judgement of answers of the class history.Unread.
const unreadAnswers = "%d answers are in a transfer coding that Go's net/http does not read, though they are legal: leave out " +
	"redirects, proxies, HTTP/2 and vegeta's engine, and they are read"

// judgeInput is what the judgement of a load rests on.
type judgeInput struct {
	w        Workload
	elapsed  time.Duration
	procs    int                // CPUs that the generator could use
	used     resources          // by this process during the load
	late     *history.Histogram // see history.Interval
	service  *history.Histogram
	totals   *totals
	max      int   // connections that were allowed
	opened   int64 // connections
	retried  int64 // connections whose time to connect says that their SYN was sent again
	noPorts  int64 // connections that failed for want of a port
	noFiles  int64 // and of a file descriptor
	ports    int   // ephemeral ports of this system; 0: unknown
	loopback bool
}

// judgement says what is wrong with the generator's part in a load.
func judgement(f judgeInput) (invalid, warnings []string) {
	bad := func(format string, args ...any) { invalid = append(invalid, fmt.Sprintf(format, args...)) }
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	t := f.totals

	if f.w.Schedule != "" {
		limit := InvalidLag
		if f.service != nil && f.service.TotalCount() > 0 {
			limit = max(limit, time.Duration(InvalidLagShare*float64(f.service.ValueAtPercentile(50))))
		}
		lag := quantile(f.late, 99)
		switch {
		case lag > limit:
			bad("the generator sent late: lag p99 is %v, the limit %v: lower the rate, free the machine's CPUs, or run the generator on a "+
				"machine of its own", spoken(lag), spoken(limit))
		case lag > WarnLag:
			warn("lag p99 is %v: on an idle machine it is under %v", spoken(lag), spoken(WarnLag))
		}
		if n, most := above(f.late, limit); n > 0 && lag <= limit {
			warn("the generator itself sent %d of %d requests (%.2g %%) more than %v late, up to %v: percentiles beyond p%.4g, the maximum and "+
				"the longest time without a success include that",
				n, t.due(), 100*float64(n)/float64(t.due()), spoken(limit), spoken(most), 100-100*float64(n)/float64(t.due()))
		}
		if t.waited > 0 {
			warn("%d of %d requests waited because all %d connections were busy: response time includes the waiting, service time does not",
				t.waited, t.due(), f.max)
		}
		if n := t.failures[dropped]; n > 0 {
			warn("%d of %d requests were dropped: the backlog was full or the load ended while they waited; they are in no latency", n, t.due())
		}
	}

	if wall := f.elapsed.Seconds(); wall > 0.5 { // too short a time says nothing
		if share := f.used.cpu.Seconds() / (wall * float64(f.procs)); share > InvalidCPU {
			bad("the generator used %.0f %% of its %s: it was the bottleneck: lower the load, or give it more CPUs or a machine of its own",
				100*share, cpus(f.procs))
		} else if share > WarnCPU {
			warn("the generator used %.0f %% of its %s: a higher load would measure the generator", 100*share, cpus(f.procs))
		}
		if share := f.used.pause.Seconds() / wall; share > InvalidPause {
			bad("the garbage collector stopped the generator for %.1f %% of the time: lower the number of kept samples or connections, or raise "+
				"GOGC", 100*share)
		} else if share > WarnPause {
			warn("the garbage collector stopped the generator for %.1f %% of the time", 100*share)
		}
		if share := f.used.starved.Seconds() / wall; share > WarnStarved {
			warn("the generator's threads waited %.1f s for a CPU within %.1f s: other processes, the server under test among them, kept the "+
				"machine busy", f.used.starved.Seconds(), wall)
		}
	}

	if n := t.failures[unread]; n > 0 {
		bad(unreadAnswers, n)
	}
	if f.noPorts > 0 {
		bad("%d connections failed because this machine's ephemeral ports ran out: keep connections, use more target addresses, or widen "+
			"net.ipv4.ip_local_port_range", f.noPorts)
	} else if perMinute := 60 * float64(f.opened) / max(f.elapsed.Seconds(), 1); f.ports > 0 && !f.loopback && perMinute > float64(f.ports) {
		warn("%.0f new connections a minute with %d ephemeral ports, each of which may rest a minute after use: a longer load may run out of "+
			"them: keep connections or widen net.ipv4.ip_local_port_range", perMinute, f.ports)
	}
	if f.noFiles > 0 {
		bad("%d connections failed because the limit of open files was reached: raise it (ulimit -n) or use fewer connections", f.noFiles)
	}
	if f.retried > 0 {
		warn("%d of %d connections took about 1, 3 or 7 s to open: their SYN was lost and sent again, which means a full accept queue or a "+
			"lossy path, not a slow answer", f.retried, f.opened)
	}
	if text := pinned(f.w, t.replicas); text != "" {
		warn("%s", text)
	}
	return invalid, warnings
}

func cpus(n int) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

// pinned says whether kept connections have tied the load to some replicas.
func pinned(w Workload, replicas map[string]int64) string {
	if w.Reuse.PerRequest || len(replicas) < 2 {
		return ""
	}
	var sum int64
	for _, n := range replicas {
		sum += n
	}
	even := float64(sum) / float64(len(replicas))
	if even < 50 { // too few answers to speak of a share
		return ""
	}
	var list []string
	uneven := false
	for name, n := range replicas {
		list = append(list, fmt.Sprintf("%s %.0f %%", name, 100*float64(n)/float64(sum)))
		uneven = uneven || float64(n) < (1-WarnShare)*even || float64(n) > (1+WarnShare)*even
	}
	if !uneven {
		return ""
	}
	slices.Sort(list)
	if len(list) > 10 {
		list = append(list[:10], "...")
	}
	return fmt.Sprintf("kept connections pin the load: the answers came unevenly from %d replicas (%s): a connection stays with its "+
		"replica, so replicas that join later get none of it: use a new connection per request, or bound requests or age per "+
		"connection", len(replicas), strings.Join(list, ", "))
}

func (t *totals) due() int64 {
	n := t.ok
	for _, f := range t.failures {
		n += f
	}
	return n
}

// above is how many of a histogram's times are longer than a limit, and the longest.
func above(h *history.Histogram, limit time.Duration) (n int64, longest time.Duration) {
	if h == nil {
		return 0, 0
	}
	for v, k := range h.ForEachBucket {
		if time.Duration(v) > limit {
			n += k
		}
	}
	return n, time.Duration(h.Max())
}

func quantile(h *history.Histogram, q float64) time.Duration {
	if h == nil || h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.ValueAtPercentile(q))
}

// spoken is a length of time in the unit that a person would say.
func spoken(d time.Duration) string { return visible.Seconds(d.Seconds()) }

// retransmitted tells whether a time to connect shows that the SYN was sent again: it is repeated after 1 s, then after 2 s
// more, then 4 s more (RFC 6298, section 2 and 5.5), and the answer comes soon after.
func retransmitted(connect time.Duration) bool {
	for _, at := range []time.Duration{time.Second, 3 * time.Second, 7 * time.Second} {
		if connect > at-50*time.Millisecond && connect < at+300*time.Millisecond {
			return true
		}
	}
	return false
}

// endRecord closes the record.
func (e *engine) endRecord(c *collector, end time.Duration, before resources) history.LoadEndRecord {
	t := &c.totals
	due := t.due()
	after := usage()
	f := judgeInput{
		w: e.w, elapsed: end - e.begin, procs: e.procs, used: after.minus(before), late: t.late, service: t.service,
		totals: t, max: e.w.Connections, opened: e.opened.Load(), retried: e.retried.Load(), noPorts: e.noPorts.Load(),
		noFiles: e.noFiles.Load(), ports: ephemeralPorts(), loopback: e.toLoopback(),
	}
	if f.max == 0 {
		f.max = defaultConnections
	}
	r := history.LoadEndRecord{
		End: end, Ceased: e.cease(end), Due: due, OK: t.ok, Failed: due - t.ok, InFlight: t.failures[noAnswer] +
			t.failures[cancelled], MaxGap: t.maxGap,
		CPUSeconds: f.used.cpu.Seconds(), SamplesKept: t.samples,
		FailuresKept: min(e.failuresKept.Load(), max(e.maxFailures, 0)),
	}
	r.ReceivedBytes = t.received
	if name := e.server.Load(); name != nil {
		r.Server = *name
	}
	r.Invalid, r.Warnings = judgement(f)
	r.Warnings = append(r.Warnings, e.notes...)
	return r
}
