package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/host"
	"coinbench/cluster/scrape"
	"coinbench/history"
)

const (
	scrapeTimeout = time.Second // bounds the reading of counters, for all tasks together

	// scrapeGap is between the questions to two tasks. Asked at the same time, two dozen processes that all answer have the processors
	// for 30 ms, in which the generator is late; each reading has its own instant anyway.
	scrapeGap = 8 * time.Millisecond
)

// Counters reads every task's counters, one soon after the other, and the host's.
func (c *Cluster) Counters(ctx context.Context) ([]history.Reading, error) {
	type source struct {
		service, task string
		of            *task // nil: Redis
		admin         string
	}
	c.mu.Lock()
	client, server := c.scrapes, c.redis
	var sources []source
	for _, s := range c.app.Services {
		if s.isRedis && server != nil && server.backends[s] != nil {
			sources = append(sources, source{service: s.name, task: server.backends[s].task})
		}
		for _, t := range s.Tasks {
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
		if i > 0 {
			select { // one that does not answer does not keep the next from being asked
			case <-time.After(min(scrapeGap, scrapeTimeout/4/time.Duration(len(sources)))):
			case <-ctx.Done():
			}
		}
		wg.Go(func() {
			begun := time.Now()
			var values map[string]float64
			var err error
			if s.of == nil {
				values, err = scrape.Redis(ctx, server.client)
			} else {
				values, err = scrape.Get(ctx, client, s.admin)
			}
			if err != nil {
				faults[i] = fmt.Errorf("counters of %s: %w", s.task, err)
				return
			}
			ended := time.Now()
			at := begun.Add(ended.Sub(begun) / 2).Sub(c.config.Start)
			readings[i] = history.Reading{At: at, Service: s.service, Task: s.task, Values: history.ValuesOf(values)}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range sources {
		if s.of != nil && (s.of.over || s.of.stopRequested || s.of.fault != nil) {
			faults[i] = nil // it ended while it was asked
		}
	}
	readings = slices.DeleteFunc(readings, func(r history.Reading) bool { return r.Values.Len() == 0 })
	if values := host.Counters(); len(values) > 0 {
		readings = append(readings, history.Reading{At: time.Since(c.config.Start), Service: "host", Task: "host",
			Values: history.ValuesOf(values)})
	}
	return readings, errors.Join(faults...)
}

// MetricsTargets are the administrative listeners of the tasks.
func (c *Cluster) MetricsTargets() (all []cluster.MetricsTarget) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.app.Services {
		for _, t := range s.Tasks {
			if t.admin != "" && !t.over {
				all = append(all, cluster.MetricsTarget{Service: s.name, Task: t.name, Slot: t.slot, Version: t.spec.Effective()["COIN_VERSION"],
					Address: t.admin})
			}
		}
	}
	return all
}
