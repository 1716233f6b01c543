package reports

import (
	"fmt"
	"image/color"
	"maps"
	"slices"
	"strings"

	"gonum.org/v1/plot/palette"
)

// shade is a colour of a chart: one of the palette, which follows the page's theme, or "#rrggbb".
type shade string

// The palette is that of Okabe and Ito, which the usual kinds of colour blindness tell apart; grey is for what is behind.
const (
	blue      shade = "c0"
	vermilion shade = "c1"
	green     shade = "c2"
	orange    shade = "c3"
	purple    shade = "c4"
	grey      shade = "c5"
)

// lightPalette are the colours on white.
func lightPalette() map[shade]color.NRGBA {
	return map[shade]color.NRGBA{
		blue: {0x00, 0x72, 0xb2, 255}, vermilion: {0xd5, 0x5e, 0x00, 255}, green: {0x00, 0x9e, 0x73, 255},
		orange: {0xb8, 0x7a, 0x00, 255}, purple: {0xa8, 0x4e, 0x86, 255}, grey: {0xa8, 0xae, 0xb6, 255},
	}
}

// distinct are n colours, all different. Red, which means failure, and grey are not among them. Neighbours are far from each other.
func distinct(n int) []shade {
	if few := []shade{blue, green, purple, orange}; n <= len(few) {
		return few[:n]
	}
	// Hues from a green yellow to a purple, in two alternating strengths.
	all := make([]shade, n)
	for i := range n {
		h := palette.HSVA{H: (70 + 250*float64(i)/float64(n-1)) / 360, S: .8, V: .62, A: 1}
		if i%2 == 1 {
			h.S, h.V = .55, .72
		}
		r, g, b, _ := h.RGBA()
		all[(i*stride(n))%n] = shade(fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8))
	}
	return all
}

// stride is a step that visits all of n places, about a third of them at a time.
func stride(n int) int {
	for k := max(1, n/3); ; k++ {
		a, b := n, k
		for b > 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return k
		}
	}
}

// attribute is the shade as an attribute of an SVG element.
func (s shade) attribute() string {
	if strings.HasPrefix(string(s), "#") {
		return `style="--c:` + string(s) + `"`
	}
	return `class="` + string(s) + `"`
}

func (s shade) rgb() color.NRGBA {
	if c, ok := lightPalette()[s]; ok {
		return c
	}
	var c color.NRGBA
	c.A = 255
	fmt.Sscanf(string(s), "#%02x%02x%02x", &c.R, &c.G, &c.B)
	return c
}

// paint is how a style looks on white. An open colour is the series' own.
type paint struct {
	stroke, fill *color.NRGBA
	own          bool // stroke (lines) or fill (shapes) is the series' colour
	alpha        uint8
	width        float64
	dash         []float64
	font         float64 // height of letters
	bold         bool
}

// paints are the styles of pictures in files. The page has its own, in page.css, for each theme.
func paints() map[string]paint {
	ink, soft, rule := color.NRGBA{0x1c, 0x21, 0x28, 255}, color.NRGBA{0x5b, 0x63, 0x6e, 255}, color.NRGBA{0xe3, 0xe6, 0xea, 255}
	white, faint, band := color.NRGBA{255, 255, 255, 255}, color.NRGBA{0x8a, 0x92, 0x9c, 255}, color.NRGBA{0xf1, 0xf4, 0xf8, 255}
	bad, red := color.NRGBA{0xfb, 0xe9, 0xe7, 255}, shade(vermilion).rgb()
	return map[string]paint{
		"grid": {stroke: &rule, width: 1}, "base": {stroke: &faint, width: 1},
		"tick": {fill: &soft, font: 12}, "axis": {fill: &soft, font: 12.5}, "bandlabel": {fill: &soft, font: 12}, "lanelabel": {fill: &ink,
			font: 11},
		"lanelabel on": {fill: &white, font: 11}, "barlabel": {fill: &ink, font: 12}, "barlabel on": {fill: &white, font: 12},
		"marklabel": {fill: &red, font: 12}, "title": {fill: &ink, font: 22, bold: true}, "subtitle": {fill: &soft,
			font: 12}, "legend": {fill: &ink, font: 13},
		"band": {fill: &band}, "band alt": {}, "band bad": {fill: &bad}, "lane": {fill: &band}, "lane alt": {fill: &rule}, "lane " +
			"own": {own: true},
		"mark":       {stroke: &red, width: 1, dash: []float64{3, 3}},
		"line thick": {own: true, width: 2.4}, "line thin": {own: true, width: 1.2}, "line dashed": {own: true, width: 1.4,
			dash: []float64{6, 4}},
		"err": {own: true, width: 1.4}, "span": {own: true, alpha: 90, width: 7}, "cross": {own: true, width: 2.2}, "open": {own: true,
			fill: &white, width: 1.8},
		"dot": {own: true}, "area": {own: true, alpha: 185}, "column": {own: true, alpha: 210},
		"cell": {own: true}, "celllabel": {fill: &ink, font: 11}, "celllabel on": {fill: &white, font: 11},
	}
}

// fileStyle are the paints as a style sheet.
func fileStyle() string {
	var b strings.Builder
	b.WriteString(`text{font-family:"Liberation Sans",Arial,Helvetica,sans-serif}`)
	light := lightPalette()
	for _, s := range slices.Sorted(maps.Keys(light)) {
		fmt.Fprintf(&b, ".%s{--c:%s}", s, hex(light[s]))
	}
	all := paints()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		fmt.Fprintf(&b, ".%s{", strings.ReplaceAll(name, " ", "."))
		stroke, fill := "none", "none"
		if p.stroke != nil {
			stroke = hex(*p.stroke)
		}
		if p.fill != nil {
			fill = hex(*p.fill)
		}
		if p.own {
			if p.width > 0 {
				stroke = "var(--c)"
			} else {
				fill = "var(--c)"
			}
		}
		fmt.Fprintf(&b, "stroke:%s;fill:%s", stroke, fill)
		if p.alpha > 0 {
			fmt.Fprintf(&b, ";%s-opacity:%.2f", map[bool]string{true: "stroke", false: "fill"}[p.width > 0], float64(p.alpha)/255)
		}
		if p.width > 0 {
			fmt.Fprintf(&b, ";stroke-width:%g", p.width)
		}
		if p.dash != nil {
			fmt.Fprintf(&b, ";stroke-dasharray:%g %g", p.dash[0], p.dash[1])
		}
		if p.font > 0 {
			fmt.Fprintf(&b, ";font-size:%gpx", p.font)
		}
		if p.bold {
			b.WriteString(";font-weight:bold")
		}
		b.WriteString("}")
	}
	b.WriteString(".hit{opacity:0}")
	return b.String()
}

// dark says whether white letters are read better than black ones.
func dark(c color.NRGBA) bool { return .299*float64(c.R)+.587*float64(c.G)+.114*float64(c.B) < 140 }

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
