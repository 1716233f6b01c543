package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// DefaultName is the name of an App whose Compose file gives none.
const DefaultName = "dockercoins"

// BalanceLabel is the key under deploy.labels that chooses a service's Balance.
const BalanceLabel = "coinbench.balance"

// GatewayLabel is the key under deploy.labels that sets a service's Gateway.
const GatewayLabel = "coinbench.gateway"

// Docker's defaults, where a Compose file is silent.
const (
	defaultStopGrace    = 10 * time.Second
	defaultRestartDelay = 5 * time.Second
	defaultMonitor      = 5 * time.Second
	defaultInterval     = 30 * time.Second
	defaultTimeout      = 30 * time.Second
	defaultRetries      = 3
)

// LoadApp reads a Compose file. file is its name, for messages; env replaces the ${VARIABLES} in it: nothing is taken from
// the environment of the process, and no other file is read. The error joins every ComposeError that was found.
func LoadApp(ctx context.Context, file string, source []byte, env map[string]string) (App, error) {
	app := App{Name: DefaultName, File: file, Source: source}
	if err := refuse(app); err != nil {
		return App{}, err
	}
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  ".",
		ConfigFiles: []types.ConfigFile{{Filename: file, Content: append([]byte{}, formatVersion.ReplaceAll(source, nil)...)}},
		Environment: types.Mapping(maps.Clone(env)),
	}, func(o *loader.Options) {
		o.SetProjectName(DefaultName, false)
		o.ResolvePaths = false
		o.MaxNodeVisits = 20_000
		o.Profiles = profiles(env)
		o.SkipInclude = true
		o.SkipResolveEnvironment = true
		o.SkipResolveLabels = true
	})
	if err != nil {
		return App{}, loaderFault(app, err)
	}
	app.Name = project.Name
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		s, errs := service(app, name, project)
		app.Services = append(app.Services, s)
		faults = append(faults, errs...)
	}
	if len(app.Services) == 0 {
		faults = append(faults, app.Fault([]string{"services"}, "no services", "at least one under `services`"))
	}
	if app.Services, err = dependenciesFirst(app); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return App{}, errors.Join(faults...)
	}
	labels := map[string]map[string]string{}
	for name, s := range project.Services {
		labels[name] = s.Labels
	}
	if app.Roles, err = roles(app, labels); err != nil {
		return App{}, err
	}
	app.Apart = apart(app, project)
	return app, nil
}

// profiles are those that COMPOSE_PROFILES enables, as for docker compose.
func profiles(env map[string]string) []string {
	return strings.FieldsFunc(env["COMPOSE_PROFILES"], func(r rune) bool { return r == ',' || r == ' ' })
}

// formatVersion is a Compose file's own version, which engines up to 20.10 need, and for which the loader would scold on the
// standard error stream. Without it the lines keep their numbers.
var formatVersion = regexp.MustCompile(`(?m)^version:.*$`)

