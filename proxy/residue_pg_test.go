package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// What a client leaves in the session of a server in transaction mode, held
// against a real Postgres: parameters follow it, with anything else it keeps
// its server until that is gone, and nobody else ever meets any of it.

// onBoth runs f twice: with each of the pool's two servers the only free one.
func (p *pooler) onBoth(t *testing.T, f func()) {
	t.Helper()
	first, release := p.hold(t)
	f()
	second, releaseSecond := p.hold(t)
	release()
	f()
	releaseSecond()
	if first == second {
		t.Fatal("there is one server")
	}
}

// run has the client send texts, each as a Query or, with "x:" before it, in the
// extended protocol. Errors are for the caller's own checks.
func (k *talker) run(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		if rest, extended := strings.CutPrefix(text, "x:"); extended {
			k.ask(parse("", rest), bind("", ""), execute("", 0), syncNow)
			continue
		}
		k.ask(simple(text))
	}
}

func TestParametersFollowTheClient(t *testing.T) {
	const settings = "pool_mode = transaction\ndefault_pool_size = 2"
	p := startPooler(t, settings)
	timeout := wire.Param{Name: "statement_timeout", Value: "77s"}
	zone := wire.Param{Name: "TimeZone", Value: "Asia/Tokyo"}
	path := wire.Param{Name: "search_path", Value: "pg_catalog, public"}
	admin := talk(t, postgres.Address())
	admin.run("create role porter", "grant porter to postgres", "create role keeper superuser")
	tests := []struct {
		name    string
		startup []wire.Param
		do      []string
		ask     string
		want    string
	}{
		{"SET", nil, []string{"set statement_timeout to '61s'"}, "show statement_timeout", "61s"},
		{"SET without a unit", nil, []string{"set statement_timeout = 61000"}, "show statement_timeout", "61s"},
		{"SET in the extended protocol", nil, []string{"x:set statement_timeout to '62s'"}, "show statement_timeout", "62s"},
		{"SET in a transaction", nil, []string{"begin", "set work_mem to '7MB'", "commit"}, "show work_mem", "7MB"},
		{"SET rolled back", nil, []string{"begin", "set work_mem to '8MB'", "rollback"}, "show work_mem", "4MB"},
		{"SET behind a savepoint", nil, []string{"begin", "set work_mem to '9MB'", "savepoint a", "set work_mem to '10MB'", "rollback to a", "commit"}, "show work_mem", "9MB"},
		{"SET and an error", nil, []string{"begin; set work_mem to '9MB'; select 1/0", "commit"}, "show work_mem", "4MB"},
		{"SET LOCAL", nil, []string{"begin; set local work_mem to '9MB'; commit"}, "show work_mem", "4MB"},
		{"several in one text", nil, []string{"set work_mem to '5MB'; set lock_timeout to '9s'"}, "select current_setting('work_mem') || current_setting('lock_timeout')", "5MB9s"},
		{"set_config", nil, []string{"select set_config('work_mem', '6MB', false)"}, "show work_mem", "6MB"},
		{"set_config, local", nil, []string{"select set_config('work_mem', '6MB', true)"}, "show work_mem", "4MB"},
		{"custom", nil, []string{"set app.tenant to 'it''s \\me'"}, "show app.tenant", `it's \me`},
		{"custom in a transaction", nil, []string{"begin; set app.tenant to 'two'; commit"}, "show app.tenant", "two"},
		{"RESET", nil, []string{"set work_mem to '5MB'", "reset work_mem"}, "show work_mem", "4MB"},
		{"RESET ALL", nil, []string{"set work_mem to '5MB'", "set app.x to 'y'", "reset all"}, "select current_setting('work_mem') || coalesce(current_setting('app.x', true), '')", "4MB"},
		{"DISCARD ALL", nil, []string{"set work_mem to '5MB'", "set timezone to 'Asia/Seoul'", "discard all"}, "select current_setting('work_mem') || (current_setting('timezone') = 'Asia/Seoul')", "4MBfalse"},
		{"SET by an old name, RESET", nil, []string{"set sort_mem to '5MB'", "reset work_mem"}, "show work_mem", "4MB"},
		{"SET, RESET by an old name", nil, []string{"set maintenance_work_mem to '5MB'", "reset vacuum_mem"}, "show maintenance_work_mem", "64MB"},
		{"SET by an old name in a transaction", nil, []string{"begin; set work_mem to '5MB'; set sort_mem to '6MB'; commit"}, "show work_mem", "6MB"},
		{"SET by both names", nil, []string{"set sort_mem to '5MB'", "set work_mem to '6MB'"}, "show sort_mem", "6MB"},
		{"start-up parameter by an old name, RESET", param("sort_mem", "5MB"), []string{"set work_mem to '6MB'", "reset work_mem"}, "show work_mem", "5MB"},
		{"search_path", nil, []string{`set search_path to "a b", public`}, "show search_path", `"a b", public`},
		{"SET SCHEMA", nil, []string{`set schema 'pg_catalog'`}, "show search_path", "pg_catalog"},
		{"SET TIME ZONE INTERVAL", nil, []string{"set time zone interval '+02:00' hour to minute"}, "show timezone", "<+02>-02"},
		{"SET ROLE", nil, []string{"set role porter"}, "select current_user::text", "porter"},
		{"SET ROLE rolled back", nil, []string{"begin; set role porter; rollback"}, "select current_user::text", "postgres"},
		{"SET ROLE, then what only others may set", nil, []string{"set log_min_messages to 'error'; set role porter"}, "select current_user::text || current_setting('log_min_messages')", "portererror"},
		{"RESET ROLE", nil, []string{"set role porter", "reset role"}, "select current_user::text", "postgres"},
		{"SET SESSION AUTHORIZATION", nil, []string{"set session authorization keeper", "set role porter"}, "select session_user::text || current_user", "keeperporter"},
		{"SET SESSION AUTHORIZATION DEFAULT", nil, []string{"set session authorization keeper", "set session authorization default"}, "select session_user::text || current_user", "postgrespostgres"},
		{"start-up parameter", []wire.Param{timeout}, nil, "show statement_timeout", "77s"},
		{"start-up parameter, SET", []wire.Param{timeout}, []string{"set statement_timeout to '5s'"}, "show statement_timeout", "5s"},
		{"start-up parameter, RESET", []wire.Param{timeout}, []string{"set statement_timeout to '5s'", "reset statement_timeout"}, "show statement_timeout", "77s"},
		{"start-up parameter, RESET in a transaction", []wire.Param{timeout}, []string{"begin; set statement_timeout to '5s'", "reset statement_timeout; commit"}, "show statement_timeout", "77s"},
		{"start-up parameter, RESET ALL", []wire.Param{timeout, zone}, []string{"set statement_timeout to '5s'", "set timezone to 'utc'", "reset all"}, "select current_setting('statement_timeout') || current_setting('timezone')", "77sAsia/Tokyo"},
		{"start-up parameter, DISCARD ALL", []wire.Param{timeout, zone}, []string{"set statement_timeout to '5s'", "set timezone to 'utc'", "discard all"}, "select current_setting('statement_timeout') || current_setting('timezone')", "77sAsia/Tokyo"},
		{"reported start-up parameter, RESET", []wire.Param{zone}, []string{"set timezone to 'utc'", "reset timezone"}, "show timezone", "Asia/Tokyo"},
		{"start-up parameter, RESET in the extended protocol", []wire.Param{timeout, path}, []string{"x:set statement_timeout to '5s'", "x:reset statement_timeout", "x:set search_path to public", "x:reset search_path"}, "select current_setting('statement_timeout') || current_setting('search_path')", "77spg_catalog, public"},
		{"start-up parameter, RESET in an extended transaction", []wire.Param{timeout}, []string{"x:begin", "x:set statement_timeout to '5s'", "x:reset statement_timeout", "x:commit"}, "show statement_timeout", "77s"},
		{"search_path at start-up, SET DEFAULT", []wire.Param{path}, []string{"set search_path to public", "set search_path to default"}, "show search_path", "pg_catalog, public"},
		{"SQL_ASCII bytes", []wire.Param{{Name: "client_encoding", Value: "LATIN1"}}, []string{"set app.word to '\xe9t\xe9'"}, "show app.word", "\xe9t\xe9"},
		{"a function that sets", nil, []string{"create or replace function setter() returns void language plpgsql as $$begin perform set_config('work_mem', '11MB', false); end$$", "select setter()"}, "select 'not seen by its text'", "not seen by its text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := talk(t, p.address(), tt.startup...), talk(t, p.address())
			before := b.query("select concat_ws('|', " + settingsOf() + ")")
			a.run(tt.do...)
			p.onBoth(t, func() {
				if got := a.query(tt.ask); got != tt.want {
					t.Errorf("%s: %q, want %q", tt.ask, got, tt.want)
				}
				if got := b.query("select concat_ws('|', " + settingsOf() + ")"); got != before {
					t.Errorf("another client found %s, not %s", got, before)
				}
			})
			if pins := p.Pins(); len(pins) > 0 {
				t.Errorf("pinned: %+v", pins)
			}
			a.run("reset role", "reset session authorization")
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}

// settingsOf are expressions for the parameters that the tests above change.
func settingsOf() string {
	list := []string{"current_user", "session_user"}
	for _, name := range []string{"statement_timeout", "lock_timeout", "search_path", "timezone", "log_min_messages", "app.tenant", "app.word"} {
		list = append(list, "nullif(current_setting('"+name+"', true), '')")
	}
	return strings.Join(list, ", ")
}

// A RESET leads to the client's own value at once, in the midst of its
// transaction too, and the client is told.
func TestResetLeadsToTheClientsOwnValue(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address(), wire.Param{Name: "statement_timeout", Value: "77s"}, wire.Param{Name: "TimeZone", Value: "Asia/Tokyo"})
	a.run("begin", "set statement_timeout to '5s'", "reset statement_timeout")
	if got := a.query("show statement_timeout"); got != "77s" {
		t.Errorf("in the transaction: %s", got)
	}
	a.run("commit", "set timezone to 'utc'", "reset timezone")
	if got := a.query("show timezone"); got != "Asia/Tokyo" || a.params["TimeZone"] != got {
		t.Errorf("afterwards: %s, told %s", got, a.params["TimeZone"])
	}
}

// left are the kinds of state that pin: how it is made, how it shows (each of
// these is true for the one who made it and for nobody else), and how it goes.
var left = []struct {
	name string
	make []string
	ask  string
	kind string
	undo []string
}{
	{"temporary table", []string{"create temp table mine (a int)"}, "select count(*) > 0 from pg_class where relname = 'mine' and pg_table_is_visible(oid)", "temporary", []string{"drop table mine"}},
	{"temporary table in a transaction", []string{"begin; create local temporary table mine (a int)", "commit"}, "select to_regclass('mine') is not null", "temporary", []string{"discard temp"}},
	{"SELECT INTO", []string{"select 1 as a into temp mine"}, "select to_regclass('mine') is not null", "temporary", []string{"discard all"}},
	{"extended CREATE TABLE AS", []string{"x:create temp table mine as select 1"}, "select to_regclass('mine') is not null", "temporary", []string{"x:drop table mine"}},
	{"pg_temp", []string{"create table pg_temp.mine (a int)"}, "select to_regclass('pg_temp.mine') is not null", "temporary", []string{"begin; drop table mine; commit"}},
	{"temporary view", []string{"create temp view mine as select 1"}, "select to_regclass('mine') is not null", "temporary", []string{"drop view mine"}},
	{"temporary sequence", []string{"create temp sequence mine"}, "select to_regclass('mine') is not null", "temporary", []string{"drop sequence mine"}},
	{"temporary function", []string{"create function pg_temp.mine() returns int language sql as 'select 1'"}, "select count(*) = 1 from pg_proc where proname = 'mine' and pronamespace = pg_my_temp_schema()", "temporary", []string{"drop function pg_temp.mine()"}},
	{"cursor WITH HOLD", []string{"declare mine cursor with hold for select 1"}, "select count(*) = 1 from pg_cursors where name = 'mine'", "cursors", []string{"close mine"}},
	{"cursor WITH HOLD in a transaction", []string{"begin; declare mine cursor with hold for select 1; commit"}, "select count(*) = 1 from pg_cursors where name = 'mine'", "cursors", []string{"close all"}},
	{"advisory lock", []string{"select pg_advisory_lock(4711)"}, "select count(*) = 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", "locks", []string{"select pg_advisory_unlock(4711)"}},
	{"advisory lock taken twice", []string{"select pg_advisory_lock(4711)", "select pg_advisory_lock(4711)", "select pg_advisory_unlock(4711)"}, "select count(*) = 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", "locks", []string{"select pg_advisory_unlock_all()"}},
	{"advisory lock that outlives a rollback", []string{"begin; select pg_advisory_lock_shared(1, 2); select 1/0", "rollback"}, "select count(*) = 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", "locks", []string{"select pg_advisory_unlock_shared(1, 2)"}},
	{"try-lock", []string{"select pg_try_advisory_lock(12)"}, "select count(*) = 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", "locks", []string{"select pg_advisory_unlock(12)"}},
	{"LISTEN", []string{"listen mine"}, "select count(*) = 1 from pg_listening_channels() c where c = 'mine'", "listen", []string{"unlisten mine"}},
	{"set_config of what isn't known", []string{"select set_config(name, '6MB', false) from (values ('work_mem')) v(name)"}, "select current_setting('work_mem') = '6MB'", "parameters", []string{"reset all"}},
	{"nextval", []string{"create sequence if not exists shared_sequence", "select nextval('shared_sequence')"}, "select remembers('shared_sequence')", "sequences", []string{"discard sequences"}},
	{"DO", []string{"do $$begin create temp table mine (a int); end$$"}, "select to_regclass('mine') is not null", "unsure", []string{"discard all"}},
}

// makeRemembers makes a function that says whether currval has an answer.
func makeRemembers(t *testing.T) {
	talk(t, postgres.Address()).run(`create or replace function remembers(name text) returns bool language plpgsql as
		$$begin return currval(name::regclass) > 0; exception when others then return false; end$$`)
}

func TestWhatPins(t *testing.T) {
	makeRemembers(t)
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nstate_listen = pin")
	for _, tt := range left {
		t.Run(tt.name, func(t *testing.T) {
			a, b := talk(t, p.address(), wire.Param{Name: "application_name", Value: "keeper"}), talk(t, p.address())
			a.run(tt.make...)
			eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
			pin := p.Pins()[0]
			if !slices.Contains(pin.Kinds, tt.kind) || pin.Application != "keeper" || pin.Cause == "" {
				t.Errorf("%+v", pin)
			}
			for range 3 {
				if got := a.query(tt.ask); got != "t" {
					t.Errorf("the client that made it doesn't find it: %s", got)
				}
				if got := b.query(tt.ask); got == "t" {
					t.Error("another client finds it")
				}
			}
			a.run(tt.undo...)
			eventually(t, "the pin to be gone", func() bool { return len(p.Pins()) == 0 && p.Pools()[0].Pool.Leased == 0 })
			p.onBoth(t, func() {
				if got := b.query(tt.ask); got == "t" {
					t.Error("another client finds it afterwards")
				}
			})
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}

func TestWhatDoesNotPin(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	other := talk(t, postgres.Address())
	other.run("select pg_advisory_lock(99)", "create table if not exists plain (a int)")
	for _, texts := range [][]string{
		{"select 1"},
		{"select pg_try_advisory_lock(99)"},
		{"select pg_advisory_xact_lock(98)"},
		{"begin; create temp table mine (a int) on commit drop; commit"},
		{"begin; create temp table mine (a int)", "rollback"},
		{"create temp table plain_twice (a int", "selec 1", "do nothing"},
		{"begin; declare mine cursor with hold for select 1", "rollback"},
		{"begin; declare mine cursor for select 1; fetch mine; commit"},
		{"begin; listen mine; rollback"},
		{"listen mine"}, // which is multiplexed
		{"x:listen mine"},
		{"begin", "listen mine", "notify mine", "commit"},
		{"notify mine, 'x'"},
		{"insert into plain values (1)", "update plain set a = 2", "delete from plain"},
		{"select 'pg_advisory_lock(1)' -- nextval('x')"},
		{"vacuum plain"},
		{"set work_mem to '5MB'"},
		{"prepare mine as select 1", "deallocate mine"},
		{"select pg_advisory_lock(5), pg_advisory_unlock(5)"},
	} {
		a := talk(t, p.address())
		a.run(texts...)
		eventually(t, strings.Join(texts, "; ")+": the server to be free", func() bool {
			return len(p.Pins()) == 0 && p.Pools()[0].Pool.Leased == 0
		})
		_ = a.conn.Close()
	}
}

// The code of a syntax error doesn't mean that nothing was done.
func TestALockTakenBeforeASyntaxErrorOfAFunction(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("select pg_advisory_lock(901), to_tsquery('foo bar'||g) from generate_series(1, 1) g")
	for range 4 {
		if got := b.query("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"); got != "0" {
			t.Errorf("another client holds %s locks", got)
		}
	}
}

// A Query longer than max_parse_size isn't collected, and so isn't refused.
func TestAQueryBeyondMaxParseSize(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nmax_parse_size = 65536")
	text := "select length('" + strings.Repeat("x", 100_000) + "')"
	k := talk(t, p.address())
	if got := k.query(text); got != "100000" {
		t.Error(got)
	}
	if got := values(k.ask(parse("", text), bind("", ""), execute("", 0), syncNow)); strings.Join(got, "") != "100000" {
		t.Errorf("extended: %q", got)
	}
}

// The setting that was set is the one that is named.
func TestTheSettingThatRefusesIsNamed(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nsession_state = reject\nstate_locks = reject\nstate_parameters = replay")
	k := talk(t, p.address())
	for text, setting := range map[string]string{"listen x": "session_state", "do $$begin end$$": "session_state", "select pg_advisory_lock(1)": "state_locks"} {
		r := wire.ParseReport(k.ask(simple(text))[0].body)
		if !strings.Contains(r.Message, "("+setting+" = reject)") || !strings.Contains(r.Hint, setting+" = transparent") {
			t.Errorf("%s: %+v", text, r)
		}
	}
	k.run("set work_mem to '5MB'")
	if got := k.query("show work_mem"); got != "5MB" {
		t.Error(got)
	}
}

// A client with more parameters than are remembered keeps its server until it
// resets them.
func TestMoreParametersThanAreRemembered(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	b := talk(t, p.address())
	var together strings.Builder
	for i := range 200 {
		fmt.Fprintf(&together, "set many.p%d to %d;", i, i)
	}
	one := func(k *talker) {
		for i := range 200 {
			k.run(fmt.Sprintf("set many.p%d to %d", i, i))
		}
	}
	for name, set := range map[string]func(k *talker){"one by one": one, "together": func(k *talker) { k.run(together.String()) }} {
		a := talk(t, p.address())
		set(a)
		eventually(t, name+": the pin", func() bool { return len(p.Pins()) == 1 })
		if pin := p.Pins()[0]; !strings.Contains(pin.Cause, "more than 192 parameters") || pin.Kinds[0] != "parameters" {
			t.Errorf("%s: %+v", name, pin)
		}
		a.run("begin; reset all; rollback")
		for range 2 {
			if got := a.query("select current_setting('many.p199')"); got != "199" {
				t.Errorf("%s: %q", name, got)
			}
			if got := b.query("select coalesce(current_setting('many.p199', true), '')"); got != "" {
				t.Errorf("%s: another client finds %q", name, got)
			}
		}
		a.run("reset all")
		eventually(t, name+": the pin to be gone", func() bool { return len(p.Pins()) == 0 && p.Pools()[0].Pool.Leased == 0 })
		_ = a.conn.Close()
	}
}

// Whatever a client has left, and however it leaves, the next one finds nothing.
func TestWhatIsLeftIsCleaned(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	makeRemembers(t)
	ways := map[string]func(k *talker){
		"Terminate": func(k *talker) { k.send(wire.AppendEmpty(nil, wire.Terminate)) },
		"FIN":       func(k *talker) { leaving["FIN"](k.conn) },
		"RST":       func(k *talker) { leaving["RST"](k.conn) },
	}
	for _, tt := range left {
		for name, leave := range ways {
			for _, within := range []bool{false, true} {
				if within && strings.Contains(strings.Join(tt.make, ""), "begin") {
					continue
				}
				a := talk(t, p.address())
				a.doing = tt.name + ", " + name + fmt.Sprint(within)
				if within {
					a.run("begin")
				}
				a.run(tt.make...)
				pid := a.query("select pg_backend_pid()")
				leave(a)
				b := talk(t, p.address())
				b.doing = tt.name + ", " + name
				if got := b.query(tt.ask); got == "t" {
					t.Errorf("%s, %s: the next client finds it", tt.name, name)
				}
				if got := b.query("select pg_backend_pid()"); got != pid {
					t.Errorf("%s, %s: the server was given up", tt.name, name)
				}
				_ = b.conn.Close()
			}
		}
	}
	a := talk(t, p.address())
	pid := a.query("select pg_backend_pid()")
	a.run("load 'plpgsql'")
	_ = a.conn.Close()
	if got := talk(t, p.address()).query("select pg_backend_pid()"); got == pid {
		t.Error("a server that has loaded a library was kept")
	}
}

func TestPolicies(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nstate_locks = reject\nstate_temporary = ignore\nstate_unsure = reject")
	a := talk(t, p.address())
	for _, text := range []string{"select pg_advisory_lock(1)", "do $$begin end$$", "select 1; select pg_try_advisory_lock(1)"} {
		answers := a.ask(simple(text))
		if types(answers) != "E:0A000 Z:I" && !strings.HasPrefix(types(answers), "E:0A000") {
			t.Fatalf("%s: %s", text, types(answers))
		}
		if r := wire.ParseReport(answers[0].body); r.Code != "0A000" || !strings.Contains(r.Message, "= reject") {
			t.Errorf("%s: %+v", text, r)
		}
	}
	answers := a.ask(parse("s", "select pg_advisory_lock(1)"), bind("", "s"), execute("", 0), syncNow)
	if types(answers) != "E:0A000 Z:I" || wire.ParseReport(answers[0].body).Code != "0A000" {
		t.Errorf("extended: %s %+v", types(answers), wire.ParseReport(answers[0].body))
	}
	a.run("begin")
	a.ask(simple("select pg_advisory_lock(1)"))
	if answers := a.ask(simple("select 1")); wire.ParseReport(answers[0].body).Code != "25P02" {
		t.Errorf("the transaction hasn't failed: %s", types(answers))
	}
	a.run("rollback", "create temp table shared_by_all (a int)")
	eventually(t, "the server to be free", func() bool { return p.Pools()[0].Pool.Leased == 0 })
	if got := talk(t, p.address()).query("select to_regclass('shared_by_all') is not null"); got != "t" {
		t.Error("what is ignored doesn't leak")
	}
}

// A RESET that is taken back leaves what the client has set, even where that is
// the server's own value.
func TestAResetThatIsTakenBack(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	standard := talk(t, postgres.Address()).query("show timezone")
	a := talk(t, p.address(), param("TimeZone", "Asia/Tokyo", "statement_timeout", "77s")...)
	for _, tt := range []struct {
		name  string
		texts []string
		keeps bool
	}{
		{"RESET", []string{"reset timezone"}, false},
		{"RESET ALL", []string{"reset all"}, false},
		{"DISCARD ALL", []string{"discard all"}, false},
		{"committed", []string{"begin", "reset timezone", "commit"}, false},
		{"committed in one go", []string{"begin; reset timezone; commit"}, false},
		{"ahead of an error", []string{"reset timezone", "select 1/0"}, false},
		{"ahead of a savepoint", []string{"begin", "reset timezone; savepoint a; select 1/0", "rollback to a", "commit"}, false},
		{"rolled back", []string{"begin", "reset timezone", "rollback"}, true},
		{"rolled back in one go", []string{"begin; reset timezone; rollback"}, true},
		{"rolled back to a savepoint", []string{"begin; savepoint a", "reset timezone", "rollback to a", "commit"}, true},
		{"failed", []string{"begin", "reset timezone; select 1/0", "rollback"}, true},
		{"failed in one go", []string{"reset timezone; select 1/0"}, true},
		{"refused", []string{"begin", "set timezone to 'Asia/Seoul'", "discard all", "rollback"}, true},
		{"set again", []string{"begin", "reset timezone", "set timezone to '" + standard + "'", "commit"}, true},
		{"set again in one go", []string{"reset timezone; set timezone to '" + standard + "'"}, true},
	} {
		want := "Asia/Tokyo"
		if tt.keeps {
			want = standard
		}
		for _, apart := range []bool{true, false} {
			if !apart && tt.name == "rolled back to a savepoint" {
				continue // whether the RESET came before the savepoint or behind it isn't followed
			}
			a.run("set timezone to '" + standard + "'")
			for _, text := range tt.texts {
				a.say(simple(text))
				if apart {
					a.until("Z")
				}
			}
			for range tt.texts {
				if !apart {
					a.until("Z")
				}
			}
			if got := a.query("show timezone"); got != want || a.params["TimeZone"] != want {
				t.Errorf("%s, awaited %t: %s, told %s, want %s", tt.name, apart, got, a.params["TimeZone"], want)
			}
		}
	}
}

// In a transaction the client is told what a RESET has led to.
func TestResetInATransactionIsReported(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a := talk(t, p.address(), param("TimeZone", "Asia/Tokyo")...)
	a.run("begin", "set timezone to 'Asia/Seoul'", "reset timezone")
	if got := a.query("show timezone"); got != "Asia/Tokyo" || a.params["TimeZone"] != got {
		t.Errorf("%s, told %s", got, a.params["TimeZone"])
	}
	a.run("rollback")
	if got := a.params["TimeZone"]; got != "Asia/Tokyo" {
		t.Errorf("afterwards told %s", got)
	}
}
