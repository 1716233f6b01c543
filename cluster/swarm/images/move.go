package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"coinbench/cluster/swarm/engineerr"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
)

// Set is images by their names, such as coinbench/rng:v0.1.
type Set map[string]v1.Image

// BuildAll makes the images of all services, and of the bare program, with one binary and one tag, or with each of several
// instead of the options' own. They share one layer, in memory too.
func BuildAll(o Options, services []string, tags ...string) (Set, error) {
	if len(tags) == 0 {
		tags = []string{o.Tag}
	}
	layer, err := programLayer(o.Binary)
	if err != nil {
		return nil, err
	}
	set := Set{}
	for _, o.Tag = range tags {
		for _, o.Service = range services {
			img, err := buildOn(layer, o)
			if err != nil {
				return nil, err
			}
			set[o.Name()] = img
		}
	}
	return set, nil
}

// Names returns the names in alphabetical order.
func (s Set) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Remote says how to talk to a registry.
type Remote struct {
	Registry  string            // host:port, put in front of the names; "": the names as they are
	Insecure  bool              // speak HTTP, as a registry without a certificate does
	Keychain  authn.Keychain    // nil: anonymous
	Transport http.RoundTripper // nil: remote.DefaultTransport
}

// Ref returns the full name of an image in the registry.
func (r Remote) Ref(image string) string {
	if r.Registry == "" {
		return image
	}
	return r.Registry + "/" + image
}

func (r Remote) parse(image string) (name.Tag, error) {
	opts := []name.Option{name.WeakValidation}
	if r.Insecure {
		opts = append(opts, name.Insecure)
	}
	return name.NewTag(r.Ref(image), opts...)
}

func (r Remote) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("coinbench")}
	if r.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(r.Keychain))
	}
	if r.Transport != nil {
		opts = append(opts, remote.WithTransport(r.Transport))
	}
	return opts
}

// Push pushes images, layers that the registry has already left out, and returns the digest of each.
func Push(ctx context.Context, to Remote, set Set) (map[string]v1.Hash, error) {
	images := map[name.Reference]remote.Taggable{}
	digests := map[string]v1.Hash{}
	for n, img := range set {
		ref, err := to.parse(n)
		if err != nil {
			return nil, fmt.Errorf("push: %w", err)
		}
		images[ref] = img
		if digests[n], err = img.Digest(); err != nil {
			return nil, fmt.Errorf("push %s: %w", ref, err)
		}
	}
	if err := remote.MultiWrite(images, to.options(ctx)...); err != nil {
		if engineerr.NoSpace.Is(err) {
			err = fmt.Errorf("%w: make room on the registry's disk, then push again", err)
		}
		return nil, fmt.Errorf("push to %s: %w", to.Registry, err)
	}
	return digests, nil
}

// Save writes images in the format of docker save, which docker load reads.
func Save(w io.Writer, set Set) error {
	tags := map[name.Tag]v1.Image{}
	for n, img := range set {
		tag, err := name.NewTag(n, name.WeakValidation)
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		tags[tag] = img
	}
	if err := tarball.MultiWrite(tags, w); err != nil {
		return fmt.Errorf("save %v: %w", set.Names(), err)
	}
	return nil
}

// Loader is the part of an engine's API that LoadIntoEngine needs; *client.Client has it.
type Loader interface {
	ImageLoad(ctx context.Context, input io.Reader, opts ...client.ImageLoadOption) (client.ImageLoadResult, error)
}

// LoadIntoEngine puts images into one engine, without any registry. The other nodes of a swarm do not get them.
func LoadIntoEngine(ctx context.Context, engine Loader, set Set) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(Save(w, set)) }()
	defer r.Close()
	result, err := engine.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load %v into the engine: %w", set.Names(), err)
	}
	defer result.Close()
	for messages := json.NewDecoder(result); ; {
		var m struct {
			Error string `json:"error"`
		}
		err := messages.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load %v into the engine: reading its answer: %w", set.Names(), err)
		case m.Error != "":
			return fmt.Errorf("load %v into the engine: %s", set.Names(), m.Error)
		}
	}
}
