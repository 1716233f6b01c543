package history_test

import (
	"encoding/json"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"coinbench/history"
)

// Values are what a map would be.
func TestValuesAreThoseOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.StringMatching(`[a-c]{0,2}`), rapid.Float64Range(-5, 5)).Draw(t, "map")
		v := history.ValuesOf(m)
		same := func(v history.Values, want map[string]float64) {
			got := maps.Collect(v.All())
			if v.Len() != len(want) || !maps.Equal(got, want) {
				t.Fatalf("%v is not %v", got, want)
			}
		}
		same(v, m)
		for _, name := range []string{"", "a", "b", "cc", "d"} {
			want, known := m[name]
			if x, ok := v.Get(name); x != want || ok != known || v.Of(name) != want {
				t.Fatalf("%q is %v, %v; want %v, %v", name, x, ok, want, known)
			}
		}
		name := rapid.StringMatching(`[a-d]{0,2}`).Draw(t, "name")
		changed := maps.Clone(m)
		changed[name] = 7
		same(v.With(name, 7), changed)
		same(v, m) // and not changed by it
		text, err := json.Marshal(v)
		var again history.Values
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		same(again, m)
	})
}
