//go:build linux

// Benchpeers measures coinbench's load generator against wrk, ab and hey, against nginx on loopback with a 32-byte answer.
//
//	go run ./internal/benchpeers [-rounds 5] [-t 3s] [-only c50] [-bench coinbench] [-against older-coinbench]
//
// It starts nginx itself (with a configuration of its own in a temporary folder), runs every tool in turn, round after
// round, and prints the medians of throughput, CPU time per request (user and system) and the most resident memory, with the ratios
// that the project promises. Every tool is a command, coinbench's bench too, as its users run it; time and memory are what the
// kernel says of its process (wait4(2)).
//
// Debian: apt-get install wrk apache2-utils hey nginx-light
package main

import (
	"errors"
	"flag"
	"fmt"

	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchpeers:", err)
		os.Exit(3)
	}
}

// result is one run of one tool.
type result struct {
	requests float64
	seconds  float64
	cpu      float64 // seconds
	peakRSS  float64 // bytes
}

func (r result) rate() float64 { return r.requests / r.seconds }
func (r result) cost() float64 { return r.cpu / r.requests }

// setting is one row group of the table.
type setting struct {
	name    string
	clients int
	fresh   bool // a new connection for each request
	peers   []string
}

var settings = []setting{
	{"c1", 1, false, []string{"wrk"}},
	{"c50", 50, false, []string{"wrk", "hey"}},
	{"c256", 256, false, []string{"wrk"}},
	{"new50", 50, true, []string{"ab"}},
}

func run() error {
	rounds := flag.Int("rounds", 5, "rounds; every tool runs once in each")
	length := flag.Duration("t", 3*time.Second, "length of each run")
	only := flag.String("only", "", "only this setting: c1, c50, c256, new50")
	workers := flag.String("nginx", "auto", "nginx's worker_processes")
	against := flag.String("against", "", "also run this other `binary` of coinbench, to compare two versions of it")
	binary := flag.String("bench", "", "the `binary` of coinbench; otherwise it is built from the source in this folder")
	open := flag.Bool("open", false, "measure the open workload instead: its lag at 5,000/s, and its answer to a server that stalls")
	memory := flag.Bool("memory", true, "also measure 10,000 connections and a run ten times as long")
	flag.Parse()
	if *length < time.Second || *length%time.Second != 0 {
		return fmt.Errorf("-t %v: wrk and ab count whole seconds", *length)
	}

	url, stop, err := startNginx(*workers)
	if err != nil {
		return err
	}
	defer stop()
	if *binary == "" {
		dir, err := os.MkdirTemp("", "benchpeers")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		*binary = filepath.Join(dir, "coinbench")
		if out, err := exec.Command("go", "build", "-o", *binary, "./cmd/coinbench").CombinedOutput(); err != nil {
			return fmt.Errorf("build coinbench (run this in the project's folder, or give -bench): %w\n%s", err, out)
		}
	}
	if *open {
		return openWorkloads(*binary, url)
	}
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("%d CPUs, %s, nginx worker_processes %s, %d rounds of %v, medians\n", runtime.NumCPU(), runtime.Version(), *workers, *rounds,
		*length)
	fmt.Fprintln(tw, "setting\ttool\trequests/s\tratio\tCPU us/request\tratio\tpeak MB\t")
	for _, s := range settings {
		if *only != "" && *only != s.name {
			continue
		}
		tools := append([]string{*binary}, s.peers...)
		if *against != "" {
			tools = append(tools, *against)
		}
		results := map[string][]result{}
		for round := range *rounds {
			for i := range tools {
				tool := tools[(i+round)%len(tools)] // none always runs first
				r, err := play(tool, s, url, *length)
				if err != nil {
					return fmt.Errorf("%s: %w", tool, err)
				}
				results[tool] = append(results[tool], r)
				time.Sleep(100 * time.Millisecond) // let nginx close what is left
			}
		}
		for _, tool := range tools {
			m := summarise(results[tool])
			// Neighbours in time share the machine's mood: the ratio is the median of the rounds' ratios.
			var rates, costs []float64
			for i, r := range results[tool] {
				ours := results[*binary][i]
				rates = append(rates, ours.rate()/r.rate())
				costs = append(costs, ours.cost()/r.cost())
			}
			name := tool
			if tool == *binary {
				name = "coinbench"
			}
			fmt.Fprintf(tw, "%s\t%s\t%.0f\t%.3f\t%.2f\t%.3f\t%.1f\t\n", s.name, name, m.rate(), median(rates), m.cost()*1e6, median(costs),
				m.peakRSS/1e6)
		}
		tw.Flush()
	}
	if !*memory || *only != "" {
		return nil
	}
	fmt.Println("\npeak memory of coinbench")
	base := setting{clients: 256}
	steady := 2 * *length // a few collections of garbage are needed before memory is steady
	short, err := play(*binary, base, url, steady)
	if err != nil {
		return err
	}
	long, err := play(*binary, base, url, 10*steady)
	if err != nil {
		return err
	}
	many, err := play(*binary, setting{clients: 10_000}, url, steady)
	if err != nil {
		return err
	}
	fmt.Printf("256 connections: %.1f MB; ten times as long: %.1f MB (x %.2f); 10,000 connections: %.1f MB, %.0f requests/s\n",
		short.peakRSS/1e6, long.peakRSS/1e6, long.peakRSS/short.peakRSS, many.peakRSS/1e6, many.rate())
	return nil
}

