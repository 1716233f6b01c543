package worker

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coinbench/history"
	"coinbench/services/settings"
)

// stage is where the time of a loop goes.
type stage int

const (
	stageThink stage = iota
	stageRNG
	stageHasher
	stageRedis
	stageOverhead
	stages
)

// classes are the classes of exceptions, in the order of preference.
var classes = []string{settings.Redis, "timeout", "dns", "refused", "reset", "eof", "other"}

// counts is what the worker has done. It is collected under one lock, so that the numbers of one scrape agree:
//
//	posted = counted + lost + unflushed + (0 or 1: a coin on its way into the wallet)
//
// A hash whose coin could not be kept counts as posted and lost, and its loop as not completed.
type counts struct {
	mu         sync.Mutex
	hashes     int
	lastHash   time.Time
	counted    int
	lost       int
	unflushed  int
	coins      int
	posts      int
	inLoop     bool // a hash was answered and its loop is not over
	errors     map[string]int
	backoffs   int
	backingOff bool
	silence    time.Duration // of the back-offs that are over
	since      time.Time     // the beginning of the one that is not
	stages     [stages]time.Duration
	times      [stages]int // that each stage was gone through
}

func newCounts() *counts { return &counts{errors: map[string]int{}} }

func (c *counts) spent(s stage, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stages[s] += d
	c.times[s]++
}

// posted counts an answer of hasher.
func (c *counts) posted(coin bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts++
	c.inLoop = true
	if coin {
		c.coins++
	}
}

// looped counts a completed loop.
func (c *counts) looped(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inLoop = false
	c.hashes++
	c.unflushed++
	c.lastHash = now
}

// flushed counts hashes that Redis knows of.
func (c *counts) flushed(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted += n
	c.unflushed -= n
}

// exception counts what an exception loses, and the beginning of the back-off.
func (c *counts) exception(class string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors[class]++
	c.lost += c.unflushed
	c.unflushed = 0
	if c.inLoop {
		c.lost++
		c.inLoop = false
	}
	c.backoffs++
	c.backingOff = true
	c.since = time.Now()
}

func (c *counts) backedOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence += time.Since(c.since)
	c.backingOff = false
}

// classify names the class of an exception.
func classify(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case isRedis(err):
		return settings.Redis
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "eof"
	default:
		return "other"
	}
}

var (
	hashesDesc    = prometheus.NewDesc(history.Hashes, "Loops completed.", nil, nil)
	lastHashDesc  = prometheus.NewDesc(history.LastHash, "Unix time at which the latest loop completed.", nil, nil)
	countedDesc   = prometheus.NewDesc(history.Counted, "Hashes that were added to Redis.", nil, nil)
	lostDesc      = prometheus.NewDesc(history.Lost, "Hashes done but never added to Redis, lost by an exception.", nil, nil)
	unflushedDesc = prometheus.NewDesc(history.Unflushed, "Hashes done and waiting for the next flush.", nil, nil)
	coinsDesc     = prometheus.NewDesc(history.Coins, "Hashes that start with 0.", nil, nil)
	postedDesc    = prometheus.NewDesc(history.Posted, "POSTs to hasher that were answered.", nil, nil)
	errorsDesc    = prometheus.NewDesc(history.WorkerErrors, "Exceptions, by class.", []string{"class"}, nil)
	backoffsDesc  = prometheus.NewDesc(history.Backoffs, "Times that the worker began to wait after an exception.", nil, nil)
	silenceDesc   = prometheus.NewDesc(history.Silence, "Seconds for which the worker waited after exceptions.", nil, nil)
	backingDesc   = prometheus.NewDesc(history.BackingOff, "1 while the worker waits after an exception.", nil, nil)
	stageDesc     = prometheus.NewDesc(history.StageSum, "Seconds spent, by stage of the loop.", []string{"stage"}, nil)
	timesDesc     = prometheus.NewDesc(history.StageCount, "Stages of the loop gone through.", []string{"stage"}, nil)
)

// Describe implements prometheus.Collector.
func (c *counts) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect implements prometheus.Collector.
func (c *counts) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	send := func(d *prometheus.Desc, t prometheus.ValueType, x float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, x, labels...)
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	send(hashesDesc, counter, float64(c.hashes))
	if !c.lastHash.IsZero() {
		send(lastHashDesc, gauge, float64(c.lastHash.UnixMicro())/1e6)
	} else {
		send(lastHashDesc, gauge, 0)
	}
	send(countedDesc, counter, float64(c.counted))
	send(lostDesc, counter, float64(c.lost))
	send(unflushedDesc, gauge, float64(c.unflushed))
	send(coinsDesc, counter, float64(c.coins))
	send(postedDesc, counter, float64(c.posts))
	for _, class := range classes {
		send(errorsDesc, counter, float64(c.errors[class]), class)
	}
	send(backoffsDesc, counter, float64(c.backoffs))
	backing, silence := 0.0, c.silence
	if c.backingOff {
		backing, silence = 1, silence+time.Since(c.since)
	}
	send(backingDesc, gauge, backing)
	send(silenceDesc, counter, silence.Seconds())
	for s, d := range c.stages {
		send(stageDesc, counter, d.Seconds(), settings.Stages()[s])
		send(timesDesc, counter, float64(c.times[s]), settings.Stages()[s])
	}
}
