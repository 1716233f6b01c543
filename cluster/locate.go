package cluster

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// ComposeError is one thing that is wrong with an App, and where its Compose file says it.
type ComposeError struct {
	File         string
	Line, Column int      // 1-based; 0: unknown
	Path         []string // such as services, rng, image
	Problem      string
	Accepted     string // what could stand there; "" when Problem says all
}

// Error is file:line:column, the path, the problem and what is accepted.
func (f *ComposeError) Error() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
	}
	if len(f.Path) > 0 {
		b.WriteString(strings.Join(f.Path, ".") + ": ")
	}
	b.WriteString(f.Problem)
	if f.Accepted != "" {
		b.WriteString("; accepted: " + f.Accepted)
	}
	return b.String()
}

// Fault returns a fault of the app at a path of its Compose file, such as services, rng, image; its position is that of the
// longest part of the path that the file has. accepted may be empty.
func (a App) Fault(path []string, problem, accepted string) *ComposeError {
	f := &ComposeError{File: a.File, Path: path, Problem: problem, Accepted: accepted}
	f.Line, f.Column = position(a.Source, path)
	return f
}

// ServiceFault is Fault at a key of a service, such as deploy/replicas; "": the service.
func (a App) ServiceFault(service, key, problem, accepted string) *ComposeError {
	path := []string{"services", service}
	if key != "" {
		path = append(path, strings.Split(key, "/")...)
	}
	return a.Fault(path, problem, accepted)
}

// position finds a path in a YAML document, or in the service that the path's one extends where that has more of it; 0, 0: no part of it
// is there.
func position(source []byte, path []string) (line, column int) {
	d := parseDocument(source)
	most := 0
	for _, path := range d.inherited(path) {
		node := d.root
		for depth, name := range path {
			key, value := d.child(node, name)
			if key == nil {
				break
			}
			if t := key.GetToken(); t != nil && t.Position != nil && depth >= most {
				most, line, column = depth+1, t.Position.Line, t.Position.Column
			}
			node = value
		}
	}
	return line, column
}

// inherited returns a path, and where it leads into a service that extends another, the same path in that one, and so on.
func (d *document) inherited(path []string) [][]string {
	all := [][]string{path}
	if len(path) < 2 || path[0] != "services" {
		return all
	}
	_, services := d.child(d.root, "services")
	for done := map[string]bool{}; !done[path[1]]; {
		done[path[1]] = true
		_, service := d.child(services, path[1])
		_, extends := d.child(service, "extends")
		if _, name := d.child(extends, "service"); name != nil {
			extends = name
		}
		base, ok := d.resolve(extends).(*ast.StringNode)
		if !ok || done[base.Value] {
			break
		}
		path = slices.Concat([]string{"services", base.Value}, path[2:])
		all = append(all, path)
	}
	return all
}

// keysOf lists the keys of the mapping at a path, merged and inherited ones included, in the order of the file.
func keysOf(source []byte, path []string) []string {
	d := parseDocument(source)
	var keys []string
	for _, path := range d.inherited(path) {
		d.collect(d.at(path), &keys)
	}
	return keys
}

// at returns what is at a path; nil: nothing.
func (d *document) at(path []string) ast.Node {
	node := d.root
	for _, name := range path {
		_, node = d.child(node, name)
	}
	return node
}

// document is a YAML document whose anchors, aliases and merges are followed.
type document struct {
	root    ast.Node // nil: not YAML, or empty
	anchors map[string]ast.Node
	budget  int // nodes that may still be visited: aliases can be nested to any size, and circular
}

func parseDocument(source []byte) *document {
	d := &document{anchors: map[string]ast.Node{}, budget: 100_000}
	file, err := parser.ParseBytes(source, 0)
	if err != nil || len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return d
	}
	d.root = file.Docs[0].Body
	ast.Walk(d, d.root)
	return d
}

// Visit notes every anchor.
func (d *document) Visit(node ast.Node) ast.Visitor {
	if a, ok := node.(*ast.AnchorNode); ok {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

// resolve follows anchors and aliases to the node that they stand for; nil when there is none, or the budget is spent.
func (d *document) resolve(node ast.Node) ast.Node {
	for ; d.budget > 0; d.budget-- {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.AliasNode:
			node = d.anchors[n.Value.GetToken().Value]
		case *ast.TagNode:
			node = n.Value
		default:
			d.budget--
			return node
		}
	}
	return nil
}

// child returns the key and the value of an entry; of a sequence, name is the 0-based index.
func (d *document) child(node ast.Node, name string) (key, value ast.Node) {
	switch n := d.resolve(node).(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if t := v.Key.GetToken(); t != nil && t.Value == name {
				return v.Key, v.Value
			}
		}
		for _, v := range n.Values {
			if v.Key.IsMergeKey() {
				if k, value := d.child(v.Value, name); k != nil {
					return k, value
				}
			}
		}
	case *ast.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Values) {
			return n.Values[i], n.Values[i]
		}
		for _, v := range n.Values { // "name" as of networks, "name=value" as of environment and labels; or a merge of several
			if t := v.GetToken(); t != nil && (t.Value == name || strings.HasPrefix(t.Value, name+"=")) {
				return v, v
			}
			if k, value := d.child(v, name); k != nil {
				return k, value
			}
		}
	}
	return nil, nil
}

