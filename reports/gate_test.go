package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/perf/benchfmt"

	"coinbench/capacity"
	"coinbench/capacity/gate"
)

// gateReport is that of a gate with the given pairs, in which head has exp(theta) of base's rate.
func gateReport(pairs int, theta, sigma float64) gate.Report {
	session := gate.Session{ID: "s", At: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC), Sequence: "q", Kind: gate.Compare,
		Base: gate.Subject{Text: "v0.1"}, Head: gate.Subject{Text: "v0.2|`x`"}, Seed: 1, Host: "a <machine>", Command: []string{"coinbench", "gate"},
		Design: gate.Design{Scenario: "setting", Cluster: "sim", Rule: gate.DefaultRule(), Metrics: []gate.Metric{{Name: "hash_rate(steady)",
			Unit: "hashes/s"}}}}
	noise := rand.New(rand.NewPCG(1, 2))
	s := gate.Series{Sessions: []gate.Session{session}}
	for range 2 * pairs {
		b := gate.Next(1, "s", s.Blocks)
		b.Values, b.Seconds = []float64{31.2 * math.Exp(sigma*noise.NormFloat64())}, 13.5
		if b.Side == gate.Head {
			b.Values[0] *= math.Exp(theta)
		}
		s.Blocks = append(s.Blocks, b)
	}
	return s.Report(session, true)
}

func TestGateReports(t *testing.T) {
	r := gateReport(24, -.05, .01)
	if r.Verdict.Outcome != capacity.OutcomeFail {
		t.Fatalf("%s: %s", r.Verdict.Outcome, r.Verdict.Why)
	}
	var text, md, junit, page bytes.Buffer
	for _, err := range []error{GateText(&text, r, TextOptions{}), GateMarkdown(&md, r), gateJUnit(&junit, r), gateHTML(&page, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"FAIL  hash_rate(steady) is worse by more than the 1 % that is tolerated: -", "24 pairs, 10 min 48 s", "coins/s",
		"cannot be green", "Pairs of this series vary by 1", "smallest loss found in 95 % of gates", "failed 0 of"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	if md.Len() > 60_000 || strings.Count(md.String(), "\n| ") < 24 {
		t.Errorf("the summary has %d bytes:\n%s", md.Len(), &md)
	}
	if strings.Contains(page.String(), "<machine>") || !strings.Contains(page.String(), "<svg") {
		t.Error("the page has no plot, or text that was not escaped")
	}
	var suite junitSuite
	if err := xml.Unmarshal(junit.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Errors != 1 { // the loss, and the self-test that was not played
		t.Errorf("%d cases, %d failures, %d errors", suite.Tests, suite.Failures, suite.Errors)
	}
}

// The plot shows why the gate stopped: its last bar lies below the line of what is tolerated, and no bar before it does from 6 pairs on.
func TestSequenceChartShowsWhyTheGateStopped(t *testing.T) {
	c := sequenceChart(gateReport(8, -.05, .004))
	lines := map[string]float64{}
	var bars series
	for _, s := range c.series {
		if s.kind == dashed {
			lines[s.name] = s.xy[0].y
		}
		if s.kind == span {
			bars = s
		}
	}
	if got := fmt.Sprint(lines); got != "map[to be detected:-3 tolerated:-1]" {
		t.Errorf("limits %s", got)
	}
	if n := len(bars.xy); n < 3 || bars.xy[n-1].y2 >= -1 || bars.xy[n-1].x != 8 {
		t.Errorf("bars %+v", bars.xy)
	}
	for i := 1; i < len(bars.xy); i++ {
		if bars.xy[i].y2-bars.xy[i].y > bars.xy[i-1].y2-bars.xy[i-1].y {
			t.Errorf("the interval after %g pairs is wider than the one before", bars.xy[i].x)
		}
	}
}

// The parsers of others read what is written for them.
func TestGateExports(t *testing.T) {
	r := gateReport(24, -.05, .01)
	var bench, bmf, action, metrics, shields bytes.Buffer
	for _, err := range []error{gateBench(&bench, r), gateBMF(&bmf, r), gateAction(&action, r), gateMetrics(&metrics, r), gateBadge(&shields, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := map[string]int{}
	reader := benchfmt.NewReader(&bench, "gate.txt")
	for reader.Scan() {
		switch line := reader.Result().(type) {
		case *benchfmt.Result:
			if v, ok := line.Value("hashes/s"); !ok || v < 20 || v > 40 {
				t.Errorf("%s: %v", line.Name, line.Values)
			}
			lines[line.Name.String()]++
		case *benchfmt.SyntaxError:
			t.Error(line)
		}
	}
	if fmt.Sprint(lines) != "map[HashRate/scenario=setting/window=/side=base:24 HashRate/scenario=setting/window=/side=head:24]" {
		t.Errorf("benchmarks: %v", lines)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(metrics.Bytes()))
	if err != nil || len(families) != 7 || !strings.HasSuffix(metrics.String(), "\n# EOF\n") {
		t.Errorf("%d families, %v:\n%s", len(families), err, &metrics)
	}
	if v := families["coinbench_gate_ratio"].GetMetric()[0].GetGauge().GetValue(); math.Abs(v-math.Exp(-.05)) > .01 {
		t.Errorf("ratio %g", v)
	}
	for name, text := range map[string]*bytes.Buffer{"bmf": &bmf, "action": &action, "badge": &shields} {
		var v any
		if err := json.Unmarshal(text.Bytes(), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(shields.String(), `"color": "red"`) {
		t.Errorf("badge: %s", &shields)
	}
}

// Reports are written of nothing, of one pair, and of pairs without any noise.
func TestGateReportsOfLittle(t *testing.T) {
	for _, r := range []gate.Report{gateReport(0, 0, 0), gateReport(1, 0, 0), gateReport(6, -.05, 0)} {
		for _, o := range gateOutputs() {
			if err := o.write(io.Discard, r); err != nil {
				t.Errorf("%s of %d pairs: %v", o.name, len(r.Pairs), err)
			}
		}
	}
}

// The real benchstat reads the export as one comparison of as many blocks as there are pairs, and not as two tables.
func TestBenchstatReadsTheGate(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("not run: for want of the go command")
	}
	path := filepath.Join(t.TempDir(), "gate.txt")
	var bench bytes.Buffer
	if err := gateBench(&bench, gateReport(24, -.05, .01)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bench.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "run", "golang.org/x/perf/cmd/benchstat", "-col", "/side", path).CombinedOutput()
	if err != nil {
		t.Fatalf("benchstat: %v: %s", err, out)
	}
	if n := strings.Count(string(out), "HashRate/"); n != 1 || !strings.Contains(string(out), "n=24") || strings.Count(string(out), "vs base") != 1 {
		t.Errorf("benchstat found %d rows:\n%s", n, out)
	}
}
