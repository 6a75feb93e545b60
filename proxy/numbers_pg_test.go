package proxy

import (
	"strings"
	"testing"
)

// The default of a column advances a sequence, which no text shows. What
// another client's INSERT has left isn't taken for one's own.
func TestNobodySeesAStrangersNumber(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("drop table if exists numbered", "create table numbered (id serial)", "insert into numbered default values")
	for _, first := range []string{"", "begin"} {
		b.run(first)
		if got := types(b.ask(simple("select lastval()"))); !strings.Contains(got, "E:55000") {
			t.Errorf("another client gets %s", got)
		}
		b.run("rollback")
	}
	if got := types(b.ask(parse("", "select currval('numbered_id_seq')"), bind("", ""), execute("", 0), syncNow)); !strings.Contains(got, "E:55000") {
		t.Errorf("another client gets %s", got)
	}
	// In one transaction it is there, whoever was on the server before.
	b.run("begin", "insert into numbered default values")
	if got := b.query("select lastval()"); got != "2" {
		t.Errorf("in its own transaction: %s", got)
	}
	b.run("commit")
	b.run("begin; insert into numbered default values")
	if got := b.query("select currval('numbered_id_seq')"); got != "3" {
		t.Errorf("in its own transaction: %s", got)
	}
	b.run("commit")
}

// Once somebody has asked, nobody is told a stranger's number: not in the midst
// of a transaction, and not by a statement that was prepared.
func TestNobodySeesAStrangersNumberInATransaction(t *testing.T) {
	const text, none = "select lastval()", "E:55000"
	talk(t, postgres.Address()).run("drop table if exists counted", "create table counted (id serial)")
	for _, tt := range []struct {
		name    string
		prepare func(k *talker)
		ask     func(k *talker) []answer
	}{
		{"Query", func(k *talker) { k.run(text) }, func(k *talker) []answer { return k.ask(simple(text)) }},
		{"extended", func(k *talker) { k.run("x:" + text) }, func(k *talker) []answer {
			return k.ask(parse("", text), bind("", ""), execute("", 0), syncNow)
		}},
		{"EXECUTE", func(k *talker) { k.run("prepare r as " + text) }, func(k *talker) []answer { return k.ask(simple("execute r")) }},
		{"EXECUTE in the extended protocol", func(k *talker) { k.run("prepare r as " + text) }, func(k *talker) []answer {
			return k.ask(bind("", "r"), execute("", 0), syncNow)
		}},
		{"prepared", func(k *talker) { k.ask(parse("r", text), syncNow) }, func(k *talker) []answer {
			return k.ask(bind("", "r"), execute("", 0), syncNow)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			a, b := talk(t, p.address()), talk(t, p.address())
			a.run("insert into counted default values")
			tt.prepare(b)
			for _, within := range []bool{false, true} {
				a.run("insert into counted default values")
				if within {
					b.run("begin", "select 1")
				}
				if got := types(tt.ask(b)); !strings.Contains(got, none) {
					t.Errorf("in a transaction %t: another client gets %s", within, got)
				}
				b.run("rollback")
			}
			b.run("begin", "insert into counted default values")
			if got := types(tt.ask(b)); strings.Contains(got, "E:") {
				t.Errorf("its own: %s", got)
			}
			b.run("commit", "create temp table keeping ()", "insert into counted default values")
			if got := types(tt.ask(b)); strings.Contains(got, "E:") {
				t.Errorf("its own while it keeps the server: %s", got)
			}
		})
	}
}

// A route whose clients don't ask isn't charged for it.
func TestNumbersThatNobodyReadsAreLeft(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	talk(t, p.address()).query("select 1")
	p.routesMu.Lock()
	defer p.routesMu.Unlock()
	for _, r := range p.routes {
		if r.numbersRead.Load() {
			t.Error("somebody is said to have asked")
		}
	}
}
