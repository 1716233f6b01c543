package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"coinbench/services/settings"
)

// Redis is the name of the one image that is not coinbench's own and that every cluster knows.
const Redis = "redis"

// OwnImages says which images a cluster can play that runs none.
const OwnImages = "coinbench/rng, coinbench/hasher, coinbench/worker and coinbench/webui, with any tag behind, and redis; or --cluster swarm, where images are run"

// OwnImage reads coinbench/SERVICE[:TAG] or redis[:TAG]: what a cluster plays that runs no images but the code of this binary. An image
// of a registry or with a digest may hold anything, and is none of them: it would pass without ever having been run.
func OwnImage(name string) (service, tag string, ok bool) {
	if strings.Contains(name, "@") {
		return "", "", false
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", false
	}
	if t, tagged := named.(reference.Tagged); tagged {
		tag = t.Tag()
	}
	plain := strings.TrimSuffix(name, ":"+tag)
	switch plain {
	case Redis, "library/redis", "docker.io/library/redis":
		return Redis, tag, true
	}
	service, ours := strings.CutPrefix(plain, "coinbench/")
	return service, tag, ours && slices.Contains(settings.Services(), service)
}

// CheckImage says whether a text can be the name of an image at all.
func CheckImage(name string) error {
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return fmt.Errorf("image %q: %w; accepted: such as coinbench/rng:v2 or registry.example:5000/coinbench/rng:v2", name, err)
	}
	return nil
}
