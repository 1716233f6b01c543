package openmetrics

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"coinbench/history"
	"coinbench/history/event"
)

// manifest is that of the runs below.
var manifest = history.Manifest{Scenario: "a \"b\"\n\\c", Cluster: "sim", Simulated: true, Start: time.Unix(1000, 5e6).UTC()}

// played tells a small run: two tasks, a rollout, a fault of each kind, a load of two seconds.
func played(to history.Follower) {
	at := func(ms int, service, task string, p event.Payload) {
		to.Event(history.Event{At: time.Duration(ms) * time.Millisecond, Step: 1, Service: service, Task: task, Payload: p})
	}
	at(0, "", "", event.StepBegin{Verb: "deploy"})
	at(100, "s", "s.1#1", event.TaskStarted{Version: "v1"})
	at(200, "s", "s.1#1", event.TaskJoined{})
	at(200, "s", "", event.ServiceDeployed{InForce: event.InForce{Replicas: 1}})
	at(500, "", "", event.StepEnd{Verb: "deploy"})
	at(1000, "s", "", event.RolloutBegin{Strategy: "rolling"})
	at(1000, "s", "s.1#1", event.TaskPaused{})
	at(1500, "s", "s.1#1", event.TaskRecovered{})
	at(1600, "s", "s.1#1", event.TaskKilled{})
	at(1700, "s", "s.1#1", event.TaskLeft{})
	at(1700, "s", "s.1#1", event.TaskGone{})
	at(2300, "s", "s.1#2", event.TaskStarted{Version: "v2"})
	at(2400, "s", "s.1#2", event.TaskJoined{})
	at(2500, "s", "", event.RolloutEnd{})
	for n, task := range []string{"s.1#1", "s.1#2"} {
		for i := range 2 {
			to.Reading(history.Reading{At: time.Duration(2*n+i) * time.Second, Service: "s", Task: task, Values: history.ValuesOf(map[string]float64{
				history.Requests + `{code="200",method="GE\"T"}`: float64(10 * i), history.QueueSum: .5, history.QueueCount: float64(i)})})
		}
	}
	to.Load(0, history.LoadSpec{Name: "users", Begin: time.Second})
	for n := range 3 { // the last two end at the same instant: the parts of a second
		i := history.Interval{At: time.Duration(1+min(n, 1)) * time.Second, Length: time.Second, OK: 3, Response: history.NewHistogram(),
			Failures: map[history.Class]int64{history.Refused: 1}, Replicas: map[string]int64{"s.1": 3}, MaxGap: 20 * time.Millisecond}
		_ = i.Response.RecordValues(int64(5*time.Millisecond), 2) // a bound
		_ = i.Response.RecordValue(int64(200 * time.Second))      // beyond the last bucket
		to.Interval(0, i)
	}
}

func exported(t *testing.T) string {
	t.Helper()
	e := NewExport(manifest, "r")
	played(e)
	var b strings.Builder
	if err := e.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pointsOf are the points of a series as value@milliseconds since the run's start.
func pointsOf(text, series string) (all []string) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var value string
			var at float64
			fmt.Sscan(rest, &value, &at)
			all = append(all, fmt.Sprintf("%s@%.0f", value, at*1000-1000005))
		}
	}
	return all
}

func TestPoints(t *testing.T) {
	text := exported(t)
	for series, want := range map[string]string{
		// what holds is repeated each second until it ends, with 0
		`coinbench_step{run="r",step="1",verb="deploy"}`:                               "1@0 0@500",
		`coinbench_replicas_desired{run="r",service="s"}`:                              "1@200 1@1000 1@2000 1@3000",
		`coinbench_replicas{run="r",service="s",state="running",version="v1"}`:         "1@200 1@1000 0@1700 0@2000 0@3000",
		`coinbench_replicas{run="r",service="s",state="running",version="v2"}`:         "1@2400 1@3000",
		`coinbench_task_state{run="r",service="s",slot="1",task="s.1#1",version="v1"}`: "1@100 2@200 2@1000 0@1700",
		`coinbench_rollout_active{run="r",service="s",strategy="rolling"}`:             "1@1000 1@2000 0@2500",
		`coinbench_fault_active{kind="paused",run="r",service="s"}`:                    "1@1000 0@1500 0@2000 0@3000",
		`coinbench_fault_active{kind="killed",run="r",service="s"}`:                    "1@1600 1@2000 0@2400 0@3000",
		`coinbench_events_total{kind="task.joined",run="r"}`:                           "0@0 1@200 1@1000 1@2000 2@2400 2@3000",
		// what tasks export has its points alone, and labels of the task
		`coinbench_requests_total{code="200",method="GE\"T",run="r",service="s",slot="1",task="s.1#1",version="v1"}`: "0@0 10@1000",
		`coinbench_requests_total{code="200",method="GE\"T",run="r",service="s",slot="1",task="s.1#2",version="v2"}`: "0@2000 10@3000",
		`coinbench_request_queue_seconds_sum{run="r",service="s",slot="1",task="s.1#1",version="v1"}`:                "0.5@0 0.5@1000",
		// loads begin at 0, and the parts of a second make one point
		`coinbench_load_requests_total{class="ok",load="users",run="r"}`:          "0@1000 3@2000 9@3000",
		`coinbench_load_requests_total{class="dropped",load="users",run="r"}`:     "0@1000 0@2000 0@3000",
		`coinbench_load_answers_total{load="users",replica="s.1",run="r"}`:        "3@2000 9@3000",
		`coinbench_load_response_seconds_bucket{load="users",run="r",le="0.002"}`: "0@1000 0@2000 0@3000",
		`coinbench_load_response_seconds_bucket{load="users",run="r",le="0.005"}`: "0@1000 2@2000 6@3000",
		`coinbench_load_response_seconds_bucket{load="users",run="r",le="50.0"}`:  "0@1000 2@2000 6@3000",
		`coinbench_load_response_seconds_bucket{load="users",run="r",le="+Inf"}`:  "0@1000 3@2000 9@3000",
		`coinbench_load_response_seconds_count{load="users",run="r"}`:             "0@1000 3@2000 9@3000",
		`coinbench_load_longest_gap_seconds{load="users",run="r"}`:                "0@1000 0.02@2000 0.02@3000",
	} {
		if got := strings.Join(pointsOf(text, series), " "); got != want {
			t.Errorf("%s: %s, want %s", series, got, want)
		}
	}
	if !strings.Contains(text, `scenario="a \"b\"\n\\c"`) {
		t.Errorf("a label is not escaped:\n%s", text[:300])
	}
}

