package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"

	"coinbench/capacity"
)

// pt is a point of a drawing, in pixels from its upper left corner.
type pt struct{ x, y float64 }

// pen draws a chart's shapes, whose looks are named by a style: a class of page.css, which the raster pen knows too. Coordinates are
// pixels. A tip is what a reader who points at a shape is told; "" says nothing.
type pen interface {
	color(shade) // of what is drawn from here on, where the style leaves it open
	line(style string, from, to pt, tip string)
	path(style string, points []pt, closed bool, tip string)
	rect(style string, at pt, width, height float64, tip string)
	dot(style string, at pt, radius float64, tip string)
	text(style string, at pt, a anchor, s string)
	// target is a place that shows its tip when the reader comes near, without a shape of its own.
	target(at pt, tip string)
}

type anchor int

const (
	start anchor = iota
	middle
	end
)

// size is a form of a chart: one for wide windows, one for telephones, one for paper, one for a file of its own.
type size struct {
	class                    string
	width, height            float64
	left, right, top, bottom float64
	ticks                    int
	row                      float64 // height of a name of an axis that has names
	alone                    bool    // with its title, subtitle and legend: the picture may travel
}

func wide() size {
	return size{class: "wide", width: 1000, height: 400, left: 52, right: 20, top: 28, bottom: 46, ticks: 9, row: 26}
}

func narrow() size {
	return size{class: "narrow", width: 380, height: 330, left: 40, right: 10, top: 28, bottom: 44, ticks: 5, row: 26}
}

func paper() size {
	return size{class: "paper", width: 800, height: 236, left: 46, right: 14, top: 26, bottom: 44, ticks: 8, row: 16}
}

// onPage draws the chart in each size of a page, whose style sheet shows the one that fits.
func (c chart) onPage() string { return svg(c, wide()) + svg(c, narrow()) + svg(c, paper()) }

func alone() size {
	return size{class: "alone", width: 1000, height: 460, left: 64, right: 24, top: 30, bottom: 50, ticks: 9, row: 26, alone: true}
}

// Heights of a lane: with room for its label, and where there are many.
const (
	laneHeight     = 22
	thinLaneHeight = 9
	manyLanes      = 12
)

// drawing is a chart laid out in a size.
type drawing struct {
	size
	chart
	pen   pen
	lane  float64 // height of one
	steps bool    // bands have a row of labels above the data
}

// layout makes room for what the chart has.
func layout(c chart, s size) *drawing {
	d := &drawing{size: s, chart: c, lane: laneHeight, steps: len(c.bands) > 0}
	if len(c.lanes) > manyLanes {
		d.lane = thinLaneHeight
	}
	strip := d.lane * float64(len(c.lanes))
	d.height += strip
	d.bottom += strip
	if d.steps {
		d.top += 22
	}
	if c.y.label == "" { // names instead of numbers
		d.top = 8
		d.height = max(140, d.top+d.bottom+s.row*float64(len(c.y.ticks)))
		for _, t := range c.y.ticks {
			d.left = max(d.left, min(d.measure(12, t.label)+16, s.width*.4))
		}
	}
	for _, l := range c.lanes {
		if d.lane == laneHeight {
			d.left = max(d.left, d.measure(12, l.name)+16)
		}
	}
	if c.y.label != "" {
		for _, t := range c.y.allTicks(d.ticks) {
			d.left = max(d.left, min(d.measure(12, t.label)+12, s.width*.25))
		}
	}
	return d
}

// measure is the width that a text may take. A file has its letters' shapes from a font like that of measure; a page has those that its
// reader has, of which the widest in use are a seventh wider.
func (d *drawing) measure(height float64, s string) float64 {
	if d.alone {
		return measure(height, s)
	}
	return measure(height, s) * 1.15
}

// measure is the width of a text in pixels when its letters have a height in pixels.
func measure(height float64, s string) float64 {
	sty := text.Style{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(height)}, Handler: plot.DefaultTextHandler}
	return float64(sty.Width(s))
}

