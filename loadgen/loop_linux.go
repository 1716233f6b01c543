package loadgen

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop plays some clients of a closed workload on one thread: it waits for whatever happens first on any of their
// connections (epoll(7)), reads the answers and then writes those clients' next requests in the same turn. What a request costs
// is then little more than one read and one write. Writing comes last because a server that is woken by the first request would
// otherwise take the CPU, or find one request where it could have found all. Everything in it belongs to its goroutine, but
// for the bell.
//
// Sockets are watched edge by edge and registered once: nothing is to be told the kernel between requests. That loses no
// edge, because a read that fills less than the buffer has emptied the socket, and because the end of a stream is announced
// by an event of its own (EPOLLRDHUP).
type loop struct {
	e       *engine
	shard   *shard
	poll    int // the epoll instance
	bell    int // an eventfd that tells it that the load is cancelled, or a connection handed over
	events  []unix.EpollEvent
	buf     []byte // what was read last
	clients []client
	living  int
	end     time.Duration // requests that fall due from then on are not made
	again   []*client     // those whose request failed: they go on at the end of the turn, after the others had theirs
	spare   []*client     // what again was in the turn before
	outbox  []*client     // those whose request is to be written to a kept connection at the end of the turn
	memo    headMemo

	limits [phaseCount]deadlines
	large  bool            // a request may need more than one segment
	addrs  []unix.Sockaddr // of engine.addrs; nil: not known, or more than an address

	dials  sync.WaitGroup
	mu     sync.Mutex
	handed []dialled // by dials

	greedy bool          // it may hold its place while it waits (see holdWait), and works in batches
	spec   unix.Timespec // of epoll_pwait2, here because no pointer to a stack may go through a function value
	coarse bool          // there is no epoll_pwait2 here
}

// maxEvents bounds the events of one turn.
const maxEvents = 128

// loopable tells whether event loops can play the load: plain HTTP/1.1 over the machine's own network and clock.
func (e *engine) loopable() bool {
	return !e.viaNetHTTP && !e.secure && e.player.Dial == nil && e.player.Sleep == nil
}

// loops plays a closed workload on event loops; false: it cannot, and nothing was played.
//
// There is one loop for every two that Go may use at once (GOMAXPROCS), and no more than processors. A loop that waits holds its
// place in Go's eyes, and while no other place is idle the scheduler's watchdog looks every 20 us whether to take it away, which costs
// more than a second loop brings. A program that sends at the machine's limit sets GOMAXPROCS to twice the processors, which
// also allows a loop to be greedy.
func (e *engine) loops() bool {
	if !e.loopable() {
		return false
	}
	loops := make([]*loop, min(max(runtime.GOMAXPROCS(0)/2, 1), e.procs, e.w.Clients))
	for i := range loops {
		n := (e.w.Clients + i) / len(loops) // they add up to all
		l, err := newLoop(e, e.shards[i], n)
		if err != nil {
			for _, l := range loops[:i] {
				l.free()
			}
			return false
		}
		loops[i] = l
	}
	e.procs = len(loops)
	rung := make(chan struct{})
	unhook := context.AfterFunc(e.ctx, func() {
		for _, l := range loops {
			l.ring()
		}
		close(rung)
	})
	var wg sync.WaitGroup
	for _, l := range loops {
		wg.Go(l.run)
	}
	wg.Wait()
	if !unhook() {
		<-rung
	}
	for _, l := range loops {
		l.free()
	}
	return true
}

func newLoop(e *engine, s *shard, clients int) (*loop, error) {
	l := &loop{e: e, shard: s, clients: make([]client, clients), buf: make([]byte, maxHead), end: 1<<63 - 1,
		events: make([]unix.EpollEvent, min(clients+1, maxEvents)), outbox: make([]*client, 0, clients),
		greedy: runtime.GOMAXPROCS(0) >= 2*runtime.NumCPU()}
	if e.w.Duration > 0 {
		l.end = e.begin + e.w.Duration
	}
	for i := range e.addrs {
		a := &e.addrs[i]
		sa := sockaddr(a.direct)
		if e.player.Guard.address(a.hostPort, a.direct.Addr()) != nil {
			sa = nil // the dialer says why not
		}
		l.addrs = append(l.addrs, sa)
	}
	for i := range e.targets {
		l.large = l.large || len(e.targets[i].wire) > smallRequest
	}
	var err error
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, l.bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellIndex})
	}
	if err != nil {
		l.free()
		return nil, err
	}
	return l, nil
}

// bellIndex is the bell's, where events have the index of a client.
const bellIndex = -1

func (l *loop) free() {
	unix.Close(l.poll)
	if l.bell > 0 {
		unix.Close(l.bell)
	}
}

// ring wakes the loop to find its context done.
func (l *loop) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(l.bell, one[:])
}

// run plays until no client lives any more.
func (l *loop) run() {
	runtime.LockOSThread() // no other thread shall get between an event and its answer
	defer runtime.UnlockOSThread()
	if l.greedy {
		defer batch()()
	}
	l.start()
	for l.living > 0 && l.turn() {
	}
	l.dropHanded()
}

