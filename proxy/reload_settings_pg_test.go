package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// names are the changes' settings.
func names(changes []config.Change) string {
	var list []string
	for _, c := range changes {
		list = append(list, c.Name)
	}
	return strings.Join(list, " ")
}

// What needs a restart is named, and keeps its value.
func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	p := startPooler(t, "max_client_conn = 10")
	done := p.reload("max_client_conn = 20\nlisten_backlog = 7\nevent_loops = 3\npoller = epoll\nso_reuseport = 1\nlog_level = debug")
	if got, want := names(done.Restart), "listen_backlog so_reuseport event_loops poller"; got != want {
		t.Errorf("a restart is needed for %q, want %q", got, want)
	}
	if got, want := names(done.Applied), "max_client_conn log_level"; got != want {
		t.Errorf("applied are %q, want %q", got, want)
	}
	c := p.Config()
	if level, _ := c.Value("log_level"); c.MaxClientConn != 20 || level != "debug" {
		t.Error("the new values aren't in force")
	}
	if c.ListenBacklog != 128 || c.EventLoops != 1 || c.SOReusePort || c.Poller != config.PollerAuto {
		t.Error("settings that need a restart aren't what they were")
	}
	// They are named until the restart.
	if done := p.reload("max_client_conn = 20\nlisten_backlog = 7"); names(done.Restart) != "listen_backlog" {
		t.Errorf("a restart is needed for %q", names(done.Restart))
	}
}

// A configuration with any fault changes nothing, and the error says where the
// fault is.
func TestReloadOfAFaultyConfiguration(t *testing.T) {
	c := clientTLS(t)
	good := "pool_mode = transaction\nmax_client_conn = 50\n" + c.settings("allow") + "[databases]\n" + here("db", "dbname=app")
	tests := map[string]struct {
		settings, want string
		files          map[string]string
	}{
		"doesn't fit together": {settings: "max_client_conn = 60\nclient_tls_sslmode = require\n", want: "carpool.ini:9: client_tls_sslmode"},
		"no user list":         {settings: "max_client_conn = 60\nauth_file = /nowhere/users.txt\n", want: "carpool.ini:9: auth_file: open /nowhere/users.txt"},
		"a broken user list":   {settings: "max_client_conn = 60\n", files: map[string]string{"users.txt": "\"app\" \"secret\"\nnonsense\n"}, want: "users.txt:2: expected a user name"},
		"no certificate":       {settings: "client_tls_key_file = /nowhere\nclient_tls_cert_file = /nowhere\nclient_tls_sslmode = allow\n", want: "carpool.ini:9: client_tls_cert_file and client_tls_key_file: open /nowhere"},
		"a broken certificate": {settings: strings.TrimSuffix(c.settings("allow"), "\n"), files: map[string]string{c.pair.Cert: "nonsense"}, want: "carpool.ini:9: client_tls_cert_file and client_tls_key_file: "},
		"no authorities":       {settings: "[databases]\ndb = host=h sslmode=verify-full sslrootcert=/nowhere\n", want: "carpool.ini:9: database db: server_tls_ca_file: open /nowhere"},
		"what isn't built":     {settings: "auth_type = hba\n", want: "carpool.ini:8: auth_type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPooler(t, good)
			conn := p.connect("app", "db")
			value(t, conn, "select 1")
			before := p.current.Load()
			for file, text := range tt.files {
				if !filepath.IsAbs(file) {
					file = filepath.Join(p.dir, file)
				}
				was, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				write(t, file, text)
				t.Cleanup(func() { write(t, file, string(was)) })
			}
			next, err := loadConfig(p.dir, tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Reload(next)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
			if p.current.Load() != before {
				t.Error("the settings aren't what they were")
			}
			value(t, conn, "select 1")
			value(t, p.connect("app", "db"), "select 1")
			if n := p.poolOf("db", "app").Dials; n != 1 {
				t.Errorf("%d servers were opened, want 1", n)
			}
		})
	}
}