// The text keeps OpenMetrics' rules: families and metrics in one piece, instants that rise, each family with its kind and its unit, the
// end.
func TestFormat(t *testing.T) {
	text := exported(t)
	if !strings.HasSuffix(text, "\n# EOF\n") || strings.Count(text, "# EOF") != 1 {
		t.Error("it does not end with its mark")
	}
	line := regexp.MustCompile(`^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+\}) (\S+) (\d+\.\d{3})$`)
	var family, kind string
	families, series, at := map[string]bool{}, map[string]bool{}, map[string]float64{}
	metric := ""
	for l := range strings.Lines(strings.TrimSuffix(text, "# EOF\n")) {
		l = strings.TrimSuffix(l, "\n")
		words := strings.Fields(l)
		if words[0] == "#" {
			switch words[1] {
			case "HELP":
				if family = words[2]; families[family] {
					t.Errorf("%s comes twice", family)
				}
				families[family] = true
			case "TYPE":
				kind = words[3]
			case "UNIT":
				if !strings.HasSuffix(family, "_"+words[3]) {
					t.Errorf("%s in %s", family, words[3])
				}
			}
			if words[2] != family {
				t.Errorf("%q among those of %s", l, family)
			}
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("no sample: %s", l)
			continue
		}
		ends := map[string][]string{"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"},
			"summary": {"_count", "_sum"}}
		if !slices.Contains(ends[kind], strings.TrimPrefix(m[1], family)) {
			t.Errorf("%s is no sample of the %s %s", m[1], kind, family)
		}
		if whole := m[1] + m[2]; kind == "gauge" || kind == "counter" {
			if whole != metric && series[whole] {
				t.Errorf("%s is in pieces", whole)
			}
			metric, series[whole] = whole, true
		}
		var instant float64
		fmt.Sscan(m[4], &instant)
		if instant <= at[m[1]+m[2]] {
			t.Errorf("%s: %s comes late", m[1]+m[2], m[4])
		}
		at[m[1]+m[2]] = instant
	}
	if len(families) < 12 {
		t.Errorf("only %d families", len(families))
	}
}

// A scrape sees what holds now, in the same families; of a task that is gone it sees nothing. It is without a fault for promlint.
func TestScrape(t *testing.T) {
	m := New(manifest, "r")
	played(m)
	all := m.Gather()
	got := map[string]*dto.MetricFamily{}
	var text strings.Builder
	for _, f := range all {
		got[f.GetName()] = f
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`coinbench_replicas{run="r",service="s",state="running",version="v2"} 1`,
		`coinbench_task_state{run="r",service="s",slot="1",task="s.1#2",version="v2"} 2`,
		`coinbench_request_queue_seconds_sum{run="r",service="s",slot="1",task="s.1#2",version="v2"} 0.5`,
		`coinbench_load_requests_total{class="ok",load="users",run="r"} 9`,
		`coinbench_load_response_seconds_bucket{load="users",run="r",le="0.005"} 6`,
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("no %s in:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "s.1#1") || got[RolloutActive] != nil {
		t.Errorf("what is gone is shown:\n%s", text.String())
	}
	problems, err := promlint.New(strings.NewReader(text.String())).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if _, err := (prometheus.Gatherers{prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return m.Gather(),
			nil
	})}).Gather(); err != nil {
		t.Error(err) // the registry's own checks
	}
}

// A series that this version does not know is exported as what its name says.
func TestUnknownSeries(t *testing.T) {
	e := NewExport(manifest, "r")
	e.Reading(history.Reading{Service: "s", Task: "s.1#1", Values: history.ValuesOf(map[string]float64{"x_total": 1, "y": 2, "z_seconds_sum": 3,
		"z_seconds_count": 4})})
	var b strings.Builder
	if err := e.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# TYPE x counter\n", "\nx_total{", "# TYPE y gauge\n", "# TYPE z_seconds summary\n# UNIT z_seconds " +
		"seconds\n", "\nz_seconds_sum{"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

// docs/prometheus.md has every family with its kind, and no other.
func TestFamiliesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "prometheus.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented, known []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram|summary) \\|").FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	for _, f := range Families() {
		known = append(known, f.Name+" "+strings.ToLower(f.Kind.String()))
	}
	slices.Sort(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("documented:\n%s\nexported:\n%s", strings.Join(documented, "\n"), strings.Join(known, "\n"))
	}
}
