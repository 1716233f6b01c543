package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity/gate"
	"coinbench/reports"
)

const defaultStore = "coinbench-data"

func storeFlag(c *cobra.Command, store *string) {
	c.Flags().StringVar(store, "store", defaultStore, "`folder` in which every block is kept")
}

// seriesIn are the names of a store's series.
func seriesIn(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("--store %s: there is no series; accepted: a folder that coinbench gate has written to", dir)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".jsonl"))
	}
	return names, err
}

// readSeries reads the series of a name, or of the beginning of one; "" is the only one that there is.
func readSeries(dir, name string) (*gateStore, gate.Series, error) {
	names, err := seriesIn(dir)
	if err != nil {
		return nil, gate.Series{}, usage(err)
	}
	matching := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, name) })
	if slices.Contains(matching, name) {
		matching = []string{name}
	}
	if len(matching) != 1 {
		return nil, gate.Series{}, usage(fmt.Errorf("series %q: %d of the store begin so; accepted: one of %s", name, len(matching),
			strings.Join(names, ", ")))
	}
	store, err := openStore(dir, matching[0])
	if err != nil {
		return nil, gate.Series{}, usage(err)
	}
	s, err := store.read()
	return store, s, err
}

func historyCommand(p process) *cobra.Command {
	store, explained := "", false
	c := &cobra.Command{
		Use:   "history [SERIES]",
		Short: "Show the gates of a series, and where its level may have changed",
		Long: `history lists the gates of a series in the order of time and looks for changes of the level that no single gate shows. Two
detectors of
different families must agree; what they find is possible, and a gate of what came before against what came after is what shows it.
--explain plays it, for gates of revisions, and finds the commit by halves.

Exit codes: 0; with --explain 0 the gates confirm each change, 3 they do not; 2 bad input.`,
		Example: `  coinbench history setting-steady
  coinbench history setting-steady --explain`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, s, err := readSeries(store, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if err := reports.GateHistoryText(p.stdout, s.History(), textOptions(p)); err != nil || !explained {
				return err
			}
			return explain(p, s, store)
		},
	}
	c.Flags().BoolVar(&explained, "explain", false, "gate what came before each possible change against what came after, and find the commit "+
		"by halves")
	storeFlag(c, &store)
	return c
}

