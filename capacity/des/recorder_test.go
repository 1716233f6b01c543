package des

import (
	"maps"

	"coinbench/history"
)

// recorder keeps what it is given, but for the histograms.
type recorder struct {
	intervals []history.Interval
	samples   []history.Sample
}

func (r *recorder) Interval(i history.Interval) error {
	i.Response, i.Service, i.GivenUp, i.Lag = nil, nil, nil, nil
	for n := range i.Parts {
		i.Parts[n].Response = nil
	}
	i.Failures, i.Replicas, i.Versions = maps.Clone(i.Failures), maps.Clone(i.Replicas), maps.Clone(i.Versions)
	r.intervals = append(r.intervals, i)
	return nil
}

func (r *recorder) Sample(s history.Sample) error {
	r.samples = append(r.samples, s)
	return nil
}
