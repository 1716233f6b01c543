package visible

import (
	"math"
	"testing"
	"testing/quick"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	const evil = "a\x1b[31mb\x1b]0;title\x07\r\n\tü\x9b31m\xff\u009b\x7f"
	for keep, want := range map[Keep]string{
		Nothing: `a\x1b[31mb\x1b]0;title\a\r\n\tü\x9b31m\xff\u009b\x7f`,
		Lines:   "a\\x1b[31mb\\x1b]0;title\\a\\r\n\tü\\x9b31m\\xff\\u009b\\x7f",
		Colored: "a\x1b[31mb\\x1b]0;title\\a\\r\n\tü\\x9b31m\\xff\\u009b\\x7f",
	} {
		if got := Text(evil, keep); got != want {
			t.Errorf("%d: %q, want %q", keep, got, want)
		}
	}
}

// Nothing that comes out can command a terminal, and what is harmless comes out as it is.
func TestTextOfAnyBytes(t *testing.T) {
	check := func(bytes []byte) bool {
		s := string(bytes)
		out := Text(s, Nothing)
		harmless := utf8.ValidString(s)
		for _, r := range s {
			harmless = harmless && !control(r)
		}
		if harmless && out != s {
			t.Errorf("%q was changed to %q", s, out)
		}
		for _, r := range out {
			if control(r) {
				t.Errorf("%q became %q", s, out)
			}
		}
		if !utf8.ValidString(out) || Text(out, Nothing) != out {
			t.Errorf("%q became %q", s, out)
		}
		return !t.Failed()
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func control(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

func TestNumbersHaveNoExponent(t *testing.T) {
	for _, test := range []struct {
		v    float64
		n    int
		want string
	}{
		{1000, 3, "1000"}, {12346, 4, "12350"}, {2e6, 3, "2000000"}, {0.00012345, 3, "0.000123"}, {5, 3, "5"}, {0, 3, "0"},
		{-99.96, 3, "-100"}, {math.NaN(), 3, "–"}, {math.Inf(1), 3, "–"},
	} {
		if got := Significant(test.v, test.n); got != test.want {
			t.Errorf("%g with %d digits: %s; %s expected", test.v, test.n, got, test.want)
		}
	}
}
