package engineapi

import (
	_ "embed"
	"strings"
)

//go:embed testdata/used.txt
var used string

// Used lists everything of the API that coinbench uses, as recorded from real runs, and for what those do not do, by hand.
func Used() ([]Use, error) {
	var list []Use
	for line := range strings.Lines(used) {
		u, err := Parse(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, nil
}

// Undocumented is what engines have understood longer than their documentation says, with the reason to think so.
var Undocumented = map[string]string{}
