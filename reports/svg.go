package reports

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"

	"coinbench/capacity"
)

// svgSize is a form of the page's charts: one for wide windows and paper, one for telephones.
type svgSize struct {
	class                    string
	width, height            float64
	left, right, top, bottom float64
	ticks                    int
}

func svgSizes() []svgSize {
	return []svgSize{
		{class: "wide", width: 1000, height: 420, left: 52, right: 20, top: 28, bottom: 46, ticks: 9},
		{class: "narrow", width: 380, height: 330, left: 40, right: 8, top: 28, bottom: 44, ticks: 5},
	}
}

// canvas maps data to the drawing.
type canvas struct {
	svgSize
	c chart
	b strings.Builder
}

func (v *canvas) px(x float64) float64 {
	return v.left + (x-v.c.x.min)/(v.c.x.max-v.c.x.min)*(v.width-v.left-v.right)
}

func (v *canvas) py(y float64) float64 {
	return v.height - v.bottom - (y-v.c.y.min)/(v.c.y.max-v.c.y.min)*(v.height-v.top-v.bottom)
}

func (v *canvas) add(format string, args ...any) { fmt.Fprintf(&v.b, format, args...) }

// num writes a coordinate: a tenth of a pixel is enough, and the same on every machine.
func num(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10+0, 'f', -1, 64) }

func esc(s string) string { return html.EscapeString(s) }

// svg draws the chart for the page. Colours are classes, so that they follow the page's theme.
func svg(c chart, size svgSize) string {
	if size.class == "wide" && len(c.lanes) > 0 {
		size.height += float64(22 * len(c.lanes))
		size.bottom += float64(22 * len(c.lanes))
	}
	if len(c.bands) > 0 {
		size.top += 22
	}
	if size.class == "narrow" {
		c.lanes = nil
	}
	v := &canvas{svgSize: size, c: c}
	v.add(`<svg class="chart %s" viewBox="0 0 %s %s" role="img" tabindex="0" aria-label="%s">`, size.class, num(size.width), num(size.height), esc(c.title+". "+c.desc))
	bottom := v.height - v.bottom
	v.bands()
	for _, t := range c.y.allTicks(size.ticks) {
		y := num(v.py(t.at))
		v.add(`<line class="grid" x1="%s" x2="%s" y1="%s" y2="%s"/><text class="tick" x="%s" y="%s" dy=".35em" text-anchor="end">%s</text>`,
			num(v.left), num(v.width-v.right), y, y, num(v.left-8), y, esc(t.label))
	}
	v.add(`<line class="base" x1="%s" x2="%s" y1="%s" y2="%s"/>`, num(v.left), num(v.width-v.right), num(bottom), num(bottom))
	for _, t := range c.x.allTicks(size.ticks) {
		x := num(v.px(t.at))
		v.add(`<line class="base" x1="%s" x2="%s" y1="%s" y2="%s"/><text class="tick" x="%s" y="%s" text-anchor="middle">%s</text>`, x, x, num(bottom), num(bottom+4), x, num(bottom+18), esc(t.label))
	}
	v.add(`<text class="axis" x="%s" y="%s" text-anchor="middle">%s</text>`, num((v.left+v.width-v.right)/2), num(bottom+38), esc(c.x.label))
	v.add(`<text class="axis" x="%s" y="%s">%s</text>`, num(2), num(size.top-6-map[bool]float64{true: 22}[len(c.bands) > 0]), esc(c.y.label))
	for _, s := range c.series {
		v.series(s)
	}
	v.marks()
	v.lanes(bottom + 46)
	v.add(`<line class="cursor" y1="%s" y2="%s" x1="0" x2="0"/>`, num(v.top), num(bottom))
	v.add("</svg>")
	return v.b.String()
}

// textWidth is about the width of a text of 12 px.
func textWidth(s string) float64 { return 6.3 * float64(len([]rune(s))) }

// bandLabel is the longest name of a band for which there is room on an axis of the given length, whose end is at the instant end:
// its title, its short name, its verb, or its number.
func bandLabel(i int, b capacity.Band, end, length float64, width func(string) float64) string {
	for _, s := range []string{b.Title, b.Name, b.Verb} {
		if s != "" && width(s)+8 <= (b.EndS-b.BeginS)/end*length {
			return s
		}
	}
	return strconv.Itoa(i + 1)
}

// numbered explains the numbers that stand where there is no room for names.
func numbered(c chart, length float64, width func(string) float64) []string {
	var s []string
	for i, b := range c.bands {
		if n := strconv.Itoa(i + 1); bandLabel(i, b, c.x.max, length, width) == n {
			s = append(s, n+" "+b.Title)
		}
	}
	return s
}

