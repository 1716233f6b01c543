package local

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"coinbench/cluster"
)

// checker asks a replica for its health, as Docker would from within the container.
type checker struct {
	client *http.Client
	health cluster.Health
	url    string
}

// newChecker maps the port of the check's URL to the address at which the replica really serves it.
func newChecker(h cluster.Health, client *http.Client, addresses map[string]string) (*checker, error) {
	u, err := healthURL(h.Test)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	c := &checker{client: client, health: h}
	if address, ok := addresses[port]; ok {
		u.Host = address
		c.url = u.String()
	}
	return c, nil
}

// probe is one check.
func (c *checker) probe(ctx context.Context) error {
	if c.url == "" {
		return fmt.Errorf("health check %s: connection refused: the replica does not listen on that port", c.health.Test[len(c.health.Test)-1])
	}
	ctx, cancel := context.WithTimeout(ctx, c.health.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)); err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	if answer.StatusCode >= 400 {
		return fmt.Errorf("health check: status %s", answer.Status)
	}
	return nil
}

// watch checks one interval after the start and one interval after every check, as Docker does, until ctx is done. It sends nil
// for every success, and ends after an error: Retries failures one after the other, those in the start period not counted.
func (c *checker) watch(ctx context.Context, started time.Time, results chan<- error) {
	failures := 0
	timer := time.NewTimer(time.Until(started.Add(c.health.Interval)))
	defer timer.Stop()
	healthyOnce := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := time.Now()
		err := c.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			failures, healthyOnce = 0, true
		case !healthyOnce && begun.Before(started.Add(c.health.StartPeriod)):
			err = nil
			timer.Reset(c.health.Interval)
			continue
		default:
			failures++
		}
		if err == nil || failures >= c.health.Retries {
			select {
			case results <- err:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
		timer.Reset(c.health.Interval)
	}
}