func (d *drawing) px(x float64) float64 {
	return d.left + (x-d.x.min)/(d.x.max-d.x.min)*(d.width-d.left-d.right)
}

func (d *drawing) py(y float64) float64 {
	return d.height - d.bottom - (y-d.y.min)/(d.y.max-d.y.min)*(d.height-d.top-d.bottom)
}

func (d *drawing) at(p xy) pt { return pt{d.px(p.x), d.py(p.y)} }

// floor is the lower edge of the data.
func (d *drawing) floor() float64 { return d.height - d.bottom }

func (d *drawing) draw(p pen) {
	d.pen = p
	d.drawBands()
	d.drawAxes()
	for _, s := range d.series {
		p.color(s.color)
		d.drawSeries(s)
	}
	d.drawMarks()
	d.drawLanes(d.floor() + d.bottom - d.lane*float64(len(d.lanes)))
}

func (d *drawing) drawAxes() {
	p, right, floor := d.pen, d.width-d.right, d.floor()
	for _, t := range d.y.allTicks(d.ticks) {
		y := d.py(t.at)
		if d.y.label != "" { // names need no lines
			p.line("grid", pt{d.left, y}, pt{right, y}, "")
		}
		p.text("tick", pt{d.left - 8, y + 4}, end, d.fit(t.label, d.left-12))
	}
	p.line("base", pt{d.left, floor}, pt{right, floor}, "")
	for _, t := range d.x.allTicks(d.ticks) {
		x := d.px(t.at)
		p.line("base", pt{x, floor}, pt{x, floor + 4}, "")
		p.text("tick", pt{x, floor + 18}, middle, t.label)
	}
	p.text("axis", pt{(d.left + right) / 2, floor + 38}, middle, d.x.label)
	top := d.top - 8
	if d.steps {
		top -= 22
	}
	left := 2.0
	if d.alone {
		left = 16
	}
	p.text("axis", pt{left, top}, start, d.y.label)
}

// fit cuts a text to a width.
func (d *drawing) fit(s string, width float64) string {
	if d.measure(12, s) <= width {
		return s
	}
	r := []rune(s)
	for len(r) > 1 && d.measure(12, string(r)+"…") > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// bandNames are the names of a band, the longest first: its number with its title, with its short name, with its verb, and its number.
func bandNames(i int, b capacity.Band) (names []string) {
	n := strconv.Itoa(i + 1)
	for _, s := range []string{b.Title, b.Name, b.Verb} {
		if s != "" {
			names = append(names, n+" "+s)
		}
	}
	return append(names, n)
}

// bandLabels chooses what is written above each band: the longest of its names for which there is room. Wide bands choose first, so
// that a step which took no time does not cost its neighbour the name; "" where even the number would cover another.
func (d *drawing) bandLabels() []string {
	order := make([]int, len(d.bands))
	for i := range order {
		order[i] = i
	}
	width := func(i int) float64 { return d.px(d.bands[i].EndS) - d.px(d.bands[i].BeginS) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(width(b), width(a)) })
	labels := make([]string, len(d.bands))
	var taken [][2]float64
	for _, i := range order {
		center := (d.px(d.bands[i].BeginS) + d.px(d.bands[i].EndS)) / 2
		names := bandNames(i, d.bands[i])
		for k, name := range names {
			half := d.measure(12, name)/2 + 2
			last := k == len(names)-1
			if 2*half > width(i)-2 && !last || center-half < 0 || center+half > d.width ||
				slices.ContainsFunc(taken, func(t [2]float64) bool { return center-half < t[1] && t[0] < center+half }) {
				continue
			}
			labels[i] = name
			taken = append(taken, [2]float64{center - half, center + half})
			break
		}
	}
	return labels
}

// bandList explains the numbers of the bands: all of them, so that none goes without a name wherever the chart is shown.
func (c chart) bandList() (list []string) {
	for i, b := range c.bands {
		s := fmt.Sprintf("%d %s", i+1, b.Title)
		if b.Name != "" && !strings.Contains(b.Title, b.Name) {
			s += " (" + b.Name + ")"
		}
		list = append(list, s)
	}
	return list
}

