package attached

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/history"
)

// infoTimeout is how long a server may take to say who it is.
const infoTimeout = 10 * time.Second

// Config says how a client uses the app.
type Config struct {
	Sink  cluster.Sink // takes the events from Open on, must not call the cluster; nil: none
	Start time.Time    // the run's start, to which readings are relative; zero: the call of Open
}

// Cluster is a cluster of another process. It has the abilities of the local one, and of another says errors.ErrUnsupported where it lacks
// one.
type Cluster struct {
	cluster.RealTime

	config Config
	info   Info
	http   *http.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup

	following bool // the stream of events is open

	mu   sync.Mutex
	seen int64         // number of the last event that the sink took
	lost error         // no more events come
	news chan struct{} // closed and replaced at every event
}

// Open finds the app that is up. The error is ErrDown where there is none, and ErrUp where a process has begun or is about to end. Close
// lets go of it.
func Open(ctx context.Context, folder string, config Config) (*Cluster, error) {
	if config.Start.IsZero() {
		config.Start = time.Now()
	}
	c := &Cluster{config: config, news: make(chan struct{}), http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, folder) },
	}}}
	life, stop := context.WithCancel(context.Background())
	c.stop = stop
	asking, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := c.Info(asking)
	if err == nil && config.Sink != nil {
		err = c.follow(asking, life)
	}
	if err != nil {
		c.Close()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("the process that keeps the app up does not answer: %w", err)
		}
		return nil, err
	}
	c.info = info
	return c, nil
}

// Close lets go of the app, which stays up.
func (c *Cluster) Close() {
	c.stop()
	c.wg.Wait()
	c.http.CloseIdleConnections()
}

