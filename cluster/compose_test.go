package cluster

import (
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, source string, env map[string]string) (App, error) {
	t.Helper()
	return LoadApp(t.Context(), "docker-compose.yml", []byte(source), env)
}

func shipped(t *testing.T, env map[string]string) App {
	t.Helper()
	source, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	app, err := load(t, string(source), env)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestShippedFile(t *testing.T) {
	app := shipped(t, map[string]string{"TAG": "v9", "REGISTRY": "127.0.0.1:5000/"})
	var names []string
	for _, s := range app.Services {
		names = append(names, s.Name)
	}
	if want := []string{"hasher", "redis", "rng", "webui", "worker"}; !slices.Equal(names, want) {
		t.Errorf("the services are %v; want %v", names, want)
	}
	if app.Name != DefaultName {
		t.Errorf("its name is %q", app.Name)
	}
	rng, _ := app.Service("rng")
	want := Service{
		Name: "rng", Image: "127.0.0.1:5000/coinbench/rng:v9", Replicas: 1, StopGrace: 10 * time.Second,
		Environment: map[string]string{"COIN_DELAY": "100ms"},
		Health: &Health{
			Test:     []string{"CMD", "/coinbench", "healthcheck", "http://127.0.0.1:8081/healthz"},
			Interval: time.Second, Timeout: 5 * time.Second, Retries: 3,
		},
		Restart: Restart{Condition: "any", Delay: 5 * time.Second},
		Update: Rollout{Parallelism: 2, Delay: 5 * time.Second, Order: "stop-first", Monitor: 5 * time.Second, MaxFailureRatio: 0.25,
			FailureAction: "rollback"},
		Rollback: Rollout{Parallelism: 2, Order: "stop-first", Monitor: 5 * time.Second, MaxFailureRatio: 0.25, FailureAction: "pause"},
		Balance:  RoundRobin, Endpoint: "vip",
	}
	rng.Command, rng.DependsOn = nil, nil
	if !reflect.DeepEqual(rng, want) {
		t.Errorf("rng is\n%+v\nwant\n%+v", rng, want)
	}
	webui, _ := app.Service("webui")
	if !slices.Equal(webui.Ports, []Port{{Target: 80, Published: 8000, Mode: "ingress"}}) {
		t.Errorf("webui publishes %v", webui.Ports)
	}
	plain := shipped(t, nil)
	if s, _ := plain.Service("worker"); s.Image != "coinbench/worker:v0.1" {
		t.Errorf("without variables the image is %s", s.Image)
	}
}

func TestDefaultsAreDockers(t *testing.T) {
	app, err := load(t, "services: {a: {image: x, healthcheck: {test: [CMD, y]}, deploy: {update_config: {order: start-first}}}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := app.Services[0]
	if s.Replicas != 1 || s.StopGrace != 10*time.Second || s.Restart != (Restart{Condition: "any", Delay: 5 * time.Second}) ||
		s.Balance != RoundRobin {
		t.Errorf("service %+v", s)
	}
	if want := (Rollout{Parallelism: 1, Order: "start-first", Monitor: 5 * time.Second, FailureAction: "pause"}); s.Update != want {
		t.Errorf("update %+v", s.Update)
	}
	if s.Health.Interval != 30*time.Second || s.Health.Timeout != 30*time.Second || s.Health.Retries != 3 || s.Health.StartPeriod != 0 {
		t.Errorf("health %+v", *s.Health)
	}
}

func TestOneLiners(t *testing.T) {
	for _, row := range []struct {
		deploy string
		check  func(s Service) bool
	}{
		{"deploy: {endpoint_mode: dnsrr}", func(s Service) bool { return s.Balance == Random && s.Endpoint == "dnsrr" }},
		{"deploy: {endpoint_mode: dnsrr, labels: {coinbench.balance: round-robin}}", func(s Service) bool { return s.Balance == RoundRobin }},
		{"deploy: {labels: [coinbench.balance=least-connections]}", func(s Service) bool { return s.Balance == LeastConnections }},
		{"deploy: {mode: global}", func(s Service) bool { return s.Global && s.Replicas == 1 }},
		{"deploy: {replicas: 0}", func(s Service) bool { return s.Replicas == 0 }},
		{"scale: 4", func(s Service) bool { return s.Replicas == 4 }},
		{"healthcheck: {disable: true}", func(s Service) bool { return s.Health == nil }},
		{"healthcheck: {test: NONE}", func(s Service) bool { return s.Health == nil || s.Health.Test[0] == "CMD-SHELL" }},
		{"stop_grace_period: 3s", func(s Service) bool { return s.StopGrace == 3*time.Second }},
		{"environment: [A=1, B]", func(s Service) bool { return s.Environment["A"] == "1" && len(s.Environment) == 1 }},
		{"volumes: [/data]", func(s Service) bool { return slices.Equal(s.Other, []string{"volumes"}) }},
		{"deploy: {placement: {constraints: [node.role==manager], max_replicas_per_node: 1}, resources: {limits: {cpus: '1'}}}",
			func(s Service) bool {
				return slices.Equal(s.Constraints, []string{"node.role==manager"}) &&
					slices.Equal(s.Other, []string{"deploy.placement.max_replicas_per_node", "deploy.resources"})
			}},
		{"deploy: {restart_policy: {condition: on-failure, delay: 1s, max_attempts: 2, window: 9s}}", func(s Service) bool {
			return s.Restart == Restart{Condition: "on-failure", Delay: time.Second, MaxAttempts: 2, Window: 9 * time.Second}
		}},
		{"deploy: {update_config: {parallelism: 0}}", func(s Service) bool { return s.Update.Parallelism == 0 }},
	} {
		app, err := load(t, "services:\n  a:\n    image: x\n    "+row.deploy+"\n", nil)
		if err != nil {
			t.Errorf("%s: %v", row.deploy, err)
		} else if !row.check(app.Services[0]) {
			t.Errorf("%s: %+v", row.deploy, app.Services[0])
		}
	}
}

func TestFaultsHaveAPlace(t *testing.T) {
	for _, row := range []struct {
		name, source string
		want         []string // in the error
	}{
		{"not YAML", "services:\n  a: [1\n", []string{"docker-compose.yml:2:", "not YAML"}},
		{"empty", "", []string{"docker-compose.yml", "empty"}},
		{"no services", "services: {}\n", []string{"docker-compose.yml:1:1", "no services"}},
		{"unknown key", "services:\n  a:\n    image: x\n    imgae: y\n", []string{"docker-compose.yml:4:5", "imgae"}},
		{"unknown top key", "services:\n  a: {image: x}\nsevrices: {}\n", []string{"docker-compose.yml:3:1", "sevrices"}},
		{"wrong type", "services:\n  a:\n    image: x\n    deploy:\n      replicas: many\n", []string{"docker-compose.yml:5:7", "replicas"}},
		{"no image", "services:\n  a:\n    init: true\n", []string{"docker-compose.yml:2:3", "image"}},
		{"balance", "services:\n  a:\n    image: x\n    deploy:\n      labels:\n        coinbench.balance: fair\n",
			[]string{"docker-compose.yml:6:9", `"fair"`, "round-robin, round-robin-per-client, random, least-connections"}},
		{"through an anchor", "x-d: &d\n  mode: everywhere\nservices:\n  a:\n    image: x\n    deploy:\n      <<: *d\n",
			[]string{"docker-compose.yml:2:3", `"everywhere"`, "replicated or global"}},
		{"ratio", "services:\n  a:\n    image: x\n    deploy:\n      update_config:\n        max_failure_ratio: 3\n",
			[]string{"docker-compose.yml:6:9", "from 0 to 1"}},
		{"negative ratio", "services:\n  a:\n    image: x\n    deploy:\n      rollback_config:\n        max_failure_ratio: -0.1\n",
			[]string{"docker-compose.yml:6:9", "from 0 to 1"}},
		{"ratio that is no number", "services:\n  a:\n    image: x\n    deploy:\n      update_config:\n        max_failure_ratio: .nan\n",
			[]string{"docker-compose.yml"}},
		{"rollback of a rollback", "services:\n  a:\n    image: x\n    deploy:\n      rollback_config:\n        failure_action: rollback\n",
			[]string{"docker-compose.yml:6:9", "never rolled back"}},
		{"port", "services:\n  a:\n    image: x\n    ports:\n      - 53:53/udp\n", []string{"docker-compose.yml:5:9", "udp"}},
		{"dependency", "services:\n  a:\n    image: x\n    depends_on: [b]\n", []string{"docker-compose.yml:4:18",
			"needs b, which is not there"}},
		{"circle", "services:\n  a:\n    image: x\n    depends_on: [b]\n  b:\n    image: x\n    depends_on: [a]\n",
			[]string{"docker-compose.yml:4:18", "a -> b -> a"}},
		{"other files", "services:\n  a:\n    image: x\n    env_file: .env\n  b:\n    extends:\n      file: b.yml\n      service: a\n",
			[]string{"docker-compose.yml:4:5", "anchors", "docker-compose.yml:7:7", "a service of this file"}},
		{"of an extended service", "services:\n  a:\n    image: x\n    ports:\n      - target: 80\n        mode: hots\n  b:\n    extends: " +
			"{service: a}\n", []string{"docker-compose.yml:6:9", `"hots"`, "ingress (the routing mesh), or host"}},
		{"extends itself", "services:\n  a:\n    extends: b\n  b:\n    extends: a\n", []string{"docker-compose.yml"}},
		{"mode of a port", "services:\n  a:\n    image: x\n    ports:\n      - {target: 80, published: 8000, mode: hots}\n",
			[]string{"docker-compose.yml:5:39", `mode "hots"`, "ingress (the routing mesh), or host"}},
		{"host of a port", "services:\n  a:\n    image: x\n    ports:\n      - {target: 80, host_ip: localhost}\n",
			[]string{"docker-compose.yml:4:5", "invalid ip address: localhost"}},
		{"profile that is not enabled", "services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: x, profiles: [debug]}\n",
			[]string{"docker-compose.yml:4:", "profile debug", "not enabled", "required: false", "COMPOSE_PROFILES=debug"}},
		{"start interval", "services:\n  a:\n    image: x\n    healthcheck: {test: [CMD, y], start_interval: 1s}\n",
			[]string{"docker-compose.yml:4:35", "engines before 25.0", "interval alone"}},
		{"global with a number", "services:\n  a:\n    image: x\n    deploy: {mode: global, replicas: 3}\n",
			[]string{"docker-compose.yml:4:28", "3 replicas of a, which is global", "no number"}},
		{"global with a scale", "services:\n  a:\n    image: x\n    scale: 3\n    deploy: {mode: global}\n",
			[]string{"docker-compose.yml:4:5", "global"}},
		{"circular alias", "x: &a\n  <<: *a\nservices: *a\n", []string{"docker-compose.yml:2:7", "*a"}},
		{"two at once", "services:\n  a:\n    image: x\n    deploy: {mode: m}\n  b:\n    image: x\n    deploy: {mode: n}\n",
			[]string{"docker-compose.yml:4:14", "docker-compose.yml:7:14"}},
	} {
		_, err := load(t, row.source, nil)
		if err == nil {
			t.Errorf("%s: no error", row.name)
			continue
		}
		for _, w := range row.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error is\n%v\nwithout %q", row.name, err, w)
			}
		}
	}
}

