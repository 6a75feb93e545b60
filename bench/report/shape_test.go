package report

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedSchema compares docs/benchmark-report.md with the tags of the structs: every field has a line there, and
// every line a field.
func TestDocumentedSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/benchmark-report.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string][]string)
	section := ""
	heading := regexp.MustCompile("^## ([A-Z][A-Za-z]+)")
	row := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|")
	for _, line := range strings.Split(string(text), "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if m := row.FindStringSubmatch(line); m != nil {
			documented[section] = append(documented[section], m[1])
		}
	}
	seen := make(map[string]bool)
	walk(reflect.TypeFor[Report](), func(s reflect.Type) {
		seen[s.Name()] = true
		var fields []string
		for f := range s.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				t.Errorf("%s.%s has no name in JSON", s.Name(), f.Name)
			}
			fields = append(fields, name)
		}
		if got := documented[s.Name()]; !slices.Equal(got, fields) {
			t.Errorf("%s is documented as\n%q, and has\n%q", s.Name(), got, fields)
		}
	})
	for section := range documented {
		if !seen[section] {
			t.Errorf("the section %q describes nothing of a report", section)
		}
	}
	if !strings.Contains(string(text), "version 1") {
		t.Error("the version of the schema isn't named")
	}
}

// walk visits the structs that t is made of, each once.
func walk(t reflect.Type, visit func(reflect.Type)) {
	seen := make(map[reflect.Type]bool)
	var into func(reflect.Type)
	into = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			into(t.Elem())
		case reflect.Struct:
			if seen[t] || t.PkgPath() != reflect.TypeFor[Report]().PkgPath() {
				return
			}
			seen[t] = true
			visit(t)
			for f := range t.Fields() {
				into(f.Type)
			}
		}
	}
	into(t)
}
