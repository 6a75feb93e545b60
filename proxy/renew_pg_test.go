package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// changing makes a table and returns what reads all of it, and who changes it
// past carpool.
func changing(t *testing.T) (read string, admin *talker) {
	t.Helper()
	admin = talk(t, postgres.Address())
	admin.run("drop table if exists changing", "create table changing (id int, title text)", "insert into changing values (1, 'first')")
	return "select * from changing where id = $1", admin
}

const addColumn = "alter table changing add colour text default 'red'"

// columns runs a prepared statement and returns the types of the answers, with
// the number of columns in each row.
func columns(list []answer) string {
	words := strings.Fields(types(list))
	for i, a := range list {
		if a.typ == wire.DataRow {
			words[i] += fmt.Sprint(a.body[1])
		}
	}
	return strings.Join(words, " ")
}

func say(list ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return list }

// Who wasn't told of a statement, or is told anew each time, doesn't notice that
// it returns something else, on whatever server, if carpool has seen the change;
// in a transaction neither.
func TestAChangeThatWasSeenGoesUnnoticed(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	read, _ := changing(t)
	for name, run := range map[string][]pgproto3.FrontendMessage{
		"not told":             say(bind("", "s", "1"), execute("", 0), syncNow),
		"told of the portal":   say(bind("", "s", "1"), describe('P', ""), execute("", 0), syncNow),
		"a portal with a name": say(bind("c", "s", "1"), describe('P', "c"), execute("c", 0), closeOf('P', "c"), syncNow),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := talk(t, p.address()), talk(t, p.address())
			a.run("drop table changing", "create table changing (id int, title text)", "insert into changing values (1, 'first')")
			b.ask(parse("other", read), syncNow)
			a.ask(parse("s", read), syncNow)
			p.onBoth(t, func() {
				if got := columns(a.ask(run...)); !strings.Contains(got, "D2 C") {
					t.Fatal(got)
				}
			})
			b.run(addColumn)
			p.onBoth(t, func() {
				for range 2 {
					if got := columns(a.ask(run...)); !strings.Contains(got, "D3 C") {
						t.Error(got)
					}
				}
			})
			b.run("alter table changing add size int")
			p.onBoth(t, func() {
				a.run("begin")
				if got := columns(a.ask(run...)); !strings.Contains(got, "D4 C") || !strings.HasSuffix(got, "Z:T") {
					t.Errorf("in a transaction: %s", got)
				}
				a.run("commit")
				fresh := talk(t, p.address())
				fresh.run("begin")
				if got := columns(fresh.ask(append(say(parse("s", read), describe('S', "s")), run...)...)); !strings.Contains(got, "D4 C") {
					t.Errorf("prepared anew, in a transaction: %s", got)
				}
				fresh.run("rollback")
			})
			// What is changed in a transaction is seen in it, and by others behind it.
			b.run("begin", "alter table changing drop size")
			if got := columns(b.ask(bind("", "other", "1"), execute("", 0), syncNow)); got != "2 D3 C Z:T" {
				t.Errorf("in the transaction that changes it: %s", got)
			}
			b.run("commit")
			p.onBoth(t, func() {
				if got := columns(a.ask(run...)); !strings.Contains(got, "D3 C") {
					t.Error(got)
				}
			})
		})
	}
}

