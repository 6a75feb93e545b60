package proxy

import (
	"fmt"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// startWithRoles starts a Postgres with the user app, who may be owner and other
// but not stranger, and a pooler with one connection to it.
func startWithRoles(t *testing.T) (server *pgserver.Server, admin *talker, p *pooler) {
	server = pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}, {Name: "stranger"}}, Databases: []string{"app"}})
	admin = talk(t, server.Address())
	admin.run("create role owner", "create role other", "grant owner, other to app",
		"create function public.give_up() returns void language sql as $$select set_config('role', 'none', false)$$")
	p = startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = any\nsession_audit = always\n[databases]\n"+
		"app = host=%s port=%d user=app pool_size=1\n", server.Host(), server.Port()))
	return server, admin, p
}

// Logins that are given a role (ALTER ROLE ... SET role): giving it up is the
// client's affair alone, however it is done.
func TestTheRoleOfALoginStays(t *testing.T) {
	server, admin, p := startWithRoles(t)
	admin.run("alter role app set role to owner")
	for _, tt := range []struct {
		name string
		do   []string
		want string
	}{
		{"nothing", nil, "owner"},
		{"SET ROLE NONE", []string{"set role none"}, "app"},
		{"SET ROLE NONE in the extended protocol", []string{"x:set role none"}, "app"},
		{"SET ROLE NONE in a transaction", []string{"begin; set role none", "commit"}, "app"},
		{"SET ROLE NONE rolled back", []string{"begin; set role none", "rollback"}, "owner"},
		{"SET LOCAL ROLE NONE", []string{"begin; set local role none", "commit"}, "owner"},
		{"set_config", []string{"select set_config('role', 'none', false)"}, "app"},
		{"in a function", []string{"select give_up()"}, "app"},
		{"SET ROLE", []string{"set role other"}, "other"},
		{"RESET ROLE", []string{"set role none", "reset role"}, "owner"},
		{"RESET ROLE behind another", []string{"set role other", "reset role"}, "owner"},
		{"RESET ALL leaves it", []string{"set role none", "reset all"}, "app"},
		{"DISCARD ALL", []string{"discard all"}, "owner"},
		{"DISCARD ALL behind another", []string{"set role other", "discard all", "reset role"}, "owner"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone := talk(t, server.Address(), param("user", "app")...)
			a, b := talk(t, p.address()), talk(t, p.address())
			alone.run(tt.do...)
			a.run(tt.do...)
			if direct := alone.query("select current_user"); direct != tt.want {
				t.Fatalf("%s on a direct connection", direct)
			}
			for range 2 {
				if got := b.query("select current_user"); got != "owner" {
					t.Errorf("another client is %s", got)
				}
				if got := a.query("select current_user"); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}

// A role in the start-up packet is the client's own, as on a direct connection.
func TestARoleInTheStartUpPacket(t *testing.T) {
	server, admin, p := startWithRoles(t)
	for _, tt := range []struct {
		name string
		do   []string
	}{
		{"nothing", nil},
		{"SET ROLE NONE", []string{"set role none"}},
		{"SET ROLE NONE in the extended protocol", []string{"x:set role none"}},
		{"SET ROLE NONE in a transaction", []string{"begin; set role none", "commit"}},
		{"SET ROLE NONE rolled back", []string{"begin; set role none", "rollback"}},
		{"set_config", []string{"select set_config('role', 'none', false)"}},
		{"in a function", []string{"select give_up()"}},
		{"SET ROLE", []string{"set role other"}},
		{"SET ROLE rolled back", []string{"begin; set role other", "rollback"}},
		{"SET LOCAL ROLE", []string{"begin; set local role other", "commit"}},
		{"RESET ROLE", []string{"set role other", "reset role"}},
		{"RESET ROLE of what was given up", []string{"set role none", "reset role"}},
		{"RESET ROLE in the extended protocol", []string{"x:set role none", "x:reset role"}},
		{"RESET ROLE in a transaction", []string{"begin; set role none; reset role", "commit"}},
		{"RESET ROLE in a transaction of several", []string{"begin", "set role other", "reset role", "create table if not exists public.of_somebody (a int)", "rollback"}},
		{"RESET ROLE rolled back", []string{"set role other", "begin; reset role", "rollback"}},
		{"RESET ROLE of its own rolled back", []string{"begin; reset role", "rollback"}},
		{"RESET ROLE of what was given up, rolled back", []string{"set role none", "begin; reset role", "rollback"}},
		{"RESET ROLE of what was given up, and an error", []string{"set role none", "reset role; select 1/0"}},
		{"RESET ROLE behind an error", []string{"set role none; select 1/0", "set role none", "reset role"}},
		{"RESET ROLE, SET ROLE NONE", []string{"begin; reset role; set role none", "commit"}},
		{"SET ROLE TO DEFAULT", []string{"set role other", "set role to default"}},
		{"RESET ALL", []string{"set role other", "reset all"}},
		{"RESET ALL, none", []string{"set role none", "reset all"}},
		{"DISCARD ALL", []string{"set role none", "discard all"}},
		{"SET SESSION AUTHORIZATION DEFAULT", []string{"set role other", "set session authorization default"}},
		{"RESET SESSION AUTHORIZATION", []string{"reset session authorization"}},
		{"RESET SESSION AUTHORIZATION in a transaction", []string{"begin", "reset session authorization", "commit"}},
		{"RESET of a name in capitals", []string{`set role none`, `reset "ROLE"`}},
		{"SET of a name in capitals", []string{`set "ROLE" to other`}},
		{"RESET ROLE committed ahead of an error", []string{"begin; reset role; commit; select 1/0"}},
		{"RESET ROLE committed ahead of a ROLLBACK", []string{"begin; reset role; commit; begin; set role none; rollback"}},
		{"RESET ROLE ahead of a savepoint", []string{"begin; reset role; savepoint a; rollback to a; commit"}},
		{"RESET ROLE ahead of an error behind a savepoint", []string{"begin; reset role; savepoint a; select 1/0", "rollback to a", "commit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone := talk(t, server.Address(), param("user", "app", "options", "-c role=owner")...)
			a, b := talk(t, p.address(), param("role", "owner")...), talk(t, p.address())
			alone.run(tt.do...)
			a.run(tt.do...)
			want := alone.query("select current_user")
			for range 2 {
				if got := a.query("select current_user"); got != want {
					t.Errorf("%s, and %s on a direct connection", got, want)
				}
				if got := b.query("select current_user"); got != "app" {
					t.Errorf("another client is %s", got)
				}
			}
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
	t.Run("within the transaction", func(t *testing.T) {
		a := talk(t, p.address(), param("options", "-c role=owner")...)
		a.run("begin", "set role other", "reset role")
		if got := a.query("select current_user"); got != "owner" {
			t.Errorf("%s behind a RESET ROLE", got)
		}
		a.run("set role other; reset role; select 1")
		if got := a.query("select current_user"); got != "owner" {
			t.Errorf("%s behind a RESET ROLE amid a Query", got)
		}
		a.run("commit")
	})
	t.Run("of a login that has another", func(t *testing.T) {
		admin.run("alter role app set role to other")
		defer admin.run("alter role app reset role")
		admin.query("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'app'")
		eventually(t, "the server to be gone", func() bool { return p.Pools()[0].Pool.Open == 0 })
		a := talk(t, p.address(), param("role", "owner")...)
		a.run("begin", "reset role; select 1")
		if got := a.query("select current_user"); got != "owner" {
			t.Errorf("%s behind a RESET ROLE", got)
		}
		a.run("commit")
		if got := talk(t, p.address()).query("select current_user"); got != "other" {
			t.Errorf("another client is %s", got)
		}
		if got := a.query("select current_user"); got != "owner" {
			t.Errorf("%s afterwards", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		want, _ := dialTalker(t, server.Address()).logIn(param("user", "app", "role", "stranger")...)
		got, ok := dialTalker(t, p.address()).logIn(param("role", "stranger")...)
		if ok || got.Code != want.Code || got.Message != want.Message || got.Severity != want.Severity {
			t.Errorf("got %+v, Postgres says %+v", got, want)
		}
	})
}