// secure connects with TLS and returns the number of the certificate shown.
func (p *pooler) secure(c testTLS) (*pgconn.PgConn, string) {
	p.t.Helper()
	url := fmt.Sprintf("postgres://app@localhost:%s/app?sslmode=verify-full&sslrootcert=%s", p.port, c.authority.File)
	conn, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, conn.Conn().(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// A certificate that is replaced is shown to new clients; those who are in stay.
func TestReloadOfTheClientCertificate(t *testing.T) {
	c := clientTLS(t)
	settings := "pool_mode = transaction\n" + c.settings("require")
	p := startPooler(t, settings)
	old, first := p.secure(c)
	if _, err := c.authority.Issue("pooler", "localhost", "127.0.0.1"); err != nil { // in the same files
		t.Fatal(err)
	}
	if _, again := p.secure(c); again != first {
		t.Error("the certificate changed without a reload")
	}
	if done := p.reload(settings); len(done.Files) != 2 || done.Replaced != 0 {
		t.Errorf("the reload says %+v", done)
	}
	conn, second := p.secure(c)
	if second == first {
		t.Error("a new client is shown the old certificate")
	}
	value(t, conn, "select 1")
	value(t, old, "select 1")

	// TLS may be turned off, and on again, while clients are in.
	p.reload("pool_mode = transaction")
	value(t, p.connect("app", "app"), "select 1")
	value(t, old, "select 1")
	p.reload(settings)
	if e := p.refused("app", "app"); e.Code != "28000" {
		t.Errorf("without TLS: %s %s", e.Code, e.Message)
	}
	p.secure(c)
}

// Servers are connected to with the authorities that the file holds now.
func TestReloadOfServerAuthorities(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{TLS: true, Roles: []pgserver.Role{{Name: "app"}}})
	authorities := filepath.Join(t.TempDir(), "ca.pem")
	right, err := os.ReadFile(server.Authority().File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, authorities, string(right))
	settings := "pool_mode = transaction\nserver_login_retry = 0.1\nserver_tls_sslmode = verify-full\nserver_tls_ca_file = " + authorities + "\n[databases]\n" + on(server, "db", "dbname=postgres")
	p := startPooler(t, settings)
	conn := p.connect("app", "db")
	value(t, conn, "select 1")
	stranger, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(stranger.File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, authorities, string(wrong)+string(right))
	if done := p.reload(settings); done.Replaced != 1 || len(done.Files) != 1 {
		t.Errorf("the reload says %+v", done)
	}
	value(t, conn, "select 1")
	write(t, authorities, string(wrong))
	p.reload(settings)
	if _, err := conn.Exec(context.Background(), "select 1").ReadAll(); err == nil {
		t.Error("a server that nobody known has signed for is used")
	}
}

// Clients keep the pool mode they logged in with, and each gets servers that
// are fit for it, however often the mode changes.
func TestReloadOfPoolMode(t *testing.T) {
	settings := func(mode string, statements int) string {
		return fmt.Sprintf("pool_mode = %s\nmax_prepared_statements = %d\ndefault_pool_size = 3\n", mode, statements)
	}
	ctx := context.Background()
	prepare := func(conn *pgconn.PgConn) {
		t.Helper()
		if _, err := conn.Prepare(ctx, "mine", "select pg_backend_pid()::text", nil); err != nil {
			t.Fatal(err)
		}
	}
	execute := func(conn *pgconn.PgConn) string {
		t.Helper()
		res := conn.ExecPrepared(ctx, "mine", nil, nil, nil).Read()
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		return string(res.Rows[0][0])
	}
	p := startPooler(t, settings("transaction", 10))
	shared := p.connect("app", "app")
	prepare(shared)
	execute(shared)
	for round, next := range []struct {
		mode       string
		statements int
	}{{"session", 10}, {"transaction", 0}, {"session", 0}, {"transaction", 20}, {"statement", 5}} {
		p.reload(settings(next.mode, next.statements))
		conn := p.connect("app", "app")
		if next.mode == "session" {
			pid := value(t, conn, "create temp table kept (n int); select pg_backend_pid()")
			prepare(conn)
			for range 3 {
				execute(shared)
				if got := execute(conn); got != pid {
					t.Errorf("round %d: a client in session mode has server %s and then %s", round, pid, got)
				}
			}
			value(t, conn, "select count(*) from kept")
		} else if next.statements > 0 {
			prepare(conn)
			execute(conn)
		}
		execute(shared)
		value(t, shared, "begin")
		execute(shared)
		value(t, shared, "commit")
		_ = conn.Close(ctx)
	}
	if open := p.poolOf("app", "app").Open; open > 3 {
		t.Errorf("%d servers are open, the limit is 3", open)
	}
	for _, v := range p.Pools() {
		if v.Mode != "statement" {
			t.Errorf("the pool's mode is %s", v.Mode)
		}
	}
}

// Clients without any start-up parameter share the pool's plain servers in
// session mode, which a change of mode must not lend them.
func TestReloadOfPoolModeWithoutParameters(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	shared := talk(t, "127.0.0.1:"+p.port)
	shared.query("select 1")
	p.reload("pool_mode = session\ndefault_pool_size = 1")
	private := talk(t, "127.0.0.1:"+p.port)
	private.query("create temp table kept (n int)")
	waiting := start(p.connect("app", "app"), "select 1")
	if err := result(t, waiting); err != nil { // of another user, so of another pool
		t.Error(err)
	}
	private.query("select * from kept")
	_ = private.conn.Close()
	shared.query("select 1")
}

// Who waits while the mode changes isn't given the server that is then opened
// for others.
func TestReloadOfPoolModeWhileClientsWait(t *testing.T) {
	ctx := context.Background()
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	holder, waiter := p.connect("app", "app"), p.connect("app", "app")
	if _, err := waiter.Prepare(ctx, "mine", "select 1", nil); err != nil {
		t.Fatal(err)
	}
	value(t, holder, "begin")
	done := make(chan error, 1)
	go func() { done <- waiter.ExecPrepared(ctx, "mine", nil, nil, nil).Read().Err }()
	eventually(t, "the client to wait", func() bool { return p.poolOf("app", "app").Waiting == 1 })
	p.reload("pool_mode = session\ndefault_pool_size = 1")
	value(t, holder, "commit")
	if err := result(t, done); err != nil {
		t.Error(err)
	}
}

// Limits and times that apply to clients change for those who are in, too.
func TestReloadOfLimitsAndTimes(t *testing.T) {
	const base = "pool_mode = transaction\n"
	p := startPooler(t, base+"max_client_conn = 2")
	idle, busy := p.connect("app", "app"), p.connect("other", "app")
	if e := p.refused("app", "app"); e.Code != "53300" {
		t.Errorf("%s %s", e.Code, e.Message)
	}
	p.reload(base + "max_client_conn = 3\nmax_user_client_connections = 1\nquery_timeout = 0.2")
	if e := p.refused("app", "app"); e.Code != "53300" || !strings.Contains(e.Message, "max_user_client_connections") {
		t.Errorf("%s %s", e.Code, e.Message)
	}
	p.connect("postgres", "app")
	if _, err := busy.Exec(context.Background(), "select pg_sleep(10)").ReadAll(); sqlState(err) != "57014" {
		t.Errorf("a query that takes too long: %v", err)
	}
	p.reload(base + "client_idle_timeout = 0.1")
	idleEnded := make(chan error, 1)
	go func() {
		_, err := idle.Conn().Read(make([]byte, 1000))
		idleEnded <- err
	}()
	if err := result(t, idleEnded); err != nil && err != io.EOF {
		t.Errorf("a client that is idle for too long: %v", err)
	}
	eventually(t, "everybody to be thrown out", func() bool { return p.State().Clients == 0 })
	p.reload(base)
	value(t, p.connect("app", "app"), "select 1")
}

// A transaction on a route that a reload has superseded holds up a shutdown
// like any other.
func TestShutdownAwaitsSupersededRoutes(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\n[databases]\n"+here("db", "dbname=app user=app"))
	conn := p.connect("app", "db")
	value(t, conn, "begin")
	p.reload("pool_mode = transaction\n[databases]\n" + here("db", "dbname=app"))
	p.Shutdown(WaitForServers)
	value(t, conn, "select pg_sleep(0.2)")
	value(t, conn, "commit")
	<-p.done
}

// What start-up parameters are dropped.
func TestReloadOfIgnoredParameters(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction")
	url := p.url("app", "app") + "&nonsense=1"
	try := func() error {
		conn, err := pgconn.Connect(context.Background(), url)
		if err == nil {
			_, err = conn.Exec(context.Background(), "select 1").ReadAll()
			_ = conn.Close(context.Background())
		}
		return err
	}
	if try() == nil {
		t.Error("a parameter that doesn't exist is accepted")
	}
	p.reload("pool_mode = transaction\nignore_startup_parameters = nonsense")
	if err := try(); err != nil {
		t.Error(err)
	}
}

// A list of users that others may read is warned of once, and again when it is
// opened in another way; not at each SET.
func TestOpenUserListIsToldOnce(t *testing.T) {
	p := startPooler(t, "")
	users := filepath.Join(p.dir, "users.txt")
	warned := func(mode os.FileMode, want int) {
		t.Helper()
		if err := os.Chmod(users, mode); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := p.Set("default_pool_size", fmt.Sprint(3+i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(p.log.String(), "users.txt holds passwords"); n != want {
			t.Errorf("mode %o: %d warnings so far, want %d", mode, n, want)
		}
	}
	warned(0o600, 0)
	warned(0o604, 1)
	warned(0o644, 2)
	warned(0o600, 2)
	warned(0o644, 3)
}
