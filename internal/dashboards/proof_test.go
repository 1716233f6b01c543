package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheus finds Debian's two programs. Without them a test fails in the gate and is left out elsewhere.
func prometheus(t *testing.T) {
	t.Helper()
	for _, program := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("COINBENCH_GATE") != "" {
				t.Fatalf("%v: apt-get install prometheus", err)
			}
			t.Skipf("not run: what a real Prometheus says, for want of one (%v)", err)
		}
	}
}

// do runs a program and returns what it printed.
func do(t *testing.T, codes int, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > codes) {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The rules and the configurations are good, and the rules say what their tests say.
func TestRules(t *testing.T) {
	prometheus(t)
	const dir = "../../integrations/prometheus/"
	do(t, 0, "promtool", "check", "config", dir+"prometheus.yml")
	do(t, 0, "promtool", "test", "rules", dir+"rules_test.yml")
	source, err := os.ReadFile(dir + "rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(dir + "rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"sum by (run) (rate(coinbench_worker_hashes_total": "sum (rate(coinbench_worker_hashes_total",
		"> 0.5 *":                 "> 0.7 *",
		"== 0\n          and max": ">= 0\n          and max", "0.99": "0.5", `class="ok"`: `class!="ok"`, "coinbench_busy_seconds_total": "coinbench_busy_total"} {
		broken := t.TempDir()
		if !strings.Contains(string(source), from) {
			t.Fatalf("no %q in the rules", from)
		}
		for name, data := range map[string]string{"rules.yml": strings.Replace(string(source), from, to, 1), "rules_test.yml": string(tests)} {
			if err := os.WriteFile(filepath.Join(broken, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if exec.Command("promtool", "test", "rules", filepath.Join(broken, "rules_test.yml")).Run() == nil {
			t.Errorf("%q in the place of %q: the tests pass", to, from)
		}
	}
}

// result is what the panels are measured by, from a run's result.json.
type result struct {
	Run struct {
		Start time.Time
	}
	Windows []*resultWindow
	Loads   []*resultLoad
}

type resultWindow struct {
	Name     string
	BeginS   float64 `json:"begin_s"`
	EndS     float64 `json:"end_s"`
	Config   struct{ Replicas map[string]float64 }
	HashRate struct{ Value float64 } `json:"hash_rate_per_s"`
	Loop     struct {
		Stages []struct {
			Name string
			S    float64 `json:"per_loop_s"`
		}
	}
	Services []resultService
}

type resultService struct {
	Service     string
	PerS        float64  `json:"per_s"`
	DemandS     *float64 `json:"demand_s"`
	QueueS      *float64 `json:"queue_s"`
	Utilisation *float64
	BoundPerS   *float64 `json:"bound_per_s"`
}

type resultLoad struct {
	Name     string
	BeginS   float64 `json:"begin_s"`
	LengthS  float64 `json:"length_s"`
	PerS     float64 `json:"ok_per_s"`
	Requests float64
	Failed   float64
	MaxGapS  float64 `json:"max_gap_s"`
	Response struct {
		P50 float64 `json:"p50_s"`
		P99 float64 `json:"p99_s"`
	}
	Lag struct {
		P99 float64 `json:"p99_s"`
	}
}

func (r *result) window(name string) *resultWindow {
	for _, w := range r.Windows {
		if w.Name == name {
			return w
		}
	}
	return nil
}

func (r *result) load(name string) *resultLoad {
	for _, l := range r.Loads {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// sample is a series of an answer.
type sample struct {
	labels map[string]string
	value  float64
}

// moment is where a panel is asked: over a window of the run, or over one of its loads, and that of the same name of another run.
type moment struct {
	window, otherWindow *resultWindow
	load, otherLoad     *resultLoad
}

// middle is the moment's name, and its middle in the run or in the other one, in seconds since its start.
func (m moment) middle(other bool) (name string, s float64) {
	if w := m.window; w != nil {
		if other {
			w = m.otherWindow
		}
		return w.Name, (w.BeginS + w.EndS) / 2
	}
	l := m.load
	if other {
		l = m.otherLoad
	}
	return l.Name, l.BeginS + l.LengthS/2
}

// expectation says what a panel's query is to answer; "" where it is right.
type expectation func(m moment, answer []sample) string

// near holds each series' value to what is expected of its labels, within 2 %; a series of which nothing is known is left aside, and one
// that is missing is a fault.
func near(want func(m moment) map[string]float64, key ...string) expectation {
	return within(.02, want, key...)
}

func within(share float64, want func(m moment) map[string]float64, key ...string) expectation {
	return func(m moment, answer []sample) string {
		got := map[string]float64{}
		for _, s := range answer {
			var parts []string
			for _, k := range key {
				parts = append(parts, s.labels[k])
			}
			got[strings.Join(parts, " ")] += s.value
		}
		for k, v := range want(m) {
			have, ok := got[k]
			if !ok || math.Abs(have-v) > share*math.Abs(v)+1e-6 {
				return fmt.Sprintf("%q is %.6g (there: %t), want %.6g", k, have, ok, v)
			}
		}
		return ""
	}
}

// bucket holds a quantile to the bucket that the true one is in.
func bucket(want func(m moment) float64) expectation {
	return func(m moment, answer []sample) string {
		if len(answer) != 1 {
			return fmt.Sprintf("%d series", len(answer))
		}
		low, high, v := 0.0, math.Inf(1), want(m)
		for b := 1e-4; b < 100; b *= 10 {
			for _, bound := range []float64{b, 2 * b, 5 * b} {
				if bound = bound * (1 + 1e-9); bound >= v {
					high = min(high, bound)
				} else {
					low = max(low, bound)
				}
			}
		}
		if got := answer[0].value; !(got >= low && got <= high) {
			return fmt.Sprintf("%.4g, and %.4g is in %.4g..%.4g", got, v, low, high)
		}
		return ""
	}
}

// services has a value of each service of a window that has it.
func services(of func(resultService) *float64) func(m moment) map[string]float64 {
	return func(m moment) map[string]float64 { return servicesOf(m.window, of) }
}

func servicesOf(w *resultWindow, of func(resultService) *float64) map[string]float64 {
	all := map[string]float64{}
	for _, s := range w.Services {
		if v := of(s); v != nil {
			all[s.Service] = *v
		}
	}
	return all
}

func one(of func(m moment) float64) func(m moment) map[string]float64 {
	return func(m moment) map[string]float64 { return map[string]float64{"": of(m)} }
}

func utilisationOf(s resultService) *float64 { return s.Utilisation }

func rateOf(m moment) float64 { return m.window.HashRate.Value }

// expectations are those of every query of every panel, by dashboard, panel and letter. A load's panels are asked over its time.
func expectations() (ofWindows, ofLoads map[string]expectation) {
	replicas := func(m moment) map[string]float64 { return m.window.Config.Replicas }
	failures := func(of func(m moment) *resultLoad) func(m moment) map[string]float64 {
		return one(func(m moment) float64 { return of(m).Failed / of(m).Requests })
	}
	load, other := func(m moment) *resultLoad { return m.load }, func(m moment) *resultLoad { return m.otherLoad }
	ofWindows = map[string]expectation{
		"run/Hash rate/A":   near(one(rateOf)),
		"run/Hash rate/B":   within(.3, one(rateOf)), // ten hashes a worker at a time
		"run/Utilisation/A": near(services(utilisationOf), "service"),
		"run/Queue/A": near(services(func(s resultService) *float64 { // Little's law
			if s.QueueS == nil || s.Utilisation == nil {
				return nil
			}
			v := math.Round(s.PerS * *s.QueueS)
			return &v
		}), "service"),
		"run/Replicas/A": near(replicas, "service"),
		"run/Tasks/A": near(func(m moment) map[string]float64 { // each is running
			all := map[string]float64{}
			for s, n := range m.window.Config.Replicas {
				all[s] = 2 * n
			}
			return all
		}, "service"),
		"run/Requests by replica/A": near(func(m moment) map[string]float64 {
			all := map[string]float64{}
			for _, s := range m.window.Services {
				for i := range int(m.window.Config.Replicas[s.Service]) {
					all[fmt.Sprintf("%s.%d#1", s.Service, i+1)] = s.PerS / m.window.Config.Replicas[s.Service]
				}
			}
			return all
		}, "task"),
		"run/Workers in back-off/A":       near(one(func(moment) float64 { return 0 })),
		"capacity/Hash rate and bounds/A": near(one(rateOf)),
		"capacity/Hash rate and bounds/B": near(services(func(s resultService) *float64 { return s.BoundPerS }), "service"),
		"capacity/Utilisation/A":          near(services(utilisationOf), "service"),
		"capacity/Service demand/A":       near(services(func(s resultService) *float64 { return s.DemandS }), "service"),
		"capacity/Time in the queue/A":    near(services(func(s resultService) *float64 { return s.QueueS }), "service"),
		"capacity/A loop of a worker/A": near(func(m moment) map[string]float64 {
			all := map[string]float64{}
			for _, s := range m.window.Loop.Stages {
				all[s.Name] = s.S
			}
			return all
		}, "stage"),
		"capacity/Workers/A":    near(one(func(m moment) float64 { return m.window.Config.Replicas["worker"] })),
		"capacity/Workers/B":    near(replicas, "service"),
		"compare/Hash rate/A":   near(one(rateOf)),
		"compare/Hash rate/B":   near(one(func(m moment) float64 { return m.otherWindow.HashRate.Value })),
		"compare/Utilisation/A": near(services(utilisationOf), "service"),
		"compare/Utilisation/B": near(func(m moment) map[string]float64 { return servicesOf(m.otherWindow, utilisationOf) }, "service"),
	}
	ofLoads = map[string]expectation{
		"run/Requests/A":                       near(func(m moment) map[string]float64 { return map[string]float64{"ok": m.load.PerS} }, "class"),
		"run/Response time/A":                  bucket(func(m moment) float64 { return m.load.Response.P50 }),
		"run/Response time/B":                  bucket(func(m moment) float64 { return m.load.Response.P99 }),
		"run/Generator lag p99/A":              bucket(func(m moment) float64 { return m.load.Lag.P99 }),
		"run/Failed share/A":                   near(failures(load)),
		"run/Longest time without a success/A": near(one(func(m moment) float64 { return m.load.MaxGapS })),
		"compare/Response time p99/A":          bucket(func(m moment) float64 { return m.load.Response.P99 }),
		"compare/Response time p99/B":          bucket(func(m moment) float64 { return m.otherLoad.Response.P99 }),
		"compare/Failed share/A":               near(failures(load)),
		"compare/Failed share/B":               near(failures(other)),
	}
	return ofWindows, ofLoads
}

// rateInterval is what Grafana makes of $__rate_interval where Prometheus scrapes every second: four times that.
const rateInterval = 4 * time.Second

// Simulated runs, exported, made into blocks and asked for by a real Prometheus: every query of every panel answers what the run's
// result.json says of the middle of a window, and a dashboard that is spoilt does not.
func TestPanelsShowWhatWasMeasured(t *testing.T) {
	prometheus(t)
	coinbench := os.Getenv("COINBENCH_BINARY")
	dir := t.TempDir()
	if coinbench == "" {
		coinbench = filepath.Join(dir, "coinbench")
		do(t, 0, "go", "build", "-o", coinbench, "coinbench/cmd/coinbench")
	}
	var runs [2]result
	names := [2]string{"one", "two"}
	data := filepath.Join(dir, "data")
	for i, name := range names { // more workers make other numbers
		out, text := filepath.Join(dir, name), filepath.Join(dir, name+".txt")
		do(t, 1, coinbench, "run", "bottleneck", "--cluster", "sim", "--out", out, "--set", "workers="+strconv.Itoa(10+2*i))
		do(t, 0, coinbench, "export", "openmetrics", out, "--out", text)
		do(t, 0, "promtool", "tsdb", "create-blocks-from", "openmetrics", text, data)
		source, err := os.ReadFile(filepath.Join(out, "result.json"))
		if err == nil {
			err = json.Unmarshal(source, &runs[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ask := serve(t, data)
	start := float64(runs[0].Run.Start.UnixNano()) / 1e9
	ofWindows, ofLoads := expectations()
	boards := checkedIn(t)
	var matrix []string

	// faults asks every query at every moment that is known of it; spoil is what became of the queries.
	faults := func(spoil func(string) string) (all []string) {
		matrix = nil
		for _, d := range boards {
			for _, p := range d.Panels {
				for _, target := range p.Targets {
					id := strings.TrimPrefix(d.UID, "coinbench-") + "/" + p.Title + "/" + target.RefID
					var moments []moment
					want, load := ofWindows[id], false
					if want == nil {
						want, load = ofLoads[id], true
					}
					if want == nil {
						all = append(all, id+": nothing is known of what it is to show")
						continue
					}
					for _, name := range []string{"saturated", "scaled"} {
						if !load {
							w := runs[0].window(name)
							moments = append(moments, moment{window: w, otherWindow: runs[1].window(name)})
						}
					}
					for _, name := range []string{"rng/c1", "hasher/c1", "rng/c50"} {
						if l := runs[0].load(name); load && !(name == "rng/c50" && strings.Contains(id, "/Requests/")) { // it is over in a second
							moments = append(moments, moment{load: l, otherLoad: runs[1].load(name)})
						}
					}
					for _, m := range moments {
						name, middle := m.middle(strings.Contains(target.Expr, "$other"))
						expr, at := spoil(target.Expr), start+middle+rateInterval.Seconds()/2 // so that what it looks back over has its middle there
						expr = strings.NewReplacer("$__rate_interval", "4s", "$run", "bottleneck/"+names[0], "$other", "bottleneck/"+names[1],
							"$load", strings.ReplaceAll(name, ".", `\\.`)).Replace(expr)
						answer, err := ask(expr, at)
						text := fmt.Sprint(err)
						if err == nil {
							text = want(m, answer)
							if len(answer) == 0 {
								text = "no data"
							}
						}
						verdict := "ok"
						if text != "" {
							verdict = text
							all = append(all, fmt.Sprintf("%s over %s: %s\n\t%s", id, name, text, expr))
						}
						matrix = append(matrix, fmt.Sprintf("%-40s %-10s %2d series  %s", id, name, len(answer), verdict))
					}
				}
			}
		}
		return all
	}
	for _, fault := range faults(func(expr string) string { return expr }) {
		t.Error(fault)
	}
	t.Logf("what was asked:\n%s", strings.Join(matrix, "\n"))
	for name, spoil := range map[string]*strings.Replacer{
		"a metric of another name":       strings.NewReplacer("coinbench_worker_hashes_total", "coinbench_hashes_total"),
		"no matcher of the run":          strings.NewReplacer(`{run="$run"}`, "", `run="$run", `, ""),
		"a range of its own":             strings.NewReplacer("$__rate_interval", "5m"),
		"the median and the 99th turned": strings.NewReplacer("quantile(0.50,", "quantile(0.99,", "quantile(0.99,", "quantile(0.50,"),
		"the other run":                  strings.NewReplacer("$other", "$run"),
	} {
		found := faults(spoil.Replace)
		if len(found) == 0 {
			t.Errorf("%s: every panel shows what was measured", name)
		}
		t.Logf("%s: %d faults", name, len(found))
	}
}

// checkedIn reads the dashboards as Grafana does.
func checkedIn(t *testing.T) (all []Dashboard) {
	t.Helper()
	for _, d := range dashboards() {
		data, err := os.ReadFile(filepath.Join(folder, d.file()))
		if err == nil {
			err = json.Unmarshal(data, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// serve has a Prometheus serve a folder of blocks until the test ends, and returns how it is asked.
func serve(t *testing.T, data string) func(expr string, at float64) ([]sample, error) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	c := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address=127.0.0.1:0")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	ended := make(chan struct{})
	go func() { // until it ends
		defer close(ended)
		address := ""
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			line := lines.Text()
			if _, rest, ok := strings.Cut(line, `msg="Listening on" address=`); ok {
				address = strings.TrimSpace(rest)
			}
			if strings.Contains(line, "Server is ready to receive web requests") {
				said <- address
			}
		}
		if lines.Err() != nil { // a line was too long: the rest is read all the same
			_, _ = io.Copy(io.Discard, stderr)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = c.Wait() // it was killed
	})
	address := ""
	select {
	case address = <-said:
	case <-ended:
	}
	if address == "" {
		t.Fatal("Prometheus ended, or does not say where it listens")
	}
	return func(expr string, at float64) (all []sample, err error) {
		r, err := http.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {expr},
			"time": {strconv.FormatFloat(at, 'f', 3, 64)}}.Encode())
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		var answer struct {
			Error string
			Data  struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			return nil, err
		}
		if answer.Error != "" {
			return nil, errors.New(answer.Error)
		}
		for _, s := range answer.Data.Result {
			text, _ := s.Value[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, err
			}
			all = append(all, sample{s.Metric, value})
		}
		return all, nil
	}
}
