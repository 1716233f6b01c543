package capacity

import (
	"slices"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// edge is how far from a window's edge a reading may lie and still stand for it.
const edge = 400 * time.Millisecond

// task is the readings of one task, in the order of time.
type task struct {
	service  string
	name     string
	started  time.Duration // negative: unknown
	readings []history.Reading
}

// series is a run's readings by task, in the order of first appearance.
type series struct {
	tasks   []*task
	start   time.Time
	engines bool // container engines run besides the app
	virtual bool // it was simulated: no machine adds its noise
	roles   history.Roles
}

func newSeries(run *history.Run) series {
	s := series{start: run.Manifest.Start, engines: run.Manifest.Engines, virtual: run.Manifest.Simulated, roles: RolesOf(run)}
	byName := map[string]*task{}
	for _, r := range run.Readings {
		key := r.Service + "\x00" + r.Task
		t := byName[key]
		if t == nil {
			t = &task{service: r.Service, name: r.Task, started: -1}
			byName[key] = t
			s.tasks = append(s.tasks, t)
		}
		t.readings = append(t.readings, r)
	}
	for _, e := range run.Events {
		if t := byName[e.Service+"\x00"+e.Task]; t != nil && e.Is(event.TaskStarted{}) {
			t.started = e.At
		}
	}
	for _, t := range s.tasks {
		slices.SortStableFunc(t.readings, func(a, b history.Reading) int { return int(a.At - b.At) })
	}
	return s
}

// drivers are the driver's replicas.
func (s series) drivers() []*task { return s.of(s.roles.Driver.Service) }

func (s series) of(service string) []*task {
	var found []*task
	for _, t := range s.tasks {
		if t.service == service {
			found = append(found, t)
		}
	}
	return found
}

// span is a task's counters between two readings.
type span struct {
	task        *task
	first, last history.Reading
	inner       []history.Reading // first to last
}

// between returns a task's readings that stand for [begin, end]: the one nearest to each edge. It is false when there are not
// two of them. A task that came or went within the window is represented by what it had.
func (t *task) between(begin, end time.Duration) (span, bool) {
	var in []history.Reading
	for _, r := range t.readings {
		if r.At >= begin-edge && r.At <= end+edge {
			in = append(in, r)
		}
	}
	if len(in) < 2 {
		return span{}, false
	}
	i, j := 0, len(in)-1
	for k, r := range in {
		if (r.At - begin).Abs() < (in[i].At - begin).Abs() {
			i = k
		}
	}
	for k := len(in) - 1; k >= 0; k-- {
		if (in[k].At - end).Abs() < (in[j].At - end).Abs() {
			j = k
		}
	}
	if i >= j {
		return span{}, false
	}
	return span{task: t, first: in[i], last: in[j], inner: in[i : j+1]}, true
}

func (s span) seconds() float64 { return (s.last.At - s.first.At).Seconds() }

// delta is the growth of a counter, over all its labels.
func (s span) delta(name string) float64 { return sum(s.last.Values, name) - sum(s.first.Values, name) }

// deltaOf is the growth of a counter's series that carry all the given label pairs, each as `code="200"`.
func (s span) deltaOf(name string, labels ...string) float64 {
	return sum(s.last.Values, name, labels...) - sum(s.first.Values, name, labels...)
}

// sum adds the series of a metric that carry all the given label pairs.
func sum(values history.Values, name string, labels ...string) float64 {
	if len(labels) == 0 {
		if v, ok := values.Get(name); ok {
			return v
		}
	}
	var found []float64
next:
	for k, v := range values.All() {
		rest, ok := strings.CutPrefix(k, name)
		if !ok || rest != "" && rest[0] != '{' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		found = append(found, v)
	}
	slices.Sort(found) // the sum of floating-point numbers depends on their order
	total := 0.0
	for _, v := range found {
		total += v
	}
	return total
}

// byLabel adds the series of a metric by the value of one label.
func byLabel(values history.Values, name, label string) map[string]float64 {
	out := map[string]float64{}
	for k, v := range values.All() {
		rest, ok := strings.CutPrefix(k, name+"{")
		if !ok {
			continue
		}
		_, rest, ok = strings.Cut(rest, label+`="`)
		if !ok {
			continue
		}
		if value, _, ok := strings.Cut(rest, `"`); ok {
			out[value] += v
		}
	}
	return out
}
