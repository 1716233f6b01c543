package openmetrics

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// Metrics takes a run's history in, as a history.Follower, and holds its metrics. It is used by one goroutine at a time.
type Metrics struct {
	run      string
	past     bool // keep what was, for an export
	known    map[string]*Family
	families map[string]map[string]*series // by name and labels
	end      time.Duration

	loads    []string
	tasks    map[string]*task
	counts   map[[3]string]float64 // of replicas, by service, state and version
	strategy map[string]string     // of the rollout in progress, by service
	faults   map[string][]string   // kinds of faults in force, by task, slot or node
	active   map[[2]string]float64 // faults, by service and kind
}

// task is a replica's life.
type task struct {
	service, slot, version, state string

	exported map[string]*series // by their names in readings
}

// The states of a task that is there.
const (
	starting = "starting"
	running  = "running"
	stopping = "stopping"
)

// series is a metric with its labels.
type series struct {
	family *Family
	suffix string // of a summary's part
	labels []label
	held   bool // its value holds from one point to the next, and until it ends
	ended  bool

	points  []point    // the latest alone, unless the past is kept
	times   *times     // of a histogram
	buckets [][]uint64 // of a histogram, at each point: cumulative, by bound, then all
}

type label struct{ name, value string }

// point is a value at an instant.
type point struct {
	ms    int64   // since the run's start
	value float64 // of a histogram: the sum
	last  bool    // of a series that ended
}

// times are what a histogram counts.
type times struct {
	counts []uint64 // by bound, then beyond
	sum    float64  // seconds
}

// New is the metrics of a run as a scrape sees them, at the latest instant that was taken in.
func New(m history.Manifest, run string) *Metrics {
	metrics := newMetrics(run, false)
	metrics.begin(m)
	return metrics
}

func newMetrics(run string, past bool) *Metrics {
	m := &Metrics{run: run, past: past, known: map[string]*Family{}, families: map[string]map[string]*series{}, tasks: map[string]*task{},
		counts: map[[3]string]float64{}, strategy: map[string]string{}, faults: map[string][]string{}, active: map[[2]string]float64{}}
	for _, f := range Families() {
		m.known[f.Name] = &f
	}
	return m
}

func (m *Metrics) begin(of history.Manifest) {
	m.set(0, RunInfo, 1, label{"scenario", of.Scenario}, label{"cluster", of.Cluster}, label{"coinbench", of.Coinbench},
		label{"seed", strconv.FormatUint(of.Seed, 10)}, label{"simulated", strconv.FormatBool(of.Simulated)})
	for _, p := range event.Kinds() { // so that a rate of rare ones begins at 0
		m.set(0, Events, 0, label{"kind", string(p.Kind())})
	}
}

// RunName is what the label run says of a run's folder: bottleneck/20261128T090000Z.
func RunName(scenario, folder string) string { return scenario + "/" + folder }

// Event takes in what happened.
func (m *Metrics) Event(e history.Event) {
	at, service := e.At, label{"service", e.Service}
	kind := label{"kind", string(e.Payload.Kind())}
	m.set(at, Events, m.latest(Events, kind)+1, kind)
	switch p := e.Payload.(type) {
	case event.StepBegin:
		m.set(at, Step, 1, label{"step", strconv.Itoa(e.Step)}, label{"verb", p.Verb})
	case event.StepEnd:
		m.stop(at, Step, label{"step", strconv.Itoa(e.Step)}, label{"verb", p.Verb})
	case event.WindowBegin:
		m.set(at, Window, 1, label{"window", p.Name})
	case event.WindowEnd:
		m.stop(at, Window, label{"window", p.Name})
	case event.ServiceDeployed:
		m.set(at, ReplicasDesired, float64(p.Replicas), service)
	case event.ServiceUpdated:
		m.set(at, ReplicasDesired, float64(p.Replicas), service)
	case event.ServiceScaled:
		m.set(at, ReplicasDesired, float64(p.To), service)
	case event.ServiceRemoved:
		m.stop(at, ReplicasDesired, service)
	case event.RolloutBegin:
		m.rolled(at, e.Service)
		m.strategy[e.Service] = cmp.Or(p.Strategy, "rolling")
		m.set(at, RolloutActive, 1, service, label{"strategy", m.strategy[e.Service]})
	case event.RolloutEnd:
		m.rolled(at, e.Service)
	case event.NodeCut:
		m.fault(at, "node "+p.Node, "", "cut")
	case event.NodeMended:
		m.mended(at, "node "+p.Node, "", "cut")
	case event.NodeDrained:
		m.fault(at, "node "+p.Node, "", "drained")
	case event.NodeActivated:
		m.mended(at, "node "+p.Node, "", "drained")
	default:
		m.taskEvent(e)
	}
}

func (m *Metrics) rolled(at time.Duration, service string) {
	if s, ok := m.strategy[service]; ok {
		m.stop(at, RolloutActive, label{"service", service}, label{"strategy", s})
		delete(m.strategy, service)
	}
}

