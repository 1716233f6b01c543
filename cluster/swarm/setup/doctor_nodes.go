package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
)

// Vitals is what a node says of itself, from inside a container on the overlay.
type Vitals struct {
	Node      string        `json:"node"`
	OriginAt  time.Time     `json:"origin_at"`  // the harness's origin on the node's wall clock
	Off       time.Duration `json:"off"`        // bound of its error
	FreeBytes uint64        `json:"free_bytes"` // of the disk that holds containers; 0: not known
	Address   string        `json:"address"`    // of the container, on the overlay
	Peers     []PeerVitals  `json:"peers"`      // one for each other address that the job's name resolved to
}

// PeerVitals is how a node reached another.
type PeerVitals struct {
	Address string        `json:"address"`
	Trip    time.Duration `json:"trip"`  // round trip of a byte
	Fault   string        `json:"fault"` // "": it was reached
}

// Pairs told one by one; of more, only those with a fault are, and one line says how many there are.
const maxPairs = 10

const openPorts = "open the ports 7946 (tcp, udp) and 4789 (udp) between the nodes"

// nodes examines every node from the inside, by a copy of a job on each: that it says something proves that it could run
// the image and reach the manager through the overlay; the copies then try each other.
func (d *doctor) nodes(ctx context.Context, jobs cluster.Jobs, run Everywhere, ready map[string]string) error {
	if len(ready) == 0 {
		return nil
	}
	var work [][]byte
	for range ready {
		work = append(work, []byte(strconv.Itoa(len(ready)))) // how many there are
	}
	origin := time.Now()
	heard := map[string]Vitals{}
	within, enough := context.WithCancel(ctx) // the copies stay, to be reached, until all have said what they found
	defer enough()
	err := run(within, jobs, work, origin, func(node string, message []byte) {
		var v Vitals
		if json.Unmarshal(message, &v) != nil {
			return
		}
		heard[node] = v
		if len(heard) == len(ready) {
			enough()
		}
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && !errors.Is(err, context.Canceled):
		d.bad("overlay", "%v; see docker service ps and the engines' logs", err)
	}
	for _, name := range slices.Sorted(maps.Values(ready)) {
		v, ok := heard[strings.ReplaceAll(name, " ", "_")]
		if !ok {
			d.bad("overlay "+name, "nothing was heard from it; see its engine's log, and %s", openPorts)
			continue
		}
		d.tell(clock(v, origin))
		if f, known := disk(v); known {
			d.tell(f)
		}
	}
	for _, f := range overlays(heard) {
		d.tell(f)
	}
	return nil
}

func clock(v Vitals, origin time.Time) Finding {
	skew := v.OriginAt.Sub(origin.Round(0))
	f := Finding{"clock " + v.Node, true, fmt.Sprintf("%s off (± %s)", skew.Round(10*time.Microsecond), v.Off.Round(10*time.Microsecond))}
	if skew.Abs() > maxSkew+v.Off {
		f.OK, f.Text = false, f.Text+"; set the clocks by NTP"
	}
	return f
}

func disk(v Vitals) (_ Finding, known bool) {
	f := Finding{"disk " + v.Node, true, fmt.Sprintf("%.1f GiB free", float64(v.FreeBytes)/(1<<30))}
	if v.FreeBytes < minGiB<<30 {
		f.OK, f.Text = false, f.Text+"; make room: docker system prune"
	}
	return f, v.FreeBytes > 0
}

// overlays says of every pair of nodes whether each reached the other.
func overlays(heard map[string]Vitals) []Finding {
	names := slices.Sorted(maps.Keys(heard))
	var all, bad []Finding
	for i, a := range names {
		for _, b := range names[i+1:] {
			f := pair(heard[a], heard[b])
			all = append(all, f)
			if !f.OK {
				bad = append(bad, f)
			}
		}
	}
	if len(all) <= maxPairs {
		return all
	}
	return append(bad, Finding{"overlay", len(bad) == 0, fmt.Sprintf("%d of %d pairs of nodes reach each other", len(all)-len(bad), len(all))})
}

// pair says whether two nodes reached each other.
func pair(a, b Vitals) Finding {
	f := Finding{What: "overlay " + a.Node + " - " + b.Node, OK: true}
	var faults []string
	var trip time.Duration
	for _, way := range []struct{ from, to Vitals }{{a, b}, {b, a}} {
		i := slices.IndexFunc(way.from.Peers, func(p PeerVitals) bool { return p.Address == way.to.Address })
		switch {
		case i < 0:
			faults = append(faults, fmt.Sprintf("on %s, the network's DNS does not know the container on %s", way.from.Node, way.to.Node))
		case way.from.Peers[i].Fault != "":
			faults = append(faults, fmt.Sprintf("from %s to %s: %s", way.from.Node, way.to.Node, way.from.Peers[i].Fault))
		default:
			trip = max(trip, way.from.Peers[i].Trip)
		}
	}
	if len(faults) > 0 {
		f.OK, f.Text = false, strings.Join(faults, "; ")+"; "+openPorts
		return f
	}
	f.Text = fmt.Sprintf("they reach each other, %s there and back", trip.Round(10*time.Microsecond))
	return f
}
