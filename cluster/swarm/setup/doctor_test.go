package setup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"coinbench/cluster/swarm/engine"
)

// nodes that reach each other, as n copies of the doctor's job would say it.
func healthy(n int) map[string]Vitals {
	heard := map[string]Vitals{}
	for i := 1; i <= n; i++ {
		v := Vitals{Node: fmt.Sprintf("node%02d", i), Address: fmt.Sprintf("10.0.1.%d", i)}
		for j := 1; j <= n; j++ {
			if j != i {
				v.Peers = append(v.Peers, PeerVitals{Address: fmt.Sprintf("10.0.1.%d", j), Trip: time.Millisecond})
			}
		}
		heard[v.Node] = v
	}
	return heard
}

func TestEveryPairOfNodesIsTold(t *testing.T) {
	heard := healthy(3)
	var told []string
	for _, f := range overlays(heard) {
		told = append(told, f.What)
		if !f.OK || !strings.Contains(f.Text, "1ms") {
			t.Errorf("%+v", f)
		}
	}
	if got, want := strings.Join(told, ", "), "overlay node01 - node02, overlay node01 - node03, overlay node02 - node03"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	v := heard["node02"]
	v.Peers[1].Fault = "no connection" // to node03
	v.Peers[0].Address = "10.0.1.9"    // node01 is not known to it
	for i, want := range []string{"DNS does not know the container on node01", "", "from node02 to node03: no connection"} {
		f := overlays(heard)[i]
		if f.OK != (want == "") || !strings.Contains(f.Text, want) || !f.OK && !strings.Contains(f.Text, "4789") {
			t.Errorf("%+v, want %q", f, want)
		}
	}
}

func TestOfManyPairsOnlyFaultsAreTold(t *testing.T) {
	heard := healthy(6)
	if all := overlays(heard); len(all) != 1 || !all[0].OK || !strings.Contains(all[0].Text, "15 of 15") {
		t.Errorf("%+v", all)
	}
	heard["node04"].Peers[0].Fault = "no connection" // to node01
	all := overlays(heard)
	if len(all) != 2 || all[0].OK || all[0].What != "overlay node01 - node04" || all[1].OK || !strings.Contains(all[1].Text, "14 of 15") {
		t.Errorf("%+v", all)
	}
}

func TestClockAndDisk(t *testing.T) {
	origin := time.Now()
	if f := clock(Vitals{OriginAt: origin.Add(400 * time.Millisecond)}, origin); !f.OK {
		t.Errorf("%+v", f)
	}
	if f := clock(Vitals{OriginAt: origin.Add(-2 * time.Second)}, origin); f.OK || !strings.Contains(f.Text, "NTP") {
		t.Errorf("%+v", f)
	}
	if f, known := disk(Vitals{FreeBytes: 1 << 30}); !known || f.OK || !strings.Contains(f.Text, "prune") {
		t.Errorf("%+v, %v", f, known)
	}
	if f, known := disk(Vitals{FreeBytes: 3 << 30}); !known || !f.OK {
		t.Errorf("%+v, %v", f, known)
	}
}

func TestPortOf(t *testing.T) {
	for address, want := range map[string]string{"": "", "127.0.0.1:5000": "5000", "10.77.0.1:5001": "5001"} {
		if got := portOf(map[string]string{engine.RegistryLabel: address}); got != want {
			t.Errorf("%q: %q", address, got)
		}
	}
}
