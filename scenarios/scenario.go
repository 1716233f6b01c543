package scenarios

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	coins "coinbench/capacity/dockercoins"
	"coinbench/cluster"
)

// Scenario is what shall happen: parsed, with every default and parameter in place, and checked. It does not change.
type Scenario struct {
	Name        string
	Description string
	File        string            // as it was given to Parse
	Source      []byte            // the YAML as it was read
	App         cluster.App       // with the profile's environment; the deploy step changes it further
	Seed        uint64            //
	Profile     string            // "" for none
	Settings    map[string]string // every parameter's value in force, and profile and seed
	// why it does not pass in this profile, by cluster or "any", where a cluster cannot play it or that is what it shows
	Unmet      map[string]string
	Steps      []Step   //
	Objectives []string // texts that package capacity parses and judges
	Attach     bool     // it is played on the app that is up, which stays up
}

// Step is one timed act of a scenario.
type Step struct {
	Verb   string
	Title  string        // what it does, in a few words
	Length time.Duration // how long it will take, roughly; a measurement and a wait are exact
	Line   int           // of the file
	By     string        // who asked for it, in a session; "": the file

	act    act
	app    cluster.App      // after it
	places map[string]place // where it was written what a service is, by the path in the Compose file: services.rng.image
}

// Estimate is how long the scenario will take, roughly.
func (s Scenario) Estimate() time.Duration {
	var sum time.Duration
	for _, step := range s.Steps {
		sum += step.Length
	}
	return sum
}

// Deployed is the app after the last step.
func (s Scenario) Deployed() cluster.App {
	if len(s.Steps) == 0 {
		return s.App
	}
	return s.Steps[len(s.Steps)-1].app
}

// Options are what Parse needs besides the text. The zero value parses a scenario of the shipped app without
// changing its parameters.
type Options struct {
	// Set changes parameters by their names, and profile and seed.
	Set map[string]string

	// App returns the app of the Compose file that the scenario names, as it names it; "" is the shipped one. Nil: the
	// scenario is checked against the services of DockerCoins, and its App stays empty.
	App func(path string) (cluster.App, error)

	// Attach has the scenario played on the app that is up, as attach: true in its deploy step has it.
	Attach bool

	// Attached returns the app that is up, for a scenario that is played on it. Nil: such a one is checked against what App returns.
	Attached func() (cluster.App, error)
}

// document is the file's top level. The order of its fields is that of the documentation.
type document struct {
	// Short name of the scenario, in lower case; the run's folder is named after it.
	Name string `json:"name" jsonschema:"required"`
	// What the scenario shows, for those who read its report. The first line is its summary.
	Description string `json:"description"`
	// Path of the Compose file, relative to this one. Default: the app that coinbench ships.
	App string `json:"app"`
	// Why the scenario does not pass, by cluster: local, sim, swarm, or any of them.
	Unmet unmet `json:"unmet"`
	// Seed of everything that varies at random.
	Seed uint64 `json:"seed" jsonschema:"default=1"`
	// Values that --set NAME=VALUE changes and that steps and objectives use as ${NAME}.
	Parameters Map[parameter] `json:"parameters"`
	// Named sets of environment and parameters, selected by --set profile=NAME.
	Profiles Map[profile] `json:"profiles"`
	// What is done, in order; each step is one verb.
	Steps []step `json:"steps" jsonschema:"required,minItems=1"`
	// What must hold of the run, such as: hash_rate(saturated) within 9.3..10.05; ±0 after a limit ignores the error of the measurement
	Objectives []objectiveText `json:"objectives"`
}

func (doc *document) preset() { doc.Seed = 1 }