// service turns what the loader read into what an App says, every default filled in.
func service(app App, name string, project *types.Project) (Service, []error) {
	c := project.Services[name]
	s := Service{
		Name:        name,
		Image:       c.Image,
		Command:     slices.Concat([]string(c.Entrypoint), []string(c.Command)),
		Environment: map[string]string{},
		Replicas:    1,
		StopGrace:   defaultStopGrace,
		Restart:     Restart{Condition: "any", Delay: defaultRestartDelay},
	}
	var faults []error
	fault := func(key, problem, accepted string) {
		faults = append(faults, app.ServiceFault(name, key, problem, accepted))
	}
	for _, on := range slices.Sorted(maps.Keys(c.DependsOn)) {
		if _, there := project.Services[on]; there { // one that is not required may be missing
			s.DependsOn = append(s.DependsOn, on)
		}
	}
	if s.Image == "" {
		fault("image", fmt.Sprintf("service %s has no image", name), "such as coinbench/"+name+":v0.1")
	}
	for k, v := range c.Environment {
		if v != nil {
			s.Environment[k] = *v
		}
	}
	if c.StopGracePeriod != nil {
		s.StopGrace = time.Duration(*c.StopGracePeriod)
	}
	if c.Scale != nil {
		s.Replicas = *c.Scale
	}
	for i, p := range c.Ports {
		port, key, err := publishedPort(p)
		if err != nil {
			fault("ports/"+strconv.Itoa(i)+"/"+key, err.Error(), "")
		}
		s.Ports = append(s.Ports, port)
	}
	if h := c.HealthCheck; h != nil && h.StartInterval != nil {
		fault("healthcheck/start_interval", "engines before 25.0 do not know start_interval, and coinbench plays a health check as they do",
			"interval alone, from the first check on")
	}
	for _, text := range c.Expose {
		number, protocol, _ := strings.Cut(text, "/")
		switch n, err := strconv.Atoi(number); {
		case err != nil || n < 1 || n > 65535:
			fault("expose", fmt.Sprintf("port %q", text), "such as 80, from 1 to 65535")
		case protocol == "" || protocol == "tcp":
			s.Expose = append(s.Expose, n)
		}
	}
	s.Health = health(c.HealthCheck)
	d := c.Deploy
	if d == nil {
		d = &types.DeployConfig{}
	}
	if d.Replicas != nil {
		s.Replicas = *d.Replicas
	}
	if s.Replicas < 0 {
		fault("deploy/replicas", fmt.Sprintf("%d replicas", s.Replicas), "a number, at least 0")
	}
	switch d.Mode {
	case "", "replicated":
	case "global":
		if d.Replicas != nil || c.Scale != nil {
			key := "deploy/replicas"
			if slices.Contains(keysOf(app.Source, []string{"services", name}), "scale") {
				key = "scale"
			}
			fault(key, GlobalNumber(name, s.Replicas), "no number, or mode: replicated")
		}
		s.Global, s.Replicas = true, 1
	default:
		fault("deploy/mode", fmt.Sprintf("mode %q", d.Mode), "replicated or global")
	}
	if r := d.RestartPolicy; r != nil {
		s.Restart.Condition = cmp.Or(r.Condition, "any")
		if r.Delay != nil {
			s.Restart.Delay = time.Duration(*r.Delay)
		}
		if r.MaxAttempts != nil {
			s.Restart.MaxAttempts = int(*r.MaxAttempts)
		}
		if r.Window != nil {
			s.Restart.Window = time.Duration(*r.Window)
		}
	}
	if !slices.Contains(restartConditions, s.Restart.Condition) {
		fault("deploy/restart_policy/condition", fmt.Sprintf("condition %q", s.Restart.Condition), strings.Join(restartConditions, ", "))
	}
	s.Update, s.Rollback = rollout(d.UpdateConfig), rollout(d.RollbackConfig)
	for _, r := range []struct {
		key string
		Rollout
	}{{"deploy/update_config", s.Update}, {"deploy/rollback_config", s.Rollback}} {
		if key, problem, accepted := r.fault(r.key == "deploy/rollback_config"); problem != "" {
			fault(r.key+"/"+key, problem, accepted)
		}
	}
	s.Endpoint = d.EndpointMode
	if !slices.Contains([]string{"", "vip", "dnsrr"}, s.Endpoint) {
		fault("deploy/endpoint_mode", fmt.Sprintf("endpoint_mode %q", s.Endpoint), "vip or dnsrr")
	}
	s.Balance = Balance(d.Labels[BalanceLabel])
	switch {
	case s.Balance == "" && s.Endpoint == "dnsrr":
		s.Balance = Random
	case s.Balance == "":
		s.Balance = RoundRobin
	case !s.Balance.valid():
		fault("deploy/labels/"+BalanceLabel, fmt.Sprintf("balance %q", s.Balance), balances())
	}
	switch text := d.Labels[GatewayLabel]; text {
	case "", "false":
	case "true":
		s.Gateway = true
	default:
		fault("deploy/labels/"+GatewayLabel, fmt.Sprintf("gateway %q", text), "true or false")
	}
	s.Constraints = d.Placement.Constraints
	s.Other = otherKeys(app, name)
	return s, faults
}

var restartConditions = []string{"any", "on-failure", "none"}

// rollout fills Docker's defaults in: one at a time, stop-first, 5 s of monitoring, pause on the first failure.
func rollout(c *types.UpdateConfig) Rollout {
	r := Rollout{Parallelism: 1, Order: "stop-first", Monitor: defaultMonitor, FailureAction: "pause"}
	if c == nil {
		return r
	}
	if c.Parallelism != nil {
		r.Parallelism = int(*c.Parallelism)
	}
	r.Delay = time.Duration(c.Delay)
	r.Order = cmp.Or(c.Order, r.Order)
	r.Monitor = cmp.Or(time.Duration(c.Monitor), r.Monitor)
	r.MaxFailureRatio = float64(c.MaxFailureRatio)
	r.FailureAction = cmp.Or(c.FailureAction, r.FailureAction)
	return r
}

