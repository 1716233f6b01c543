package event_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history/event"
)

// drawn is a payload of the type of p with any values.
func drawn(t *rapid.T, p event.Payload) event.Payload {
	v := reflect.New(reflect.TypeOf(p)).Elem()
	draw(t, v)
	return v.Interface().(event.Payload)
}

func draw(t *rapid.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Duration:
		v.SetInt(rapid.Int64().Draw(t, "duration"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			draw(t, v.Field(i))
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	case reflect.Int:
		v.SetInt(int64(rapid.Int().Draw(t, "number")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "yes or no"))
	case reflect.Map:
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			e := reflect.New(v.Type().Elem()).Elem()
			draw(t, e)
			v.SetMapIndex(reflect.ValueOf(rapid.String().Draw(t, "name")), e)
		}
	case reflect.Slice:
		for range rapid.IntRange(0, 120).Draw(t, "elements") {
			e := reflect.New(v.Type().Elem()).Elem()
			draw(t, e)
			v.Set(reflect.Append(v, e))
		}
	default:
		t.Fatalf("a field is a %s, which the codec does not know", v.Type())
	}
}

func TestEveryPayloadComesBackAsItWas(t *testing.T) {
	for _, p := range event.Kinds() {
		t.Run(string(p.Kind()), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := drawn(t, p)
				detail := event.Encode(want, event.Plain)
				got, rest, err := event.Decode(p.Kind(), detail)
				if err != nil || rest != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%#v\nwritten as %q\nis read as %#v, rest %q, error %v", want, detail, got, rest, err)
				}
				if again := event.Encode(got, event.Plain); !maps.Equal(again, detail) {
					t.Fatalf("%q is written again as %q", detail, again)
				}
			})
		})
	}
}

func TestWhatANewerVersionSaysIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawn(t, rapid.SampledFrom(event.Kinds()).Draw(t, "kind"))
		detail := event.Encode(p, event.Plain)
		if detail == nil {
			detail = map[string]string{}
		}
		detail["a_newer_key"] = rapid.String().Draw(t, "value")
		got, rest, err := event.Decode(p.Kind(), detail)
		if err != nil || !reflect.DeepEqual(got, p) || !maps.Equal(rest, map[string]string{"a_newer_key": detail["a_newer_key"]}) {
			t.Fatalf("%#v, rest %q, error %v", got, rest, err)
		}
		unknown, rest, err := event.Decode("task.teleported", detail)
		if err != nil || rest != nil || unknown.Kind() != "task.teleported" || !maps.Equal(event.Encode(unknown, event.Plain), detail) {
			t.Fatalf("%#v, rest %q, error %v", unknown, rest, err)
		}
	})
}

func TestAMalformedValueIsNamed(t *testing.T) {
	for _, c := range []struct {
		kind       event.Kind
		key, value string
		want       string
	}{
		{"task.killed", "down", "soon", `task.killed: down is "soon"; accepted: a duration, such as 1.5s`},
		{"task.killed", "in_rotation", "perhaps", `task.killed: in_rotation is "perhaps"; accepted: true, false`},
		{"service.updated", "replicas", "1.5", `service.updated: replicas is "1.5"; accepted: a whole number`},
		{"window.begin", "replicas.rng", "many", `window.begin: replicas.rng is "many"; accepted: a whole number`},
		{"search.end", "level", "high", `search.end: level is "high"; accepted: a number`},
	} {
		_, _, err := event.Decode(c.kind, map[string]string{c.key: c.value})
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestMasksTextsOnly(t *testing.T) {
	got := event.Encode(event.TaskSlowed{For: time.Second}, func(texts map[string]string) map[string]string {
		if len(texts) > 0 {
			t.Errorf("%q are no texts", texts)
		}
		return texts
	})
	if want := map[string]string{"for": "1s", "delay": "0s"}; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Every type with a kind is in the list of kinds, once, and every field has a key.
func TestKindsAreAll(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range event.Kinds() {
		seen[reflect.TypeOf(p).Name()] = true
	}
	if len(seen) != len(event.Kinds()) {
		t.Errorf("a kind is listed twice")
	}
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Kind" {
			if name := f.Recv.List[0].Type.(*ast.Ident).Name; name != "Unknown" && !seen[name] {
				t.Errorf("%s is not in the list of kinds", name)
			}
		}
	}
	var keys func(reflect.Type)
	keys = func(p reflect.Type) {
		for i := range p.NumField() {
			if f := p.Field(i); f.Anonymous {
				keys(f.Type)
			} else if strings.TrimSuffix(f.Tag.Get("key"), ",omitempty") == "" {
				t.Errorf("%s.%s has no key", p.Name(), f.Name)
			}
		}
	}
	for _, p := range event.Kinds() {
		keys(reflect.TypeOf(p))
	}
}
