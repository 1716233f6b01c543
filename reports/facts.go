package reports

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"coinbench/capacity"
)

// FactsText writes what a run measured, for a terminal, without what it means: no limit, no evidence and no advice.
func FactsText(w io.Writer, a *capacity.Analysis, o TextOptions) error {
	t := newTextWriter(o)
	for i := range a.Windows {
		v := &a.Windows[i]
		rate := ""
		if v.HashRate != nil {
			rate = fmt.Sprintf("; %s hashes/s", estimate(v.HashRate))
		}
		t.line("%s: %s%s", t.style("1", v.Name), v.Config, rate)
		if k := v.Bottleneck; k != nil {
			t.line("  loop: %s", shares(k.Shares))
		}
		if v.Errors > 0 {
			d := a.Roles.Driver
			t.line("  errors of the %s: %s; %s %s-seconds in back-off, of %s", d.Plural, byClass(v.ByClass), figures(v.SilentS), d.Service,
				figures(v.LengthS*float64(v.Config.Drivers())))
		}
		t.table(useTable(v), "  ")
		for _, u := range v.Services {
			if u.HottestTask != "" && u.Replicas > 1 {
				t.line("  %s has %d replicas; the busiest is %s", u.Service, u.Replicas, u.HottestTask)
			}
		}
	}
	if len(a.Loads) > 0 {
		t.table(loadTable(a), "  ")
	}
	for _, m := range a.Timeline.Marks {
		t.line("  at %s s: %s", figures(m.AtS), m.Text)
	}
	return t.flush(w)
}

// byClass writes numbers of errors by their classes.
func byClass(all map[string]float64) string {
	var words []string
	for _, class := range slices.Sorted(maps.Keys(all)) {
		words = append(words, whole(all[class])+" "+class)
	}
	return strings.Join(words, ", ")
}