// A change past carpool is met by whoever uses a statement first. In a
// transaction of its own that goes unnoticed, with all that is behind it.
func TestAChangePastCarpoolIsHealed(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	read, admin := changing(t)
	a, b := talk(t, p.address()), talk(t, p.address())
	a.ask(parse("s", read), parse("n", "select count(*), 'x' from changing"), syncNow)
	runs := map[string][]pgproto3.FrontendMessage{
		"alone":                say(bind("", "s", "1"), execute("", 0), syncNow),
		"described":            say(bind("", "s", "1"), describe('P', ""), execute("", 0), syncNow),
		"two":                  say(bind("", "s", "1"), execute("", 0), bind("", "s", "1"), execute("", 0), syncNow),
		"another first":        say(bind("", "s", "1"), execute("", 0), bind("", "n"), execute("", 0), syncNow),
		"one without a name":   say(bind("", "s", "1"), execute("", 0), parse("", "select 1"), bind("", ""), execute("", 0), syncNow),
		"one that is new":      say(bind("", "s", "1"), execute("", 0), parse("new", "select 1"), bind("", "new"), execute("", 0), closeOf('S', "new"), syncNow),
		"with a large value":   say(bind("", "n"), execute("", 0), parse("", "select length($1)"), bind("", "", strings.Repeat("x", 10_000)), execute("", 0), syncNow),
		"too large to be kept": say(bind("", "s", "1"), execute("", 0), parse("", "select length($1)"), bind("", "", strings.Repeat("x", 20_000)), execute("", 0), syncNow),
		"an error behind":      say(bind("", "s", "1"), execute("", 0), parse("", "select 1/0"), bind("", ""), execute("", 0), syncNow),
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			admin.run("alter table changing drop if exists colour")
			var want [2]string
			warm := func(k *talker) string { return columns(k.ask(run...)) }
			p.onBoth(t, func() { warm(a); want[0] = warm(a) })
			admin.run(addColumn)
			direct := talk(t, postgres.Address())
			direct.ask(parse("s", read), parse("n", "select count(*), 'x' from changing"), syncNow)
			want[1] = warm(direct)
			large := name == "too large to be kept"
			p.onBoth(t, func() {
				got := warm(a)
				if large && got == "E:0A000 Z:I" {
					got = warm(a)
				}
				if got != want[1] {
					t.Errorf("got %s, want %s", got, want[1])
				}
				if got := warm(a); got != want[1] {
					t.Errorf("once more: got %s, want %s", got, want[1])
				}
			})
			if !large && want[0] == want[1] && strings.Contains(want[0], "D2 C") && name != "with a large value" {
				t.Errorf("nothing has changed: %v", want)
			}
			// Prepared by somebody new, against a server that has it from before.
			admin.run("alter table changing drop colour")
			p.onBoth(t, func() {
				if got := types(b.ask(parse("f", read), describe('S', "f"), syncNow)); got != "1 t T Z:I" {
					t.Errorf("Describe: %s", got)
				}
				if got := columns(b.ask(bind("", "f", "1"), execute("", 0), closeOf('S', "f"), syncNow)); got != "2 D2 C 3 Z:I" {
					t.Errorf("Bind: %s", got)
				}
			})
		})
	}
	// In parts, with the Sync to follow.
	p.onBoth(t, func() { a.ask(runs["alone"]...) })
	admin.run(addColumn)
	p.onBoth(t, func() {
		a.say(bind("", "s", "1"), execute("", 0), flushNow)
		list := a.until("CE")
		list = append(list, a.ask(syncNow)...)
		if got := columns(list); got != "2 D3 C Z:I" {
			t.Errorf("in parts: %s", got)
		}
	})
}

