package swarm_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

// One lab serves all tests of the package; the first that needs it makes it, TestMain removes it.
var shared struct {
	once sync.Once
	lab  *lab.Lab
	err  error
}

const labName = "swarmtest"

func TestMain(m *testing.M) {
	code := labtest.Main(m)
	if shared.lab != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, labName); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// real returns the shared lab of three nodes, whose registry has the images v0.1 and v9.9.
func real(t testing.TB) *lab.Lab {
	t.Helper()
	labtest.RequireLong(t)
	shared.once.Do(func() {
		self, err := os.Executable()
		if err != nil {
			shared.err = err
			return
		}
		set := labtest.Images(t, "v0.1")
		for name, image := range labtest.Images(t, "v9.9") {
			set[name] = image
		}
		if shared.err = lab.Down(t.Context(), labName); shared.err != nil {
			return
		}
		shared.lab, shared.err = lab.Up(context.WithoutCancel(t.Context()), lab.Config{
			Name: labName, Nodes: 3, Heartbeat: time.Second, Registry: []string{self, labtest.RegistryArgument}, Images: set,
		})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.lab
}

func manager(t testing.TB, l *lab.Lab) *client.Client {
	t.Helper()
	engine, err := l.Client("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// shipped is the app of docker-compose.yml without its web page, with health checks that do not keep the tests waiting.
func shipped(t testing.TB) cluster.App {
	t.Helper()
	source, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("monitor: 5s", "monitor: 10ms", "interval: 1s", "interval: 500ms", "delay: 5s", "delay: 500ms").Replace(string(source))
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return without(app, "webui")
}

func without(app cluster.App, service string) cluster.App {
	var rest []cluster.Service
	for _, s := range app.Services {
		if s.Name != service {
			rest = append(rest, s)
		}
	}
	app.Services = rest
	return app
}

// on makes a cluster on the shared lab. What it leaves is a failure of the test.
func on(t *testing.T, config swarm.Config) *swarm.Cluster {
	t.Helper()
	l := real(t)
	config.Client = manager(t, l)
	if config.Endpoint == "" {
		config.Endpoint = swarm.DNSRR
	}
	c, err := swarm.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			t.Errorf("remove: %v", err)
		}
		nothingLeft(t, config.Client)
	})
	return c
}

// nothingLeft says what of coinbench is on the Swarm.
func nothingLeft(t *testing.T, engine *client.Client) {
	t.Helper()
	ctx := context.Background()
	services, err := engine.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", "coinbench.app")})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services.Items {
		t.Errorf("the service %s is left", s.Spec.Name)
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", "coinbench.app")})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks.Items {
		t.Errorf("the network %s is left", n.Name)
	}
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", "coinbench.part")})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range containers.Items {
		t.Errorf("the container %v is left: %s", x.Names, x.Status)
	}
}

func TestConformance(t *testing.T) {
	labtest.RequireLong(t)
	clustertest.Run(t, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		return on(t, swarm.Config{Sink: sink}), shipped(t)
	})
}
