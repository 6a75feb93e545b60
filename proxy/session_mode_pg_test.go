package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// In session mode a client has a server of its own from login to goodbye, and
// it looks as if it had connected to it directly.
func TestSessionIsAsIfDirect(t *testing.T) {
	p := startPooler(t, "pool_mode = session\ndefault_pool_size = 2")
	params := param("extra_float_digits", "2", "options", "-c work_mem=3MB -c search_path=pg_catalog,public -c log_min_duration_statement=77s",
		"application_name", "a session", "DateStyle", "German", "geqo", "off", "log_disconnections", "on")
	ask := "select concat_ws('|', current_setting('extra_float_digits'), current_setting('work_mem'), current_setting('search_path'), " +
		"current_setting('application_name'), current_setting('DateStyle'), current_setting('geqo'), current_setting('log_min_duration_statement'), current_setting('log_disconnections'))"
	reference := talk(t, postgres.Address(), params...)
	want := reference.query(ask)
	k := talk(t, p.address(), params...)
	if pid := k.query("select pg_backend_pid()"); fmt.Sprint(k.pid) != pid {
		t.Errorf("BackendKeyData says %d, pg_backend_pid() %s", k.pid, pid)
	}
	for name, value := range reference.params {
		if k.params[name] != value {
			t.Errorf("told that %s is %q, directly %q", name, k.params[name], value)
		}
	}
	if got := k.query(ask); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Whatever is changed is reset to what the client began with.
	for _, reset := range []string{"reset all", "discard all", "reset work_mem; reset search_path; reset extra_float_digits; reset datestyle; reset application_name; reset geqo"} {
		k.query("set work_mem = '9MB'; set search_path = public; set extra_float_digits = 0; set datestyle = sql; set application_name = 'b'; set geqo = on")
		if got := k.query(ask); got == want {
			t.Error("SET did nothing")
		}
		k.query(reset)
		if got := k.query(ask); got != want {
			t.Errorf("after %s: %s, want %s", reset, got, want)
		}
	}
}

// What belongs to a session lasts as long as it, and the next client of the
// server sees none of it.
func TestSessionStateEndsWithTheSession(t *testing.T) {
	p := startPooler(t, "pool_mode = session\ndefault_pool_size = 1")
	a := talk(t, p.address())
	a.query("create temp table mine as select 1 as x")
	a.query("set statement_timeout = '11s'; set timezone to 'Asia/Tokyo'; prepare q as select 2; declare c cursor with hold for select 3")
	a.query("listen session_state; select pg_advisory_lock(4242)")
	a.query("create function pg_temp.f() returns int language sql as 'select 5'")
	if got := a.query("select x from mine"); got != "1" {
		t.Errorf("temporary table: %s", got)
	}
	if got := a.query("execute q"); got != "2" {
		t.Errorf("prepared statement: %s", got)
	}
	if got := direct(t, "select pg_try_advisory_lock(4242)"); got != "f" {
		t.Errorf("the advisory lock isn't held: %s", got)
	}
	// A notification comes while nothing else is asked for.
	direct(t, "notify session_state, 'hello'")
	if got := a.next(); got.typ != wire.NotificationResponse || !strings.Contains(string(got.body), "hello") {
		t.Errorf("instead of the notification: %c %q", got.typ, got.body)
	}
	pid := a.pid
	_ = a.conn.Close()

	b := talk(t, p.address())
	if b.pid != pid {
		t.Errorf("the server was replaced: %d, was %d", b.pid, pid)
	}
	left := "select concat_ws(' ', to_regclass('pg_temp.mine')::text, (select count(*) from pg_prepared_statements), (select count(*) from pg_cursors), " +
		"(select count(*) from pg_listening_channels()), current_setting('statement_timeout'), (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()))"
	if got := b.query(left); got != "0 0 0 0 0" {
		t.Errorf("left behind: %s", got)
	}
	if got, want := b.query("show timezone"), talk(t, postgres.Address()).query("show timezone"); got != want || b.params["TimeZone"] != want {
		t.Errorf("time zone: %s, told %s, want %s", got, b.params["TimeZone"], want)
	}
}

// Servers are opened with a client's start-up parameters, and given to those
// who bring the same.
func TestServersAreSharedByEqualParameters(t *testing.T) {
	p := startPooler(t, "pool_mode = session\ndefault_pool_size = 3")
	session := func(params ...wire.Param) (pid uint32, workMem string) {
		k := talk(t, p.address(), params...)
		workMem = k.query("show work_mem")
		k.query("set work_mem = '99MB'")
		k.say(&pgproto3.Terminate{})
		k.ended()
		eventually(t, "the server to be free again", func() bool { return p.Pools()[0].Pool.Leased == 0 })
		return k.pid, workMem
	}
	plain, _ := session()
	five, mem := session(param("work_mem", "5MB")...)
	if mem != "5MB" || five == plain {
		t.Errorf("work_mem %s on server %d, the plain one is %d", mem, five, plain)
	}
	for range 3 {
		if pid, mem := session(param("options", "-c work_mem=5MB")...); pid != five || mem != "5MB" {
			t.Errorf("the same again: work_mem %s on server %d, want %d", mem, pid, five)
		}
		if pid, mem := session(); pid != plain || mem == "5MB" || mem == "99MB" {
			t.Errorf("without: work_mem %s on server %d, want %d", mem, pid, plain)
		}
	}
	// More kinds than servers: an idle one of another kind makes room.
	for i := range 6 {
		want := fmt.Sprintf("%dMB", 10+i)
		if _, mem := session(param("work_mem", want)...); mem != want {
			t.Errorf("work_mem %s, want %s", mem, want)
		}
	}
	if open := p.Pools()[0].Pool.Open; open > 3 {
		t.Errorf("%d servers are open, want at most 3", open)
	}
}

