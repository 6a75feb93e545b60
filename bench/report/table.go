package report

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
)

// Options is how text for a terminal is written.
type Options struct {
	Width int  // columns; 0: 110
	Color bool // with ANSI colours; without them the text is plain
}

const (
	defaultWidth = 110
	columnGap    = 2
	narrowTitle  = 18 // columns that a strategy's title keeps, however narrow the terminal
)

// screen is a terminal, or a file that is read like one.
type screen struct {
	text   strings.Builder
	width  int
	strong lipgloss.Style
	faint  lipgloss.Style
	alarm  lipgloss.Style
	plain  lipgloss.Style
}

func newScreen(o Options) *screen {
	renderer := lipgloss.NewRenderer(io.Discard)
	renderer.SetColorProfile(termenv.Ascii)
	if o.Color {
		renderer.SetColorProfile(termenv.ANSI)
	}
	s := &screen{width: o.Width, plain: renderer.NewStyle()}
	if s.width <= 0 {
		s.width = defaultWidth
	}
	s.strong = renderer.NewStyle().Bold(o.Color)
	s.faint = renderer.NewStyle().Faint(o.Color)
	s.alarm = renderer.NewStyle().Foreground(lipgloss.Color("1")).Bold(o.Color)
	return s
}

// WriteTable writes r for a terminal: the table, examples of what went wrong, the conditions, warnings and advice. It is
// one write.
func WriteTable(w io.Writer, r Report, o Options) error {
	s := newScreen(o)
	s.paragraph(s.strong, "", headline(r))
	if text := cutOff(r); text != "" {
		s.paragraph(s.alarm, "", text)
	}
	for _, text := range story(r) {
		s.paragraph(s.plain, "", text)
	}
	s.line("")
	s.grid(outcomeGrid(r))
	s.line("")
	for _, text := range legend(r) {
		s.paragraph(s.faint, "", text)
	}
	for _, w := range wrongs(r.Strategies) {
		s.line("")
		s.paragraph(s.alarm, "", w.Sentence)
		for _, example := range w.Examples {
			s.paragraph(s.plain, "  - ", example)
		}
	}
	s.section("", remarks(r))
	if costs := costGrid(r); len(costs.rows) > 0 && len(costs.heads) > 1 {
		s.line("")
		s.grid(costs)
		s.line("")
		s.paragraph(s.faint, "", "CPU seconds are for 10,000 calls.")
	}
	for _, sweep := range r.Sweeps {
		s.line("")
		s.paragraph(s.strong, "", sweepTitle(sweep))
		s.grid(sweepGrid(sweep))
	}
	s.line("")
	for _, f := range facts(r) {
		s.paragraph(s.faint, f.Label+": ", f.Text)
	}
	s.section("Warnings", r.Warnings)
	s.section("Advice", r.Advice)
	_, err := io.WriteString(w, s.text.String())
	return err
}

func headline(r Report) string {
	return "What pooling is worth: workload " + printable(r.Settings.Workload) + ", " +
		plural(int64(r.Settings.Clients), "client") + " in " + plural(int64(r.Settings.Processes), "process")
}

// section writes sentences as a list, and nothing when there are none.
func (s *screen) section(title string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	s.line("")
	if title != "" {
		s.line(s.strong.Render(title))
	}
	for _, text := range sentences {
		s.paragraph(s.plain, "  - ", sentence(text))
	}
}

func (s *screen) line(text string) { s.text.WriteString(strings.TrimRight(text, " ") + "\n") }

// paragraph writes text in lines that fit, the first after prefix and the others below the first one's text.
func (s *screen) paragraph(style lipgloss.Style, prefix, text string) {
	indent := strings.Repeat(" ", min(ansi.StringWidth(prefix), 4))
	for i, line := range wrap(prefix+text, max(s.width-len(indent), narrowTitle)) {
		if i > 0 {
			line = indent + line
		}
		s.line(style.Render(line))
	}
}

