package reports

import (
	"strings"
	"unicode/utf8"
)

// fileWidth is how wide the lines of report.txt are at most.
const fileWidth = 100

// runes is how many columns of a terminal a text takes.
func runes(s string) int { return utf8.RuneCountInString(s) }

// FoldWords breaks a text into lines of at most width, between words where it can.
func FoldWords(s string, width int) (lines []string) {
	for s = tie(strings.TrimRight(s, " ")); runes(s) > width && width > 0; {
		r := []rune(s)
		cut := width
		for i := width; i > width/3; i-- {
			if r[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, untie(strings.TrimRight(string(r[:cut]), " ")))
		s = strings.TrimLeft(string(r[cut:]), " ")
	}
	return append(lines, untie(s))
}

// tie has no line broken between a number and its percent sign, until untie.
func tie(s string) string { return strings.ReplaceAll(s, " %", "\u00a0%") }

func untie(s string) string { return strings.ReplaceAll(s, "\u00a0%", " %") }

// Fold breaks a line that is longer than width, with its own indent and two blanks more before what follows. 0: it stays as it is.
// Sequences that colour the text take no room; they do not occur where a line is broken by more than the words that they enclose.
func Fold(line string, width int) string {
	if width <= 0 || displayed(line) <= width {
		return line
	}
	if lines := strings.Split(line, "\n"); len(lines) > 1 {
		for i := range lines {
			lines[i] = Fold(lines[i], width)
		}
		return strings.Join(lines, "\n")
	}
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	hang := indent + "  "
	var b strings.Builder
	b.WriteString(indent)
	at := len(indent)
	for i, word := range strings.Split(tie(text), " ") {
		n := displayed(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + hang)
			at = len(hang)
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return untie(b.String())
}

// displayed is the number of columns that a text with colours takes.
func displayed(s string) int { return runes(withoutColors(s)) }

// withoutColors is a text without the sequences that colour it.
func withoutColors(s string) string {
	var b strings.Builder
	escape := false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Reflow fills the paragraphs of a text anew, in lines of at most width. Indented lines are no part of any, and are folded.
func Reflow(text string, width int) string {
	var out, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			out = append(out, FoldWords(strings.Join(paragraph, " "), width)...)
		}
		paragraph = nil
	}
	for _, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == ' ' {
			flush()
			out = append(out, Fold(line, width))
			continue
		}
		paragraph = append(paragraph, line)
	}
	flush()
	return strings.Join(out, "\n")
}
