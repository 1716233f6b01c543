// Command accuracy makes docs/accuracy.md: what coinbench's estimates, intervals and tests are worth, each played many times on the
// simulator and held against what is true there.
//
//	go run ./internal/accuracy                          all tables, to standard output
//	go run ./internal/accuracy -into docs/accuracy.md rate-bias rate-coverage    these alone, in the page as it is
//	go run ./internal/accuracy -into docs/gate.md gate                           those that begin with gate-, in a page of their own
//	go run ./internal/accuracy -into docs/gate.md -store DIR measured            of gates that were measured and stored there
//
// A table is a file here with one line in tables.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"coinbench/reports"
)

// table is a section of the page.
type table struct {
	name  string // on the command line and in the page's marks
	title string
	text  string // what was done and what the columns are, in Markdown
	rows  func() ([][]string, error)
}

// tables are the page's sections in their order.
func tables() []table {
	return []table{rateBias(), rateCoverage(), comparisons(), advice(), planning(), falseAlarms(), detection(), searches()}
}

const preface = `# Accuracy

What the estimates, intervals and tests of coinbench are worth: each was played many times on the simulator and held against what is
true there. Made by

    go run ./internal/accuracy > docs/accuracy.md
`

func main() {
	into := flag.String("into", "", "replace the named tables in this `page`, instead of printing")
	store := flag.String("store", "", "the `folder` of the gates of which the tables of measured gates are made")
	flag.Parse()
	if err := run(os.Stdout, *into, *store, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, into, store string, names []string) error {
	chosen, err := choose(store, names)
	if err != nil {
		return err
	}
	page := ""
	if into != "" {
		b, err := os.ReadFile(into)
		if err != nil {
			return fmt.Errorf("read the page: %w", err)
		}
		page = string(b)
		for _, t := range chosen {
			if section(page, t.name) == "" {
				return fmt.Errorf("%s has no place for the table %s: write%s%sthere", into, t.name, begin(t.name), end(t.name))
			}
		}
	}
	var sections strings.Builder
	for _, t := range chosen {
		rows, err := t.rows()
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		rows[0][0] += " " // a column of words
		made := begin(t.name) + "\n## " + t.title + "\n\n" + strings.TrimSpace(t.text) + "\n\n" + reports.Table(rows).Markdown() + end(t.name)
		sections.WriteString(made)
		page = strings.Replace(page, section(page, t.name), made, 1)
	}
	if into == "" {
		_, err := io.WriteString(w, preface+sections.String())
		return err
	}
	return os.WriteFile(into, []byte(page), 0o644)
}

// choose returns the tables of the given names, each its own or what several begin with; without names those of docs/accuracy.md.
func choose(store string, names []string) (chosen []table, err error) {
	if len(names) == 0 {
		return tables(), nil
	}
	all := slices.Concat(tables(), gateTables(), gateMeasured(store))
	var known []string
	for _, t := range all {
		known = append(known, t.name)
	}
	for _, n := range names {
		before := len(chosen)
		for _, t := range all {
			if t.name == n || strings.HasPrefix(t.name, n+"-") {
				chosen = append(chosen, t)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("unknown table %q; accepted: %s", n, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

func begin(name string) string { return "\n<!-- " + name + " -->\n" }
func end(name string) string   { return "<!-- end of " + name + " -->\n" }

// section is a table as it is in the page, with its marks; "" where it is not.
func section(page, name string) string {
	_, rest, ok := strings.Cut(page, begin(name))
	body, _, whole := strings.Cut(rest, end(name))
	if !ok || !whole {
		return ""
	}
	return begin(name) + body + end(name)
}
