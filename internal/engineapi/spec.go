// Package engineapi holds the requests that coinbench sends to an engine against the engine's published API descriptions, for
// tests: which endpoints, parameters and fields it uses, and which version of the API brought each.
//
// In goes a folder of Swagger files (that of the module github.com/moby/moby/api) and requests, which Record takes on their way
// to an engine; out come uses, such as "POST /services/create body Mode.GlobalJob".
package engineapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Spec is the description of one version of the API.
type Spec struct {
	Version     string
	paths       map[string]map[string]operation // by template and lower-case method
	definitions map[string]*schema
}

type operation struct {
	Parameters []parameter `yaml:"parameters"`
}

type parameter struct {
	Name        string  `yaml:"name"`
	In          string  `yaml:"in"`
	Description string  `yaml:"description"`
	Schema      *schema `yaml:"schema"`
}

type schema struct {
	Ref        string             `yaml:"$ref"`
	AllOf      []*schema          `yaml:"allOf"`
	Properties map[string]*schema `yaml:"properties"`
	Additional any                `yaml:"additionalProperties"`
	Items      *schema            `yaml:"items"`
}

// Load reads the description of a version, such as 1.41.
func Load(dir, version string) (*Spec, error) {
	source, err := os.ReadFile(filepath.Join(dir, "v"+version+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("API description %s: %w", version, err)
	}
	var all struct {
		Paths       map[string]map[string]any `yaml:"paths"`
		Definitions map[string]*schema        `yaml:"definitions"`
	}
	if err := yaml.Unmarshal(source, &all); err != nil {
		return nil, fmt.Errorf("API description %s: %w", version, err)
	}
	s := &Spec{Version: version, definitions: all.Definitions, paths: map[string]map[string]operation{}}
	for template, methods := range all.Paths {
		s.paths[template] = map[string]operation{}
		for method, raw := range methods {
			data, err := yaml.Marshal(raw)
			if err != nil {
				return nil, err
			}
			var o operation
			if yaml.Unmarshal(data, &o) == nil { // what is no operation, such as parameters of the path, has no method's name
				s.paths[template][method] = o
			}
		}
	}
	return s, nil
}

// Use is one thing that a request uses: an endpoint, a parameter, a filter or a field.
type Use struct {
	Endpoint string // POST /services/create
	Kind     string // "", query, filter or body
	Name     string // of the parameter, or the path of the field: TaskTemplate.ContainerSpec.Image
}

// String is a line of a list of uses.
func (u Use) String() string { return strings.TrimSpace(u.Endpoint + " " + u.Kind + " " + u.Name) }

// Parse is the inverse of String.
func Parse(line string) (Use, error) {
	f := strings.Fields(line)
	switch len(f) {
	case 2:
		return Use{Endpoint: f[0] + " " + f[1]}, nil
	case 4:
		return Use{f[0] + " " + f[1], f[2], f[3]}, nil
	}
	return Use{}, fmt.Errorf("%q is no use of the API", line)
}

var versionPrefix = regexp.MustCompile(`^/v[0-9.]+/`)

// Uses takes a request apart. Fields that are null, zero or empty are left out: an engine that does not know them loses nothing.
// A path that no template fits keeps its own form.
func (s *Spec) Uses(method, path string, query url.Values, body []byte) []Use {
	path = versionPrefix.ReplaceAllString(path, "/")
	endpoint := method + " " + cmpOr(s.template(method, path), path)
	uses := []Use{{Endpoint: endpoint}}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		uses = append(uses, Use{endpoint, "query", name})
		if name != "filters" {
			continue
		}
		var filters map[string]any
		if json.Unmarshal([]byte(query.Get(name)), &filters) == nil {
			for _, f := range slices.Sorted(maps.Keys(filters)) {
				uses = append(uses, Use{endpoint, "filter", f})
			}
		}
	}
	var document any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if len(body) > 0 && decoder.Decode(&document) == nil {
		for _, field := range s.fields("", document, s.body(endpoint)) {
			uses = append(uses, Use{endpoint, "body", field})
		}
	}
	return uses
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Knows says whether this version of the API describes a use.
func (s *Spec) Knows(u Use) bool {
	method, template, _ := strings.Cut(u.Endpoint, " ")
	o, ok := s.paths[template][strings.ToLower(method)]
	switch {
	case !ok:
		return false
	case u.Kind == "":
		return true
	case u.Kind == "body":
		return s.has(s.body(u.Endpoint), strings.Split(u.Name, "."))
	}
	for _, p := range o.Parameters {
		if u.Kind == "query" && p.In == "query" && p.Name == u.Name {
			return true
		}
		if u.Kind == "filter" && p.Name == "filters" && (strings.Contains(p.Description, "`"+u.Name+"=") ||
			strings.Contains(p.Description, "`"+u.Name+"`")) {
			return true
		}
	}
	return false
}

// template is the path template that fits best: the one with the most letters of its own.
func (s *Spec) template(method, path string) string {
	best, most := "", -1
	for t, methods := range s.paths {
		if _, ok := methods[strings.ToLower(method)]; !ok {
			continue
		}
		literal, pattern := 0, ""
		for i, part := range strings.Split(t, "/") {
			if i > 0 {
				pattern += "/"
			}
			if strings.HasPrefix(part, "{") {
				pattern += ".+" // images have slashes in their names
				continue
			}
			literal += len(part)
			pattern += regexp.QuoteMeta(part)
		}
		if literal > most && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			best, most = t, literal
		}
	}
	return best
}

