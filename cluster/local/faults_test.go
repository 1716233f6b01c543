package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/scrape"
	"coinbench/history"
	"coinbench/history/event"
)

// only is an app of rng alone, with the given environment over GORACE and the test's replica.
func only(t testing.TB, replicas int, deploy string, env map[string]string) cluster.App {
	t.Helper()
	source := fmt.Sprintf(`services:
  rng:
    image: coinbench/rng:v0.1
    stop_grace_period: 1s
    healthcheck:
      test: [CMD, /coinbench, healthcheck, "http://127.0.0.1:8081/healthz"]
      interval: 20ms
      timeout: 20s
      retries: 2
    deploy: {replicas: %d, %s}
`, replicas, deploy)
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", []byte(source), nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"GORACE": "atexit_sleep_ms=0", "TEST_REPLICA": "true"}
	for k, v := range env {
		all[k] = v
	}
	if app, err = app.With("rng", nil, cluster.Change{Environment: all}); err != nil {
		t.Fatal(err)
	}
	return app
}

// up deploys an app that is removed at the end of the test.
func up(t *testing.T, config Config, app cluster.App) *Cluster {
	t.Helper()
	config.Publish = map[string]int{}
	c := newCluster(t, config)
	t.Cleanup(func() { c.Remove(context.Background()) })
	if err := c.Deploy(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, c *Cluster, path string) string {
	t.Helper()
	address, err := c.Address(t.Context(), "rng")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	answer, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A replica finds the service's variables, those of the cluster, and nothing of ours.
func TestEnvironmentIsExact(t *testing.T) {
	t.Setenv("SECRET", "ours")
	c := up(t, Config{}, only(t, 1, "", map[string]string{"COIN_DELAY": "7ms"}))
	address, _ := c.Address(t.Context(), "rng")
	got := strings.Split(strings.TrimSpace(get(t, c, "/")), "\n")
	slices.Sort(got)
	want := []string{
		"COIN_ADMIN_LISTEN=127.0.0.1:0", "COIN_DELAY=7ms", "COIN_HOSTS=rng:80=" + address, "COIN_LISTEN=127.0.0.1:0",
		"COIN_REPLICA=rng.1", "COIN_SUPERVISED=true", "COIN_VERSION=v0.1", "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0", "TEST_REPLICA=true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the environment is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCrashedReplicaIsReplaced(t *testing.T) {
	var seen clustertest.Events
	up(t, Config{Sink: seen.Add}, only(t, 1, "restart_policy: {delay: 10ms}", map[string]string{"TEST_CRASH": "200ms"}))
	wait(t, "the third life", func() bool { return seen.Count(event.TaskJoined{}) >= 3 })
}

func TestCrashLoopEnds(t *testing.T) {
	var seen clustertest.Events
	dir := t.TempDir()
	c := newCluster(t, Config{Sink: seen.Add, Dir: dir, Publish: map[string]int{}})
	defer c.Remove(context.Background())
	err := c.Deploy(t.Context(), only(t, 1, "restart_policy: {delay: 1ms, max_attempts: 2}", map[string]string{"TEST_CRASH": "start"}))
	for _, want := range []string{"rng.1#3", "exit status 3", "no entropy left", "after 2 restarts"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
	if n := seen.Count(event.TaskGone{}); n != 3 {
		t.Errorf("%d tasks have ended; want 3", n)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "logs", "rng.1#2.log")); err != nil || !strings.Contains(string(text), "no entropy left") {
		t.Errorf("the log is %q, %v", text, err)
	}
}

func TestDeployHasADeadline(t *testing.T) {
	c := newCluster(t, Config{Deadline: time.Millisecond, Publish: map[string]int{}})
	defer c.Remove(context.Background())
	app := only(t, 1, "restart_policy: {delay: 1h}", map[string]string{"TEST_SICK": "true"})
	app.Services[0].Health.Timeout = time.Millisecond // it is part of the deadline
	app.Services[0].StopGrace = time.Millisecond
	err := c.Deploy(t.Context(), app)
	if err == nil || !strings.Contains(err.Error(), "not converged within") || !strings.Contains(err.Error(), "rng.1") {
		t.Errorf("the error is %v", err)
	}
}

func TestSickReplicaNeverJoins(t *testing.T) {
	var seen clustertest.Events
	c := newCluster(t, Config{Sink: seen.Add, Publish: map[string]int{}})
	defer c.Remove(context.Background())
	err := c.Deploy(t.Context(), only(t, 1, "restart_policy: {condition: none}", map[string]string{"TEST_SICK": "true"}))
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "restart policy is none") {
		t.Errorf("the error is %v", err)
	}
	if seen.Count(event.TaskUnhealthy{}) != 1 || seen.Count(event.TaskJoined{}) != 0 {
		t.Error("it was not found unhealthy once, or it was in rotation")
	}
}

// A replica that ignores SIGTERM is killed after its grace, and Remove does not wait for more than its own.
func TestStubbornReplica(t *testing.T) {
	var seen clustertest.Events
	app := only(t, 2, "", map[string]string{"TEST_STUBBORN": "true"})
	c := up(t, Config{Sink: seen.Add}, app)
	if err := c.Scale(t.Context(), "rng", 1); err != nil {
		t.Fatal(err)
	}
	killed := func() int {
		n := 0
		for _, e := range seen.List() {
			if e.Payload == event.Payload(event.TaskGone{Exit: "signal: killed"}) {
				n++
			}
		}
		return n
	}
	if killed() != 1 {
		t.Error("it was not killed, or that counts as its fault")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if killed() != 2 {
		t.Error("the other was not killed")
	}
}

// A request that a replica has begun is finished, though it leaves.
func TestDrain(t *testing.T) {
	source := strings.NewReplacer("coinbench/rng", "coinbench/hasher", "rng:", "rng:\n    environment: {GORACE: atexit_sleep_ms=0, COIN_DELAY: 1ms, COIN_HEADER_TIMEOUT: 0s}\n    stop_grace_period: 60s\n    healthcheck: {test: [CMD, /coinbench, healthcheck, 'http://127.0.0.1:8081/healthz'], interval: 20ms}").Replace(`services:
  rng:
    image: coinbench/rng:v0.1
`)
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", []byte(source), nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen clustertest.Events
	c := up(t, Config{Sink: seen.Add}, app)
	address, _ := c.Address(t.Context(), "rng")
	conn := dial(t, address)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: hasher\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // it waits for the body
		t.Fatalf("%q, %v", line, err)
	}
	answers.ReadString('\n')
	scaled := make(chan error, 1)
	go func() { scaled <- c.Scale(context.Background(), "rng", 0) }()
	wait(t, "the signal to stop", func() bool { return seen.Count(event.TaskStopping{}) == 1 })
	fmt.Fprint(conn, "coin")
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatalf("the request that was begun: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || len(body) != 64 {
		t.Errorf("the request that was begun: %s, %d bytes, %v", answer.Status, len(body), err)
	}
	if err := <-scaled; err != nil {
		t.Error(err)
	}
}

func TestBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	c := newCluster(t, Config{Publish: map[string]int{"webui": port}})
	err = c.Deploy(t.Context(), shipped(t))
	for _, want := range []string{fmt.Sprint("port ", port), "webui", "--publish webui=0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
	if s, _ := c.Status(t.Context()); s != nil {
		t.Error("something is deployed")
	}
	if err := c.Check(shipped(t)); err == nil || !strings.Contains(err.Error(), fmt.Sprint("port ", port)) {
		t.Errorf("it is not found before anything starts: %v", err)
	}

	// A service without replicas needs no port, until it has some.
	none := 0
	app, err := shipped(t).With("webui", &none, cluster.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Deploy(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	defer c.Remove(context.Background())
	if err := c.Scale(t.Context(), "webui", 1); err == nil || !strings.Contains(err.Error(), fmt.Sprint("port ", port)) {
		t.Errorf("scaled onto a busy port: %v", err)
	}
	l.Close()
	if err := c.Scale(t.Context(), "webui", 1); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}

func TestRedisThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := newCluster(t, Config{Redis: l.Addr().String()})
	if err := c.Deploy(t.Context(), shipped(t)); err == nil || !strings.Contains(err.Error(), l.Addr().String()) ||
		!strings.Contains(err.Error(), "--redis") {
		t.Errorf("the error is %v", err)
	}
	if _, err := New(Config{Command: []string{"x"}, Redis: "localhost"}); err == nil {
		t.Error("an address without a port is accepted")
	}
}

func TestCheck(t *testing.T) {
	for _, row := range []struct {
		service string // under services:\n  a:\n
		want    []string
	}{
		{"image: nginx:1", []string{"docker-compose.yml:3:5", "nginx:1", "coinbench/rng", "redis"}},
		{"image: example.com:5000/coinbench/rng:v3", []string{"docker-compose.yml:3:5", "no image", "--cluster swarm"}},
		{"image: ghcr.io/acme/coinbench/worker:pr-18", []string{"ghcr.io/acme"}},
		{"image: coinbench/rng@sha256:abc", []string{"sha256:abc"}},
		{"image: example.com/redis:7", []string{"example.com/redis"}},
		{"image: coinbench/worker:pr-18", nil},
		{"image: mycoinbench/rng", []string{"mycoinbench/rng"}},
		{"image: redis", nil},
		{"image: docker.io/library/redis:7-alpine", nil},
		{"image: bitnami/redis", []string{"bitnami/redis"}},
		{"image: redis\n    deploy: {replicas: 2}", []string{"docker-compose.yml:4:14", "0 or 1"}},
		{"image: coinbench/rng\n    volumes: [/data]", []string{"docker-compose.yml:4:5", "volumes"}},
		{"image: coinbench/rng\n    deploy:\n      resources: {limits: {cpus: '1'}}", []string{"docker-compose.yml:5:7", "deploy.resources"}},
		{"image: coinbench/rng\n    deploy: {placement: {constraints: [node.role==manager]}}", []string{"docker-compose.yml:4:26", "one node"}},
		{"image: coinbench/rng\n    deploy: {mode: global}", nil},
		{"image: coinbench/rng\n    command: [sh]", []string{"docker-compose.yml:4:5", "coinbench service rng"}},
		{"image: coinbench/rng\n    environment: {COIN_DELAY: fast}", []string{"docker-compose.yml:4:19", "fast", "a duration"}},
		{"image: coinbench/rng\n    environment: [COIN_HOSTS=a]", []string{"docker-compose.yml:4:19", "set by the cluster"}},
		{"image: coinbench/rng\n    healthcheck: {test: curl -f localhost}", []string{"docker-compose.yml:4:19", "/coinbench"}},
		{"image: coinbench/rng\n    healthcheck: {test: [CMD, /coinbench, healthcheck, 'http://other/']}", []string{"other"}},
		{"image: coinbench/rng\n    ports: ['8000:81']", []string{"docker-compose.yml:4:13", "81", "80"}},
		{"image: coinbench/worker\n    ports: ['8000:80']", []string{"no port"}},
	} {
		source := "services:\n  a:\n    " + row.service + "\n"
		app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", []byte(source), nil)
		if err != nil {
			t.Errorf("%s: %v", row.service, err)
			continue
		}
		c := newCluster(t, Config{Publish: map[string]int{}})
		err = c.Check(app)
		if (err != nil) != (row.want != nil) {
			t.Errorf("%s: the error is %v", row.service, err)
		}
		for _, w := range row.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error is\n%v\nwithout %q", row.service, err, w)
			}
		}
	}
	c := newCluster(t, Config{Publish: map[string]int{"wbeui": 1, "rng": 2}})
	if err := c.Check(shipped(t)); err == nil || !strings.Contains(err.Error(), `"wbeui"`) || !strings.Contains(err.Error(), "rng=2") {
		t.Errorf("impossible overrides of ports: %v", err)
	}
}

func TestLogIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	l, err := newLogFile(name)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1<<16-1) + "\n")
	for range maxLog>>16 + 10 {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.Write([]byte("the end\n"))
	if got := l.last(1); len(got) != 1 || got[0] != "the end" {
		t.Errorf("the tail ends %q", got)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || len(text) > maxLog+100 || !strings.Contains(string(text[maxLog-10:]), "cut after 10 MiB") {
		t.Errorf("the file has %d bytes, %v", len(text), err)
	}
}

func TestParseMetrics(t *testing.T) {
	values, err := scrape.Parse(strings.NewReader(`# TYPE coinbench_request_queue_seconds histogram
coinbench_request_queue_seconds_bucket{le="1"} 2
coinbench_request_queue_seconds_bucket{le="+Inf"} 3
coinbench_request_queue_seconds_sum 4.5
coinbench_request_queue_seconds_count 3
# TYPE coinbench_requests_total counter
coinbench_requests_total{method="GET",code="200"} 7
# TYPE coinbench_in_flight gauge
coinbench_in_flight 1
# TYPE go_goroutines gauge
go_goroutines 9
`))
	want := map[string]float64{
		history.QueueSum: 4.5, history.QueueCount: 3, history.InFlight: 1,
		`coinbench_requests_total{code="200",method="GET"}`: 7,
	}
	if err != nil || fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("%v, %v; want %v", values, err, want)
	}
	if _, err := scrape.Parse(strings.NewReader("nonsense {")); err == nil {
		t.Error("nonsense is accepted")
	}
}
