package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/live"
	"coinbench/scenarios"
)

// virtualTerminal is what a terminal shows of what is written to it. It understands as much as we write, and fails the test on more.
type virtualTerminal struct {
	columns, rows int
	cells         [][]rune // of all lines that were ever there
	x, y          int      // the cursor
	wraps         bool
	after         func() // called after each write
	unknown       []string
}

func newTerminal(columns, rows int) *virtualTerminal {
	return &virtualTerminal{columns: columns, rows: rows, wraps: true, after: func() {}}
}

func (v *virtualTerminal) screen() *screen {
	return &screen{Writer: v, foreground: func() bool { return true }, size: func() (int, int) { return v.columns, v.rows }}
}

func (v *virtualTerminal) line() *[]rune {
	for len(v.cells) <= v.y {
		v.cells = append(v.cells, nil)
	}
	return &v.cells[v.y]
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)(\d*)([A-Za-z])`)

func (v *virtualTerminal) Write(p []byte) (int, error) {
	for text := string(p); text != ""; {
		if m := sequence.FindStringSubmatch(text); m != nil {
			v.command(m)
			text = text[len(m[0]):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			v.x = 0
		case '\n':
			v.x, v.y = 0, v.y+1 // the kernel makes CR LF of it
			v.line()
		default:
			v.put(r)
		}
	}
	v.after()
	return len(p), nil
}

func (v *virtualTerminal) command(m []string) {
	switch m[1] + m[3] {
	case "A": // never beyond the screen's top
		n, _ := strconv.Atoi(m[2])
		v.y = max(v.y-n, len(v.cells)-v.rows, 0)
	case "K":
		l := v.line()
		*l = (*l)[:min(len(*l), v.x)]
	case "J":
		l := v.line()
		*l = (*l)[:min(len(*l), v.x)]
		v.cells = v.cells[:v.y+1]
	case "?h", "?l":
		v.wraps = m[3] == "h"
	default:
		v.unknown = append(v.unknown, m[0])
	}
}

// put writes a character where the cursor is. Those of East Asia have two cells.
func (v *virtualTerminal) put(r rune) {
	cells := 1
	if r >= 0x2e80 && r <= 0x9fff {
		cells = 2
	}
	if v.x+cells > v.columns {
		if v.wraps {
			v.x, v.y = 0, v.y+1
		} else {
			v.x = v.columns - cells
		}
	}
	l := v.line()
	for len(*l) < v.x {
		*l = append(*l, ' ')
	}
	*l = slices.Insert(append([]rune(nil), (*l)[:v.x]...), v.x, append([]rune{r}, (*l)[min(len(*l), v.x+1):]...)...)
	v.x += cells
}

// text is all that it shows, with what has scrolled away.
func (v *virtualTerminal) text() string {
	var lines []string
	for _, l := range v.cells {
		lines = append(lines, strings.TrimRight(string(l), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// After every single write there are the messages, whole and in order, and below them the latest lines, on a screen of any size; in the
// end the messages alone, and a cursor below them.
func TestTheLinesStayInPlace(t *testing.T) {
	for _, size := range [][2]int{{100, 24}, {80, 10}, {40, 6}, {20, 2}} {
		v := newTerminal(size[0], size[1])
		s := v.screen()
		out := messages{s, new(secrets)}
		said, want := []string{"begun"}, []string(nil)
		writes := 0
		v.after = func() {
			writes++
			if got, all := v.text(), strings.Join(append(slices.Clone(said), want...), "\n"); got != all {
				t.Fatalf("%v, write %d:\n%s\nwant\n%s", size, writes, got, all)
			}
			if len(want) > 0 && (v.y != len(v.cells)-len(want) || v.x != 0) {
				t.Fatalf("%v, write %d: the cursor is at %d, %d", size, writes, v.x, v.y)
			}
		}
		fmt.Fprintln(out, "begun")
		for n := range 60 {
			lines := make([]string, 1+n%7)
			for i := range lines {
				lines[i] = strings.Repeat(fmt.Sprintf("%d.%d ", n, i), 1+(n*i)%30)
			}
			want = nil
			for _, l := range lines[:min(len(lines), size[1]-1)] {
				if r := []rune(l); len(r) > size[0]-1 {
					l = string(r[:size[0]-2]) + "…"
				}
				want = append(want, strings.TrimRight(l, " "))
			}
			s.show(lines)
			if n%5 == 0 {
				said = append(said, fmt.Sprintf("message %d", n))
				fmt.Fprintf(out, "message %d\n", n)
			}
		}
		want = nil
		s.clear()
		if writes != 74 || !v.wraps || len(v.unknown) > 0 || v.y != len(said) || v.x != 0 {
			t.Errorf("%v: %d writes, wraps %v, the cursor at %d, %d; unknown: %q", size, writes, v.wraps, v.x, v.y, v.unknown)
		}
	}
}

// Characters that are wider than one cell, and those that command a terminal, leave the lines in place.
func TestOddCharactersStayInPlace(t *testing.T) {
	v := newTerminal(20, 10)
	s := v.screen()
	for range 3 {
		s.show([]string{strings.Repeat("測", 30), "a\x1b[2Jb\nc\td", "end"})
	}
	lines := strings.Split(v.text(), "\n")
	if len(lines) != 3 || lines[1] != `a\x1b[2Jb\nc\td` || lines[2] != "end" {
		t.Errorf("%q", lines)
	}
}

// What ends without a line's end does not get lines behind it; a job in the background draws nothing.
func TestScreenOfOthers(t *testing.T) {
	v := newTerminal(40, 10)
	s := v.screen()
	s.show([]string{"one", "two"})
	fmt.Fprint(s, "asked: ")
	if v.text() != "asked:" {
		t.Errorf("%q", v.text())
	}
	fmt.Fprintln(s, "y")
	s.show([]string{"three"})
	s.foreground = func() bool { return false }
	s.show([]string{"four"})
	fmt.Fprintln(s, "said")
	s.clear()
	if !strings.HasPrefix(v.text(), "asked: y\nsaid") || strings.Contains(v.text(), "four") {
		t.Errorf("%q", v.text())
	}
}

// What is no terminal, and one on which nothing can stay in place, get plain lines.
func TestNoScreen(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := screenOf(messages{newScreen(f, func(string) (string, bool) { return "", false }), nil}); s != nil {
		t.Error("a file has a screen")
	}
	var plain strings.Builder
	tell, end := showRun(process{stderr: messages{&plain, new(secrets)}, secrets: new(secrets)}, "no folder", nil)
	for s := range 30 {
		tell(scenarios.Progress{Step: 1, Steps: 2, Title: "wait", Doing: "so", Elapsed: time.Duration(s) * time.Second, Left: time.Minute,
			HashRate: 9.96, Rated: true})
	}
	end()
	const want = "  0:00  step 1/2  wait: so  ·  10.0 hashes/s  ·  1:00 left\n  0:10  step 1/2  wait: so  ·  10.0 hashes/s  ·  1:00 left\n" +
		"  0:20  step 1/2  wait: so  ·  10.0 hashes/s  ·  1:00 left\n"
	if plain.String() != want {
		t.Errorf("%q", plain.String())
	}
}

// The frame of a run that is being recorded, on terminals of three widths.
func TestTheFrameOnATerminal(t *testing.T) {
	got := map[int][]string{}
	tell := func(dir string, s scenarios.Progress) {
		if s.Elapsed < 68*time.Second || len(got) > 0 {
			return
		}
		feed, err := live.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		feed.Step()
		run, err := history.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		all, err := objectives(run)
		if err != nil {
			t.Fatal(err)
		}
		a := capacity.Measure(run, all...)
		feed.Finish(&a)
		for _, columns := range []int{100, 80, 40} {
			f, recent, _ := feed.Latest(columns)
			got[columns] = frameLines(s, f, recent, columns-1)
		}
	}
	simulateTold(t, shipped(t, "bottleneck"), sim.Costs{}, nil, tell)
	for columns, want := range map[int]string{
		100: `
██████████████████░░░░░░ 78%  0:22 left  10/12 measure scaled for 5s: measuring scaled
hashes/s   33.3  ▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▂▁▁▁▁▁▁▁▁▁▁▁▁▁▂████
requests   no load now  0 failed
replicas   worker 10  rng 5  hasher 1  redis 1  webui 1
stations   rng 70 %  hasher 15 %
limited by worker in scaled: 33.3 hashes/s
objectives 2 hold  4 not known yet
last       1:03 worker 0 → 10
`,
		80: `
██████████████░░░░░ 78%  0:22 left  10/12 measure scaled for 5s: measuring sca…
hashes/s   33.3  ▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▂▁▁▁▁▁▁▁▁▁▁▁▁▁▂████
requests   no load now  0 failed
replicas   worker 10  rng 5  hasher 1  redis 1  webui 1
stations   rng 70 %  hasher 15 %
limited by worker in scaled: 33.3 hashes/s
objectives 2 hold  4 not known yet
last       1:03 worker 0 → 10
`,
		40: `
███████░░ 78%  0:22 left  10/12 measur…
hashes/s   33.3  ▃▃▃▂▁▁▁▁▁▁▁▁▁▁▁▁▁▂████
requests   no load now  0 failed
replicas   worker 10  rng 5  hasher 1 …
stations   rng 70 %  hasher 15 %
limited by worker in scaled: 33.3 hash…
objectives 2 hold  4 not known yet
last       1:03 worker 0 → 10
`,
	} {
		if text := strings.Join(got[columns], "\n"); text != strings.TrimSpace(want) {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, text, want)
		}
		for _, line := range got[columns] {
			if len([]rune(line)) > columns-1 {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}
