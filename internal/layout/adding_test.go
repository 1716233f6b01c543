package layout

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// grown is this tree with additions, as an overlay for the go command.
type grown struct {
	t       *testing.T
	dir     string
	replace map[string]string
}

func grow(t *testing.T) *grown { return &grown{t, t.TempDir(), map[string]string{}} }

// write adds a file.
func (g *grown) write(name, text string) {
	g.t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		g.t.Fatal(err)
	}
	file := filepath.Join(g.dir, strings.ReplaceAll(name, "/", "_"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.replace[filepath.Join(root, filepath.FromSlash(name))] = file
}

// register adds text behind the first occurrence of a line of a file.
func (g *grown) register(name, behind, text string) {
	g.t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	before, after, found := strings.Cut(string(source), behind)
	if err != nil || !found {
		g.t.Fatalf("%s has no %q (%v)", name, behind, err)
	}
	g.write(name, before+behind+text+after)
}

// run runs the go command on the grown tree.
func (g *grown) run(args ...string) string {
	g.t.Helper()
	data, err := json.Marshal(map[string]any{"Replace": g.replace})
	if err != nil {
		g.t.Fatal(err)
	}
	overlay := filepath.Join(g.dir, "overlay.json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		g.t.Fatal(err)
	}
	c := exec.Command("go", append([]string{args[0], "-trimpath", "-overlay", overlay}, args[1:]...)...)
	c.Dir = filepath.Join("..", "..")
	out, err := c.CombinedOutput()
	if err != nil {
		g.t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A step, a plot, a format and an objective's metric are added in the files that CONTRIBUTING.md names and in no other, and a run has them.
func TestAddingAStepAPlotAFormatAndAnObjective(t *testing.T) {
	g := grow(t)
	g.write("scenarios/step_shout.go", `package scenarios

import "context"

// Shout is a step.
type Shout struct {
	// What is shouted.
	Text string `+"`json:\"text\"`"+`
}

func (s *Shout) title() string { return "shout " + s.Text }

func (s *Shout) check(p *plan) {
	if s.Text == "" {
		p.wrong(&s.Text, "nothing to shout; accepted: a text")
	}
}

func (s *Shout) play(_ context.Context, st *stage) error {
	st.warn("shouted: " + s.Text)
	return nil
}
`)
	g.register("scenarios/step.go", "return []verb{\n", `{"shout", "Shout.", func() act { return new(Shout) }},`+"\n")
	g.write("reports/shouts.go", `package reports

import (
	"fmt"
	"io"

	"coinbench/capacity"
)

func shoutChart(a *capacity.Analysis) (chart, bool) {
	c := chart{title: "Shouts", x: axis{label: "windows", max: 2}, y: axis{label: "number", max: 2}}
	c.series = []series{{name: "windows", kind: curve, color: blue, xy: []xy{{}, {x: 1, y: float64(len(a.Windows))}}}}
	return c, true
}

func writeShouts(w io.Writer, a *capacity.Analysis) error {
	_, err := fmt.Fprintln(w, "windows:", len(a.Windows))
	return err
}
`)
	g.register("reports/chart.go", "return []picture{\n", `{"shouts", "shouts", shoutChart},`+"\n")
	g.register("reports/doc.go", "[]Output{\n", `{Name: "shouts.txt", Doc: "shouts", Write: writeShouts},`+"\n")
	g.register("capacity/objectives.go", "return []metric{\n", `{name: "measured_windows", count: true, doc: "Number of windows.",
		value: func(a *Analysis, _ []string) (float64, error) { return float64(len(a.Windows)), nil }},`+"\n")
	scenario := filepath.Join(g.dir, "s.yaml")
	if err := os.WriteFile(scenario, []byte(`name: grown
steps:
  - deploy: {worker: 1, rng: 1, hasher: 1}
  - shout: {text: hurrah}
  - measure: {name: one, for: 5s}
objectives:
  - measured_windows == 1
`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(g.dir, "run")
	text := g.run("run", "./cmd/coinbench", "run", scenario, "--cluster", "sim", "--out", out)
	for _, want := range []string{"PASS", "shouted: hurrah", "measured_windows == 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the run says\n%s\nwithout %q", text, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(out, "shouts.txt")); string(got) != "windows: 1\n" {
		t.Errorf("the format: %q, %v", got, err)
	}
	for _, name := range []string{"plots/shouts.svg", "plots/shouts.png"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

// A service is added as CONTRIBUTING.md says: its folder, a line in the table of services, its name and its variables; and it answers.
func TestAddingAService(t *testing.T) {
	g := grow(t)
	g.write("services/echo/echo.go", `// Package echo is a service that answers with what it was asked for.
package echo

import (
	"context"
	"net/http"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	p = p.WithDefaults()
	return serve.Service{Settings: s, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.URL.Path))
	})}.Run(ctx, p)
}
`)
	g.register("services/services.go", "settings.RNG:    rng.Run,\n", `"echo": echo.Run,`+"\n")
	g.replaceIn("services/services.go", `"coinbench/services/gateway"`, `"coinbench/services/echo"`+"\n"+`"coinbench/services/gateway"`)
	g.register("services/settings/settings.go", "func Services() []string { return []string{", `"echo", `)
	g.register("services/settings/table.go", "listeners := append(slices.Clone(servers), ", `"echo", `)
	g.write("services/echo_test.go", `package services

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// announced passes on what a service announces.
type announced chan string

func (a announced) Write(p []byte) (int, error) { a <- string(p); return len(p), nil }
func (a announced) Close() error                { return nil }

func TestEcho(t *testing.T) {
	said := make(announced, 1)
	stdin, end := io.Pipe()
	over := make(chan error)
	go func() {
		over <- Run(t.Context(), "echo", map[string]string{"COIN_LISTEN": "127.0.0.1:0", "COIN_ADMIN_LISTEN": "127.0.0.1:0", "COIN_SUPERVISED": "true"},
			IO{Host: "h", Log: io.Discard, Stop: make(chan os.Signal, 1), Stdin: stdin, Announce: func() (io.WriteCloser, error) { return said, nil }})
	}()
	_, rest, _ := strings.Cut(<-said, "\"listen\":\"")
	address, _, _ := strings.Cut(rest, "\"")
	answer, err := http.Get("http://" + address + "/hello")
	for begun := time.Now(); errors.Is(err, syscall.ECONNREFUSED) && time.Since(begun) < 10*time.Second; { // its port is known before it listens
		time.Sleep(time.Millisecond)
		answer, err = http.Get("http://" + address + "/hello")
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if string(body) != "/hello" {
		t.Errorf("%q, %v", body, err)
	}
	end.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}
`)
	if out := g.run("test", "-vet=off", "-v", "-run", "TestEcho", "./services"); !strings.Contains(out, "--- PASS: TestEcho") {
		t.Errorf("the service's own test did not run:\n%s", out)
	}
}

// replaceIn changes a file that was added to already.
func (g *grown) replaceIn(name, from, to string) {
	g.t.Helper()
	file := filepath.Join(g.dir, strings.ReplaceAll(name, "/", "_"))
	source, err := os.ReadFile(file)
	if err != nil || strings.Count(string(source), from) != 1 {
		g.t.Fatalf("%s has not one %q (%v)", name, from, err)
	}
	g.write(name, strings.Replace(string(source), from, to, 1))
}
