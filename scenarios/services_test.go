package scenarios

import (
	"strings"
	"testing"

	"coinbench/cluster"
)

// A global service has a task on each node, and takes no number, whichever step gives one.
func TestGlobalServicesTakeNoNumber(t *testing.T) {
	app := func(string) (cluster.App, error) {
		return cluster.LoadApp(t.Context(), "app.yml", []byte("services: {rng: {image: coinbench/rng:v0.1, deploy: {mode: global}}, hasher: {image: coinbench/hasher:v0.1}}"), nil)
	}
	const head = "name: x\napp: app.yml\nobjectives: []\nsteps:\n"
	for _, row := range []struct{ steps, at string }{
		{"- deploy: {rng: 3}", "x.yaml:5:17"},
		{"- deploy: {rng: {replicas: 3}}", "x.yaml:5:28"},
		{"- deploy:\n- scale: {rng: 3}", "x.yaml:6:16"},
		{"- deploy:\n- sweep: {service: rng, replicas: 3}", "x.yaml:6:35"},
	} {
		_, err := Parse("x.yaml", []byte(head+row.steps+"\n"), Options{App: app})
		if err == nil || !strings.Contains(err.Error(), row.at) || !strings.Contains(err.Error(), "3 replicas of rng, which is global: one task on each node; accepted: no number") {
			t.Errorf("%s: %v, want it at %s", row.steps, err, row.at)
		}
	}
	if _, err := Parse("x.yaml", []byte(head+"- deploy: {hasher: 3}\n- kill: {service: rng, replica: 2}\n"), Options{App: app}); err != nil {
		t.Errorf("the third node's task can be killed: %v", err)
	}
}
