package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"coinbench/cluster"
	"coinbench/cluster/host"
	"coinbench/cluster/scrape"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/relay"
	"coinbench/history"
)

const scrapeTimeout = time.Second // for all tasks together

// Counters reads every task's counters, all at the same time, through the relay: each task is asked at its own address, so
// that no balancer chooses whom we read; and those of the machine that the relay is on, the manager whose engine we speak to.
func (c *Cluster) Counters(ctx context.Context) ([]history.Reading, error) {
	type source struct {
		of      observe.Task
		service string
		redis   bool
		address string
	}
	c.mu.Lock()
	var sources []source
	for _, s := range c.app.Services {
		listen, admin := s.spec.Listens()
		k := cluster.ParseImage(s.spec.Image).Kind
		for _, t := range c.seen.Live(s.name) {
			if !t.Started || t.IP == "" {
				continue
			}
			switch {
			case k == cluster.Redis && !t.StopRequested():
				sources = append(sources, source{t, s.name, true, t.IP + ":" + strconv.Itoa(listen)})
			case admin > 0:
				sources = append(sources, source{t, s.name, false, t.IP + ":" + strconv.Itoa(admin)})
			}
		}
	}
	none := c.app.Services == nil
	c.mu.Unlock()
	if none || len(sources) == 0 {
		return nil, nil
	}
	inside, web, err := c.overlay.Relay(ctx)
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, max(scrapeTimeout, c.engine.Deadline/60)) // a Swarm that may change slowly may answer slowly
	defer cancel()
	readings := make([]history.Reading, len(sources))
	faults := make([]error, len(sources))
	var wg sync.WaitGroup
	var machine history.Reading
	wg.Go(func() { machine = c.machine(ctx, inside) })
	for i, s := range sources {
		wg.Go(func() {
			begun := time.Now()
			var values map[string]float64
			var err error
			if s.redis {
				values, err = redisCounters(ctx, s.address, inside.Dial)
			} else {
				values, err = scrape.Get(ctx, web, s.address)
			}
			if err != nil {
				faults[i] = fmt.Errorf("counters of %s: %w", s.of.Name, err)
				return
			}
			ended := time.Now()
			at := begun.Add(ended.Sub(begun) / 2).Sub(c.config.Start)
			readings[i] = history.Reading{At: at, Service: s.service, Task: s.of.Name, Values: history.ValuesOf(values)}
		})
	}
	wg.Wait()
	after := c.state()
	for i, s := range sources {
		if t, known := after.Task(s.of.ID); !known || t.Gone || t.StopRequested() || t.Killed || !t.Joined {
			faults[i] = nil // it ended while it was asked, or is not there yet
		}
	}
	readings = append(readings, machine)
	return slices.DeleteFunc(readings, func(r history.Reading) bool { return r.Values.Len() == 0 }), errors.Join(faults...)
}

// machine reads the counters of the machine that the relay is on; without values where that fails. The relay and, if it is the same
// machine, this process are not what disturbs there.
func (c *Cluster) machine(ctx context.Context, r *relay.Client) history.Reading {
	begun := time.Now()
	values, kernel, err := r.Host(ctx)
	if err != nil || len(values) == 0 {
		return history.Reading{}
	}
	ended := time.Now()
	if kernel != "" && kernel == host.Kernel() {
		values[history.ProcessCPU] += host.Counters()[history.ProcessCPU]
	}
	at := begun.Add(ended.Sub(begun) / 2).Sub(c.config.Start)
	return history.Reading{At: at, Service: "host", Task: "host", Values: history.ValuesOf(values)}
}

// redisCounters reads the app's two keys.
func redisCounters(ctx context.Context, address string, dial func(context.Context, string, string) (net.Conn, error)) (map[string]float64,
	error) {
	scrape.QuietRedis()
	client := goredis.NewClient(&goredis.Options{
		Addr: address, Dialer: dial, PoolSize: 1, MaxRetries: -1, DisableIdentity: true, Protocol: 2, ContextTimeoutEnabled: true,
	})
	defer client.Close()
	return scrape.Redis(ctx, client)
}
