package scenarios

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/services/settings"
)

// act is what a step does. Its fields are what the file has.
type act interface {
	title() string                            // what it does, in a few words
	check(*plan)                              // finds faults, and says how the step leaves the app and how long it takes
	play(ctx context.Context, s *stage) error // does it
}

// verb is one word of the language.
type verb struct {
	name string
	doc  string // one line
	new  func() act
}

// verbs is the table of the steps, in the order of the documentation.
func verbs() []verb {
	return []verb{
		{"deploy", "Bring the app up.", func() act { return new(Deploy) }},
		{"scale", "Set the replicas of services.", func() act { return new(Scale) }},
		{"sweep", "Measure at each of several numbers of replicas.", func() act { return new(Sweep) }},
		{"measure", "Let the app run, and take its counters at both ends.", func() act { return new(Measure) }},
		{"bench", "Send requests from a number of clients at once.", func() act { return new(Bench) }},
		{"attack", "Send requests at a rate, whether they are answered or not.", func() act { return new(Attack) }},
		{"stop", "End a load in the background.", func() act { return new(Stop) }},
		{"search", "Find the greatest load that meets objectives.", func() act { return new(Search) }},
		{"update", "Change a service's environment or image by a rolling update.", func() act { return new(Update) }},
		{"rollback", "Undo the last update of a service.", func() act { return new(Rollback) }},
		{"restart", "Replace every replica of a service by one that is the same.", func() act { return new(Restart) }},
		{"kill", "Make a replica die.", func() act { return new(Kill) }},
		{"pause", "Freeze a replica for a time.", func() act { return new(Pause) }},
		{"slow", "Delay every connection to a replica for a time.", func() act { return new(Slow) }},
		{"partition", "Cut a node off from the others for a time.", func() act { return new(Partition) }},
		{"drain", "Move every task away from a node.", func() act { return new(Drain) }},
		{"wait", "Do nothing for a while.", func() act { return new(Wait) }},
	}
}

func verbNames() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

func findVerb(name string) (verb, bool) {
	all := verbs()
	i := slices.IndexFunc(all, func(v verb) bool { return v.name == name })
	if i < 0 {
		return verb{}, false
	}
	return all[i], true
}

// plan is the app as it will be when a step begins. Steps are checked against it in order, and leave it as they will leave
// the app.
type plan struct {
	*decoder
	app      cluster.App // services as they are now
	deployed bool
	attached bool // the app is up before the first step
	windows  map[string]place
	loads    map[string]place

	disturbances map[string]place           // rollouts and faults by name
	beside       map[string]beside          // loads in the background that have not been stopped, by name
	previous     map[string]cluster.Service // what a rollback would return to

	unread []*Fault         // found before any step was checked
	step   act              // under check
	length time.Duration    // of the step
	places map[string]place // see Step
}

func newPlan(d *decoder, app cluster.App) *plan {
	return &plan{decoder: d, unread: slices.Clone(d.faults), app: copied(app), windows: map[string]place{}, loads: map[string]place{},
		disturbances: map[string]place{}, beside: map[string]beside{}, previous: map[string]cluster.Service{}}
}

// isUnread says that what is at a place could not be read: that it is missing now is no fault of its own.
func (p *plan) isUnread(at place) bool {
	return slices.ContainsFunc(p.unread, func(f *Fault) bool { return f.Line == at.line && f.Column == at.column })
}

// wrong reports a fault at the place where the value behind the pointer was written, or at the step.
func (p *plan) wrong(pointer any, format string, args ...any) {
	at, ok := p.at[pointer]
	if !ok {
		at = p.at[p.step]
	}
	if ok && p.isUnread(at) {
		return
	}
	p.fault(at, format, args...)
}

// wrote notes where it was written what a service is; path is that in the Compose file.
func (p *plan) wrote(pointer any, path ...string) {
	if at, ok := p.at[pointer]; ok && p.places != nil {
		p.places[strings.Join(path, ".")] = at
	}
}

func (p *plan) serviceNames() []string {
	var names []string
	for _, s := range p.app.Services {
		names = append(names, s.Name)
	}
	return names
}

