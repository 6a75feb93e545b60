package proxy

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A statement that SQL has prepared so that it can't be prepared again elsewhere
// is there by its name for both protocols all the same, and the client keeps its
// server for it.
func TestSQLStatementsThatCannotFollow(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nsession_audit = always")
	talk(t, postgres.Address()).run(`create or replace function prepares(name text) returns void language plpgsql as
		$$begin execute format('prepare %I as select ''it''', name); end$$`)
	for _, tt := range []struct{ what, prepare string }{
		{"behind SETs", "set DateStyle = 'iso, dmy'; prepare stuck as select 'it'"},
		{"in a transaction that fails", "set DateStyle = 'iso, dmy'; prepare stuck as select 'it'; select 1/0"},
		{"with a backslash", `prepare stuck as select 'it', '\'`},
		{"by a DO block", "do $$begin execute 'prepare stuck as select ''it'''; end$$"},
		{"by a function", "select prepares('stuck'), set_config('app.x', 'y', false)"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			a := talk(t, p.address())
			a.ask(simple(tt.prepare))
			if !strings.Contains(tt.prepare, "prepare stuck as") || strings.HasPrefix(tt.prepare, "do") {
				eventually(t, "the pin", func() bool {
					return len(p.Pins()) == 1 && slices.Contains(p.Pins()[0].Kinds, "statements")
				})
			}
			for _, step := range []struct {
				want string
				say  []pgproto3.FrontendMessage
			}{
				{"E:42P05 Z:I", []pgproto3.FrontendMessage{parse("stuck", "select 'other'"), syncNow}},
				{"2 D C Z:I", []pgproto3.FrontendMessage{bind("", "stuck"), execute("", 0), syncNow}},
				{"t T Z:I", []pgproto3.FrontendMessage{describe('S', "stuck"), syncNow}},
				{"T D C Z:I", []pgproto3.FrontendMessage{simple("execute stuck")}},
				{"E:42P05 Z:I", []pgproto3.FrontendMessage{simple("prepare stuck as select 1")}},
				{"C Z:I", []pgproto3.FrontendMessage{simple("begin")}},
				{"E:42P05 Z:E", []pgproto3.FrontendMessage{parse("stuck", "select 'other'"), syncNow}},
				{"C Z:I", []pgproto3.FrontendMessage{simple("rollback")}},
				{"3 Z:I", []pgproto3.FrontendMessage{closeOf('S', "stuck"), syncNow}},
				{"E:26000 Z:I", []pgproto3.FrontendMessage{simple("execute stuck")}},
				{"1 Z:I", []pgproto3.FrontendMessage{parse("stuck", "select 'other'"), syncNow}},
				{"C Z:I", []pgproto3.FrontendMessage{simple("deallocate stuck")}},
				{"E:26000 Z:I", []pgproto3.FrontendMessage{bind("", "stuck"), execute("", 0), syncNow}},
			} {
				got := a.ask(step.say...)
				if types(got) != step.want && !(step.want == "C Z:I" && types(got) == "C Z:T") {
					t.Errorf("%v: %s, want %s", step.say, types(got), step.want)
				}
				if v := values(got); len(v) > 0 && v[0] != "it" {
					t.Errorf("%v: %s", step.say, v)
				}
			}
			a.run("discard all")
			eventually(t, "the pin to be gone", func() bool { return len(p.Pins()) == 0 })
		})
	}
}

// A text may name any number of statements, of both protocols and none: what the
// server needs goes ahead of it at once. While others want the servers, too,
// nobody waits for ever.
func TestTextsThatNameSeveralStatements(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	typed := &pgproto3.Parse{Name: "typed", Query: "select $1", ParameterOIDs: []uint32{23}}
	a.ask(parse("ours", "select 'ours'"), typed, syncNow)
	a.run("prepare one as select 'one'", "prepare two as select 'two'")
	p.onBoth(t, func() {
		others := talk(t, p.address())
		others.run("prepare one as select 'not yours'")
		for _, tt := range []struct{ text, want, row string }{
			{"execute ours; execute one; execute two", "T D C T D C T D C Z:I", "ours one two"},
			{"execute one; execute ours; execute two; execute ours", "T D C T D C T D C T D C Z:I", "one ours two ours"},
			{"execute ours; deallocate one; prepare one as select 'one'; execute one", "T D C C C T D C Z:I", "ours one"},
			{"execute typed(1); execute one", "E:26000 Z:I", ""},
			{"deallocate typed; execute one", "C T D C Z:I", "one"},
			{"execute two; execute nobody; execute one", "T D C E:26000 Z:I", "two"},
		} {
			got := a.ask(simple(tt.text))
			if types(got) != tt.want || strings.Join(values(got), " ") != tt.row {
				t.Errorf("%s: %s %q", tt.text, types(got), values(got))
			}
			if strings.Contains(tt.text, "typed") {
				a.ask(closeOf('S', "typed"), typed, syncNow)
			}
		}
		_ = others.conn.Close()
	})
	p.takesTurns(t)
}

// takesTurns has two clients with statements of their own share one server.
func (p *pooler) takesTurns(t *testing.T) {
	_, release := p.hold(t)
	defer release()
	k := [2]*talker{talk(t, p.address()), talk(t, p.address())}
	for i := range k {
		k[i].run("prepare one as select 1", "prepare two as select 2", "prepare three as select 3")
	}
	const rounds = 20
	before := p.Pools()[0].Traffic.Assignments
	for range rounds {
		for i := range k {
			k[i].say(simple("execute one; execute two; execute three"))
		}
		for i := range k {
			if got := strings.Join(values(k[i].until("Z")), ""); got != "123" {
				t.Fatalf("client %d: %s", i, got)
			}
		}
	}
	if n := p.Pools()[0].Traffic.Assignments - before; n > 2*rounds {
		t.Errorf("a server was assigned %d times for %d queries", n, 2*rounds)
	}
}

// What carpool puts in can't make a client's transaction fail: what isn't there
// is missing where the client names it, and no sooner.
func TestWhatIsProvidedFailsNoTransaction(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	admin, a := talk(t, postgres.Address()), talk(t, p.address())
	admin.run("drop table if exists leaving, kept", "create table leaving (a int)", "create table kept (a int)")
	a.run("prepare gone as select * from leaving", "prepare fine as select 1")
	admin.run("drop table leaving")
	p.onBoth(t, func() {
		a.run("deallocate fine", "prepare fine as select 1") // the other server has none of them
		for _, tt := range []struct{ text, want string }{
			{"select 1; commit; execute gone", "T D C C E:42P01 Z:I"},
			{"savepoint s; execute gone", "C E:42P01 Z:E"},
			{"create table leaving (a int); execute fine; drop table leaving; execute gone", "C T D C C E:42P01 Z:E"},
			{"deallocate gone; prepare gone as select 5; execute gone; rollback", "C C T D C C Z:I"},
		} {
			a.run("begin", "insert into kept values (1)")
			if got := types(a.ask(simple(tt.text))); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
			}
			a.run("rollback")
		}
		admin.run("create table leaving (a int)")
		a.run("deallocate gone", "prepare gone as select * from leaving")
		admin.run("drop table leaving")
	})
	if got := admin.query("select count(*) from kept"); got != "2" {
		t.Errorf("%s transactions were committed", got)
	}
}