// circular returns an alias that refers to a value that contains it, if there is one.
func (d *document) circular() *ast.AliasNode {
	done := map[string]bool{}
	var visit func(node ast.Node, within []string) *ast.AliasNode
	visit = func(node ast.Node, within []string) (found *ast.AliasNode) {
		ast.Walk(aliasVisitor(func(a *ast.AliasNode) {
			name := a.Value.GetToken().Value
			switch {
			case found != nil || done[name]:
			case slices.Contains(within, name):
				found = a
			default:
				found = visit(d.anchors[name], append(within, name))
				done[name] = true
			}
		}), node)
		return found
	}
	for _, name := range slices.Sorted(maps.Keys(d.anchors)) {
		if found := visit(d.anchors[name], []string{name}); found != nil {
			return found
		}
	}
	return nil
}

type aliasVisitor func(*ast.AliasNode)

// Visit calls the function for every alias.
func (f aliasVisitor) Visit(node ast.Node) ast.Visitor {
	if a, ok := node.(*ast.AliasNode); ok {
		f(a)
	}
	return f
}

// collect appends the keys of a mapping that are not there yet.
func (d *document) collect(node ast.Node, keys *[]string) {
	switch n := d.resolve(node).(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if v.Key.IsMergeKey() {
				d.collect(v.Value, keys)
			} else if t := v.Key.GetToken(); t != nil && !slices.Contains(*keys, t.Value) {
				*keys = append(*keys, t.Value)
			}
		}
	case *ast.SequenceNode: // a merge of several
		for _, v := range n.Values {
			d.collect(v, keys)
		}
	}
}

// The keys that a Service has fields for, and those that say nothing about how it runs.
var (
	serviceKeys = []string{"image", "command", "entrypoint", "environment", "ports", "healthcheck", "stop_grace_period", "scale", "deploy",
		"depends_on",
		"expose", "extends", "labels", "networks", "profiles"}
	deployKeys = []string{"mode", "replicas", "labels", "update_config", "rollback_config", "restart_policy", "endpoint_mode"}
)

// otherKeys lists the keys of a service that Service has no field for.
func otherKeys(app App, service string) []string {
	var other []string
	for _, k := range keysOf(app.Source, []string{"services", service}) {
		if !slices.Contains(serviceKeys, k) && !strings.HasPrefix(k, "x-") {
			other = append(other, k)
		}
	}
	for _, k := range keysOf(app.Source, []string{"services", service, "deploy"}) {
		switch {
		case k == "placement":
			for _, p := range keysOf(app.Source, []string{"services", service, "deploy", "placement"}) {
				if p != "constraints" {
					other = append(other, "deploy.placement."+p)
				}
			}
		case !slices.Contains(deployKeys, k) && !strings.HasPrefix(k, "x-"):
			other = append(other, "deploy."+k)
		}
	}
	return other
}

// refuse finds what would make the loader never end, and the keys that make a Compose file depend on other files.
func refuse(app App) error {
	if a := parseDocument(app.Source).circular(); a != nil {
		f := app.Fault(nil, "the alias *"+a.Value.GetToken().Value+" refers to a value that contains it", "")
		if t := a.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
		return f
	}
	var faults []error
	if slices.Contains(keysOf(app.Source, nil), "include") {
		faults = append(faults, app.Fault([]string{"include"}, "other files are not read", "one file with every service"))
	}
	d := parseDocument(app.Source)
	for _, s := range keysOf(app.Source, []string{"services"}) {
		var own []string
		d.collect(d.at([]string{"services", s}), &own)
		for _, k := range own {
			switch {
			case k == "env_file" || k == "label_file":
				faults = append(faults, app.Fault([]string{"services", s, k}, "other files are not read",
					"the settings themselves, or YAML anchors (`&name`, `<<: *name`)"))
			case k == "extends" && slices.Contains(keysOf(app.Source, []string{"services", s, k}), "file"):
				faults = append(faults, app.Fault([]string{"services", s, k, "file"}, "other files are not read",
					"a service of this file: `extends: {service: NAME}`"))
			}
		}
	}
	return errors.Join(faults...)
}

