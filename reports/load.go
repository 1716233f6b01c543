package reports

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// PlayedLoad is one load in bounded memory: what was asked, all of it summed up, and its end.
type PlayedLoad struct {
	Spec        history.LoadSpec
	Targets     int                      // how many there are; Spec names the first
	Total       history.Interval         // all intervals merged
	End         history.LoadEndRecord    //
	Errors      map[history.Class]string // the first error of each class, in the system's words
	Kept        *ABRequests              // the requests that were kept one by one; ABText wants them
	Interrupted bool                     // somebody stopped it before its end
}

// length is the time from the load's begin to its end, and not less than was asked for: when the last request has ended
// before the time was up, no other was due.
func (l PlayedLoad) length() time.Duration { return max(l.offering(), l.End.End-l.Spec.Begin) }

// offering is the time in which requests fell due: that asked for, or less if the load was stopped.
func (l PlayedLoad) offering() time.Duration {
	if d := l.Spec.Duration; d > 0 && l.Spec.Requests == 0 && !l.Interrupted {
		return d
	}
	return l.End.End - l.Spec.Begin
}

// answered is the number of requests to which a whole answer came, an unexpected one included.
func (l PlayedLoad) answered() int64 {
	f := l.Total.Failures
	return l.Total.OK + f[history.UnexpectedStatus] + f[history.WrongLength] + f[history.WrongBody]
}

// Answered says whether anything answered at all.
func (l PlayedLoad) Answered() bool { return l.answered() > 0 }

// LoadText writes the report of a load for a terminal: whether its numbers may be used, then what became of the requests,
// their times side by side, the failures and the replicas' shares.
func LoadText(w io.Writer, l PlayedLoad, o TextOptions) error {
	t := newTextWriter(o)
	t.loadValidity(l)
	t.line("%s", asked(l))
	t.balance(l)
	t.times(l)
	t.failures(l)
	t.shares(l)
	return t.flush(w)
}

// loadValidity says first whether the numbers may be used.
func (t *textWriter) loadValidity(l PlayedLoad) {
	switch {
	case !l.Answered():
		t.line("%s  so nothing can be said of the server", t.style("1;31", "NOTHING ANSWERED"))
	case len(l.End.Invalid) == 0:
		t.line("%s  the generator kept up%s", t.style("1;32", "VALID"), generatorCost(l))
	}
	for _, why := range l.End.Invalid {
		t.line("%s  the numbers must not be used: %s", t.style("1;31", "INVALID"), why)
	}
	for _, why := range l.End.Warnings {
		t.line("%s  %s", t.style("33", "warning"), why)
	}
	if l.Interrupted {
		t.line("%s  it was stopped after %s", t.style("33", "interrupted"), capacity.FormatSeconds(l.length().Seconds()))
	}
}

func generatorCost(l PlayedLoad) string {
	var s string
	if !l.Spec.Closed && l.Total.Lag != nil && l.Total.Lag.TotalCount() > 0 {
		lag := capacity.HistogramLatency(l.Total.Lag, nil)
		s = ": lag p50 " + capacity.FormatSeconds(lag.P50S) + ", p99 " + capacity.FormatSeconds(lag.P99S)
	}
	if n := l.Total.Due; n > 0 && l.End.CPUSeconds > 0 {
		s += fmt.Sprintf("; %.0f µs of its CPU per request", 1e6*l.End.CPUSeconds/float64(n))
	}
	return s
}

// asked is one line on what was asked for.
func asked(l PlayedLoad) string {
	s := l.Spec
	text := s.Method + " " + s.URL
	if l.Targets > 1 {
		text += fmt.Sprintf(" and %d more in turn", l.Targets-1)
	}
	if s.Closed {
		text += ", " + plural(s.Clients, "client")
	} else {
		text += ", " + schedule(s.Schedule)
	}
	if s.Requests > 0 {
		text += fmt.Sprintf(", %d requests", s.Requests)
	}
	if s.Duration > 0 {
		text += " for " + capacity.FormatSeconds(s.Duration.Seconds())
	}
	if s.Connections > 0 {
		text += fmt.Sprintf(", at most %s", plural(s.Connections, "connection"))
	}
	return text + ", connections " + strings.TrimPrefix(s.Reuse, "a ")
}

