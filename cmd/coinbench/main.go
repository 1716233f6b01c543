// Command coinbench measures DockerCoins, finds its bottleneck and says what to change.
//
// The package is wiring only: flags, signals, printing and exit codes. What it wires is in the packages that it imports;
// it is the one place that touches the process: arguments, environment, standard streams, signals.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"coinbench/cmd/coinbench/early"
	"coinbench/reports"
)

// The exit codes. CI jobs branch on them, so they never change.
const (
	exitPass       = 0 // it was done, and every objective holds
	exitFail       = 1 // an objective failed
	exitUsage      = 2 // bad input
	exitUnmeasured = 3 // it could not be measured
)

// process is all of the outside world that a command may touch.
type process struct {
	args           []string
	env            func(string) (string, bool)
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupts     *interrupts // nil: nothing interrupts it
	secrets        *secrets    // which no message repeats; files that are read add theirs
}

func main() {
	keepPipes()
	i := &interrupts{}
	stderr := newScreen(os.Stderr, os.LookupEnv)
	go i.watch(early.Signals, func() {
		if s := screenOf(stderr); s != nil {
			s.abandon()
		}
		fmt.Fprintln(os.Stderr, "coinbench: interrupted")
		os.Exit(exitUnmeasured)
	})
	os.Exit(run(process{interrupts: i, args: os.Args[1:], env: os.LookupEnv, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout,
		stderr: stderr}))
}

// run is the whole program: it returns the exit code and prints nothing but to the given streams.
func run(p process) int {
	out := &output{Writer: p.stdout}
	p.secrets = secretsOf(p)
	p.stdout, p.stderr = out, messages{p.stderr, p.secrets}
	c, err := execute(p)
	if e := out.err(); e != nil {
		if errors.Is(err, e) {
			err = unmeasured(err)
		} else {
			err = errors.Join(err, unmeasured(fmt.Errorf("write to standard output: %w", e)))
		}
	}
	if unlessGone(err) == nil { // what was to be printed has no reader any more: none of this is a fault
		return exitPass
	}
	var coded *exitError
	if !errors.As(err, &coded) {
		err = misused(c, err)
		errors.As(err, &coded)
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(p.stderr, "coinbench: %s\n", text)
	}
	return coded.code
}

// secretsOf are the secrets that a command is given.
func secretsOf(p process) *secrets {
	var s secrets
	s.known.AddArgs(p.args)
	env := environment(p.environ)
	delete(env, "PWD") // a folder
	delete(env, "OLDPWD")
	s.known.AddValues(env)
	return &s
}

