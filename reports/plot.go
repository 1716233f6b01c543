package reports

import (
	"fmt"
	stdfont "golang.org/x/image/font"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"coinbench/capacity"
)

// Size of a plot, and the PNG's resolution: twice a screen's.
const (
	plotWidth  = 9 * vg.Inch
	plotHeight = 5 * vg.Inch
	plotDPI    = 192
)

var okabeIto = [...]color.NRGBA{
	blue: {0x00, 0x72, 0xb2, 255}, vermilion: {0xd5, 0x5e, 0x00, 255}, green: {0x00, 0x9e, 0x73, 255},
	orange: {0xb8, 0x7a, 0x00, 255}, purple: {0xa8, 0x4e, 0x86, 255}, grey: {0xa8, 0xae, 0xb6, 255},
}

var (
	ink  = color.NRGBA{0x1c, 0x21, 0x28, 255}
	soft = color.NRGBA{0x5b, 0x63, 0x6e, 255}
	rule = color.NRGBA{0xe3, 0xe6, 0xea, 255}
)

// plotOutputs are an SVG and a PNG of every chart.
func plotOutputs() []Output {
	var all []Output
	for _, c := range []struct {
		id, doc string
		build   func(*capacity.Analysis) (chart, bool)
	}{
		{"workers", "hash rate against workers, with the bounds and what was published", workersChart},
		{"timeline", "hash rate over time, with the steps", timelineChart},
		{"latency", "latency percentiles against concurrency", latencyChart},
		{"waves", "answers over time: the waves of a pool", shareChart},
		{"rollouts", "requests over time, by version and failure, with rollouts and faults", rolloutChart},
	} {
		for _, format := range []string{"svg", "png"} {
			all = append(all, Output{
				Name: "plots/" + c.id + "." + format, Doc: c.doc,
				Wanted: func(a *capacity.Analysis) bool { _, ok := c.build(a); return ok },
				Write: func(w io.Writer, a *capacity.Analysis) error {
					ch, _ := c.build(a)
					return writePlot(w, format, ch, subtitle(a))
				},
			})
		}
	}
	return all
}

// subtitle says on each plot, which may travel alone, what it is of.
func subtitle(a *capacity.Analysis) string {
	s := fmt.Sprintf("%s on %s, %s", a.Run.Scenario, a.Run.Cluster, a.Run.Start.UTC().Format("2 January 2006"))
	if a.Run.Simulated {
		s += ", simulated"
	}
	return s + " · " + string(a.Overall.Outcome)
}

func writePlot(w io.Writer, format string, c chart, subtitle string) error {
	p, err := newPlot(c)
	if err != nil {
		return err
	}
	switch format {
	case "png":
		canvas := vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI), vgimg.UseBackgroundColor(color.White))
		p.Draw(header(margin(draw.New(canvas)), c, subtitle))
		_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	default:
		canvas := vgsvg.New(plotWidth, plotHeight)
		p.Draw(header(margin(draw.New(canvas)), c, subtitle))
		_, err = canvas.WriteTo(w)
	}
	return err
}

func margin(c draw.Canvas) draw.Canvas {
	return draw.Crop(c, 14, -18, 12, -14)
}

// header draws the title, the subtitle and the legend, and returns what is left of the canvas. The legend stands above the data, so
// that it never covers any.
func header(c draw.Canvas, ch chart, subtitle string) draw.Canvas {
	title := style(15, ink)
	title.Font.Weight = stdfont.WeightBold
	title.YAlign = draw.YTop
	sub := style(10, soft)
	sub.YAlign = draw.YTop
	left := c.Min.X + 4
	y := c.Max.Y
	c.FillText(title, vg.Point{X: left, Y: y}, ch.title)
	y -= 21
	c.FillText(sub, vg.Point{X: left, Y: y}, subtitle)
	y -= 21
	entry := style(10, ink)
	entry.YAlign = draw.YCenter
	x := left
	const thumb, gap = 22, 18
	for _, s := range ch.legend() {
		width := thumb + 6 + entry.Width(s.name)
		if x+width > c.Max.X && x > left {
			x, y = left, y-15
		}
		thumbnail(c, s, x, x+thumb, y-5)
		c.FillText(entry, vg.Point{X: x + thumb + 6, Y: y - 5}, s.name)
		x += width + gap
	}
	if n := numbered(ch, float64(c.Max.X-c.Min.X-plotAxis), textWidth9); len(n) > 0 {
		y -= 15
		x, text := left, "Steps: "
		for i, s := range n {
			if i > 0 {
				s = " · " + s
			}
			if x+sub.Width(text+s) > c.Max.X {
				c.FillText(sub, vg.Point{X: x, Y: y}, text)
				y, text = y-13, strings.TrimPrefix(s, " · ")
				continue
			}
			text += s
		}
		c.FillText(sub, vg.Point{X: x, Y: y}, text)
	}
	return draw.Crop(c, 0, 0, 0, y-24-c.Max.Y)
}

