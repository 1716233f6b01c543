package swarm_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
	"coinbench/cluster/swarm/setup"
)

// An app that stays is found by the next process, which scales it; a run of the same name is refused, until the app is taken down.
func TestAttachAndDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := enginetest.New(t)
		app := suite(t)
		ctx := t.Context()
		begin := func(keep bool) (*swarm.Cluster, *engine.Engine) {
			e := engine.New(client, engine.Options{Keep: keep})
			c, err := swarm.New(e, swarm.Config{Endpoint: swarm.DNSRR})
			if err != nil {
				t.Fatal(err)
			}
			return c, e
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		first, _ := begin(true)
		must(first.Deploy(ctx, app))
		must(first.Close(ctx))
		next, e := begin(true)
		must(next.Attach(ctx, app.Name))
		must(next.Scale(ctx, "rng", 2))
		list, err := next.Status(ctx)
		must(err)
		for _, s := range list {
			if s.Running != s.Replicas {
				t.Errorf("%s: %d of %d run", s.Name, s.Running, s.Replicas)
			}
		}
		if up, err := setup.IsUp(ctx, e, app.Name); !up || err != nil {
			t.Errorf("is up: %v, %v", up, err)
		}
		must(next.Close(ctx))
		run, _ := begin(false)
		if err := run.Deploy(ctx, app); err == nil || !strings.Contains(err.Error(), "coinbench down") {
			t.Errorf("a run beside an app that is up: %v", err)
		}
		must(setup.Down(ctx, e, app.Name))
		if made, err := setup.Made(ctx, e, app.Name); made || err != nil {
			t.Errorf("something is left: %v, %v", made, err)
		}
	})
}