// service returns the named service, or nil after a fault. The pointer is where the name was written.
func (p *plan) service(name string, pointer any) *cluster.Service {
	if name == "" {
		p.wrong(pointer, "no service is named; accepted: service: %s", listOr(p.serviceNames(), "a service of the app"))
		return nil
	}
	for i := range p.app.Services {
		if p.app.Services[i].Name == name {
			return &p.app.Services[i]
		}
	}
	p.wrong(pointer, "%s", unknown("service", name, p.serviceNames()))
	return nil
}

// running reports a step that needs the app before it is deployed.
func (p *plan) running() {
	if !p.deployed && !p.attached {
		p.wrong(nil, "nothing is deployed yet; accepted: a deploy step before this one")
	}
}

// window and load register a name; a name that is given twice would make an objective ambiguous.
func (p *plan) window(name string, pointer any) { p.named("window", p.windows, name, pointer) }
func (p *plan) load(name string, pointer any)   { p.named("load", p.loads, name, pointer) }

// beside is a load in the background.
type beside struct {
	service string
	judges  bool // rollouts are judged by it
}

// attacked says whether rollouts of a service are judged by a load in the background.
func (p *plan) attacked(service string) bool {
	for _, b := range p.beside {
		if b.judges && b.service == service {
			return true
		}
	}
	return false
}

func (p *plan) named(what string, names map[string]place, name string, pointer any) {
	if first, twice := names[name]; twice {
		p.wrong(pointer, "the %s %q is given twice, first in line %d; accepted: a name for each, as name: ...", what, name, first.line)
		return
	}
	at, ok := p.at[pointer]
	if !ok {
		at = p.at[p.step]
	}
	if name != "" && !objectiveName.MatchString(name) || strings.Contains(name, "..") {
		p.wrong(pointer, "no objective can name the %s %q; accepted: letters a to z, digits, _, -, . and /, with a letter or digit first", what,
			name)
	}
	names[name] = at
}

// objectiveName is what objectives can name.
var objectiveName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

// positive reports a duration that is not greater than zero.
func (p *plan) positive(d *time.Duration, key string) {
	if _, written := p.at[d]; !written && *d <= 0 {
		p.wrong(d, "no %s is given; accepted: a duration, as in %s: 10s", key, key)
		return
	}
	if *d <= 0 {
		p.wrong(d, "%s is %s; accepted: a duration greater than 0s, at most %s", key, *d, longest)
	}
	p.bounded(d, key)
}

func (p *plan) bounded(d *time.Duration, key string) {
	if *d > longest {
		p.wrong(d, "%s is %s; accepted: at most %s", key, *d, longest)
	}
}

const (
	longest      = 24 * time.Hour // of one step
	mostReplicas = 10000          // of one service
)

// replicas reports a number that a service (nil: one that is unknown) cannot have.
func (p *plan) replicas(s *cluster.Service, n int, pointer any) {
	if s != nil && s.Global {
		p.wrong(pointer, "%s; accepted: no number", cluster.GlobalNumber(s.Name, n))
	}
	if n > mostReplicas {
		p.wrong(pointer, "%d replicas; accepted: at most %d", n, mostReplicas)
	}
}

// settle sets what is in force of a service, having checked its environment as a whole.
func (p *plan) settle(s *cluster.Service, env Map[string], pointer any) {
	for i := range env {
		p.wrote(&env[i], "services", s.Name, "environment", env[i].Key)
	}
	p.environment(s.Name, env)
	before := settings.Check(s.Name, own(s.Environment))
	s.Environment = merged(s.Environment, env)
	if len(env) == 0 || !slices.Contains(settings.Services(), s.Name) || before != nil {
		return
	}
	single := false
	for _, e := range env {
		single = single || variableFault(s.Name, e.Key, e.Value) != nil
	}
	if err := settings.Check(s.Name, own(s.Environment)); err != nil && !single {
		p.wrong(pointer, "%v", err)
	}
}

// own are the variables that settings know.
func own(env map[string]string) map[string]string {
	out := maps.Clone(env)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return len(name) < len(settings.Prefix) || name[:len(settings.Prefix)] != settings.Prefix
	})
	return out
}

// balance reports a policy that no cluster knows.
func (p *plan) balance(text *string) cluster.Balance {
	var policies []string
	for _, b := range cluster.Balances() {
		policies = append(policies, string(b))
	}
	if *text != "" && !slices.Contains(policies, *text) {
		p.wrong(text, "%s", unknown("policy", *text, policies))
	}
	return cluster.Balance(*text)
}

func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