// thumbnail draws how a series looks.
func thumbnail(c draw.Canvas, s series, from, to, y vg.Length) {
	color := okabeIto[s.color]
	middle := vg.Point{X: (from + to) / 2, Y: y}
	line := draw.LineStyle{Color: color, Width: 1.8}
	glyph := draw.GlyphStyle{Color: color, Radius: 3.4, Shape: draw.CircleGlyph{}}
	switch s.kind {
	case dashed:
		line.Width, line.Dashes = 1, []vg.Length{4, 3}
		c.StrokeLine2(line, from, y, to, y)
	case points:
		c.DrawGlyph(glyph, middle)
	case linked:
		line.Width = 1
		c.StrokeLine2(line, from, y, to, y)
		c.DrawGlyph(glyph, middle)
	case diamond:
		glyph.Shape, glyph.Radius = openDiamond{}, 5.2
		c.DrawGlyph(glyph, middle)
	case cross:
		glyph.Shape = boldCross{}
		c.DrawGlyph(glyph, middle)
	case span:
		color.A = 90
		line.Color, line.Width = color, 5
		c.StrokeLine2(line, from, y, to, y)
	default:
		if s.color == grey {
			line.Width = .9
		}
		c.StrokeLine2(line, from, y, to, y)
	}
}

func style(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}, Handler: plot.DefaultTextHandler}
}

func newPlot(c chart) (*plot.Plot, error) {
	p := plot.New()
	for _, a := range []struct {
		axis *plot.Axis
		from axis
	}{{&p.X, c.x}, {&p.Y, c.y}} {
		a.axis.Min, a.axis.Max = a.from.min, a.from.max
		a.axis.Label.Text = a.from.label
		align := a.axis.Label.TextStyle
		a.axis.Label.TextStyle = style(11, ink)
		a.axis.Label.TextStyle.XAlign, a.axis.Label.TextStyle.YAlign, a.axis.Label.TextStyle.Rotation = align.XAlign, align.YAlign, align.Rotation
		a.axis.Label.Padding = 6
		align = a.axis.Tick.Label
		a.axis.Tick.Label = style(10, soft)
		a.axis.Tick.Label.XAlign, a.axis.Tick.Label.YAlign = align.XAlign, align.YAlign
		a.axis.Tick.LineStyle.Color, a.axis.LineStyle.Color = soft, soft
		a.axis.Tick.LineStyle.Width, a.axis.LineStyle.Width = .5, .6
		a.axis.Padding = 0
		var ticks plot.ConstantTicks
		for _, t := range a.from.allTicks(9) {
			ticks = append(ticks, plot.Tick{Value: t.at, Label: t.label})
		}
		a.axis.Tick.Marker = ticks
	}
	if len(c.bands) > 0 {
		p.Add(bands{c.bands})
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Width = rule, .6
	p.Add(grid)
	for _, s := range c.series {
		if err := addSeries(p, s); err != nil {
			return nil, fmt.Errorf("plot %s, %s: %w", c.id, s.name, err)
		}
	}
	if len(c.marks) > 0 {
		p.Add(marks{c.marks})
	}
	return p, nil
}

func addSeries(p *plot.Plot, s series) error {
	xys := make(plotter.XYs, len(s.xy))
	for i, v := range s.xy {
		xys[i] = plotter.XY{X: v.x, Y: v.y}
	}
	c := okabeIto[s.color]
	glyphs := func(shape draw.GlyphDrawer, r vg.Length) (*plotter.Scatter, error) {
		g, err := plotter.NewScatter(xys)
		if err == nil {
			g.GlyphStyle = draw.GlyphStyle{Color: c, Radius: r, Shape: shape}
		}
		return g, err
	}
	switch s.kind {
	case curve, dashed, stairs, linked:
		l, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		l.Color, l.Width = c, 1.8
		if s.kind == dashed {
			l.Width, l.Dashes = 1, []vg.Length{4, 3}
		}
		if s.kind == stairs {
			l.StepStyle, l.Width = plotter.PostStep, 1.4
			if s.color == grey {
				l.StepStyle, l.Width = plotter.PreStep, .9
			}
		}
		p.Add(l)
		if s.kind == linked {
			l.Width = 1
			g, err := glyphs(draw.CircleGlyph{}, 3.4)
			if err != nil {
				return err
			}
			p.Add(g)
		}
	case points:
		g, err := glyphs(draw.CircleGlyph{}, 3.4)
		if err != nil {
			return err
		}
		errs := struct {
			plotter.XYs
			plotter.YErrors
		}{xys, make(plotter.YErrors, len(s.xy))}
		for i, v := range s.xy {
			errs.YErrors[i].Low, errs.YErrors[i].High = 2*v.err, 2*v.err
		}
		bars, err := plotter.NewYErrorBars(errs)
		if err != nil {
			return err
		}
		bars.LineStyle.Color, bars.CapWidth = c, 5
		p.Add(bars, g)
	case diamond:
		g, err := glyphs(openDiamond{}, 6)
		if err != nil {
			return err
		}
		p.Add(g)
	case cross:
		g, err := glyphs(boldCross{}, 4)
		if err != nil {
			return err
		}
		p.Add(g)
	case span:
		for _, v := range s.xy {
			l, err := plotter.NewLine(plotter.XYs{{X: v.x, Y: v.y}, {X: v.x, Y: v.y2}})
			if err != nil {
				return err
			}
			c := c
			c.A = 90
			l.Color, l.Width = c, 5
			p.Add(l)
		}
	}
	return nil
}

// openDiamond is a diamond with a white inside.
type openDiamond struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (openDiamond) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	var p vg.Path
	p.Move(vg.Point{X: at.X, Y: at.Y + s.Radius})
	p.Line(vg.Point{X: at.X + s.Radius, Y: at.Y})
	p.Line(vg.Point{X: at.X, Y: at.Y - s.Radius})
	p.Line(vg.Point{X: at.X - s.Radius, Y: at.Y})
	p.Close()
	c.SetColor(color.White)
	c.Fill(p)
	c.SetColor(s.Color)
	c.SetLineWidth(1.4)
	c.Stroke(p)
}