// What a file says is put together as docker compose does: extends within the file, and services whose profiles are enabled.
func TestExtendsAndProfiles(t *testing.T) {
	const source = `
services:
  base:
    image: x
    environment: {A: "1", B: "2"}
    volumes: [/data]
    deploy: {replicas: 2, resources: {limits: {cpus: "1"}}}
  a:
    extends: base
    environment: {B: "3"}
    deploy: {replicas: 4}
    depends_on: {debug: {condition: service_started, required: false}}
  debug: {image: x, profiles: [debug, more]}
`
	for env, want := range map[string][]string{"": {"a", "base"}, "debug": {"base", "debug", "a"}, "other,more": {"base", "debug", "a"}} {
		app, err := load(t, source, map[string]string{"COMPOSE_PROFILES": env})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range app.Services {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("with the profiles %q the services are %v, want %v", env, names, want)
		}
		s, _ := app.Service("a")
		if s.Image != "x" || s.Replicas != 4 || s.Environment["A"] != "1" || s.Environment["B"] != "3" || len(s.DependsOn) != len(want)-2 {
			t.Errorf("%+v", s)
		}
		if !slices.Equal(s.Other, []string{"volumes", "deploy.resources"}) {
			t.Errorf("keys that are not carried: %v; those of the extended service count", s.Other)
		}
	}
}