func (d *drawing) drawBands() {
	labels := d.bandLabels()
	for i, b := range d.bands {
		from, to := max(d.left, d.px(b.BeginS)), min(d.width-d.right, d.px(b.EndS))
		class := "band"
		if i%2 == 1 {
			class = "band alt"
		}
		if b.Error != "" {
			class = "band bad"
		}
		d.pen.rect(class, pt{from, d.top - 22}, max(0, to-from), d.floor()-d.top+22,
			fmt.Sprintf("%d: %s, %.1f to %.1f s", i+1, b.Title, b.BeginS, b.EndS))
		if labels[i] != "" {
			d.pen.text("bandlabel", pt{(from + to) / 2, d.top - 8}, middle, labels[i])
		}
	}
}

// maxMarkRows is in how many rows the texts of marks are set, one below the other.
const maxMarkRows = 6

// drawMarks draws events as vertical lines, each with its text in the first row in which it covers no other. A text that is there already
// is not set again in a lower row, and one for which there is no row is shown to one who points at the line.
func (d *drawing) drawMarks() {
	var taken [maxMarkRows][][2]float64
	told := map[string]bool{}
	for _, m := range d.marks {
		if m.at < d.x.min || m.at > d.x.max {
			continue
		}
		x, width := d.px(m.at), d.measure(12, m.text)
		d.pen.line("mark", pt{x, d.top}, pt{x, d.floor()}, m.text)
		at, a := x+5, start
		span := [2]float64{x, at + width + 8}
		if at+width > d.width-d.right {
			at, a = x-5, end
			span = [2]float64{at - width - 8, x}
		}
		for row := range taken {
			if slices.ContainsFunc(taken[row], func(t [2]float64) bool { return span[0] < t[1] && t[0] < span[1] }) {
				continue
			}
			if row == 0 || !told[m.text] {
				taken[row] = append(taken[row], span)
				told[m.text] = true
				d.pen.text("marklabel", pt{at, d.top + 12 + float64(row)*14}, a, m.text)
			}
			break
		}
	}
}

func (d *drawing) drawLanes(top float64) {
	for i, l := range d.lanes {
		y := top + float64(i)*d.lane
		if d.lane == laneHeight {
			d.pen.text("tick", pt{d.left - 8, y + 13}, end, d.fit(l.name, d.left-12))
		} else if i == 0 || i == len(d.lanes)-1 {
			d.pen.text("tick", pt{d.left - 8, y + 8}, end, d.fit(l.name, d.left-12))
		}
		for j, part := range l.parts {
			from, to := max(d.left, d.px(part.from)), min(d.width-d.right, d.px(part.to))
			class := "lane"
			switch {
			case part.color != "":
				class = "lane own"
				d.pen.color(part.color)
			case j%2 == 1:
				class = "lane alt"
			}
			d.pen.rect(class, pt{from, y}, max(1, to-from), d.lane-3, fmt.Sprintf("%s: %s from %.1f s to %.1f s", l.name, part.text, part.from,
				part.to))
			if d.lane == laneHeight && to-from > d.measure(11, part.text)+4 {
				label := "lanelabel"
				if part.color != "" {
					label = "lanelabel on"
				}
				d.pen.text(label, pt{(from + to) / 2, y + 13}, middle, part.text)
			}
		}
	}
}

// stairs are the corners of a line that changes at its points: each value holds from its point on, or, measured at its end, up to it.
func (d *drawing) stairs(s series) (all []pt) {
	for i, p := range s.xy {
		at := d.at(p)
		if i > 0 {
			last := all[len(all)-1]
			if s.kind == slopes {
				all = append(all, pt{last.x, at.y})
			} else {
				all = append(all, pt{at.x, last.y})
			}
		}
		all = append(all, at)
	}
	return all
}

