package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"coinbench/history"
)

// The bounds of reading counters: for all tasks together, and of one answer.
const (
	scrapeTimeout = time.Second
	scrapeBytes   = 4 << 20
)

// Counters reads every task's counters, all at the same time, and the host's.
func (c *Cluster) Counters(ctx context.Context) ([]history.Reading, error) {
	type source struct {
		service, task string
		of            *task // nil: Redis
		admin         string
	}
	c.mu.Lock()
	client, server := c.scrapes, c.redis
	var sources []source
	for _, s := range c.services {
		if s.isRedis && server != nil && server.backends[s] != nil {
			sources = append(sources, source{service: s.name, task: server.backends[s].task})
		}
		for _, t := range s.tasks {
			if t.admin != "" && !t.over {
				sources = append(sources, source{s.name, t.name, t, t.admin})
			}
		}
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	readings := make([]history.Reading, len(sources))
	faults := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() {
			begun := time.Now()
			var values map[string]float64
			var err error
			if s.of == nil {
				values, err = server.counters(ctx)
			} else {
				values, err = scrape(ctx, client, s.admin)
			}
			if err != nil {
				faults[i] = fmt.Errorf("counters of %s: %w", s.task, err)
				return
			}
			ended := time.Now()
			at := begun.Add(ended.Sub(begun) / 2).Sub(c.config.Start)
			readings[i] = history.Reading{At: at, Service: s.service, Task: s.task, Values: values}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range sources {
		if s.of != nil && (s.of.over || s.of.wished || s.of.fault != nil) {
			faults[i] = nil // it ended while it was asked
		}
	}
	readings = slices.DeleteFunc(readings, func(r history.Reading) bool { return r.Values == nil })
	if values := hostCounters(); len(values) > 0 {
		readings = append(readings, history.Reading{At: time.Since(c.config.Start), Service: "host", Task: "host", Values: values})
	}
	return readings, errors.Join(faults...)
}

// scrape reads the metrics of one replica.
func scrape(ctx context.Context, client *http.Client, admin string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", answer.Status)
	}
	return parse(io.LimitReader(answer.Body, scrapeBytes))
}

// parse reads Prometheus' text format into the values of a Reading.
func parse(r io.Reader) (map[string]float64, error) {
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
