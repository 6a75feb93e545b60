package config

import (
	"os"
	"strings"
	"testing"
)

const document = "../docs/configuration.md"

// documented are the cells of a table's row: name, unit, default, reloadable,
// effective, meaning.
type documented []string

// TestDocumentMatchesTables compares the tables of the document with the
// tables here, both ways.
func TestDocumentMatchesTables(t *testing.T) {
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	sections := readTables(string(content))
	groups := []string{}
	byGroup := make(map[string][]Setting)
	for _, s := range Settings() {
		if len(byGroup[s.Group]) == 0 {
			groups = append(groups, s.Group)
		}
		byGroup[s.Group] = append(byGroup[s.Group], s)
	}
	for _, group := range groups {
		compareTable(t, group, sections[group], byGroup[group])
		delete(sections, group)
	}
	for heading, settings := range map[string][]Setting{
		"Databases": DatabaseSettings(), "Users": UserSettings(), "Peers": PeerSettings(),
	} {
		compareTable(t, heading, sections[heading], settings)
		delete(sections, heading)
	}
	for heading, rows := range sections {
		t.Errorf("section %q of the document has %d settings that don't exist", heading, len(rows))
	}
}

// readTables collects the rows of settings by the heading they stand under.
func readTables(content string) map[string][]documented {
	sections := make(map[string][]documented)
	heading := ""
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.TrimLeft(title, "# ")
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		// Tables of other things have other numbers of columns.
		if len(cells) == 6 {
			sections[heading] = append(sections[heading], cells)
		}
	}
	return sections
}

func compareTable(t *testing.T, heading string, rows []documented, settings []Setting) {
	t.Helper()
	if len(rows) != len(settings) {
		t.Errorf("%s: %d rows for %d settings", heading, len(rows), len(settings))
	}
	for i, s := range settings {
		want := documentRow(s)
		if i >= len(rows) {
			t.Errorf("%s: missing\n%s", heading, want)
			continue
		}
		if got := "| " + strings.Join(rows[i], " | ") + " |"; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", heading, got, want)
		}
	}
}

// documentRow is how a setting stands in the document.
func documentRow(s Setting) string {
	names := "`" + s.Name + "`"
	if s.Own {
		names += " (own)"
	}
	for _, alias := range s.Aliases {
		names += ", `" + alias + "`"
	}
	cells := []string{names, s.Unit, "", yes(s.Reloadable), yes(s.Effective), s.Doc}
	if s.Default != "" {
		cells[2] = "`" + s.Default + "`"
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// Whoever looks for a variable that isn't a setting's finds it, too.
func TestDocumentHasReservedVariables(t *testing.T) {
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ReservedEnv() {
		if !strings.Contains(string(content), "`"+name+"`") {
			t.Errorf("the document doesn't mention %s", name)
		}
	}
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// The document's examples must work.
func TestDocumentExamplesAreValid(t *testing.T) {
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(content), "```ini\n")[1:]
	if len(examples) == 0 {
		t.Fatal("no example found")
	}
	for i, example := range examples {
		text, _, _ := strings.Cut(example, "```")
		c, err := load("example", tree(map[string]string{"example": text}))
		if err != nil {
			t.Errorf("example %d: %v", i+1, err)
			continue
		}
		if problems := c.Validate(); len(problems) != 0 {
			t.Errorf("example %d: %v", i+1, problems)
		}
	}
}
