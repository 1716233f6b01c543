package scenarios

import (
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"coinbench/cluster"
	"coinbench/services/settings"
)

// anyScalar is a text that may be written as a number or a truth as well.
type anyScalar string

// parameter is a value of a scenario that --set may change.
type parameter struct {
	// The value unless --set or a profile says otherwise.
	Default anyScalar `json:"default" jsonschema:"required"`
	// What the parameter changes.
	Doc string `json:"doc"`
}

func (p *parameter) short() any { return &p.Default }

// profile is a named set of environment and parameters.
type profile struct {
	// What the profile is for.
	Doc string `json:"doc"`
	// Environment by service, over that of the Compose file.
	Environment Map[Map[string]] `json:"environment"`
	// Why the profile does not pass, by cluster: local, sim, swarm, or any of them.
	Unmet unmet `json:"unmet"`
	// Parameters that have another value in this profile.
	Parameters Map[string] `json:"parameters"`
}

// unmet says why a scenario does not pass, by cluster.
type unmet struct {
	// On every cluster.
	Any *string `json:"any"`
	// On this machine's processes.
	Local *string `json:"local"`
	// On the simulated cluster.
	Sim *string `json:"sim"`
	// On a Swarm.
	Swarm *string `json:"swarm"`
}

// over are the reasons, by cluster or "any", with those of a profile over them: an empty one is none.
func (u unmet) over(in *profile) map[string]string {
	reasons := map[string]string{}
	tell := func(u unmet) {
		for where, why := range map[string]*string{"any": u.Any, "local": u.Local, "sim": u.Sim, "swarm": u.Swarm} {
			if why != nil {
				reasons[where] = *why
			}
		}
	}
	tell(u)
	if in != nil {
		tell(in.Unmet)
	}
	maps.DeleteFunc(reasons, func(_, why string) bool { return why == "" })
	return reasons
}

var parameterName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// parameters checks their names. It runs on the file's own text; values are checked where they are used.
func (d *decoder) parameters(doc *document) {
	for i := range doc.Parameters {
		p := &doc.Parameters[i]
		switch {
		case slices.Contains(reserved(), p.Key):
			d.fault(d.at[p], "%q cannot be a parameter: --set %s=... has a meaning of its own; accepted: another name", p.Key, p.Key)
		case !parameterName.MatchString(p.Key):
			d.fault(d.at[p], "%q is no name for a parameter; accepted: lower-case letters, digits, dash and underscore", p.Key)
		}
		if _, written := d.at[&p.Value.Default]; !written {
			d.fault(d.at[p], "the parameter %q has no default; accepted: %s: {default: VALUE, doc: TEXT}", p.Key, p.Key)
		}
	}
	names := doc.Parameters.Names()
	for i := range doc.Profiles {
		p := &doc.Profiles[i]
		for j := range p.Value.Parameters {
			if e := &p.Value.Parameters[j]; !slices.Contains(names, e.Key) {
				d.fault(d.at[e], "%s", unknown("parameter", e.Key, names))
			}
		}
	}
}

// settings returns the value of every parameter, of profile and of seed where that was set, and the profile in force.
// What is wrong with set itself has no place in the file.
func (d *decoder) settings(doc *document, set map[string]string) (values map[string]string, in *profile) {
	values = map[string]string{"profile": ""}
	for _, p := range doc.Parameters {
		values[p.Key] = string(p.Value.Default)
	}
	accepted := append(reserved(), doc.Parameters.Names()...)
	wrong := func(message string) {
		d.faults = append(d.faults, &Fault{File: "--set", Message: message})
	}
	if name := set["profile"]; name != "" {
		i := slices.IndexFunc(doc.Profiles, func(e Entry[profile]) bool { return e.Key == name })
		if i < 0 {
			wrong(unknown("profile", name, doc.Profiles.Names()))
		} else {
			in = &doc.Profiles[i].Value
			for _, p := range in.Parameters {
				values[p.Key] = p.Value
			}
		}
	}
	for _, key := range sortedKeys(set) {
		if !slices.Contains(accepted, key) {
			wrong(unknown("setting", key, accepted))
			continue
		}
		values[key] = set[key]
	}
	if seed, ok := set["seed"]; ok {
		var n uint64
		if wanted, read := reader(reflect.ValueOf(&n).Elem()); read(seed) != nil {
			wrong("seed: \"" + seed + "\" is not " + noun(wanted) + "; accepted: " + wanted)
		}
	}
	return values, in
}

// profiled returns the app with the profile's environment.
func profiled(app cluster.App, in *profile) cluster.App {
	app = copied(app)
	if in == nil {
		return app
	}
	for _, e := range in.Environment {
		for i := range app.Services {
			if app.Services[i].Name == e.Key {
				app.Services[i].Environment = merged(app.Services[i].Environment, e.Value)
			}
		}
	}
	return app
}

// profiles checks the environment of every profile, that of those which are not in force as well.
func (d *decoder) profiles(app cluster.App, doc *document) {
	var names []string
	for _, s := range app.Services {
		names = append(names, s.Name)
	}
	for i := range doc.Profiles {
		for j := range doc.Profiles[i].Value.Environment {
			e := &doc.Profiles[i].Value.Environment[j]
			if !slices.Contains(names, e.Key) {
				d.fault(d.at[e], "%s", unknown("service", e.Key, names))
				continue
			}
			d.environment(e.Key, e.Value)
		}
	}
}

// environment checks variables of a service, each at its own place.
func (d *decoder) environment(service string, env Map[string]) {
	if !slices.Contains(settings.Services(), service) {
		return
	}
	for i := range env {
		if !strings.HasPrefix(env[i].Key, settings.Prefix) {
			d.fault(d.at[&env[i]], "unknown variable %q; accepted: the variables of %s, which begin with %s (see docs/services.md)",
				env[i].Key, service, settings.Prefix)
			continue
		}
		if f := variableFault(service, env[i].Key, env[i].Value); f != nil {
			d.fault(d.at[&env[i]], "%v", f)
		}
	}
}

// variableFault is what is wrong with one variable by itself; a combination of values shows only in the whole environment.
func variableFault(service, name, value string) *settings.Fault {
	variables := settings.Variables(service)
	i := slices.IndexFunc(variables, func(v settings.Variable) bool { return v.Name == name })
	if i >= 0 && value == "" {
		return nil // it removes the variable
	}
	var f *settings.Fault
	err := settings.Check(service, map[string]string{name: value})
	if !errors.As(err, &f) || i >= 0 && f.Accepted == "" {
		return nil
	}
	return f
}

// merged returns the environment with changes; an empty value removes a variable.
func merged(env map[string]string, changes Map[string]) map[string]string {
	out := maps.Clone(env)
	if out == nil {
		out = map[string]string{}
	}
	for _, c := range changes {
		if c.Value == "" {
			delete(out, c.Key)
		} else {
			out[c.Key] = c.Value
		}
	}
	return out
}

func valueOf[T any](p *T) reflect.Value { return reflect.ValueOf(p).Elem() }
