package drivers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	// page has the matrix, between two lines of its own.
	page  = "../../docs/compatibility.md"
	begin = "<!-- drivers: begin -->\n"
	end   = "<!-- drivers: end -->\n"
)

// introduction is the page before anything was written on it.
const introduction = `# Compatibility

What works through carpool in transaction mode. The tables on this page are written by the tests.

## Drivers

Each driver goes through the same steps with its default settings, once with a Postgres of its own and once through ` + "`carpool serve`" + `
in transaction mode: two server connections, and six other clients that change parameters, prepare statements, listen, make
temporary tables and take advisory locks meanwhile. *yes*: it comes to the same answer both times, without trying more often.
*-*: the driver has no means of its own for it.

` + begin + end

// document compares the matrix with the page, or writes it there.
func (m *matrix) document(t *testing.T) {
	for _, d := range drivers {
		if len(m.passed[d.name]) != len(d.steps()) {
			if *update {
				t.Error("only some of the drivers were tried: the page stays as it is")
			}
			return
		}
	}
	text, err := os.ReadFile(page)
	if os.IsNotExist(err) && *update {
		text, err = []byte(introduction), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(text), begin)
	written, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s has no lines %q and %q", page, begin, end)
	}
	table := m.table()
	switch {
	case written == table:
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table than this, which `go test ./bench/drivers -args -update` writes:\n%s", page, table)
	}
}

// table is the matrix in Markdown.
func (m *matrix) table() string {
	var b strings.Builder
	b.WriteString("\n| step |")
	for _, d := range drivers {
		fmt.Fprintf(&b, " %s |", d.name)
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(drivers)) + "\n")
	for _, s := range steps {
		fmt.Fprintf(&b, "| %s: %s |", s.name, s.what)
		for _, d := range drivers {
			fmt.Fprintf(&b, " %s |", m.cell(d, s))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	return b.String()
}

func (m *matrix) cell(d driver, s step) string {
	switch {
	case !d.has(s.name):
		return "-"
	case m.passed[d.name][s.name]:
		return "yes"
	default:
		return "**no**"
	}
}
