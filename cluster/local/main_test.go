package local

import (
	"coinbench/cluster/clustertest"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, as `service <name>`, the replica that they deploy: the test binary is both.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "service" {
		if os.Getenv("TEST_REPLICA") == "" {
			os.Exit(clustertest.Replica(os.Args[2]))
		}
		os.Exit(replica(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(supervise())
	}
	goleak.VerifyTestMain(m)
}

// replica is a service as the cluster sees it, for an environment with TEST_REPLICA, with faults on request: TEST_CRASH=start ends it
// before it announces itself, TEST_CRASH=<duration> after that time; TEST_SICK=true makes its health check fail; TEST_STUBBORN=true makes
// it ignore SIGTERM.
func replica(name string) int {
	if os.Getenv("TEST_CRASH") == "start" {
		fmt.Fprintln(os.Stderr, "no entropy left")
		return 3
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(9)
	}()
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	var announcement struct {
		Listen string `json:"listen"`
		Admin  string `json:"admin"`
	}
	if name != "worker" {
		l, err := net.Listen("tcp", os.Getenv("COIN_LISTEN"))
		if err != nil {
			return 1
		}
		announcement.Listen = l.Addr().String()
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Coinbench-Replica", os.Getenv("COIN_REPLICA"))
			w.Header().Set("X-Coinbench-Version", os.Getenv("COIN_VERSION"))
			for _, e := range os.Environ() {
				fmt.Fprintln(w, e)
			}
			if d, err := time.ParseDuration(r.URL.Query().Get("wait")); err == nil {
				time.Sleep(d)
			}
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
		}))
	}
	l, err := net.Listen("tcp", os.Getenv("COIN_ADMIN_LISTEN"))
	if err != nil {
		return 1
	}
	announcement.Admin = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("TEST_SICK") == "true" {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "# TYPE coinbench_requests_total counter\ncoinbench_requests_total{method=\"GET\",code=\"200\"} 7\n")
		fmt.Fprintf(w, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0.5\n# TYPE go_goroutines gauge\ngo_goroutines 3\n")
	})
	go http.Serve(l, mux)
	fmt.Printf("%s serves\n", os.Getenv("COIN_REPLICA"))
	json.NewEncoder(os.NewFile(3, "announcement")).Encode(announcement)
	crash := make(<-chan time.Time)
	if d, err := time.ParseDuration(os.Getenv("TEST_CRASH")); err == nil {
		crash = time.After(d)
	}
	for {
		select {
		case <-crash:
			fmt.Fprintln(os.Stderr, "out of coins")
			return 4
		case <-terminate:
			if os.Getenv("TEST_STUBBORN") != "true" {
				return 0
			}
		}
	}
}
