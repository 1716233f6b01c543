package swarm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
)

// doctorApp is the name of what Doctor makes and removes.
const doctorApp = "coinbench-doctor"

// Limits past which Doctor says something.
const (
	mostSkew = 100 * time.Millisecond
	leastGiB = 2
)

// Finding is one line of Doctor.
type Finding struct {
	What string
	OK   bool
	Text string // what was found and, unless OK, what to do
}

// Vitals is what a node says of itself, from inside a container on the overlay.
type Vitals struct {
	Node      string        `json:"node"`
	OriginAt  time.Time     `json:"origin_at"`  // the harness's origin on the node's wall clock
	Off       time.Duration `json:"off"`        // bound of its error
	FreeBytes uint64        `json:"free_bytes"` // of the disk that holds containers; 0: not known
}

// Doctor examines the Swarm, telling each finding as it comes. It makes a network, a relay, and a job with a copy for each
// node, and removes them.
func (c *Cluster) Doctor(ctx context.Context, tell func(Finding)) error {
	version, err := c.engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		tell(Finding{"engine", false, fmt.Sprintf("%v; start it, or name another by DOCKER_HOST", err)})
		return nil
	}
	tell(Finding{"engine", true, fmt.Sprintf("version %s, API %s (in use: %s)", version.Version, version.APIVersion, c.engine.ClientVersion())})
	if err := c.ready(ctx); err != nil {
		tell(Finding{"swarm", false, err.Error()})
		return nil
	}
	tell(Finding{"swarm", true, "the engine is a manager of it"})
	list, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return err
	}
	ready := map[string]bool{}
	for _, n := range list.Items {
		name := n.Description.Hostname
		switch {
		case n.Status.State != swarm.NodeStateReady:
			tell(Finding{"node " + name, false, fmt.Sprintf("is %s; start its engine, or remove it: docker node rm %s", n.Status.State, name)})
		case n.Spec.Availability != swarm.NodeAvailabilityActive:
			tell(Finding{"node " + name, false, fmt.Sprintf("takes no tasks (%s); docker node update --availability active %s", n.Spec.Availability, name)})
		default:
			ready[name] = true
			tell(Finding{"node " + name, true, fmt.Sprintf("%s, engine %s", n.Spec.Role, n.Description.Engine.EngineVersion)})
		}
	}
	endpoint := c.config.Endpoint
	c.config.Endpoint = DNSRR // what works is asked below
	err = c.setUp(ctx, cluster.App{Name: doctorApp})
	c.config.Endpoint = endpoint
	if err != nil {
		tell(Finding{"image", false, err.Error()})
		return nil
	}
	defer func() {
		if err := c.Remove(context.WithoutCancel(ctx)); err != nil {
			tell(Finding{"cleaning up", false, fmt.Sprintf("%v; finish it with: coinbench down --app %s", err, doctorApp)})
		}
	}()
	tell(Finding{"image", true, c.helper() + " runs on the manager"})
	switch why, err := c.TryVIP(ctx); {
	case err != nil:
		tell(Finding{"virtual addresses", false, err.Error()})
	case why != nil:
		tell(Finding{"virtual addresses", false, fmt.Sprintf("%v; load IPVS on every node (modprobe ip_vs), or use --endpoint-mode dnsrr", why)})
	default:
		tell(Finding{"virtual addresses", true, "work"})
	}
	c.doctorNodes(ctx, ready, tell)
	return nil
}

// doctorNodes examines every node from the inside: that a copy of a job says something proves that the node could pull the
// image and reach the manager through the overlay.
func (c *Cluster) doctorNodes(ctx context.Context, ready map[string]bool, tell func(Finding)) {
	origin := time.Now()
	job := cluster.Job{Name: "doctor", Args: []string{"vitals"}, Work: make([][]byte, len(ready)), Origin: origin}
	heard := map[string]bool{}
	err := c.RunJob(ctx, job, func(_ int, node string, message []byte) {
		var v Vitals
		if json.Unmarshal(message, &v) != nil || heard[node] {
			return
		}
		heard[node] = true
		tell(Finding{"pull and overlay " + node, true, "the node pulled the image and reached the manager"})
		skew := v.OriginAt.Sub(origin.Round(0))
		f := Finding{"clock " + node, true, fmt.Sprintf("%s off (± %s)", skew.Round(10*time.Microsecond), v.Off.Round(10*time.Microsecond))}
		if skew.Abs() > mostSkew+v.Off {
			f.OK, f.Text = false, f.Text+"; set the clocks by NTP"
		}
		tell(f)
		if v.FreeBytes > 0 {
			f := Finding{"disk " + node, true, fmt.Sprintf("%.1f GiB free", float64(v.FreeBytes)/(1<<30))}
			if v.FreeBytes < leastGiB<<30 {
				f.OK, f.Text = false, f.Text+"; make room: docker system prune"
			}
			tell(f)
		}
	})
	if err != nil {
		tell(Finding{"pull and overlay", false, err.Error()})
	}
	var silent []string
	for name := range ready {
		if !heard[strings.ReplaceAll(name, " ", "_")] {
			silent = append(silent, name)
		}
	}
	slices.Sort(silent)
	for _, name := range silent {
		tell(Finding{"pull and overlay " + name, false, "nothing was heard from it; see docker service ps and its engine's log, and open the ports 7946 (tcp, udp) and 4789 (udp) between the nodes"})
	}
}
