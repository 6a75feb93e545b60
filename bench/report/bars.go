package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bar is one of a bar chart.
type bar struct {
	title  string
	value  Spread
	pen    pen
	factor string // how it compares, behind the value; empty: it doesn't
	note   string // behind both
}

// bars is a chart of horizontal bars with their spread. They begin at zero, so that a bar which is twice as long stands for
// twice as much.
type bars struct {
	label string // of the axis
	bars  []bar
}

const (
	barHeight = vg.Length(15)
	barGap    = vg.Length(10)
)

// scale is an axis from its first tick to its last.
type scale struct{ ticks []plot.Tick }

func (s scale) low() float64  { return s.ticks[0].Value }
func (s scale) high() float64 { return s.ticks[len(s.ticks)-1].Value }

// share is where v is on the axis: 0 at its beginning, 1 at its end.
func (s scale) share(v float64) float64 { return (v - s.low()) / (s.high() - s.low()) }

// on maps values to the width of an area.
func (s scale) on(area draw.Canvas) func(float64) vg.Length {
	return func(v float64) vg.Length { return area.X(s.share(v)) }
}

func (b bars) scale(l look) scale {
	high := 0.0
	for _, bar := range b.bars {
		high = max(high, bar.value.High)
	}
	steps := 6
	if l.narrow() {
		steps = 3
	}
	return scale{ticks: linearTicks(high, steps, tick)}
}

func (b bars) rows(s scale) rows {
	r := rows{height: barHeight, gap: barGap}
	for _, bar := range b.bars {
		r.titles = append(r.titles, bar.title)
		r.numbers = append(r.numbers, bar.text())
		r.ends = append(r.ends, s.share(bar.value.High))
	}
	return r
}

func (b bars) height(l look) vg.Length { return b.rows(b.scale(l)).total(l) }

func (b bars) draw(c draw.Canvas, l look) {
	s := b.scale(l)
	r := b.rows(s)
	area := r.area(c, l, s.ticks[len(s.ticks)-1].Label)
	x := s.on(area)
	r.axis(area, l, s.ticks, x, b.label)
	for i, bar := range b.bars {
		row := r.row(area, l, i)
		bar.draw(row, l, x)
		r.number(row, l, i, x(bar.value.High))
	}
}

func (b bar) text() string {
	text := amount(b.value.Median)
	if b.factor != "" {
		text += " · " + b.factor
	}
	if b.note != "" {
		text += ", " + b.note
	}
	return text
}

func (b bar) draw(row draw.Canvas, l look, x func(float64) vg.Length) {
	right := x(b.value.Median)
	row.FillPolygon(b.pen.colour(l.theme), []vg.Point{
		{X: row.Min.X, Y: row.Min.Y}, {X: right, Y: row.Min.Y}, {X: right, Y: row.Max.Y}, {X: row.Min.X, Y: row.Max.Y},
	})
	if low, high := x(b.value.Low), x(b.value.High); high-low > 1 {
		y := (row.Min.Y + row.Max.Y) / 2
		whisker := draw.LineStyle{Color: l.theme.ink, Width: 1.2}
		row.StrokeLine2(whisker, low, y, high, y)
		row.StrokeLine2(whisker, low, y-3, low, y+3)
		row.StrokeLine2(whisker, high, y-3, high, y+3)
	}
}