func (s *Spec) body(endpoint string) *schema {
	method, template, _ := strings.Cut(endpoint, " ")
	for _, p := range s.paths[template][strings.ToLower(method)].Parameters {
		if p.In == "body" {
			return p.Schema
		}
	}
	return nil
}

// fields are the paths of what is set in a document. Keys of a map that anybody may name are written as *.
func (s *Spec) fields(at string, value any, as *schema) []string {
	var list []string
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if empty(inner) {
				continue
			}
			next, named := s.property(as, key)
			name := key
			if !named && s.open(as) {
				name = "*"
			}
			path := strings.TrimPrefix(at+"."+name, ".")
			list = append(append(list, path), s.fields(path, inner, next)...)
		}
	case []any:
		for _, x := range v {
			list = append(list, s.fields(at, x, s.items(as))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// empty says that a value is what an engine takes for not set.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		return v == "0"
	case []any:
		return len(v) == 0
	}
	return false // an empty object may mean something: Mode.GlobalJob
}

// has says whether a schema describes the field at a path.
func (s *Spec) has(as *schema, path []string) bool {
	for _, key := range path {
		as = s.elements(as)
		next, named := s.property(as, key)
		if !named && !s.open(as) {
			return false
		}
		as = next
	}
	return true
}

// elements is the schema of what a list holds, or the schema itself.
func (s *Spec) elements(as *schema) *schema {
	if inner := s.items(as); inner != nil {
		return inner
	}
	return as
}

// all lists a schema and what it is made of.
func (s *Spec) all(as *schema) []*schema {
	if as == nil {
		return nil
	}
	if as.Ref != "" {
		return s.all(s.definitions[strings.TrimPrefix(as.Ref, "#/definitions/")])
	}
	list := []*schema{as}
	for _, part := range as.AllOf {
		list = append(list, s.all(part)...)
	}
	return list
}

func (s *Spec) property(as *schema, key string) (*schema, bool) {
	for _, part := range s.all(as) {
		if inner, ok := part.Properties[key]; ok {
			return inner, true
		}
	}
	return s.values(as), false
}

func (s *Spec) items(as *schema) *schema {
	for _, part := range s.all(as) {
		if part.Items != nil {
			return part.Items
		}
	}
	return nil
}

// open says that an object may have fields of any name: a map, or one that is described by nothing.
func (s *Spec) open(as *schema) bool {
	described := false
	for _, part := range s.all(as) {
		if part.Additional != nil && part.Additional != false {
			return true
		}
		described = described || len(part.Properties) > 0 || part.Items != nil
	}
	return !described && as != nil
}

// values is the schema of a map's values.
func (s *Spec) values(as *schema) *schema {
	for _, part := range s.all(as) {
		if part.Additional == nil {
			continue
		}
		data, err := yaml.Marshal(part.Additional)
		var inner schema
		if err == nil && yaml.Unmarshal(data, &inner) == nil {
			return &inner
		}
	}
	return nil
}
