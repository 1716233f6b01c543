package scenarios

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The reference names every key of every step.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fieldsOf(reflect.TypeFor[document]()) {
		if !strings.Contains(string(text), "| `"+f.name+"` |") {
			t.Errorf("the key %s is missing", f.name)
		}
	}
	for _, v := range verbs() {
		_, section, ok := strings.Cut(string(text), "\n### "+v.name+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		if !ok {
			t.Errorf("%s has no section", v.name)
		}
		typ := reflect.TypeOf(v.new()).Elem()
		if v.name == "deploy" {
			typ = reflect.TypeFor[Wish]()
		}
		if v.name == "wait" {
			continue // its one key is not worth a table
		}
		for _, f := range fieldsOf(typ) {
			if !strings.Contains(section, "`"+f.name+"`") {
				t.Errorf("%s: the key %s is missing", v.name, f.name)
			}
		}
	}
	for _, e := range Shipped() {
		if !strings.Contains(string(text), "| `"+e.Name+"` |") {
			t.Errorf("the scenario %s is missing", e.Name)
		}
	}
}
