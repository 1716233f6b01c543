package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/live"
	"coinbench/reports/openmetrics"
)

// stampFormat is that of the instant in the names of runs.
const stampFormat = "20060102T150405Z"

// metricsServer serves what Prometheus scrapes of a run or of loads: /metrics, and /sd, where the tasks are that serve metrics themselves.
// It reads the run's record as it grows, when it is asked, so it cannot hold up who records; nil serves nothing.
type metricsServer struct {
	listener net.Listener
	server   *http.Server

	mu      sync.Mutex
	run     string
	metrics *openmetrics.Metrics // nil: nothing has begun
	tail    *history.Tail        // nil: it is told what happens
	cluster cluster.Cluster      // nil: none
	loads   int
}

// serveMetrics begins to listen. An address without a host is of this machine only.
func serveMetrics(p process, address string) (*metricsServer, error) {
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", address, err)
	}
	s := &metricsServer{listener: listener}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(s.gather), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /sd", s.discovery)
	name, _ := os.Hostname()
	guarded := live.OwnHost(mux, []string{name}, "ask for its address, or for localhost")
	s.server = &http.Server{Handler: guarded, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	fmt.Fprintf(p.stderr, "live metrics at http://%s/metrics\n", listener.Addr())
	return s, nil
}

// follow begins to serve a run that is recorded in a folder.
func (s *metricsServer) follow(dir string, c cluster.Cluster) error {
	if s == nil {
		return nil
	}
	tail, m, err := history.OpenTail(dir)
	if err != nil {
		return err
	}
	run, err := runName(m.Scenario, dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.metrics, s.tail, s.cluster = run, openmetrics.New(m, run), tail, c
	return err
}

// tell begins to serve loads that follow each other.
func (s *metricsServer) tell(m history.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = openmetrics.RunName(m.Scenario, m.Start.UTC().Format(stampFormat))
	s.metrics = openmetrics.New(m, s.run)
}

// load begins a load, and returns what it is recorded with.
func (s *metricsServer) load(spec history.LoadSpec) *metricsLoad {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	s.metrics.Load(s.loads-1, spec)
	return &metricsLoad{s, s.loads - 1}
}

// metricsLoad is a load's recorder.
type metricsLoad struct {
	server *metricsServer
	n      int
}

func (l *metricsLoad) Interval(i history.Interval) error {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.metrics.Interval(l.n, i)
	return nil
}

func (l *metricsLoad) Sample(history.Sample) error { return nil }

func (s *metricsServer) gather() ([]*dto.MetricFamily, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metrics == nil {
		return nil, nil
	}
	var err error
	if s.tail != nil {
		_, err = s.tail.Next(s.metrics)
	}
	return s.metrics.Gather(), err
}

// discovery answers Prometheus' http_sd: each task whose metrics can be scraped from this machine.
func (s *metricsServer) discovery(w http.ResponseWriter, _ *http.Request) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	s.mu.Lock()
	run, c := s.run, s.cluster
	s.mu.Unlock()
	if e, ok := c.(cluster.Exporter); ok {
		for _, t := range e.MetricsTargets() {
			groups = append(groups, group{[]string{t.Address}, map[string]string{"run": run, "service": t.Service, "task": t.Task,
				"slot": strconv.Itoa(t.Slot), "version": t.Version}})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(groups) // who asked may be gone
}

func (s *metricsServer) close() {
	if s != nil {
		_ = s.server.Close()
	}
}
