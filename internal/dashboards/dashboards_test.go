package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const folder = "../../integrations/grafana/dashboards"

// What is checked in is what the program writes.
func TestDashboardsAreWritten(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != len(dashboards()) {
		t.Errorf("%d files of %d dashboards, %v", len(files), len(dashboards()), err)
	}
	for _, d := range dashboards() {
		if have, err := os.ReadFile(filepath.Join(folder, d.file())); err != nil || string(have) != string(d.json()) {
			t.Errorf("%s is not what is written now (%v): go run ./internal/dashboards integrations/grafana/dashboards", d.file(), err)
		}
	}
}

func TestDashboardsHaveTheirShape(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range dashboards() {
		if uids[d.UID] {
			t.Errorf("the uid %s comes twice", d.UID)
		}
		uids[d.UID] = true
		for _, fault := range faults(d) {
			t.Errorf("%s: %s", d.UID, fault)
		}
	}
}

var (
	variable = regexp.MustCompile(`\$\{?([a-z_]+)\}?`)
	metric   = regexp.MustCompile(`\b((?:coinbench|redis|host)_[a-z_0-9]+)(\{[^}]*\})?`)
	window   = regexp.MustCompile(`\[([^\]]*)\]`)
)

// faults are what Grafana's dashboard linter would say, and what it would not: a panel that is wrong shows "No data" and nothing else.
func faults(d Dashboard) (all []string) {
	fault := func(texts ...string) { all = append(all, strings.Join(texts, " ")) }
	if d.UID == "" || len(d.UID) > 40 || d.Title == "" || d.Description == "" || d.Timezone != "utc" && d.Timezone != "browser" {
		fault("no uid of at most 40 letters, title, description or time zone")
	}
	used, declared := map[string]bool{}, map[string]bool{"__rate_interval": true}
	use := func(text string) {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	}
	for i, v := range d.Templating.List {
		declared[v.Name] = true
		if i == 0 && (v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus") {
			fault("the first variable is not the data source")
		}
		if i > 0 && (v.Datasource == nil || v.Datasource.UID != "${datasource}") || v.Label == "" {
			fault("the variable", v.Name, "has another data source, or no label")
		}
		use(v.Definition)
	}
	query := func(where, expr string, source *Datasource) {
		if source == nil || *source != (Datasource{"prometheus", "${datasource}"}) {
			fault(where, "has another data source than the variable")
		}
		found := metric.FindAllStringSubmatch(expr, -1)
		if len(found) == 0 {
			fault(where, "asks for no metric of coinbench")
		}
		for _, m := range found {
			if !strings.Contains(m[2], `run="$run"`) && !strings.Contains(m[2], `run="$other"`) {
				fault(where, "asks for", m[1], "of every run")
			}
			if strings.HasSuffix(m[1], "_total") && !regexp.MustCompile(`(rate|increase)\(`+regexp.QuoteMeta(m[0])+`\[`).MatchString(expr) {
				fault(where, "shows the counter", m[1], "without its rate")
			}
		}
		for _, m := range window.FindAllStringSubmatch(expr, -1) {
			if m[1] != "$__rate_interval" {
				fault(where, "looks back over", m[1])
			}
		}
		if strings.Contains(expr, "histogram_quantile") && !strings.Contains(expr, "le)") {
			fault(where, "has a quantile without le")
		}
		use(expr)
	}
	for _, a := range d.Annotations.List {
		query("the annotation "+a.Name, a.Expr, a.Datasource)
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	var taken [200][24]bool
	for _, p := range d.Panels {
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || ids[p.ID] || titles[p.Title] || p.ID == 0 {
			fault("the panel", p.Title, "has no title, description, unit or id, or not one of its own")
		}
		ids[p.ID], titles[p.Title] = true, true
		if g := p.GridPos; g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			fault("the panel", p.Title, "is outside the grid")
		} else {
			for y := g.Y; y < g.Y+g.H; y++ {
				for x := g.X; x < g.X+g.W; x++ {
					if taken[y][x] {
						fault("the panel", p.Title, "lies on another")
					}
					taken[y][x] = true
				}
			}
		}
		if *p.Datasource != *source() || len(p.Targets) == 0 {
			fault("the panel", p.Title, "has another data source or no query")
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.LegendFormat == "" {
				fault("the panel", p.Title, "has a query without a legend or a name of its own")
			}
			refs[target.RefID] = true
			query("the panel "+p.Title, target.Expr, target.Datasource)
			for _, m := range regexp.MustCompile(`\{\{([a-z]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(target.Expr); by != nil &&
					!slices.Contains(strings.Split(by[1], ", "), m[1]) {
					fault("the panel", p.Title, "has a legend by", m[1], "which its query drops")
				}
			}
		}
	}
	for name := range declared {
		if !used[name] && name != "datasource" {
			fault("the variable", name, "is not used")
		}
	}
	for name := range used {
		if !declared[name] {
			fault("the variable", name, "is not declared")
		}
	}
	return all
}

// The rules see what they are for.
func TestShapeOfBrokenDashboards(t *testing.T) {
	for name, spoil := range map[string]func(*Dashboard){
		"long uid":       func(d *Dashboard) { d.UID = strings.Repeat("a", 41) },
		"baked source":   func(d *Dashboard) { d.Panels[0].Targets[0].Datasource = &Datasource{"prometheus", "P1"} },
		"no description": func(d *Dashboard) { d.Panels[0].Description = "" },
		"no unit":        func(d *Dashboard) { d.Panels[0].FieldConfig.Defaults.Unit = "" },
		"twice an id":    func(d *Dashboard) { d.Panels[1].ID = 1 },
		"on another":     func(d *Dashboard) { d.Panels[1].GridPos.X = 11 },
		"25 columns":     func(d *Dashboard) { d.Panels[1].GridPos.W = 13 },
		"no run": func(d *Dashboard) {
			d.Panels[0].Targets[0].Expr = `sum(rate(coinbench_worker_hashes_total[$__rate_interval]))`
		},
		"fixed range": func(d *Dashboard) {
			d.Panels[0].Targets[0].Expr = strings.ReplaceAll(hashRate, "$__rate_interval", "5m")
		},
		"a counter": func(d *Dashboard) { d.Panels[0].Targets[0].Expr = `sum(coinbench_worker_hashes_total{run="$run"})` },
		"unknown": func(d *Dashboard) {
			d.Panels[0].Targets[0].Expr += ` + sum(redis_hashes{run="$run", testid="$testid"})`
		},
		"unused": func(d *Dashboard) {
			d.Templating.List = append(d.Templating.List, values("stage", "Stage", "x", false))
		},
		"without le":      func(d *Dashboard) { d.Panels[2].Targets[0].Expr = strings.ReplaceAll(p("0.99"), ", le)", ")") },
		"dropped by sums": func(d *Dashboard) { d.Panels[1].Targets[0].LegendFormat = "{{service}}" },
	} {
		d := run()
		spoil(&d)
		if len(faults(d)) == 0 {
			t.Errorf("%s: no fault was found", name)
		}
	}
}
