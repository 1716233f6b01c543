package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/goccy/go-yaml"
)

// The schema that is shipped for editors is the one that the types give.
func TestSchemaIsInStep(t *testing.T) {
	got := generated(t)
	if *update {
		if err := os.WriteFile("schema.json", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != Schema() {
		t.Error("schema.json is not in step with the types (write it with -update)")
	}
}

// Whatever Parse accepts the schema accepts, and it refuses what is wrong in shape.
func TestSchemaAgreesWithParse(t *testing.T) {
	schema := compiled(t)
	good := map[string]string{"every step": everyStep, "parameters": withParameters}
	for _, e := range Shipped() {
		good[e.Name] = string(e.Source)
	}
	for name, source := range good {
		if err := schema.Validate(fromYAML(t, source)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"unknown-key", "unknown-step", "step-shape", "top-level", "replicas", "benches"} {
		source, err := os.ReadFile(filepath.Join("testdata", "bad", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(fromYAML(t, string(source))) == nil {
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
	var schema map[string]any
	if err := json.Unmarshal([]byte(Schema()), &schema); err != nil {
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
