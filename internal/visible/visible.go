// Package visible makes text of others harmless: a replica's name, an answer's first bytes and a file's line may hold characters that
// command a terminal, and bytes that are no text at all.
package visible

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Keep says which control characters may stay.
type Keep int

// What may stay.
const (
	Nothing Keep = iota
	Lines        // line ends and tabs
	Colored      // and colours
)

var colour = regexp.MustCompile(`^\x1b\[[0-9;]*m`)

// Text returns s with every other control character, and every byte that is no UTF-8, written as Go writes it in a string: \x1b.
func Text(s string, keep Keep) string {
	var b *strings.Builder // nil as long as nothing was changed
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		out := s[i : i+n]
		switch {
		case r == utf8.RuneError && n == 1:
			out = `\x` + hex(s[i])
		case (r == '\n' || r == '\t') && keep >= Lines:
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			if m := colour.FindString(s[i:]); m != "" && keep == Colored {
				out, n = m, len(m)
				break
			}
			out = strings.Trim(strconv.QuoteToASCII(string(r)), `"`)
		}
		if b == nil && out != s[i:i+n] {
			b = &strings.Builder{}
			b.WriteString(s[:i])
		}
		if b != nil {
			b.WriteString(out)
		}
		i += n
	}
	if b == nil {
		return s
	}
	return b.String()
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}
