package attached

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// slow is a cluster whose changes take until the test lets them go.
type slow struct {
	cluster.Cluster // nil: the rest is not asked for
	sink            cluster.Sink
	begun           chan string   // receives every change that begins
	letGo           chan struct{} // each change takes one
	fault           error         // that changes end with

	mu   sync.Mutex
	done []string
}

func (s *slow) Name() string                                            { return "slow" }
func (s *slow) Now() time.Time                                          { return time.Now() }
func (s *slow) Remove(context.Context) error                            { return nil }
func (s *slow) Deploy(context.Context, cluster.App) error               { return s.fault }
func (s *slow) Status(context.Context) ([]cluster.ServiceStatus, error) { return nil, s.fault }

func (s *slow) Scale(ctx context.Context, service string, n int) error {
	return s.act(ctx, fmt.Sprintf("%s=%d", service, n))
}

func (s *slow) Update(ctx context.Context, service string, _ cluster.Change) error {
	return s.act(ctx, "update "+service)
}

func (s *slow) act(ctx context.Context, what string) error {
	s.begun <- what
	select {
	case <-s.letGo:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
	s.sink(history.Event{Payload: event.Warning{Message: what}})
	return s.fault
}

func (s *slow) ended() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.done, ", ")
}

func keepSlow(t *testing.T) (*kept, *slow) {
	s := &slow{begun: make(chan string, 10), letGo: make(chan struct{}, 10)}
	k := keepCluster(t, func(sink cluster.Sink, _ time.Time) cluster.Cluster {
		s.sink = sink
		return s
	})
	return k, s
}

// until waits for a condition; how long is of no interest.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A change that has begun goes on without its client; one that waits for it does not begin any more; one of another service does not wait.
func TestAClientThatIsGone(t *testing.T) {
	k, s := keepSlow(t)
	c := k.open(t, nil)
	first, gone := context.WithCancel(t.Context())
	second, given := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := c.Update(first, "rng", cluster.Change{}); !errors.Is(err, context.Canceled) {
			t.Errorf("the client that is gone got %v", err)
		}
	})
	if what := <-s.begun; what != "update rng" {
		t.Fatal(what)
	}
	calls.Go(func() {
		if err := c.Scale(second, "rng", 7); !errors.Is(err, context.Canceled) {
			t.Errorf("the client that gave up got %v", err)
		}
	})
	until(t, "both to be shown", func() bool { return inProgress(t, c) == "update rng, scale rng to 7 (waiting)" })
	gone()
	given()
	calls.Wait()
	// The server may learn only now that the second client is gone.
	until(t, "that the change which waits is given up", func() bool { return !strings.Contains(inProgress(t, c), "scale") })
	s.letGo <- struct{}{}
	s.letGo <- struct{}{}
	if err := c.Scale(t.Context(), "rng", 1); err != nil {
		t.Fatal(err)
	}
	if got := s.ended(); got != "update rng, rng=1" {
		t.Errorf("ended: %s", got)
	}
}

// inProgress is what Info says is in progress.
func inProgress(t *testing.T, c *Cluster) string {
	t.Helper()
	info, err := c.Info(t.Context())
	if err != nil || info.PID != os.Getpid() || info.Cluster != "slow" {
		t.Fatalf("info is %+v, %v", info, err)
	}
	var texts []string
	for _, change := range info.Changes {
		if change.Waiting {
			change.What += " (waiting)"
		}
		texts = append(texts, change.What)
	}
	return strings.Join(texts, ", ")
}

func TestChangesOfAServiceTakeTurns(t *testing.T) {
	k, s := keepSlow(t)
	c := k.open(t, nil)
	var calls sync.WaitGroup
	ask := func(n int) {
		calls.Go(func() {
			if err := c.Scale(t.Context(), "rng", n); err != nil {
				t.Error(err)
			}
		})
	}
	ask(1)
	<-s.begun
	ask(2)
	calls.Go(func() {
		if err := c.Scale(t.Context(), "hasher", 3); err != nil {
			t.Error(err)
		}
	})
	if what := <-s.begun; what != "hasher=3" {
		t.Errorf("%s began", what)
	}
	for range 3 {
		s.letGo <- struct{}{}
	}
	calls.Wait()
	if got := s.ended(); strings.Index(got, "rng=1") > strings.Index(got, "rng=2") {
		t.Errorf("ended in the order %s", got)
	}
}

// When a method returns, the sink has what happened meanwhile, and nothing of before the client came.
func TestEventsComeBeforeTheAnswer(t *testing.T) {
	k, s := keepSlow(t)
	for range 100 {
		s.sink(history.Event{Payload: event.Warning{}})
	}
	var seen []string // the client reads it after each answer
	var mu sync.Mutex
	c := k.open(t, func(e history.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e.Detail()["message"])
	})
	for n := range 20 {
		s.letGo <- struct{}{}
		if err := c.Scale(t.Context(), "rng", n); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if len(seen) != n+1 || seen[n] != fmt.Sprintf("rng=%d", n) {
			t.Fatalf("after change %d the sink has %v", n, seen)
		}
		mu.Unlock()
		<-s.begun
	}
}

