package report

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// strip is the course of one strategy's server connections.
type strip struct {
	title   string
	samples []Sample
	pen     pen
}

// strips is a chart with a small area for each strategy, all to the same scale: lines in one area would hide each other,
// since strategies often have equally many connections.
type strips struct {
	label  string
	strips []strip
	length float64 // seconds
	most   int     // connections
}

const (
	stripHeight = vg.Length(26)
	stripGap    = vg.Length(12)
)

func (s strips) rows() rows {
	r := rows{height: stripHeight, gap: stripGap}
	for _, strip := range s.strips {
		r.titles = append(r.titles, strip.title)
		r.numbers = append(r.numbers, strip.text())
		r.ends = append(r.ends, 1)
	}
	return r
}

func (s strip) peak() int {
	peak := 0
	for _, sample := range s.samples {
		peak = max(peak, sample.ServerConnections)
	}
	return peak
}

func (s strip) text() string { return "at most " + count(int64(s.peak())) }

func (s strips) height(l look) vg.Length { return s.rows().total(l) }

func (s strips) draw(c draw.Canvas, l look) {
	r := s.rows()
	axis := scale{ticks: linearTicks(s.length, 4, tick)}
	area := r.area(c, l, axis.ticks[len(axis.ticks)-1].Label)
	x := axis.on(area)
	r.axis(area, l, axis.ticks, x, s.label)
	for i, strip := range s.strips {
		row := r.row(area, l, i)
		strip.draw(row, l, x, float64(max(s.most, 1)))
		r.number(row, l, i, row.Max.X)
	}
}

// draw fills the area below the samples, each of which holds until the next.
func (s strip) draw(row draw.Canvas, l look, x func(float64) vg.Length, most float64) {
	var edge []vg.Point
	for i, sample := range s.samples {
		y := row.Y(float64(sample.ServerConnections) / most)
		if i > 0 {
			edge = append(edge, vg.Point{X: x(sample.AtSeconds), Y: edge[len(edge)-1].Y})
		}
		edge = append(edge, vg.Point{X: x(sample.AtSeconds), Y: y})
	}
	first, last := edge[0], edge[len(edge)-1]
	colour := s.pen.colour(l.theme)
	area := append([]vg.Point{{X: first.X, Y: row.Min.Y}}, edge...)
	area = append(area, vg.Point{X: last.X, Y: row.Min.Y})
	soft := colour
	soft.A = 0x66
	row.FillPolygon(soft, area)
	row.StrokeLines(draw.LineStyle{Color: colour, Width: 1.6}, edge)
	row.StrokeLine2(draw.LineStyle{Color: l.theme.faint, Width: 0.8}, row.Min.X, row.Min.Y, row.Max.X, row.Min.Y)
}
