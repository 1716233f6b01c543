package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/capacity"
	"coinbench/cluster"
	"coinbench/services/settings"
)

func TestShippedScenarios(t *testing.T) {
	longest := map[string]time.Duration{"bottleneck": 130 * time.Second, "smoke": 18 * time.Second, "keepalive": time.Minute,
		"balancing": 40 * time.Second, "outage": 40 * time.Second, "zero-downtime": 200 * time.Second,
		"rolling-update": 4 * time.Minute, "bad-release": 70 * time.Second, "fleet-rollout": 30 * time.Second, "flapping": time.Minute,
		"cascade": time.Minute, "tournament": 30 * time.Second,
		"setting": 50 * time.Second, "bounds": 4 * time.Minute, "cross-check": 40 * time.Second}
	if len(Shipped()) != len(longest) {
		t.Errorf("%d are shipped, want %d", len(Shipped()), len(longest))
	}
	for _, e := range Shipped() {
		s, err := Parse(e.Name+".yaml", e.Source, Options{})
		if err != nil {
			t.Errorf("%s:\n%v", e.Name, err)
			continue
		}
		if s.Name != e.Name {
			t.Errorf("%s calls itself %s", e.Name, s.Name)
		}
		if e.Summary == "" || strings.ContainsRune(e.Summary, '\n') {
			t.Errorf("%s: summary %q", e.Name, e.Summary)
		}
		if !strings.HasPrefix(string(e.Source), "# ") {
			t.Errorf("%s teaches nothing: it has no comment at its top", e.Name)
		}
		if len(s.Objectives) == 0 {
			t.Errorf("%s has no objectives", e.Name)
		}
		if s.Estimate() > longest[e.Name] {
			t.Errorf("%s takes about %s, want at most %s", e.Name, s.Estimate(), longest[e.Name])
		}
		// What the comment says to try must work.
		for line := range strings.Lines(string(e.Source)) {
			_, command, ok := strings.Cut(line, "coinbench run "+e.Name)
			if !ok {
				continue
			}
			set := map[string]string{}
			words := strings.Fields(command)
			for i := 0; i+1 < len(words) && words[i] == "--set"; i += 2 {
				key, value, _ := strings.Cut(words[i+1], "=")
				set[key] = value
			}
			if _, err := Parse(e.Name+".yaml", e.Source, Options{Set: set}); err != nil || len(set) == 0 {
				t.Errorf("%s: the comment's %q: %v", e.Name, strings.TrimSpace(command), err)
			}
		}
	}
	if _, err := Load("bottelneck"); err == nil || !strings.Contains(err.Error(), `did you mean "bottleneck"?`) {
		t.Errorf("a misspelt name: %v", err)
	}
}

