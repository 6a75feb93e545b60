package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/pool"

	"github.com/jackc/pgx/v5/pgconn"
)

// refused is the error of a client that must not get in.
func (p *pooler) refused(user, database string) *pgconn.PgError {
	p.t.Helper()
	conn, err := pgconn.Connect(context.Background(), p.url(user, database))
	if err == nil {
		_ = conn.Close(context.Background())
		p.t.Fatalf("%s was let in to %s", user, database)
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		p.t.Fatalf("%s at %s: not an error from the proxy: %v", user, database, err)
	}
	return e
}

// poolOf is what can be seen of one pool.
func (p *pooler) poolOf(database, user string) pool.Stats {
	for _, v := range p.Pools() {
		if v.Database == database && v.User == user {
			return v.Pool
		}
	}
	return pool.Stats{}
}

// here is a line of [databases] for the shared Postgres.
func here(name, more string) string {
	return fmt.Sprintf("%s = host=%s port=%d %s\n", name, postgres.Host(), postgres.Port(), more)
}

// Each limit on clients turns one too many away with an error that names the
// setting, and lets the next one in when somebody has left.
func TestLimitsOnClients(t *testing.T) {
	databases := "\n[databases]\napp = host=%s port=%d\nforced = host=%s port=%d dbname=app user=postgres\nlimited = host=%s port=%d dbname=app max_db_client_connections=2\n[users]\nother = max_user_client_connections=2\n"
	databases = strings.ReplaceAll(strings.ReplaceAll(databases, "%s", postgres.Host()), "%d", fmt.Sprint(postgres.Port()))
	tests := []struct {
		name, settings string
		in             [][2]string // user and database of the clients that fill the limit
		out            [2]string   // of the one too many
		free           [2]string   // of one that the limit doesn't concern; "" if it concerns all
		setting        string
	}{
		{"max_client_conn", "max_client_conn = 2", [][2]string{{"app", "app"}, {"other", "app"}}, [2]string{"app", "app"}, [2]string{}, "max_client_conn"},
		{"database", "", [][2]string{{"app", "limited"}, {"other", "limited"}}, [2]string{"app", "limited"}, [2]string{"app", "app"}, "max_db_client_connections"},
		{"database, for all", "max_db_client_connections = 2", [][2]string{{"app", "app"}, {"other", "app"}}, [2]string{"app", "app"}, [2]string{"app", "forced"}, "max_db_client_connections"},
		{"user", "", [][2]string{{"other", "app"}, {"other", "limited"}}, [2]string{"other", "app"}, [2]string{"app", "app"}, "max_user_client_connections"},
		{"user, for all", "max_user_client_connections = 2", [][2]string{{"app", "app"}, {"app", "limited"}}, [2]string{"app", "app"}, [2]string{"postgres", "app"}, "max_user_client_connections"},
		// With a forced user it is the client's own name that counts.
		{"user, forced", "max_user_client_connections = 2", [][2]string{{"app", "forced"}, {"other", "forced"}, {"app", "app"}}, [2]string{"app", "forced"}, [2]string{"other", "forced"}, "max_user_client_connections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\n"+tt.settings+databases)
			var in []*pgconn.PgConn
			for _, c := range tt.in {
				in = append(in, p.connect(c[0], c[1]))
			}
			e := p.refused(tt.out[0], tt.out[1])
			if e.Code != "53300" || !strings.Contains(e.Message, tt.setting) {
				t.Errorf("%s %s, want 53300 and %s", e.Code, e.Message, tt.setting)
			}
			if tt.free[0] != "" {
				p.connect(tt.free[0], tt.free[1])
			}
			for _, c := range in {
				value(t, c, "select 1")
			}
			_ = in[0].Close(context.Background())
			eventually(t, "a client to be let in again", func() bool {
				conn, err := pgconn.Connect(context.Background(), p.url(tt.out[0], tt.out[1]))
				if err == nil {
					_ = conn.Close(context.Background())
				}
				return err == nil
			})
		})
	}
}

// The console stays reachable when clients have taken every place.
func TestMaxClientConnDoesntCloseTheConsole(t *testing.T) {
	p := startPooler(t, "max_client_conn = 1")
	p.connect("app", "app")
	if e := p.refused("postgres", "pgbouncer"); e.Code == "53300" {
		t.Errorf("the console counts as a client: %s", e.Message)
	}
}