// taskEvent takes in what happened to a task.
func (m *Metrics) taskEvent(e history.Event) {
	at := e.At
	place, _, _ := strings.Cut(e.Task, "#")
	switch p := e.Payload.(type) {
	case event.TaskStarted:
		m.tasks[e.Task] = &task{service: e.Service, slot: slotOf(place), version: p.Version, exported: map[string]*series{}}
		m.move(at, e.Task, starting)
	case event.TaskJoined:
		m.mended(at, place, e.Service, "killed")
		m.move(at, e.Task, running)
	case event.TaskLeft:
		if t := m.tasks[e.Task]; t != nil && t.state == running {
			m.move(at, e.Task, starting) // out of rotation, and may come back
		}
	case event.TaskStopping:
		m.move(at, e.Task, stopping)
	case event.TaskGone:
		for _, kind := range slices.Clone(m.faults[e.Task]) {
			m.mended(at, e.Task, e.Service, kind)
		}
		m.move(at, e.Task, "")
	case event.TaskKilled:
		m.fault(at, place, e.Service, "killed") // until its slot serves again
	case event.TaskPaused:
		m.fault(at, e.Task, e.Service, "paused")
	case event.TaskSlowed:
		m.fault(at, e.Task, e.Service, "slowed")
	case event.TaskCut:
		m.fault(at, e.Task, e.Service, "cut")
	case event.TaskRecovered:
		for _, kind := range slices.Clone(m.faults[e.Task]) {
			m.mended(at, e.Task, e.Service, kind)
		}
	}
}

func slotOf(place string) string {
	if i := strings.LastIndexByte(place, '.'); i >= 0 {
		return place[i+1:]
	}
	return ""
}

// move puts a task into a state; "" where it is gone.
func (m *Metrics) move(at time.Duration, name, state string) {
	t := m.tasks[name]
	if t == nil || t.state == state {
		return
	}
	count := func(state string, by float64) {
		key := [3]string{t.service, state, t.version}
		m.counts[key] += by
		m.set(at, Replicas, m.counts[key], label{"service", t.service}, label{"state", state}, label{"version", t.version})
	}
	if t.state != "" {
		count(t.state, -1)
	}
	t.state = state
	if state == "" {
		m.stop(at, TaskState, t.labels(name)...)
		m.forget(name)
		return
	}
	count(state, 1)
	m.set(at, TaskState, float64(slices.Index([]string{starting, running, stopping}, state)+1), t.labels(name)...)
}

func (t *task) labels(name string) []label {
	return []label{{"service", t.service}, {"slot", t.slot}, {"task", name}, {"version", t.version}}
}

// forget drops what a task that is gone has exported, from what a scrape sees.
func (m *Metrics) forget(name string) {
	if m.past {
		return
	}
	for _, s := range m.tasks[name].exported {
		delete(m.families[s.family.Name], keyOf(s.labels, s.suffix))
	}
	m.tasks[name].exported = nil
}

// fault says that one is in force at a task, a slot or a node.
func (m *Metrics) fault(at time.Duration, where, service, kind string) {
	if !slices.Contains(m.faults[where], kind) {
		m.faults[where] = append(m.faults[where], kind)
		m.faulty(at, service, kind, 1)
	}
}

// mended says that it is not in force any more, if it was.
func (m *Metrics) mended(at time.Duration, where, service, kind string) {
	if i := slices.Index(m.faults[where], kind); i >= 0 {
		m.faults[where] = slices.Delete(m.faults[where], i, i+1)
		m.faulty(at, service, kind, -1)
	}
}

func (m *Metrics) faulty(at time.Duration, service, kind string, by float64) {
	m.active[[2]string{service, kind}] += by
	m.set(at, FaultActive, m.active[[2]string{service, kind}], label{"service", service}, label{"kind", kind})
}

// Reading takes in what a task's counters said.
func (m *Metrics) Reading(r history.Reading) {
	t := m.tasks[r.Task]
	if t == nil { // of the host, or of a record that has lost its begin
		place, _, _ := strings.Cut(r.Task, "#")
		t = &task{service: r.Service, slot: slotOf(place), state: running, exported: map[string]*series{}}
		m.tasks[r.Task] = t
	}
	if !m.past && t.state == "" {
		return // it is gone
	}
	for key, value := range r.Values.All() {
		s := t.exported[key]
		if s == nil {
			name, labels, _ := strings.Cut(key, "{")
			f, suffix := familyOf(m.known, name)
			s = m.series(f, suffix, append(labelsOf(labels), t.labels(r.Task)...))
			t.exported[key] = s
		}
		s.put(point{ms: r.At.Milliseconds(), value: value}, m.past)
	}
	m.end = max(m.end, r.At)
}

// labelsOf reads the labels of a reading's series: code="200",method="GET"}.
func labelsOf(text string) (all []label) {
	for text = strings.TrimSuffix(text, "}"); text != ""; {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return all
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return all
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return all
		}
		all = append(all, label{name, value})
		text = strings.TrimPrefix(rest[len(quoted):], ",")
	}
	return all
}

// Load takes in that a load began.
func (m *Metrics) Load(n int, spec history.LoadSpec) {
	for len(m.loads) <= n {
		m.loads = append(m.loads, "")
	}
	m.loads[n] = spec.Name
	m.interval(n, history.Interval{At: spec.Begin})
}

