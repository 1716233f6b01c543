// Package reports renders an analysis: a terminal table, JSON, Markdown, JUnit, one self-contained HTML file, and
// plots as SVG and PNG.
//
// A capacity.Analysis enters; bytes leave. The same analysis gives the same bytes. Every output says the verdict and one
// sentence why first, then whether the measurement is valid, then what the bottleneck is. The package measures nothing,
// judges nothing and reads no clock; only Write touches files.
package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"coinbench/capacity"
)

// Output is one file that a run's report consists of.
type Output struct {
	Name  string // path below the run's folder, with slashes
	Doc   string
	Write func(io.Writer, *capacity.Analysis) error
	// Wanted says whether the analysis holds what the output shows; nil: always.
	Wanted func(*capacity.Analysis) bool
}

// Outputs lists every output, in the order in which they are written. A new one is one line here.
func Outputs() []Output {
	return append([]Output{
		{Name: "report.html", Doc: "the report as one page that needs nothing else", Write: HTML},
		{Name: "report.md", Doc: "for a pull request or a CI job's summary", Write: Markdown},
		{Name: "report.txt", Doc: "the terminal's report", Write: func(w io.Writer, a *capacity.Analysis) error {
			return Text(w, a,
				TextOptions{Width: fileWidth})
		}},
		{Name: "result.json", Doc: "everything, for programs", Write: JSON},
		{Name: "junit.xml", Doc: "the objectives as test cases", Write: JUnit},
	}, plotOutputs()...)
}

// Write writes every output below dir and returns the paths that it wrote, in order. An output that fails does not keep the others from
// being written; the error is the first one's.
func Write(dir string, a *capacity.Analysis) (paths []string, err error) {
	for _, o := range Outputs() {
		path := filepath.Join(dir, filepath.FromSlash(o.Name))
		if o.Wanted != nil && !o.Wanted(a) {
			continue
		}
		if e := writeFile(path, o, a); e != nil {
			if err == nil {
				err = fmt.Errorf("write report %s: %w", o.Name, e)
			}
			continue
		}
		paths = append(paths, path)
	}
	return paths, err
}

// writeFile replaces path in one step, so that a reader never sees half a report.
func writeFile(path string, o Output, a *capacity.Analysis) error {
	var b bytes.Buffer
	if err := o.Write(&b, a); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // a name of its own, for two that report the same run
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
