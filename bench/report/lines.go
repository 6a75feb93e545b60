package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dot is a point of a line, with the spread of its y.
type dot struct {
	x, y      float64
	low, high float64 // equal to y when there is no spread
}

// line is one strategy in a chart of lines.
type line struct {
	entry
	dots  []dot
	marks []dot // where the pen's mark is drawn
}

// lines is a chart of lines over an axis with the given ticks, with its legend below.
type lines struct {
	xLabel string
	yLabel string
	xTicks func(l look) []plot.Tick // along the positions of the dots' x; the ends of the axis are the first and the last
	yText  func(float64) string     // of a tick
	yLog   bool
	lines  []line
	knee   *dot // its x is marked, with kneeText beside it
	text   string
}

const (
	linesHeight  = vg.Length(320)
	narrowHeight = vg.Length(250)
)

func (d lines) entries() []entry {
	var entries []entry
	for _, l := range d.lines {
		entries = append(entries, l.entry)
	}
	return entries
}

// inner is the width that the legend has of a picture's.
func (l look) inner() vg.Length {
	if l.titled {
		return l.width - 24
	}
	return l.width
}

func (d lines) height(l look) vg.Length {
	height := linesHeight
	if l.narrow() {
		height = narrowHeight
	}
	return height + legendHeight(d.entries(), l, l.inner())
}

// frame is the area of the data with its axes.
type frame struct {
	area   draw.Canvas
	x, y   func(float64) vg.Length
	xTicks []plot.Tick
	yTicks []plot.Tick
}

func (d lines) draw(c draw.Canvas, l look) {
	legend := legendHeight(d.entries(), l, c.Max.X-c.Min.X)
	below := c
	below.Max.Y = c.Min.Y + legend
	drawLegend(below, d.entries(), l)
	f := d.frame(draw.Crop(c, 0, 0, legend, 0), l)
	f.axes(d, l)
	if d.knee != nil {
		f.knee(*d.knee, d.text, l, d.lines)
	}
	for _, line := range d.lines {
		f.line(line, l)
	}
}

// frame measures the labels and lays the axes out around them.
func (d lines) frame(c draw.Canvas, l look) frame {
	low, high := math.Inf(1), 0.0
	for _, line := range d.lines {
		for _, dot := range line.dots {
			high = max(high, dot.high)
			if dot.low > 0 {
				low = min(low, dot.low)
			}
		}
	}
	f := frame{xTicks: d.xTicks(l)}
	if d.yLog {
		f.yTicks = logTicks(low, high, d.yText)
	} else {
		f.yTicks = linearTicks(high, 5, d.yText)
	}
	style := l.style(textSize-1, l.theme.faint)
	labels := vg.Length(0)
	for _, t := range f.yTicks {
		labels = max(labels, style.Width(t.Label))
	}
	last := style.Width(f.xTicks[len(f.xTicks)-1].Label) / 2
	f.area = draw.Crop(c, labels+8, -max(last, 6), axisHeight, -24)
	x0, x1 := f.xTicks[0].Value, f.xTicks[len(f.xTicks)-1].Value
	y0, y1 := f.yTicks[0].Value, f.yTicks[len(f.yTicks)-1].Value
	f.x = func(v float64) vg.Length { return f.area.X((v - x0) / (x1 - x0)) }
	f.y = func(v float64) vg.Length {
		if d.yLog {
			return f.area.Y(math.Log(max(v, y0)/y0) / math.Log(y1/y0))
		}
		return f.area.Y((v - y0) / (y1 - y0))
	}
	return f
}

