package openmetrics

import (
	"cmp"
	"maps"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// Gather is what a scrape sees now, by name.
func (m *Metrics) Gather() (all []*dto.MetricFamily) {
	for _, name := range slices.Sorted(maps.Keys(m.families)) {
		f := m.known[name]
		family := &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: f.Kind.Enum()}
		parts := map[string]*dto.Metric{} // of summaries, whose sum and count are two series
		for _, key := range slices.Sorted(maps.Keys(m.families[name])) {
			s := m.families[name][key]
			if len(s.points) == 0 {
				continue
			}
			p := s.points[len(s.points)-1]
			metric := parts[labelText(s.labels)]
			if metric == nil {
				metric = &dto.Metric{}
				for _, l := range s.labels {
					metric.Label = append(metric.Label, &dto.LabelPair{Name: &l.name, Value: &l.value})
				}
				parts[labelText(s.labels)] = metric
				family.Metric = append(family.Metric, metric)
			}
			s.word(metric, p)
		}
		if len(family.Metric) > 0 {
			all = append(all, family)
		}
	}
	return all
}

// word puts a point into a metric.
func (s *series) word(metric *dto.Metric, p point) {
	switch s.family.Kind {
	case dto.MetricType_COUNTER:
		metric.Counter = &dto.Counter{Value: &p.value}
	case dto.MetricType_SUMMARY:
		metric.Summary = cmp.Or(metric.Summary, &dto.Summary{})
		if s.suffix == "_sum" {
			metric.Summary.SampleSum = &p.value
		} else {
			n := uint64(p.value)
			metric.Summary.SampleCount = &n
		}
	case dto.MetricType_HISTOGRAM:
		buckets := s.buckets[len(s.buckets)-1]
		h := &dto.Histogram{SampleSum: &p.value, SampleCount: &buckets[len(buckets)-1]}
		for i, b := range bounds() {
			upper := b.Seconds()
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &upper, CumulativeCount: &buckets[i]})
		}
		metric.Histogram = h
	default:
		metric.Gauge = &dto.Gauge{Value: &p.value}
	}
}