// Each file of the corpus is refused with exactly the message next to it.
func TestMalformed(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, want at least 20: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, source, Options{App: dockercoins})
			if err == nil {
				t.Fatal("it was accepted")
			}
			golden(t, "bad/"+strings.TrimSuffix(name, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// A fault's caret is under the character that its column counts.
func TestCaret(t *testing.T) {
	_, err := Parse("x.yaml", []byte("name: x\nsteps:\n  - deploy: {worker: many}\n"), Options{})
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	lines := strings.Split(f.Error(), "\n")
	if f.Line != 3 || f.Column != 22 || len(lines) != 3 || lines[1][strings.IndexByte(lines[2], '^')] != 'm' {
		t.Errorf("%d:%d\n%s", f.Line, f.Column, f.Error())
	}
}

const withParameters = `
name: x
parameters:
  workers: {default: 3, doc: how many}
  think: 100ms
profiles:
  workshop:
    environment: {rng: {COIN_OCCUPANCY: 7ms}}
    parameters: {workers: 5}
steps:
  - deploy: {worker: {replicas: "${workers}", environment: {COIN_THINK: "${think}"}}, webui: 0}
  - wait: {for: 1s}
objectives: ["errors <= ${workers}", "errors < 9"]
`

func TestSettings(t *testing.T) {
	tests := []struct {
		name      string
		set       map[string]string
		workers   int
		think     string
		occupancy string
		seed      uint64
		err       string
	}{
		{name: "defaults", workers: 3, think: "100ms", seed: 1},
		{name: "set", set: map[string]string{"workers": "7", "think": "1ms", "seed": "9"}, workers: 7, think: "1ms", seed: 9},
		{name: "profile", set: map[string]string{"profile": "workshop"}, workers: 5, think: "100ms", occupancy: "7ms", seed: 1},
		{name: "set over profile", set: map[string]string{"profile": "workshop", "workers": "1"}, workers: 1, think: "100ms", occupancy: "7ms",
			seed: 1},
		{name: "unknown", set: map[string]string{"worker": "1"},
			err: `--set: unknown setting "worker", did you mean "workers"?; accepted: profile, seed, workers, think`},
		{name: "unknown profile", set: map[string]string{"profile": "workshops"},
			err: `unknown profile "workshops", did you mean "workshop"?; accepted: workshop`},
		{name: "value", set: map[string]string{"workers": "few"},
			err: `x.yaml:11:33: "few" is not a whole number; accepted: a whole number, at least 0`},
		{name: "variable", set: map[string]string{"think": "few"}, err: `COIN_THINK="few": not a duration`},
		{name: "seed", set: map[string]string{"seed": "few"}, err: `--set: seed: "few" is not a whole number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse("x.yaml", []byte(withParameters), Options{Set: test.set, App: dockercoins})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v\nwant %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			app := s.Steps[0].act.(*Deploy).desired(s.App)
			worker, _ := app.Service("worker")
			rng, _ := app.Service("rng")
			webui, _ := app.Service("webui")
			if worker.Replicas != test.workers || worker.Environment["COIN_THINK"] != test.think ||
				rng.Environment["COIN_OCCUPANCY"] != test.occupancy ||
				webui.Replicas != 0 || s.Seed != test.seed {
				t.Errorf("worker %+v, rng %+v, seed %d", worker, rng, s.Seed)
			}
			if before, _ := s.App.Service("worker"); before.Replicas != 1 {
				t.Error("the step changed the scenario's app")
			}
			if want := "errors <= " + s.Settings["workers"]; s.Objectives[0] != want {
				t.Errorf("objective %q, want %q", s.Objectives[0], want)
			}
		})
	}
}

func TestAppThatCannotBeRead(t *testing.T) {
	_, err := Parse("x.yaml", []byte("name: x\napp: ../other.yml\nsteps:\n  - deploy:\n"), Options{App: func(path string) (cluster.App,
		error) {
		return cluster.App{}, errors.New("read " + path + ": no such file")
	}})
	if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:2:6: read ../other.yml: no such file\n") {
		t.Error(err)
	}
}

func TestCounts(t *testing.T) {
	for text, want := range map[string]Counts{"5": {5}, "1..3": {1, 2, 3}, "1, 5,10": {1, 5, 10}, "1..2,10": {1, 2, 10}, " 0 .. 1 ": {0, 1}} {
		var c Counts
		if err := c.parse(text); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // what is printed is read back
		c := Counts(rapid.SliceOfN(rapid.IntRange(0, 100), 1, 20).Draw(t, "counts"))
		var back Counts
		if err := back.parse(c.String()); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%v printed as %q and read as %v, %v", c, c.String(), back, err)
		}
	})
}

func TestEdits(t *testing.T) {
	word := rapid.StringMatching(`[a-z]{0,8}`)
	rapid.Check(t, func(t *rapid.T) { // it is a distance
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if settings.Distance(a, a) != 0 || settings.Distance(a, b) != settings.Distance(b, a) || settings.Distance(a, c) > settings.Distance(a,
			b)+settings.Distance(b, c) || (settings.Distance(a, b) == 0) != (a == b) {
			t.Fatalf("%q %q %q: %d %d %d", a, b, c, settings.Distance(a, b), settings.Distance(b, c), settings.Distance(a, c))
		}
	})
}

// FuzzParse holds that no text breaks the parser, that what it accepts can be planned, and that every fault has a place in
// the file.
func FuzzParse(f *testing.F) {
	for _, e := range Shipped() {
		f.Add(e.Source)
	}
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range files {
		source, _ := os.ReadFile(file)
		f.Add(source)
	}
	f.Add([]byte(everyStep))
	f.Add([]byte(withParameters))
	f.Fuzz(func(t *testing.T, source []byte) {
		s, err := Parse("x.yaml", source, Options{App: dockercoins})
		if err == nil {
			if s.Name == "" || len(s.Steps) == 0 || s.Estimate() < 0 {
				t.Errorf("accepted %+v", s)
			}
			for _, o := range s.Objectives {
				if _, err := capacity.ParseObjective(o); err != nil {
					t.Error(err)
				}
			}
			if again, err := Parse("x.yaml", source, Options{App: dockercoins, Set: s.Settings}); err != nil || again.Estimate() != s.Estimate() {
				t.Errorf("its own settings give another scenario: %v", err)
			}
			return
		}
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		lines := len(linesOf(source))
		for _, e := range joined.Unwrap() {
			var fault *Fault
			if !errors.As(e, &fault) || fault.Message == "" || fault.Line > lines {
				t.Errorf("%T: %v", e, e)
			}
		}
	})
}
