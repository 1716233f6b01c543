package scenarios

import (
	"embed"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed *.yaml
var files embed.FS

// Example is a scenario that coinbench ships.
type Example struct {
	Name    string
	Summary string // one line
	Source  []byte

	Profiles []string // their names, in the order of the file
}

// Shipped lists the scenarios that coinbench ships, in the order in which a newcomer meets them.
func Shipped() []Example {
	var all []Example
	for _, name := range []string{"bottleneck", "smoke", "keepalive", "balancing", "outage", "zero-downtime", "rolling-update", "bad-release",
		"fleet-rollout", "tournament", "flapping", "cascade", "setting", "bounds", "cross-check"} {
		source, err := files.ReadFile(name + ".yaml")
		if err != nil {
			continue // a test holds that every name has its file
		}
		var head struct {
			Description string
			Profiles    yaml.MapSlice
		}
		_ = yaml.Unmarshal(source, &head)
		var profiles []string
		for _, p := range head.Profiles {
			profiles = append(profiles, fmt.Sprint(p.Key))
		}
		summary, _, _ := strings.Cut(head.Description, "\n")
		all = append(all, Example{Name: name, Summary: strings.TrimSpace(summary), Source: source, Profiles: profiles})
	}
	return all
}

// Load returns a shipped scenario's text.
func Load(name string) ([]byte, error) {
	var names []string
	for _, e := range Shipped() {
		if e.Name == name {
			return e.Source, nil
		}
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("%s; or give the path of a file, such as ./%s.yaml", unknown("scenario", name, names), name)
}