// What can't be undone isn't done twice: in a transaction, and behind something
// that was done, the error is the client's.
func TestAChangePastCarpoolInTheMidst(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\ndeferred_begin = 1")
	read, admin := changing(t)
	admin.run("create table if not exists counted (n int)", "truncate counted")
	a := talk(t, p.address())
	a.ask(parse("s", read), parse("count", "insert into counted values (1)"), syncNow)
	for name, script := range map[string]struct {
		before string
		say    []pgproto3.FrontendMessage
		want   string
		after  string
	}{
		"transaction":   {"begin", say(bind("", "s", "1"), execute("", 0), syncNow), "E:0A000 Z:E", "rollback"},
		"not the first": {"", say(bind("", "count"), execute("", 0), bind("", "s", "1"), execute("", 0), syncNow), "2 C E:0A000 Z:I", ""},
		"two batches":   {"", say(bind("", "s", "1"), execute("", 0), syncNow, bind("", "count"), execute("", 0), syncNow), "E:0A000 Z:I", ""},
	} {
		t.Run(name, func(t *testing.T) {
			admin.run("truncate counted", "alter table changing drop if exists colour")
			if got := columns(a.ask(bind("", "s", "1"), execute("", 0), syncNow)); got != "2 D2 C Z:I" {
				t.Fatal(got)
			}
			admin.run(addColumn)
			if script.before != "" {
				a.run(script.before)
			}
			if got := columns(a.ask(script.say...)); got != script.want {
				t.Errorf("got %s, want %s", got, script.want)
			}
			want := "0"
			if name == "two batches" {
				a.until("Z")
				want = "1"
			}
			if script.after != "" {
				a.run(script.after)
			}
			if got := admin.query("select count(*) from counted"); got != want {
				t.Errorf("%s rows were counted, want %s", got, want)
			}
			if got := columns(a.ask(bind("", "s", "1"), execute("", 0), syncNow)); got != "2 D3 C Z:I" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

// Who was told of a statement is refused when it returns something else, on
// every server until he prepares anew, whoever else has prepared it since; and
// never gets other columns. When the table is as it was, he is served again.
func TestWhoWasToldIsRefused(t *testing.T) {
	for name, seen := range map[string]bool{"seen": true, "past carpool": false} {
		t.Run(name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
			read, admin := changing(t)
			a, b := talk(t, p.address()), talk(t, p.address())
			change := admin.run
			if seen {
				change = b.run
			}
			run := say(bind("", "s", "1"), execute("", 0), syncNow)
			refused := func(when string) {
				t.Helper()
				for range 2 {
					list := a.ask(run...)
					if got := columns(list); got != "E:0A000 Z:I" {
						t.Fatalf("%s: %s", when, got)
					}
					r := wire.ParseReport(list[0].body)
					if r.Message != "cached plan must not change result type" || r.Routine != "RevalidateCachedQuery" {
						t.Errorf("%s: %+v", when, r)
					}
				}
				a.run("begin")
				if got := columns(a.ask(run...)); got != "E:0A000 Z:E" {
					t.Errorf("%s, in a transaction: %s", when, got)
				}
				a.run("rollback")
			}
			served := func(when, want string) {
				t.Helper()
				if got := columns(a.ask(run...)); got != want {
					t.Errorf("%s: %s, want %s", when, got, want)
				}
			}
			a.ask(parse("s", read), describe('S', "s"), syncNow)
			served("on the server that said it", "2 D2 C Z:I")
			change(addColumn)
			p.onBoth(t, func() { refused("changed") })
			p.onBoth(t, func() {
				if got := columns(b.ask(parse("n", read), describe('S', "n"), bind("", "n", "1"), execute("", 0), closeOf('S', "n"), syncNow)); got != "1 t T 2 D3 C 3 Z:I" {
					t.Errorf("somebody else: %s", got)
				}
				refused("prepared by somebody else")
			})
			change("alter table changing drop colour")
			p.onBoth(t, func() { served("as it was", "2 D2 C Z:I") })
			change(addColumn)
			p.onBoth(t, func() { refused("changed again") })
			a.ask(closeOf('S', "s"), parse("s", read), describe('S', "s"), syncNow)
			p.onBoth(t, func() { served("prepared anew", "2 D3 C Z:I") })
			// A name and a type are part of it; so is a parameter's type.
			for what, ddl := range map[string][2]string{
				"name":      {"alter table changing rename colour to color", "alter table changing rename color to colour"},
				"type":      {"alter table changing alter colour type varchar(9)", "alter table changing alter colour type text"},
				"modifier":  {"alter table changing alter title type varchar(7)", "alter table changing alter title type text"},
				"parameter": {"alter table changing alter id type bigint", "alter table changing alter id type int"},
			} {
				change(ddl[0])
				p.onBoth(t, func() { refused(what) })
				change(ddl[1])
				p.onBoth(t, func() { served(what, "2 D3 C Z:I") })
			}
		})
	}
}

// Who was told of a statement through its portal, and doesn't ask again, is held
// to that as well; if he asks again, he is served.
func TestWhoWasToldOfAPortalIsRefused(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	read, admin := changing(t)
	a := talk(t, p.address())
	a.ask(parse("s", read), bind("", "s", "1"), describe('P', ""), execute("", 0), syncNow)
	run := say(bind("", "s", "1"), execute("", 0), syncNow)
	p.onBoth(t, func() {
		if got := columns(a.ask(run...)); got != "2 D2 C Z:I" {
			t.Errorf("unchanged: %s", got)
		}
	})
	admin.run(addColumn)
	p.onBoth(t, func() {
		if got := columns(a.ask(run...)); got != "E:0A000 Z:I" {
			t.Errorf("doesn't ask: %s", got)
		}
	})
	p.onBoth(t, func() {
		if got := columns(a.ask(bind("", "s", "1"), describe('P', ""), execute("", 0), syncNow)); got != "2 T D3 C Z:I" {
			t.Errorf("asks: %s", got)
		}
		if got := columns(a.ask(run...)); got != "2 D3 C Z:I" {
			t.Errorf("has asked: %s", got)
		}
	})
}

// A statement that a client was told of costs a round trip on a server that
// doesn't have it, once, and one that nobody was told of none.
func TestTellingCostsOneQuestionPerServer(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	read, _ := changing(t)
	a := talk(t, p.address())
	a.ask(parse("s", read), describe('S', "s"), syncNow)
	run := say(bind("", "s", "1"), execute("", 0), syncNow)
	p.onBoth(t, func() {
		for range 5 {
			if got := columns(a.ask(run...)); got != "2 D2 C Z:I" {
				t.Fatal(got)
			}
		}
		if got := a.query("select count(*) from pg_prepared_statements where statement like '%changing where%'"); got != "1" {
			t.Errorf("the server has it %s times", got)
		}
		if got := a.query("select generic_plans + custom_plans >= 5 from pg_prepared_statements where statement like '%changing where%'"); got != "t" {
			t.Error("it is prepared over and over")
		}
	})
}

// A wide description, of more columns than are looked into at once.
func TestWideStatementsKeepTheirResult(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	var b strings.Builder
	for i := range 1600 {
		fmt.Fprintf(&b, ", 1 as a_column_with_quite_a_long_name_%d", i)
	}
	a.ask(parse("s", "select "+b.String()[2:]), describe('S', "s"), syncNow)
	p.onBoth(t, func() {
		if got := types(a.ask(bind("", "s"), execute("", 0), syncNow)); got != "2 D C Z:I" {
			t.Error(got)
		}
	})
}

// What FETCH returns is decided when it is executed.
func TestFetchHasNoResultOfItsOwn(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a := talk(t, p.address())
	a.run("begin", "declare c cursor for select 1")
	a.ask(parse("f", "fetch 1 from c"), describe('S', "f"), syncNow)
	a.run("commit")
	p.onBoth(t, func() {
		a.run("begin", "declare c cursor for select 1, 2")
		if got := columns(a.ask(bind("", "f"), describe('P', ""), execute("", 0), syncNow)); got != "2 T D2 C Z:T" {
			t.Error(got)
		}
		a.run("commit")
	})
}

// pgx keeps what it was told, and knows what to do about the refusal.
func TestPgxThroughAMigration(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	_, admin := changing(t)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	read := func() (int, error) {
		rows, err := conn.Query(ctx, "select * from changing where id = $1", 1)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return 0, err
			}
			n = len(values)
		}
		return n, rows.Err()
	}
	for range 3 {
		p.onBoth(t, func() {
			if n, err := read(); n != 2 || err != nil {
				t.Errorf("before: %d, %v", n, err)
			}
		})
		admin.run(addColumn)
		refusals := 0
		p.onBoth(t, func() {
			for range 3 {
				n, err := read()
				switch {
				case sqlState(err) == "0A000":
					refusals++
				case n != 3 || err != nil:
					t.Errorf("after: %d, %v", n, err)
				}
			}
		})
		if refusals > 1 {
			t.Errorf("%d refusals, a direct connection has one", refusals)
		}
		admin.run("alter table changing drop colour")
		for range 3 {
			if n, err := read(); err == nil && n != 2 {
				t.Errorf("changed back: %d", n)
			}
		}
	}
}

// A statement that runs another may return anything; its parameters are
// described all the same, on a server that has it too.
func TestDescribeOfAStatementThatVaries(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	for range 3 {
		k := talk(t, p.address())
		k.run("prepare other (int) as select $1")
		list := k.ask(parse("mine", "execute other(1)"), describe('S', "mine"), syncNow)
		if got := types(list); got != "1 t T Z:I" || string(list[1].body) != "\x00\x00" {
			t.Fatalf("%s, the parameters are %x", got, list[1].body)
		}
		_ = k.conn.Close()
	}
}