func acceptCommand(p process) *cobra.Command {
	store, why := "", ""
	c := &cobra.Command{
		Use:   "accept SERIES",
		Short: "Accept the loss that the latest gate of a series has shown",
		Long: `accept adds a line to the store: the loss of the latest gate is meant, and why. The same gate then ends with exit code 0, and
says so. The line
is part of the change that is reviewed.`,
		Example: `  coinbench accept setting-steady --why "hashes are checked twice since #12"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usage(errors.New("--why is missing; accepted: the reason, for those who read the history"))
			}
			file, s, err := readSeries(store, args[0])
			if err != nil {
				return err
			}
			a, ok := s.Accept(p.secrets.Mask(why), time.Now().UTC().Truncate(time.Second))
			if !ok {
				return usage(fmt.Errorf("%s has no gate whose loss could be accepted", file.path))
			}
			return file.append(gate.Line{Accepted: &a})
		},
	}
	storeFlag(c, &store)
	c.Flags().StringVar(&why, "why", "", "the `reason`")
	return c
}

func storeCommand(p process) *cobra.Command {
	store := ""
	c := &cobra.Command{
		Use:     "store",
		Short:   "Check, export and share what gates have stored",
		Example: "  coinbench store check",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	check := &cobra.Command{
		Use:     "check",
		Short:   "Read every line of the store",
		Long:    "check reads every line. Exit codes: 0 all can be read; 3 some cannot.",
		Example: "  coinbench store check",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := seriesIn(store)
			if err != nil {
				return usage(err)
			}
			broken := 0
			for _, name := range names {
				_, s, err := readSeries(store, name)
				if err != nil {
					return err
				}
				broken += s.Broken
				fmt.Fprintf(p.stdout, "%s: %d sessions, %d blocks, %d lines that cannot be read\n", name, len(s.Sessions), len(s.Blocks), s.Broken)
			}
			if broken > 0 {
				return exit(exitUnmeasured)
			}
			return nil
		},
	}
	export := &cobra.Command{
		Use:     "export SERIES",
		Short:   "Print a series as CSV, one line a gate, as Apache Otava reads it",
		Example: "  coinbench store export setting-steady > gates.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, s, err := readSeries(store, args[0])
			if err != nil {
				return err
			}
			return reports.GateHistoryCSV(p.stdout, s.History())
		},
	}
	remote := "origin"
	sync := &cobra.Command{
		Use:   "sync",
		Short: "Share the store by a branch of its own, with git",
		Long: `sync fetches the branch ` + storeBranch + ` of a git remote, which has nothing in common with the others, puts the lines of both
together, pushes
them, and tries again where another was quicker. It needs git, and touches neither the working tree nor its index.`,
		Example: "  coinbench store sync",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return syncStore(store, remote)
		},
	}
	sync.Flags().StringVar(&remote, "remote", remote, "the `remote`, or its URL")
	for _, sub := range []*cobra.Command{check, export, sync} {
		storeFlag(sub, &store)
		c.AddCommand(sub)
	}
	return c
}

// storeBranch is the orphan branch that clones share a store by.
const storeBranch = "coinbench-data"

// syncStore shares a store's lines with a remote. git does it in a repository of its own, so that no other branch or file is touched.
func syncStore(dir, remote string) error {
	url := remote
	if out, err := git(".", "remote", "get-url", remote); err == nil {
		url = strings.TrimSpace(out)
	}
	if _, err := os.Stat(url); err == nil { // a folder: git works elsewhere
		if url, err = filepath.Abs(url); err != nil {
			return unmeasured(err)
		}
	}
	work, err := os.MkdirTemp("", "coinbench-store-*")
	if err != nil {
		return unmeasured(fmt.Errorf("make a folder for the store: %w", err))
	}
	defer os.RemoveAll(work)
	if _, err := git(".", "init", "-q", work); err != nil {
		return unmeasured(err)
	}
	const tries = 5
	for try := 1; ; try++ {
		start := []string{"checkout", "-q", "--orphan", storeBranch}
		heads, err := git(work, "ls-remote", "--heads", url, storeBranch)
		if err != nil {
			return unmeasured(err)
		}
		if strings.TrimSpace(heads) != "" {
			if _, err := git(work, "fetch", "-q", url, storeBranch); err != nil {
				return unmeasured(err)
			}
			start = []string{"checkout", "-q", "-f", "-B", storeBranch, "FETCH_HEAD"}
		} else if try > 1 {
			start = []string{"status", "--porcelain"}
		}
		if _, err := git(work, start...); err != nil {
			return unmeasured(err)
		}
		if err := union(dir, work); err != nil {
			return unmeasured(err)
		}
		if _, err := git(work, "add", "-A"); err != nil {
			return unmeasured(err)
		}
		if changed, err := git(work, "status", "--porcelain"); err == nil && strings.TrimSpace(changed) == "" {
			return nil
		}
		if _, err := git(work, "-c", "user.name=coinbench", "-c", "user.email=coinbench@localhost", "commit", "-q", "-m",
			"Add blocks"); err != nil {
			return unmeasured(err)
		}
		_, err = git(work, "push", "-q", url, "HEAD:refs/heads/"+storeBranch)
		if err == nil || try == tries {
			return unmeasured(err)
		}
	}
}

// union puts the lines of two folders' series together, in both.
func union(a, b string) error {
	names := map[string]bool{}
	for _, dir := range []string{a, b} {
		files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		if err != nil {
			return err
		}
		for _, f := range files {
			names[filepath.Base(f)] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, dir := range []string{a, b} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the store: %w", err)
		}
		if err := (&gateStore{filepath.Join(dir, "x")}).attribute(); err != nil {
			return err
		}
	}
	for name := range names {
		mine, err := linesOf(filepath.Join(a, name))
		if err != nil {
			return err
		}
		theirs, err := linesOf(filepath.Join(b, name))
		if err != nil {
			return err
		}
		for _, to := range []struct {
			dir         string
			have, other [][]byte
		}{{a, mine, theirs}, {b, theirs, mine}} {
			if err := addLines(filepath.Join(to.dir, name), to.have, to.other); err != nil {
				return err
			}
		}
	}
	return nil
}

func linesOf(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	return slices.DeleteFunc(bytes.Split(data, []byte("\n")), func(l []byte) bool { return len(l) == 0 }), nil
}

// addLines appends the lines that a file does not have; what it has stays as it is.
func addLines(path string, have, other [][]byte) error {
	known := map[string]bool{}
	for _, l := range have {
		known[string(l)] = true
	}
	var missing []byte
	for _, l := range other {
		if !known[string(l)] {
			missing = append(append(missing, l...), '\n')
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return appendWhole(path, missing)
}

// credentials are those of a URL, which git repeats in its messages.
var credentials = regexp.MustCompile(`://[^/@\s]*@`)

// git runs git and returns what it prints.
func git(dir string, args ...string) (string, error) {
	c := exec.Command("git", args...)
	c.Dir = dir
	var out, failed bytes.Buffer
	c.Stdout, c.Stderr = &out, &failed
	if err := c.Run(); err != nil {
		text := fmt.Sprintf("git %s: %v: %s", strings.Join(args, " "), err, strings.TrimSpace(failed.String()))
		return "", errors.New(credentials.ReplaceAllString(text, "://***@"))
	}
	return out.String(), nil
}
