package history

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Values are the numbers of a reading by the names of their series, in the order of the names. A run has tens of thousands of readings
// and some dozens of series: those of a run that is read back share their names, and one takes a fifth of what a map would.
// The zero Values are none.
type Values struct {
	names   []string // in order; shared, so never written
	numbers []float64
}

// ValuesOf are those of a map.
func ValuesOf(m map[string]float64) Values {
	v := Values{names: slices.Sorted(maps.Keys(m)), numbers: make([]float64, len(m))}
	for i, name := range v.names {
		v.numbers[i] = m[name]
	}
	return v
}

// Len is how many there are.
func (v Values) Len() int { return len(v.names) }

// Of is the number of a series; 0: there is none.
func (v Values) Of(name string) float64 {
	x, _ := v.Get(name)
	return x
}

// Get is the number of a series, and whether there is one.
func (v Values) Get(name string) (float64, bool) {
	if i, ok := slices.BinarySearch(v.names, name); ok {
		return v.numbers[i], true
	}
	return 0, false
}

// All are names and numbers, in the order of the names.
func (v Values) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for i, name := range v.names {
			if !yield(name, v.numbers[i]) {
				return
			}
		}
	}
}

// With are the values with another number of a series.
func (v Values) With(name string, x float64) Values {
	m := maps.Collect(v.All())
	m[name] = x
	return ValuesOf(m)
}

// MarshalJSON writes an object.
func (v Values) MarshalJSON() ([]byte, error) { return json.Marshal(maps.Collect(v.All())) }

// UnmarshalJSON reads an object.
func (v *Values) UnmarshalJSON(data []byte) error {
	var m map[string]float64
	err := json.Unmarshal(data, &m)
	*v = ValuesOf(m)
	return err
}

// interned keeps one copy of each text of a file, and one list of names of all readings that have the same.
type interned struct {
	texts map[string]string
	lists map[string][]string
}

func newInterned() interned { return interned{map[string]string{}, map[string][]string{}} }

func (t interned) text(s string) string {
	known, ok := t.texts[s]
	if !ok {
		t.texts[s] = s
		return s
	}
	return known
}

// reading is the same with one copy of each name.
func (t interned) reading(r Reading) Reading {
	all := strings.Join(r.Values.names, "\n")
	names, ok := t.lists[all]
	if !ok {
		names = r.Values.names
		t.lists[all] = names
	}
	return Reading{At: r.At, Service: t.text(r.Service), Task: t.text(r.Task), Values: Values{names, r.Values.numbers}}
}
