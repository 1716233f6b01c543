package reports

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
)

// value writes a number of a row in its unit.
func value(r capacity.Row, v float64) string {
	if r.Unit == "s" {
		return figures(v * 1000)
	}
	return figures(v)
}

// unit is the unit in which value writes.
func unit(r capacity.Row) string {
	if r.Unit == "s" {
		return "ms"
	}
	return r.Unit
}

// comparisonTable is what was measured next to what was published and what bounds it; formats of the measured number and of a footnote's
// number. The footnotes say what was published where, and why it may differ.
func comparisonTable(a *capacity.Analysis, measured, mark string) (t Table, notes []string) {
	t = Table{{"name ", "configuration ", "measured", "published", "bound", "of bound", "unit "}}
	for _, r := range a.Comparison {
		var published []string
		for _, p := range r.Published {
			note := footnote(p)
			n := slices.Index(notes, note)
			if n < 0 {
				n, notes = len(notes), append(notes, note)
			}
			published = append(published, publishedText(r, p)+" "+fmt.Sprintf(mark, n+1))
		}
		t = append(t, []string{r.Name, r.Config, fmt.Sprintf(measured, value(r, r.Measured)), cmp.Or(strings.Join(published, "; "), "–"),
			optional(r.Bound, func(v float64) string { return value(r, v) }), optional(r.Attained, percent), unit(r)})
	}
	return t, notes
}

// useTable is how the services of a window are used, and its driver last.
func useTable(w *capacity.Window) Table {
	t := Table{{"service ", "slots", "requests/s", "busy", "busiest replica", "demand per hash", "wait", "bound h/s", "headroom"}}
	for _, s := range w.Services {
		slots := whole(float64(s.Slots))
		if s.Slots == 0 {
			slots = "no limit"
		}
		t = append(t, []string{s.Service, slots, figures(s.PerS), optional(s.Utilisation, percent), optional(s.Hottest, percent),
			optional(s.DemandS, capacity.FormatSeconds), optional(s.WaitS, capacity.FormatSeconds), optional(s.BoundPerS, figures),
			optional(s.Headroom, percent)})
	}
	if share := driverShare(w); share != nil {
		t = append(t, []string{w.Bounds.Driver, whole(float64(w.Bounds.Workers)), "", percent(*share), "", capacity.FormatSeconds(w.Bounds.LoopS),
			"", figures(w.Bounds.WorkerPerS), percent(1 - *share)})
	}
	return t
}

// driverShare is the part of its own bound at which a window's driver ran; nil: it is not known.
func driverShare(w *capacity.Window) *float64 {
	if w.Bounds == nil || w.Bounds.WorkerPerS <= 0 {
		return nil
	}
	share := w.HashRate.Value / w.Bounds.WorkerPerS
	return &share
}

func publishedText(r capacity.Row, p capacity.PublishedValue) string {
	if r.Unit == "s" {
		if p.Low == p.High {
			return figures(p.Low * 1000)
		}
		return figures(p.Low*1000) + "–" + figures(p.High*1000)
	}
	if p.Low == p.High {
		return strconv.FormatFloat(p.Low, 'g', 4, 64)
	}
	return strconv.FormatFloat(p.Low, 'g', 4, 64) + "–" + strconv.FormatFloat(p.High, 'g', 4, 64)
}

func footnote(p capacity.PublishedValue) string {
	s := upperFirst(p.Source)
	if _, err := strconv.ParseFloat(p.Text, 64); err != nil {
		s += ": “" + p.Text + "”"
	}
	s += "."
	if p.Footnote != "" {
		s += " " + p.Footnote
	}
	return s
}

// loadTable are the loads' numbers; the waves where there are any.
func loadTable(a *capacity.Analysis) Table {
	rows := Table{{"load ", "request ", "clients ", "requests", "failed", "per s", "mean", "p50", "p90", "p99", "max", "max gap",
		"waves "}}
	waves := false
	for _, l := range a.Told() {
		rows = append(rows, loadCells(l))
		waves = waves || len(l.Waves) > 0
	}
	if !waves {
		for i, r := range rows {
			rows[i] = r[:len(r)-1]
		}
	}
	return rows
}

