package capacity_test

import (
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// A block that a search played again because the generator had spoilt it must not spoil the run; one that stayed spoilt does.
func TestLoadsThatWerePlayedAgain(t *testing.T) {
	load := func(name string, invalid ...string) history.Load {
		return history.Load{LoadSpec: history.LoadSpec{Name: name}, Closing: &history.LoadEndRecord{End: time.Second, Invalid: invalid}}
	}
	for _, c := range []struct {
		name  string
		loads []history.Load
		want  string // of Validity.Invalid
	}{
		{"played again", []history.Load{load("rng/8", "late"), load("rng/8", "late again"), load("rng/8")}, ""},
		{"spoilt at the end", []history.Load{load("rng/8"), load("rng/8", "late")}, "load rng/8: late"},
		{"another level", []history.Load{load("rng/8", "late"), load("rng/16")}, "load rng/8: late"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := capacity.Analyse(&history.Run{Status: history.Finished, End: time.Minute, Loads: c.loads})
			if got := strings.Join(a.Validity.Invalid, "\n"); got != c.want {
				t.Errorf("invalid: %q, want %q", got, c.want)
			}
			if c.want == "" && !strings.Contains(strings.Join(a.Validity.Warnings, "\n"), "played again") {
				t.Errorf("it is not said that it was played again: %v", a.Validity.Warnings)
			}
		})
	}
}
