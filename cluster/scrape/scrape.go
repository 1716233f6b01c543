// Package scrape reads what a replica's counters say: Prometheus' text format in, the values of a history.Reading out.
// It asks over an http.Client that the caller gives it, wherever that leads, and keeps nothing.
package scrape

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"coinbench/history"
)

const mostBytes = 4 << 20 // of one answer

// Get reads the metrics of one replica; admin is host:port.
func Get(ctx context.Context, client *http.Client, admin string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	request.Header.Set("Accept-Encoding", "identity") // to compress a few KB costs a replica more than all the rest of the answer
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", answer.Status)
	}
	return Parse(io.LimitReader(answer.Body, mostBytes))
}

// Parse reads Prometheus' text format. Only the app's own series and two of the process are kept.
func Parse(r io.Reader) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	values := map[string]float64{}
	for name, family := range families {
		if !strings.HasPrefix(name, "coinbench_") && name != history.ProcessCPU && name != "process_resident_memory_bytes" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := labelText(m.GetLabel())
			switch {
			case m.Counter != nil:
				values[name+labels] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[name+labels] = m.Gauge.GetValue()
			case m.Untyped != nil:
				values[name+labels] = m.Untyped.GetValue()
			case m.Histogram != nil:
				values[name+"_sum"+labels] = m.Histogram.GetSampleSum()
				values[name+"_count"+labels] = float64(m.Histogram.GetSampleCount())
			case m.Summary != nil:
				values[name+"_sum"+labels] = m.Summary.GetSampleSum()
				values[name+"_count"+labels] = float64(m.Summary.GetSampleCount())
			}
		}
	}
	return values, nil
}

// labelText is {a="x",b="y"}, sorted by name; "" without labels.
func labelText(pairs []*dto.LabelPair) string {
	if len(pairs) == 0 {
		return ""
	}
	var parts []string
	for _, p := range pairs {
		parts = append(parts, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
