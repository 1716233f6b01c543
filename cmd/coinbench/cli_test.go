package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"coinbench/scenarios"
)

// patience is how long a test waits for what should take a moment: generous, for the machine may be busy.
const patience = 4 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(withLab{m}, map[string]func(){"coinbench": main})
}

// TestScripts plays the command line as a user does; the scripts are in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "measured": measured, "reported": reported, "expand": expandFile,
		},
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { takeDown(env) })
			return loadServer(env)
		},
	})
}

// exits CODE COMMAND ARG...: the command ends with exactly this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// takeDown ends the app that a script has left up because it failed.
func takeDown(env *testscript.Env) {
	if sockets, _ := filepath.Glob(filepath.Join(env.Getenv("TMPDIR"), "coinbench-*", "app.sock")); len(sockets) > 0 {
		down := exec.Command("coinbench", "down", "--cluster", "local")
		down.Env = env.Vars
		_ = down.Run()
	}
}

// reported COMMAND ARG...: the command ends with the code of a verdict, which on a busy machine can be any, having written its report.
func reported(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: reported COMMAND ARG...")
	}
	err := ts.Exec(args[0], args[1:]...)
	if err != nil && err.Error() != "exit status 1" && err.Error() != "exit status 3" || !strings.Contains(ts.ReadFile("stdout"),
		"Written to ") {
		ts.Fatalf("%v", err)
	}
}

// Every command says what it does, and shows how it is used.
func TestEveryCommandHasAnExample(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if c.Short == "" || !strings.Contains(c.Example, "coinbench") {
			t.Errorf("%s: short help %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(process{env: os.LookupEnv}))
}

// Every help fits every terminal, but for single words that do not, such as paths.
func TestEveryHelpFitsTheTerminal(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, width := range []int{60, 80, 100} {
			for line := range strings.Lines(helpText(c, width)) {
				if line = strings.TrimRight(line, "\n"); len([]rune(line)) > width && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s: %d columns of %d: %q", c.CommandPath(), len([]rune(line)), width, line)
				}
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(process{env: os.LookupEnv}))
}

// What tasks print is masked line by line, wherever it is cut on its way.
func TestLogsAreMasked(t *testing.T) {
	secrets := new(secrets)
	secrets.keep("", "", map[string]string{"API_TOKEN": "t0psecret"})
	const printed = "rng.1#1 | the token is t0psecret\nrng.1#1 | and t0psecret again"
	for cut := range len(printed) {
		var b strings.Builder
		m := &maskedLines{w: &b, secrets: secrets}
		_, _ = m.Write([]byte(printed[:cut]))
		_, _ = m.Write([]byte(printed[cut:]))
		if err := m.flush(); err != nil || b.String() != strings.ReplaceAll(printed, "t0psecret", "xxxxx") {
			t.Fatalf("cut at %d: %q, %v", cut, b.String(), err)
		}
	}
}

// A registry of ours has every image that a shipped scenario names.
func TestShippedScenariosNameImagesThatARegistryHas(t *testing.T) {
	tag := regexp.MustCompile(`coinbench/[^ ":]+:([\w.]+)`)
	found := 0
	for _, s := range scenarios.Shipped() {
		for _, m := range tag.FindAllSubmatch(s.Source, -1) {
			found++
			if !slices.Contains(shippedTags(), string(m[1])) {
				t.Errorf("%s names %s", s.Name, m[0])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d images were found", found)
	}
}

// Examples can be pasted: what the lines of one say together is the command, and comments have lines of their own.
func TestExamplesCanBePasted(t *testing.T) {
	const text = "  coinbench gate setting --base v0.1 --head v0.2   # two tags\n  coinbench accept x --why \"one two three four five six\""
	const want = `  # two tags
  coinbench gate setting \
    --base v0.1 --head v0.2
  coinbench accept x --why \
    "one two three four five six"`
	if got := examples(text, 28); got != want {
		t.Errorf("%s", got)
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, width := range []int{60, 80, 100} {
			var commands []string
			for line := range strings.Lines(strings.ReplaceAll(examples(c.Example, width), " \\\n   ", "")) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "# ") {
					commands = append(commands, line)
				}
			}
			i := 0
			for line := range strings.Lines(c.Example) {
				command, _, _ := strings.Cut(line, " # ")
				if command = strings.Join(strings.Fields(command), " "); commands[i] != command {
					t.Errorf("%s at %d columns: %q; want %q", c.CommandPath(), width, commands[i], command)
				}
				i++
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(process{env: os.LookupEnv}))
}

// What is wrong with a command's arguments is refused before anything begins, with what is accepted.
func TestWrongArguments(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"run", "0 arguments; accepted: coinbench run NAME|FILE\nsee 'coinbench run --help'"},
		{"run smoke extra", "2 arguments; accepted: coinbench run NAME|FILE\nsee 'coinbench run --help'"},
		{"nope", "unknown command \"nope\" for \"coinbench\"\nsee 'coinbench --help'"},
		{"run smoke --cluster sim --publish webui=99999", "--publish webui=99999: accepted: SERVICE=PORT"},
		{"run smoke --redis localhost:99999", "redis \"localhost:99999\": port \"99999\"; accepted: host:port"},
		{"prove --settings 0 --cluster sim", "--settings 0: accepted: at least 1"},
		{"attack http://127.0.0.1:1/ --rate 1/s --duration 1s --proxy nope",
			"proxy: \"nope\" is not the URL of an HTTP or SOCKS5 proxy: write it like http://127.0.0.1:3128"},
		{"run smoke --cluster sim --publish nope=1", "nope"},
		{"bench 127.0.0.1:8001", "\"127.0.0.1:8001\" is not an http or https URL: write it like http://127.0.0.1:8001/32"},
	} {
		t.Chdir(t.TempDir())
		code, text := command(t, "", strings.Fields(row.args)...)
		if left, err := os.ReadDir("."); code != exitUsage || !strings.Contains(text, row.want) || err != nil || len(left) > 0 {
			t.Errorf("%s: exit code %d, %d files: %s\nwant %q", row.args, code, len(left), text, row.want)
		}
	}
}
