package reports_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
	"coinbench/history"
	"coinbench/reports"
)

var update = flag.Bool("update", false, "write the golden files anew")

func judged(t *testing.T, run *history.Run, objectives ...string) *capacity.Analysis {
	t.Helper()
	var all []capacity.Objective
	for _, text := range objectives {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	a := capacity.Analyse(run, all...)
	return &a
}

func bottleneck(t *testing.T) *capacity.Analysis {
	return judged(t, capacitytest.New("bottleneck").Bottleneck(), "hash_rate(saturated) within 9.3..10.05", "bottleneck(scaled) == worker",
		"errors == 0")
}

// small is a short run that fails: one window and one bench.
func small(t *testing.T) *capacity.Analysis {
	m := capacitytest.New("small")
	m.Deploy(4, 1)
	m.Measure("w", time.Second, 5*time.Second)
	m.Scale("worker", 0)
	m.Play(time.Second)
	m.Bench("hasher", 50, 50)
	return judged(t, m.Finish(), "hash_rate(w) > 12", "errors == 0", "p99(nowhere) < 1s")
}

func render(t *testing.T, write func(io.Writer, *capacity.Analysis) error, a *capacity.Analysis) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func text(w io.Writer, a *capacity.Analysis) error { return reports.Text(w, a, reports.TextOptions{}) }

// inOrder says whether the parts stand in the text in this order.
func inOrder(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	at := 0
	for _, p := range parts {
		i := strings.Index(text[at:], p)
		if i < 0 {
			t.Errorf("%s: %q is missing, or not where it belongs", what, p)
			return
		}
		at += i + len(p)
	}
}

func TestGoldens(t *testing.T) {
	a := small(t)
	for name, write := range map[string]func(io.Writer, *capacity.Analysis) error{"small.txt": text, "small.md": reports.Markdown,
		"small.junit.xml": reports.JUnit} {
		got := render(t, write, a)
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			out := filepath.Join(t.ArtifactDir(), name)
			_ = os.WriteFile(out, []byte(got), 0o644)
			t.Errorf("%s differs from %s; look at the difference, then: go test ./reports -update", out, path)
		}
	}
}

// Every output says the verdict first, then whether the measurement is valid, then the bottleneck.
func TestOrder(t *testing.T) {
	a := small(t)
	inOrder(t, "text", render(t, text, a), "FAIL", "hash_rate(w) > 12", "Validity", "sound", "Bottleneck", "rng limits", "Objectives",
		"Measured, published, bound", "Loads", "Books", "repeat: coinbench run small")
	inOrder(t, "markdown", render(t, reports.Markdown, a), "FAIL", "hash_rate(w)", "### Validity", "### Bottleneck", "**rng**",
		"### Objectives", "### Measured", "### Loads", "coinbench run small")
	inOrder(t, "html", render(t, reports.HTML, a), "<h1>", "FAIL", "The measurement is sound", "What limits the hash rate", "Objectives",
		"Measured, published, bound", "Plots", "Benches and probes", "The books", "The run", "coinbench run small")
}

func TestIncompleteIsSaidFirst(t *testing.T) {
	run := capacitytest.New("cut").Bottleneck()
	run.Status = history.Killed
	run.Events = run.Events[:len(run.Events)/2]
	a := judged(t, run, "errors == 0")
	for name, write := range map[string]func(io.Writer, *capacity.Analysis) error{"text": text, "markdown": reports.Markdown,
		"html": reports.HTML} {
		got := render(t, write, a)
		if i, j := strings.Index(strings.ToLower(got), "incomplete"), strings.Index(got, "INCONCLUSIVE"); i < 0 || j < i {
			t.Errorf("%s: incomplete at %d, verdict at %d", name, i, j)
		}
		if strings.Contains(got, "PASS  ") || strings.Contains(got, ">PASS<") || strings.Contains(got, " PASS:") {
			t.Errorf("%s: an incomplete run says PASS", name)
		}
	}
	if x := render(t, reports.JUnit, a); !strings.Contains(x, `errors="2"`) {
		t.Errorf("junit: an incomplete run must not be green:\n%s", x)
	}
}

func TestHTMLNeedsNothingElse(t *testing.T) {
	page := render(t, reports.HTML, bottleneck(t))
	if m := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:|//|[a-z]+\.(js|css))|@import|url\(`).FindString(page); m != "" {
		t.Errorf("the page loads something: %q", m)
	}
	for _, w := range []string{`<html lang="en">`, `<main>`, `prefers-color-scheme:dark`, `@media print`, `name="viewport"`, `tabindex="0"`,
		`aria-label="Hash rate against workers`, "As a table", `<th scope="col"`} {
		if !strings.Contains(page, w) {
			t.Errorf("%q is missing", w)
		}
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "NaN") || strings.Contains(page, "%!") {
		t.Error("something was not rendered")
	}
}

func TestHTMLCarriesItsData(t *testing.T) {
	a := bottleneck(t)
	page := render(t, reports.HTML, a)
	_, rest, ok := strings.Cut(page, `id="result">`)
	data, _, ok2 := strings.Cut(rest, "</script>")
	var back capacity.Analysis
	if !ok || !ok2 {
		t.Fatal("no data in the page")
	}
	if err := json.Unmarshal([]byte(data), &back); err != nil {
		t.Fatal(err)
	}
	if back.Window("saturated").HashRate.Value != a.Window("saturated").HashRate.Value || back.Overall.Outcome != a.Overall.Outcome {
		t.Error("the data of the page are not the analysis")
	}
}

