package proxy

import (
	"errors"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A parameter that a server doesn't take any more is the client's own trouble:
// none of its statements is executed without it, it lives on, and can replace it.
func TestAParameterThatIsRefusedLater(t *testing.T) {
	admin := talk(t, postgres.Address())
	const ask = "select current_user::text"
	queries := func(texts ...string) []pgproto3.FrontendMessage {
		var list []pgproto3.FrontendMessage
		for _, text := range texts {
			list = append(list, simple(text))
		}
		return list
	}
	for _, tt := range []struct {
		name string
		say  []pgproto3.FrontendMessage
		want []string // up to each ReadyForQuery
	}{
		{"Query", queries("insert into refused values (1)"), []string{"E:22023 Z:I"}},
		{"several", queries("insert into refused values (1)", "insert into refused values (2)"), []string{"E:22023 Z:I", "E:22023 Z:I"}},
		{"several in one", queries("insert into refused values (1); commit; insert into refused values (2)"), []string{"E:22023 Z:I"}},
		{"extended", []pgproto3.FrontendMessage{parse("", "insert into refused values (1)"), bind("", ""), execute("", 0), syncNow}, []string{"E:22023 Z:I"}},
		{"extended, named, and a Query", append([]pgproto3.FrontendMessage{parse("n", "insert into refused values (1)"), bind("", "n"), execute("", 0), syncNow}, queries("begin")...), []string{"E:22023 Z:I", "E:22023 Z:I"}},
		{"BEGIN and more", queries("begin; insert into refused values (1)"), []string{"E:22023 Z:I"}},
		{"COPY", queries("copy refused from stdin"), []string{"E:22023 Z:I"}},
		{"VACUUM", queries("vacuum refused"), []string{"E:22023 Z:I"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			admin.run("drop role if exists leaver", "create role leaver", "drop table if exists refused", "create table refused (a int)", "grant all on refused to public")
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			a, b := talk(t, p.address()), talk(t, p.address())
			a.run("set role leaver")
			if got := a.query(ask); got != "leaver" {
				t.Fatal(got)
			}
			pid := b.query("select pg_backend_pid()")
			admin.run("drop owned by leaver", "drop role leaver")
			for range 2 {
				a.say(tt.say...)
				for i, want := range tt.want {
					list := a.until("Z")
					if got := types(list); got != want {
						t.Fatalf("answer %d: %s, want %s", i, got, want)
					}
					if r := wire.ParseReport(list[0].body); r.Severity != "ERROR" || !strings.Contains(r.Message, `"role"`) || !strings.Contains(r.Message, "leaver") {
						t.Errorf("%+v", r)
					}
				}
				if got := b.query(ask); got != "postgres" {
					t.Errorf("another client is %s", got)
				}
			}
			if got := admin.query("select count(*) from refused"); got != "0" {
				t.Errorf("%s rows were inserted all the same", got)
			}
			a.run("reset role")
			if got := a.query(ask); got != "postgres" {
				t.Errorf("after RESET: %s", got)
			}
			if got := b.query("select pg_backend_pid()"); got != pid {
				t.Error("the server was given up")
			}
		})
	}
}

func TestReplacingARefusedParameter(t *testing.T) {
	admin := talk(t, postgres.Address())
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	other := talk(t, p.address())
	const ask = "select current_user::text"
	for _, tt := range []struct {
		name string
		do   func(k *talker)
		want string // empty: it is still refused
	}{
		{"RESET", func(k *talker) { k.run("reset role") }, "postgres"},
		{"SET", func(k *talker) { k.run("set role stayer") }, "stayer"},
		{"SET in the extended protocol", func(k *talker) { k.run("x:set role stayer") }, "stayer"},
		{"SET by a named statement", func(k *talker) {
			k.ask(parse("mend", "reset role"), describe('S', "mend"), syncNow)
			k.ask(bind("", "mend"), execute("", 0), syncNow)
		}, "postgres"},
		{"DISCARD ALL", func(k *talker) { k.run("discard all") }, "postgres"},
		{"SET SESSION AUTHORIZATION", func(k *talker) { k.run("set session authorization stayer") }, "stayer"},
		{"RESET and more at once", func(k *talker) {
			k.say(simple("reset role"), simple(ask), simple(ask))
			for _, want := range []string{"", "postgres", "postgres"} {
				if got := strings.Join(values(k.until("Z")), ""); got != want {
					k.t.Errorf("%q, want %q", got, want)
				}
			}
		}, "postgres"},
		{"it is there again", func(*talker) { admin.run("create role leaver") }, "leaver"},
		{"SET that fails", func(k *talker) { k.run("set role nobody_at_all") }, ""},
		{"RESET of another", func(k *talker) { k.run("reset work_mem", "reset all") }, ""},
		{"Parse alone", func(k *talker) { k.ask(parse("", "reset role"), syncNow) }, ""},
		{"an error behind it", func(k *talker) {
			k.ask(parse("", "reset role"), bind("", ""), execute("", 0), parse("", "select 1/0"), bind("", ""), execute("", 0), syncNow)
		}, ""},
		{"in a transaction", func(k *talker) { k.run("begin", "reset role", "rollback") }, ""},
		{"begun by itself", func(k *talker) {
			k.run("begin")
			if got := types(k.ask(simple("select 1"))); got != "E:22023 Z:E" {
				k.t.Error(got)
			}
			if got := types(k.ask(simple("select 1"))); got != "E:25P02 Z:E" {
				k.t.Error(got)
			}
			if got := types(k.ask(simple("rollback"))); got != "C Z:I" {
				k.t.Error(got)
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			admin.run("create role leaver", "create role stayer superuser")
			k := talk(t, p.address())
			k.run("set role leaver")
			other.query("select 1")
			admin.run("drop role leaver")
			if got := types(k.ask(simple(ask))); got != "E:22023 Z:I" {
				t.Errorf("it isn't refused: %s", got)
			}
			tt.do(k)
			list := k.ask(simple(ask))
			if got := strings.Join(values(list), ""); got != tt.want || tt.want == "" && types(list) != "E:22023 Z:I" {
				t.Errorf("now %q, %s, want %q", got, types(list), tt.want)
			}
			_ = k.conn.Close()
			other.query("select 1")
		})
	}
}

// Two parameters that are refused are replaced one after the other, and none
// of them is lost meanwhile.
func TestReplacingTwoRefusedParameters(t *testing.T) {
	admin := talk(t, postgres.Address())
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	k, other := talk(t, p.address()), talk(t, p.address())
	const method, ask = "default_table_access_method", "select current_user || current_setting('default_table_access_method')"
	for _, script := range [][]string{{"reset " + method, "reset role", "reset " + method}, {"reset role", "reset " + method, "reset role", "reset " + method}, {"discard all", "discard all"}} {
		admin.run("create role leaver superuser", "create access method leaving type table handler heap_tableam_handler")
		k.run("set role leaver", "set "+method+" to leaving")
		if got := k.query(ask); got != "leaverleaving" {
			t.Fatal(got)
		}
		other.query("select 1")
		admin.run("drop role leaver", "drop access method leaving")
		for _, text := range script {
			if got := types(k.ask(simple(ask))); got != "E:22023 Z:I" {
				t.Errorf("before %s: %s", text, got)
			}
			k.run(text)
		}
		if got := k.query(ask); got != "postgresheap" {
			t.Errorf("%q: %s", script, got)
		}
	}
}

// temp_buffers is for sessions that haven't used temporary tables yet: one that
// has isn't given to a client that has set it otherwise.
func TestTemporaryBuffers(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("set temp_buffers to '2MB'")
	for range 3 {
		b.run("begin; create temp table used (a int) on commit drop; insert into used values (1); commit")
		if got := a.query("show temp_buffers"); got != "2MB" {
			t.Error(got)
		}
		if got := b.query("show temp_buffers"); got != "8MB" {
			t.Error(got)
		}
	}
	// What a function does isn't seen: the first statement is refused.
	talk(t, postgres.Address()).run(`create or replace function uses_temp() returns void language plpgsql as
		$$begin create temp table used (a int) on commit drop; insert into used values (1); end$$`)
	b.run("select uses_temp()")
	if got := types(a.ask(simple("show temp_buffers"))); got != "E:22023 Z:I" {
		t.Error(got)
	}
	if got := a.query("show temp_buffers"); got != "2MB" {
		t.Errorf("on another server: %s", got)
	}
}

// A client's parameters are set, whatever the client before has set that would
// make others wait.
func TestParametersAreSetInSpiteOfTheClientBefore(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	admin := talk(t, postgres.Address())
	admin.run("create table if not exists unsafe (a int)", "begin isolation level serializable", "insert into unsafe values (1)")
	a, b := talk(t, p.address()), talk(t, p.address())
	b.run("set search_path to pg_catalog, public")
	a.run("set session characteristics as transaction isolation level serializable, read only, deferrable")
	for range 3 {
		if got := b.query("show search_path"); got != "pg_catalog, public" {
			t.Error(got)
		}
		if got := a.query("show default_transaction_deferrable"); got != "on" {
			t.Error(got)
		}
	}
	admin.run("commit")
}

// A cancel request that meets the setting of parameters cancels the statement
// behind it, and says no more.
func TestCancelWhileParametersAreSet(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 2")
	admin := talk(t, postgres.Address())
	a := p.connect("postgres", "app")
	value(t, a, "set default_text_search_config to 'pg_catalog.german'")
	_, release := p.hold(t)
	admin.run("begin", "lock table pg_ts_config in access exclusive mode")
	done := make(chan error, 1)
	go func() {
		_, err := a.Exec(t.Context(), "select 1").ReadAll()
		done <- err
	}()
	waits := talk(t, postgres.Address())
	eventually(t, "the parameter to wait", func() bool {
		return waits.query("select count(*) from pg_locks where not granted and relation = 'pg_ts_config'::regclass") == "1"
	})
	if err := a.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := <-done
	admin.run("rollback")
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != "57014" || refusal.Message != "canceling statement due to user request" {
		t.Errorf("%v", err)
	}
	if got := value(t, a, "show default_text_search_config"); got != "pg_catalog.german" {
		t.Error(got)
	}
	release()
}

// A right that was taken away since somebody used it is nobody else's trouble:
// a server that can't be rid of what was set by it is given up.
func TestAServerThatKeepsAStrangersParameter(t *testing.T) {
	admin := talk(t, postgres.Address())
	const setting = "log_min_duration_statement"
	for _, tt := range []struct {
		name string
		next func(t *testing.T, p *pooler)
	}{
		{"at a login", func(t *testing.T, p *pooler) {
			k := talk(t, p.address(), param("user", "app", "work_mem", "3MB")...)
			if got := k.query("show work_mem"); got != "3MB" {
				t.Errorf("its own parameter is %s", got)
			}
		}},
		{"of one that is in", func(t *testing.T, p *pooler) {
			k := talk(t, p.address(), param("user", "app")...)
			k.ask(simple("select 1")) // which may fail, once
			if got := k.query("select 2"); got != "2" {
				t.Errorf("got %s", got)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			admin.run("grant set on parameter " + setting + " to app")
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
			k := talk(t, p.address(), param("user", "app", setting, "12345")...)
			if got := k.query("show " + setting); got != "12345ms" {
				t.Fatal(got)
			}
			admin.run("revoke set on parameter " + setting + " from app")
			tt.next(t, p)
		})
	}
}