// execute runs the command that the arguments name.
func execute(p process) (*cobra.Command, error) {
	root := rootCommand(p)
	root.SetArgs(p.args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return root.ExecuteC()
}

// misused is an error of cobra's own, of commands and the number of their arguments, with what is accepted.
func misused(c *cobra.Command, err error) error {
	if strings.Contains(err.Error(), " arg(s)") {
		err = fmt.Errorf("%d arguments; accepted: %s", c.Flags().NArg(), strings.TrimSuffix(c.UseLine(), " [flags]"))
	}
	return usage(fmt.Errorf("%w\nsee '%s --help'", err, c.CommandPath()))
}

// exitError carries the exit code with an error; a nil err means that all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as bad input, unless it carries a code already.
func usage(err error) error { return withCode(exitUsage, err) }

// unmeasured marks an error as a failure to measure.
func unmeasured(err error) error { return withCode(exitUnmeasured, err) }

func withCode(code int, err error) error {
	var coded *exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &exitError{code, err}
}

// exit ends the command with a code; all has been said already.
func exit(code int) error {
	if code == exitPass {
		return nil
	}
	return &exitError{code: code}
}

// helpText is the help of a command in lines of at most width.
func helpText(c *cobra.Command, width int) string {
	usage := c.UsageString()
	own, inherited := c.LocalFlags(), c.InheritedFlags()
	usage = strings.Replace(usage, strings.TrimSpace(own.FlagUsages()), strings.TrimSpace(own.FlagUsagesWrapped(width)), 1)
	usage = strings.Replace(usage, strings.TrimSpace(inherited.FlagUsages()), strings.TrimSpace(inherited.FlagUsagesWrapped(width)), 1)
	usage = strings.Replace(usage, c.Example, examples(c.Example, width), 1)
	return reports.Reflow(cmp.Or(c.Long, c.Short), width) + "\n\n" + reports.Fold(usage, width)
}

// examples are commands as they are pasted into a shell: a comment has lines of its own before its command, and a command that is longer
// than width goes on after a backslash.
func examples(text string, width int) string {
	var lines []string
	for line := range strings.Lines(text) {
		command, comment, _ := strings.Cut(strings.TrimSpace(line), " # ")
		for _, s := range reports.FoldWords(strings.TrimSpace(comment), width-len("  # ")) {
			if s != "" {
				lines = append(lines, "  # "+s)
			}
		}
		at, quote := "  ", rune(0)
		words := strings.Fields(command)
		for i, word := range words {
			more := " \\"
			if i == len(words)-1 {
				more = ""
			}
			switch {
			case i == 0:
				at += word
			case quote == 0 && len([]rune(at+" "+word+more)) > width:
				lines, at = append(lines, at+" \\"), "    "+word
			default:
				at += " " + word
			}
			for _, r := range word {
				switch {
				case quote == 0 && (r == '\'' || r == '"'):
					quote = r
				case r == quote:
					quote = 0
				}
			}
		}
		lines = append(lines, at)
	}
	return strings.Join(lines, "\n")
}

func rootCommand(p process) *cobra.Command {
	root := &cobra.Command{
		Use:   "coinbench",
		Short: "Measure DockerCoins, find its bottleneck, say what to change",
		Long: `coinbench deploys DockerCoins (the demo app of the Docker orchestration workshops), plays a scenario on it,
and reports where the bottleneck is, what proves it, and what to change.

    coinbench run bottleneck     find the bottleneck, in 90 seconds
    coinbench lab                learn by predicting what your own run measures
    coinbench gate --help        is the change slower? base against head, for CI

Exit codes: 0 every objective holds; 1 an objective failed; 2 bad input; 3 it could not be measured.`,
		Example: `  coinbench run bottleneck          # the workshop's bottleneck, from deployment to report, in 90 seconds
  coinbench lab                     # learn by predicting what your own run will measure
  coinbench gate setting --base-set think=100ms --head-set think=110ms   # is the change slower? for CI
  coinbench scenarios               # what is shipped`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		Version:       version(),
	}
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { fmt.Fprint(p.stdout, helpText(c, width(p.stdout))) })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w\nsee '%s --help'", err, c.CommandPath()))
	})
	root.AddCommand(
		runCommand(p), playCommand(p), watchCommand(p), learnCommand(p), reportCommand(p), exportCommand(p), compareCommand(p), gateCommand(p),
		historyCommand(p), acceptCommand(p), storeCommand(p),
		tournamentCommand(p),
		benchCommand(p), attackCommand(p), searchCommand(p),
		explainCommand(p), calibrateCommand(p), predictCommand(p), proveCommand(p), planCommand(p),
		scenariosCommand(p), validateCommand(p), schemaCommand(p),
		serviceCommand(p), healthcheckCommand(p), versionCommand(p),
		upCommand(p), psCommand(p), topCommand(p), scaleCommand(p), updateCommand(p), rollbackCommand(p), restartCommand(p), logsCommand(p),
		downCommand(p), superviseCommand(p), pageCommand(p),
		swarmCommand(p), imagesCommand(p), doctorCommand(p),
		relayCommand(p), loadCommand(p), vitalsCommand(p), killContainerCommand(), pauseContainerCommand(p), registryCommand(), redisCommand(),
	)
	return root
}