// A scenario's text reaches the page; it must stay text.
func TestHTMLEscapes(t *testing.T) {
	a := small(t)
	evil := `</script><script>alert(1)</script>`
	a.Run.Scenario, a.Run.Command = evil, []string{evil}
	a.Timeline.Steps[0].Title, a.Windows[0].Name = evil, evil
	a.Overall.Why = evil
	a.Comparison[0].Name = evil
	if page := render(t, reports.HTML, a); strings.Contains(page, "<script>alert") {
		t.Error("text became a script")
	}
	var b bytes.Buffer
	if err := reports.WriteComparison(&b, "html", a, a, reports.TextOptions{}); err != nil || strings.Contains(b.String(), "<script>alert") {
		t.Errorf("comparison: %v", err)
	}
}

func TestJSONReadsBack(t *testing.T) {
	a := bottleneck(t)
	var back capacity.Analysis
	if err := json.Unmarshal([]byte(render(t, reports.JSON, a)), &back); err != nil {
		t.Fatal(err)
	}
	if again := render(t, reports.JSON, &back); again != render(t, reports.JSON, a) {
		t.Error("result.json does not survive reading and writing")
	}
	if back.Version != capacity.Version {
		t.Errorf("version %d", back.Version)
	}
}

func TestTextColor(t *testing.T) {
	a := small(t)
	var plain, colored bytes.Buffer
	if err := errors.Join(reports.Text(&plain, a, reports.TextOptions{}), reports.Text(&colored, a,
		reports.TextOptions{Color: true})); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colored.String(), "\x1b[1;31mFAIL") {
		t.Error("colours where there must be none, or none where there must be")
	}
	if regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "") != plain.String() {
		t.Error("colours change the text")
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	a := bottleneck(t)
	paths, err := reports.Write(dir, a)
	if err != nil {
		t.Fatal(err)
	}
	wanted := 0
	for _, o := range reports.Outputs() {
		if o.Wanted == nil || o.Wanted(a) {
			wanted++
		}
	}
	if len(paths) != wanted || wanted < 5+8 { // the texts and four plots in two formats
		t.Errorf("%d of %d outputs", len(paths), wanted)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %v, %d bytes", p, err, len(data))
		}
		switch filepath.Ext(p) {
		case ".png":
			img, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Errorf("%s: %v", p, err)
			} else if b := img.Bounds(); b.Dx() != 2000 || b.Dy() < 900 {
				t.Errorf("%s: %v, want a width of 2000, twice 1000", p, b)
			}
		case ".svg", ".xml":
			d := xml.NewDecoder(bytes.NewReader(data))
			for err = nil; err == nil; {
				_, err = d.Token()
			}
			if err != io.EOF {
				t.Errorf("%s: %v", p, err)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if _, err := reports.Write(dir, judged(t, &history.Run{Status: history.Killed})); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// What a plot cannot show is no error and leaves no empty file.
func TestWriteOfAnEmptyRun(t *testing.T) {
	paths, err := reports.Write(t.TempDir(), judged(t, &history.Run{Status: history.Killed}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if strings.Contains(p, "plots") {
			t.Errorf("%s of nothing", p)
		}
	}
	if len(paths) != 5 {
		t.Errorf("%d outputs, want the 5 texts", len(paths))
	}
}

func TestWriteToNowhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if paths, err := reports.Write(file, judged(t, &history.Run{Status: history.Killed})); err == nil ||
		!strings.Contains(err.Error(), "write report report.html") || len(paths) != 0 {
		t.Errorf("%v, %v", paths, err)
	}
}

func TestCompare(t *testing.T) {
	a := bottleneck(t)
	b := judged(t, capacitytest.New("bottleneck").Workshop().Bottleneck())
	same := reports.Compare(a, a)
	for _, r := range same.Rows {
		if !r.Same || r.Differs {
			t.Errorf("%s %s differs from itself", r.Name, r.What)
		}
	}
	if len(same.Changed) != 0 || len(same.OnlyA) != 0 || len(same.Rows) < 13 {
		t.Errorf("%d rows, changed %v, only %v", len(same.Rows), same.Changed, same.OnlyA)
	}
	c := reports.Compare(a, b)
	found := false
	for _, r := range c.Rows {
		if r.Name == "saturated" && r.What == "hash rate" {
			found = true
			if r.Same || *r.Ratio > .95 || *r.Ratio < .92 || r.Limits != "rng" {
				t.Errorf("%+v", r)
			}
		}
	}
	if !found || len(c.Changed) == 0 || c.Changed[0].What != "profile" {
		t.Errorf("found %v, changed %v", found, c.Changed)
	}
	for _, format := range []string{"text", "markdown", "html", "json"} {
		var out bytes.Buffer
		if err := reports.WriteComparison(&out, format, a, b, reports.TextOptions{}); err != nil ||
			!strings.Contains(out.String(), "saturated") || !strings.Contains(out.String(), "workshop") {
			t.Errorf("%s: %v, %d bytes", format, err, out.Len())
		}
	}
	var narrow bytes.Buffer
	if err := reports.WriteComparison(&narrow, "text", a, b, reports.TextOptions{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(narrow.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns on a terminal of 80: %q", n, line)
		}
	}
	if err := reports.WriteComparison(io.Discard, "pdf", a, b, reports.TextOptions{}); err == nil ||
		!strings.Contains(err.Error(), "accepted: text, markdown, html, json") {
		t.Errorf("%v", err)
	}
}

// The display's quantum is explained where a published number was read off the web page.
func TestDisplayQuantum(t *testing.T) {
	s := render(t, text, bottleneck(t))
	inOrder(t, "footnotes", s, "it shows 4 where 3.3", "is true for one worker", "Cannot be true")
}
