package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

// page is what the template of the HTML report shows.
type page struct {
	Title    string
	CutOff   string // that not all was measured; empty when it was
	Story    []string
	Advice   []string
	Warnings []string
	Outcomes htmlTable
	Costs    htmlTable
	Legend   []string
	First    *figure  // the picture that goes with the table
	Figures  []figure // the others
	Wrongs   []wrong
	Failures []string
	Meanings []meaning
	Sweeps   []htmlTable
	Facts    []fact
	Style    template.CSS
}

// figure is a plot: the same picture for light and dark, on a page and on a phone. Style sheets show one of the four.
type figure struct {
	ID       string
	Title    string
	Caption  string
	Pictures []template.HTML
}

// meaning explains a strategy.
type meaning struct {
	Name, Title, Meaning string
}

// htmlTable is a grid for a page.
type htmlTable struct {
	Caption string
	Headed  bool // the caption stands above as a heading
	Heads   []string
	Rows    []htmlRow
}

// htmlRow is the row of a strategy.
type htmlRow struct {
	Class string // of the swatch in the strategy's colour
	Name  string
	Title string
	Wrong bool
	Cells []string
}

// WriteHTML writes r, which is finished, as one self-contained page: no scripts, nothing loaded from elsewhere. All text
// from elsewhere is escaped.
func WriteHTML(w io.Writer, r Report) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	p, err := newPage(r)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := t.Execute(&text, p); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// meaning is that of a strategy on what this report was measured on.
func (r Report) meaning(name string) string {
	meaning := Describe(name).Meaning
	if r.Environment.Pooled {
		return strings.ReplaceAll(meaning, "to Postgres", "to "+r.server())
	}
	return meaning
}

func newPage(r Report) (page, error) {
	drawn := pens(r)
	classes, style := swatches(r, drawn)
	p := page{
		Title: headline(r), CutOff: cutOff(r), Story: story(r), Advice: printables(r.Advice), Warnings: printables(r.Warnings), Legend: legend(r),
		Outcomes: newHTMLTable("Calls a second, latency and correctness", outcomeGrid(r), classes),
		Costs:    newHTMLTable("The tail of the latency, processor and memory; CPU seconds are for 10,000 calls", costGrid(r), classes),
		Wrongs:   wrongs(r.Strategies), Failures: remarks(r), Facts: facts(r),
		Style: style,
	}
	for _, s := range ran(r.Strategies) {
		p.Meanings = append(p.Meanings, meaning{printable(s.Name), printable(s.title()), r.meaning(s.Name)})
	}
	for _, sweep := range r.Sweeps {
		g := sweepGrid(sweep)
		for _, name := range sweep.names() {
			g.from = append(g.from, sweep.named(name))
		}
		t := newHTMLTable(sweepTitle(sweep), g, classes)
		t.Headed = true
		p.Sweeps = append(p.Sweeps, t)
	}
	for _, picture := range pictures(r) {
		f := figure{ID: "plot-" + picture.name, Title: picture.title, Caption: captions(r, picture.name)}
		for _, t := range []theme{lightTheme(), darkTheme()} {
			for _, width := range []struct {
				points look
				class  string
			}{{look{theme: t, width: wideWidth}, "wide"}, {look{theme: t, width: narrowWidth}, "narrow"}} {
				class := "light " + width.class
				if t.dark {
					class = "dark " + width.class
				}
				svg, err := picture.inline(width.points, class)
				if err != nil {
					return page{}, err
				}
				// The SVG was drawn here, and the library escapes the text in it.
				f.Pictures = append(f.Pictures, template.HTML(svg))
			}
		}
		if picture.name == "calls" {
			p.First = &f
		} else {
			p.Figures = append(p.Figures, f)
		}
	}
	return p, nil
}

// captions tell how to read a plot.
func captions(r Report, name string) string {
	if strings.HasPrefix(name, "latency-") {
		return "Lower is better, as in the first of these pictures; its axis may be another."
	}
	switch name {
	case "calls":
		if r.Settings.Rate > 0 {
			return "No strategy can make more than the rate asks for. The whisker spans the rounds, from the slowest to the fastest."
		}
		return "Longer is better. The whisker spans the rounds, from the slowest to the fastest. Behind the number stands how many times as many calls it is as connecting for every call makes."
	case "latency":
		return "Lower is better. Over 99 % a line tells what 99 of 100 calls took at most; each step to the right looks at ten times rarer calls. A line ends where fewer than ten calls are left."
	case "clients":
		return "Higher is better. Where a line turns flat, more clients only wait longer."
	case "pool":
		return "Higher is better. A dashed line, if there is one, is at the smallest pool that comes within 5 % of the best."
	case "pool-latency":
		return "Lower is better: calls wait when the pool is too small."
	case "connections":
		return "Each connection is a process of the server. All strips have the same scale; between two looks, a tenth of a second apart, there may have been more."
	}
	return ""
}

// swatches gives each strategy a class for its colour, and the style sheet's rules for them.
func swatches(r Report, drawn map[string]pen) (map[string]string, template.CSS) {
	classes := make(map[string]string)
	var light, dark strings.Builder
	names := func(strategies []Strategy) {
		for _, s := range strategies {
			if classes[s.Name] != "" {
				continue
			}
			class := fmt.Sprintf("s%d", len(classes)+1)
			classes[s.Name] = class
			p := drawn[s.Name]
			fmt.Fprintf(&light, ".%s{background:%s}", class, cssColour(p.light.R, p.light.G, p.light.B))
			fmt.Fprintf(&dark, ".%s{background:%s}", class, cssColour(p.dark.R, p.dark.G, p.dark.B))
		}
	}
	names(r.Strategies)
	for _, sweep := range r.Sweeps {
		for _, point := range sweep.Points {
			names(point.Strategies)
		}
	}
	return classes, template.CSS(light.String() + "@media (prefers-color-scheme: dark){" + dark.String() + "}")
}

func cssColour(r, g, b uint8) string { return fmt.Sprintf("#%02X%02X%02X", r, g, b) }

func newHTMLTable(caption string, g grid, classes map[string]string) htmlTable {
	t := htmlTable{Caption: caption}
	for _, head := range g.heads[1:] {
		t.Heads = append(t.Heads, strings.ReplaceAll(head, "\n", " "))
	}
	for i, row := range g.rows {
		s := g.from[i]
		t.Rows = append(t.Rows, htmlRow{
			Class: classes[s.Name], Name: printable(s.Name), Title: printable(s.title()),
			Wrong: s.Summary != nil && s.Summary.WrongCount() > 0, Cells: row[1:],
		})
	}
	return t
}

func printables(texts []string) []string {
	var clean []string
	for _, text := range texts {
		clean = append(clean, sentence(text))
	}
	return clean
}
