package scenarios

import (
	"errors"
	"slices"
	"strings"

	"coinbench/capacity"
)

// objectiveText is one objective as it is written.
type objectiveText string

// objectives checks every objective and the names in it, and returns their texts with the parameters put in.
func (p *plan) objectives(doc *document) []string {
	var texts []string
	for i := range doc.Objectives {
		text := &doc.Objectives[i]
		at := p.at[text]
		if p.isUnread(at) {
			continue
		}
		texts = append(texts, string(*text))
		o, err := capacity.ParseObjectiveOf(p.app.Roles, string(*text))
		var e *capacity.ParseError
		switch {
		case errors.As(err, &e):
			p.fault(p.within(at, string(*text), e.Column), "objective %q: %s", *text, e.Message)
			continue
		case err != nil:
			p.fault(at, "objective %q: %v", *text, err)
			continue
		}
		names := o.Names()
		windows, loads := sortedKeys(p.windows), sortedKeys(p.loads)
		for _, check := range []struct {
			what            string
			names, accepted []string
		}{
			{"window", names.Windows, windows},
			{"load", names.Loads, loads},
			{"window or load", names.Either, append(slices.Clone(windows), loads...)},
			{"service", names.Services, p.serviceNames()},
			{"rollout", names.Rollouts, sortedKeys(p.disturbances)},
		} {
			for _, name := range check.names {
				if !slices.Contains(check.accepted, name) {
					p.fault(p.within(at, string(*text), strings.Index(string(*text), name)+1), "%s", unknown(check.what, name, check.accepted))
				}
			}
		}
	}
	return texts
}

// within is the place of a column of a text, where the text is in its line as it is; else the text's own place.
func (d *decoder) within(at place, text string, column int) place {
	if at.line == 0 || at.line > len(d.lines) || column < 1 {
		return at
	}
	line := []rune(d.lines[at.line-1])
	for _, quote := range []int{0, 1} {
		if from := at.column - 1 + quote; from <= len(line) && strings.HasPrefix(string(line[from:]), text) {
			return place{at.line, at.column + quote + column - 1}
		}
	}
	return at
}
