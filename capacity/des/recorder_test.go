package des

import "coinbench/history"

type recorder struct {
	intervals []history.Interval
	samples   []history.Sample
}

func (r *recorder) Interval(i history.Interval) error { r.intervals = append(r.intervals, i); return nil }
func (r *recorder) Sample(s history.Sample) error     { r.samples = append(r.samples, s); return nil }