func (v *canvas) bands() {
	free := v.left - 10
	for i, b := range v.c.bands {
		from, to := max(v.left, v.px(b.BeginS)), min(v.width-v.right, v.px(b.EndS))
		class := "band"
		if i%2 == 1 {
			class = "band alt"
		}
		if b.Error != "" {
			class = "band bad"
		}
		v.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`, class, num(from), num(v.top-22), num(max(0, to-from)), num(v.height-v.bottom-v.top+22),
			esc(fmt.Sprintf("step %d: %s, %.1f to %.1f s", i+1, b.Title, b.BeginS, b.EndS)))
		label := bandLabel(i, b, v.c.x.max, v.width-v.left-v.right, textWidth)
		if middle := (from + to) / 2; middle-textWidth(label)/2 > free+2 {
			v.add(`<text class="bandlabel" x="%s" y="%s" text-anchor="middle">%s</text>`, num(middle), num(v.top-8), esc(label))
			free = middle + textWidth(label)/2
		}
	}
}

func (v *canvas) marks() {
	free, row := 0.0, 0
	for _, m := range v.c.marks {
		x := v.px(m.at)
		v.add(`<line class="mark" x1="%s" x2="%s" y1="%s" y2="%s"/>`, num(x), num(x), num(v.top), num(v.height-v.bottom))
		if row++; x > free || row > 5 {
			row = 0
		}
		anchor, at := "start", x+5
		if at+textWidth(m.text) > v.width-v.right {
			anchor, at = "end", x-5
		}
		v.add(`<text class="marklabel" x="%s" y="%s" text-anchor="%s">%s</text>`, num(at), num(v.top+12+float64(row)*14), anchor, esc(m.text))
		free = max(free, x+textWidth(m.text)+8)
	}
}

func (v *canvas) lanes(top float64) {
	for i, l := range v.c.lanes {
		y := top + float64(i)*22
		v.add(`<text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`, num(v.left-8), num(y+13), esc(l.name))
		for j, p := range l.parts {
			from, to := v.px(p.from), v.px(p.to)
			class := "lane"
			if j%2 == 1 {
				class = "lane alt"
			}
			v.add(`<rect class="%s" x="%s" y="%s" width="%s" height="18"><title>%s</title></rect>`, class, num(from), num(y), num(max(0, to-from)),
				esc(fmt.Sprintf("%s: %s from %.1f s to %.1f s", l.name, p.text, p.from, p.to)))
			if to-from > textWidth(p.text)+4 {
				v.add(`<text class="lanelabel" x="%s" y="%s" text-anchor="middle">%s</text>`, num((from+to)/2), num(y+13), esc(p.text))
			}
		}
	}
}

func (v *canvas) path(s series) string {
	var b strings.Builder
	for i, p := range s.xy {
		x, y := num(v.px(p.x)), num(v.py(p.y))
		switch {
		case i == 0:
			b.WriteString("M" + x + " " + y)
		case s.kind == stairs && s.color == grey: // a slope that was measured at its end
			b.WriteString("V" + y + "H" + x)
		case s.kind == stairs:
			b.WriteString("H" + x + "V" + y)
		default:
			b.WriteString("L" + x + " " + y)
		}
	}
	return b.String()
}

func (v *canvas) series(s series) {
	class := "c" + strconv.Itoa(s.color)
	v.add(`<g class="%s">`, class)
	switch s.kind {
	case curve, stairs, linked:
		weight := map[bool]string{true: "thin", false: "thick"}[s.kind == linked || s.color == grey]
		v.add(`<path class="line %s" d="%s"/>`, weight, v.path(s))
	case dashed:
		v.add(`<path class="line dashed" d="%s"/>`, v.path(s))
	}
	for _, p := range s.xy {
		x, y := v.px(p.x), v.py(p.y)
		tip := ""
		if p.text != "" {
			tip = fmt.Sprintf(` data-tip="%s" data-x="%s" data-y="%s"`, esc(p.text), num(x), num(y))
		}
		switch s.kind {
		case points, linked:
			if p.err > 0 {
				v.add(`<line class="err" x1="%s" x2="%s" y1="%s" y2="%s"/>`, num(x), num(x), num(v.py(p.y-2*p.err)), num(v.py(p.y+2*p.err)))
			}
			v.add(`<circle class="dot" cx="%s" cy="%s" r="4.5"%s/>`, num(x), num(y), tip)
		case diamond:
			v.add(`<path class="open" d="M%s %sl8 8l-8 8l-8 -8z"%s/>`, num(x), num(y-8), tip)
		case cross:
			v.add(`<path class="cross" d="M%s %sl10 10m0 -10l-10 10"%s/>`, num(x-5), num(y-5), tip)
		case span:
			v.add(`<line class="span" x1="%s" x2="%s" y1="%s" y2="%s"%s/>`, num(x), num(x), num(y), num(v.py(p.y2)), tip)
		default:
			if tip != "" {
				v.add(`<circle class="hit" cx="%s" cy="%s" r="3"%s/>`, num(x), num(y), tip)
			}
		}
	}
	v.add(`</g>`)
}

// legendKey is a small drawing of how a series looks.
func legendKey(s series) string {
	var inner string
	switch s.kind {
	case dashed:
		inner = `<path class="line dashed" d="M1 7H25"/>`
	case points:
		inner = `<circle class="dot" cx="13" cy="7" r="4.5"/>`
	case linked:
		inner = `<path class="line thin" d="M1 7H25"/><circle class="dot" cx="13" cy="7" r="4"/>`
	case diamond:
		inner = `<path class="open" d="M13 1l6 6l-6 6l-6 -6z"/>`
	case cross:
		inner = `<path class="cross" d="M8 2l10 10m0 -10l-10 10"/>`
	case span:
		inner = `<line class="span" x1="3" x2="23" y1="7" y2="7"/>`
	default:
		weight := map[bool]string{true: "thin", false: "thick"}[s.color == grey]
		inner = `<path class="line ` + weight + `" d="M1 7H25"/>`
	}
	return fmt.Sprintf(`<svg class="key c%d" viewBox="0 0 26 14" aria-hidden="true">%s</svg>`, s.color, inner)
}

// legend returns the series in the order of a reader's interest: what was measured, the bounds, the rest.
func (c chart) legend() []series {
	var measured, rest []series
	for _, s := range c.series {
		switch {
		case s.name == "":
		case s.kind == points:
			measured = append(measured, s)
		default:
			rest = append(rest, s)
		}
	}
	return append(measured, rest...)
}