// played names a run's scenario and where it was played; a load on something that is not the app has no cluster.
func played(i capacity.RunInfo) string {
	if i.Cluster == "none" {
		return i.Scenario
	}
	return i.Scenario + " on " + i.Cluster
}

// request is what a load asks for: of a service of the app, or of a URL.
func request(l capacity.LoadResult) string {
	if l.Service == "" {
		return l.Method + " " + l.URL
	}
	return l.Method + " " + l.Service + path(l.URL)
}

// loadCells are a load's numbers in the order of loadTable.
func loadCells(l capacity.LoadResult) []string {
	cells := []string{l.Name, l.Method + " " + l.Service + path(l.URL), clients(l), strconv.FormatInt(l.Requests, 10),
		strconv.FormatInt(l.Failed, 10), figures(l.PerS)}
	if r := l.Response; r != nil {
		cells = append(cells, atLeast(r, 100, r.MeanS), atLeast(r, 50, r.P50S), atLeast(r, 90, r.P90S), atLeast(r, 99, r.P99S),
			atLeast(r, 100, r.MaxS))
	} else {
		cells = append(cells, "–", "–", "–", "–", "–")
	}
	return append(cells, capacity.FormatSeconds(l.MaxGapS), waveSizes(l.Waves))
}

// atLeast is a percentile of a distribution (100: also its mean) with a word when no more is known than that it is not shorter.
func atLeast(l *capacity.Latency, percentile, seconds float64) string {
	if l.AtLeast(percentile) {
		return "≥ " + capacity.FormatSeconds(seconds)
	}
	return capacity.FormatSeconds(seconds)
}

func clients(l capacity.LoadResult) string {
	if l.Closed {
		return strconv.Itoa(l.Clients)
	}
	return "open, " + schedule(l.Schedule)
}

var manyDigits = regexp.MustCompile(`\d+\.\d{3,}`)

// schedule is a load's schedule as a person would write it: rates that were computed have four digits.
func schedule(text string) string {
	return manyDigits.ReplaceAllStringFunc(text, func(s string) string {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return s
		}
		return strconv.FormatFloat(v, 'g', 4, 64)
	})
}

func path(url string) string {
	rest := url
	if _, r, ok := strings.Cut(url, "://"); ok {
		rest = r
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return " " + rest[i:]
	}
	return " /"
}

// waveSizes writes "20, 20, 10".
func waveSizes(waves []capacity.Wave) string {
	var s []string
	for _, w := range waves {
		s = append(s, strconv.Itoa(w.Size))
	}
	if len(s) > 8 && slices.Equal(s[:len(s)-1], slices.Repeat(s[:1], len(s)-1)) {
		return fmt.Sprintf("%d × %s", len(s), s[0])
	}
	if len(s) > 12 {
		return strconv.Itoa(len(s)) + " waves"
	}
	return strings.Join(s, ", ")
}

func host(h history.Host) string {
	s := h.OS + "/" + h.Arch
	if h.Kernel != "" {
		s += " " + h.Kernel
	}
	if h.CPU != "" {
		s += ", " + h.CPU
	}
	s += fmt.Sprintf(", %s", plural(h.CPUs, "CPU"))
	if h.MemoryBytes > 0 {
		s += fmt.Sprintf(", %.1f GiB", float64(h.MemoryBytes)/(1<<30))
	}
	if h.Go != "" {
		s += ", " + h.Go
	}
	return s
}

// missing says what errors cost a window.
func missing(w *capacity.Window) string {
	driver := w.Config.Roles().Driver.Plural
	s := fmt.Sprintf("%s of the %s failed and %s hashes are missing against the hash rate of window %s", plural(int(w.Errors), "call"), driver,
		whole(*w.HashesLost), w.Baseline)
	if w.LostToBackoff != nil && w.SilentS > 0 {
		s += fmt.Sprintf(", %s of them for the %s that the %s waited after errors", whole(*w.LostToBackoff), figures(w.SilentS)+" s", driver)
	}
	return s + "."
}