func (f frame) axes(d lines, l look) {
	rule := draw.LineStyle{Color: l.theme.grid, Width: 1}
	base := draw.LineStyle{Color: l.theme.faint, Width: 1}
	style := middle(l.style(textSize-1, l.theme.faint))
	style.XAlign = draw.XRight
	for _, t := range f.yTicks {
		f.area.StrokeLine2(rule, f.area.Min.X, f.y(t.Value), f.area.Max.X, f.y(t.Value))
		f.area.FillText(style, vg.Point{X: f.area.Min.X - 6, Y: f.y(t.Value)}, t.Label)
	}
	style.XAlign, style.YAlign = draw.XCenter, draw.YTop
	free := vg.Length(math.Inf(-1)) // from where on no label is
	for _, t := range f.xTicks {
		f.area.StrokeLine2(rule, f.x(t.Value), f.area.Min.Y, f.x(t.Value), f.area.Max.Y)
		half := style.Width(t.Label) / 2
		if f.x(t.Value)-half < free {
			continue
		}
		free = f.x(t.Value) + half + 4
		f.area.FillText(style, vg.Point{X: f.x(t.Value), Y: f.area.Min.Y - 5}, t.Label)
	}
	f.area.StrokeLine2(base, f.area.Min.X, f.area.Min.Y, f.area.Max.X, f.area.Min.Y)
	f.area.FillText(style, vg.Point{X: (f.area.Min.X + f.area.Max.X) / 2, Y: f.area.Min.Y - 23}, d.xLabel)
	// The label of the y axis lies above it: turned text is hard to read.
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	left := f.area.Min.X
	for _, t := range f.yTicks {
		left = min(left, f.area.Min.X-6-style.Width(t.Label))
	}
	f.area.FillText(style, vg.Point{X: left, Y: f.area.Max.Y + 9}, d.yLabel)
}

func (f frame) line(s line, l look) {
	colour := s.pen.colour(l.theme)
	var points []vg.Point
	for _, d := range s.dots {
		points = append(points, vg.Point{X: f.x(d.x), Y: f.y(d.y)})
		if f.y(d.high)-f.y(d.low) > 1 {
			f.area.StrokeLine2(draw.LineStyle{Color: colour, Width: 1}, f.x(d.x), f.y(d.low), f.x(d.x), f.y(d.high))
		}
	}
	f.area.StrokeLines(s.pen.line(l.theme), points)
	for _, d := range s.marks {
		s.pen.draw(&f.area, l.theme, vg.Point{X: f.x(d.x), Y: f.y(d.y)}, 4)
	}
}

// knee marks a value of the x axis; its text stands where no line passes.
func (f frame) knee(at dot, text string, l look, lines []line) {
	style := middle(l.style(textSize, l.theme.ink))
	x := f.x(at.x)
	f.area.StrokeLine2(draw.LineStyle{Color: l.theme.ink, Width: 1.2, Dashes: []vg.Length{4, 3}}, x, f.area.Min.Y, x, f.area.Max.Y)
	width := style.Width(text)
	left := x + 6
	if left+width > f.area.Max.X {
		left = x - 6 - width
	}
	place, clearest := f.area.Min.Y+textSize, vg.Length(-1)
	for y := place; y < f.area.Max.Y-textSize && clearest < 2*textSize; y += textSize {
		if clear := f.clearance(lines, left, left+width, y); clear > clearest {
			place, clearest = y, clear
		}
	}
	f.area.FillText(style, vg.Point{X: left, Y: place}, text)
}

// clearance is how far the nearest line is from the height y between two places of the x axis.
func (f frame) clearance(lines []line, from, to, y vg.Length) vg.Length {
	clear := f.area.Max.Y - f.area.Min.Y
	for _, line := range lines {
		for i := 1; i < len(line.dots); i++ {
			a, b := line.dots[i-1], line.dots[i]
			x0, y0, x1, y1 := f.x(a.x), f.y(a.y), f.x(b.x), f.y(b.y)
			const pieces = 16
			for piece := range pieces + 1 {
				share := vg.Length(piece) / pieces
				if x := x0 + (x1-x0)*share; x >= from && x <= to {
					clear = min(clear, vg.Length(math.Abs(float64(y0+(y1-y0)*share-y))))
				}
			}
		}
	}
	return clear
}
