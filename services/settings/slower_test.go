package settings

import "testing"

// Every time of a service's work is longer, and nothing else.
func TestSlower(t *testing.T) {
	for service, want := range map[string]map[string]string{
		RNG:    {"COIN_DELAY": "200ms", "COIN_OCCUPANCY": "14ms", "COIN_CONCURRENCY": "1"},
		Hasher: {"COIN_DELAY": "200ms", "COIN_OCCUPANCY": "14ms"},
		Worker: {"COIN_THINK": "200ms", "COIN_CALL_OVERHEAD": "6ms"},
	} {
		env := map[string]string{}
		switch service {
		case RNG:
			env["COIN_OCCUPANCY"], env["COIN_CONCURRENCY"] = "7ms", "1"
		case Hasher:
			env["COIN_OCCUPANCY"] = "7ms"
		case Worker:
			env["COIN_CALL_OVERHEAD"] = "3ms"
		}
		got, err := Slower(service, env, 2)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", service, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v", service, got)
		}
	}
	if _, err := Slower(RNG, map[string]string{"COIN_DELAY": "soon"}, 2); err == nil {
		t.Error("a delay that is none was made longer")
	}
}
