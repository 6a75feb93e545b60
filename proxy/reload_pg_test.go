package proxy

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// on is a line of [databases] for a Postgres.
func on(s *pgserver.Server, name, more string) string {
	return fmt.Sprintf("%s = host=%s port=%d %s\n", name, s.Host(), s.Port(), more)
}

// count asks Postgres itself for a number.
func count(t *testing.T, s *pgserver.Server, sql string) int {
	t.Helper()
	text, err := s.Value(context.Background(), "postgres", sql)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A password changes on the server, then in the configuration: clients don't
// notice, and the servers that logged in with the old one go.
func TestReloadOfPasswordsUnderLoad(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "rotated", Password: "first"}}, HBA: []string{"host all rotated all scram-sha-256"},
	})
	const settings = "pool_mode = transaction\nevent_loops = 2\nauth_type = any\ndefault_pool_size = 4\n[databases]\n"
	p := startPooler(t, settings+on(server, "db", "dbname=postgres user=rotated password=first"))
	c := newCrowd(t, p, 32, "app", "db", "select current_user::text")
	c.demand(is("rotated"))
	for i := range 3 {
		password := fmt.Sprintf("next%d", i)
		if err := server.Exec(context.Background(), "postgres", "alter role rotated password '"+password+"'"); err != nil {
			t.Fatal(err)
		}
		before, err := server.Value(context.Background(), "postgres", "select clock_timestamp()")
		if err != nil {
			t.Fatal(err)
		}
		done := p.reload(settings + on(server, "db", "dbname=postgres user=rotated password="+password))
		if done.Replaced != 1 || len(done.Applied) != 1 || done.Applied[0].Name != "databases.db.password" {
			t.Errorf("the reload says %+v", done)
		}
		c.work(500)
		eventually(t, "the old servers to be gone", func() bool {
			return count(t, server, "select count(*) from pg_stat_activity where usename = 'rotated' and backend_start < '"+before+"'") == 0
		})
		if n := count(t, server, "select count(*) from pg_stat_activity where usename = 'rotated'"); n > 4 {
			t.Errorf("%d servers, the limit is 4", n)
		}
	}
}

// The same where the password comes from auth_file, whose name stays.
func TestReloadOfAuthFile(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "rotated", Password: "first"}}, HBA: []string{"host all rotated all scram-sha-256"},
	})
	settings := "pool_mode = transaction\nauth_type = scram-sha-256\n[databases]\n" + on(server, "db", "dbname=postgres")
	p := startPooler(t, settings)
	users := p.Config().AuthFile
	write(t, users, "\"rotated\" \"first\"\n")
	if done := p.reload(settings); len(done.Files) != 1 || done.Files[0] != users {
		t.Errorf("the files that changed are %v", done.Files)
	}
	old := p.connect("rotated:first", "db")
	value(t, old, "select 1")
	if err := server.Exec(context.Background(), "postgres", "alter role rotated password 'second'"); err != nil {
		t.Fatal(err)
	}
	write(t, users, "\"rotated\" \"second\"\n")
	if done := p.reload(settings); done.Replaced != 1 {
		t.Errorf("%d pools were replaced, want 1", done.Replaced)
	}
	value(t, old, "select 1")
	value(t, p.connect("rotated:second", "db"), "select 1")
	if e := p.refused("rotated:first", "db"); e.Code != "28P01" {
		t.Errorf("the old password: %s %s", e.Code, e.Message)
	}
	if done := p.reload(settings); done.Replaced != 0 || len(done.Files)+len(done.Applied)+len(done.Restart) != 0 {
		t.Errorf("a reload of what is there already says %+v", done)
	}
}

// A database moves to another Postgres: from then on every query is answered
// there, and no client notices.
func TestReloadMovesADatabaseUnderLoad(t *testing.T) {
	one, two := postgres, pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}}})
	const settings = "pool_mode = transaction\nevent_loops = 2\ndefault_pool_size = 5\n[databases]\n"
	p := startPooler(t, settings+on(one, "db", "dbname=postgres")+on(one, "kept", "dbname=postgres"))
	value(t, p.connect("app", "kept"), "select 1")
	kept := p.poolOf("kept", "app").Dials
	c := newCrowd(t, p, 32, "app", "db", "select current_setting('port')")
	for i := range 6 {
		to := []*pgserver.Server{one, two}[i%2]
		p.reload(settings + on(to, "db", "dbname=postgres") + on(one, "kept", "dbname=postgres"))
		c.demand(is(strconv.Itoa(to.Port())))
		if n := p.poolOf("db", "app").Open; n > 5 {
			t.Errorf("%d servers are open, the limit is 5", n)
		}
		c.lift()
	}
	if n := p.poolOf("kept", "app").Dials; n != kept {
		t.Errorf("the servers of another database were replaced")
	}
}

