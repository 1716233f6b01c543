// Command dashboards writes the Grafana dashboards of integrations/grafana, which are checked in and compared by this package's test:
//
//	go run ./internal/dashboards integrations/grafana/dashboards
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards FOLDER")
		os.Exit(2)
	}
	for _, d := range dashboards() {
		if err := os.WriteFile(filepath.Join(os.Args[1], d.file()), d.json(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func (d Dashboard) file() string { return d.UID + ".json" }

func (d Dashboard) json() []byte {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(err) // nothing of it fails to encode
	}
	return append(data, '\n')
}

// source is the variable that each panel asks.
func source() *Datasource { return &Datasource{Type: "prometheus", UID: "${datasource}"} }

// dashboards are all of them.
func dashboards() []Dashboard {
	return []Dashboard{run(), capacity(), compare()}
}

// board is a dashboard of panels, two to a row.
func board(uid, title, description string, variables []Variable, panels ...Panel) Dashboard {
	for i := range panels {
		panels[i].ID = i + 1
		panels[i].GridPos = GridPos{H: 8, W: 12, X: i % 2 * 12, Y: i / 2 * 8}
	}
	return Dashboard{UID: uid, Title: title, Description: description, Tags: []string{"coinbench"}, Tooltip: 1, Refresh: "5s",
		SchemaVersion: 39,
		Time:          TimeRange{"now-15m", "now"}, Timezone: "utc", Panels: panels,
		Templating: Templating{append([]Variable{{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}},
			variables...)},
		Annotations: Annotations{[]Annotation{
			mark("Steps", "blue", `coinbench_step{run="$run"} > 0`, "{{verb}}", "step,verb"),
			mark("Windows", "green", `coinbench_window{run="$run"} > 0`, "{{window}}", "window"),
			mark("Rollouts", "orange", `coinbench_rollout_active{run="$run"} > 0`, "rollout of {{service}}", "service,strategy"),
			mark("Faults", "red", `coinbench_fault_active{run="$run"} > 0`, "{{kind}} {{service}}", "service,kind"),
		}}}
}

func mark(name, color, expr, title, keys string) Annotation {
	return Annotation{Name: name, Datasource: source(), Enable: name != "Steps", IconColor: color, Expr: expr, Step: "1s", TitleFormat: title,
		TagKeys: keys}
}

// values is a variable of the values of a label.
func values(name, label, of string, many bool) Variable {
	query := "label_values(" + of + ", " + name + ")"
	if name == "other" {
		query = "label_values(" + of + ", run)"
	}
	v := Variable{Name: name, Label: label, Type: "query", Datasource: source(), Query: Query{query, "variable-" + name}, Definition: query,
		Refresh: 2, Sort: 2, Multi: many, IncludeAll: many}
	if many {
		v.AllValue, v.Current = ".*", &Current{"All", "$__all"}
	}
	return v
}

// lines is a chart of lines over time.
func lines(title, unit, description string, queries ...string) Panel {
	return Panel{Type: "timeseries", Title: title, Description: description, Datasource: source(), Targets: targets(queries),
		FieldConfig: FieldConfig{Defaults: Defaults{Unit: unit, Min: new(float64), Custom: map[string]any{"lineWidth": 1, "fillOpacity": 10,
			"spanNulls": false}}, Overrides: []any{}},
		Options: map[string]any{"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"}}}
}

// stacked puts the lines of a chart on each other.
func stacked(p Panel) Panel {
	p.FieldConfig.Defaults.Custom = map[string]any{"lineWidth": 1, "fillOpacity": 40, "stacking": map[string]any{"mode": "normal",
		"group": "A"}}
	return p
}

// share lets a chart end at 1.
func share(p Panel) Panel {
	one := 1.0
	p.FieldConfig.Defaults.Max = &one
	return p
}

// lanes has a lane for each task, in the colour of its state.
func lanes(title, description string, queries ...string) Panel {
	return Panel{Type: "state-timeline", Title: title, Description: description, Datasource: source(), Targets: targets(queries),
		FieldConfig: FieldConfig{Defaults: Defaults{Unit: "none", Custom: map[string]any{"lineWidth": 0, "fillOpacity": 80},
			Mappings: []Mapping{{"value", map[string]Mapped{"1": {"starting", "yellow", 0}, "2": {"running", "green", 1},
				"3": {"stopping", "orange", 2}}}}}, Overrides: []any{}},
		Options: map[string]any{"mergeValues": true, "showValue": "never", "rowHeight": 0.8,
			"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true}}}
}

// targets are queries, each followed by its legend.
func targets(queries []string) (all []Target) {
	for i := 0; i+1 < len(queries); i += 2 {
		all = append(all, Target{RefID: string(rune('A' + i/2)), Datasource: source(), Expr: queries[i], LegendFormat: queries[i+1], Range: true})
	}
	return all
}