// Interval takes in a second of a load, or a part of one. Loads of one name add up.
func (m *Metrics) Interval(n int, i history.Interval) { m.interval(n, i) }

func (m *Metrics) interval(n int, i history.Interval) {
	load, at := label{"load", m.loads[n]}, i.At+i.Length
	add := func(name string, by float64, labels ...label) {
		s := m.series(m.known[name], "", append(labels, load))
		s.put(point{ms: at.Milliseconds(), value: s.value() + by}, m.past)
	}
	add(LoadRequests, float64(i.OK), label{"class", "ok"})
	for _, class := range history.Classes() { // all of them, so that a rate of failures begins at 0
		add(LoadRequests, float64(i.Failures[class]), label{"class", string(class)})
	}
	add(LoadBytes, float64(i.Bytes))
	for replica, n := range i.Replicas {
		add(LoadAnswers, float64(n), label{"replica", replica})
	}
	gap := m.series(m.known[LoadGap], "", []label{load})
	gap.put(point{ms: at.Milliseconds(), value: max(gap.value(), i.MaxGap.Seconds())}, m.past)
	for name, h := range map[string]*history.Histogram{LoadResponse: i.Response, LoadService: i.Service, LoadLag: i.Lag} {
		s := m.series(m.known[name], "", []label{load})
		if s.times == nil {
			s.times = &times{counts: make([]uint64, len(bounds())+1)}
		}
		s.times.add(h)
		s.put(point{ms: at.Milliseconds(), value: s.times.sum}, m.past)
		s.buckets = append(s.buckets[:len(s.points)-1], s.times.cumulative())
	}
	m.end = max(m.end, at)
}

// LoadEnd takes in that a load has ended.
func (m *Metrics) LoadEnd(int, history.LoadEndRecord) {}

// bounds are those of the classic buckets: 1, 2 and 5 times each power of ten, from 0.1 ms to 50 s.
func bounds() (all []time.Duration) {
	for d := 100 * time.Microsecond; d < 100*time.Second; d *= 10 {
		all = append(all, d, 2*d, 5*d)
	}
	return all
}

// add counts the times of an HDR histogram of nanoseconds, which knows them to three digits: as the least that it does not tell from them,
// so that a time which is a bound counts below it.
func (t *times) add(h *history.Histogram) {
	if h == nil || h.TotalCount() == 0 {
		return
	}
	bounds, i := bounds(), 0
	for ns, n := range h.Times {
		power := max(0, bits.Len64(uint64(ns))-11) // of two: the width of its step
		for i < len(bounds) && ns>>power<<power > int64(bounds[i]) {
			i++
		}
		t.counts[i] += uint64(n)
		t.sum += float64(n) * float64(ns) / 1e9
	}
}

func (t *times) cumulative() []uint64 {
	all := slices.Clone(t.counts)
	for i := 1; i < len(all); i++ {
		all[i] += all[i-1]
	}
	return all
}

// set gives a gauge or a counter a value that holds from an instant on.
func (m *Metrics) set(at time.Duration, name string, value float64, labels ...label) {
	s := m.series(m.known[name], "", labels)
	s.held, s.ended = true, false
	s.put(point{ms: at.Milliseconds(), value: value}, m.past)
	m.end = max(m.end, at)
}

// stop says that a gauge has no value any more from an instant on. Its last one is 0.
func (m *Metrics) stop(at time.Duration, name string, labels ...label) {
	s := m.series(m.known[name], "", labels)
	s.held, s.ended = true, true
	s.put(point{ms: at.Milliseconds(), last: true}, m.past)
	m.end = max(m.end, at)
	if !m.past {
		delete(m.families[name], keyOf(s.labels, s.suffix))
	}
}

func (m *Metrics) latest(name string, labels ...label) float64 {
	return m.series(m.known[name], "", labels).value()
}

// series is the one of a family with those labels and that of the run, which is made if there is none.
func (m *Metrics) series(f *Family, suffix string, labels []label) *series {
	labels = slices.DeleteFunc(append(slices.Clone(labels), label{"run", m.run}), func(l label) bool { return l.value == "" })
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	key := keyOf(labels, suffix)
	all := m.families[f.Name]
	if all == nil {
		all = map[string]*series{}
		m.families[f.Name] = all
	}
	s := all[key]
	if s == nil {
		s = &series{family: f, suffix: suffix, labels: labels}
		all[key] = s
	}
	return s
}

func keyOf(labels []label, suffix string) string { return labelText(labels) + suffix }

func (s *series) value() float64 {
	if len(s.points) == 0 {
		return 0
	}
	return s.points[len(s.points)-1].value
}

// put adds a point. In one millisecond the latest counts, and what comes late counts as of the latest instant.
func (s *series) put(p point, past bool) {
	if n := len(s.points); n > 0 {
		if latest := &s.points[n-1]; !past || p.ms <= latest.ms {
			p.ms = max(p.ms, latest.ms)
			*latest = p
			return
		}
	}
	s.points = append(s.points, p)
}
