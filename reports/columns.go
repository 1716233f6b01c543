package reports

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// fileWidth is how wide the lines of report.txt are at most.
const fileWidth = 100

// narrowest is the width to which a column of words is made narrower before a table is split.
const narrowest = 12

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

// Columns lays rows out as a table in lines of at most width; 0: as wide as it gets. The first row is the header. A column whose name
// ends in a space is set left, others right. Columns of words are folded first; then what still does not fit continues in a second
// table, below the first, whose rows begin alike.
func Columns(rows [][]string, indent string, width int) string {
	if len(rows) == 0 || len(rows[0]) == 0 {
		return ""
	}
	n := len(rows[0])
	left := make([]bool, n)
	widths, least := make([]int, n), make([]int, n)
	for i, name := range rows[0] {
		left[i] = strings.HasSuffix(name, " ")
	}
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], runes(strings.TrimSuffix(c, " ")))
			least[i] = max(least[i], narrowest)
			for _, word := range strings.Fields(c) { // a word is broken only where it is long
				if w := runes(word); w <= 2*narrowest {
					least[i] = max(least[i], w)
				}
			}
		}
	}
	total := func() int {
		sum := len(indent) + 2*(n-1)
		for _, w := range widths {
			sum += w
		}
		return sum
	}
	for width > 0 && total() > width { // take from the widest column of words
		widest := -1
		for i := range widths {
			if left[i] && widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest] = max(least[widest], widths[widest]-(total()-width))
	}
	if width > 0 && total() > width && n > 2 {
		if k := split(widths, len(indent), width); k > 1 && k < n {
			first, second := make([][]string, len(rows)), make([][]string, len(rows))
			for i, r := range rows {
				first[i] = r[:k]
				second[i] = append([]string{r[0]}, r[k:]...)
			}
			return Columns(first, indent, width) + "\n" + Columns(second, indent, width)
		}
	}
	var b strings.Builder
	for _, r := range rows {
		cells := make([][]string, n)
		height := 1
		for i, c := range r {
			cells[i] = []string{strings.TrimSuffix(c, " ")}
			if left[i] {
				cells[i] = FoldWords(cells[i][0], widths[i])
			}
			height = max(height, len(cells[i]))
		}
		for h := range height {
			var line strings.Builder
			line.WriteString(indent)
			for i := range n {
				c := ""
				if h < len(cells[i]) {
					c = cells[i][h]
				}
				pad := strings.Repeat(" ", max(0, widths[i]-runes(c)))
				if i > 0 {
					line.WriteString("  ")
				}
				if left[i] {
					line.WriteString(c + pad)
				} else {
					line.WriteString(pad + c)
				}
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	return b.String()
}

// split is the number of columns that fit into a width.
func split(widths []int, indent, width int) int {
	sum := indent
	for i, w := range widths {
		if sum += w; i > 0 {
			sum += 2
		}
		if sum > width {
			return i
		}
	}
	return len(widths)
}

// table writes rows in the width of the report.
func (t *textWriter) table(rows [][]string, indent string) {
	t.b.WriteString(Columns(slices.Clone(rows), indent, t.width))
}
