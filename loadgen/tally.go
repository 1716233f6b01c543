package loadgen

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"coinbench/history"
)

// window is the length of an interval of the record.
const window = time.Second

// tally sums up the requests of one window in one shard. Its histograms are made when they are first needed.
type tally struct {
	window   int64         // number of the window
	epoch    time.Duration // see history.Edges
	ok       int64
	bytes    int64
	received int64
	failures [classCount]int64
	replicas []int64 // by nameID
	versions []int64
	response *history.Histogram // of OK requests
	service  *history.Histogram // of OK requests
	givenUp  *history.Histogram // of requests whose answer was waited for no longer
	lag      *history.Histogram // of requests that a connection was free for: what they are late is the generator's fault
	waited   *history.Histogram // of requests that had to wait for a connection
	late     *history.Histogram // of those that had to wait or were dropped: when they began to wait - due, which is the generator's fault
	parts    []*tallyPart       // by number of a pair of names; nil: not met yet
	maxGap   time.Duration
	served   []history.Span
	lastFail time.Duration
}

// tallyPart is what is known of a replica of a version.
type tallyPart struct {
	ok       int64
	failures [classCount]int64
	response *history.Histogram
}

func (t *tally) reset(window int64, epoch time.Duration) {
	clear(t.replicas)
	clear(t.versions)
	for _, h := range []*history.Histogram{t.response, t.service, t.givenUp, t.lag, t.waited, t.late} {
		if h != nil && h.TotalCount() > 0 {
			h.Reset()
		}
	}
	for _, p := range t.parts {
		if p != nil {
			p.ok, p.failures = 0, [classCount]int64{}
			if p.response != nil {
				p.response.Reset()
			}
		}
	}
	*t = tally{window: window, epoch: epoch, served: t.served[:0], replicas: t.replicas, versions: t.versions, parts: t.parts,
		response: t.response, service: t.service, givenUp: t.givenUp, lag: t.lag, waited: t.waited, late: t.late}
}

func count(list *[]int64, id nameID) {
	if id == 0 {
		return
	}
	for len(*list) <= int(id) {
		*list = append(*list, 0)
	}
	(*list)[id]++
}

// add counts a request of which part is the number of its replica and version.
func (t *tally) add(o *outcome, part int) {
	if o.class == ok {
		t.ok++
		history.Observe(&t.response, o.done-o.due)
		history.Observe(&t.service, o.done-o.sent)
		t.served = history.Succeeded(t.served, o.done)
	} else {
		t.failures[o.class]++
		if o.class.class().GivenUp() {
			history.Observe(&t.givenUp, o.done-o.due)
		}
		if o.class != cancelled {
			t.lastFail = max(t.lastFail, o.done)
		}
	}
	switch {
	case o.class == dropped:
		history.Observe(&t.late, o.late)
	case o.waited:
		history.Observe(&t.waited, o.sent-o.due)
		history.Observe(&t.late, o.late)
	default:
		history.Observe(&t.lag, o.sent-o.due)
	}
	t.bytes += o.bytes
	t.received += o.received
	count(&t.replicas, o.replica)
	count(&t.versions, o.version)
	if part > 0 {
		t.part(part).add(o)
	}
}

func (t *tally) part(id int) *tallyPart {
	for len(t.parts) <= id {
		t.parts = append(t.parts, nil)
	}
	if t.parts[id] == nil {
		t.parts[id] = new(tallyPart)
	}
	return t.parts[id]
}

func (p *tallyPart) add(o *outcome) {
	if o.class == ok {
		p.ok++
		history.Observe(&p.response, o.done-o.due)
	} else {
		p.failures[o.class]++
	}
}

// shard gathers the outcomes of a group of connections: one short lock, no allocation while nothing new is met.
// When the first outcome of another window comes, the shard puts its tally aside for the collector by itself, so the
// borders of the intervals do not depend on when the collector runs.
type shard struct {
	e       *engine
	mu      sync.Mutex
	window  int64    // the one that is counted in
	current []*tally // of this window, by epoch; mostly one
	aside   []*tally
	spare   []*tally
	chunk   []outcome // requests to be kept one by one
	pairs   pairs
	_       [64]byte // no false sharing between shards
}

const chunkSize = 256

func (s *shard) record(o *outcome) {
	e := s.e
	if o.class == cancelled && o.done-o.due > e.patience {
		o.class = noAnswer
	}
	var gap time.Duration
	if o.class == ok {
		// The gap is between successes of the whole load, whichever shard saw them.
		if gap = o.done - time.Duration(e.lastOK.Swap(int64(o.done))); gap < 0 {
			gap = 0
		}
	}
	win := int64((o.done - e.begin) / window)
	epoch := e.edges.Epoch(o.due)
	keep := o.seq < e.maxSamples
	if !keep && o.class != ok && e.failuresKept.Load() < e.maxFailures {
		keep = e.failuresKept.Add(1) <= e.maxFailures
	}
	s.mu.Lock()
	if win > s.window { // an older one counts in the current window: it was late for its own
		s.rotate(win)
	}
	t := s.tally(epoch)
	if o.class != ok && o.class != cancelled {
		e.edges.Fail(o.done)
	}
	t.add(o, s.pairs.id(e, o.replica, o.version))
	t.maxGap = max(t.maxGap, gap)
	if keep {
		s.chunk = append(s.chunk, *o)
		if len(s.chunk) == cap(s.chunk) {
			s.chunk = e.kept.swap(s.chunk)
		}
	}
	s.mu.Unlock()
}

