package cluster

import (
	"fmt"
	"testing"
	"time"
)

// The engine compares failures/tasks with the ratio in single precision (moby/moby#26421): so an equal share is tolerated, whether the
// ratio came as a float32 from a Compose file or as a float64 from a scenario.
func TestTolerated(t *testing.T) {
	for _, row := range []struct {
		ratio   float64
		n, want int
	}{
		{0.7, 10, 7}, {0.35, 20, 7}, {0.45, 20, 9}, {0, 10, 0}, {1, 10, 10}, {0.1, 10, 1}, {0.3, 10, 3}, {0.29, 100, 29}, {0.57, 100, 57}, {0.5,
			1, 0}, {0.5, 0, 0},
	} {
		source := fmt.Sprintf("services: {a: {image: x, deploy: {update_config: {max_failure_ratio: %g}}}}", row.ratio)
		app, err := LoadApp(t.Context(), "docker-compose.yml", []byte(source), nil)
		if err != nil {
			t.Fatal(err)
		}
		if file, given := app.Services[0].Update.Tolerated(row.n), (Rollout{MaxFailureRatio: row.ratio}).Tolerated(row.n); file != row.want ||
			given != row.want {
			t.Errorf("%g of %d: %d are tolerated by the Compose file, %d by a step; want %d", row.ratio, row.n, file, given, row.want)
		}
	}
	for n := range 200 { // the definition
		for k := range 101 {
			r := Rollout{MaxFailureRatio: float64(k) / 100}
			for f := range n + 1 {
				if halts := float32(f)/float32(n) > float32(r.MaxFailureRatio); halts != (f > r.Tolerated(n)) {
					t.Fatalf("%d of %d failures at %d %%: %d are tolerated", f, n, k, r.Tolerated(n))
				}
			}
		}
	}
}

func TestWatch(t *testing.T) {
	for _, row := range []struct{ delay, monitor, want time.Duration }{
		{0, 5, 5}, {2, 5, 5}, {5, 5, 6}, {8, 2, 9}, {0, 0, 0}, {1, 0, 2},
	} {
		if got := (Rollout{Delay: row.delay * time.Second, Monitor: row.monitor * time.Second}).Watch(); got != row.want*time.Second {
			t.Errorf("delay %d s and monitor %d s: watched for %s; want %d s", row.delay, row.monitor, got, row.want)
		}
	}
}

// Images are read in one place for every cluster: what they run, and whether a cluster that runs no images plays it.
func TestParseImage(t *testing.T) {
	for name, want := range map[string]Image{
		"coinbench/rng:v0.1":                         {"rng", "v0.1", true},
		"coinbench/worker":                           {"worker", "", true},
		"redis":                                      {Redis, "", true},
		"library/redis:7":                            {Redis, "7", true},
		"docker.io/library/redis:7-alpine":           {Redis, "7-alpine", true},
		"valkey/valkey:8":                            {Redis, "8", true},
		"docker.io/valkey/valkey:8":                  {Redis, "8", true},
		"10.77.0.1:5005/coinbench/rng:v2":            {"rng", "v2", false},
		"10.77.0.1:5005/library/redis:7":             {Redis, "7", false},
		"ghcr.io/acme/coinbench/worker:pr-18":        {"worker", "pr-18", false},
		"registry.example/valkey:8":                  {Redis, "8", false},
		"bitnami/redis":                              {Redis, "", false},
		"mycoinbench/rng":                            {"", "", false},
		"coinbench/rgn:v1":                           {"", "v1", false},
		"nginx:1":                                    {"", "1", false},
		"coinbench/rng@sha256:abc":                   {},
		"coinbench/rng:v1@sha256:" + sha256OfNothing: {"rng", "v1", false},
		"": {},
	} {
		if got := ParseImage(name); got != want {
			t.Errorf("%s is %+v; want %+v", name, got, want)
		}
	}
}

const sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
