package scenarios

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"coinbench/cluster"
)

// Opening is the begin of a scenario that deploys the app as s does with its settings, and does no more. path is that of the app's
// Compose file, base what stands there.
func (s Scenario) Opening(name, path string, base cluster.App) ([]byte, error) {
	head := yaml.MapSlice{{Key: "name", Value: name}}
	if path != "" {
		head = append(head, yaml.MapItem{Key: "app", Value: path})
	}
	head = append(head, yaml.MapItem{Key: "seed", Value: s.Seed})
	deploy := yaml.MapSlice{}
	for _, step := range s.Steps {
		if d, ok := step.act.(*Deploy); ok {
			if s.Attach {
				deploy = append(deploy, yaml.MapItem{Key: attachKey, Value: true})
				break
			}
			deploy = d.over(base, step.app)
			break
		}
	}
	text, err := yaml.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("write the scenario: %w", err)
	}
	step, err := Item("deploy", deploy)
	return []byte(string(text) + "steps:\n  - " + step + "\n"), err
}

// Item is a step as it stands in a list, without its dash: in one line.
func Item(verb string, fields yaml.MapSlice) (string, error) {
	text, err := yaml.MarshalWithOptions(fields, yaml.Flow(true))
	if err != nil {
		return "", fmt.Errorf("write the step %s: %w", verb, err)
	}
	return verb + ": " + strings.TrimSpace(string(text)), nil
}

// over are the keys of a deploy step that makes base the app that s does.
func (s *Deploy) over(base, app cluster.App) (all yaml.MapSlice) {
	for _, want := range app.Services {
		is, _ := base.Service(want.Name)
		keys := yaml.MapSlice{}
		key := func(name string, value any) { keys = append(keys, yaml.MapItem{Key: name, Value: value}) }
		if want.Replicas != is.Replicas {
			key("replicas", want.Replicas)
		}
		if env := changes(is.Environment, want.Environment); len(env) > 0 {
			key("environment", env)
		}
		if want.Image != is.Image {
			key("image", want.Image)
		}
		if want.Balance != is.Balance {
			key("balance", string(want.Balance))
		}
		if want.Gateway != is.Gateway {
			key("gateway", want.Gateway)
		}
		if want.StopGrace != is.StopGrace {
			key("stop_grace", want.StopGrace.String())
		}
		for _, e := range s.Services {
			if e.Key == want.Name && e.Value.Healthcheck != nil {
				key("healthcheck", e.Value.Healthcheck.written())
			}
		}
		if len(keys) > 0 {
			all = append(all, yaml.MapItem{Key: want.Name, Value: keys})
		}
	}
	return all
}

// changes are the variables that make one environment another; an empty value removes one.
func changes(is, want map[string]string) (all yaml.MapSlice) {
	both := maps.Clone(want)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, is)
	for _, name := range sortedKeys(both) {
		if value := want[name]; value != is[name] {
			all = append(all, yaml.MapItem{Key: name, Value: value})
		}
	}
	return all
}

// written are its keys.
func (h *Healthcheck) written() (all yaml.MapSlice) {
	if h.Disable {
		return yaml.MapSlice{{Key: "disable", Value: true}}
	}
	for _, d := range []struct {
		key string
		of  *time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start_period", h.StartPeriod}} {
		if d.of != nil {
			all = append(all, yaml.MapItem{Key: d.key, Value: d.of.String()})
		}
	}
	if h.Retries != nil {
		all = append(all, yaml.MapItem{Key: "retries", Value: *h.Retries})
	}
	if h.Test != "" {
		all = append(all, yaml.MapItem{Key: "test", Value: h.Test})
	}
	return all
}