// What callers ask of an error survives the way.
func TestErrorsOnTheirWay(t *testing.T) {
	k, s := keepSlow(t)
	c := k.open(t, nil)
	for _, err := range []error{
		errors.New("plain, with \"quotes\" and ü"),
		fmt.Errorf("a: %w", &cluster.RolloutError{Service: "rng", Outcome: event.RolledBack, Reason: "why"}),
		fmt.Errorf("b: %w", &cluster.ComposeError{File: "f", Line: 3, Column: 4, Problem: "p"}),
		fmt.Errorf("c: %w", errors.ErrUnsupported),
		fmt.Errorf("d: %w", context.DeadlineExceeded),
	} {
		s.fault = err
		_, got := c.Status(t.Context())
		if got == nil || got.Error() != err.Error() {
			t.Errorf("%q became %q", err, got)
			continue
		}
		var rollout, wantRollout *cluster.RolloutError
		var compose, wantCompose *cluster.ComposeError
		if errors.As(got, &rollout) != errors.As(err, &wantRollout) || rollout != nil && *rollout != *wantRollout {
			t.Errorf("%v: rollout %v", err, rollout)
		}
		if errors.As(got, &compose) != errors.As(err, &wantCompose) || compose != nil && compose.Line != wantCompose.Line {
			t.Errorf("%v: Compose fault %v", err, compose)
		}
		for name, kind := range kinds() {
			if name != "timeout" && errors.Is(got, kind) != errors.Is(err, kind) {
				t.Errorf("%v: is %s: %v", err, name, errors.Is(got, kind))
			}
		}
	}
	var late net.Error
	s.fault = fmt.Errorf("e: %w", os.ErrDeadlineExceeded)
	if _, err := c.Status(t.Context()); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a timeout became %v", err)
	}
}

// Down returns when another process can be the one. Who follows the events learns that the app is gone.
func TestDown(t *testing.T) {
	k, _ := keepSlow(t)
	watching, c := k.open(t, func(history.Event) {}), k.open(t, nil)
	if _, err := Listen(k.folder); !errors.Is(err, ErrUp) {
		t.Errorf("a second process: %v", err)
	}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(k.folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	l, err := Listen(k.folder)
	if err != nil {
		t.Fatalf("another: %v", err)
	}
	l.Close()
	<-k.ended
	until(t, "the loss", func() bool { return watching.Lost() != nil })
	if _, err := watching.Status(t.Context()); err == nil {
		t.Error("an app that is gone has a status")
	}
	if _, err := Open(t.Context(), k.folder, Config{}); !errors.Is(err, ErrDown) {
		t.Errorf("open: %v", err)
	}
}

// An app that cannot be deployed ends its process, and so does a parent that is gone before there is one.
func TestNothingToKeep(t *testing.T) {
	k, s := keepSlow(t)
	s.fault = errors.New("no")
	c := k.open(t, nil)
	if err := c.Deploy(t.Context(), cluster.App{Name: "a"}); err == nil || err.Error() != "no" {
		t.Errorf("deploy: %v", err)
	}
	<-k.ended

	k, _ = keepSlow(t)
	k.EndUnlessDeployed()
	<-k.ended

	k, _ = keepSlow(t)
	if err := k.open(t, nil).Deploy(t.Context(), cluster.App{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	k.EndUnlessDeployed()
	if _, err := k.open(t, nil).Info(t.Context()); err != nil {
		t.Errorf("an app is deployed, and the server ended: %v", err)
	}
}

func TestOneOfManyListens(t *testing.T) {
	folder := filepath.Join(socketDir(t), "coinbench")
	for range 20 {
		var wg sync.WaitGroup
		won := make(chan *Listener, 8)
		for range 8 {
			wg.Go(func() {
				l, err := Listen(folder)
				switch {
				case err == nil:
					won <- l
				case !errors.Is(err, ErrUp):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of 8 listen", len(won))
		}
		(<-won).Close()
	}
}

// stale leaves the socket of a process that was killed.
func stale(t *testing.T, folder string) string {
	t.Helper()
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, socketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

func TestAStaleSocketIsSwept(t *testing.T) {
	folder := filepath.Join(socketDir(t), "coinbench")
	path := stale(t, folder)
	if _, err := Open(t.Context(), folder, Config{}); !errors.Is(err, ErrDown) {
		t.Errorf("open: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open leaves it: %v", err)
	}
	path = stale(t, folder)
	l, err := Listen(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]fs.FileMode{path: 0o600, folder: 0o700} {
		if info, err := os.Lstat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

// Users do not meet: a folder that another can enter, or made, is refused, and not only by the one who makes the socket.
func TestOthersFolders(t *testing.T) {
	dir := socketDir(t)
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{open, link} {
		if l, err := Listen(folder); err == nil || !strings.Contains(err.Error(), "not a private folder") {
			t.Errorf("listen in %s: %v", folder, err)
			if l != nil {
				l.Close()
			}
		}
		if _, err := Open(t.Context(), folder, Config{}); err == nil || !strings.Contains(err.Error(), "not a private folder") {
			t.Errorf("open in %s: %v", folder, err)
		}
	}
	if got := Folder(dir, "/tmp", 7); got != filepath.Join(dir, "coinbench") {
		t.Errorf("the runtime folder is not taken: %s", got)
	}
	for _, runtime := range []string{"", "relative", open, filepath.Join(dir, "missing")} {
		if got := Folder(runtime, "/tmp", 7); got != filepath.Join("/tmp", "coinbench-7") {
			t.Errorf("the runtime folder %q leads to %s", runtime, got)
		}
	}
}

// A client that reads too slowly is told so, and never that nothing happened.
func TestLostEvents(t *testing.T) {
	var e Events
	for range 5 * maxEvents {
		e.Add(history.Event{Payload: event.Warning{}})
	}
	if last := e.Last(); last != 5*maxEvents {
		t.Errorf("the last is %d", last)
	}
	events, missed, _ := e.After(10)
	if missed == 0 || missed+int64(len(events))+10 != e.Last() || len(events) < maxEvents {
		t.Errorf("after 10: %d missed, %d events", missed, len(events))
	}
	events, missed, more := e.After(e.Last() - 1)
	if missed != 0 || len(events) != 1 {
		t.Errorf("after the last but one: %d missed, %d events", missed, len(events))
	}
	e.Add(history.Event{})
	<-more
}
