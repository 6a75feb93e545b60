package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bar is one of a bar chart.
type bar struct {
	title string
	value Spread
	pen   pen
	note  string // behind the value
}

// bars is a chart of horizontal bars with their spread, on a logarithmic axis when the values are far apart.
type bars struct {
	label string // of the axis
	bars  []bar
}

const (
	barHeight  = vg.Length(15)
	barGap     = vg.Length(10)
	farApart   = 20.0 // the factor between values above which an axis is logarithmic
	belowFirst = 2.0  // a logarithmic axis begins this factor below the lowest value
)

// scale is an axis from its first tick to its last.
type scale struct {
	ticks []plot.Tick
	log   bool
}

func (s scale) low() float64  { return s.ticks[0].Value }
func (s scale) high() float64 { return s.ticks[len(s.ticks)-1].Value }

// share is where v is on the axis: 0 at its beginning, 1 at its end.
func (s scale) share(v float64) float64 {
	if s.log {
		return math.Log(max(v, s.low())/s.low()) / math.Log(s.high()/s.low())
	}
	return (v - s.low()) / (s.high() - s.low())
}

// on maps values to the width of an area.
func (s scale) on(area draw.Canvas) func(float64) vg.Length {
	return func(v float64) vg.Length { return area.X(s.share(v)) }
}

func (b bars) scale(l look) scale {
	low, high := math.Inf(1), 0.0
	for _, bar := range b.bars {
		high = max(high, bar.value.High)
		if bar.value.Median > 0 {
			low = min(low, bar.value.Median)
		}
	}
	if high <= 0 || high/low < farApart {
		steps := 6
		if l.narrow() {
			steps = 3
		}
		return scale{ticks: linearTicks(high, steps, tick)}
	}
	s := scale{ticks: logTicks(low/belowFirst, high, tick), log: true}
	if l.narrow() {
		s.ticks = thinned(s.ticks)
	}
	return s
}

// thinned leaves labels only at powers of ten, and at the ends of an axis that has fewer than two.
func thinned(ticks []plot.Tick) []plot.Tick {
	powers := 0
	for i, t := range ticks {
		if exponent := math.Log10(t.Value); math.Abs(exponent-math.Round(exponent)) < 1e-9 {
			powers++
		} else if i > 0 && i < len(ticks)-1 {
			ticks[i].Label = ""
		}
	}
	if powers >= 2 {
		for _, i := range []int{0, len(ticks) - 1} {
			if exponent := math.Log10(ticks[i].Value); math.Abs(exponent-math.Round(exponent)) >= 1e-9 {
				ticks[i].Label = ""
			}
		}
	}
	return ticks
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
	label := b.label
	if s.log {
		label += " (logarithmic)"
	}
	r.axis(area, l, s.ticks, x, label)
	for i, bar := range b.bars {
		row := r.row(area, l, i)
		bar.draw(row, l, x)
		r.number(row, l, i, x(bar.value.High))
	}
}

func (b bar) text() string {
	if b.note != "" {
		return amount(b.value.Median) + ", " + b.note
	}
	return amount(b.value.Median)
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
