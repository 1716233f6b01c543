package labs

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEval(t *testing.T) {
	vars := map[string]float64{"workers": 8, "think": .1}
	metric := func(text string) (float64, error) {
		return map[string]float64{"hash_rate(sweep/3)": 9.9, "p99(rng/c50)": .5}[text], nil
	}
	for _, c := range []struct {
		text string
		want float64
	}{
		{"1 / (think + 0.2)", 10. / 3}, {"ceil(1 / (think + 0.2))", 4}, {"-workers + 2 * 3", -2}, {"min(workers, 3)", 3}, {"max(workers, 3)", 8},
		{"hash_rate(sweep/3) / p99(rng/c50)", 19.8}, {"first(0.97, 3, 9.8, 10, 10)", 2}, {"sqrt(workers * 2)", 4},
		{"bound(8, 1, 0.1, 0.1)", 10}, {"bound(2, 1, 0.1, 0.1)", 2 / .3}, {"bound(10, 5, 0.1, 0.1)", 10 / .3}, {"bound(12, 3, 0.1, 0.1)", 30},
		{"bound(10, 1, 0.1, 0.05)", 20},
		// Exact mean value analysis of two stations of one server with unequal demands has no rounder numbers: DockerCoins' known ones.
		{"mva(3, 1, 0.1, 0.1)", 7.9}, {"mva(10, 5, 0.1, 0.1)", 26.1},
		{"unproved(404)", 1 - .992612}, // 1 - 1/N-th root of 0.05, about 3/N
	} {
		got, err := Eval(c.text, vars, metric)
		if err != nil || math.Abs(got-c.want) > .005*math.Abs(c.want) {
			t.Errorf("%s = %g, %v; want %g", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{"nothing + 1": "no variable nothing", "1 +": "expected operand", "1 / 0": "no number", `"a"`: "not understood",
		"hash_rate(x)": "not known before the run", "min(1)": "1 arguments", "first(0.9)": "no number reaches"} {
		if _, err := Eval(text, vars, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func TestFill(t *testing.T) {
	got, err := Fill("so ${workers * 4} and ${1 / 0.3}, of ${1036.4}", map[string]float64{"workers": 8}, nil)
	if err != nil || got != "so 32 and 3.33, of 1036" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Fill("${1", nil, nil); err == nil {
		t.Error("a brace that is open was taken")
	}
}

func TestParseRefusesWhatNoLearnerCouldFinish(t *testing.T) {
	source, err := files.ReadFile("four-or-three.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"## The number on the page {#wrong-display}", "## The number on the page {#wrong-other}", "its sections are"},
		{"  band: 5%", "  band: 5", "accepted: a percentage"},
		{"title:", "titel:", "unknown field"},
		{"\n---\n", "\n", "no front matter"},
		{" {#why}", "", "accepted: ## Text {#id}"},
	} {
		text := strings.Replace(string(source), c.old, c.new, 1)
		if _, err := Parse("broken", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v; want %q", c.new, c.old, err, c.want)
		}
	}
}

func TestEveryLabIsListedAndReadable(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".md") {
			written++
		}
	}
	if len(all) != written {
		t.Errorf("%d labs are listed, %d are written", len(all), written)
	}
	for _, l := range all {
		for _, language := range Languages() {
			if _, err := Load(l.Name, language); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Load("no-such-lab", "en"); err == nil || !strings.Contains(err.Error(), all[0].Name) {
		t.Errorf("unknown lab: %v", err)
	}
}

// A number that was drawn at random is taken for a wrong model's no more often than the models' bands, 3 % to each side, cover of the
// range that it was drawn from.
func TestARandomNumberIsRarelyAModel(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	const draws = 3000
	worst := 0.0
	for _, l := range all {
		for _, name := range RoundNames() {
			r := l.Round(name)
			vars := Numbers(l.Settings(name, 1))
			for k, v := range map[string]float64{"think": .1, "down": 2, "backoff": 10, "workers": 10, "rng": 5, "delay": .1, "requests": 400,
				"parallelism": 2, "grace": 10, "monitor": 2, "rate": 100, "length": 4} {
				if _, ok := vars[k]; !ok {
					vars[k] = v
				}
			}
			low, high, covered := math.Inf(1), 0.0, 0.0
			for _, w := range r.Wrong {
				says, err := w.Number(vars)
				if err != nil {
					t.Fatalf("%s: %v", l.Name, err)
				}
				if says > 0 {
					low, high = min(low, says), max(high, says)
					covered += math.Log((1 + near) / (1 - near))
				}
			}
			low, high = low/3, high*3
			if r.Whole {
				continue // a whole number is a model's or not
			}
			hits := 0
			for range draws {
				if r.thought(low*math.Pow(high/low, chance.Float64()), vars) != nil {
					hits++
				}
			}
			for _, w := range r.Wrong { // and what is meant by none
				if w.Upto != nil && *w.Upto > low {
					covered += math.Log(*w.Upto / low)
				}
			}
			share, bound := float64(hits)/draws, covered/math.Log(high/low)
			if sd := math.Sqrt(bound * (1 - bound) / draws); share > bound+4*sd {
				t.Errorf("%s: %s: %.3f of random numbers were taken for a model, the bands cover %.3f", l.Name, name, share, bound)
			}
			worst = max(worst, share)
		}
	}
	t.Logf("at most %.1f %% of numbers drawn log-uniformly from a third of the least to thrice the greatest wrong number", worst*100)
}

func entry(k Kind, round string, x float64) Entry {
	return Entry{At: time.Unix(1e9, 0), Kind: k, Round: round, Prediction: &x, Confidence: 75}
}

func TestAnAttemptSurvives(t *testing.T) {
	root := t.TempDir()
	a, err := Begin(root, "lab", 7, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		e     Entry
		round string
		phase Phase
	}{
		{entry(Predicted, Question, 4), Question, ToRun},
		{Entry{Kind: Started, Round: Question, Run: "run-1"}, Question, ToRun},
		{Entry{Kind: Started, Round: Question, Run: "run-2"}, Question, ToRun}, // the first was cut off
		{Entry{Kind: Ended, Round: Question, Run: "run-2"}, Question, ToCheck},
		{Entry{Kind: Checked, Round: Question, Outcome: CannotTell}, Question, ToRun},
		{Entry{Kind: Started, Round: Question, Run: "run-3"}, Question, ToRun},
		{Entry{Kind: Ended, Round: Question, Run: "run-3"}, Question, ToCheck},
		{Entry{Kind: Checked, Round: Question, Outcome: WrongModel, Model: "display"}, Transfer, ToPredict},
		{entry(Predicted, Transfer, 2.5), Transfer, ToRun},
		{Entry{Kind: Started, Round: Transfer, Run: "run-4"}, Transfer, ToRun},
		{Entry{Kind: Ended, Round: Transfer, Run: "run-4"}, Transfer, ToCheck},
		{Entry{Kind: Checked, Round: Transfer, Outcome: Right}, "", Done},
	}
	for i, s := range steps {
		if err := a.Add(s.e); err != nil {
			t.Fatal(err)
		}
		// Whatever stops the program here: another one reads it, and a line that was being written is left out.
		path := filepath.Join(a.Dir, logName)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(whole, `{"at":"2026-`...), 0o644); err != nil {
			t.Fatal(err)
		}
		if a, err = Latest(root, "lab"); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if st := a.State(); st.Round != s.round || st.Phase != s.phase {
			t.Errorf("step %d: %s %s, want %s %s", i, st.Round, st.Phase, s.round, s.phase)
		}
		if i < 7 && i > 0 && *a.State().Prediction.Prediction != 4 {
			t.Errorf("step %d: the prediction is %g", i, *a.State().Prediction.Prediction)
		}
	}
	if a.Seed() != 7 {
		t.Errorf("seed %d", a.Seed())
	}
	// 75 % and wrong, 75 % and right: (0.75² + 0.25²) / 2
	if s := Calibration([]*Attempt{a}); s.Predictions != 2 || s.Right != 1 || math.Abs(s.Brier-.3125) > 1e-9 {
		t.Errorf("calibration %+v", s)
	}
}

func TestAChangedLineIsNoticed(t *testing.T) {
	root := t.TempDir()
	a, err := Begin(root, "lab", 7, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Entry{entry(Predicted, Question, 4), {Kind: Started, Round: Question}, {Kind: Ended, Round: Question}} {
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(a.Dir, logName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, changed := range map[string]string{
		"another prediction":       strings.Replace(string(text), `"prediction":4`, `"prediction":3.33`, 1),
		"a line taken away":        lines[0] + lines[2] + lines[3],
		"another order":            lines[0] + lines[2] + lines[1] + lines[3],
		"a line from another file": string(text) + lines[1],
	} {
		if changed == string(text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Latest(root, "lab"); err == nil || !strings.Contains(err.Error(), "was changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttemptsHaveFoldersOfTheirOwn(t *testing.T) {
	root := t.TempDir()
	for want := uint64(1); want <= 3; want++ {
		if _, err := Begin(root, "lab", want, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		if a, err := Latest(root, "lab"); err != nil || a.Seed() != want {
			t.Errorf("%v, %v", a, err)
		}
	}
	if a, err := Latest(root, "other"); a != nil || err != nil {
		t.Errorf("a lab that was never begun: %v, %v", a, err)
	}
}