// health fills Docker's defaults in; nil where there is no check.
func health(c *types.HealthCheckConfig) *Health {
	if c == nil || c.Disable || len(c.Test) == 0 || c.Test[0] == "NONE" {
		return nil
	}
	h := &Health{Test: c.Test, Interval: defaultInterval, Timeout: defaultTimeout, Retries: defaultRetries}
	set := func(to *time.Duration, from *types.Duration) {
		if from != nil && *from != 0 { // Docker takes zero for its default
			*to = time.Duration(*from)
		}
	}
	set(&h.Interval, c.Interval)
	set(&h.Timeout, c.Timeout)
	set(&h.StartPeriod, c.StartPeriod)
	if c.Retries != nil && *c.Retries != 0 {
		h.Retries = int(*c.Retries)
	}
	return h
}

// publishedPort returns what a port publishes, and the key of what is wrong with it.
func publishedPort(p types.ServicePortConfig) (port Port, key string, err error) {
	port = Port{Target: int(p.Target), HostIP: p.HostIP, Mode: p.Mode}
	if p.Protocol != "" && p.Protocol != "tcp" {
		return port, "protocol", fmt.Errorf("protocol %s; accepted: tcp", p.Protocol)
	}
	if p.Target < 1 || p.Target > 65535 {
		return port, "target", fmt.Errorf("port %d; accepted: 1 to 65535", p.Target)
	}
	if !slices.Contains([]string{"", "ingress", "host"}, p.Mode) {
		return port, "mode", fmt.Errorf("mode %q; accepted: ingress (the routing mesh), or host", p.Mode)
	}
	if p.Published != "" {
		n, err := strconv.Atoi(p.Published)
		if err != nil || n < 0 || n > 65535 {
			return port, "published", fmt.Errorf(`published port %q; accepted: "8000:80", or "80" for any free one`, p.Published)
		}
		port.Published = n
	}
	return port, "", nil
}

// dependenciesFirst orders services so that each comes after those it depends on, otherwise by name.
func dependenciesFirst(app App) ([]Service, error) {
	var ordered []Service
	rest := slices.Clone(app.Services)
	waits := func(on string) bool { return slices.ContainsFunc(rest, func(s Service) bool { return s.Name == on }) }
	for len(rest) > 0 {
		ready := slices.IndexFunc(rest, func(s Service) bool { return !slices.ContainsFunc(s.DependsOn, waits) })
		if ready < 0 {
			return app.Services, app.Fault([]string{"services", rest[0].Name, "depends_on"}, "services that wait for each other",
				"depends_on without a circle")
		}
		ordered = append(ordered, rest[ready])
		rest = slices.Delete(rest, ready, ready+1)
	}
	return ordered, nil
}

// apart lists what a file says of networks that one network of all services, as coinbench makes it on a Swarm, does not do.
func apart(app App, project *types.Project) (faults []*ComposeError) {
	const accepted = "one network for all services, with driver: overlay and attachable at most"
	say := func(problem string, path ...string) {
		faults = append(faults, app.Fault(path, problem+" is not carried to a Swarm", accepted))
	}
	first := ""
	seen := map[string]bool{}
	for _, s := range app.Services {
		of := project.Services[s.Name].Networks
		for _, n := range slices.Sorted(maps.Keys(of)) {
			first = cmp.Or(first, n)
			if n != first && !seen[n] {
				say(fmt.Sprintf("a second network, %s besides %s,", n, first), "services", s.Name, "networks", n)
			}
			seen[n] = true
			if settings := of[n]; settings != nil && !reflect.ValueOf(*settings).IsZero() {
				say(fmt.Sprintf("what is special about %s in the network %s", s.Name, n), "services", s.Name, "networks", n)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(seen)) {
		for _, key := range keysOf(app.Source, []string{"networks", n}) {
			of := project.Networks[n]
			if key == "attachable" || strings.HasPrefix(key, "x-") || key == "driver" && of.Driver == "overlay" || key == "internal" &&
				!of.Internal {
				continue
			}
			say(key+" of the network "+n, "networks", n, key)
		}
	}
	return faults
}
