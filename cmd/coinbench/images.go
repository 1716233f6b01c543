package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/images"
)

func imagesCommand(p process) *cobra.Command {
	var tags []string
	c := &cobra.Command{
		Use:   "images",
		Short: "Make the app's container images from this very binary, without Dockerfile or engine",
		Example: `  coinbench images push --registry 10.0.0.1:5000
  coinbench images load --tag v0.1 --tag v0.01
  coinbench images build --out images.tar`,
	}
	c.PersistentFlags().StringSliceVar(&tags, "tag", shippedTags(), "tags; a tag is the version that a service reports, and worker:v0.01 "+
		"thinks for 10 ms")
	c.AddCommand(imagesBuild(p, &tags), imagesPush(p, &tags), imagesLoad(p, &tags))
	return c
}

func imagesBuild(p process, tags *[]string) *cobra.Command {
	out := "images.tar"
	c := &cobra.Command{
		Use:     "build",
		Short:   "Write the images to a file that docker load reads",
		Example: "  coinbench images build --out images.tar",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			set, err := buildImages(ctx, *tags)
			if err != nil {
				return usage(err)
			}
			f, err := os.Create(out)
			if err != nil {
				return unmeasured(err)
			}
			err = images.Save(f, set)
			if closing := f.Close(); err == nil {
				err = closing
			}
			if err != nil {
				_ = os.Remove(out)
				return unmeasured(err)
			}
			for _, n := range set.Names() {
				fmt.Fprintln(p.stdout, n)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", out, "the file")
	return c
}

func imagesPush(p process, tags *[]string) *cobra.Command {
	var registry string
	plain := false
	c := &cobra.Command{
		Use:     "push",
		Short:   "Push the images to a registry, with the credentials of docker login",
		Example: "  coinbench images push --registry 127.0.0.1:5000",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			if registry == "" {
				return usage(fmt.Errorf("no registry; accepted: --registry HOST:PORT"))
			}
			set, err := buildImages(ctx, *tags)
			if err != nil {
				return usage(err)
			}
			to := images.Remote{Registry: registry, Insecure: plain || private(registry), Keychain: authn.DefaultKeychain}
			digests, err := images.Push(ctx, to, set)
			if err != nil {
				return unmeasured(err)
			}
			for _, n := range set.Names() {
				fmt.Fprintf(p.stdout, "%s@%s\n", to.Ref(n), digests[n])
			}
			return nil
		},
	}
	c.Flags().StringVar(&registry, "registry", "", "the registry, as `HOST:PORT`")
	c.Flags().BoolVar(&plain, "plain-http", false, "the registry has no TLS (always tried at private addresses)")
	return c
}

// private says that a registry's address is one of a private network or of this machine, where TLS is rare.
func private(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && slices.Contains([]bool{a.IsPrivate(), a.IsLoopback()}, true)
}

func imagesLoad(p process, tags *[]string) *cobra.Command {
	return &cobra.Command{
		Use:     "load",
		Short:   "Load the images into the one engine that DOCKER_HOST names; other nodes do not get them",
		Example: "  coinbench images load",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			e, err := swarmFlags{}.engine(false)
			if err != nil {
				return err
			}
			defer e.Close()
			err = reach(func(ctx context.Context) error {
				if _, err := e.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
					return fmt.Errorf("the engine does not answer: %w; start it, or name another by DOCKER_HOST", err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			set, err := buildImages(ctx, *tags)
			if err != nil {
				return usage(err)
			}
			if err := images.LoadIntoEngine(ctx, e, set); err != nil {
				return unmeasured(err)
			}
			for _, n := range set.Names() {
				fmt.Fprintln(p.stdout, n)
			}
			return nil
		},
	}
}
