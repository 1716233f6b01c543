package reports_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coinbench/capacity"
	"coinbench/history/event"
	"coinbench/reports"
)

// released is the analysis of one release that lost some of its requests.
func released(state event.Outcome, took float64, requests, failed int64) *capacity.Analysis {
	available := capacity.NewAvailability(requests, failed)
	felt := capacity.LoadImpact{Load: "open", Requests: requests, Failed: failed, Available: available, MaxGapS: .25}
	if failed > 0 {
		felt.Failures = []capacity.FailureGroup{{Count: failed, Text: "17 refused, 40.1 ms to 60.3 ms after hasher.3#1 was told to stop"}}
	}
	return &capacity.Analysis{
		Overall: capacity.Overall{Outcome: capacity.OutcomePass},
		Rollouts: []capacity.Disturbance{{Name: "release", Verb: "update", Title: "update hasher", Service: "hasher", State: state,
			DurationS: &took,
			Replicas:  4, LeastServing: 3, MixedS: .5, Loads: []capacity.LoadImpact{felt}}},
		Loads: []capacity.LoadResult{{Name: "open", Service: "hasher", Method: "GET", Schedule: "200/s", Available: available}},
		Flows: []capacity.Flow{{Load: "open", Service: "hasher", BinS: 1, Answered: map[string][]float64{"v1": {200, 100, 0},
			"v2": {0, 100, 200}}}},
	}
}

func TestTournament(t *testing.T) {
	all := []reports.Contender{
		{Name: "rolling", Analysis: released("completed", 8, 1600, 0)},
		{Name: "all-at-once", Analysis: released("completed", 2, 400, 250)},
		{Name: "canary", Analysis: released("rolled_back", 9, 1800, 17)},
		{Name: "nothing", Analysis: &capacity.Analysis{Overall: capacity.Overall{Outcome: capacity.OutcomeInconclusive}}},
	}
	var b strings.Builder
	if err := reports.TournamentText(&b, all, reports.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range [][]string{{"rolling", "8.00 s", "1600", " 0 ", "≥ 99.8129 %"}, {"all-at-once", "250"}, {"canary", "(rolled back)"},
		{"nothing", "INCONCLUSIVE"}} {
		for _, w := range want {
			if !strings.Contains(lines[i+1], w) {
				t.Errorf("%q is not in %q", w, lines[i+1])
			}
		}
	}
	dir := t.TempDir()
	paths, err := reports.WriteTournament(dir, all)
	if err != nil || len(paths) != 3 {
		t.Fatalf("%v, %v", paths, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "tournament.md")); err != nil || !strings.Contains(string(text), "| all-at-once |") {
		t.Errorf("%v: %s", err, text)
	}
}

// Every format says what was lost and to whom, and that 0 of N is not 100 %.
func TestRolloutsAreInEveryFormat(t *testing.T) {
	a := released("completed", 8, 1600, 17)
	var text, markdown, html strings.Builder
	if err := reports.Text(&text, a, reports.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := reports.Markdown(&markdown, a); err != nil {
		t.Fatal(err)
	}
	if err := reports.HTML(&html, a); err != nil {
		t.Fatal(err)
	}
	for format, got := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "HTML": html.String()} {
		for _, want := range []string{"Rollouts and faults", "17 refused, 40.1 ms to 60.3 ms after hasher.3#1 was told to stop",
			"at least 3 of 4 replicas served", "17 of 1600 requests failed"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q", format, want)
			}
		}
	}
	clean := released("completed", 8, 1600, 0)
	text.Reset()
	if err := reports.Text(&text, clean, reports.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "none of 1600 requests failed, which shows an availability of at least 99.812 %"; !strings.Contains(text.String(), want) {
		t.Errorf("no %q in:\n%s", want, text.String())
	}
}
