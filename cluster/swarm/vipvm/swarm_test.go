package vipvm

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/cluster/swarm/lab/labtest"
	"coinbench/history"
	"coinbench/history/event"
)

const (
	allowance = 14 * time.Minute // of the whole test
	replicas  = 5                // of rng
	point     = .01              // of all requests, by which a replica's share may miss its fifth
	turns     = 2                // requests by which it may miss it anyway: each of two nodes takes turns on its own
	least     = 150              // requests of the workers in all, and answers to the second load
)

// inTheGuest plays the scenario of the folder on the Swarm, and meanwhile asks every node for the web page, from outside of
// the nodes. It ends with the scenario's own exit status.
const inTheGuest = `
cd "$FOLDER"
coinbench run balancing.yaml --cluster swarm --deadline 10m --out run >run.txt 2>&1 & run=$!
for address in $(coinbench swarm lab ps | awk 'NR > 1 { print $2 }'); do
	until timeout 20 bash -c 'exec 3<>"/dev/tcp/$1/8000" && printf "GET /index.html HTTP/1.0\r\n\r\n" >&3 && cat <&3' get "$address" >"$address.page" && grep -q '</html>' "$address.page"; do
		kill -0 $run || break
		sleep 1
	done 2>/dev/null
done
wait $run
`

