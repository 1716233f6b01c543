package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/setup"
)

// bootstrapCommand gives a Swarm the images that it cannot pull.
func bootstrapCommand(p process) *cobra.Command {
	port := 5000
	down := false
	tags := shippedTags()
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Give a Swarm that can pull nothing a registry with the app's images",
		Long: `bootstrap loads coinbench's own image into the engine that DOCKER_HOST names, a manager's, starts a registry from it as a
service pinned to that node, pushes the app's images to it and lets every node pull from it. It needs the engine's socket and
nothing else. Redis' image is made from the redis-server of this machine, or pulled by the engine where there is none; where that
cannot be, coinbench's own takes its place.

What is played on this Swarm from then on finds the registry by itself. Doing it again brings new images; --down removes
registry, volume and images.`,
		Example: `  docker swarm init
  coinbench swarm bootstrap
  coinbench run bottleneck --cluster swarm
  coinbench swarm bootstrap --down`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			if port < 1 || port > 65535 {
				return usage(fmt.Errorf("--port %d; accepted: 1 to 65535", port))
			}
			if len(tags) == 0 {
				return usage(fmt.Errorf("--tag: none; accepted: such as v0.1"))
			}
			e, err := swarmFlags{tag: tags[0]}.engine(true)
			if err != nil {
				return err
			}
			defer e.Close()
			if err := reach(e.Ready); err != nil {
				return err
			}
			b := setup.Registry{Engine: e, Port: port, Tell: func(text string) { fmt.Fprintln(p.stderr, text) }}
			if down {
				return unmeasured(b.Remove(ctx))
			}
			begun := time.Now()
			binary, err := images.Binary(ctx, "", nil)
			if err != nil {
				return usage(err)
			}
			set, err := imagesOf(binary, tags)
			if err != nil {
				return usage(err)
			}
			b.Images = set
			if redis, err := images.Redis(""); err == nil {
				set[images.RedisName] = redis
			} else {
				own, err := images.OwnRedis(binary)
				if err != nil {
					return usage(err)
				}
				b.Hub = images.Set{"redis:7": own}
			}
			address, err := b.Bootstrap(ctx)
			if err != nil {
				return unmeasured(err)
			}
			fmt.Fprintf(p.stdout, "%d images at %s, for every node, in %s\n", len(set)+len(b.Hub), address,
				time.Since(begun).Round(100*time.Millisecond))
			return nil
		},
	}
	c.Flags().IntVar(&port, "port", port, "port of the registry")
	c.Flags().StringSliceVar(&tags, "tag", tags, "tags of the images; the first is the registry's own")
	c.Flags().BoolVar(&down, "down", false, "remove the registry and what was loaded for it")
	return c
}
