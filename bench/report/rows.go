package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rows is the layout of charts that have a row for each strategy: its title beside the row, or above it where there is no
// room, and a number behind it. The rows share an axis below them.
type rows struct {
	titles  []string
	numbers []string
	ends    []float64 // the share of the row's width behind which its number stands
	height  vg.Length // of what is drawn in a row
	gap     vg.Length // between rows
}

const (
	titleRoom  = vg.Length(17) // above a row that has its title there
	numberGap  = vg.Length(6)
	axisHeight = vg.Length(44)
	rowsMargin = vg.Length(4) // above the first row and below the last
)

func (r rows) pitch(l look) vg.Length {
	if l.narrow() {
		return r.height + r.gap + titleRoom
	}
	return r.height + r.gap
}

func (r rows) total(l look) vg.Length {
	return r.pitch(l)*vg.Length(len(r.titles)) + 2*rowsMargin + axisHeight
}

// area is where the rows are, without titles and axis: as wide as the numbers behind the rows, and the axis' last label,
// leave room for.
func (r rows) area(c draw.Canvas, l look, last string) draw.Canvas {
	style := l.style(textSize, l.theme.ink)
	left := vg.Length(2)
	if !l.narrow() {
		for _, title := range r.titles {
			left = max(left, style.Width(title)+10)
		}
	}
	area := draw.Crop(c, left, 0, axisHeight, 0)
	room := area.Max.X - area.Min.X
	width := room - style.Width(last)/2
	for i, number := range r.numbers {
		if r.ends[i] > 0 {
			width = min(width, (room-style.Width(number)-numberGap)/vg.Length(r.ends[i]))
		}
	}
	area.Max.X = area.Min.X + max(width, room/4)
	return area
}

// row is the canvas of row i; its title is drawn.
func (r rows) row(area draw.Canvas, l look, i int) draw.Canvas {
	style := middle(l.style(textSize, l.theme.ink))
	top := area.Max.Y - rowsMargin - r.pitch(l)*vg.Length(i)
	row := area
	row.Max.Y = top - r.gap/2
	if l.narrow() {
		row.Max.Y -= titleRoom
		area.FillText(style, vg.Point{X: area.Min.X, Y: row.Max.Y + titleRoom/2 - 1}, r.titles[i])
	}
	row.Min.Y = row.Max.Y - r.height
	if !l.narrow() {
		style.XAlign = draw.XRight
		area.FillText(style, vg.Point{X: area.Min.X - 8, Y: (row.Min.Y + row.Max.Y) / 2}, r.titles[i])
	}
	return row
}

// number writes the number of row i behind x.
func (r rows) number(row draw.Canvas, l look, i int, x vg.Length) {
	style := middle(l.style(textSize, l.theme.ink))
	row.FillText(style, vg.Point{X: x + numberGap, Y: (row.Min.Y + row.Max.Y) / 2}, r.numbers[i])
}

// axis draws lines at the ticks, with their labels and the axis' own below.
func (r rows) axis(area draw.Canvas, l look, ticks []plot.Tick, x func(float64) vg.Length, label string) {
	faint := l.style(textSize-1, l.theme.faint)
	faint.YAlign = draw.YTop
	rule := draw.LineStyle{Color: l.theme.grid, Width: 1}
	for i, t := range ticks {
		area.StrokeLine2(rule, x(t.Value), area.Min.Y, x(t.Value), area.Max.Y)
		faint.XAlign = draw.XCenter
		if i == 0 && l.narrow() {
			faint.XAlign = draw.XLeft // its left half would be outside
		}
		if t.Label != "" {
			area.FillText(faint, vg.Point{X: x(t.Value), Y: area.Min.Y - 5}, t.Label)
		}
	}
	faint.XAlign = draw.XLeft
	area.FillText(faint, vg.Point{X: area.Min.X, Y: area.Min.Y - 24}, label)
}
