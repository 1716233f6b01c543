package capacity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
)

func TestParseObjective(t *testing.T) {
	for _, c := range []struct {
		text      string
		metric    string
		args      string
		op        string
		low, high float64
		word      string
	}{
		{"hash_rate(saturated) within 9.3..10.05", "hash_rate", "saturated", "within", 9.3, 10.05, ""},
		{"hash_rate(w) >= 9.3 ±0", "hash_rate", "w", ">=", 9.3, 0, ""},
		{" hash_rate( sweep/10 )>=9.3 ", "hash_rate", "sweep/10", ">=", 9.3, 0, ""},
		{"errors == 0", "errors", "", "==", 0, 0, ""},
		{"errors() == 0", "errors", "", "==", 0, 0, ""},
		{"errors(saturated) != 0", "errors", "saturated", "!=", 0, 0, ""},
		{"utilisation(saturated, rng) >= 0.95", "utilisation", "saturated,rng", ">=", .95, 0, ""},
		{"p99(rng-bench/c50) <= 1.2s", "p99", "rng-bench/c50", "<=", 1.2, 0, ""},
		{"mean(probe) within 700ms..850ms", "mean", "probe", "within", .7, .85, ""},
		{"bottleneck(scaled) == worker", "bottleneck", "scaled", "==", 0, 0, "worker"},
		{"hashes_lost(outage) within -10 .. 1e3", "hashes_lost", "outage", "within", -10, 1000, ""},
		{"throughput(l) > 40", "throughput", "l", ">", 40, 0, ""},
	} {
		o, err := capacity.ParseObjective(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if o.Metric != c.metric || strings.Join(o.Args, ",") != c.args || o.Op != c.op || o.Low != c.low || o.High != c.high ||
			o.Word != c.word || o.Text != strings.TrimSpace(c.text) {
			t.Errorf("%q: %+v", c.text, o)
		}
	}
}

func TestParseObjectiveFaults(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		want   string
	}{
		{"", 1, "no metric; accepted: hash_rate(window), "},
		{"hashrate(x) > 1", 1, `unknown metric "hashrate"; accepted: hash_rate(window), `},
		{"hash_rate > 1", 11, "hash_rate takes 1 names, not 0; accepted: hash_rate(window)"},
		{"hash_rate(a, b) > 1", 10, "hash_rate takes 1 names, not 2"},
		{"errors(a, b) == 0", 7, "errors takes 0 or 1 names, not 2; accepted: errors, errors(window or load)"},
		{"hash_rate(a > 1", 13, `unexpected '>'; accepted: a comma or a closing parenthesis`},
		{"hash_rate(a,) > 1", 13, "a name is missing"},
		{"hash_rate(a) = 1", 14, `"=" is no comparison; accepted: ==, !=, <, <=, >, >=, within`},
		{"hash_rate(a) about 1", 14, `"about" is no comparison`},
		{"hash_rate(a)", 13, "the objective ends here; accepted: ==, !="},
		{"hash_rate(a) >= ten", 17, `"ten" is no number; accepted: a number such as 9.3`},
		{"hash_rate(a) >= nan", 17, `"nan" is no number`},
		{"hash_rate(a) >=", 16, "the objective ends here; accepted: a number"},
		{"p99(l) <= 800", 11, `"800" is no duration; accepted: a duration such as 800ms or 1.2s`},
		{"hash_rate(a) within 9", 22, "the objective ends here; accepted: .. and the upper end"},
		{"hash_rate(a) within 10..9", 25, "the range is empty"},
		{"hash_rate(a) >= 9 h/s", 19, `unexpected "h/s"; accepted: ±0 or the end of the objective`},
		{"bottleneck(a) >= rng", 15, "bottleneck is compared with a name; accepted: ==, !="},
		{"bottleneck(a) == disk", 18, `"disk" limits no hash rate; accepted: worker, rng, hasher`},
		{"utilisation(wörld, rng) > 0", 14, `unexpected 'ö'`},
	} {
		_, err := capacity.ParseObjective(c.text)
		var e *capacity.ParseError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, want a fault", c.text, err)
			continue
		}
		if e.Column != c.column || !strings.HasPrefix(e.Message, c.want) {
			t.Errorf("%q: column %d: %s\nwant column %d: %s", c.text, e.Column, e.Message, c.column, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	m := capacitytest.New("judge")
	m.Deploy(10, 1)
	m.Measure("w", 2*time.Second, 8*time.Second)
	m.Scale("worker", 0)
	m.Play(2 * time.Second)
	m.Bench("hasher", 50, 50)
	a := capacity.Analyse(m.Finish())
	for text, want := range map[string]capacity.Result{
		"hash_rate(w) within 9.3..10.05":               capacity.Pass,
		"hash_rate(w) > 10.05":                         capacity.Fail,
		"hash_rate(nowhere) > 1":                       capacity.Unknown,
		"coin_rate(w) > 0":                             capacity.Pass,
		"utilisation(w, rng) >= 0.95":                  capacity.Pass,
		"utilisation(w, webui) >= 0.95":                capacity.Unknown,
		"bottleneck(w) == rng":                         capacity.Pass,
		"bottleneck(w) != rng":                         capacity.Fail,
		"errors == 0":                                  capacity.Pass,
		"errors(w) == 0":                               capacity.Pass,
		"errors(hasher-bench/c50) == 0":                capacity.Pass,
		"failures(hasher-bench/c50) < 1":               capacity.Pass,
		"hashes_lost(w) < 1":                           capacity.Unknown, // no window before it
		"lost == 0":                                    capacity.Pass,
		"p50(hasher-bench/c50) within 0.19s..0.21s":    capacity.Pass,
		"p99(hasher-bench/c50) <= 200ms":               capacity.Fail,
		"mean(hasher-bench/c50) <= 200ms":              capacity.Pass,
		"max_gap(hasher-bench/c50) <= 150ms":           capacity.Pass,
		"throughput(hasher-bench/c50) within 160..170": capacity.Pass,
		"throughput(w) > 1":                            capacity.Unknown,
	} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Judge(&a); v.Result != want || v.Reason == "" {
			t.Errorf("%s: %s (%s), want %s", text, v.Result, v.Reason, want)
		}
	}
	o, _ := capacity.ParseObjective("hash_rate(nowhere) > 1")
	if v := o.Judge(&a); !strings.Contains(v.Reason, "its windows are w") {
		t.Errorf("the reason names no window: %s", v.Reason)
	}
}

func TestObjectiveNames(t *testing.T) {
	o, err := capacity.ParseObjective("utilisation(saturated, rng) > 0.9")
	if err != nil {
		t.Fatal(err)
	}
	if n := o.Names(); len(n.Windows) != 1 || n.Windows[0] != "saturated" || len(n.Services) != 1 || n.Services[0] != "rng" || n.Loads != nil {
		t.Errorf("%+v", n)
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	for _, m := range capacity.Metrics() {
		if m.Syntax == "" || m.Unit == "" || !strings.HasSuffix(m.Doc, ".") {
			t.Errorf("%+v", m)
		}
	}
}

func FuzzParseObjective(f *testing.F) {
	for _, s := range []string{"hash_rate(saturated) within 9.3..10.05", "errors == 0", "bottleneck(a) == rng", "p99(x) <= 1.2s",
		"utilisation(a,b) > .5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := capacity.ParseObjective(text)
		var e *capacity.ParseError
		if err != nil {
			if !errors.As(err, &e) || e.Column < 1 || e.Column > len([]rune(text))+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if again, err := capacity.ParseObjective(o.Text); err != nil || again.Metric != o.Metric || again.Low != o.Low || again.High != o.High {
			t.Fatalf("%q: read again: %+v, %v", text, again, err)
		}
	})
}

// A metric is compared with another window's by the error of both.
func TestObjectiveRelatesTwoWindows(t *testing.T) {
	window := func(name string, value, stdErr float64) capacity.Window {
		return capacity.Window{Name: name, Complete: true, LengthS: 10, HashRate: capacity.NewEstimate(value, stdErr, 40, "test")}
	}
	blind := window("blind", 30, 0)
	blind.HashRate = &capacity.Estimate{Value: 30, NoInterval: "a window of 1 s is too short for one"}
	a := &capacity.Analysis{Windows: []capacity.Window{window("before", 33, .1), window("after", 32.5, .1), window("near", 32.1, .1), blind}}
	for text, want := range map[string]capacity.Result{
		"hash_rate(after) >= 0.97 * hash_rate(before)":     capacity.Pass,
		"hash_rate(after) >= 97% * hash_rate(before)":      capacity.Pass,
		"hash_rate(after) < 0.97*hash_rate(before)":        capacity.Fail,
		"hash_rate(near) >= 0.97 * hash_rate(before)":      capacity.Unknown, // 32.1 against 32.01, give or take .28
		"hash_rate(near) >= 0.97 * hash_rate(before) ±0":   capacity.Pass,
		"hash_rate(after) > hash_rate(before)":             capacity.Fail,
		"hash_rate(before) <= hash_rate(after)":            capacity.Fail,
		"hash_rate(blind) >= 0.97 * hash_rate(before)":     capacity.Unknown,
		"hash_rate(after) >= 0.5 * hash_rate(nowhere)":     capacity.Unknown,
		"hash_rate(blind) >= 0.5 * hash_rate(before) +-0":  capacity.Pass,
		"utilisation(after, rng) < utilisation(near, rng)": capacity.Unknown, // no counters
	} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v := o.Judge(a); v.Result != want {
			t.Errorf("%s: %s, want %s: %s", text, v.Result, want, v.Reason)
		}
		if n := o.Names(); len(n.Windows) != 2 {
			t.Errorf("%s: names %+v", text, n)
		}
	}
	for text, column := range map[string]int{
		"hash_rate(a) >= 0.97 * p99(b)":            24,
		"hash_rate(a) >= x * hash_rate(b)":         17,
		"hash_rate(a) >= -1 * hash_rate(b)":        17,
		"hash_rate(a) within 0.9 * hash_rate(b)":   21,
		"hash_rate(a) >= 0.97 * hash_rate(b) or c": 37,
		"hash_rate(a) >= 0.97 * hash_rate":         33,
		"hash_rate(a) >= 0.97 *":                   23,
	} {
		_, err := capacity.ParseObjective(text)
		var at *capacity.ParseError
		if !errors.As(err, &at) || at.Column != column {
			t.Errorf("%s: %v, want column %d", text, err, column)
		}
	}
}
