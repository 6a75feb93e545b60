package proxy

import (
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Ways in which state once got lost, or got to another client.

const free = "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 2"

func TestTrapsThatWouldLeak(t *testing.T) {
	p := startPooler(t, free)
	talk(t, postgres.Address()).run("create table if not exists trap (a int, unique (a) deferrable initially deferred)")
	const locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
	const custom = "select coalesce(nullif(current_setting('app.trap', true), ''), 'none')"
	const statements = "select count(*) from pg_prepared_statements where from_sql"
	long := "app." + strings.Repeat("n", 70)
	for _, tt := range []struct {
		name string
		do   func(k *talker)
		ask  string
		none string
	}{
		{"custom parameter by a computed name", func(k *talker) { k.run("select set_config('app.'||'trap', 'x', false)") }, custom, "none"},
		{"custom parameter by a bound name", func(k *talker) {
			k.ask(parse("", "select set_config($1, $2, false)"), bind("", "", "app.trap", "x"), execute("", 0), syncNow)
		}, custom, "none"},
		{"RESET ALL that is rolled back", func(k *talker) {
			k.ask(parse("", "select set_config($1, $2, false)"), bind("", "", "app.trap", "x"), execute("", 0), syncNow)
			k.run("begin", "reset all", "rollback")
		}, custom, "none"},
		{"RESET ALL ahead of what it doesn't reset", func(k *talker) {
			k.run("begin", "reset all")
			k.ask(parse("", "select set_config($1, $2, false)"), bind("", "", "app.trap", "x"), execute("", 0), syncNow)
			k.run("commit")
		}, custom, "none"},
		{"a syntax error in what a function is given", func(k *talker) {
			k.run("select pg_advisory_lock(901), to_tsquery('foo bar'||g) from generate_series(1, 1) g")
		}, locks, "0"},
		{"a lock by a bound SQL statement", func(k *talker) {
			k.run("prepare lck as select pg_advisory_lock(77)")
			k.ask(bind("", "lck"), execute("", 0), syncNow)
		}, locks, "0"},
		{"PREPARE by a portal that others are bound behind", func(k *talker) {
			k.ask(parse("", "prepare foo as select 'secret'"), bind("p1", ""), parse("", "select 1"), bind("p2", ""), execute("p1", 0), execute("p2", 0), syncNow)
		}, statements, "0"},
		{"a Close that is skipped", func(k *talker) {
			k.run("prepare foo as select 'secret'")
			k.ask(parse("", "selec"), closeOf('S', "foo"), syncNow)
		}, statements, "0"},
		{"a PREPARE whose transaction can't be committed", func(k *talker) {
			k.run("insert into trap values (1); insert into trap values (1); prepare foo as select 'secret'")
		}, statements, "0"},
		{"what stands for a statement of the protocol", func(k *talker) {
			k.ask(parse("foo", "select 1"), syncNow)
			k.run("begin", "execute foo")
			k.ask(closeOf('S', "foo"), syncNow)
			k.run("commit")
		}, statements, "0"},
		{"PREPARE by the portal without a name, executed behind another Bind", func(k *talker) {
			k.ask(parse("", "prepare foo as select 'secret'"), bind("", ""), parse("s", "select 1"), bind("p", "s"), execute("", 0), syncNow)
		}, statements, "0"},
		{"a parameter with a longer name than identifiers have", func(k *talker) {
			k.run("select set_config('" + long + "', 'x', false)")
		}, "select coalesce(nullif(current_setting('" + long + "', true), ''), 'none')", "none"},
		{"EXECUTE that fails behind a lock", func(k *talker) {
			k.run("prepare lck as select pg_advisory_lock(78), 1/(2-g) from generate_series(1, 2) g", "execute lck")
		}, locks, "0"},
		{"EXECUTE of a statement of the protocol that fails behind a lock", func(k *talker) {
			k.ask(parse("lck", "select pg_advisory_lock(79), 1/(2-g) from generate_series(1, 2) g"), syncNow)
			k.run("execute lck")
		}, locks, "0"},
		{"a lock by the notation of a field", func(k *talker) { k.run("select (81).pg_advisory_lock") }, locks, "0"},
		{"a lock by the notation of a field, in quotes", func(k *talker) { k.run(`select (82) . /**/ "pg_advisory_lock"`) }, locks, "0"},
		{"a lock by the notation of a field of a field", func(k *talker) { k.run("select (83).abs.pg_advisory_lock") }, locks, "0"},
		{"a lock by the notation of a field of an element", func(k *talker) { k.run("select (array[84])[1].pg_advisory_lock") }, locks, "0"},
		{"a lock by the notation of a field of a parameter", func(k *talker) {
			k.ask(&pgproto3.Parse{Query: "select $1.pg_advisory_lock", ParameterOIDs: []uint32{20}}, bind("", "", "85"), execute("", 0), syncNow)
		}, locks, "0"},
		{"custom parameter by EXECUTE", func(k *talker) {
			k.run("prepare s as select set_config('app.trap', 'x', false)", "execute s")
		}, custom, "none"},
		{"custom parameter by EXECUTE of a statement of the protocol", func(k *talker) {
			k.ask(parse("s", "select set_config('app.trap', 'x', false)"), syncNow)
			k.run("execute s")
		}, custom, "none"},
		{"custom parameter by a bound SQL statement", func(k *talker) {
			k.run("prepare s (text) as select set_config($1, 'x', false)")
			k.ask(bind("", "s", "app.trap"), execute("", 0), syncNow)
		}, custom, "none"},
		{"Close and Parse that are skipped", func(k *talker) {
			k.ask(parse("lck", "select pg_advisory_lock(80)"), syncNow)
			k.ask(parse("", "selec"), closeOf('S', "lck"), parse("lck", "select 1"), syncNow)
			k.ask(bind("", "lck"), execute("", 0), syncNow)
		}, locks, "0"},
	} {
		a, b := talk(t, p.address()), talk(t, p.address())
		a.doing = tt.name
		tt.do(a)
		for range 4 {
			if got := b.query(tt.ask); got != tt.none {
				t.Errorf("%s: another client finds %s", tt.name, got)
			}
		}
		_ = a.conn.Close()
		eventually(t, tt.name+": the servers to be free", func() bool { return p.Pools()[0].Pool.Leased == 0 })
		p.onBoth(t, func() {
			if got := b.query(tt.ask); got != tt.none {
				t.Errorf("%s: another client finds %s afterwards", tt.name, got)
			}
		})
		_ = b.conn.Close()
	}
}

// EXECUTE of a statement of the protocol runs it, or says that it can't.
func TestExecuteOfAStatementOfTheProtocol(t *testing.T) {
	p := startPooler(t, free)
	k := talk(t, p.address())
	k.ask(parse("x", "select 42"), syncNow)
	p.onBoth(t, func() {
		if got := types(k.ask(simple("prepare x as select 2"))); got != "E:42P05 Z:I" {
			t.Error(got)
		}
		if got := k.query("execute x"); got != "42" {
			t.Errorf("EXECUTE returns %s", got)
		}
	})
	k.ask(closeOf('S', "x"), syncNow)
	p.onBoth(t, func() {
		if got := types(k.ask(simple("execute x"))); got != "E:26000 Z:I" {
			t.Errorf("after Close: %s", got)
		}
	})
	k.run("prepare x as select 3")
	if got := k.query("execute x"); got != "3" {
		t.Errorf("prepared by SQL: %s", got)
	}
}

// DISCARD ALL in the extended protocol, and by a client that keeps its server.
func TestDiscardAllLeadsToTheBeginning(t *testing.T) {
	p := startPooler(t, free)
	zone := wire.Param{Name: "TimeZone", Value: "Asia/Tokyo"}
	k := talk(t, p.address(), zone)
	k.run("set work_mem to '5MB'", "set timezone to 'utc'", "x:discard all")
	p.onBoth(t, func() {
		if got := k.query("select current_setting('work_mem') || current_setting('timezone')"); got != "4MBAsia/Tokyo" {
			t.Error(got)
		}
	})
	k.run("create temp table mine (a int)", "set timezone to 'utc'", "discard all")
	if got := k.query("show timezone"); got != "Asia/Tokyo" {
		t.Errorf("of a client that kept its server: %s", got)
	}
}

// A query that is cancelled while it waits for a server fails the transaction
// that no server has seen.
func TestADeferredTransactionCanFail(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	busy := talk(t, p.address())
	busy.run("drop table if exists cancelled", "create table cancelled (a int)", "begin", "select 1")
	k := p.connect("postgres", "app")
	fail := func() {
		t.Helper()
		if _, err := k.Exec(t.Context(), "begin").ReadAll(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := k.Exec(t.Context(), "insert into cancelled values (1)").ReadAll()
			done <- err
		}()
		eventually(t, "the client to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
		if err := k.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "57014") || k.TxStatus() != 'E' {
			t.Errorf("%v, status %c", err, k.TxStatus())
		}
	}
	fail()
	if _, err := k.Exec(t.Context(), "insert into cancelled values (2)").ReadAll(); err == nil || !strings.Contains(err.Error(), "25P02") {
		t.Errorf("in the failed transaction: %v", err)
	}
	if r := k.ExecParams(t.Context(), "insert into cancelled values (3)", nil, nil, nil, nil).Read(); r.Err == nil || !strings.Contains(r.Err.Error(), "25P02") {
		t.Errorf("in the failed transaction, extended: %v", r.Err)
	}
	r, err := k.Exec(t.Context(), "commit").ReadAll()
	if err != nil || r[0].CommandTag.String() != "ROLLBACK" || k.TxStatus() != 'I' {
		t.Errorf("COMMIT: %v, status %c", err, k.TxStatus())
	}
	fail()
	busy.run("commit")
	if r := k.ExecParams(t.Context(), "rollback", nil, nil, nil, nil).Read(); r.Err != nil || r.CommandTag.String() != "ROLLBACK" || k.TxStatus() != 'I' {
		t.Errorf("ROLLBACK, extended: %v, status %c", r.Err, k.TxStatus())
	}
	if _, err := k.Prepare(t.Context(), "undo", "abort", nil); err != nil {
		t.Error(err)
	}
	busy.run("begin", "select 1")
	fail()
	busy.run("commit")
	if r := k.ExecPrepared(t.Context(), "undo", nil, nil, nil).Read(); r.Err != nil || r.CommandTag.String() != "ROLLBACK" || k.TxStatus() != 'I' {
		t.Errorf("ABORT, prepared: %v, status %c", r.Err, k.TxStatus())
	}
	if got := busy.query("select count(*) from cancelled"); got != "0" {
		t.Errorf("%s rows", got)
	}
}

// A client that keeps its server and says nothing doesn't keep the proxy from
// ending.
func TestShutdownDoesNotWaitForAPin(t *testing.T) {
	p := startPooler(t, free)
	k := talk(t, p.address())
	k.run("create temp table mine (a int)")
	eventually(t, "the pin", func() bool { return len(p.Pins()) == 1 })
	p.Shutdown(WaitForServers)
	select {
	case <-p.done:
	case <-time.After(talkerPatience):
		t.Error("it waits")
	}
}

// A value that is too long to be remembered keeps its server.
func TestAValueTooLongToBeRemembered(t *testing.T) {
	p := startPooler(t, free)
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("set app.big to '" + strings.Repeat("x", 20_000) + "'")
	for range 3 {
		if got := a.query("select length(current_setting('app.big'))"); got != "20000" {
			t.Errorf("it has %s characters", got)
		}
		b.query("select 1")
	}
}