// area is the outline of a stretch of bins, each from its point to the next one's x: along the tops, back along the bottoms.
func (d *drawing) area(bins []xy, until float64) (all []pt) {
	var back []pt
	for i, p := range bins {
		to := until
		if i+1 < len(bins) {
			to = bins[i+1].x
		}
		all = append(all, d.at(p), pt{d.px(to), d.py(p.y)})
		back = append(back, pt{d.px(p.x), d.py(p.y2)}, pt{d.px(to), d.py(p.y2)})
	}
	for i := len(back) - 1; i >= 0; i-- {
		all = append(all, back[i])
	}
	return all
}

func (d *drawing) drawSeries(s series) {
	p := d.pen
	var line []pt
	for _, v := range s.xy {
		line = append(line, d.at(v))
	}
	switch s.kind {
	case curve:
		p.path("line thick", line, false, "")
	case linked:
		p.path("line thin", line, false, "")
	case dashed:
		p.path("line dashed", line, false, "")
	case stairs:
		p.path("line thick", d.stairs(s), false, "")
	case slopes:
		p.path("line thin", d.stairs(s), false, "")
	case area:
		for from := 0; from < len(s.xy); from++ { // each stretch in which there is something
			to := from
			for to < len(s.xy) && s.xy[to].y > s.xy[to].y2 {
				to++
			}
			if to > from {
				until := s.until
				if to < len(s.xy) {
					until = s.xy[to].x
				}
				p.path("area", d.area(s.xy[from:to], until), true, "")
				from = to
			}
		}
	}
	for _, v := range s.xy {
		at := d.at(v)
		switch s.kind {
		case points, linked:
			if v.high > v.low {
				p.line("err", pt{at.x, d.py(v.low)}, pt{at.x, d.py(v.high)}, "")
			}
			p.dot("dot", at, 4.5, v.text)
		case diamond:
			p.path("open", []pt{{at.x, at.y - 8}, {at.x + 8, at.y}, {at.x, at.y + 8}, {at.x - 8, at.y}}, true, v.text)
		case cross:
			p.line("cross", pt{at.x - 5, at.y - 5}, pt{at.x + 5, at.y + 5}, v.text)
			p.line("cross", pt{at.x - 5, at.y + 5}, pt{at.x + 5, at.y - 5}, "")
		case span:
			p.line("span", at, pt{at.x, d.py(v.y2)}, v.text)
		case column:
			left, right := d.px(v.x), d.px(v.x2)
			p.rect("column", pt{left, at.y}, max(1, right-left-1), max(0, d.floor()-at.y), v.text)
		case bar:
			half := min(9, .35*d.row)
			p.rect("column", pt{d.left, at.y - half}, max(1, at.x-d.left), 2*half, v.text)
			label, a := pt{at.x + 8, at.y + 4}, start
			if label.x+d.measure(12, v.label) > d.width {
				label.x, a = at.x-8, end
			}
			p.text(map[anchor]string{start: "barlabel", end: "barlabel on"}[a], label, a, v.label)
		case cell:
			p.color(v.color)
			width, height := d.px(v.x+1)-d.px(v.x), d.py(v.y)-d.py(v.y+1)
			p.rect("cell", pt{at.x - width/2, at.y - height/2}, width, height, v.text)
			label := "celllabel"
			if dark(v.color.rgb()) {
				label = "celllabel on"
			}
			lines := strings.Split(v.label, "\n")
			for i, l := range lines {
				p.text(label, pt{at.x, at.y + 4 + 12*(float64(i)-float64(len(lines)-1)/2)}, middle, l)
			}
		case edge:
			p.line("line thick", at, pt{d.px(v.x2), d.py(v.y2)}, "")
		case outline:
			width, height := d.px(v.x+1)-d.px(v.x), d.py(v.y)-d.py(v.y+1)
			corner := pt{at.x - width/2, at.y - height/2}
			p.path("line thick", []pt{corner, {corner.x + width, corner.y}, {corner.x + width, corner.y + height}, {corner.x, corner.y + height}},
				true, "")
		case whisker:
			p.line("span", pt{max(d.left, d.px(v.low)), at.y}, pt{min(d.width-d.right, d.px(v.high)), at.y}, "")
			p.dot("dot", at, 4.5, v.text)
		default:
			if v.text != "" {
				p.target(at, v.text)
			}
		}
	}
}