// One network for all is what a Swarm gets; whatever else is said of networks has its place.
func TestApart(t *testing.T) {
	for _, row := range []struct {
		name, source string
		want         []string // beginnings
	}{
		{"none", "services: {a: {image: x}}", nil},
		{"one", "services: {a: {image: x, networks: [n]}, b: {image: x, networks: {n: }}}\nnetworks: {n: {driver: overlay, attachable: true, " +
			"internal: false, x-note: y}, unused: {internal: true}}", nil},
		{"two", "services:\n  a: {image: x, networks: [front]}\n  b:\n    image: x\n    networks:\n      - front\n      - back\nnetworks: " +
			"{front: , back: {internal: true}}", []string{"docker-compose.yml:7:9: services.b.networks.back: a second network",
			"docker-compose.yml:8:28: networks.back.internal"}},
		{"one and the default", "services:\n  a: {image: x, networks: [n]}\n  b: {image: x}\nnetworks: {n: }",
			[]string{"docker-compose.yml:3:3: services.b.networks.default: a second network, default besides n"}},
		{"encrypted", "services: {a: {image: x}}\nnetworks:\n  default:\n    driver_opts: {encrypted: ''}\n",
			[]string{"docker-compose.yml:4:5: networks.default.driver_opts"}},
		{"another driver", "services: {a: {image: x}}\nnetworks:\n  default:\n    driver: macvlan\n",
			[]string{"docker-compose.yml:4:5: networks.default.driver"}},
		{"foreign", "services: {a: {image: x, networks: [n]}}\nnetworks:\n  n:\n    external: true\n",
			[]string{"docker-compose.yml:4:5: networks.n.external"}},
		{"alias", "services:\n  a:\n    image: x\n    networks:\n      n:\n        aliases: [z]\nnetworks: {n: }",
			[]string{"docker-compose.yml:5:7: services.a.networks.n"}},
	} {
		app, err := load(t, row.source, nil)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if len(app.Apart) != len(row.want) {
			t.Errorf("%s: %v", row.name, app.Apart)
			continue
		}
		for i, f := range app.Apart {
			if !strings.HasPrefix(f.Error(), row.want[i]) || !strings.Contains(f.Error(), "one network for all services") {
				t.Errorf("%s: %v, want %s", row.name, f, row.want[i])
			}
		}
	}
}

