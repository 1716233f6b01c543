package swarm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

// oldestAPI is the oldest version of the engine's API that all of this is held against: engine 20.10's.
const oldestAPI = "1.41"

// speaks says whether the engine's API is new enough. The version is negotiated: newer engines are spoken to as the client
// knows best.
func (c *Cluster) speaks(ctx context.Context) error {
	if _, err := c.engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("the engine does not answer: %w; start it, or name another by DOCKER_HOST", err)
	}
	if v := c.engine.ClientVersion(); versions.LessThan(v, oldestAPI) {
		return fmt.Errorf("the engine is spoken to by API %s, and coinbench needs %s; upgrade the engine to 20.10 or newer, and leave "+
			"DOCKER_API_VERSION unset", v, oldestAPI)
	}
	return nil
}

// locate decides where images come from: the registry that was given, or else the one that Bootstrap left on the Swarm; and
// which images of Docker Hub are in it as well, redis above all.
func (c *Cluster) locate(ctx context.Context, images []string) error {
	if c.config.Registry == "" {
		found, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", registryLabel)})
		if err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		for _, s := range found.Items {
			c.config.Registry = s.Spec.Labels[registryLabel]
		}
	}
	c.mirrored = map[string]bool{}
	if c.config.Registry == "" {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, image := range images {
		if image == "" || strings.ContainsAny(image, "/@") || c.mirrored[image] {
			continue
		}
		_, err := c.engine.DistributionInspect(asking, c.config.Registry+"/library/"+image, client.DistributionInspectOptions{})
		c.mirrored[image] = err == nil
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx))
	}
	return nil
}