// Clients that wait for a server that can't be reached get one as soon as a
// reload says where it is.
func TestReloadServesThoseWhoWait(t *testing.T) {
	const settings = "pool_mode = transaction\nserver_login_retry = 100\nquery_wait_timeout = 60\n[databases]\n"
	// 192.0.2.0/24 is nobody's; port 1 of this machine refuses.
	for _, nowhere := range []string{"host=192.0.2.1", "host=127.0.0.1 port=1"} {
		p := startPooler(t, settings+"db = "+nowhere+" dbname=app\n")
		w := p.knock()
		w.send(startupPacket("app", "db"))
		eventually(t, "the client to wait", func() bool { return p.poolOf("db", "app").Waiting == 1 })
		p.reload(settings + on(postgres, "db", "dbname=app"))
		w.until('Z')
		if got := w.answer("select 'served'"); got != "served" {
			t.Error(got)
		}
	}
}

// Another forced user, none any more, or one where there was none: from then on
// every query is answered by a server of the right user.
func TestReloadChangesWhomServersLogInAs(t *testing.T) {
	const settings = "pool_mode = transaction\nevent_loops = 2\ndefault_pool_size = 4\nmax_db_connections = 6\n[databases]\n"
	entry := func(user string) string {
		if user == "" {
			return settings + on(postgres, "db", "dbname=app")
		}
		return settings + on(postgres, "db", "dbname=app user="+user)
	}
	p := startPooler(t, entry("app"))
	first := newCrowd(t, p, 16, "app", "db", "select current_user::text")
	second := newCrowd(t, p, 16, "other", "db", "select current_user::text")
	for _, user := range []string{"other", "", "app", "postgres", "", "other", "app"} {
		first.lift()
		second.lift()
		p.reload(entry(user))
		if user == "" {
			first.demand(is("app"))
			second.demand(is("other"))
		} else {
			first.demand(is(user))
			second.demand(is(user))
		}
		open := 0
		for _, v := range p.Pools() {
			open += v.Pool.Open
		}
		if open > 6 {
			t.Errorf("%d servers are open, the limit is 6", open)
		}
	}
	first.end()
	second.end()
	p.agrees(postgres)
}

// agrees waits until nothing is lent and the books are those of Postgres.
func (p *pooler) agrees(servers ...*pgserver.Server) {
	p.t.Helper()
	eventually(p.t, "the books to agree with Postgres", func() bool {
		open, leased, known := 0, 0, 0
		for _, v := range p.Pools() {
			open += v.Pool.Open
			leased += v.Pool.Leased
		}
		for _, s := range servers {
			known += count(p.t, s, "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
		}
		return leased == 0 && open == known
	})
}

func TestReloadOfPoolSizesUnderLoad(t *testing.T) {
	settings := func(size int) string {
		return fmt.Sprintf("pool_mode = transaction\nevent_loops = 2\n[databases]\n%s", on(postgres, "db", fmt.Sprintf("dbname=app pool_size=%d", size)))
	}
	p := startPooler(t, settings(2))
	c := newCrowd(t, p, 24, "app", "db", "select pg_sleep(0.001)::text")
	for _, size := range []int{2, 12, 1, 8, 3} {
		if done := p.reload(settings(size)); done.Replaced != 0 {
			t.Error("servers were replaced for another pool_size")
		}
		eventually(t, fmt.Sprintf("%d servers", size), func() bool { return p.poolOf("db", "app").Open == size })
		c.work(200)
		if n := p.poolOf("db", "app").Open; n != size {
			t.Errorf("%d servers, want %d", n, size)
		}
	}
}

// Clients of a database that is removed may finish, new ones don't get in, and
// when the last has left its servers go.
func TestReloadRemovesAndAddsDatabases(t *testing.T) {
	const settings = "pool_mode = transaction\n[databases]\n"
	gone, kept, warm := on(postgres, "gone", "dbname=app"), on(postgres, "kept", "dbname=app"), on(postgres, "warm", "dbname=app user=app min_pool_size=2")
	p := startPooler(t, settings+gone+kept)
	conn := p.connect("app", "gone")
	pid := value(t, conn, "begin; select pg_backend_pid()")
	p.reload(settings + kept + warm)
	eventually(t, "the servers of a database that was added", func() bool { return p.poolOf("warm", "app").Idle == 2 })
	if e := p.refused("app", "gone"); e.Code != "3D000" {
		t.Errorf("%s %s", e.Code, e.Message)
	}
	if got := value(t, conn, "select pg_backend_pid()"); got != pid {
		t.Error("the transaction goes on elsewhere")
	}
	value(t, conn, "commit")
	value(t, conn, "select 1")

	p.reload(settings + gone + kept)
	last := p.connect("app", "gone")
	value(t, last, "select 1")
	eventually(t, "the servers of a removed database to go", func() bool { return p.poolOf("warm", "app").Open == 0 && len(p.Pools()) == 1 })

	p.reload(settings + kept)
	value(t, conn, "select 1")
	_ = conn.Close(context.Background())
	eventually(t, "one client to be left", func() bool { return p.State().Clients == 1 })
	if p.poolOf("gone", "app").Open == 0 {
		t.Error("the servers are gone before the last client")
	}
	_ = last.Close(context.Background())
	eventually(t, "its servers to go", func() bool { return len(p.Pools()) == 0 })
}
