package loadgen

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/history"
)

// SLO is a list of objectives that must all be met.
type SLO []Objective

// Objective is one bound: a quantile, the mean or the maximum of the response time, or the ratio of failures.
type Objective struct {
	Metric   string        // "p99", "p99.9", "mean", "max" or "errors"
	Quantile float64       // of a quantile: 0...1
	Time     time.Duration // bound of a time
	Ratio    float64       // bound of errors, 0...1
	Text     string        // as it was written
}

// ParseSLO reads objectives:
//
//	slo       = objective { "," objective }
//	objective = ( "p" number | "mean" | "max" ) "<" duration
//	          | "errors" "<" ( percentage | ratio )
//
// Examples: "p99<200ms,errors<0.1%", "mean<50ms", "errors<0.001". Times are response times: from the instant at which a
// request was due. Errors are all failures, dropped requests among them, over all requests.
func ParseSLO(text string) (SLO, error) {
	var slo SLO
	for _, term := range strings.Split(text, ",") {
		term = strings.TrimSpace(term)
		o := Objective{Text: term}
		fail := func(want string) (SLO, error) {
			return nil, fmt.Errorf("objective %q: expected %s: write it like p99<200ms,errors<0.1%%", term, want)
		}
		metric, bound, found := strings.Cut(term, "<")
		o.Metric, bound = strings.TrimSpace(metric), strings.TrimSpace(bound)
		if !found || bound == "" {
			return fail("a metric, < and a bound")
		}
		var err error
		switch {
		case o.Metric == "errors":
			number, percent := strings.CutSuffix(bound, "%")
			if o.Ratio, err = strconv.ParseFloat(strings.TrimSpace(number), 64); percent {
				o.Ratio /= 100
			}
			if err != nil || !(o.Ratio > 0 && o.Ratio <= 1) {
				return fail("a percentage above 0 % and up to 100 %, or a ratio above 0 and up to 1")
			}
			slo = append(slo, o)
			continue
		case o.Metric == "mean", o.Metric == "max":
		case strings.HasPrefix(o.Metric, "p"):
			q, err := strconv.ParseFloat(o.Metric[1:], 64)
			if err != nil || !(q > 0 && q < 100) {
				return fail("a percentile between p0 and p100")
			}
			o.Quantile = q / 100
		default:
			return fail("p50, p99, ..., mean, max or errors")
		}
		if o.Time, err = time.ParseDuration(bound); err != nil || o.Time <= 0 {
			return fail("a duration like 200ms")
		}
		slo = append(slo, o)
	}
	return slo, nil
}

func (s SLO) String() string {
	texts := make([]string, len(s))
	for i, o := range s {
		texts[i] = o.Text
	}
	return strings.Join(texts, ",")
}

// Objectives are the same bounds in the language of a run's objectives, of the load of that name. They judge what was measured as it is, as
// a search does: a threshold says nothing of loads that were not made.
func (s SLO) Objectives(load string) []string {
	var all []string
	for _, o := range s {
		_, bound, _ := strings.Cut(o.Text, "<")
		metric := o.Metric
		if metric == "errors" {
			metric = "failure_ratio"
		}
		all = append(all, fmt.Sprintf("%s(%s) < %s ±0", metric, load, strings.TrimSpace(bound)))
	}
	return all
}

// Judge tells whether a load met the objectives, and if not, why. A load without a success meets none. A request that failed counts as
// one that is infinitely late, unless there is an objective for errors; of one that was cancelled when the load ended nothing is known.
func (s SLO) Judge(total history.Interval) (met bool, why string) {
	var missed []string
	for _, o := range s {
		n, late := s.late(o, total)
		switch {
		case n == 0:
			return false, "no request was made"
		case o.Metric == "errors":
			if ratio := float64(late) / float64(n); !(ratio < o.Ratio) {
				missed = append(missed, fmt.Sprintf("%s: %.3g %% of %d requests failed", o.Text, 100*ratio, n))
			}
		case total.OK == 0:
			missed = append(missed, o.Text+": no request succeeded")
		case o.Metric == "mean" && late > 0, o.Metric != "mean" && rank(o, n) > total.OK:
			missed = append(missed, fmt.Sprintf("%s: %d of %d requests were later or failed", o.Text, late, n))
		case o.Metric != "mean" && late > n-rank(o, n):
			at := 100 * float64(rank(o, n)) / float64(total.OK)
			missed = append(missed, fmt.Sprintf("%s: it is %v", o.Text, spoken(time.Duration(total.Response.ValueAtPercentile(at)))))
		case o.Metric == "mean" && total.Response.Mean() >= float64(o.Time):
			missed = append(missed, fmt.Sprintf("%s: it is %v", o.Text, spoken(time.Duration(math.Round(total.Response.Mean())))))
		}
	}
	return len(missed) == 0, strings.Join(missed, "; ")
}

// rank is the place of a quantile, or of the maximum, among n.
func rank(o Objective, n int64) int64 {
	if o.Metric == "max" {
		return n
	}
	return int64(math.Ceil(o.Quantile*float64(n) - 1e-9))
}

// late counts the requests of which an objective speaks, and those that break it: failures, or answers that took as long as its bound or
// longer.
func (s SLO) late(o Objective, i history.Interval) (n, late int64) {
	failed := i.Due - i.OK - i.Failures[history.Cancelled]
	if o.Metric == "errors" {
		return i.OK + failed, failed
	}
	if n = i.OK; !slices.ContainsFunc(s, func(o Objective) bool { return o.Metric == "errors" }) {
		n, late = n+failed, failed
	}
	if o.Metric != "mean" && i.Response != nil {
		for ns, count := range i.Response.Times {
			if ns >= int64(o.Time) {
				late += count
			}
		}
	}
	return n, late
}
