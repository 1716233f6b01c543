package reports

import "strings"

// Table is a table as data, of which there is a text, Markdown and HTML. The first row is the header: a column whose name ends in a space
// is of words and set left, others are of numbers, with their unit, and set right.
type Table [][]string

// words says which columns are of words.
func (t Table) words() []bool {
	words := make([]bool, len(t[0]))
	for i, name := range t[0] {
		words[i] = strings.HasSuffix(name, " ")
	}
	return words
}

// narrowest is the width to which a column of words is made narrower before a table is split.
const narrowest = 12

// Text is the table in lines of at most width; 0: as wide as it gets. Columns of words are folded first; then what still does not fit
// continues in a second table, below the first, whose rows begin alike.
func (t Table) Text(indent string, width int) string {
	if len(t) == 0 || len(t[0]) == 0 {
		return ""
	}
	n := len(t[0])
	left := t.words()
	widths, least := make([]int, n), make([]int, n)
	for _, r := range t {
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
			first, second := make(Table, len(t)), make(Table, len(t))
			for i, r := range t {
				first[i] = r[:k]
				second[i] = append([]string{r[0]}, r[k:]...)
			}
			return first.Text(indent, width) + "\n" + second.Text(indent, width)
		}
	}
	var b strings.Builder
	for _, r := range t {
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

// Markdown is the table in Markdown.
func (t Table) Markdown() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	for i, r := range t {
		cells, rule := make([]string, len(r)), make([]string, len(r))
		for j, c := range r {
			cells[j], rule[j] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(strings.TrimSuffix(c, " ")), "--:"
		}
		if line(cells); i == 0 {
			for j, words := range t.words() {
				if words {
					rule[j] = ":--"
				}
			}
			line(rule)
		}
	}
	return b.String()
}

// dress is what a table in HTML has besides its texts. Its functions may be nil; rows count from 1.
type dress struct {
	row  func(row int) string                 // class
	cell func(row, column int) (string, bool) // HTML in place of the text
}

// html is the table in HTML.
func (t Table) html(d dress) string {
	if len(t) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("<table>")
	words := t.words()
	for i, r := range t {
		open, end := "<tr>", "</tr>"
		switch {
		case i == 0:
			open, end = "<thead><tr>", "</tr></thead><tbody>"
		case d.row != nil && d.row(i) != "":
			open = `<tr class="` + d.row(i) + `">`
		}
		b.WriteString(open)
		for j, c := range r {
			begin, tag := "<td", "td"
			if i == 0 {
				begin, tag = `<th scope="col"`, "th"
			}
			if !words[j] {
				begin += ` class="n"`
			}
			inner := esc(strings.TrimSuffix(c, " "))
			if i > 0 && d.cell != nil {
				if rich, is := d.cell(i, j); is {
					inner = rich
				}
			}
			b.WriteString(begin + ">" + inner + "</" + tag + ">")
		}
		b.WriteString(end)
	}
	b.WriteString("</tbody></table>")
	return b.String()
}
