package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The schema that is shipped for editors is the one that the types give.
func TestSchemaIsInStep(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.json")
	if err != nil || string(got) != string(want) {
		t.Errorf("schema.json is not in step with the types (write it with -update): %v", err)
	}
}

// Whatever Parse accepts the schema accepts, and it refuses what is wrong in shape.
func TestSchemaAgreesWithParse(t *testing.T) {
	schema := parsedSchema(t)
	good := map[string]string{"every step": everyStep, "parameters": withParameters}
	for _, e := range Shipped() {
		good[e.Name] = string(e.Source)
	}
	for name, source := range good {
		if faults := validate(schema, fromYAML(t, source), "$"); len(faults) > 0 {
			t.Errorf("%s: %s", name, strings.Join(faults, "\n"))
		}
	}
	for _, name := range []string{"unknown-key", "unknown-step", "step-shape", "top-level", "replicas", "benches"} {
		source, err := os.ReadFile(filepath.Join("testdata", "bad", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if len(validate(schema, fromYAML(t, string(source)), "$")) == 0 {
			t.Errorf("%s is accepted", name)
		}
	}
}

// The defaults that the schema names are those that Parse puts in.
func TestSchemaDefaults(t *testing.T) {
	schema := parsedSchema(t)
	steps := at(schema, "properties", "steps", "items", "properties")
	checked := 0
	for _, v := range verbs() {
		p, ok := v.new().(preset)
		if !ok {
			continue
		}
		p.preset()
		value := reflect.ValueOf(p).Elem()
		for _, f := range fieldsOf(value.Type()) {
			said, ok := at(steps, v.name, "properties", f.name)["default"]
			if !ok {
				continue
			}
			checked++
			is := fmt.Sprint(value.FieldByIndex(f.index).Interface())
			if c, ok := value.FieldByIndex(f.index).Interface().(Counts); ok {
				is = c.String()
			}
			if fmt.Sprint(said) != is {
				t.Errorf("%s.%s: the schema says %v, Parse says %s", v.name, f.name, said, is)
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d defaults were found", checked)
	}
}

func parsedSchema(t *testing.T) map[string]any {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func at(schema map[string]any, path ...string) map[string]any {
	for _, p := range path {
		schema, _ = schema[p].(map[string]any)
	}
	return schema
}

func fromYAML(t *testing.T, source string) any {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// validate knows as much of JSON Schema as the language needs, and fails on what it does not know.
func validate(schema any, v any, where string) (faults []string) {
	if always, ok := schema.(bool); ok {
		if !always {
			faults = append(faults, where+" is not allowed")
		}
		return faults
	}
	fault := func(format string, args ...any) { faults = append(faults, where+": "+fmt.Sprintf(format, args...)) }
	s := schema.(map[string]any)
	object, isObject := v.(map[string]any)
	list, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	for _, key := range sortedKeys(s) {
		switch arg := s[key]; key {
		case "$schema", "title", "description", "default", "properties":
		case "type":
			_, isBool := v.(bool)
			ok := map[any]bool{"object": isObject, "array": isList, "string": isText, "number": isNumber, "boolean": isBool,
				"integer": isNumber && number == float64(int64(number)), "null": v == nil}[arg]
			if !ok {
				fault("%v is no %v", v, arg)
			}
		case "minimum":
			if isNumber && number < arg.(float64) {
				fault("%v < %v", number, arg)
			}
		case "pattern":
			if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
				fault("%q does not match %s", text, arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				fault("%v is none of %v", v, arg)
			}
		case "minProperties", "maxProperties", "minItems":
			n := len(object) + len(list)
			if limit := int(arg.(float64)); key[:3] == "min" && n < limit || key[:3] == "max" && n > limit {
				fault("%d of them, %s %d", n, key, limit)
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := object[name.(string)]; isObject && !ok {
					fault("no %v", name)
				}
			}
		case "anyOf":
			var all []string
			for _, option := range arg.([]any) {
				f := validate(option, v, where)
				if len(f) == 0 {
					all = nil
					break
				}
				all = append(all, f...)
			}
			faults = append(faults, all...)
		case "items":
			for i, item := range list {
				faults = append(faults, validate(arg, item, fmt.Sprintf("%s[%d]", where, i))...)
			}
		case "additionalProperties":
			for name, value := range object {
				if _, known := at(s, "properties")[name]; !known {
					faults = append(faults, validate(arg, value, where+"."+name)...)
				}
			}
		default:
			fault("the test does not know %q", key)
		}
	}
	for name, sub := range at(s, "properties") {
		if value, ok := object[name]; ok {
			faults = append(faults, validate(sub, value, where+"."+name)...)
		}
	}
	return faults
}
