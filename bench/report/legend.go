package report

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// entry is a line of a legend.
type entry struct {
	title string
	pen   pen
}

const (
	legendLine   = textSize * 1.6
	legendSample = vg.Length(30) // of the line that a title stands beside
	legendGap    = vg.Length(8)
)

// legendColumns is how many entries stand side by side, and how wide each is.
func legendColumns(entries []entry, l look, width vg.Length) (int, vg.Length) {
	widest := vg.Length(0)
	style := l.style(textSize, l.theme.ink)
	for _, e := range entries {
		widest = max(widest, style.Width(e.title))
	}
	widest += legendSample + 3*legendGap
	return max(1, min(len(entries), int(width/widest))), widest
}

func legendHeight(entries []entry, l look, width vg.Length) vg.Length {
	if len(entries) == 0 {
		return 0
	}
	columns, _ := legendColumns(entries, l, width)
	rows := (len(entries) + columns - 1) / columns
	return vg.Length(rows)*legendLine + legendGap
}

// drawLegend fills the canvas from its top, row by row.
func drawLegend(c draw.Canvas, entries []entry, l look) {
	columns, wide := legendColumns(entries, l, c.Max.X-c.Min.X)
	style := middle(l.style(textSize, l.theme.ink))
	for i, e := range entries {
		x := c.Min.X + vg.Length(i%columns)*wide
		y := c.Max.Y - legendGap - legendLine*(vg.Length(i/columns)+0.5)
		c.StrokeLine2(e.pen.line(l.theme), x, y, x+legendSample, y)
		e.pen.draw(&c, l.theme, vg.Point{X: x + legendSample/2, Y: y}, 3.6)
		c.FillText(style, vg.Point{X: x + legendSample + legendGap, Y: y}, e.title)
	}
}

// line is the style of the pen's lines.
func (p pen) line(t theme) draw.LineStyle {
	style := draw.LineStyle{Color: p.colour(t), Width: 2}
	for _, length := range p.dashes {
		style.Dashes = append(style.Dashes, vg.Length(length))
	}
	return style
}

// draw makes the pen's mark.
func (p pen) draw(c *draw.Canvas, t theme, at vg.Point, radius vg.Length) {
	corners := func(points ...float64) {
		var path []vg.Point
		for i := 0; i < len(points); i += 2 {
			path = append(path, vg.Point{X: at.X + radius*vg.Length(points[i]), Y: at.Y + radius*vg.Length(points[i+1])})
		}
		c.FillPolygon(p.colour(t), path)
	}
	switch p.mark {
	case square:
		corners(-0.9, -0.9, 0.9, -0.9, 0.9, 0.9, -0.9, 0.9)
	case triangle:
		corners(-1.1, -0.85, 1.1, -0.85, 0, 1.15)
	case diamond:
		corners(-1.25, 0, 0, -1.25, 1.25, 0, 0, 1.25)
	case disc:
		c.DrawGlyphNoClip(draw.GlyphStyle{Color: p.colour(t), Radius: radius, Shape: draw.CircleGlyph{}}, at)
	}
}