// openWorkloads shows what an open workload promises: punctual requests, and the law of the stall. A server that stops for
// S in every T makes a request that falls due within a stall wait for its end: P(response time > x) = (S-x)/T.
func openWorkloads(binary, url string) error {
	show := func(title string, args ...string) error {
		fmt.Println(title)
		cmd := exec.Command(binary, append([]string{"attack"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	if err := show("5,000/s for 10 s, nginx:", "--rate", "5000/s", "--duration", "10s", url); err != nil {
		return err
	}
	const stall, every = time.Second, 5 * time.Second
	begin := time.Now()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if at := time.Since(begin) % every; at >= every-stall {
			time.Sleep(every - at)
		}
		w.Header().Set("Content-Length", "32")
		w.Write([]byte("01234567890123456789012345678901"))
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go server.Serve(l)
	defer server.Close()
	return show("\n500/s for 20 s over 10 connections, a server that stops for 1 s in every 5; the law says for response time: p90 500 ms, "+
		"p99 950 ms, p99.9 995 ms:",
		"--rate", "500/s", "--duration", "20s", "--connections", "10", "http://"+l.Addr().String()+"/")
}

// summarise takes the median of each number.
func summarise(rs []result) result {
	var rates, costs, peaks []float64
	for _, r := range rs {
		rates = append(rates, r.rate())
		costs = append(costs, r.cost())
		peaks = append(peaks, r.peakRSS)
	}
	rate := median(rates)
	return result{requests: rate, seconds: 1, cpu: median(costs) * rate, peakRSS: median(peaks)}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// play runs one tool once: wrk, ab, hey or, by its path, coinbench, whose command bench speaks ab's language.
func play(tool string, s setting, url string, length time.Duration) (result, error) {
	c, secs := strconv.Itoa(s.clients), strconv.FormatFloat(length.Seconds(), 'f', -1, 64)
	args := []string{tool, "bench", "-c", c, "-t", secs, "-k=" + strconv.FormatBool(!s.fresh), url}
	switch tool {
	case "wrk":
		args = []string{"wrk", "-t", strconv.Itoa(min(s.clients, runtime.NumCPU())), "-c", c, "-d", secs + "s", url}
	case "ab":
		args = []string{"ab", "-q", "-n", "50000000", "-c", c, "-t", secs, url}
		if !s.fresh {
			args = slices.Insert(args, 1, "-k")
		}
	case "hey":
		args = []string{"hey", "-c", c, "-z", length.String(), url}
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return result{}, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	begin := time.Now()
	out, err := cmd.Output()
	wall := time.Since(begin).Seconds()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s%s", err, out, exit.Stderr)
		}
		return result{}, err
	}
	ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	r := result{seconds: wall, cpu: float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9, peakRSS: 1024 * float64(ru.Maxrss)}
	counted, took := `Complete requests:\s+(\d+)`, `Time taken for tests:\s+([\d.]+)` // ab and coinbench
	switch tool {
	case "wrk":
		counted, took = `(\d+) requests in`, `requests in ([\d.]+)s`
	case "hey":
		counted, took = `\[200\]\s+(\d+) responses`, `Total:\s+([\d.]+) secs`
	}
	m := regexp.MustCompile(counted).FindSubmatch(out)
	if m == nil {
		return r, fmt.Errorf("cannot read its output:\n%s", out)
	}
	r.requests, _ = strconv.ParseFloat(string(m[1]), 64)
	if t := regexp.MustCompile(took).FindSubmatch(out); t != nil {
		r.seconds, _ = strconv.ParseFloat(string(t[1]), 64)
	}
	return r, nil
}

const nginxConf = `daemon off;
worker_processes %s;
worker_rlimit_nofile 65536;
pid %[2]s/pid;
error_log %[2]s/error.log;
events { worker_connections 16384; }
http {
	access_log off;
	keepalive_requests 100000000;
	keepalive_timeout 600s;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen 127.0.0.1:%[3]d backlog=16384;
		location / { default_type text/plain; return 200 "01234567890123456789012345678901"; }
	}
}
`

// startNginx runs an nginx of our own and waits until it answers.
func startNginx(workers string) (url string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "benchpeers")
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, workers, dir, port), 0o600); err != nil {
		return "", nil, err
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	cmd := exec.Command(nginx, "-c", conf, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		os.RemoveAll(dir)
	}
	for range 200 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return fmt.Sprintf("http://127.0.0.1:%d/", port), stop, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("nginx does not answer")
}
