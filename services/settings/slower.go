package settings

import (
	"maps"
	"time"
)

// Slower returns the environment of a service whose own times, those of its work, are all longer by a factor: what limits an app that is
// made of them, its throughput is smaller by the same.
func Slower(service string, env map[string]string, factor float64) (map[string]string, error) {
	s, err := Parse(service, env)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(env)
	if out == nil {
		out = map[string]string{}
	}
	for name, d := range map[string]time.Duration{"COIN_DELAY": s.Delay, "COIN_DELAY_JITTER": s.Jitter, "COIN_OCCUPANCY": s.Occupancy,
		"COIN_INTAKE": s.Intake, "COIN_THINK": s.Think, "COIN_CALL_OVERHEAD": s.CallOverhead} {
		if d > 0 {
			out[name] = time.Duration(float64(d) * factor).Round(time.Microsecond).String()
		}
	}
	return out, nil
}
