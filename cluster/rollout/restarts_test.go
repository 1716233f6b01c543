package rollout

import (
	"testing"
	"time"

	"coinbench/cluster"
)

func TestRestarts(t *testing.T) {
	type end struct {
		at        time.Duration
		succeeded bool
		never     bool
	}
	for name, c := range map[string]struct {
		policy cluster.Restart
		ends   []end
	}{
		"none":       {cluster.Restart{Condition: "none"}, []end{{0, false, true}, {0, true, true}}},
		"on-failure": {cluster.Restart{Condition: "on-failure"}, []end{{0, false, false}, {0, true, true}}},
		"any":        {cluster.Restart{Condition: "any"}, []end{{0, false, false}, {0, true, false}, {0, true, false}}},
		"at most 2": {cluster.Restart{Condition: "any", MaxAttempts: 2}, []end{{0, false, false}, {time.Hour, false, false},
			{2 * time.Hour, false, true}}},
		"2 a minute": {cluster.Restart{Condition: "any", MaxAttempts: 2, Window: time.Minute},
			[]end{{0, false, false}, {30 * time.Second, false, false},
				{time.Minute, false, true}, {61 * time.Second, false, false}, {62 * time.Second, false, true}}},
	} {
		c.policy.Delay = 5 * time.Second
		var r Restarts
		for i, e := range c.ends {
			delay, never := r.Next(c.policy, e.succeeded, time.Unix(0, 0).Add(e.at))
			if (never != "") != e.never || never == "" && delay != 5*time.Second {
				t.Errorf("%s, end %d: %v, %q", name, i, delay, never)
			}
		}
	}
}
