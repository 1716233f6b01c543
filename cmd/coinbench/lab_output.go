package main

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"coinbench/capacity"
	"coinbench/labs"
	"coinbench/reports"
)

// labOutput is where a lab is told.
type labOutput interface {
	markdown(text string) error
	table(rows reports.Table) error
	say(format string, args ...any)
	report(a *capacity.Analysis) error
	next(v *visit) error // how the learner takes the next step
}

// labTerminal tells a lab in lines.
type labTerminal struct {
	p       process
	columns int
}

func (t labTerminal) markdown(text string) error {
	_, err := io.WriteString(t.p.stdout, plainMarkdown(text, t.columns)+"\n\n")
	return err
}

func (t labTerminal) table(rows reports.Table) error { return table(t.p.stdout, rows) }
func (t labTerminal) say(format string, args ...any) { say(t.p.stdout, format, args...) }
func (t labTerminal) report(a *capacity.Analysis) error {
	return reports.Text(t.p.stdout, a, textOptions(t.p))
}

// next says which command comes next.
func (t labTerminal) next(v *visit) error {
	name, r := v.lab.Name, v.lab.Round(v.state.Round)
	switch v.state.Phase {
	case labs.ToPredict:
		t.say("Your prediction, in %s, and how sure you are of it (50, 75 or 95 %%):\n  coinbench lab predict %s NUMBER --confidence 75", r.Unit,
			name)
		t.say("No idea? coinbench lab hint %s", name)
	case labs.ToRun:
		t.say("Your prediction: %s. Now measure it, and from then on it is sealed:\n  coinbench lab run %s",
			predicted(v.state.Prediction, r.Unit), name)
	case labs.ToCheck:
		more := ""
		if r.Evidence != nil {
			more = " EVIDENCE"
			t.say("%s One of: %s", r.Evidence.Ask, strings.Join(r.Evidence.Choices, ", "))
		}
		t.say("What did you read, in %s?\n  coinbench lab check %s NUMBER%s", r.Unit, name, more)
		t.say("The report again:")
		fmt.Fprintf(t.p.stdout, "  coinbench report %s\n", filepath.Join(v.attempt.Dir, v.state.Run.Run)) // in one line, to be copied
	case labs.Done:
		t.say("This lab is done. Again, with other numbers: coinbench lab reset %s", name)
		next, err := labAfter(name)
		if err != nil {
			return err
		}
		if next != nil {
			t.say("Next: coinbench lab %s (%s)", next.Name, next.Title)
		}
		t.say("How you are doing: coinbench lab")
	}
	return nil
}

// labAfter is the lab that follows one; nil: none does.
func labAfter(name string) (*labs.Lab, error) {
	all, err := labs.All()
	if err != nil {
		return nil, unmeasured(err)
	}
	if i := slices.IndexFunc(all, func(l labs.Lab) bool { return l.Name == name }); i >= 0 && i+1 < len(all) {
		return &all[i+1], nil
	}
	return nil, nil
}

// emphasis is what Markdown sets in italics or bold.
var emphasis = regexp.MustCompile(`(\*\*?)(\b[^*]+)(\*\*?)`)

// plainMarkdown is Markdown as lines of a terminal: headings and emphasis lose their marks, paragraphs and items are filled anew.
func plainMarkdown(text string, width int) string {
	var out, block []string
	flush := func() {
		filled := strings.Join(block, " ")
		switch {
		case len(block) == 0:
		case strings.HasPrefix(filled, "* "):
			out = append(out, reports.Fold(filled, width)) // with a hanging indent
		default:
			out = append(out, reports.FoldWords(strings.TrimPrefix(filled, "### "), width)...)
		}
		block = nil
	}
	drawing := false
	for line := range strings.SplitSeq(text, "\n") {
		switch fence := strings.HasPrefix(line, "```"); {
		case fence:
			drawing = !drawing
		case drawing:
			out = append(out, "    "+line)
		case line == "":
			flush()
			out = append(out, "")
		default:
			if strings.HasPrefix(line, "* ") {
				flush()
			}
			block = append(block, strings.TrimSpace(line))
		}
	}
	flush()
	return emphasis.ReplaceAllString(strings.TrimRight(strings.Join(out, "\n"), "\n"), "$2")
}
