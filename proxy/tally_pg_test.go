package proxy

import "testing"

// Uses of prepared statements are hits if the server has them, whoever had them
// prepared there, and what has to make room is counted.
func TestStatementTally(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nmax_prepared_statements = 2")
	one, two := talk(t, p.address()), talk(t, p.address())
	want := Traffic{}
	check := func(step string, hits, misses, evictions int64) {
		t.Helper()
		want.StatementHits += hits
		want.StatementMisses += misses
		want.StatementEvictions += evictions
		got := p.Pools()[0].Traffic
		if got.StatementHits != want.StatementHits || got.StatementMisses != want.StatementMisses || got.StatementEvictions != want.StatementEvictions {
			t.Fatalf("%s: %d hits, %d misses, %d evictions; want %d, %d, %d", step, got.StatementHits, got.StatementMisses, got.StatementEvictions,
				want.StatementHits, want.StatementMisses, want.StatementEvictions)
		}
	}
	one.ask(parse("a", "select 1"), syncNow)
	check("prepared for the first time", 0, 1, 0)
	one.ask(bind("", "a"), execute("", 0), syncNow)
	check("bound", 1, 0, 0)
	two.ask(parse("mine", "select 1"), bind("", "mine"), execute("", 0), syncNow)
	check("the same of another client", 2, 0, 0)
	two.ask(parse("", "select 2"), bind("", ""), execute("", 0), syncNow)
	check("without a name", 0, 0, 0)
	two.ask(parse("b", "select 2"), parse("c", "select 3"), syncNow)
	check("one too many", 0, 2, 1)
	one.ask(bind("", "a"), execute("", 0), syncNow)
	check("what was evicted", 0, 1, 1)
	if l := p.Pools()[0]; l.Latency().Query.Count() != 6 || l.Latency().Login.Count() != 2 || l.Traffic.Queries != 6 {
		t.Errorf("%d queries, %d logins", l.Latency().Query.Count(), l.Latency().Login.Count())
	}
}
