package swarm

import (
	"encoding/json"
	"strings"

	"coinbench/cluster"
	"coinbench/cluster/swarm/observe"
)

// The labels of what is ours. A thing without the first of them was not made by coinbench and is never touched.
const (
	appLabel      = "coinbench.app"
	runLabel      = "coinbench.run"
	modeLabel     = "coinbench.mode"     // run: ends with its process; up: until `down`
	nodeLabel     = "coinbench.node"     // ID of the node whose engine made it
	orderLabel    = "coinbench.order"    // place of a service in its app
	serviceLabel  = "coinbench.service"  // the cluster.Service as JSON
	priorLabel    = "coinbench.previous" // the same before the last update
	partLabel     = "coinbench.part"     // app, probe, relay, job, registry
	registryLabel = "coinbench.registry" // address of the registry that this service is, for every node
	colourLabel   = "coinbench.colour"   // blue or green: the set of tasks that this engine's service is, behind a gateway
	keptLabel     = "coinbench.kept"     // true: a set that was switched away from
	stackLabel    = "com.docker.stack.namespace"
)

// reference is the full name of an image on this Swarm.
func (c *Cluster) reference(image string) string {
	switch {
	case c.config.Registry != "" && strings.HasPrefix(image, "coinbench/"):
		return c.config.Registry + "/" + image
	case c.mirrored[image]:
		return c.config.Registry + "/library/" + image
	}
	return image
}

// plain is an image's name as the app has it.
func (c *Cluster) plain(image string) string {
	return observe.PlainImage(c.config.Registry, image)
}

func encoded(s cluster.Service) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	return string(data)
}

func decoded(label string) (cluster.Service, error) {
	var s cluster.Service
	err := json.Unmarshal([]byte(label), &s)
	return s, err
}

// wanted is what the service shall be.
func (s *service) wanted() cluster.Service { return s.spec }
