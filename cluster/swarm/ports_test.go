package swarm

import (
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
)

// What is printed of published ports is where they are: the mesh's at the manager, a host port at the node of its task, with the port
// that the engine has chosen.
func TestPublishedPortsAreAsTheyAre(t *testing.T) {
	s := &service{name: "webui", id: "w", spec: cluster.Service{Name: "webui", Replicas: 2}}
	c := &Cluster{services: []*service{s}, tasks: map[string]*task{}, numbers: map[string]int{}, fetched: map[string]bool{}, looked: 1,
		nodes: map[string]node{"n1": {name: "node1", address: "10.77.0.1"}, "n2": {name: "node2", address: "fd00::2"}}}
	c.tunnel.node = "n1"
	seen := func(id, on string, slot int, ports ...api.PortConfig) {
		c.see(s, api.Task{ID: id, ServiceID: "w", NodeID: on, Slot: slot, DesiredState: api.TaskStateRunning,
			Status: api.TaskStatus{State: api.TaskStateRunning, PortStatus: api.PortStatus{Ports: ports}}})
		c.tasks[id].joined, c.tasks[id].running = true, time.Now()
	}
	seen("a", "n1", 1, api.PortConfig{PublishMode: api.PortConfigPublishModeHost, TargetPort: 80, PublishedPort: 32768})
	seen("b", "n2", 2, api.PortConfig{PublishMode: api.PortConfigPublishModeHost, TargetPort: 80, PublishedPort: 32771},
		api.PortConfig{PublishMode: api.PortConfigPublishModeHost, TargetPort: 80, PublishedPort: 32771}, // of IPv6
		api.PortConfig{PublishMode: api.PortConfigPublishModeHost, TargetPort: 81})
	s.mesh = meshPorts(api.Service{Endpoint: api.Endpoint{Ports: []api.PortConfig{
		{PublishMode: api.PortConfigPublishModeIngress, PublishedPort: 30000},
		{PublishMode: api.PortConfigPublishModeHost, PublishedPort: 0},
	}}})
	if got, want := c.publishedNow(s), []string{"10.77.0.1:30000", "10.77.0.1:32768", "[fd00::2]:32771"}; !slices.Equal(got, want) {
		t.Errorf("published at %v, want %v", got, want)
	}
}

// A port's own mode is kept, and without virtual addresses there is the host's alone.
func TestPortModes(t *testing.T) {
	for _, row := range []struct {
		mode string
		at   EndpointMode
		want api.PortConfigPublishMode
	}{
		{"", VIP, api.PortConfigPublishModeIngress}, {"ingress", VIP, api.PortConfigPublishModeIngress}, {"host", VIP,
			api.PortConfigPublishModeHost},
		{"ingress", DNSRR, api.PortConfigPublishModeHost}, {"host", DNSRR, api.PortConfigPublishModeHost},
	} {
		c := &Cluster{}
		s := &service{mode: row.at, spec: cluster.Service{Name: "a", Image: "x", Ports: []cluster.Port{{Target: 80, Mode: row.mode}}}}
		if got := c.describe(s, 0).EndpointSpec.Ports[0].PublishMode; got != row.want {
			t.Errorf("mode %q, %s: %s, want %s", row.mode, row.at, got, row.want)
		}
	}
}

// What a Swarm does not carry has its line and column in the Compose file.
func TestPortsAndNetworksThatAreNotCarried(t *testing.T) {
	const source = `services:
  a:
    image: x
    ports:
      - 127.0.0.1:8000:80
      - 0.0.0.0:8001:80
    networks: [front]
  b:
    image: x
    networks: [back]
networks:
  front:
  back:
    internal: true
    driver_opts: {encrypted: ""}
`
	app, err := cluster.LoadApp(t.Context(), "my.yml", []byte(source), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = new(Cluster).Check(app)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`my.yml:5:9: services.a.ports.0: port 80 is published at 127.0.0.1, but a Swarm publishes at every address`,
		"my.yml:10:16: services.b.networks.back: a second network, back besides front,",
		"my.yml:14:5: networks.back.internal:", "my.yml:15:5: networks.back.driver_opts:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is\n%v\nwithout %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("%d faults, want 4:\n%v", n, err)
	}
}
