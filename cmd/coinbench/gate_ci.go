package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/gate"
	"coinbench/reports"
)

// tellCI tells the CI system that runs the command, where it has said how: the job's summary and outputs of GitHub Actions, and one
// annotation.
func tellCI(p process, dir string, r gate.Report) error {
	var failed error
	add := func(variable string, text []byte) {
		path, ok := p.env(variable)
		if !ok || path == "" {
			return
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("write to $%s: %w", variable, err))
		}
	}
	var summary bytes.Buffer
	if err := reports.GateMarkdown(&summary, r); err != nil {
		return err
	}
	add("GITHUB_STEP_SUMMARY", append(summary.Bytes(), '\n'))
	m := r.Verdict.Metrics[0]
	outputs := fmt.Sprintf("verdict=%s\npairs=%d\nreport=%s\n", strings.ToLower(string(r.Verdict.Outcome)), r.Verdict.Pairs, dir)
	if m.Change != nil {
		outputs += fmt.Sprintf("change=%.5f\n", *m.Change)
	}
	add("GITHUB_OUTPUT", []byte(outputs))
	if value, _ := p.env("GITHUB_ACTIONS"); value == "true" {
		kind := map[capacity.Outcome]string{capacity.OutcomePass: "notice", capacity.OutcomeFail: "error"}[r.Verdict.Outcome]
		if kind == "" {
			kind = "warning"
		}
		fmt.Fprintf(p.stdout, "::%s title=%s::%s\n", kind, escaped(string(r.Verdict.Outcome)+" "+m.Name+" "+m.Text(), true),
			escaped(r.Verdict.Why, false))
	}
	return unmeasured(failed)
}

// escaped is text in a workflow command of GitHub Actions; a property's has more that means something.
func escaped(text string, property bool) string {
	pairs := []string{"%", "%25", "\r", "%0D", "\n", "%0A"}
	if property {
		pairs = append(pairs, ":", "%3A", ",", "%2C")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
