package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coinbench"
	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/reports"
)

// renamed gives the app's services other names, as an app of one's own has them.
func renamed(text string) string {
	other := map[string]string{"worker": "mill", "rng": "alpha", "hasher": "beta", "redis": "ledger"}
	return regexp.MustCompile(`\b(worker|rng|hasher|redis)(s?)\b`).ReplaceAllStringFunc(text, func(word string) string {
		if name, ok := other[word]; ok {
			return name
		}
		return other[strings.TrimSuffix(word, "s")] + "s"
	})
}

// renamedApp is the shipped Compose file with other names: images stay, and the driver is told whom it calls.
func renamedApp() string {
	var b strings.Builder
	for line := range strings.Lines(string(coinbench.Compose())) {
		if strings.Contains(line, "image:") {
			b.WriteString(line)
			continue
		}
		b.WriteString(renamed(line))
		if strings.Contains(line, "COIN_BACKOFF") {
			b.WriteString("      COIN_RNG_URL: http://alpha\n      COIN_HASHER_URL: http://beta\n      COIN_REDIS: ledger:6379\n")
		}
	}
	return b.String()
}

// The analysis speaks of roles: the same app with other names has the same report with other names. Seeds are drawn by name, so that digits
// are compared as numbers of the windows, and not in the text.
func TestRenamedServicesHaveTheSameAnalysis(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(file, []byte(renamedApp()), 0o600); err != nil {
		t.Fatal(err)
	}
	source := string(shipped(t, "bottleneck"))
	_, want := simulate(t, []byte(source), sim.Costs{}, nil)
	_, got := simulate(t, []byte("app: "+file+"\n"+renamed(source)), sim.Costs{}, nil)
	if r := got.Roles; r.Driver.Service != "mill" || r.Driver.Program != "worker" || r.Stations[0].Service != "alpha" ||
		r.Last().Service != "beta" ||
		r.Store.Service != "ledger" {
		t.Errorf("roles %+v", r)
	}
	if len(want.Windows) != len(got.Windows) {
		t.Fatalf("%d windows, %d with other names", len(want.Windows), len(got.Windows))
	}
	for i := range want.Windows {
		a, b := want.Windows[i], got.Windows[i]
		if a.HashRate == nil || b.HashRate == nil || math.Abs(b.HashRate.Value/a.HashRate.Value-1) > .01 {
			t.Errorf("%s: %+v, with other names %+v", a.Name, a.HashRate, b.HashRate)
		} else if renamed(a.Bottleneck.Limit) != b.Bottleneck.Limit {
			t.Errorf("%s: limited by %s, with other names by %s", a.Name, a.Bottleneck.Limit, b.Bottleneck.Limit)
		}
	}
	was, is := strings.Split(renamed(prose(t, want)), "\n"), strings.Split(prose(t, got), "\n")
	for i := range min(len(was), len(is)) {
		if parts := func(line string) string { // of a loop, the greatest first: some are equal but for chance
			all := strings.Split(strings.TrimPrefix(line, " loop: "), ", ")
			slices.Sort(all)
			return strings.Join(all, ", ")
		}; was[i] != is[i] && !(strings.HasPrefix(was[i], " loop: ") && parts(was[i]) == parts(is[i])) {
			t.Errorf("the report says\n%s\nand with other names\n%s", was[i], is[i])
		}
	}
	if len(was) != len(is) {
		t.Errorf("the report has %d lines, with other names %d", len(was), len(is))
	}
	var page bytes.Buffer
	if err := reports.HTML(&page, got); err != nil {
		t.Fatal(err)
	}
	said := page.String()[:strings.Index(page.String(), "Repeat")+1]
	if found := regexp.MustCompile(`\b(rng|hashers?|redis)\b`).FindString(said); found != "" {
		t.Errorf("the page says %s: ...%s...", found, around(said, found))
	}
}

func around(text, word string) string {
	i := strings.Index(text, word)
	return text[max(0, i-80):min(len(text), i+80)]
}

// prose is a report as text, without digits and blanks.
func prose(t *testing.T, a *capacity.Analysis) string {
	t.Helper()
	var b bytes.Buffer
	if err := reports.Text(&b, a, reports.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`[0-9][0-9.,]*`).ReplaceAllString(b.String(), "#")
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(text, " ")
}
