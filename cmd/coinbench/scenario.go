package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench"
	"coinbench/cluster"
	"coinbench/scenarios"
)

func scenariosCommand(p process) *cobra.Command {
	show := ""
	c := &cobra.Command{
		Use:   "scenarios",
		Short: "List the scenarios that are shipped",
		Example: `  coinbench scenarios
  coinbench scenarios --show bottleneck > mine.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if show != "" {
				source, err := scenarios.Load(show)
				if err != nil {
					return usage(err)
				}
				_, err = p.stdout.Write(source)
				return err
			}
			rows := [][]string{{"scenario ", "takes", "what it does "}}
			for _, e := range scenarios.Shipped() {
				s, err := parseScenario(p, e.Name+".yaml", e.Source, nil, nil)
				if err != nil {
					return err
				}
				rows = append(rows, []string{e.Name, "~" + s.Estimate().Round(time.Second).String(), e.Summary})
				why, err := unmet(p, e)
				if err != nil {
					return err
				}
				for _, text := range why {
					rows = append(rows, []string{"", "", text})
				}
			}
			return table(p.stdout, rows)
		},
	}
	c.Flags().StringVar(&show, "show", "", "print a shipped scenario's YAML")
	return c
}

// unmet says where a shipped scenario does not pass, with each of its profiles, and why.
func unmet(p process, e scenarios.Example) (texts []string, err error) {
	own := map[string]string{}
	for _, profile := range append([]string{""}, e.Profiles...) {
		set, name := map[string]string{}, ""
		if profile != "" {
			set["profile"], name = profile, "profile "+profile+" "
		}
		s, err := parseScenario(p, e.Name+".yaml", e.Source, set, nil)
		if err != nil {
			return nil, err
		}
		for _, where := range slices.Sorted(maps.Keys(s.Unmet)) {
			why := s.Unmet[where]
			if own[where] == why {
				continue
			}
			if profile == "" {
				own[where] = why
			}
			if where == "any" {
				texts = append(texts, fmt.Sprintf("%sdoes not pass: %s", name, why))
			} else {
				texts = append(texts, fmt.Sprintf("%sdoes not pass on %s: %s", name, where, why))
			}
		}
	}
	return texts, nil
}

func validateCommand(p process) *cobra.Command {
	var sets []string
	c := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check scenarios without running them",
		Example: `  coinbench validate mine.yaml
  coinbench validate mine.yaml --set workers=20`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var faults []error
			for _, file := range files {
				s, err := loadScenario(p, file, sets, nil)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				var unfit []error
				for _, service := range s.App.Services {
					unfit = append(unfit, s.App.CheckSettings(service)...)
				}
				if len(unfit) > 0 {
					faults = append(faults, unfit...)
					continue
				}
				say(p.stdout, "%s: ok: %d steps, about %s", file, len(s.Steps), s.Estimate().Round(time.Second))
			}
			return usage(errors.Join(faults...))
		},
	}
	setFlag(c, &sets)
	return c
}

func schemaCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of scenarios, for editors",
		Example: "  coinbench schema > scenario.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(p.stdout, scenarios.Schema())
			return err
		},
	}
}

func setFlag(c *cobra.Command, sets *[]string) {
	c.Flags().StringArrayVar(sets, "set", nil, "change a parameter of the scenario, as `key=value`; may be repeated")
}

// loadScenario reads a scenario by the name of a shipped one or by the path of a file.
func loadScenario(p process, name string, sets []string, attach *attachment) (scenarios.Scenario, error) {
	return loadScenarioOf(p, name, sets, attach, "")
}

// loadScenarioOf is loadScenario with another Compose file than the scenario names; "" is its own.
func loadScenarioOf(p process, name string, sets []string, attach *attachment, compose string) (scenarios.Scenario, error) {
	set := map[string]string{}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return scenarios.Scenario{}, usage(fmt.Errorf("--set %s: there is no =; accepted: --set key=value", s))
		}
		set[key] = value
	}
	if isPath(name) {
		source, err := os.ReadFile(name)
		if err != nil {
			return scenarios.Scenario{}, usage(fmt.Errorf("read scenario: %w", err))
		}
		return parseScenarioOf(p, name, source, set, attach, compose)
	}
	source, err := scenarios.Load(name)
	if err != nil {
		return scenarios.Scenario{}, usage(err)
	}
	return parseScenarioOf(p, name+".yaml", source, set, attach, compose)
}

// isPath tells a file from the name of a shipped scenario.
func isPath(name string) bool {
	ext := filepath.Ext(name)
	return strings.ContainsRune(name, filepath.Separator) || ext == ".yaml" || ext == ".yml"
}

func parseScenario(p process, file string, source []byte, set map[string]string, attach *attachment) (scenarios.Scenario, error) {
	return parseScenarioOf(p, file, source, set, attach, "")
}

func parseScenarioOf(p process, file string, source []byte, set map[string]string, attach *attachment,
	compose string) (scenarios.Scenario, error) {
	p.secrets.keep("", string(source), set)
	s, err := scenarios.Parse(file, source, scenarioOptions(p, file, set, attach, compose))
	if attach != nil && attach.err != nil {
		return s, attach.err
	}
	return s, usage(err)
}

// scenarioOptions are those with which a scenario's file is read.
func scenarioOptions(p process, file string, set map[string]string, attach *attachment, compose string) scenarios.Options {
	options := scenarios.Options{Set: set, App: func(path string) (cluster.App, error) {
		if compose != "" {
			return loadApp(p, "", compose)
		}
		return loadApp(p, filepath.Dir(file), path)
	}}
	if attach != nil {
		options.Attach, options.Attached = attach.asked, attach.app
	}
	return options
}

// loadApp reads a Compose file; "" is the one that coinbench ships. Its variables come from the environment, as with docker.
func loadApp(p process, dir, path string) (cluster.App, error) {
	name, source := "docker-compose.yml", coinbench.Compose()
	if path != "" {
		name = path
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, path)
		}
		var err error
		if source, err = os.ReadFile(name); err != nil {
			return cluster.App{}, fmt.Errorf("read app: %w", err)
		}
	}
	p.secrets.keep("", string(source), nil)
	app, err := cluster.LoadApp(context.Background(), name, source, environment(p.environ))
	p.keepSecret(app.Services...) // what other files gave it as well
	return app, err
}

// keepSecretOf has no output repeat the secrets of an app that is up.
func (p process) keepSecretOf(all []cluster.ServiceStatus) {
	for _, s := range all {
		p.keepSecret(s.Service)
	}
}

// keepSecret has no output repeat the secrets of services.
func (p process) keepSecret(all ...cluster.Service) {
	for _, s := range all {
		p.secrets.keep("", strings.Join(s.Command, " "), s.Environment)
	}
}
