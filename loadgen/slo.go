package loadgen

import (
	"fmt"
	"math"
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

// Judge tells whether a load met the objectives, and if not, why. A load without a success meets none.
func (s SLO) Judge(total history.Interval) (met bool, why string) {
	if total.Due == 0 {
		return false, "no request was made"
	}
	var missed []string
	for _, o := range s {
		if o.Metric == "errors" {
			if ratio := float64(total.Due-total.OK) / float64(total.Due); !(ratio < o.Ratio) {
				missed = append(missed, fmt.Sprintf("%s: %.3g %% of %d requests failed", o.Text, 100*ratio, total.Due))
			}
			continue
		}
		if total.OK == 0 {
			missed = append(missed, o.Text+": no request succeeded")
			continue
		}
		var got time.Duration
		switch o.Metric {
		case "mean":
			got = time.Duration(math.Round(total.Response.Mean()))
		case "max":
			got = time.Duration(total.Response.Max())
		default:
			got = time.Duration(total.Response.ValueAtPercentile(100 * o.Quantile))
		}
		if got >= o.Time {
			missed = append(missed, fmt.Sprintf("%s: it is %v", o.Text, round(got)))
		}
	}
	return len(missed) == 0, strings.Join(missed, "; ")
}
