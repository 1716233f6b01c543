package scenarios

import (
	"cmp"
	"coinbench/services/settings"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a scenario. Parse returns all of them, joined.
type Fault struct {
	File    string // as it was given to Parse; "--set" for a setting that is wrong by itself
	Line    int    // 1-based; 0: the fault has no place in a file
	Column  int    // 1-based, in characters
	Message string // what was found; what is accepted
	Source  string // the offending line
}

// Error says file:line:column: message, and shows the line with a caret below the column.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	head := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
	if f.Source == "" {
		return head
	}
	indent := strings.Map(func(r rune) rune { // a tab stays one, so that the caret is where it should be
		if r == '\t' {
			return r
		}
		return ' '
	}, prefix(f.Source, f.Column-1))
	return head + "\n    " + f.Source + "\n    " + indent + "^"
}

// prefix returns the first n characters of s, or s with as many spaces as are missing.
func prefix(s string, n int) string {
	runes := []rune(s)
	if n <= len(runes) {
		return string(runes[:max(n, 0)])
	}
	return s + strings.Repeat(" ", n-len(runes))
}

// join sorts faults by place, drops repetitions and joins them; nil for none.
func join(faults []*Fault) error {
	slices.SortStableFunc(faults, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var errs []error
	seen := map[Fault]bool{}
	for _, f := range faults {
		if !seen[*f] {
			seen[*f] = true
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

// unknown says that a name is none of those that are accepted, and which one it may have been meant to be.
func unknown(what, name string, accepted []string) string {
	s := fmt.Sprintf("unknown %s %q", what, name)
	if len(accepted) == 0 {
		return s + "; there are none"
	}
	if best := nearest(name, accepted); best != "" {
		s += fmt.Sprintf(", did you mean %q?", best)
	}
	return s + "; accepted: " + strings.Join(accepted, ", ")
}

// nearest returns the accepted name that the fewest edits make of name, or "" when it would have to change altogether.
func nearest(name string, accepted []string) string {
	best, fewest := "", max(2, len(name)/2)+1
	for _, a := range accepted {
		if d := settings.Distance(strings.ToLower(name), strings.ToLower(a)); d < fewest && d < len(a) {
			best, fewest = a, d
		}
	}
	return best
}
