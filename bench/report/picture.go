package report

import (
	"bytes"
	"fmt"
	"image/color"
	"strings"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Widths of pictures in points: that of a page, and that of a phone.
const (
	wideWidth   = vg.Length(760)
	narrowWidth = vg.Length(350)
)

const (
	textSize  = vg.Length(12)
	titleSize = vg.Length(16)
	pngDPI    = 144 // two pixels for a point
)

// look is how a picture is drawn this time.
type look struct {
	theme  theme
	width  vg.Length
	titled bool // the picture stands alone, and has its title and background with it
}

func (l look) narrow() bool { return l.width <= narrowWidth }

// picture is one plot, which can be drawn in several looks.
type picture struct {
	name  string // of its file
	title string
	alt   string // what it shows, for those who can't see it
	chart chart
}

// chart is what is in a picture besides its title.
type chart interface {
	height(l look) vg.Length
	draw(c draw.Canvas, l look)
}

func (p picture) height(l look) vg.Length {
	height := p.chart.height(l)
	if l.titled {
		height += titleSize * 2
	}
	return height
}

func (p picture) draw(c draw.Canvas, l look) {
	if l.titled {
		c.FillPolygon(l.theme.background, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
		c = draw.Crop(c, 12, -12, 8, -10)
		style := l.style(titleSize, l.theme.ink)
		style.Font.Weight = font.WeightBold
		style.YAlign = draw.YTop
		c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y}, p.title)
		c = draw.Crop(c, 0, 0, 0, -titleSize*2+10)
	}
	p.chart.draw(c, l)
}

// style is that of text in a size and a colour.
func (l look) style(size vg.Length, colour color.Color) text.Style {
	return text.Style{
		Color:   colour,
		Font:    plotfont.From(plotfont.Font{Typeface: "Liberation", Variant: "Sans"}, size),
		Handler: plot.DefaultTextHandler,
	}
}

// middle is style with the line of text centred on a point: on the small letters, which are what one sees as the middle.
func middle(style text.Style) text.Style {
	style.YAlign = middleAlign
	return style
}

const middleAlign = draw.YAlignment(-0.36)

// svg is the picture as an SVG file.
func (p picture) svg(l look) ([]byte, error) {
	canvas := &sizedCanvas{Canvas: vgsvg.New(l.width, p.height(l))}
	p.draw(draw.New(canvas), l)
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", p.name, err)
	}
	return canvas.fixed(out.Bytes()), nil
}

// sizedCanvas is a canvas that remembers how wide its texts are in the font that they were laid out with. A reader's machine may
// not have that font; with the widths written into the SVG, no text grows into its neighbour or out of the picture.
type sizedCanvas struct {
	*vgsvg.Canvas
	widths []vg.Length
}

// FillString writes text, as vg.Canvas has it.
func (s *sizedCanvas) FillString(face plotfont.Face, at vg.Point, text string) {
	s.widths = append(s.widths, face.Width(text))
	s.Canvas.FillString(face, at, text)
}

// fixed adds the widths to an SVG, and to the font the names of its likes: those of the same measures, one of which is on
// most machines.
func (s *sizedCanvas) fixed(svg []byte) []byte {
	const element = "<text "
	var out strings.Builder
	rest := strings.ReplaceAll(string(svg), "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	for _, width := range s.widths {
		before, after, found := strings.Cut(rest, element)
		if !found {
			break
		}
		fmt.Fprintf(&out, `%s%stextLength="%.5g" lengthAdjust="spacingAndGlyphs" `, before, element, float64(width))
		rest = after
	}
	out.WriteString(rest)
	return []byte(out.String())
}

// inline is the picture as an SVG element for a page, as wide as its place.
func (p picture) inline(l look, class string) (string, error) {
	data, err := p.svg(l)
	if err != nil {
		return "", err
	}
	_, body, found := strings.Cut(string(data), "<svg ")
	if found {
		_, body, found = strings.Cut(body, ">")
	}
	if !found {
		return "", fmt.Errorf("draw %s: no svg element was written", p.name)
	}
	return fmt.Sprintf(`<svg class="%s" viewBox="0 0 %.5g %.5g" role="img" aria-label="%s" xmlns="http://www.w3.org/2000/svg">%s`,
		class, float64(l.width), float64(p.height(l)), attribute(p.alt), body), nil
}

// png is the picture as a PNG file.
func (p picture) png(l look) ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(l.width, p.height(l)), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(l.theme.background))
	p.draw(draw.New(canvas), l)
	var out bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", p.name, err)
	}
	return out.Bytes(), nil
}