// boldCross is a cross that is seen from the back row.
type boldCross struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (boldCross) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	r := s.Radius
	line := draw.LineStyle{Color: s.Color, Width: 1.8}
	c.StrokeLine2(line, at.X-r, at.Y-r, at.X+r, at.Y+r)
	c.StrokeLine2(line, at.X-r, at.Y+r, at.X+r, at.Y-r)
}

// textWidth9 is the width of a text of 9 points.
func textWidth9(s string) float64 {
	sty := style(9, soft)
	return float64(sty.Width(s))
}

// plotAxis is about the width of the vertical axis.
const plotAxis = vg.Length(56)

// bands shades every other step and writes each step's title, or its number, above it as far as there is room.
type bands struct{ all []capacity.Band }

// Plot implements plot.Plotter.
func (b bands) Plot(c draw.Canvas, p *plot.Plot) {
	trX, _ := p.Transforms(&c)
	sty := style(9, soft)
	sty.XAlign, sty.YAlign = draw.XCenter, draw.YTop
	free := c.Min.X
	for i, s := range b.all {
		from, to := max(c.Min.X, trX(s.BeginS)), min(c.Max.X, trX(s.EndS))
		if i%2 == 0 {
			c.FillPolygon(color.NRGBA{0xf1, 0xf4, 0xf8, 255}, []vg.Point{{X: from, Y: c.Min.Y}, {X: to, Y: c.Min.Y}, {X: to, Y: c.Max.Y}, {X: from, Y: c.Max.Y}})
		}
		label := bandLabel(i, s, p.X.Max, float64(c.Max.X-c.Min.X), textWidth9)
		middle, width := (from+to)/2, sty.Width(label)
		if middle-width/2 < free+1 {
			continue
		}
		free = middle + width/2
		c.FillText(sty, vg.Point{X: middle, Y: c.Max.Y - 3}, label)
	}
}

// marks draws an event as a vertical line with its text, which is set below that of the one before it where they would meet.
type marks struct{ all []mark }

// Plot implements plot.Plotter.
func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	trX, _ := p.Transforms(&c)
	sty := style(9, okabeIto[vermilion])
	sty.YAlign = draw.YTop
	line := draw.LineStyle{Color: okabeIto[vermilion], Width: .8, Dashes: []vg.Length{2, 2}}
	free, row := c.Min.X, 0
	for _, e := range m.all {
		x := trX(e.at)
		c.StrokeLine2(line, x, c.Min.Y, x, c.Max.Y-15) // below the names of the steps
		if row++; x > free || row > 6 {
			row = 0
		}
		width := sty.Width(e.text)
		s, at := sty, x+4
		if at+width > c.Max.X {
			s.XAlign, at = draw.XRight, x-4
		}
		c.FillText(s, vg.Point{X: at, Y: c.Max.Y - 18 - vg.Length(row)*12}, e.text)
		free = max(free, x+width+8)
	}
}
