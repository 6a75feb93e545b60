package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// The names under which servers have statements for everybody are nobody's to
// use in SQL: there is nothing by such a name.
func TestNamesOfOursInSQL(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	victim, a := talk(t, p.address()), talk(t, p.address())
	victim.ask(parse("s", "select 'the victim''s ' || $1"), syncNow)
	theirs := a.query("select name from pg_prepared_statements where not from_sql")
	if !strings.HasPrefix(theirs, "carpool_") {
		t.Fatalf("the server's name is %q", theirs)
	}
	next := strings.TrimSuffix(theirs, "1") + "2"
	var points strings.Builder
	for _, c := range theirs {
		fmt.Fprintf(&points, `\%04x`, c)
	}
	tests := []struct{ text, want string }{
		{`execute "%s"('x')`, "E:26000"},
		{`execute %s('x')`, "E:26000"},
		{`explain execute %s('x')`, "E:26000"},
		{`create table stolen as execute %s('x')`, "E:26000"},
		{`create temp table stolen as execute %s('x') with data`, "E:26000"},
		{`explain analyze create table stolen as execute %s('x')`, "E:26000"},
		{`deallocate %s`, "E:26000"},
		{`deallocate prepare "%s"`, "E:26000"},
		{`select 1; deallocate prepare /* */ "%s"; select 2`, "E:26000"},
		{`deallocate U&"` + points.String() + `"`, "E:26000"},
		{`execute u&"` + strings.ReplaceAll(points.String(), `\`, `!`) + `" uescape '!' ('x')`, "E:26000"},
		{`execute ` + strings.ToUpper(theirs) + `('x')`, "E:26000"},
		{`prepare ` + next + ` as select 1`, "E:42P05"},
		{`prepare mine as select 1; prepare "` + next + `x" as select 1`, "E:42P05"},
	}
	for _, tt := range tests {
		text := strings.ReplaceAll(tt.text, "%s", theirs)
		if got := types(a.ask(simple(text))); got != tt.want+" Z:I" {
			t.Errorf("%s: %s", text, got)
		}
		if got := types(a.ask(parse("", text), bind("", ""), execute("", 0), syncNow)); got != tt.want+" Z:I" && !strings.Contains(text, ";") {
			t.Errorf("extended, %s: %s", text, got)
		}
		if got := values(victim.ask(bind("", "s", "own"), execute("", 0), syncNow)); strings.Join(got, "") != "the victim's own" {
			t.Fatalf("%s: the victim gets %q", text, got)
		}
	}
	if got := types(a.ask(bind("", theirs, "x"), execute("", 0), syncNow)); got != "E:26000 Z:I" {
		t.Errorf("bound: %s", got)
	}
	if got := types(a.ask(closeOf('S', theirs), syncNow)); got != "3 Z:I" {
		t.Errorf("closed: %s", got)
	}
	if got := values(victim.ask(bind("", "s", "own"), execute("", 0), syncNow)); strings.Join(got, "") != "the victim's own" {
		t.Errorf("the victim gets %q", got)
	}
	// A client may call a statement of the protocol what it likes.
	if got := values(a.ask(parse(theirs, "select 'a'"), bind("", theirs), execute("", 0), syncNow)); strings.Join(got, "") != "a" {
		t.Errorf("a name of ours for one's own: %q", got)
	}
}