// drawKey draws how a series looks, in a box of 26 by 14 pixels whose upper left corner is at.
func drawKey(p pen, s series, at pt) {
	p.color(s.color)
	y := at.y + 7
	left, right, center := pt{at.x + 1, y}, pt{at.x + 25, y}, pt{at.x + 13, y}
	switch s.kind {
	case dashed:
		p.line("line dashed", left, right, "")
	case points:
		p.dot("dot", center, 4.5, "")
	case linked:
		p.line("line thin", left, right, "")
		p.dot("dot", center, 4, "")
	case whisker:
		p.line("span", left, right, "")
		p.dot("dot", center, 4, "")
	case diamond:
		p.path("open", []pt{{center.x, y - 6}, {center.x + 6, y}, {center.x, y + 6}, {center.x - 6, y}}, true, "")
	case cross:
		p.line("cross", pt{center.x - 5, y - 5}, pt{center.x + 5, y + 5}, "")
		p.line("cross", pt{center.x - 5, y + 5}, pt{center.x + 5, y - 5}, "")
	case span:
		p.line("span", pt{at.x + 3, y}, pt{at.x + 23, y}, "")
	case area:
		p.rect("area", pt{at.x + 3, at.y + 1}, 20, 12, "")
	case column, bar:
		p.rect("column", pt{at.x + 3, at.y + 1}, 20, 12, "")
	case slopes:
		p.line("line thin", left, right, "")
	case outline:
		p.path("line thick", []pt{{at.x + 3, at.y + 1}, {at.x + 23, at.y + 1}, {at.x + 23, at.y + 13}, {at.x + 3, at.y + 13}}, true, "")
	default:
		p.line("line thick", left, right, "")
	}
}

// frame draws the title, the subtitle, the legend and the names of the bands above a picture that may travel alone, and returns its height.
func frame(p pen, c chart, subtitle string, width float64, dry bool) float64 {
	text := func(style string, at pt, s string) {
		if !dry {
			p.text(style, at, start, s)
		}
	}
	text("title", pt{16, 34}, c.title)
	text("subtitle", pt{16, 56}, subtitle)
	x, y := 16.0, 70.0
	for _, s := range c.legend() {
		w := 32 + measure(13, s.name)
		if x+w > width-16 && x > 16 {
			x, y = 16, y+20
		}
		if !dry {
			drawKey(p, s, pt{x, y})
		}
		text("legend", pt{x + 32, y + 11.5}, s.name)
		x += w + 22
	}
	y += 22
	if list := c.bandList(); len(list) > 0 {
		for _, l := range wrapped(list, " · ", func(s string) bool { return measure(12, s) <= width-32 }) {
			text("subtitle", pt{16, y + 14}, l)
			y += 17
		}
	}
	return y + 8
}

// wrapped joins items into lines that fit.
func wrapped(items []string, between string, fits func(string) bool) (lines []string) {
	line := ""
	for _, s := range items {
		switch {
		case line == "":
			line = s
		case fits(line + between + s):
			line += between + s
		default:
			lines, line = append(lines, line), s
		}
	}
	return append(lines, line)
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

// num writes a coordinate: a tenth of a pixel is enough, and the same on every machine.
func num(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10+0, 'f', -1, 64) }

// subtitle says on each plot, which may travel alone, what it is of.
func subtitle(a *capacity.Analysis) string {
	s := fmt.Sprintf("%s, %s", played(a.Run), a.Run.Start.UTC().Format("2 January 2006"))
	if a.Run.Simulated {
		s += ", simulated"
	}
	return s + " · " + string(a.Overall.Outcome)
}
