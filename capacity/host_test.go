package capacity_test

import (
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
)

// A machine on which others compute is no place for a measurement that is made of sleeping; one that the app itself fills is
// a measurement of just that.
func TestABusyMachineMakesAWindowInvalid(t *testing.T) {
	for _, c := range []struct {
		name                string
		cluster             string
		busy, own, pressure float64 // shares
		known               bool    // whether the kernel accounts for waiting
		late                float64 // share by which sleeps were too long; -1: nothing slept
		invalid             string
	}{
		{"free", "", .10, .08, .02, true, -1, ""},
		{"others compute", "", .95, .15, .80, true, -1, "waited for a processor in 80 % of the time, and other programs used 80 %"},
		{"the app fills it", "", .95, .93, .80, true, -1, ""},
		{"others compute, no account of waiting", "", .95, .15, 0, false, -1, "busy 95 % of the time, 80 % with other programs"},
		{"others wait", "local", .95, .40, .60, true, -1, "waited for a processor in 60 % of the time"},
		{"engines wait", "swarm", .95, .40, .60, true, -1, ""},
		{"others compute, and the app does not notice", "local", .95, .15, .80, true, .006, ""},
		{"others compute, and the app is late", "swarm", .95, .15, .80, true, .08,
			"the app's delays lasted 8 % longer than they were to, and other programs used 80 %"},
		{"the app makes itself late", "local", .95, .93, .80, true, .08, ""},
		{"others compute beside engines", "swarm", .95, .15, .80, true, -1, "waited for a processor in 80 % of the time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := &history.Run{Manifest: history.Manifest{Cluster: c.cluster, Engines: c.cluster == "swarm"}, Status: history.Finished,
				End: 10 * time.Second,
				Events: []history.Event{
					{At: 0, Payload: event.WindowBegin{Name: "w"}},
					{At: 10 * time.Second, Payload: event.WindowEnd{Name: "w"}},
				}}
			for s := range 11 {
				const cpus = 2
				at := float64(s)
				values := map[string]float64{history.HostCPU: 100 + cpus*at, history.HostBusy: 50 + c.busy*cpus*at,
					history.ProcessCPU: c.own * cpus * at}
				if c.late >= 0 {
					run.Readings = append(run.Readings, history.Reading{At: time.Duration(s) * time.Second, Service: "rng", Task: "rng.1#1",
						Values: history.ValuesOf(map[string]float64{history.Slept: 3 + at, history.SleptLate: 2 + c.late*at})})
				}
				if c.known {
					values[history.HostPressure] = 7 + c.pressure*at
				}
				run.Readings = append(run.Readings, history.Reading{At: time.Duration(s) * time.Second, Service: "host", Task: "host",
					Values: history.ValuesOf(values)})
			}
			a := capacity.Analyse(run)
			host := a.Window("w").Host
			if host == nil {
				t.Fatal("the host was not read")
			}
			within(t, "busy", host.Busy, c.busy, 1e-9)
			within(t, "own", host.Own, c.own, 1e-9)
			if got := strings.Join(a.Validity.Invalid, "\n"); c.invalid == "" && got != "" || !strings.Contains(got, c.invalid) {
				t.Errorf("invalid: %q, want %q", got, c.invalid)
			}
			if c.invalid != "" && a.Overall.Outcome != capacity.OutcomeInvalid {
				t.Errorf("outcome %s, want INVALID", a.Overall.Outcome)
			}
		})
	}
}