// Virtual addresses and the routing mesh for real: in a guest with Debian's kernel, on a Swarm of two nodes. What is judged is
// what the record says of addresses and counts. The run's own verdict is not: one processor carries all of it.
func TestVirtualAddressesInAGuest(t *testing.T) {
	if os.Getenv(labtest.Gate) != "1" {
		t.Skipf("not run: virtual addresses and the routing mesh need a kernel with IPVS, so this starts one as root; set %s=1", labtest.Gate)
	}
	dir := t.TempDir()
	program, registry, share := filepath.Join(dir, "coinbench"), filepath.Join(dir, "registry"), filepath.Join(dir, "share")
	if err := errors.Join(
		os.WriteFile(program, labtest.Binary(t), 0o755),
		Fill(t.Context(), registry, labtest.Images(t, "v0.1")),
	); err != nil {
		t.Fatal(err)
	}
	writeScenario(t, share)
	var out bytes.Buffer
	begun := time.Now()
	status, err := Run(t.Context(), Options{
		Shares: []string{share}, Env: []string{"FOLDER=" + share}, Timeout: allowance, Stdout: &out, Stderr: &out,
		Swarm: &Swarm{Nodes: 2, Program: program, Registry: registry},
	}, "bash", "-c", inTheGuest)
	said, _ := os.ReadFile(filepath.Join(share, "run.txt"))
	t.Logf("the guest took %s, exit status %d\n%s", time.Since(begun).Round(time.Second), status, out.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	run, err := history.Open(filepath.Join(share, "run"))
	if err != nil || run.Status != history.Finished {
		t.Fatalf("the run did not come to its end: %v\n%s", err, said)
	}
	t.Run("auto chooses virtual addresses", func(t *testing.T) { choseVIP(t, run) })
	t.Run("one name, one address, all replicas", func(t *testing.T) { oneAddress(t, run) })
	t.Run("each rng has its fifth", func(t *testing.T) { fifths(t, run) })
	t.Run("the web page on every node", func(t *testing.T) { webPage(t, run, share) })
}

// writeScenario writes balancing as it is shipped, changed for a slow machine: the app is without health checks, of which
// fifteen a second would take the processor, and it ends before rng is replaced, some seconds after the workers have gone, so
// that the counters are read when they stand still.
func writeScenario(t *testing.T, dir string) {
	t.Helper()
	scenario, err := os.ReadFile("../../../scenarios/balancing.yaml")
	app, err2 := os.ReadFile("../../../docker-compose.yml")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	changed := func(text, from, to string) string {
		if !strings.Contains(text, from) {
			t.Fatalf("%q is not in what is shipped any more", from)
		}
		return strings.ReplaceAll(text, from, to)
	}
	text := changed(string(scenario), "\nname: balancing\n", "\nname: balancing\napp: app.yaml\n")
	// Nodes that lose messages in a busy guest have all from each other after half a minute.
	// Then a load that is not judged: the first look-ups and connections of a busy guest may take longer than a request is given.
	// Two clients, as every request looks the name up.
	text = changed(text, "  - bench: {name: fresh, service: rng, path: /10, clients: 10", "  - wait: 35s\n"+
		"  - bench: {name: first, service: rng, path: /10, clients: 2, requests: 50}\n  - wait: 5s\n"+
		"  - bench: {name: fresh, service: rng, path: /10, clients: 2")
	// Before the workers come, the counters are read when they stand still.
	text = changed(text, "  - scale: {worker: \"${workers}\"}", "  - wait: 8s\n  - scale: {worker: \"${workers}\"}")
	text = changed(text, "workers: {default: 10", "workers: {default: 2")
	text = changed(text, "measure: {default: 12s", "measure: {default: 50s")
	begin, end := strings.Index(text, "  - update:"), strings.Index(text, "objectives:")
	if begin < 0 || end < begin {
		t.Fatal("balancing does not end with an update any more")
	}
	text = text[:begin] + "  - wait: 8s\n" + text[end:]
	bare := changed(string(app), "    healthcheck: *health\n", "")
	// For each virtual address in a network an engine runs itself anew for each of the network's containers, which is most of what it does.
	bare = changed(bare, "      replicas: 1\n      endpoint_mode: ${ENDPOINT_MODE:-vip}\n", "      endpoint_mode: dnsrr\n")
	for _, service := range []string{"hasher", "worker"} {
		before, after, found := strings.Cut(bare, "\n  "+service+":\n")
		if !found {
			t.Fatalf("there is no service %s any more", service)
		}
		bare = before + "\n  " + service + ":\n" + strings.Replace(after, "deploy: *deploy", "deploy: {<<: *deploy, endpoint_mode: dnsrr}", 1)
	}
	if err := errors.Join(
		os.Mkdir(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "balancing.yaml"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(bare), 0o644),
	); err != nil {
		t.Fatal(err)
	}
}

func choseVIP(t *testing.T, run *history.Run) {
	deployed := 0
	for _, e := range run.Events {
		switch p := e.Payload.(type) {
		case event.Warning:
			if strings.Contains(p.Message, "virtual addresses") {
				t.Errorf("it fell back: %s", p.Message)
			}
		case event.ServiceDeployed:
			if e.Service != "rng" && e.Service != "webui" {
				continue
			}
			deployed++
			if p.Endpoint != "vip" || p.Balance != "round-robin" {
				t.Errorf("%s has the endpoint mode %s, balance %s", e.Service, p.Endpoint, p.Balance)
			}
		}
	}
	if deployed != 2 {
		t.Errorf("%d services were deployed", deployed)
	}
}

// oneAddress is what the overlay's DNS said: of rng one address, which is none of the five of tasks.rng.
func oneAddress(t *testing.T, run *history.Run) {
	said := 0
	for _, e := range run.Events {
		is := e.Detail()
		if e.Service != "rng" || is["dns.tasks.rng"] == "" {
			continue
		}
		name, each := is["dns.rng"], strings.Fields(is["dns.tasks.rng"])
		t.Logf("%s: rng is %s, tasks.rng is %v", e.Payload.Kind(), name, each)
		if net.ParseIP(name) == nil || slices.Contains(each, name) {
			t.Errorf("%s: rng is %q, which is not one address of its own", e.Payload.Kind(), name)
		}
		if len(each) != replicas {
			t.Errorf("%s: tasks.rng is %v", e.Payload.Kind(), each)
		}
		said++
	}
	if said == 0 {
		t.Error("no event has the answers of the DNS")
	}
}

// fifths judges the requests of the second load and of the workers.
func fifths(t *testing.T, run *history.Run) {
	var wrong []string
	judged := 0
	for _, l := range run.Loads {
		total := l.Total()
		t.Logf("the load %s: %d answers, %v", l.Name, total.OK, total.Failures)
		if !strings.HasPrefix(l.Name, "fresh") {
			continue
		}
		judged++
		// A resolver that the guest keeps waiting too long says nothing of addresses; where a connection began, it must have been answered.
		unresolved := total.Failures[history.NameResolution]
		if l.Closing == nil || total.OK < least || total.OK+unresolved != 200 {
			wrong = append(wrong, fmt.Sprintf("the load %s: %d of 200 requests, %v", l.Name, total.OK, total.Failures))
		}
		counts := map[string]float64{}
		for replica, n := range total.Replicas {
			counts[replica] = float64(n)
		}
		wrong = append(wrong, unequal(t, "the load "+l.Name, counts, float64(total.OK))...)
	}
	if judged != 1 {
		wrong = append(wrong, fmt.Sprintf("%d loads with the name fresh", judged))
	}
	// The workers' requests: what the five rng had counted when the workers were gone, without what they had counted
	// before the first worker came.
	came, gone := time.Duration(-1), time.Duration(-1)
	for _, e := range run.Events {
		switch {
		case e.Is(event.StepBegin{}) && e.Detail()["verb"] == "scale" && came < 0:
			came = e.At
		case e.Is(event.StepEnd{}) && e.Detail()["verb"] == "wait": // the last one
			gone = e.At
		}
	}
	before, after := map[string]float64{}, map[string]float64{}
	for _, r := range run.Readings {
		if r.Service != "rng" || r.At > gone {
			continue
		}
		after[r.Task] = answered(r)
		if r.At < came {
			before[r.Task] = answered(r)
		}
	}
	workers, all := map[string]float64{}, 0.0
	for task, n := range after {
		workers[task] = n - before[task]
		all += workers[task]
	}
	if len(before) != replicas || all < least {
		wrong = append(wrong, fmt.Sprintf("%g requests of the workers to %d rng; %d wanted", all, len(before), least))
	}
	wrong = append(wrong, unequal(t, "the workers", workers, all)...)
	if len(wrong) > 0 { // the record first: of a long output the end is what people see
		said, _ := os.ReadFile(filepath.Join(run.Dir, "..", "run.txt"))
		t.Logf("%s", said)
		for _, e := range run.Events {
			if e.Is(event.Warning{}) || e.Is(event.StepBegin{}) || e.Is(event.WindowBegin{}) || e.Is(event.WindowEnd{}) {
				t.Log(e.At, e.Payload.Kind(), e.Service, e.Detail())
			}
		}
		for _, r := range run.Readings {
			t.Log(r.At, r.Task, answered(r), r.Values.Of(history.Hashes))
		}
		t.Error(strings.Join(wrong, "\n"))
	}
}

// answered is how many requests a replica has answered.
func answered(r history.Reading) (sum float64) {
	for series, value := range r.Values.All() {
		if strings.HasPrefix(series, history.Requests) {
			sum += value
		}
	}
	return sum
}

// unequal is what is wrong where the replicas did not get a fifth of all requests each.
func unequal(t *testing.T, who string, counts map[string]float64, all float64) (wrong []string) {
	t.Helper()
	t.Logf("%s: %v of %g", who, counts, all)
	if len(counts) != replicas {
		wrong = append(wrong, fmt.Sprintf("%s reached %d replicas: %v", who, len(counts), counts))
	}
	for replica, n := range counts {
		if math.Abs(n-all/replicas) > max(point*all, turns) {
			wrong = append(wrong, fmt.Sprintf("%s: %s has %.2f %% of %g requests", who, replica, 100*n/all, all))
		}
	}
	return wrong
}

// webPage says that both nodes answered with the page of the one replica, which ran on one of them.
func webPage(t *testing.T, run *history.Run, share string) {
	on := map[string]bool{}
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.TaskStarted); ok && e.Service == "webui" {
			on[p.Node] = true
		}
	}
	if len(on) != 1 {
		t.Errorf("webui ran on %v", on)
	}
	pages, err := filepath.Glob(filepath.Join(share, "*.page"))
	if err != nil || len(pages) != 2 {
		t.Fatalf("pages: %v, %v", pages, err)
	}
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, []byte("</html>")) || !bytes.Contains(page, []byte("X-Coinbench-Replica: webui.1")) {
			t.Errorf("%s:\n%s", filepath.Base(path), page)
		}
	}
}
