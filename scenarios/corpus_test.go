package scenarios

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

const mutants = 300

// cannotKnow are the faults that a schema of shapes cannot see, by their class: a scenario that it accepts may be refused for these alone.
var cannotKnow = []struct {
	class   string
	message *regexp.Regexp
}{
	{"an objective's grammar and names", regexp.MustCompile(`^objective "`)},
	{"a rate's grammar", regexp.MustCompile(`^rate "|^no rate is given`)},
	{"the settings of the services", regexp.MustCompile(`^COIN_\w+=|^unknown variable`)},
	{"names, paths and images, which any text may be",
		regexp.MustCompile(`^no objective can name|is no name for a folder|is not a path|^the scenario has no name|^the measurement has no name|^no service is named|^no node is named|^unknown service|is no image|^image `)},
	{"what other parts of the file say",
		regexp.MustCompile(`^unknown (parameter|window|load|rollout) |^nothing is deployed|was not updated before|at this point|is given twice|^a canary is judged`)},
	{"what one key needs of another",
		regexp.MustCompile(`^no for is given|the update changes nothing|^a load ends after|^body and body_bytes|has a parallelism and a delay of its own`)},
	{"the size of a number", regexp.MustCompile(`accepted: (a duration greater than 0s|at most|1 to|a ratio)`)},
}

// classOf names why a schema cannot know a fault; "": it can.
func classOf(f *Fault) string {
	if strings.Contains(f.Source, "${") {
		return "the value of a parameter"
	}
	for _, c := range cannotKnow {
		if c.message.MatchString(f.Message) {
			return c.class
		}
	}
	return ""
}

// A mutated scenario is accepted by both the schema and Parse, or refused by both; the schema is the milder one only where it cannot know.
func TestSchemaAgreesOnMutants(t *testing.T) {
	schema := compiled(t)
	rng := rand.New(rand.NewPCG(13, 4))
	shipped := Shipped()
	refused, mild := 0, map[string]int{}
	for n := range mutants {
		e := shipped[n%len(shipped)]
		var tree yaml.MapSlice
		if err := yaml.UnmarshalWithOptions(e.Source, &tree, yaml.UseOrderedMap()); err != nil {
			t.Fatal(err)
		}
		mutated, what := mutate(rng, tree)
		source, err := yaml.MarshalWithOptions(mutated)
		if err != nil {
			t.Fatal(err)
		}
		_, parsing := Parse(e.Name+".yaml", source, Options{App: dockercoins})
		validating := schema.Validate(fromYAML(t, string(source)))
		if parsing != nil {
			refused++
		}
		switch {
		case (parsing == nil) == (validating == nil):
		case parsing == nil:
			t.Errorf("%d %s, %s: Parse accepts what the schema refuses: %v", n, e.Name, what, validating)
		default:
			for _, f := range faultsOf(parsing) {
				if class := classOf(f); class == "" {
					t.Errorf("%d %s, %s: the schema accepts what Parse refuses: %v", n, e.Name, what, f)
				} else {
					mild[class]++
				}
			}
		}
	}
	t.Logf("%d of %d were refused; the schema was milder for: %v", refused, mutants, mild)
	if refused < mutants/2 {
		t.Errorf("%d of %d mutants were refused: they are too tame", refused, mutants)
	}
}

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	c := validator.NewCompiler()
	if err := c.AddResource("scenario.json", any(parsedSchema(t))); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("scenario.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// spot is a value somewhere in a scenario, and how it is replaced.
type spot struct {
	path string
	in   any // yaml.MapSlice or []any
	at   int
	set  func(any) // puts another container in the place of in
}

// spots are all values below v.
func spots(path string, v any, set func(any)) (all []spot) {
	switch v := v.(type) {
	case yaml.MapSlice:
		for i := range v {
			here := fmt.Sprintf("%s.%v", path, v[i].Key)
			all = append(all, spot{here, v, i, set})
			all = append(all, spots(here, v[i].Value, func(x any) { v[i].Value = x })...)
		}
	case []any:
		for i := range v {
			here := fmt.Sprintf("%s[%d]", path, i)
			all = append(all, spot{here, v, i, set})
			all = append(all, spots(here, v[i], func(x any) { v[i] = x })...)
		}
	}
	return all
}

// mutate changes one thing of a scenario, and says what.
func mutate(rng *rand.Rand, tree yaml.MapSlice) (any, string) {
	var root any = tree
	all := spots("$", root, func(x any) { root = x })
	s := all[rng.IntN(len(all))]
	put := func(x any) {
		switch in := s.in.(type) {
		case yaml.MapSlice:
			in[s.at].Value = x
		case []any:
			in[s.at] = x
		}
	}
	get := func() any {
		if in, ok := s.in.(yaml.MapSlice); ok {
			return in[s.at].Value
		}
		return s.in.([]any)[s.at]
	}
	var kind string
	switch rng.IntN(9) {
	case 0:
		kind = "a key that is unknown"
		if in, ok := s.in.(yaml.MapSlice); ok {
			s.set(append(slices.Clone(in), yaml.MapItem{Key: "colour", Value: "red"}))
		} else {
			put(yaml.MapSlice{{Key: "colour", Value: "red"}})
		}
	case 1:
		kind = "a number"
		put(7)
	case 2:
		kind = "a negative number"
		put(-3)
	case 3:
		kind = "a fraction"
		put(2.5)
	case 4:
		kind = "a word"
		put("soon")
	case 5:
		kind = "missing"
		switch in := s.in.(type) {
		case yaml.MapSlice:
			s.set(slices.Delete(slices.Clone(in), s.at, s.at+1))
		case []any:
			s.set(slices.Delete(slices.Clone(in), s.at, s.at+1))
		}
	case 6:
		kind = "within a list"
		put([]any{get()})
	case 7:
		kind = "within a mapping"
		put(yaml.MapSlice{{Key: "value", Value: get()}})
	case 8:
		kind = "another type"
		put([]any{true, nil, "", []any{}, yaml.MapSlice{}}[rng.IntN(5)])
	}
	return root, s.path + " is " + kind
}

// faultsOf are the faults that an error of Parse joins.
func faultsOf(err error) (faults []*Fault) {
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		faults = append(faults, e.(*Fault))
	}
	return faults
}
