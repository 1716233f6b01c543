package scenarios

import (
	"slices"
	"strings"
	"testing"

	"coinbench/cluster"
)

// A global service has a task on each node, and takes no number, whichever step gives one.
func TestGlobalServicesTakeNoNumber(t *testing.T) {
	app := func(string) (cluster.App, error) {
		return cluster.LoadApp(t.Context(), "app.yml", []byte("services: {rng: {image: coinbench/rng:v0.1, deploy: {mode: global}}, hasher: "+
			"{image: coinbench/hasher:v0.1}}"), nil)
	}
	const head = "name: x\napp: app.yml\nobjectives: []\nsteps:\n"
	for _, row := range []struct{ steps, at string }{
		{"- deploy: {rng: 3}", "x.yaml:5:17"},
		{"- deploy: {rng: {replicas: 3}}", "x.yaml:5:28"},
		{"- deploy:\n- scale: {rng: 3}", "x.yaml:6:16"},
		{"- deploy:\n- sweep: {service: rng, replicas: 3}", "x.yaml:6:35"},
	} {
		_, err := Parse("x.yaml", []byte(head+row.steps+"\n"), Options{App: app})
		if err == nil || !strings.Contains(err.Error(), row.at) || !strings.Contains(err.Error(),
			"3 replicas of rng, which is global: one task on each node; accepted: no number") {
			t.Errorf("%s: %v, want it at %s", row.steps, err, row.at)
		}
	}
	if _, err := Parse("x.yaml", []byte(head+"- deploy: {hasher: 3}\n- kill: {service: rng, replica: 2}\n"), Options{App: app}); err != nil {
		t.Errorf("the third node's task can be killed: %v", err)
	}
}

// A port of a service of ours is its own or a fault; of others any is taken.
func TestPortOfLoads(t *testing.T) {
	app := func(string) (cluster.App, error) {
		return cluster.LoadApp(t.Context(), "app.yml", []byte("services: {web: {image: 'nginx:1'}, hasher: {image: coinbench/hasher:v0.1, "+
			"environment: {COIN_LISTEN: ':8080'}}}"), nil)
	}
	const head = "name: x\napp: app.yml\nobjectives: []\nsteps:\n- deploy:\n"
	for step, want := range map[string]string{
		"- bench: {service: web, port: 8080, requests: 1}":            "",
		"- attack: {service: hasher, port: 8080, rate: 1/s, for: 1s}": "",
		"- attack: {service: hasher, port: 80, rate: 1/s, for: 1s}": "x.yaml:6:35: " +
			"port is 80, but hasher listens on 8080; accepted: no port, or 8080",
		"- search: {service: web, port: 70000, slo: p99<1s}": "x.yaml:6:32: " +
			"port is 70000; accepted: 1 to 65535",
		"- bench: {service: web, port: 0, requests: 1}": "x.yaml:6:31: port is 0",
		"- measure: {name: m, for: 1s, probe: {service: hasher, port: 81}}": "x.yaml:6:62: " +
			"port is 81, but hasher",
		"- update: {service: hasher, environment: {COIN_LISTEN: ':81'}}\n- bench: {service: hasher, port: 8080, requests: 1}": "x.yaml:7",
	} {
		_, err := Parse("x.yaml", []byte(head+step+"\n"), Options{App: app})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
}

// The nodes that generators are kept off are those that any step drains or cuts off, once each.
func TestDisturbedNodes(t *testing.T) {
	const text = "name: x\nobjectives: []\nsteps:\n- deploy:\n- drain: {node: node2, service: rng}\n- drain: {node: node2, activate: true, " +
		"service: rng}\n- partition: {node: node3, for: 2s, service: rng}\n"
	s, err := Parse("x.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.disturbed(); !slices.Equal(got, []string{"node2", "node3"}) {
		t.Errorf("%v", got)
	}
}