// balance is what became of the requests; the last line is the law that it keeps.
func (t *textWriter) balance(l PlayedLoad) {
	due, dropped := l.Total.Due, l.Total.Failures[history.Dropped]
	leftOut := l.Total.Failures[history.Cancelled]
	failed := due - l.Total.OK - dropped - leftOut
	rate := func(n int64, d time.Duration) string {
		if d <= 0 {
			return ""
		}
		return figures(float64(n)/d.Seconds()) + "/s"
	}
	t.heading("Requests")
	rows := Table{{"  ", "", "", "  "}}
	rows = append(rows,
		[]string{"offered", strconv.FormatInt(due, 10), rate(due, l.offering()), "fell due"},
		[]string{"started", strconv.FormatInt(due-dropped, 10), rate(due-dropped, l.length()), "were sent, or tried to be"},
		[]string{"completed", strconv.FormatInt(l.answered(), 10), rate(l.answered(), l.length()), "were answered, as expected or not"},
		[]string{"missed", strconv.FormatInt(dropped, 10), "", "fell due and were never sent"})
	_, body, _ := strings.Cut(rows.Text("  ", 0), "\n")
	t.b.WriteString(body)
	law := fmt.Sprintf("due %d = ok %d + failures %d + dropped %d", due, l.Total.OK, failed, dropped)
	if leftOut > 0 {
		law += fmt.Sprintf(" + left out %d", leftOut)
	}
	t.line("  %s", law)
	t.unanswered(l)
	t.line("  longest time without a success %s; %s bytes of bodies received", capacity.FormatSeconds(l.Total.MaxGap.Seconds()),
		strconv.FormatInt(l.Total.Bytes, 10))
}

// unanswered says what became of the requests that had no answer when the load ended.
func (t *textWriter) unanswered(l PlayedLoad) {
	if old := l.Total.Failures[history.NoAnswer]; old > 0 {
		t.line("  %d of the failures had no answer when the load ended, after more than its patience of %s", old, l.Spec.Patience)
	}
	if young := l.Total.Failures[history.Cancelled]; young > 0 {
		t.line("  %d had no answer when the load ended, within its patience of %s: they are no failures", young, l.Spec.Patience)
	}
}

// given is the number of requests that were given up without an answer.
func given(total history.Interval) int64 {
	if total.GivenUp == nil {
		return 0
	}
	return total.GivenUp.TotalCount()
}

// times puts the three times side by side. A percentile p is that of rank n p/100, rounded up.
func (t *textWriter) times(l PlayedLoad) {
	t.heading("Times")
	rows := Table{{"time ", "count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"}}
	for _, r := range []struct {
		name              string
		answered, givenUp *history.Histogram
	}{{"response", l.Total.Response, l.Total.GivenUp}, {"service", l.Total.Service, nil}, {"lag", l.Total.Lag, nil}} {
		row := []string{r.name, "0", "–", "–", "–", "–", "–", "–", "–"}
		if d := capacity.HistogramLatency(r.answered, r.givenUp); d != nil {
			row = []string{r.name, strconv.FormatInt(d.Count, 10), atLeast(d, 100, d.MeanS), atLeast(d, 50, d.P50S), atLeast(d, 90, d.P90S),
				atLeast(d, 95, d.P95S), atLeast(d, 99, d.P99S), atLeast(d, 99.9, d.P999S), atLeast(d, 100, d.MaxS)}
		}
		rows = append(rows, row)
	}
	t.table(rows, "  ")
	felt := ""
	if n := given(l.Total); n > 0 {
		felt = fmt.Sprintf(" (%d without an answer count as at least their age)", n)
	}
	t.line("  of ok requests: response from due to done, what a user felt%s; service from sent to done, what the server took", felt)
	t.line("  lag from due to sent: the generator's delay, and waiting for a connection")
	t.line("  of n times a percentile p is the one of rank n·p/100, rounded up, in ascending order, to three digits; the maximum is exact")
}

// failures lists the classes that occurred, in the order in which a request meets them.
func (t *textWriter) failures(l PlayedLoad) {
	if l.Total.Failed() == 0 {
		return
	}
	t.heading("Failures")
	rows := Table{{"class ", "count", "of all", "first error "}}
	for _, c := range history.Classes() {
		if n := l.Total.Failures[c]; n > 0 {
			rows = append(rows, []string{string(c), strconv.FormatInt(n, 10), share(n, l.Total.Due), l.Errors[c]})
		}
	}
	t.table(rows, "  ")
}

// mostShares is how many replicas are worth a line each.
const mostShares = 20

// shares says who answered, where the answers say so.
func (t *textWriter) shares(l PlayedLoad) {
	for _, s := range []struct {
		title string
		by    map[string]int64
		least int // one version is no news
	}{{"Replicas", l.Total.Replicas, 1}, {"Versions", l.Total.Versions, 2}} {
		if len(s.by) < s.least {
			continue
		}
		var sum int64
		for _, n := range s.by {
			sum += n
		}
		t.heading(s.title)
		rows := Table{{"name ", "answers", "share"}}
		for i, name := range slices.Sorted(maps.Keys(s.by)) {
			if i == mostShares {
				rows = append(rows, []string{fmt.Sprintf("and %d more", len(s.by)-i), "", ""})
				break
			}
			rows = append(rows, []string{name, strconv.FormatInt(s.by[name], 10), share(s.by[name], sum)})
		}
		t.table(rows, "  ")
	}
}

// share writes n of all in percent with as many digits as a small share needs.
func share(n, all int64) string {
	if all == 0 {
		return "–"
	}
	p := 100 * float64(n) / float64(all)
	if p > 0 && p < .01 {
		return "< 0.01 %"
	}
	return figures(p) + " %"
}
