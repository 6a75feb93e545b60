package proxy

import (
	"slices"
	"testing"
)

// What auth_query does can be seen: what came of the questions, and where they
// are asked.
func TestLookupsAreSeen(t *testing.T) {
	r := startRegistrar(t)
	p := r.pooler(t, "auth_query_max_age = 1000")
	if got := p.Lookups(); len(got) != 0 {
		t.Errorf("before anything was asked: %v", got)
	}
	for range 3 { // the first login asks, the others don't
		if err := p.logIn("scram", goodPassword, "app"); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.logIn("unknown", goodPassword, "app"); err == nil {
		t.Fatal("an unknown user is let in")
	}
	want := LookupCounts{Found: 1, Unknown: 1, Remembered: 2}
	if got := p.State().Lookups; got != want {
		t.Errorf("lookups: %+v, want %+v", got, want)
	}
	// That there is nobody of that name is asked again after the failed login.
	row := Lookup{Database: "app", User: "asker", Answers: 1, Open: 1, Idle: 1}
	if got := p.Lookups(); !slices.Equal(got, []Lookup{row}) {
		t.Errorf("%+v, want %+v", got, row)
	}
	r.sql("app", "alter role asker rename to gone")
	r.sql("", "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'carpool auth_query'")
	if err := p.logIn("md5", goodPassword, "app"); err == nil {
		t.Fatal("let in without a question")
	}
	if got := p.State().Lookups; got.Failed == 0 || got.Found != want.Found {
		t.Errorf("lookups: %+v", got)
	}
}

// Errors of servers are counted by their SQLSTATE, once each.
func TestServerErrorsAreCounted(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k := talk(t, p.address())
	for _, sql := range []string{"select 1/0", "select 1/0", "select nothing", "select 1"} {
		k.ask(simple(sql))
	}
	k.ask(parse("", "selec"), bind("", ""), execute("", 0), syncNow)
	k.query("begin")
	pid := k.query("select pg_backend_pid()")
	direct(t, "select pg_terminate_backend("+pid+")")
	k.ended()
	got := p.State().ServerErrors
	for code, want := range map[string]int64{"22012": 2, "42703": 1, "42601": 1, "57P01": 1} {
		if got[code] != want {
			t.Errorf("%s is counted %d times, not %d", code, got[code], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("counted are %v", got)
	}
}
