package swarm

import (
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

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
		c := &Cluster{engine: engine.New(nil, engine.Options{})}
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