var folderName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,79}$`)

const (
	mostBytes = 256 << 10 // of a scenario
	mostSteps = 1000
)

// Parse reads a scenario. The error joins every *Fault, in the order of the file.
func Parse(file string, source []byte, o Options) (Scenario, error) {
	original := source
	source = bytes.TrimPrefix(source, []byte("\ufeff")) // some editors put a byte order mark first
	d := &decoder{file: file, lines: linesOf(source), at: map[any]place{}}
	root := d.syntax(source)
	if root != nil && !isMapping(root) {
		d.fault(where(root), "found %s; accepted: a mapping with name and steps", describe(root))
		root = nil
	}
	if root == nil {
		return Scenario{}, join(d.faults)
	}

	var head document // parameters and profiles as they stand in the file, before anything refers to them
	d.value(root, valueOf(&head))
	values, profile := d.settings(&head, o.Set)

	d.values = values
	d.at = map[any]place{}
	doc := document{}
	d.faults = slices.DeleteFunc(d.faults, func(f *Fault) bool { return f.Line > 0 }) // they are found again
	d.value(root, valueOf(&doc))
	d.parameters(&doc)
	if seed, err := strconv.ParseUint(values["seed"], 10, 64); err == nil {
		doc.Seed = seed
	}
	if doc.Name == "" {
		d.fault(where(root), "the scenario has no name; accepted: name: a-short-name")
	} else if !folderName.MatchString(doc.Name) {
		d.fault(d.at[&doc.Name], "%q is no name for a folder; accepted: up to 80 lower-case letters, digits, dashes, underscores and dots, a "+
			"letter or digit first", doc.Name)
	}

	s := Scenario{Name: doc.Name, Description: strings.TrimSpace(doc.Description), File: file, Source: slices.Clone(original),
		Seed: doc.Seed, Profile: values["profile"], Settings: maps.Clone(values)}
	s.Settings["seed"] = strconv.FormatUint(doc.Seed, 10)

	s.Unmet = doc.Unmet.over(profile)

	s.Attach = o.Attach || doc.attaches()
	app, err := o.app(doc.App, s.Attach)
	if err != nil {
		d.fault(d.at[&doc.App], "%v", err)
	} else {
		s.App = profiled(app, profile)
		d.profiles(app, &doc)
		plan := newPlan(d, s.App)
		plan.attached = s.Attach
		s.Steps = plan.timeline(&doc)
		s.Objectives = plan.objectives(&doc)
	}
	if err := join(d.faults); err != nil {
		return Scenario{}, err
	}
	if o.App == nil {
		s.App = cluster.App{}
	}
	return s, nil
}

// bareReference is a parameter without quotes within braces, which to YAML is a mapping.
var bareReference = regexp.MustCompile(`\{.*[ ,:\[](\$\{[^}"']*\})`)

// syntax returns the tree of the one document, or nil after a fault.
func (d *decoder) syntax(source []byte) (root ast.Node) {
	if len(source) > mostBytes {
		d.fault(place{}, "the scenario has %d bytes; accepted: at most %d", len(source), mostBytes)
		return nil
	}
	if bytes.HasPrefix(source, []byte{0xff, 0xfe}) || bytes.HasPrefix(source, []byte{0xfe, 0xff}) || bytes.IndexByte(source, 0) >= 0 {
		d.faults = append(d.faults, &Fault{File: d.file, Line: 1, Column: 1, Message: "the scenario is UTF-16, or no text; accepted: UTF-8"})
		return nil
	}
	defer func() { // the library is not ours, and a text that breaks it is still only a broken text
		if r := recover(); r != nil {
			d.fault(place{1, 1}, "not YAML: %v", r)
			root = nil
		}
	}()
	file, err := parser.ParseBytes(source, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at place
		message := err.Error()
		if e := yaml.Error(nil); errors.As(err, &e) {
			at, message = placeOf(e.GetToken()), e.GetMessage()
		}
		if at.line > 0 && at.line <= len(d.lines) {
			if bare := bareReference.FindStringSubmatch(d.lines[at.line-1]); bare != nil {
				message += "; within braces a parameter needs quotes: \"" + bare[1] + "\""
			}
		}
		d.fault(at, "not YAML: %s", message)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			d.fault(where(doc.Body), "a second document begins here; accepted: one scenario a file")
			return nil
		default:
			root = doc.Body
		}
	}
	if root == nil {
		d.fault(place{1, 1}, "the scenario is empty; accepted: a mapping with name and steps")
	}
	return root
}

// attaches says whether the deploy step asks for the app that is up.
func (doc *document) attaches() bool {
	return slices.ContainsFunc(doc.Steps, func(s step) bool {
		deploy, ok := s.act.(*Deploy)
		return ok && deploy.Attach
	})
}

func (o Options) app(path string, attach bool) (cluster.App, error) {
	if attach && path != "" {
		return cluster.App{}, errors.New("a scenario that is played on the app that is up brings none; accepted: no app")
	}
	if attach && o.Attached != nil {
		return o.Attached()
	}
	if o.App != nil {
		return o.App(path)
	}
	app := cluster.App{Name: "dockercoins"}
	for _, name := range coins.Services() {
		app.Services = append(app.Services, cluster.Service{Name: name, Replicas: 1})
	}
	return app, nil
}

// step is one item of the list of steps: exactly one verb.
type step struct {
	verb  string
	act   act
	place place
}

func (s *step) decode(d *decoder, node ast.Node) {
	s.place = where(node)
	names := verbNames()
	keys, pairs := d.pairs(node, "a step, which is one of "+strings.Join(names, ", "))
	for i, pair := range pairs {
		v, ok := findVerb(keys[i])
		switch {
		case !ok:
			d.fault(where(pair), "%s", unknown("step", keys[i], names))
		case s.act != nil:
			d.fault(where(pair), "a second verb in one step, after %s; accepted: a dash before each step", s.verb)
		default:
			s.verb, s.act = v.name, v.new()
			d.at[s.act] = where(pair)
			if p, ok := s.act.(preset); ok {
				p.preset() // here too, for a verb with nothing after it is not read
			}
			d.value(pair.Value, reflect.ValueOf(s.act).Elem())
		}
	}
	if len(pairs) == 0 && isMapping(node) {
		d.fault(s.place, "an empty step; accepted: %s", strings.Join(names, ", "))
	}
}

func isMapping(node ast.Node) bool {
	_, ok := node.(ast.MapNode)
	return ok
}

// timeline checks the steps one after the other and says what each will be.
func (p *plan) timeline(doc *document) []Step {
	var steps []Step
	if len(doc.Steps) == 0 {
		p.wrong(&doc.Steps, "the scenario has no steps; accepted: a list of %s", strings.Join(verbNames(), ", "))
	}
	if len(doc.Steps) > mostSteps {
		p.fault(doc.Steps[mostSteps].place, "%d steps; accepted: at most %d", len(doc.Steps), mostSteps)
		return nil
	}
	for i := range doc.Steps {
		s := &doc.Steps[i]
		if s.act == nil {
			continue // its fault is known
		}
		p.step, p.length, p.places = s.act, 0, map[string]place{}
		s.act.check(p)
		steps = append(steps, Step{Verb: s.verb, Title: s.act.title(), Length: p.length, Line: s.place.line, act: s.act, app: copied(p.app),
			places: p.places})
	}
	return steps
}

// reserved are the settings that are no parameters.
func reserved() []string { return []string{"profile", "seed"} }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}