var (
	pathInMessage = regexp.MustCompile(`\b(services|networks|volumes|secrets|configs)(\.[\w-]+)+`)
	serviceQuoted = regexp.MustCompile(`service "([\w.-]+)"`)
	notThere      = regexp.MustCompile(`service "([\w.-]+)" depends on undefined service "?([\w.-]+)"?`)
	decoded       = regexp.MustCompile(`'(services\[([\w.-]+)\][^']*)' (.*)`)
	anInvalid     = regexp.MustCompile(`^(invalid (?:hostPort|containerPort|IP address|proto|ip|port|start port|end port)[^:]*): (.+)$`)
	notCast       = regexp.MustCompile(`error while interpolating ?: failed to cast to expected type: strconv\.\w+: parsing "(.*)": .*`)
	duration      = regexp.MustCompile(`^time: (?:invalid duration|missing unit in duration|unknown unit "[^"]*" in duration) "(.*)"$`)
	cycle         = regexp.MustCompile(`dependency cycle detected: ([\w.-]+) -> ([\w.-]+)`)
)

// loaderFault turns an error of the Compose loader into a ComposeError, with the position of the path that its text names.
func loaderFault(app App, err error) error {
	var syntax yaml.Error
	if _, parseErr := parser.ParseBytes(app.Source, 0); errors.As(parseErr, &syntax) {
		f := &ComposeError{File: app.File, Problem: "not YAML: " + syntax.GetMessage()}
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
		return f
	}
	message := strings.TrimPrefix(err.Error(), "validating "+app.File+": ")
	message = strings.TrimSpace(strings.TrimPrefix(message, "invalid compose project"))
	message = strings.TrimPrefix(message, ": ")
	if m := notThere.FindStringSubmatch(message); m != nil {
		return app.withoutProfile(m[1], m[2])
	}
	var path []string
	if m := decoded.FindStringSubmatch(message); m != nil {
		path = strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune(".[]", r) })
		if d := duration.FindStringSubmatch(m[3]); d != nil {
			return app.Fault(path, strconv.Quote(d[1])+" is not a duration", "such as 10s or 1m30s")
		}
		message = m[3]
	} else if m := anInvalid.FindStringSubmatch(message); m != nil {
		return app.Fault(app.portWith(m[2]), message, `such as "8000:80", ports from 1 to 65535`)
	} else if m := cycle.FindStringSubmatch(message); m != nil {
		path = []string{"services", m[1], "depends_on", m[2]}
	} else if p := pathInMessage.FindString(message); p != "" {
		path = strings.Split(p, ".")
		message = strings.TrimLeft(strings.Replace(message, p, "", 1), ": ")
		if m := notCast.FindStringSubmatch(message); m != nil {
			message = strconv.Quote(m[1]) + " is not a number"
		}
		if name, ok := unknownProperty(message); ok {
			path = append(path, name)
		}
	} else if m := serviceQuoted.FindStringSubmatch(message); m != nil {
		path = []string{"services", m[1]}
	} else if name, ok := unknownProperty(message); ok {
		path = []string{name}
	}
	return app.Fault(path, message, "")
}

// portWith is the path of the first published port in whose text a part is; nil: there is none.
func (a App) portWith(part string) []string {
	d := parseDocument(a.Source)
	for _, service := range keysOf(a.Source, []string{"services"}) {
		path := []string{"services", service, "ports"}
		list, _ := d.resolve(d.at(path)).(*ast.SequenceNode)
		if list == nil {
			continue
		}
		for i, v := range list.Values {
			if t := d.resolve(v).GetToken(); t != nil && strings.Contains(t.Value, part) {
				return append(path, strconv.Itoa(i))
			}
		}
	}
	return nil
}

// withoutProfile says why a service that another needs is not there: it does not exist, or only with a profile.
func (a App) withoutProfile(service, needs string) *ComposeError {
	d := parseDocument(a.Source)
	at := []string{"services", service, "depends_on", needs}
	var profiles []string
	for _, path := range d.inherited([]string{"services", needs, "profiles"}) {
		if list, ok := d.resolve(d.at(path)).(*ast.SequenceNode); ok {
			for _, v := range list.Values {
				if text, ok := d.resolve(v).(*ast.StringNode); ok {
					profiles = append(profiles, text.Value)
				}
			}
		}
	}
	if len(profiles) == 0 {
		return a.Fault(at, fmt.Sprintf("service %s needs %s, which is not there", service, needs), "services of this file")
	}
	return a.Fault(at, fmt.Sprintf("service %s needs %s, of the profile %s, which is not enabled", service, needs,
		strings.Join(profiles, " or ")),
		fmt.Sprintf("required: false, %s without profiles, or COMPOSE_PROFILES=%s", needs, profiles[0]))
}

var additional = regexp.MustCompile(`additional properties '([^']+)' not allowed`)

func unknownProperty(message string) (string, bool) {
	if m := additional.FindStringSubmatch(message); m != nil {
		return m[1], true
	}
	return "", false
}
