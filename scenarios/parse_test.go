package scenarios

import (
	"testing"
)

func TestShippedScenariosParse(t *testing.T) {
	for _, e := range Shipped() {
		s, err := Parse(e.Name+".yaml", e.Source, Options{})
		if err != nil {
			t.Errorf("%s:\n%v", e.Name, err)
			continue
		}
		if s.Name != e.Name {
			t.Errorf("%s calls itself %s", e.Name, s.Name)
		}
		if e.Summary == "" {
			t.Errorf("%s has no summary", e.Name)
		}
		t.Logf("%s: about %s: %s", e.Name, s.Estimate(), e.Summary)
		for name := range map[string]bool{} {
			_ = name
		}
	}
}
