package reports

import (
	"bytes"
	"strings"
	"testing"
)

// On a terminal no line is longer than the terminal is wide, whatever a report holds, and no number is lost by it.
func TestTextFitsTheTerminal(t *testing.T) {
	a := bottleneckOnce()
	var whole bytes.Buffer
	if err := Text(&whole, a, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(whole.String())
	for _, width := range []int{60, 80, 100, 132} {
		var b bytes.Buffer
		if err := Text(&b, a, TextOptions{Width: width, Color: true}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := displayed(line); n > width {
				t.Errorf("%d columns on a terminal of %d: %q", n, width, line)
			}
		}
		seen := map[string]bool{}
		for _, w := range strings.Fields(withoutColors(b.String())) {
			seen[w] = true
		}
		for _, w := range words {
			if strings.ContainsAny(w, "0123456789") && len(w) < narrowest && !seen[w] {
				t.Errorf("%q is missing on a terminal of %d", w, width)
			}
		}
	}
}

func TestColumnsFoldWordsAndSplit(t *testing.T) {
	got := Table{{"name ", "reason ", "a", "b"}, {"x", "because it was not as it should have been at all", "12345", "67890"}}.Text("  ", 44)
	if want := "  name  reason                       a      b\n"; strings.Count(got, "\n") < 3 || !strings.Contains(got, "12345  67890") {
		t.Errorf("%s, want %s and the reason in several lines", got, want)
	}
	got += Table{{"name ", "a", "b", "c"}, {"x", "1234567890", "1234567891", "1234567892"}}.Text("", 20)
	for _, w := range []string{"1234567890", "1234567891", "1234567892"} {
		if !strings.Contains(got, w) {
			t.Errorf("%s is missing in\n%s", w, got)
		}
	}
	for _, line := range strings.Split(got, "\n") {
		if runes(line) > 44 {
			t.Errorf("%q is too long", line)
		}
	}
}