func TestWith(t *testing.T) {
	app := shipped(t, nil)
	five := 5
	changed, err := app.With("rng", &five, Change{Image: "coinbench/rng:v2", Balance: Random,
		Environment: map[string]string{"COIN_DELAY": "", "COIN_SEED": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := changed.Service("rng")
	if s.Replicas != 5 || s.Image != "coinbench/rng:v2" || s.Balance != Random || len(s.Environment) != 1 ||
		s.Environment["COIN_SEED"] != "7" {
		t.Errorf("changed into %+v", s)
	}
	if s, _ := app.Service("rng"); s.Replicas != 1 || s.Environment["COIN_DELAY"] != "100ms" || len(s.Environment) != 1 {
		t.Errorf("the original changed too: %+v", s)
	}
	minus, two := -1, 2
	global := App{Services: []Service{{Name: "a", Global: true, Replicas: 1}}}
	for what, err := range map[string]error{
		"service":  second(app.With("rgn", nil, Change{})),
		"replicas": second(app.With("rng", &minus, Change{})),
		"global":   second(global.With("a", &two, Change{})),
		"balance":  second(app.With("rng", nil, Change{Balance: "fair"})),
		"rollout":  second(app.With("rng", nil, Change{Rollout: &Rollout{MaxFailureRatio: 2}})),
		"ratio":    second(app.With("rng", nil, Change{Rollout: &Rollout{MaxFailureRatio: math.NaN()}})),
	} {
		if err == nil {
			t.Errorf("impossible %s: no error", what)
		}
	}
}

func second(_ App, err error) error { return err }

func FuzzLoadApp(f *testing.F) {
	source, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(source))
	f.Add("services: {a: {image: x, deploy: {labels: [coinbench.balance=random]}}}")
	f.Add("x: &a\n  <<: *a\nservices: *a\n")
	f.Fuzz(func(t *testing.T, source string) {
		app, err := load(t, source, nil)
		if err == nil && len(app.Services) == 0 {
			t.Fatal("an app without services")
		}
	})
}
