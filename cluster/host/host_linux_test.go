package host

import (
	"testing"

	"coinbench/history"
)

func TestCountersReadWhatTheKernelWrites(t *testing.T) {
	values := map[string]float64{}
	parseStat([]byte("cpu  1000 20 300 4000 50 0 60 70 5 0\ncpu0 1 2 3\n"), values)
	parsePressure([]byte("some avg10=42.42 avg60=70.28 avg300=85.87 total=1224940617\nfull avg10=0.00 total=0\n"), values)
	for name, want := range map[string]float64{history.HostCPU: 55, history.HostBusy: 14.5, history.HostPressure: 1224.940617} {
		if values[name] != want {
			t.Errorf("%s = %v, want %v", name, values[name], want)
		}
	}
	broken := map[string]float64{}
	parseStat([]byte("intr 1 2 3"), broken)
	parseStat([]byte("cpu x"), broken)
	parsePressure([]byte("full total=3"), broken)
	if len(broken) > 0 {
		t.Errorf("of broken files it read %v", broken)
	}
}

func TestTheHostIsRead(t *testing.T) {
	values := Counters()
	if a, b := Kernel(), Kernel(); a == "" || a != b {
		t.Errorf("the kernel is %q and %q", a, b)
	}
	if values[history.HostCPU] <= 0 || values[history.HostBusy] <= 0 || values[history.HostBusy] > values[history.HostCPU] {
		t.Errorf("%v", values)
	}
}