// Clients that fail to log in give their place back.
func TestRefusedClientsGiveTheirPlaceBack(t *testing.T) {
	p := startPooler(t, "max_client_conn = 3\nmax_user_client_connections = 2\nmax_db_client_connections = 2\nauth_type = plain\n[databases]\n"+here("app", ""))
	for range 10 {
		if e := p.refused("app:wrong", "app"); e.Code != "28P01" {
			t.Fatalf("%s %s", e.Code, e.Message)
		}
		if e := p.refused("app:secret", "nowhere"); e.Code != "3D000" {
			t.Fatalf("%s %s", e.Code, e.Message)
		}
	}
	eventually(t, "the places to be free", func() bool { return p.State().Clients == 0 })
	p.connect("app:secret", "app")
	p.connect("app:secret", "app")
	for range 5 {
		if e := p.refused("app:secret", "app"); e.Code != "53300" {
			t.Fatalf("%s %s", e.Code, e.Message)
		}
	}
	if r := p.Pools()[0]; r.Clients != 2 {
		t.Errorf("%d clients are counted, want 2", r.Clients)
	}
}

// Under a limit that pools share, an idle server of one of them is given up
// for who waits in another.
func TestIdleServersOfOtherPoolsAreGivenUp(t *testing.T) {
	tests := map[string]struct {
		settings string
		a, b     [2]string
	}{
		"max_db_connections":              {"max_db_connections = 2", [2]string{"app", "app"}, [2]string{"other", "app"}},
		"max_user_connections":            {"max_user_connections = 2", [2]string{"app", "app"}, [2]string{"app", "postgres"}},
		"max_user_connections and forced": {"max_user_connections = 2", [2]string{"app", "app"}, [2]string{"other", "forced"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 5\n"+tt.settings+"\n[databases]\n"+here("app", "")+here("postgres", "")+here("forced", "user=app dbname=app"))
			a1, a2, a3 := p.connect(tt.a[0], tt.a[1]), p.connect(tt.a[0], tt.a[1]), p.connect(tt.a[0], tt.a[1])
			b := p.connect(tt.b[0], tt.b[1])
			value(t, a1, "begin")
			value(t, a2, "begin")
			// The limit is reached: a third waits, of whichever pool.
			third, fourth := start(a3, "select 1"), start(b, "select 2")
			waiting := func() (n int) {
				for _, v := range p.Pools() {
					n += v.Pool.Waiting
				}
				return n
			}
			eventually(t, "both to wait", func() bool { return waiting() == 2 })
			value(t, a1, "commit")
			if err := result(t, third); err != nil {
				t.Error(err)
			}
			if err := result(t, fourth); err != nil {
				t.Error(err)
			}
			value(t, a2, "commit")
			open := 0
			for _, v := range p.Pools() {
				open += v.Pool.Open
			}
			if open > 2 {
				t.Errorf("%d servers are open, the limit is 2", open)
			}
		})
	}
}

func TestPoolSizeReserveAndMinimum(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nreserve_pool_size = 1\nreserve_pool_timeout = 0.3\n[databases]\n"+here("app", "")+here("warm", "user=app dbname=app min_pool_size=2 pool_size=3"))
	eventually(t, "min_pool_size to be there", func() bool { s := p.poolOf("warm", "app"); return s.Idle == 2 && s.Open == 2 })
	a, b, c, d := p.connect("app", "app"), p.connect("app", "app"), p.connect("app", "app"), p.connect("app", "app")
	value(t, a, "begin")
	value(t, b, "begin")
	third := start(c, "begin")
	eventually(t, "the third to wait", func() bool { return p.poolOf("app", "app").Waiting == 1 })
	if n := p.poolOf("app", "app").Open; n != 2 {
		t.Errorf("%d servers before reserve_pool_timeout, want 2", n)
	}
	fourth := start(d, "begin")
	if err := result(t, third); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fourth to wait", func() bool { return p.poolOf("app", "app").Waiting == 1 })
	if n := p.poolOf("app", "app").Open; n != 3 {
		t.Errorf("%d servers with the reserve, want 3", n)
	}
	value(t, a, "commit")
	if err := result(t, fourth); err != nil {
		t.Error(err)
	}
}

// A server that is full isn't an error as long as other servers of the pool
// come free: clients wait for those.
func TestServerWithoutRoomForMore(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		MaxConnections: 6, Settings: map[string]string{"superuser_reserved_connections": "3", "max_wal_senders": "0"},
		Roles: []pgserver.Role{{Name: "app"}},
	})
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = 10\nserver_login_retry = 1\n[databases]\n* = host=%s port=%d\n", server.Host(), server.Port()))
	var conns []*pgconn.PgConn
	for range 10 {
		conns = append(conns, p.connect("app", "postgres"))
	}
	for range 5 {
		var done []<-chan error
		for _, c := range conns {
			done = append(done, start(c, "select pg_sleep(0.02)"))
		}
		for _, d := range done {
			if err := result(t, d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := p.poolOf("postgres", "app").Open; n > 3 {
		t.Errorf("%d servers where there is room for 3", n)
	}
}
