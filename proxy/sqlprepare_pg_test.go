package proxy

import (
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Statements prepared by SQL are the client's own on whatever server it is, by
// their names, and answers and errors are those of Postgres.
func TestSQLPrepareFollowsTheClient(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 2")
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("prepare mine (int) as select $1 + 1", `prepare "od""d" as select 'odd'`)
	b.run("prepare mine as select 'b''s'")
	p.onBoth(t, func() {
		for range 2 {
			if got := a.query("execute mine(41)"); got != "42" {
				t.Errorf("a: %s", got)
			}
			if got := b.query("execute mine"); got != "b's" {
				t.Errorf("b: %s", got)
			}
			if got := a.query(`execute "od""d"`); got != "odd" {
				t.Errorf("a: %s", got)
			}
		}
		if got := b.query("select count(*) from pg_prepared_statements where from_sql and name like 'od%'"); got != "0" {
			t.Error("b finds what a has prepared")
		}
		if got := values(a.ask(parse("", "execute mine(1)"), bind("", ""), execute("", 0), syncNow)); strings.Join(got, "") != "2" {
			t.Errorf("extended: %q", got)
		}
		a.ask(parse("", "execute mine(2)"), syncNow)
		if got := values(a.ask(bind("", ""), execute("", 0), syncNow)); strings.Join(got, "") != "3" {
			t.Errorf("bound later: %q", got)
		}
		if got := values(a.ask(bind("", "mine", "6"), execute("", 0), syncNow)); strings.Join(got, "") != "7" {
			t.Errorf("bound by the protocol: %q", got)
		}
		if got := types(a.ask(simple("prepare mine as select 1"))); got != "E:42P05 Z:I" {
			t.Errorf("prepared twice: %s", got)
		}
	})
	if got := types(a.ask(simple("begin"))) + types(a.ask(simple("execute mine(1)"))) + types(a.ask(simple("rollback"))); got != "C Z:TT D C Z:TC Z:I" {
		t.Errorf("in a transaction: %s", got)
	}
	a.run("deallocate mine")
	p.onBoth(t, func() {
		if got := types(a.ask(simple("execute mine(1)"))); got != "E:26000 Z:I" {
			t.Errorf("after DEALLOCATE: %s", got)
		}
		if got := types(a.ask(simple("deallocate mine"))); got != "E:26000 Z:I" {
			t.Errorf("DEALLOCATE twice: %s", got)
		}
		if got := b.query("execute mine"); got != "b's" {
			t.Errorf("b: %s", got)
		}
	})
	a.run("deallocate all")
	p.onBoth(t, func() {
		if got := types(a.ask(simple(`execute "od""d"`))); got != "E:26000 Z:I" {
			t.Errorf("after DEALLOCATE ALL: %s", got)
		}
	})
	b.run("discard all")
	p.onBoth(t, func() {
		if got := types(b.ask(simple("execute mine"))); got != "E:26000 Z:I" {
			t.Errorf("after DISCARD ALL: %s", got)
		}
	})
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// Statements of the protocol can be dropped and are in the way by their names in
// SQL, and the other way round.
func TestStatementsShareOneNameSpace(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	for i := range 4 {
		a.ask(parse("pdo_stmt", fmt.Sprint("select ", i)), syncNow)
		p.onBoth(t, func() {
			if got := values(a.ask(bind("", "pdo_stmt"), execute("", 0), syncNow)); strings.Join(got, "") != fmt.Sprint(i) {
				t.Errorf("round %d: %q", i, got)
			}
			if got := types(a.ask(simple("prepare pdo_stmt as select 1"))); got != "E:42P05 Z:I" {
				t.Errorf("PREPARE of what is there: %s", got)
			}
		})
		if got := types(a.ask(simple("deallocate pdo_stmt"))); got != "C Z:I" {
			t.Errorf("DEALLOCATE: %s", got)
		}
		p.onBoth(t, func() {
			if got := types(a.ask(bind("", "pdo_stmt"), execute("", 0), syncNow)); got != "E:26000 Z:I" {
				t.Errorf("after DEALLOCATE: %s", got)
			}
		})
	}
	a.run("prepare twofold as select 5")
	p.onBoth(t, func() {
		if got := types(a.ask(parse("twofold", "select 6"), syncNow)); got != "E:42P05 Z:I" {
			t.Errorf("Parse of what is there: %s", got)
		}
	})
	a.ask(closeOf('S', "twofold"), syncNow)
	p.onBoth(t, func() {
		if got := types(a.ask(simple("execute twofold"))); got != "E:26000 Z:I" {
			t.Errorf("after Close: %s", got)
		}
	})
}

// What a prepared statement leaves behind counts when it is executed.
func TestExecuteOfWhatLeavesState(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	a.run("prepare lock as select pg_advisory_lock(77)", "prepare unlock as select pg_advisory_unlock(77)")
	if len(p.Pins()) != 0 {
		t.Error("PREPARE pins")
	}
	a.run("execute lock")
	eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
	a.run("select pg_advisory_unlock(77)")
	eventually(t, "the pin to be gone", func() bool { return len(p.Pins()) == 0 })
}

// After a migration a client whose statement returns other columns than it was
// told is refused, as without a pooler. When it prepares anew, or another client does, it is served.
func TestAStatementThatReturnsOtherColumns(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	admin := talk(t, postgres.Address())
	admin.run("drop table if exists migrated", "create table migrated (a int)", "insert into migrated values (1)")
	a, b := talk(t, p.address()), talk(t, p.address())
	const text = "select * from migrated"
	a.ask(parse("s", text), describe('S', "s"), syncNow)
	p.onBoth(t, func() {
		if got := types(a.ask(bind("", "s"), execute("", 0), syncNow)); got != "2 D C Z:I" {
			t.Fatal(got)
		}
	})
	admin.run("alter table migrated add b int default 2")
	if r := wire.ParseReport(a.ask(bind("", "s"), execute("", 0), syncNow)[0].body); r.Code != "0A000" {
		t.Errorf("%+v", r)
	}
	a.ask(closeOf('S', "s"), syncNow)
	p.onBoth(t, func() {
		for _, k := range []*talker{a, b} {
			answers := k.ask(parse("n", text), bind("", "n"), execute("", 0), closeOf('S', "n"), syncNow)
			if types(answers) != "1 2 D C 3 Z:I" || answers[2].body[1] != 2 {
				t.Errorf("prepared anew: %s", types(answers))
			}
		}
	})
}

// The JDBC driver sends BEGIN and the statement behind it in one batch.
func TestSQLStatementsWithinABatch(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	a.run("prepare mine (int) as select $1 + 1", "prepare other as select 'other'")
	begin := []pgproto3.FrontendMessage{parse("", "begin"), bind("", ""), execute("", 0)}
	p.onBoth(t, func() {
		a.run("deallocate other", "prepare other as select 'other'") // the other server hasn't got it now
		got := a.ask(append(begin, parse("", "execute mine(1)"), bind("", ""), execute("", 0), bind("", "other"), execute("", 0), syncNow)...)
		if types(got) != "1 2 C 1 2 D C 2 D C Z:T" || strings.Join(values(got), " ") != "2 other" {
			t.Errorf("in a transaction: %s, %q", types(got), values(got))
		}
		if got := types(a.ask(simple("execute mine(2)"), simple("commit"))) + types(a.until("Z")); got != "T D C Z:TC Z:I" {
			t.Errorf("and behind it: %s", got)
		}
	})
	// A portal of the client's stays what it is, and errors before and behind
	// what is put in leave nothing uncertain.
	p.onBoth(t, func() {
		a.run("deallocate all", "prepare mine (int) as select $1 + 1")
		for range 2 {
			got := a.ask(parse("", "select generate_series(1, 2)"), bind("", ""), execute("", 1), bind("p", "mine", "6"), execute("p", 0), execute("", 0), syncNow)
			if strings.Join(values(got), " ") != "1 7 2" {
				t.Errorf("portals: %s, %q", types(got), values(got))
			}
		}
	})
	p.onBoth(t, func() {
		a.run("deallocate all", "prepare mine (int) as select $1 + 1")
		for i, batch := range [][]pgproto3.FrontendMessage{
			{parse("", "nonsense"), parse("", "execute mine(1)"), syncNow},
			{parse("", "execute mine(1)"), bind("", ""), parse("", "nonsense"), execute("", 0), syncNow},
			{parse("", "nonsense"), bind("", "mine", "1"), syncNow, bind("", "mine", "1"), execute("", 0), syncNow},
		} {
			a.ask(batch...)
			if i == 2 {
				if got := values(a.until("Z")); strings.Join(got, "") != "2" {
					t.Errorf("a batch behind one that failed: %q", got)
				}
			}
			if got := a.query("execute mine(41)"); got != "42" {
				t.Errorf("behind an error: %s", got)
			}
		}
	})
	a.run("deallocate all", "prepare mine as select 'mine'")
	p.onBoth(t, func() {
		// All of it in one go: the first EXECUTE comes in a transaction that has failed.
		a.say(simple("begin"), simple("nonsense"), simple("execute mine"), simple("rollback"), simple("execute mine"))
		got := ""
		for range 5 {
			got += types(a.until("Z")) + ", "
		}
		if got != "C Z:T, E:42601 Z:E, E:25P02 Z:E, C Z:I, T D C Z:I, " {
			t.Error(got)
		}
	})
	if pins := p.Pins(); len(pins) != 0 {
		t.Errorf("pinned: %+v", pins)
	}
}

// Where a statement can't be prepared again, the client is told why.
func TestSQLStatementThatCannotBePreparedAgain(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	admin, a := talk(t, postgres.Address()), talk(t, p.address())
	admin.run("drop table if exists vanishing", "create table vanishing (a int)")
	a.run("prepare gone as select * from vanishing", "prepare fine as select 1")
	admin.run("drop table vanishing")
	const missing = "E:42P01"
	p.onBoth(t, func() {
		for _, tt := range []struct {
			say  []pgproto3.FrontendMessage
			want string
		}{
			{[]pgproto3.FrontendMessage{simple("execute gone")}, missing + " Z:I"},
			{[]pgproto3.FrontendMessage{simple("select 1; execute gone")}, "T D C " + missing + " Z:I"},
			{[]pgproto3.FrontendMessage{bind("", "gone"), execute("", 0), syncNow}, missing + " Z:I"},
			{[]pgproto3.FrontendMessage{simple("execute fine")}, "T D C Z:I"},
			{[]pgproto3.FrontendMessage{simple("execute nobody")}, "E:26000 Z:I"},
			{[]pgproto3.FrontendMessage{simple("begin"), simple("execute gone"), simple("rollback")}, "C Z:T " + missing + " Z:E C Z:I"},
			{[]pgproto3.FrontendMessage{simple("prepare gone as select 1")}, "E:42P05 Z:I"},
			{[]pgproto3.FrontendMessage{simple("execute gone")}, missing + " Z:I"},
		} {
			a.say(tt.say...)
			got := types(a.until("Z"))
			for range strings.Count(tt.want, "Z:") - 1 {
				got += " " + types(a.until("Z"))
			}
			if got != tt.want {
				t.Errorf("%v: %s, want %s", tt.say, got, tt.want)
			}
		}
	})
	a.ask(closeOf('S', "gone"), syncNow)
	if got := types(a.ask(simple("deallocate gone"))); got != "E:26000 Z:I" {
		t.Errorf("closed, then dropped: %s", got)
	}
}

// A server that has other statements than is believed is freed of them all the
// same, whoever comes next.
func TestStrangersStatementsAreDropped(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	talk(t, postgres.Address()).run(`create or replace function drops(name text) returns void language plpgsql as
		$$begin execute 'deallocate ' || quote_ident(name); end$$`)
	a, b := talk(t, p.address()), talk(t, p.address())
	for _, dropped := range []string{"one", "two", "three"} {
		a.run("prepare one as select 1", "prepare two as select 2", "prepare three as select 3")
		a.query("select drops('" + dropped + "')")
		for _, name := range []string{"one", "two", "three"} {
			if got := types(b.ask(simple("execute " + name))); got != "E:26000 Z:I" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := b.query("select count(*) from pg_prepared_statements"); got != "0" {
			t.Errorf("%s statements are left", got)
		}
		a.run("deallocate all")
	}
}