// batch makes this thread one that does not push another from its CPU when it is woken (SCHED_BATCH, sched(7)), until the
// function that it returns is called. A server on the same machine then answers all that it has before the loop reads any of it:
// a tenth to a third of the switches between the two. A system that refuses just switches more often.
func batch() (end func()) {
	was, err := unix.SchedGetAttr(0, 0)
	if err != nil || was.Policy != unix.SCHED_NORMAL {
		return func() {}
	}
	attr := *was
	attr.Policy = unix.SCHED_BATCH
	_ = unix.SchedSetAttr(0, &attr, 0)
	return func() { _ = unix.SchedSetAttr(0, was, 0) }
}

// start lets every client make its first request.
func (l *loop) start() {
	now := l.e.now()
	l.living = len(l.clients)
	for i := range l.clients {
		c := &l.clients[i]
		c.index, c.fd, c.spare, c.a.memo = int32(i), -1, -1, &l.memo
		l.request(c, now, now)
	}
}

// turn waits until something happens and deals with all that has; false: the load was cancelled.
func (l *loop) turn() bool {
	for i := range l.wait() {
		ev := &l.events[i]
		if ev.Fd != bellIndex {
			l.happened(&l.clients[ev.Fd], ev.Events)
			continue
		}
		if l.e.ctx.Err() != nil {
			l.cancel()
			return false
		}
		_, _ = unix.Read(l.bell, make([]byte, 8))
		l.takeOver()
	}
	if len(l.again) > 0 {
		failed := l.again
		l.again, l.spare = l.spare[:0], failed
		for _, c := range failed {
			l.next(c, c.o.done)
		}
	}
	l.expire()
	l.flush()
	return true
}

// flush writes the requests of this turn.
func (l *loop) flush() {
	for _, c := range l.outbox {
		c.o.sent = l.e.now()
		if t := l.e.w.Timeouts.Header; t > 0 {
			l.limits[heading].add(c, c.o.sent+t)
		}
		l.send(c)
	}
	l.outbox = l.outbox[:0]
}

// holdWait is how long a greedy loop waits without telling Go's scheduler, which under load is nearly always long enough. A
// loop that tells, before each wait, is followed by the scheduler's watchdog: a wake-up every 20 us, and some per cent of a CPU.
// Go can do without this place for so long, because it has as many others; and to stop the world it sends a signal.
const holdWait = 10 * time.Millisecond

// wait waits for the next event or deadline, and says how many events there are.
func (l *loop) wait() int {
	if len(l.again) > 0 {
		return l.collect(0, true)
	}
	if l.greedy {
		if left := l.left(); left < holdWait {
			return l.collect(left, true)
		} else if n := l.collect(holdWait, true); n > 0 {
			return n
		}
	}
	return l.collect(l.left(), false)
}

// left is the time until the next deadline, or never.
func (l *loop) left() time.Duration {
	until := never
	for i := range l.limits {
		if c := l.limits[i].first; c != nil {
			until = min(until, c.until)
		}
	}
	if until == never {
		return never
	}
	return max(until-l.e.now(), 0)
}

// collect gathers events, for which it waits at most d, with or without holding its place in Go's scheduler. It never ends
// early but for an event or a signal.
func (l *loop) collect(d time.Duration, hold bool) int {
	call := syscall.Syscall6
	if hold {
		call = syscall.RawSyscall6
	}
	poll, events, most := uintptr(l.poll), unsafe.Pointer(unsafe.SliceData(l.events)), uintptr(len(l.events))
	var n uintptr
	var errno syscall.Errno
	if d%time.Millisecond != 0 && d != never && !l.coarse {
		// The other call waits in milliseconds. This one counts nanoseconds; Linux has it since 5.11.
		l.spec = unix.NsecToTimespec(int64(d))
		n, _, errno = call(unix.SYS_EPOLL_PWAIT2, poll, uintptr(events), most, uintptr(unsafe.Pointer(&l.spec)), 0, 0)
		if errno != 0 && errno != unix.EINTR { // an old kernel lacks it, and an old container's filter says EPERM
			l.coarse = true
			return l.collect(d, hold)
		}
	} else {
		ms := -1
		if d != never {
			ms = int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
		}
		n, _, errno = call(unix.SYS_EPOLL_PWAIT, poll, uintptr(events), most, uintptr(ms), 0, 0)
	}
	if errno != 0 {
		return 0 // a signal
	}
	return int(n)
}

// expire deals with the deadlines that have passed.
func (l *loop) expire() {
	now := time.Duration(0)
	for i := range l.limits {
		d := &l.limits[i]
		if d.first == nil {
			continue
		}
		if now == 0 {
			now = l.e.now()
		}
		for c := d.passed(now); c != nil; c = d.passed(now) {
			switch phase(i) {
			case thinking:
				l.request(c, c.until, now)
			case connecting:
				l.fail(c, now, connectTimeout, errConnectTimeout)
			case heading:
				l.fail(c, now, headerTimeout, errHeaderTimeout)
			case bodying:
				l.fail(c, now, bodyTimeout, errBodyTimeout)
			}
		}
	}
}

// cancel ends every client, and with it the request that is in flight.
func (l *loop) cancel() {
	now := l.e.now()
	for i := range l.clients {
		c := &l.clients[i]
		if c.busy {
			l.record(c, now, cancelled, context.Canceled)
		}
		l.leave(c)
	}
}