// rotate puts the tallies of the current window aside and begins another. The lock is held.
func (s *shard) rotate(win int64) {
	s.aside = append(s.aside, s.current...)
	s.current, s.window = s.current[:0], win
}

// tally is the one of an epoch in the current window. The lock is held.
func (s *shard) tally(epoch time.Duration) *tally {
	for n := len(s.current) - 1; n >= 0; n-- {
		if s.current[n].epoch == epoch {
			return s.current[n]
		}
	}
	t := new(tally)
	if n := len(s.spare); n > 0 {
		t, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	t.reset(s.window, epoch)
	s.current = append(s.current, t)
	return t
}

// kept passes full chunks of outcomes to the collector, and empty ones back. What waits here is bounded by
// Workload.MaxSamples and MaxFailures.
type kept struct {
	mu    sync.Mutex
	full  [][]outcome
	empty [][]outcome
	ready chan struct{} // capacity 1
}

// swap takes a chunk and gives an empty one.
func (k *kept) swap(c []outcome) []outcome {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(c) > 0 {
		k.full = append(k.full, c)
		select {
		case k.ready <- struct{}{}:
		default:
		}
	}
	if n := len(k.empty); n > 0 {
		c, k.empty = k.empty[n-1], k.empty[:n-1]
		return c
	}
	return make([]outcome, 0, chunkSize)
}

func (k *kept) take() [][]outcome {
	k.mu.Lock()
	defer k.mu.Unlock()
	full := k.full
	k.full = nil
	return full
}

func (k *kept) giveBack(c []outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.empty) < 16 {
		clear(c)
		k.empty = append(k.empty, c[:0])
	}
}

// totals are what LoadEndRecord needs of the whole load; only the collector touches them.
type totals struct {
	ok       int64
	received int64 // bytes, with headers
	failures [classCount]int64
	waited   int64              // requests that had to wait for a connection
	late     *history.Histogram // see history.Interval
	service  *history.Histogram
	maxGap   time.Duration
	samples  int64
	replicas map[string]int64
}

// collector merges the shards once a second and feeds the Recorder. One goroutine.
type collector struct {
	e       *engine
	rec     Recorder
	next    int64                         // window to be written next
	pending map[int64][]*history.Interval // by window: one for each epoch, in their order
	totals  totals
	sample  history.Sample
}

// writeKept hands the kept requests that are ready to the recorder.
func (c *collector) writeKept() error {
	for _, chunk := range c.e.kept.take() {
		for i := range chunk {
			c.e.sample(&chunk[i], &c.sample)
			c.totals.samples++
			if err := c.rec.Sample(c.sample); err != nil {
				return err
			}
		}
		c.e.kept.giveBack(chunk)
	}
	return nil
}

// gather takes what the shards hold of windows before win.
func (c *collector) gather(win int64) {
	for _, s := range c.e.shards {
		s.mu.Lock()
		if s.window < win {
			s.rotate(win)
		}
		aside := s.aside
		s.aside = nil
		if len(s.chunk) > 0 {
			s.chunk = c.e.kept.swap(s.chunk)
		}
		s.mu.Unlock()
		for _, t := range aside {
			c.merge(t)
		}
		s.mu.Lock()
		for _, t := range aside {
			if len(s.spare) == 0 {
				s.spare = append(s.spare, t)
			}
		}
		s.mu.Unlock()
	}
}

// interval returns the interval that is being put together for a window and an epoch.
func (c *collector) interval(win int64, epoch time.Duration) *history.Interval {
	win = max(win, c.next)
	all := c.pending[win]
	at, known := slices.BinarySearchFunc(all, epoch, func(i *history.Interval, epoch time.Duration) int { return cmp.Compare(i.Epoch, epoch) })
	if known {
		return all[at]
	}
	iv := &history.Interval{
		At: c.e.begin + time.Duration(win)*window, Length: window, Epoch: epoch,
		Failures: map[history.Class]int64{}, Replicas: map[string]int64{}, Versions: map[string]int64{},
		Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram(), Late: history.NewHistogram(),
	}
	c.pending[win] = slices.Insert(all, at, iv)
	return iv
}

