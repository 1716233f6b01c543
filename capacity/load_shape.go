package capacity

import (
	"math"
	"slices"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"coinbench/history"
)

// LoadPoint is a stretch of a load: what was answered and how long that took. Times are response times of OK requests (service
// times where only they are known), in seconds.
type LoadPoint struct {
	AtS        float64 `json:"at_s"` // its middle, since the start of the run
	LengthS    float64 `json:"length_s"`
	PerS       float64 `json:"ok_per_s"`
	FailedPerS float64 `json:"failed_per_s,omitempty"`
	P50S       float64 `json:"p50_s,omitempty"`
	P99S       float64 `json:"p99_s,omitempty"`
	MaxS       float64 `json:"max_s,omitempty"`
}

// Quantile is the time within which a share of the requests was answered.
type Quantile struct {
	Share float64 `json:"share"` // 0..1
	S     float64 `json:"s"`
}

// HistogramBin counts the OK requests whose response time was at least FromS and less than ToS.
type HistogramBin struct {
	FromS float64 `json:"from_s"`
	ToS   float64 `json:"to_s"`
	Count int64   `json:"count"`
}

// Numbers of points that are worth drawing.
const (
	maxLoadPoints = 160
	histogramBins = 40
)

// overTime merges a load's intervals into at most maxLoadPoints stretches of the same length.
func overTime(l history.Load) (points []LoadPoint) {
	seconds := bySecond(l.Intervals)
	each := max(1, (len(seconds)+maxLoadPoints-1)/maxLoadPoints)
	for stretch := range slices.Chunk(seconds, each) {
		var sum history.Interval
		for _, second := range stretch {
			for _, i := range second {
				i.Response, _ = i.Times()
				if l.ServiceOnly {
					i.Response = i.ServiceTimes()
				}
				sum.Merge(i)
			}
		}
		length := sum.Length.Seconds()
		if length <= 0 {
			continue
		}
		p := LoadPoint{AtS: sum.At.Seconds() + length/2, LengthS: length, PerS: float64(sum.OK) / length, FailedPerS: float64(sum.Failed()) / length}
		if h := sum.Response; h != nil && h.TotalCount() > 0 {
			p.P50S, p.P99S, p.MaxS = inSeconds(h.ValueAtPercentile(50)), inSeconds(h.ValueAtPercentile(99)), inSeconds(h.Max())
		}
		points = append(points, p)
	}
	// What ended after the last whole stretch is a moment that says nothing of a rate.
	if n := len(points); n > 1 && points[n-1].LengthS < points[n-2].LengthS/2 {
		points = points[:n-1]
	}
	return points
}

// bySecond gathers the intervals of each second, of which there are several where something happened to the service.
func bySecond(all []history.Interval) (seconds [][]history.Interval) {
	for from, to := 0, 0; from < len(all); from = to {
		for to = from; to < len(all) && all[to].At == all[from].At; to++ {
		}
		seconds = append(seconds, all[from:to])
	}
	return seconds
}

func inSeconds(ns int64) float64 { return float64(ns) / 1e9 }

// quantiles are the times of a distribution at each nine, as far as its requests reach: 1 in 1,000 is nothing that 100 can show.
func quantiles(h *history.Histogram) (all []Quantile) {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	n := float64(h.TotalCount())
	for decade := 1.; ; decade /= 10 {
		for _, tail := range []float64{1, .5, .25} {
			above := decade * tail
			if above*n < 1-1e-9 {
				return append(all, Quantile{Share: 1 - 1/(2*n), S: inSeconds(h.Max())})
			}
			all = append(all, Quantile{Share: 1 - above, S: inSeconds(h.ValueAtPercentile(100 * (1 - above)))})
		}
	}
}

// bins counts a distribution in bins of equal width on a logarithmic scale, or on a linear one where all times are alike.
func bins(h *history.Histogram) (all []HistogramBin) {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	low, high := inSeconds(h.Min()), inSeconds(h.Max())
	low, high = max(low, 1e-9), max(high*1.0001, low+1e-6)
	if high/low < 1.05 { // what is alike is one column, not forty of which each is less than an instrument tells apart
		low, high = low/1.25, high*1.25
	}
	edge := func(i int) float64 { return low + (high-low)*float64(i)/histogramBins }
	index := func(v float64) float64 { return (v - low) / (high - low) * histogramBins }
	if high/low > 20 {
		edge = func(i int) float64 { return low * math.Pow(high/low, float64(i)/histogramBins) }
		index = func(v float64) float64 { return math.Log(v/low) / math.Log(high/low) * histogramBins }
	}
	for i := range histogramBins {
		all = append(all, HistogramBin{FromS: edge(i), ToS: edge(i + 1)})
	}
	dense := hdr.New(1, int64(history.LongestRecorded), 3) // the sparse kind cannot be walked
	h.MergeInto(dense)
	for _, b := range dense.Distribution() {
		if b.Count > 0 {
			i := int(index(max(low, inSeconds(b.From))))
			all[min(max(i, 0), histogramBins-1)].Count += b.Count
		}
	}
	return all
}
