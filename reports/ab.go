package reports

import (
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// ABOptions are the flags of ab that change what its summary says.
type ABOptions struct {
	KeepAlive      bool // -k
	VariableLength bool // -l: a length that differs from the first answer's is no failure
}

// ABSummary is what ApacheBench 2.3 computes of a load, by its definitions: they are those of its source, support/ab.c.
// Times are in seconds. An answer counts as complete whatever its status; a failure without an answer does not.
type ABSummary struct {
	DocumentLength int64   // of the first answer's body
	TimeTakenS     float64 // from the begin to the last answer
	Complete       int64
	Failed         int64 // connect + receive + length + exceptions; an answer of another length is complete and failed
	Connect        int64
	Receive        int64
	Length         int64
	Exceptions     int64
	Non2xx         int64
	BodyBytes      int64
	PerS           float64 // complete / time taken
	MeanTurnS      float64 // clients x time taken / complete
	MeanAcrossS    float64 // time taken / complete
	Kept           int64   // complete requests that the rows are made of
	Whole          bool    // they are all
	Rows           []ABRow // connect, processing, waiting, total; none without a complete request
	Percentiles    []ABPercentile
}

// ABRequests are the complete requests that ab's table is made of, in 32 bytes each. Its zero value has none.
type ABRequests struct {
	connect, processing, waiting, total []time.Duration
	lengths                             map[int64]int64 // of bodies: how many had one
	first, last                         time.Duration   // when the first and the last were done
	firstBytes                          int64
}

// Add takes a request, in any order.
func (r *ABRequests) Add(s history.Sample) {
	switch s.Class {
	case history.OK, history.UnexpectedStatus, history.WrongLength, history.WrongBody:
	default:
		return
	}
	if r.lengths == nil {
		r.lengths = map[int64]int64{}
	}
	if len(r.total) == 0 || s.Done < r.first {
		r.first, r.firstBytes = s.Done, s.Bytes
	}
	r.last = max(r.last, s.Done)
	r.lengths[s.Bytes]++
	r.connect = append(r.connect, max(s.Connect, 0))
	r.processing = append(r.processing, max(s.Done-s.Sent-s.Connect, 0))
	r.waiting = append(r.waiting, max(s.First-s.Sent-s.Connect, 0))
	r.total = append(r.total, max(s.Done-s.Sent, 0))
}

// ABRow is one line of ab's table of connection times.
type ABRow struct {
	Name                         string
	MinS, MeanS, SDS, MedS, MaxS float64
}

// ABPercentile is one line of ab's table of percentages.
type ABPercentile struct {
	Percent int
	S       float64
}

// NewABSummary computes ab's summary. Samples that are not kept are missing in the rows, and then the percentiles come from
// the histograms, of three digits and of ok requests only.
func NewABSummary(l PlayedLoad, o ABOptions) ABSummary {
	s := ABSummary{Complete: l.answered(), BodyBytes: l.Total.Bytes, Non2xx: l.Total.Failures[history.UnexpectedStatus]}
	for class, n := range l.Total.Failures {
		switch class {
		case history.NameResolution, history.Refused, history.NoRoute, history.ConnectTimeout, history.ConnectFailed:
			s.Connect += n
		case history.ResetBeforeByte, history.ResetInBody, history.ClosedReused, history.HeaderTimeout, history.BodyTimeout:
			s.Receive += n
		case history.Malformed, history.Unread:
			s.Exceptions += n
		}
	}
	kept := l.Kept
	if kept == nil {
		kept = new(ABRequests)
	}
	s.Kept = int64(len(kept.total))
	s.Whole = s.Kept == s.Complete
	end := l.End.End
	if s.Kept > 0 {
		s.DocumentLength = kept.firstBytes
		if s.Whole {
			end = kept.last
		}
	}
	if !o.VariableLength {
		s.Length = s.Kept - kept.lengths[s.DocumentLength]
	}
	s.Failed = s.Connect + s.Receive + s.Length + s.Exceptions
	if s.TimeTakenS = (end - l.Spec.Begin).Seconds(); s.TimeTakenS > 0 && s.Complete > 0 {
		s.PerS = float64(s.Complete) / s.TimeTakenS
		s.MeanAcrossS = s.TimeTakenS / float64(s.Complete)
		s.MeanTurnS = float64(l.Spec.Clients) * s.MeanAcrossS
	}
	s.times(l, kept)
	return s
}

// times makes the rows and the percentiles.
func (s *ABSummary) times(l PlayedLoad, kept *ABRequests) {
	if s.Kept == 0 {
		return
	}
	for _, r := range []struct {
		name string
		of   []time.Duration
	}{{"Connect", kept.connect}, {"Processing", kept.processing}, {"Waiting", kept.waiting}, {"Total", kept.total}} {
		slices.Sort(r.of)
		s.Rows = append(s.Rows, newABRow(r.name, r.of))
	}
	h := l.Total.Service
	for _, p := range []int{50, 66, 75, 80, 90, 95, 98, 99, 100} {
		v := abPercentile(kept.total, p).Seconds()
		if n := h.TotalCount(); !s.Whole && n > 0 { // the same rank, counted from 1, in the histogram
			rank := min(n*int64(p)/100+1, n)
			v = float64(h.ValueAtPercentile(100*float64(rank)/float64(n))) / 1e9
		}
		s.Percentiles = append(s.Percentiles, ABPercentile{p, v})
	}
}

// abPercentile is ab's own: the value of rank count*p/100 in ascending order, counted from 0, and the largest for 100. Everywhere else a
// percentile is that of capacity.Latency.
func abPercentile(ascending []time.Duration, p int) time.Duration {
	return ascending[min(len(ascending)*p/100, len(ascending)-1)]
}

// newABRow is of ascending values. The standard deviation is that of a sample, with n-1. The median is ab's: of an even
// count the upper of the two in the middle, of an odd count the mean of the middle one and the next above.
func newABRow(name string, values []time.Duration) ABRow {
	n := len(values)
	r := ABRow{Name: name, MinS: values[0].Seconds(), MaxS: values[n-1].Seconds(), MedS: values[n/2].Seconds()}
	if n > 1 && n%2 == 1 {
		r.MedS = (values[n/2] + values[n/2+1]).Seconds() / 2
	}
	for _, v := range values {
		r.MeanS += v.Seconds()
	}
	r.MeanS /= float64(n)
	if n > 1 {
		for _, v := range values {
			r.SDS += (v.Seconds() - r.MeanS) * (v.Seconds() - r.MeanS)
		}
		r.SDS = math.Sqrt(r.SDS / float64(n-1))
	}
	return r
}

// ABText writes a closed load as ab does, with a word next to each number that misleads, and below it what ab hides.
func ABText(w io.Writer, l PlayedLoad, ab ABOptions, o TextOptions) error {
	t := newTextWriter(o)
	s := NewABSummary(l, ab)
	for _, why := range l.End.Invalid {
		t.line("%s  the numbers must not be used: %s", t.style("1;31", "INVALID"), why)
	}
	t.abHead(l, s, ab)
	t.abTimes(s)
	t.heading("What ab does not say")
	t.loadValidity(l)
	t.line("longest time without a success: %s", capacity.FormatSeconds(l.Total.MaxGap.Seconds()))
	flying := ""
	if l.End.InFlight > 0 {
		flying = ", in no number above: the slower a request the likelier it is among them"
	}
	t.line("in flight at the end: %d%s", l.End.InFlight, flying)
	t.unanswered(l)
	t.times(l)
	t.line("  A closed load is never late: its clients wait, and send less while the server is slow. What users feel who do not wait: " +
		"coinbench attack.")
	t.failures(l)
	t.shares(l)
	return t.flush(w)
}

// noted writes a line with a word next to its number; below it where there is no room for both.
func (t *textWriter) noted(line, note string) {
	if note == "" {
		t.line("%s", line)
		return
	}
	if t.width == 0 || runes(line)+runes(note)+5 <= t.width {
		t.line("%s   %s", line, t.style("2", "# "+note))
		return
	}
	t.line("%s", line)
	for _, part := range FoldWords(note, t.width-8) {
		t.line("      %s", t.style("2", "# "+part))
	}
}

func (t *textWriter) abLine(label, value, note string) {
	t.noted(fmt.Sprintf("%-24s%s", label+":", value), note)
}

func (t *textWriter) abHead(l PlayedLoad, s ABSummary, ab ABOptions) {
	host, port, path := l.Spec.URL, "", ""
	if u, err := url.Parse(l.Spec.URL); err == nil {
		host, port, path = u.Hostname(), u.Port(), u.RequestURI()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	if l.End.Server != "" {
		t.abLine("Server Software", l.End.Server, "")
	}
	t.abLine("Server Hostname", host, "")
	t.abLine("Server Port", port, "")
	t.line("")
	t.abLine("Document Path", path, "")
	t.abLine("Document Length", count(s.DocumentLength)+" bytes", "of the first answer")
	t.line("")
	t.abLine("Concurrency Level", strconv.Itoa(l.Spec.Clients), "")
	t.abLine("Time taken for tests", fmt.Sprintf("%.3f seconds", s.TimeTakenS), "to the last answer")
	t.abLine("Complete requests", count(s.Complete), "answered, whatever the status")
	length := "another length than the first answer's counts as failed; -l allows it"
	if ab.VariableLength {
		length = "without an answer; any length is accepted (-l)"
	}
	if !s.Whole {
		length += fmt.Sprintf("; lengths of the first %d were looked at", s.Kept)
	}
	t.abLine("Failed requests", count(s.Failed), length)
	if s.Failed > 0 {
		t.line("   (Connect: %d, Receive: %d, Length: %d, Exceptions: %d)", s.Connect, s.Receive, s.Length, s.Exceptions)
	}
	if s.Non2xx > 0 {
		t.abLine("Non-2xx responses", count(s.Non2xx), "complete and not failed, for ab; below they are failures")
	}
	if ab.KeepAlive {
		t.abLine("Keep-Alive", "on", "connections stay with their replica: one that joins later gets no load")
	}
	received, of := s.BodyBytes, "of bodies; ab counts headers too"
	if n := l.End.ReceivedBytes; n > 0 {
		t.abLine("Total transferred", count(n)+" bytes", "of every answer, failed ones among them")
		received, of = n, ""
	}
	t.abLine("HTML transferred", count(s.BodyBytes)+" bytes", "bodies only")
	t.abLine("Requests per second", fmt.Sprintf("%.2f [#/sec] (mean)", s.PerS), "complete / time taken: answers with an error count as well")
	t.abLine("Time per request", fmt.Sprintf("%.3f [ms] (mean)", s.MeanTurnS*1000),
		"clients x time taken / complete: a client's turn, not a latency that was measured")
	t.abLine("Time per request", fmt.Sprintf("%.3f [ms] (mean, across all concurrent requests)", s.MeanAcrossS*1000),
		"1 / requests per second: no request waited that long")
	rate := 0.0
	if s.TimeTakenS > 0 {
		rate = float64(received) / 1024 / s.TimeTakenS
	}
	t.abLine("Transfer rate", fmt.Sprintf("%.2f [Kbytes/sec] received", rate), of)
}

func (t *textWriter) abTimes(s ABSummary) {
	if len(s.Rows) == 0 {
		return
	}
	t.line("")
	title := "Connection Times (ms)"
	if !s.Whole {
		title += fmt.Sprintf(" of the first %d requests", s.Kept)
	}
	t.line("%s", title)
	t.line("              min     mean[+/-sd]    median       max")
	notes := map[string]string{
		"Connect": "0 where a connection was reused", "Processing": "total - connect", "Waiting": "request sent to first byte",
		"Total": "service time: connect begun to last byte",
	}
	for _, r := range s.Rows {
		t.noted(fmt.Sprintf("%-11s%6.2f %8.2f %7.2f %9.2f %9.2f", r.Name+":", r.MinS*1000, r.MeanS*1000, r.SDS*1000, r.MedS*1000,
			r.MaxS*1000), notes[r.Name])
	}
	t.line("")
	t.line("Percentage of the requests served within a certain time (ms)")
	for i, p := range s.Percentiles {
		longest, note := "", ""
		switch {
		case p.Percent == 100:
			longest = " (longest request)"
		case i == 0 && s.Whole:
			note = "rank count x p / 100, counted from 0; of complete requests, so errors that come fast make it better"
		case i == 0:
			note = "rank count x p / 100, counted from 0, from a histogram of three digits of ok requests"
		}
		t.noted(fmt.Sprintf(" %3d%% %9.2f%s", p.Percent, p.S*1000, longest), note)
	}
}
