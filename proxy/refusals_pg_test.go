package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Databases that aren't there: the proxy's own error without a fallback, the
// server's with one.
func TestUnknownDatabase(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\n[databases]\n"+here("app", ""))
	if e := p.refused("app", "nowhere"); e.Code != "3D000" || e.Message != "no such database: nowhere" {
		t.Errorf("%s %s", e.Code, e.Message)
	}
	p = startPooler(t, "pool_mode = transaction")
	for range 2 {
		if e := p.refused("app", "nowhere"); e.Code != "3D000" || e.Message != `database "nowhere" does not exist` {
			t.Errorf("%s %s", e.Code, e.Message)
		}
	}
	p.checkServing()
}

// A server killed under a client: the client is told, and nobody else notices.
func TestServerKilledUnderAClient(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		for what, query := range map[string]string{"query": "select pg_sleep(60) /* killed */", "transaction": "begin /* killed */", "copy": "copy (select generate_series(1,1e9::bigint) /* killed */) to stdout"} {
			t.Run(mode+"/"+what, func(t *testing.T) {
				p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 2")
				bystander := p.enter("app", "app")
				bystander.query("begin")
				bystander.until(wire.ReadyForQuery)
				victim := p.enter("app", "app")
				victim.query(query)
				eventually(t, "the query to have begun", func() bool {
					return direct(t, "select count(*) from pg_stat_activity where query like '%killed%' and pid <> pg_backend_pid()") != "0"
				})
				direct(t, "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%killed%' and pid <> pg_backend_pid()")
				if r := victim.refusal(); r.Code != "57P01" && r.Code != "08006" {
					t.Errorf("%+v, want 57P01", r)
				}
				if got := bystander.answer("select 'untouched'"); got != "untouched" {
					t.Errorf("a bystander got %q", got)
				}
				eventually(t, "the server to be given up", func() bool { return p.poolOf("app", "app").Open == 1 })
				p.checkServing()
			})
		}
	}
}

// A server that crashes, with everything that ran on it.
func TestServerCrashUnderAClient(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{})
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nserver_login_retry = 5\n[databases]\n* = host=%s port=%d\n", server.Host(), server.Port()))
	c := p.enter("postgres", "postgres")
	c.query("begin")
	c.until(wire.ReadyForQuery)
	if err := server.Restart(context.Background(), pgserver.Crash); err != nil {
		t.Fatal(err)
	}
	if r := c.refusal(); r.Code != "57P01" && r.Code != "57P02" && r.Code != "08006" {
		t.Errorf("%+v", r)
	}
	if got := p.enter("postgres", "postgres").answer("select 'back'"); got != "back" {
		t.Errorf("after the restart: %q", got)
	}
}

// The role or the database has no room or no access: the server's own words.
func TestServersOwnRefusals(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app"}, {Name: "outsider"}}, Databases: []string{"closed"},
		HBA: []string{"host all outsider all reject"},
	})
	if err := server.Exec(context.Background(), "", "revoke connect on database closed from public"); err != nil {
		t.Fatal(err)
	}
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = any\n[databases]\nno_role = host=%[1]s port=%[2]d dbname=postgres user=ghost\nno_hba = host=%[1]s port=%[2]d dbname=postgres user=outsider\nno_right = host=%[1]s port=%[2]d dbname=closed user=app\n",
		server.Host(), server.Port()))
	for database, want := range map[string][2]string{
		"no_role":  {"28000", `role "ghost" does not exist`},
		"no_hba":   {"28000", "pg_hba.conf rejects connection"},
		"no_right": {"42501", `permission denied for database "closed"`},
	} {
		_, err := pgconn.Connect(context.Background(), p.url("app", database))
		if err == nil || sqlState(err) != want[0] || !strings.Contains(err.Error(), want[1]) {
			t.Errorf("%s: %v, want %v", database, err, want)
		}
	}
}
