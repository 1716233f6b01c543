package openmetrics

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"coinbench/history"
)

// grid is the time between two points of what holds until it changes, which is that between two scrapes.
const grid = 1000 // ms

// Export is a recorded run with its past. It is a history.Follower.
type Export struct {
	*Metrics
	start time.Time
}

// NewExport is that of a run, which has taken nothing in yet.
func NewExport(m history.Manifest, run string) *Export {
	e := &Export{Metrics: newMetrics(run, true), start: m.Start}
	e.begin(m)
	return e
}

// Length is the time from the run's start to the last instant that was taken in.
func (e *Export) Length() time.Duration { return e.end }

// Begin moves the run to begin at an instant.
func (e *Export) Begin(at time.Time) { e.start = at }

// Write writes all points as OpenMetrics text: families in the order of their names, the points of a metric in that of time, instants in
// seconds.
func (e *Export) Write(w io.Writer) error {
	out := &lines{Writer: bufio.NewWriterSize(w, 64<<10), start: e.start.UnixMilli()}
	for _, name := range slices.Sorted(maps.Keys(e.families)) {
		f := e.known[name]
		kind := strings.ToLower(f.Kind.String())
		base := f.base()
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", base, escape(f.Help), base, kind)
		if u := f.unit(); u != "" {
			fmt.Fprintf(out, "# UNIT %s %s\n", base, u)
		}
		for _, key := range slices.Sorted(maps.Keys(e.families[name])) {
			e.families[name][key].write(out, e.end.Milliseconds())
		}
	}
	out.text("# EOF\n")
	return out.Flush()
}

// lines writes samples into the same memory.
type lines struct {
	*bufio.Writer
	start int64
	buf   []byte
}

func (l *lines) text(s string) { _, _ = l.WriteString(s) } // the writer keeps its first error

func (l *lines) sample(name, labels string, value float64, ms int64) {
	l.buf = append(append(append(l.buf[:0], name...), labels...), ' ')
	l.buf = append(appendValue(l.buf, value), ' ')
	ms += l.start
	l.buf = strconv.AppendInt(l.buf, ms/1000, 10)
	l.buf = append(l.buf, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10), '\n')
	_, _ = l.Write(l.buf)
}

func appendValue(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// write writes a series; what holds is repeated on a grid until it ends, or until the end of the run.
func (s *series) write(out *lines, end int64) {
	labels := labelText(s.labels)
	names := s.names(labels)
	for i, p := range s.points {
		s.point(out, names, labels, i, p.ms)
		if !s.held || p.last {
			continue
		}
		until := end
		if i+1 < len(s.points) {
			until = s.points[i+1].ms - 1
		}
		for p.ms = (p.ms/grid + 1) * grid; p.ms <= until; p.ms += grid {
			s.point(out, names, labels, i, p.ms)
		}
	}
}

// names are those of a histogram's buckets, with their labels, in order; nil of other series.
func (s *series) names(labels string) (all []string) {
	if s.family.Kind != dto.MetricType_HISTOGRAM {
		return nil
	}
	for _, b := range bounds() {
		all = append(all, strconv.FormatFloat(b.Seconds(), 'f', -1, 64))
	}
	all = append(all, "+Inf")
	for i, le := range all {
		if !strings.Contains(le, ".") && le != "+Inf" {
			le += ".0"
		}
		all[i] = strings.TrimSuffix(labels, "}") + `,le="` + le + `"}`
	}
	return all
}

// point writes one of a series' points, as of an instant.
func (s *series) point(out *lines, names []string, labels string, i int, ms int64) {
	value := s.points[i].value
	if s.family.Kind != dto.MetricType_HISTOGRAM {
		out.sample(s.family.Name+s.suffix, labels, value, ms)
		return
	}
	buckets := s.buckets[i]
	for b, n := range buckets {
		out.sample(s.family.Name+"_bucket", names[b], float64(n), ms)
	}
	out.sample(s.family.Name+"_count", labels, float64(buckets[len(buckets)-1]), ms)
	out.sample(s.family.Name+"_sum", labels, value, ms)
}

// labelText is {a="x",b="y"} of labels, which are in order; never none, for each has the run.
func labelText(labels []label) string {
	var b strings.Builder
	before := "{"
	for _, l := range labels {
		b.WriteString(before + l.name + `="` + escape(l.value) + `"`)
		before = ","
	}
	return b.String() + "}"
}

// escape is a label's value or a help as OpenMetrics has it. What is no UTF-8 becomes U+FFFD.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}