// A client that finds no server waits at its login until one is free.
func TestLoginWaitsForAServer(t *testing.T) {
	p := startPooler(t, "pool_mode = session\ndefault_pool_size = 2")
	a, b := talk(t, p.address()), talk(t, p.address())
	type outcome struct{ k *talker }
	done := make(chan outcome, 3)
	for range 3 {
		k := dialTalker(t, p.address())
		go func() {
			if _, ok := k.logIn(); !ok {
				k = nil
			}
			done <- outcome{k}
		}()
	}
	eventually(t, "three to wait", func() bool { return p.Pools()[0].Pool.Waiting == 3 })
	free := []*talker{a, b}
	for len(free) > 0 {
		k := free[0]
		free = free[1:]
		_ = k.conn.Close()
		if len(done) > 0 || p.Pools()[0].Pool.Waiting > 0 {
			select {
			case o := <-done:
				if o.k == nil {
					t.Fatal("a login failed")
				}
				if got := o.k.query("select pg_backend_pid()"); got != fmt.Sprint(k.pid) {
					t.Errorf("it got server %s, want the freed one, %d", got, k.pid)
				}
				free = append(free, o.k)
			case <-time.After(talkerPatience):
				t.Fatal("nobody was let in")
			}
		}
	}
}

// Parameters that no server takes concern the client that brings them alone.
func TestBadParametersInSessionModeHarmNobody(t *testing.T) {
	p := startPooler(t, "pool_mode = session\ndefault_pool_size = 2\nserver_login_retry = 60")
	good := talk(t, p.address())
	for range 3 {
		k := dialTalker(t, p.address())
		if r, ok := k.logIn(param("work_mem", "none")...); ok || r.Code != "22023" {
			t.Errorf("login: %+v, %v", r, ok)
		}
		_ = k.conn.Close()
		began := time.Now()
		next := talk(t, p.address(), param("work_mem", "7MB")...)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the next one waited for %v", took)
		}
		_ = next.conn.Close()
	}
	good.query("select 1")
}

func TestStatementModeRefusesTransactions(t *testing.T) {
	p := startPooler(t, "pool_mode = statement\ndefault_pool_size = 1")
	for name, say := range map[string][]pgproto3.FrontendMessage{
		"simple":   {simple("begin")},
		"extended": {parse("", "begin"), bind("", ""), execute("", 0), syncNow},
		"multi":    {simple("begin; create table never()")},
	} {
		t.Run(name, func(t *testing.T) {
			k := talk(t, p.address())
			if got := k.query("select 'works'"); got != "works" {
				t.Errorf("a statement: %s", got)
			}
			k.query("begin; select 1; commit")
			k.say(say...)
			list := k.ended()
			last := list[len(list)-1]
			if r := wire.ParseReport(last.body); last.typ != wire.ErrorResponse || r.Code != "0A000" ||
				r.Message != "transaction blocks not allowed in statement pooling mode" || r.Severity != "FATAL" {
				t.Errorf("got %s: %+v", types(list), r)
			}
			if got := talk(t, p.address()).query("select count(*) from pg_class where relname = 'never'"); got != "0" {
				t.Error("the transaction wasn't rolled back")
			}
		})
	}
}

// The replication protocol passes through, COPY in both directions included,
// on a server of the client's own whatever the pool mode.
func TestReplication(t *testing.T) {
	pg := pgtest.Start(t, pgserver.Options{Settings: map[string]string{"wal_level": "logical"}, Databases: []string{"app"}})
	exec := func(text string) {
		t.Helper()
		if err := pg.Exec(context.Background(), "app", text); err != nil {
			t.Fatal(err)
		}
	}
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 2\n[databases]\n* = host=%s port=%d", pg.Host(), pg.Port()))
	k := talk(t, p.address(), param("replication", "database")...)
	k.query("IDENTIFY_SYSTEM")
	k.query("CREATE_REPLICATION_SLOT carpool_test LOGICAL test_decoding")
	exec("create table replicated(x text); insert into replicated values ('streamed')")
	k.say(simple("START_REPLICATION SLOT carpool_test LOGICAL 0/0"))
	if got := k.next(); got.typ != wire.CopyBothResponse {
		t.Fatalf("instead of CopyBothResponse: %c %q", got.typ, got.body)
	}
	for {
		a := k.next()
		if a.typ != wire.CopyData {
			t.Fatalf("in the stream: %c %q", a.typ, a.body)
		}
		if strings.Contains(string(a.body), "streamed") {
			break
		}
	}
	// A status update goes the other way, and its answer comes.
	status := append(append([]byte{'r'}, make([]byte, 32)...), 1)
	k.say(&pgproto3.CopyData{Data: status})
	for a := k.next(); a.body[0] != 'k'; a = k.next() {
		continue
	}
	k.say(&pgproto3.CopyDone{})
	if got := types(k.until("Z")); !strings.Contains(got, "c ") || !strings.HasSuffix(got, " C Z:I") {
		t.Errorf("at the end: %s", got)
	}
	if got := k.query("select 'SQL works, too'"); got != "SQL works, too" {
		t.Errorf("got %s", got)
	}
	// Left in mid-stream, the server is gone, and others are served.
	k.say(simple("START_REPLICATION SLOT carpool_test LOGICAL 0/0"))
	k.until("W")
	_ = k.conn.Close()
	eventually(t, "its server to be gone", func() bool {
		v, err := pg.Value(context.Background(), "app", "select count(*) from pg_stat_activity where backend_type = 'walsender'")
		return err == nil && v == "0"
	})
	if got := talk(t, p.address()).query("select 'others'"); got != "others" {
		t.Errorf("got %s", got)
	}
}
