package cluster

import (
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"coinbench/services/settings"
)

// Redis is the kind of the one image that is not coinbench's own and that every cluster knows; Valkey is one of it.
const (
	Redis     = "redis"
	redisPort = 6379
)

// OwnImages says which images a cluster can play that runs none.
const OwnImages = "coinbench/rng, coinbench/hasher, coinbench/worker and coinbench/webui, with any tag behind, redis and valkey; or " +
	"--cluster swarm, where images are run"

// Image is what the name of an image says.
type Image struct {
	Kind string // rng, hasher, worker, webui, gateway or redis; "": a foreign one
	Tag  string
	Own  bool // a cluster that runs no images plays it by the code of this binary
}

// ParseImage reads [REGISTRY/]coinbench/SERVICE[:TAG][@DIGEST], and names of Redis and Valkey; what cannot be the name of an image is a
// foreign one. An image of a registry or with a digest may hold anything, and is not Own: it would pass without ever having been run.
func ParseImage(name string) (i Image) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Image{}
	}
	if t, tagged := named.(reference.Tagged); tagged {
		i.Tag = t.Tag()
	}
	folder, base := path.Split(reference.Path(named))
	hub := reference.Domain(named) == "docker.io" && !strings.Contains(name, "@")
	switch {
	case base == Redis || base == "valkey":
		i.Kind = Redis
		i.Own = hub && (folder == "library/" || folder == "valkey/" && base == "valkey")
	case (folder == "coinbench/" || strings.HasSuffix(folder, "/coinbench/")) && slices.Contains(settings.Services(), base):
		i.Kind = base
		i.Own = hub && strings.HasPrefix(name, "coinbench/")
	}
	return i
}

// OwnImage is ParseImage for clusters that run no images; false: it is none that they can play.
func OwnImage(name string) (kind, tag string, ok bool) {
	if i := ParseImage(name); i.Own {
		return i.Kind, i.Tag, true
	}
	return "", "", false
}

// CheckImage says whether a text can be the name of an image at all.
func CheckImage(name string) error {
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return fmt.Errorf("image %q: %w; accepted: such as coinbench/rng:v2 or registry.example:5000/coinbench/rng:v2", name, err)
	}
	return nil
}

// Effective is the environment that a replica finds, before a cluster adds what it alone knows: what its version brings, and over it the
// service's own.
func (s Service) Effective() map[string]string {
	i := ParseImage(s.Image)
	env := settings.TagDefaults(i.Kind, i.Tag)
	if env == nil || !i.Coinbench() {
		env = map[string]string{}
	}
	maps.Copy(env, s.Environment)
	return env
}

// Coinbench says whether the image is one of coinbench's services.
func (i Image) Coinbench() bool { return i.Kind != "" && i.Kind != Redis }

// Listens are the ports of a replica and of its admin server, as they are in a container; 0: it has none, or that is not known.
func (s Service) Listens() (listen, admin int) {
	i := ParseImage(s.Image)
	switch {
	case i.Kind == Redis:
		return redisPort, 0
	case !i.Coinbench() && len(s.Ports) > 0:
		return s.Ports[0].Target, 0
	case !i.Coinbench() && len(s.Expose) > 0:
		return s.Expose[0], 0
	}
	set, err := settings.Parse(i.Kind, s.Effective())
	if err != nil {
		return 0, 0
	}
	port := func(address string) int {
		_, p, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(p)
		return n
	}
	return port(set.Listen), port(set.AdminListen)
}