// wrap breaks text at spaces only: an option such as --rounds stays whole. Leading spaces stay.
func wrap(text string, width int) []string {
	var lines []string
	line, empty := text[:len(text)-len(strings.TrimLeft(text, " "))], true
	for _, word := range strings.Fields(text) {
		switch {
		case empty:
			line += word
		case ansi.StringWidth(line)+1+ansi.StringWidth(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
		empty = false
	}
	return append(lines, line)
}

// grid writes a table: titles to the left, numbers to the right, a rule below the heads. Columns that don't fit beside the
// others get a table of their own below.
func (s *screen) grid(g grid) {
	if len(g.rows) == 0 {
		s.line("nothing was measured")
		return
	}
	for i, part := range g.split(s.width) {
		if i > 0 {
			s.line("")
		}
		s.table(part)
	}
}

func (s *screen) table(g grid) {
	heads := bottomAligned(g.heads)
	t := table.New().Border(lipgloss.HiddenBorder()).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderColumn(false).BorderRow(false).BorderHeader(false).
		Headers(heads[0]...).Rows(heads[1:]...).Rows(g.rows...).
		StyleFunc(func(row, col int) lipgloss.Style { return s.cell(g, row-len(heads)+1, col) })
	lines := strings.Split(t.Render(), "\n")
	width := 0
	for _, line := range lines {
		width = max(width, ansi.StringWidth(strings.TrimRight(line, " ")))
	}
	for i, line := range lines {
		if i == len(heads) {
			s.line(s.faint.Render(strings.Repeat("─", width)))
		}
		s.line(line)
	}
}

// cell is the style of a cell; the rows of the heads are those below 0.
func (s *screen) cell(g grid, row, col int) lipgloss.Style {
	style := s.plain
	switch {
	case row < 0:
		style = s.strong
	case row < len(g.from) && g.from[row].Summary.WrongCount() > 0 && strings.HasPrefix(g.heads[col], "wrong"):
		style = s.alarm
	}
	if col == 0 {
		return style
	}
	return style.PaddingLeft(columnGap).Align(lipgloss.Right)
}

// split makes tables of at most width columns of text, if that can be, by wrapping the titles and by giving each table
// only as many columns as fit.
func (g grid) split(width int) []grid {
	var parts []grid
	narrow := narrowTitle
	for _, row := range g.rows {
		for _, word := range strings.Fields(row[0]) {
			narrow = max(narrow, ansi.StringWidth(word))
		}
	}
	for from := 1; from == 1 || from < len(g.heads); {
		room := width - min(g.columnWidth(0), narrow)
		to := from
		for to < len(g.heads) && (to == from || room >= g.columnWidth(to)+columnGap) {
			room -= g.columnWidth(to) + columnGap
			to++
		}
		title := max(narrow, min(g.columnWidth(0), narrow+room))
		part := grid{heads: append([]string{g.heads[0]}, g.heads[from:to]...), from: g.from}
		for _, row := range g.rows {
			cells := []string{strings.Join(wrap(row[0], title), "\n")}
			part.rows = append(part.rows, append(cells, row[from:to]...))
		}
		parts = append(parts, part)
		from = max(to, 2)
	}
	return parts
}

func (g grid) columnWidth(col int) int {
	width := 0
	for _, line := range strings.Split(g.heads[col], "\n") {
		width = max(width, ansi.StringWidth(line))
	}
	for _, row := range g.rows {
		width = max(width, ansi.StringWidth(row[col]))
	}
	return width
}

// bottomAligned are the rows of heads of several lines, the last lines in one row.
func bottomAligned(heads []string) [][]string {
	lines := 0
	for _, head := range heads {
		lines = max(lines, strings.Count(head, "\n")+1)
	}
	rows := make([][]string, lines)
	for i := range rows {
		rows[i] = make([]string, len(heads))
	}
	for col, head := range heads {
		parts := strings.Split(head, "\n")
		for i, part := range parts {
			rows[lines-len(parts)+i][col] = part
		}
	}
	return rows
}