// ask calls a method. When it returns, the sink has every event that happened before the method did.
func (c *Cluster) ask(ctx context.Context, verb string, in call) (answer, error) {
	var out answer
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", verb, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://coinbench/v1/"+verb, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("%s: %w", verb, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return out, unreached(ctx, verb, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return out, fmt.Errorf("%s: the process that keeps the app up answered %s; it may be another version of coinbench", verb, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return out, unreached(ctx, verb, err)
	}
	c.await(ctx, out.Events)
	return out, out.Error.err()
}

// errEnded is what a call fails with during which the other process ended.
var errEnded = errors.New("the process that keeps the app up has ended")

// unreached says why there was no answer.
func unreached(ctx context.Context, verb string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", verb, context.Cause(ctx))
	}
	for _, known := range []error{ErrDown, ErrUp} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s: %w: %w", verb, errEnded, err)
}

// follow opens the stream of events and reads it until life ends.
func (c *Cluster) follow(ctx, life context.Context) error {
	opening, opened := context.WithCancel(life)
	stop := context.AfterFunc(ctx, opened)
	request, err := http.NewRequestWithContext(opening, http.MethodGet, "http://coinbench/v1/events", nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return unreached(ctx, "follow the events", err)
	}
	lines := json.NewDecoder(response.Body)
	var first eventLine
	if err := lines.Decode(&first); err != nil || !stop() {
		response.Body.Close()
		return unreached(ctx, "follow the events", err)
	}
	c.seen, c.following = first.Number, true
	c.wg.Go(func() {
		defer opened()
		defer response.Body.Close()
		for {
			var line eventLine
			err := lines.Decode(&line)
			if err == nil && line.Missed > 0 {
				err = fmt.Errorf("%d events were lost: this process did not read them in time", line.Missed)
			}
			if err == nil && line.Event != nil {
				c.config.Sink(*line.Event)
			}
			c.mu.Lock()
			if c.seen = max(c.seen, line.Number); err != nil {
				c.lost = fmt.Errorf("the app is not up any more: %w", err)
			}
			close(c.news)
			c.news = make(chan struct{})
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	return nil
}

// await returns when the sink has the event with a number.
func (c *Cluster) await(ctx context.Context, number int64) {
	for c.following {
		c.mu.Lock()
		seen, lost, news := c.seen, c.lost, c.news
		c.mu.Unlock()
		if lost != nil || seen >= number {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// Lost says that no more events come.
func (c *Cluster) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Info is who keeps the app up, and what is in progress.
func (c *Cluster) Info(ctx context.Context) (Info, error) {
	out, err := c.ask(ctx, "info", call{})
	if err == nil && out.Info == nil {
		err = errors.New("info: the process that keeps the app up did not say who it is; it may be another version of coinbench")
	}
	if err != nil {
		return Info{}, err
	}
	return *out.Info, nil
}

// App is what was deployed, its services as they are now.
func (c *Cluster) App(ctx context.Context) (cluster.App, error) {
	out, err := c.ask(ctx, "app", call{})
	if err != nil || out.App == nil {
		return cluster.App{}, err
	}
	all, err := c.Status(ctx)
	if err != nil {
		return cluster.App{}, err
	}
	app := *out.App
	app.Services = nil
	for _, s := range all {
		app.Services = append(app.Services, s.Service)
	}
	return app, nil
}

// Down takes the app down and ends the process that keeps it up. It returns when another can be brought up.
func (c *Cluster) Down(ctx context.Context) error {
	_, err := c.ask(ctx, "down", call{})
	return err
}

// Name is that of the cluster of the other process.
func (c *Cluster) Name() string { return c.info.Cluster }

// Check says whether the cluster can run the app.
func (c *Cluster) Check(app cluster.App) error {
	_, err := c.ask(context.Background(), "check", call{App: &app})
	return err
}

// Deploy brings the app up. Once it has begun it goes on, even if ctx is done.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	_, err := c.ask(ctx, "deploy", call{App: &app})
	return err
}

// Scale sets the replicas of a service. Once it has begun it goes on, even if ctx is done; so do the other changes.
func (c *Cluster) Scale(ctx context.Context, service string, replicas int) error {
	_, err := c.ask(ctx, "scale", call{Service: service, Replicas: replicas})
	return err
}

// Update changes a service.
func (c *Cluster) Update(ctx context.Context, service string, change cluster.Change) error {
	_, err := c.ask(ctx, "update", call{Service: service, Change: &change})
	return err
}

// Rollback undoes the last update.
func (c *Cluster) Rollback(ctx context.Context, service string) error {
	_, err := c.ask(ctx, "rollback", call{Service: service})
	return err
}

// Restart replaces every task.
func (c *Cluster) Restart(ctx context.Context, service string) error {
	_, err := c.ask(ctx, "restart", call{Service: service})
	return err
}

// Strategies are those of the cluster.
func (c *Cluster) Strategies() []cluster.Strategy { return c.info.Strategies }

// Kill ends a replica.
func (c *Cluster) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	_, err := c.ask(ctx, "kill", call{Service: service, Slot: slot, Fault: &fault})
	return err
}

// Pause freezes a replica for a time.
func (c *Cluster) Pause(ctx context.Context, service string, slot int, d time.Duration) error {
	_, err := c.ask(ctx, "pause", call{Service: service, Slot: slot, For: d})
	return err
}

// Slow makes the way to a replica slow for a time.
func (c *Cluster) Slow(ctx context.Context, service string, slot int, delay, d time.Duration) error {
	_, err := c.ask(ctx, "slow", call{Service: service, Slot: slot, Delay: delay, For: d})
	return err
}

// Status lists the services as they are.
func (c *Cluster) Status(ctx context.Context) ([]cluster.ServiceStatus, error) {
	out, err := c.ask(ctx, "status", call{})
	return out.Services, err
}

// Address is where a service is reached.
func (c *Cluster) Address(ctx context.Context, service string) (string, error) {
	out, err := c.ask(ctx, "address", call{Service: service})
	return out.Address, err
}

// Counters reads every task's counters.
func (c *Cluster) Counters(ctx context.Context) ([]history.Reading, error) {
	out, err := c.ask(ctx, "counters", call{})
	now := time.Since(c.config.Start)
	var readings []history.Reading
	for _, r := range out.Readings {
		readings = append(readings, history.Reading{At: now - r.Age, Service: r.Service, Task: r.Task, Values: r.Values})
	}
	return readings, err
}

// Remove takes the app down. The other process goes on without one.
func (c *Cluster) Remove(ctx context.Context) error {
	for range 10 {
		_, err := c.ask(context.WithoutCancel(ctx), "remove", call{})
		if errors.Is(err, ErrDown) {
			return nil
		}
		if !errors.Is(err, errEnded) {
			return err
		}
		// It is about to end, and closed the connection that was kept: it takes the app down before it closes its socket.
	}
	return fmt.Errorf("remove: %w, again and again", errEnded)
}

// Logs writes what the tasks of a service printed.
func (c *Cluster) Logs(ctx context.Context, service string, w io.Writer) error {
	return c.logs(ctx, service, false, w)
}

// FollowLogs is Logs, and goes on.
func (c *Cluster) FollowLogs(ctx context.Context, service string, w io.Writer) error {
	return c.logs(ctx, service, true, w)
}

func (c *Cluster) logs(ctx context.Context, service string, follow bool, w io.Writer) error {
	query := url.Values{"service": {service}, "follow": {strconv.FormatBool(follow)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://coinbench/v1/logs?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return unreached(ctx, "logs", err)
	}
	defer response.Body.Close()
	from := &failing{Reader: response.Body}
	if _, err := io.Copy(w, from); from.err != nil {
		return unreached(ctx, "logs", from.err)
	} else if err != nil {
		return err
	}
	text := response.Trailer.Get(faultTrailer)
	if text == "" {
		return nil
	}
	var f fault
	if text, err = strconv.Unquote(text); err == nil {
		err = json.Unmarshal([]byte(text), &f)
	}
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	return f.err()
}

// failing remembers the reader's error, which io.Copy does not tell from the writer's.
type failing struct {
	io.Reader
	err error
}

// Read reads.
func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}
