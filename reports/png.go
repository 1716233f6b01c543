package reports

import (
	"image/color"
	"io"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// pngDPI is the resolution of a PNG: two of its pixels for one of the drawing's.
const pngDPI = 144

// rasterPen draws on a canvas of gonum's, whose y grows upwards.
type rasterPen struct {
	c      draw.Canvas
	paints map[string]paint
	own    color.NRGBA
	height float64
	down   float64 // by how much everything is moved
}

func (p *rasterPen) point(a pt) vg.Point {
	return vg.Point{X: vg.Length(a.x), Y: vg.Length(p.height - p.down - a.y)}
}

func (p *rasterPen) color(s shade) { p.own = s.rgb() }

// stroke is the line style of a paint; false: it has no line.
func (p *rasterPen) stroke(style string) (draw.LineStyle, bool) {
	s := p.paints[style]
	l := draw.LineStyle{Width: vg.Length(s.width)}
	switch {
	case s.own && s.width > 0:
		c := p.own
		if s.alpha > 0 {
			c.A = s.alpha
		}
		l.Color = c
	case s.stroke != nil:
		l.Color = *s.stroke
	default:
		return l, false
	}
	for _, d := range s.dash {
		l.Dashes = append(l.Dashes, vg.Length(d))
	}
	return l, true
}

// fill is the colour inside; nil: none.
func (p *rasterPen) fill(style string) color.Color {
	s := p.paints[style]
	switch {
	case s.own && s.width == 0:
		c := p.own
		if s.alpha > 0 {
			c.A = s.alpha
		}
		return c
	case s.fill != nil:
		return *s.fill
	}
	return nil
}

func (p *rasterPen) line(style string, from, to pt, _ string) {
	if l, ok := p.stroke(style); ok {
		a, b := p.point(from), p.point(to)
		p.c.StrokeLine2(l, a.X, a.Y, b.X, b.Y)
	}
}

func (p *rasterPen) path(style string, points []pt, closed bool, _ string) {
	all := make([]vg.Point, 0, len(points)+1)
	for _, q := range points {
		all = append(all, p.point(q))
	}
	if len(all) == 0 {
		return
	}
	if c := p.fill(style); c != nil && closed {
		p.c.FillPolygon(c, all)
	}
	if closed {
		all = append(all, all[0])
	}
	if l, ok := p.stroke(style); ok {
		p.c.StrokeLines(l, all)
	}
}

func (p *rasterPen) rect(style string, at pt, width, height float64, tip string) {
	p.path(style, []pt{at, {at.x + width, at.y}, {at.x + width, at.y + height}, {at.x, at.y + height}}, true, tip)
}

func (p *rasterPen) dot(style string, at pt, radius float64, _ string) {
	p.c.DrawGlyph(draw.GlyphStyle{Color: p.fill(style), Radius: vg.Length(radius), Shape: draw.CircleGlyph{}}, p.point(at))
}

func (p *rasterPen) target(pt, string) {}

func (p *rasterPen) text(style string, at pt, a anchor, s string) {
	look := p.paints[style]
	t := text.Style{Color: *look.fill, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(look.font)},
		Handler: plot.DefaultTextHandler,
		XAlign:  map[anchor]text.XAlignment{start: draw.XLeft, middle: draw.XCenter, end: draw.XRight}[a], YAlign: draw.YBottom}
	if look.bold {
		t.Font.Weight = stdfont.WeightBold
	}
	q := p.point(at)
	q.Y -= t.FontExtents().Descent // at is on the line of the letters
	p.c.FillText(t, q, s)
}

// pngFile draws the chart as a picture of its own, on white, with its title and legend.
func pngFile(w io.Writer, c chart, subtitle string) error {
	d := layout(c, alone())
	p := &rasterPen{paints: paints()}
	head := frame(p, c, subtitle, d.width, true)
	p.height = d.height + head
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(d.width), vg.Length(p.height)), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))
	p.c = draw.New(canvas)
	frame(p, c, subtitle, d.width, false)
	p.down = head
	d.draw(p)
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}