func (c *collector) merge(t *tally) {
	iv := c.interval(t.window, t.epoch)
	iv.OK += t.ok
	iv.Due += t.ok
	iv.Bytes += t.bytes
	iv.Received += t.received
	iv.MaxGap = max(iv.MaxGap, t.maxGap)
	iv.Served = history.Unite(iv.Served, t.served)
	iv.LastFail = max(iv.LastFail, t.lastFail)
	c.totals.ok += t.ok
	c.totals.received += t.received
	c.totals.maxGap = max(c.totals.maxGap, t.maxGap)
	for id, n := range t.failures {
		if n > 0 {
			iv.Failures[classID(id).class()] += n
			iv.Due += n
			c.totals.failures[id] += n
		}
	}
	for id, n := range t.replicas {
		if n > 0 {
			name := c.e.replicas.name(nameID(id))
			iv.Replicas[name] += n
			c.totals.replicas[name] += n
		}
	}
	for id, n := range t.versions {
		if n > 0 {
			iv.Versions[c.e.versions.name(nameID(id))] += n
		}
	}
	for id, p := range t.parts {
		if p == nil || p.ok == 0 && p.failures == [classCount]int64{} {
			continue
		}
		c.e.mu.Lock()
		to := iv.Part(c.e.parts.Names(id))
		c.e.mu.Unlock()
		part := history.Part{OK: p.ok, Response: p.response}
		for id, n := range p.failures {
			if n > 0 {
				if part.Failures == nil {
					part.Failures = map[history.Class]int64{}
				}
				part.Failures[classID(id).class()] = n
			}
		}
		to.Merge(part)
	}
	add := func(to, from *history.Histogram) {
		if from != nil && from.TotalCount() > 0 {
			to.Merge(from)
		}
	}
	add(iv.Response, t.response)
	add(iv.Service, t.service)
	if t.givenUp != nil && t.givenUp.TotalCount() > 0 {
		if iv.GivenUp == nil {
			iv.GivenUp = history.NewHistogram()
		}
		add(iv.GivenUp, t.givenUp)
	}
	add(iv.Lag, t.lag)
	add(iv.Lag, t.waited)
	for _, h := range []*history.Histogram{t.lag, t.late} {
		add(iv.Late, h)
		add(c.totals.late, h)
	}
	add(c.totals.service, t.service)
	if t.waited != nil {
		c.totals.waited += t.waited.TotalCount()
	}
}

// write hands every interval before win to the recorder, empty ones included.
func (c *collector) write(win int64) error {
	if err := c.writeKept(); err != nil {
		return err
	}
	for ; c.next < win; c.next++ {
		if err := c.record(c.next); err != nil {
			return err
		}
	}
	return nil
}

// record hands the intervals of a window to the recorder, an empty one where there is none.
func (c *collector) record(win int64) error {
	if len(c.pending[win]) == 0 {
		c.interval(win, c.e.edges.Epoch(c.e.begin+time.Duration(win)*window))
	}
	for _, iv := range c.pending[win] {
		if iv.Until = c.e.edges.Until(iv.Epoch); iv.Until > iv.At+iv.Length {
			iv.Until = 0 // as if it were written at its end
		}
		if err := c.rec.Interval(*iv); err != nil {
			return err
		}
	}
	delete(c.pending, win)
	return nil
}

// settle is how long after the end of a window the collector waits for requests that ended within it.
const settle = 5 * time.Millisecond

// run collects until done is closed, then writes what is left; end tells when the load ended.
func (c *collector) run(done <-chan struct{}, end *atomic.Int64) error {
	e := c.e
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		timer.Reset(e.begin + time.Duration(c.next+1)*window + settle - e.now())
		select {
		case <-e.kept.ready:
			if err := c.writeKept(); err != nil {
				return err
			}
		case <-timer.C:
			win := int64((e.now() - settle - e.begin) / window)
			if end.Load() != 0 { // a busy machine: by now the load is over
				<-done
				return c.finish(time.Duration(end.Load()))
			}
			c.gather(win)
			if err := c.write(win); err != nil {
				return err
			}
		case <-done:
			return c.finish(time.Duration(end.Load()))
		}
	}
}

// finish writes the rest: whole windows, and the part of one in which the load ended.
func (c *collector) finish(end time.Duration) error {
	last := max(int64(max(end-c.e.begin, 0)/window), c.next-1) // what is written already stays
	c.gather(last + 2)                                         // whatever was stamped later than the end counts in the last interval
	if late := c.pending[last+1]; len(late) > 0 {
		end = max(end, late[0].At+time.Millisecond)
		last++
	}
	if err := c.write(last); err != nil {
		return err
	}
	quiet := history.LoadEndRecord{End: end, Ceased: c.e.cease(end)}.Quiet()
	gap := quiet - time.Duration(c.e.lastOK.Load()) // no success as long as requests fell due
	c.totals.maxGap = max(c.totals.maxGap, gap)
	at := c.e.begin + time.Duration(last)*window
	if last < c.next || end <= at && len(c.pending[last]) == 0 {
		return nil
	}
	if len(c.pending[last]) == 0 {
		c.interval(last, c.e.edges.Epoch(at))
	}
	for _, iv := range c.pending[last] {
		iv.Length = end - iv.At
	}
	final := c.pending[last][len(c.pending[last])-1]
	final.MaxGap = max(final.MaxGap, gap)
	return c.record(last)
}
