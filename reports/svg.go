package reports

import (
	"fmt"
	"html"
	"strings"
)

func esc(s string) string { return html.EscapeString(s) }

// svgPen draws as SVG. Colours are classes and custom properties, so that they follow the page's theme.
type svgPen struct {
	b     strings.Builder
	group bool
}

func (p *svgPen) add(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

func (p *svgPen) color(c shade) {
	p.close()
	p.add("<g %s>", c.attribute())
	p.group = true
}

func (p *svgPen) close() {
	if p.group {
		p.add("</g>")
	}
	p.group = false
}

// tipped is the attribute of a shape at which a reader may point.
func tipped(at pt, tip string) string {
	if tip == "" {
		return ""
	}
	return fmt.Sprintf(` data-tip="%s" data-x="%s" data-y="%s"`, esc(tip), num(at.x), num(at.y))
}

func (p *svgPen) line(style string, from, to pt, tip string) {
	if style == "mark" || style == "band" {
		p.close()
		tip = ""
	}
	p.add(`<line class="%s" x1="%s" x2="%s" y1="%s" y2="%s"%s/>`, style, num(from.x), num(to.x), num(from.y), num(to.y), tipped(from, tip))
}

func (p *svgPen) path(style string, points []pt, closed bool, tip string) {
	if len(points) == 0 {
		return
	}
	var b strings.Builder
	for i, q := range points {
		switch {
		case i == 0:
			b.WriteString("M" + num(q.x) + " " + num(q.y))
		case num(q.y) == num(points[i-1].y):
			b.WriteString("H" + num(q.x))
		case num(q.x) == num(points[i-1].x):
			b.WriteString("V" + num(q.y))
		default:
			b.WriteString("L" + num(q.x) + " " + num(q.y))
		}
	}
	if closed {
		b.WriteString("z")
	}
	p.add(`<path class="%s" d="%s"%s/>`, style, b.String(), tipped(points[0], tip))
}

func (p *svgPen) rect(style string, at pt, width, height float64, tip string) {
	title, data := "", ""
	if strings.HasPrefix(style, "band") || strings.HasPrefix(style, "lane") {
		if tip != "" {
			title = "<title>" + esc(tip) + "</title>"
		}
	} else {
		data = tipped(pt{at.x + width/2, at.y}, tip)
	}
	p.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"%s>%s</rect>`, style, num(at.x), num(at.y), num(width), num(height), data,
		title)
}

func (p *svgPen) dot(style string, at pt, radius float64, tip string) {
	p.add(`<circle class="%s" cx="%s" cy="%s" r="%s"%s/>`, style, num(at.x), num(at.y), num(radius), tipped(at, tip))
}

func (p *svgPen) target(at pt, tip string) { p.dot("hit", at, 3, tip) }

func (p *svgPen) text(style string, at pt, a anchor, s string) {
	if s == "" {
		return
	}
	p.add(`<text class="%s" x="%s" y="%s"%s>%s</text>`, style, num(at.x), num(at.y), map[anchor]string{middle: ` text-anchor="middle"`,
		end: ` text-anchor="end"`}[a], esc(s))
}

// svg draws the chart for the page.
func svg(c chart, s size) string {
	d := layout(c, s)
	p := &svgPen{}
	p.add(`<svg class="chart %s" viewBox="0 0 %s %s" role="img" tabindex="0" aria-label="%s">`, s.class, num(d.width), num(d.height),
		esc(c.title+". "+c.desc))
	d.draw(p)
	p.close()
	p.add(`<line class="cursor" y1="%s" y2="%s" x1="0" x2="0"/></svg>`, num(d.top), num(d.floor()))
	return p.b.String()
}

// svgFile draws the chart as a file of its own, on white, with its title and legend.
func svgFile(c chart, subtitle string) string {
	d := layout(c, alone())
	p := &svgPen{}
	head := frame(p, c, subtitle, d.width, true)
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s"><style>%s</style><rect width="100%%" height="100%%" fill="#fff"/>`,
		num(d.width), num(d.height+head), num(d.width), num(d.height+head), esc(c.title+". "+c.desc), fileStyle())
	frame(p, c, subtitle, d.width, false)
	p.close()
	p.add(`<g transform="translate(0 %s)">`, num(head))
	d.draw(p)
	p.close()
	p.add("</g></svg>\n")
	return p.b.String()
}

// legendKey is a small drawing of how a series looks.
func legendKey(s series) string {
	p := &svgPen{}
	p.add(`<svg class="key" viewBox="0 0 26 14" aria-hidden="true">`)
	drawKey(p, s, pt{})
	p.close()
	p.add("</svg>")
	return p.b.String()
}
