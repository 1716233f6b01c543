package scenarios

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
)

// reference in a schema: wherever a value is, a parameter may be in its place.
const referencePattern = `\$\{[a-z][a-z0-9_-]*\}`

// generated is the JSON Schema of the language, from the types that Parse reads and the comments of their fields.
func generated(t *testing.T) string {
	t.Helper()
	comments := comments(t)
	r := &jsonschema.Reflector{
		LookupComment:              func(of reflect.Type, field string) string { return comments[of.Name()+"."+field] },
		Anonymous:                  true,
		DoNotReference:             true,
		ExpandedStruct:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper:                     nil,
	}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema { return mapped(r, t) }
	s := structure(r, reflect.TypeFor[document]())
	s.Version = jsonschema.Version
	s.Title = "coinbench scenario"
	s.Description = "What happens in a run of coinbench: an app, steps in order, and what must hold."
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

// comments are those of the fields of this package's types, as "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, isType := n.(*ast.TypeSpec)
			if !isType {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						texts[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
					}
				}
			}
			return false
		})
	}
	return texts
}

// mapped are the types whose written form differs from their Go form.
func mapped(r *jsonschema.Reflector, t reflect.Type) *jsonschema.Schema {
	switch {
	case t.Kind() == reflect.Pointer:
		return mapped(r, t.Elem())
	case t == durationType:
		return &jsonschema.Schema{Type: "string", Pattern: `^(([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+|0|` + referencePattern + `)$`}
	case t == reflect.TypeFor[Counts]():
		least := uint64(1)
		several := []*jsonschema.Schema{{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: `^([0-9]+(\.\.[0-9]+)?( *, *[0-9]+(\.\.[0-9]+)?)*|` + referencePattern + `)$`}}
		return &jsonschema.Schema{AnyOf: append(slices.Clip(several), &jsonschema.Schema{Type: "array", MinItems: &least,
			Items: &jsonschema.Schema{AnyOf: several}})}
	case t == reflect.TypeFor[Wish]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{number("integer"), structure(r, t)}}
	case t == reflect.TypeFor[parameter]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{scalarSchema(), structure(r, t)}}
	case t == reflect.TypeFor[anyScalar]():
		return orNull(scalarSchema()) // an empty text
	case t == reflect.TypeFor[step]():
		return stepSchema(r)
	case t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0:
		return structure(r, t)
	case isMap(t):
		value, _ := t.Elem().FieldByName("Value")
		entry := of(r, value.Type)
		if value.Type != reflect.TypeFor[parameter]() { // which needs a default
			entry = orNull(entry)
		}
		return &jsonschema.Schema{Type: "object", AdditionalProperties: entry}
	}
	switch t.Kind() {
	case reflect.Int, reflect.Uint64:
		return number("integer")
	case reflect.Float64:
		return number("number")
	case reflect.Bool:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "boolean"}, {Type: "string", Pattern: "^" + referencePattern + "$"}}}
	}
	return nil
}

// of is the schema of any type of the language.
func of(r *jsonschema.Reflector, t reflect.Type) *jsonschema.Schema {
	if s := mapped(r, t); s != nil {
		return s
	}
	if t.Kind() == reflect.String {
		return scalarSchema()
	}
	return structure(r, t)
}

// structure is the schema of a struct's fields.
func structure(r *jsonschema.Reflector, t reflect.Type) *jsonschema.Schema {
	inner := *r
	inner.Mapper = func(field reflect.Type) *jsonschema.Schema {
		if field == t {
			return nil
		}
		return mapped(r, field)
	}
	s := inner.ReflectFromType(t)
	s.Version = ""
	if s.Properties == nil {
		return s
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() { // a text may be written as a number: rate: 20, name: 5
		if v := p.Value; v.Type == "string" && len(v.Enum) == 0 && v.Pattern == "" {
			v.Type, v.AnyOf = "", scalarSchema().AnyOf
		}
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() { // a parameter may stand where one of several words is expected
		if words := p.Value.Enum; len(words) > 0 {
			p.Value.Type, p.Value.Enum = "", nil
			p.Value.AnyOf = []*jsonschema.Schema{{Type: "string", Enum: words}, {Type: "string", Pattern: "^(" + referencePattern + ")?$"}}
		}
	}
	for _, f := range fieldsOf(t) { // the library drops the defaults of values that may be written in several ways
		for tag := range strings.SplitSeq(t.FieldByIndex(f.index).Tag.Get("jsonschema"), ",") {
			p, ok := s.Properties.Get(f.name)
			if text, is := strings.CutPrefix(tag, "default="); ok && is && p.Default == nil {
				if json.Unmarshal([]byte(text), &p.Default) != nil {
					p.Default = text
				}
			}
		}
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if !slices.Contains(s.Required, p.Key) {
			p.Value = orNull(p.Value)
		}
	}
	return s
}

// orNull accepts nothing too, which is as if the key were not there.
func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	null := &jsonschema.Schema{Type: "null"}
	if s.Type == "" && len(s.AnyOf) > 0 {
		s.AnyOf = append(slices.Clip(s.AnyOf), null)
		return s
	}
	something := *s
	something.Description, something.Default = "", nil
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{&something, null}, Description: s.Description, Default: s.Default}
}

func number(kind string) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: kind, Minimum: "0"}, {Type: "string", Pattern: "^" + referencePattern + "$"}}}
}

// scalarSchema accepts any scalar, as a value of the environment may be.
func scalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
}

// stepSchema is exactly one verb.
func stepSchema(r *jsonschema.Reflector) *jsonschema.Schema {
	one := uint64(1)
	s := &jsonschema.Schema{Type: "object", MinProperties: &one, MaxProperties: &one, AdditionalProperties: jsonschema.FalseSchema,
		Properties: jsonschema.NewProperties()}
	for _, v := range verbs() {
		t := reflect.TypeOf(v.new()).Elem()
		var written *jsonschema.Schema
		switch v.new().(type) {
		case structural: // its one field is all of it
			written = of(r, t.Field(0).Type)
			if v.name == "scale" {
				written.MinProperties = &one
			}
			if v.name == "deploy" {
				attach := of(r, reflect.TypeFor[bool]())
				attach.Description = "true: play on the app that is up, change what is named of it, and leave it up."
				written.Properties = jsonschema.NewProperties()
				written.Properties.Set(attachKey, orNull(attach))
				written = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{written, {Type: "null"}}}
			}
		case abridged:
			field, _ := t.FieldByName("For")
			written = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{of(r, field.Type), structure(r, t)}}
		default:
			written = structure(r, t)
		}
		written.Description = strings.TrimSpace(v.doc)
		s.Properties.Set(v.name, written)
	}
	return s
}
