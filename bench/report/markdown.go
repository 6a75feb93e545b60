package report

import (
	"io"
	"strings"
)

// WriteMarkdown writes r as GitHub's Markdown, in the order of WriteTable. Text from elsewhere can't become markup.
func WriteMarkdown(w io.Writer, r Report) error {
	var m markdown
	m.line("## " + escapeMarkdown(headline(r)))
	m.line("")
	if text := cutOff(r); text != "" {
		m.line("**" + escapeMarkdown(text) + "**")
		m.line("")
	}
	if told := story(r); len(told) > 0 {
		m.line(escapeMarkdown(strings.Join(told, " ")))
		m.line("")
	}
	m.grid(outcomeGrid(r))
	m.line("")
	m.line(escapeMarkdown(strings.Join(legend(r), " ")))
	for _, w := range wrongs(r.Strategies) {
		m.line("")
		m.line("**" + escapeMarkdown(w.Sentence) + "**")
		m.list(w.Examples)
	}
	m.list(remarks(r))
	if costs := costGrid(r); len(costs.rows) > 0 && len(costs.heads) > 1 {
		m.line("")
		m.grid(costs)
		m.line("")
		m.line("CPU seconds are for 10,000 calls.")
	}
	for _, sweep := range r.Sweeps {
		m.line("")
		m.line("### " + escapeMarkdown(sweepTitle(sweep)))
		m.line("")
		m.grid(sweepGrid(sweep))
	}
	m.section("Conditions", labelled(facts(r)))
	m.section("Warnings", printables(r.Warnings))
	m.section("Advice", printables(r.Advice))
	_, err := io.WriteString(w, m.text.String())
	return err
}

func labelled(facts []fact) []string {
	var lines []string
	for _, f := range facts {
		lines = append(lines, f.Label+": "+f.Text)
	}
	return lines
}

type markdown struct{ text strings.Builder }

func (m *markdown) line(text string) { m.text.WriteString(text + "\n") }

func (m *markdown) section(title string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	m.line("")
	m.line("### " + title)
	m.list(sentences)
}

func (m *markdown) list(sentences []string) {
	if len(sentences) == 0 {
		return
	}
	m.line("")
	for _, sentence := range sentences {
		m.line("- " + escapeMarkdown(sentence))
	}
}

func (m *markdown) grid(g grid) {
	if len(g.rows) == 0 {
		m.line("Nothing was measured.")
		return
	}
	m.row(g.heads)
	m.line("|---" + strings.Repeat("|---:", len(g.heads)-1) + "|")
	for _, row := range g.rows {
		m.row(row)
	}
}

func (m *markdown) row(cells []string) {
	line := "|"
	for _, cell := range cells {
		line += " " + escapeMarkdown(strings.ReplaceAll(cell, "\n", " ")) + " |"
	}
	m.line(line)
}

// escapeMarkdown keeps text from becoming markup. A dot or a dash needs no escape inside a line.
func escapeMarkdown(text string) string {
	var out strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune("\\`*_[]<>|#&~", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
