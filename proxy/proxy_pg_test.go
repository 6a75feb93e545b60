package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{
		MaxConnections: 120,
		Roles:          []pgserver.Role{{Name: "app", Password: "secret"}, {Name: "other", Password: "word"}},
		Databases:      []string{"app"},
		// Each session that has a replication origin takes one, up to version 17.
		Settings: map[string]string{"max_replication_slots": "60"},
	}, func(s *pgserver.Server) { postgres = s }))
}

// testLog collects what a proxy logs, and shows it when the test fails.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// pooler is a running proxy in a test.
type pooler struct {
	*Proxy
	t    *testing.T
	log  *testLog
	dir  string // where its configuration is
	port string
	done chan struct{} // closed when Run has returned
}

// startPooler runs a proxy in front of the shared Postgres, or the one given
// by a [databases] line in the settings. Settings are lines of an ini file;
// lines before the first section header belong to [pgbouncer].
func startPooler(t *testing.T, settings string) *pooler {
	t.Helper()
	dir := t.TempDir()
	c, err := loadConfig(dir, settings)
	if err != nil {
		t.Fatal(err)
	}
	if problems := c.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	log := &testLog{}
	p, err := New(Options{Config: c, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var runErr error
	go func() {
		defer close(done)
		runErr = p.Run()
	}()
	t.Cleanup(func() {
		p.Shutdown(Immediate)
		select {
		case <-done:
			if runErr != nil {
				t.Errorf("Run: %v", runErr)
			}
		case <-time.After(20 * time.Second):
			t.Error("the proxy didn't end")
		}
		if t.Failed() {
			t.Logf("the proxy's log:\n%s", log)
		}
	})
	_, port, _ := strings.Cut(p.Addresses()[0], ":")
	return &pooler{Proxy: p, t: t, log: log, dir: dir, port: port, done: done}
}

// loadConfig reads a configuration that it has written into the directory,
// with a user list.
func loadConfig(dir, settings string) (*config.Config, error) {
	users := filepath.Join(dir, "users.txt")
	if _, err := os.Stat(users); err != nil {
		const list = "\"app\" \"secret\"\n\"other\" \"word\"\n\"postgres\" \"\"\n\"nobody\" \"unknown\"\n"
		if err := os.WriteFile(users, []byte(list), 0o600); err != nil {
			return nil, err
		}
	}
	ini := filepath.Join(dir, "carpool.ini")
	text := fmt.Sprintf("[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = trust\nauth_file = %s\nadmin_users = postgres\n%s\n", users, settings)
	if !strings.Contains(text, "[databases]") {
		text += fmt.Sprintf("[databases]\n* = host=%s port=%d\n", postgres.Host(), postgres.Port())
	}
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c, err := config.LoadFile(ini)
	if err == nil && !strings.Contains(settings, "deferred_begin") {
		c.DeferredBegin = false // for tests in which a BEGIN is to take a server
	}
	return c, err
}

// reload has the proxy take on other settings, which it can.
func (p *pooler) reload(settings string) Reloaded {
	p.t.Helper()
	c, err := loadConfig(p.dir, settings)
	if err != nil {
		p.t.Fatal(err)
	}
	done, err := p.Reload(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return done
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// url is how a client reaches the proxy.
func (p *pooler) url(user, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", user, p.port, database)
}

// connect opens a client connection that the test closes at its end.
func (p *pooler) connect(user, database string) *pgconn.PgConn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, p.url(user, database))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value runs a query that returns one value.
func value(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

func TestManyClientsShareFewServers(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3")
	const clients, rounds = 40, 50
	pids := make(chan string, clients*rounds)
	var wait sync.WaitGroup
	for i := range clients {
		conn := p.connect("app", "app")
		wait.Go(func() {
			for n := range rounds {
				want := fmt.Sprintf("%d-%d", i, n)
				res := conn.ExecParams(context.Background(), "select pg_backend_pid()::text, $1::text", [][]byte{[]byte(want)}, nil, nil, nil).Read()
				if res.Err != nil {
					t.Errorf("client %d: %v", i, res.Err)
					return
				}
				if got := string(res.Rows[0][1]); got != want {
					t.Errorf("client %d got the answer of another: %s", i, got)
				}
				pids <- string(res.Rows[0][0])
			}
		})
	}
	wait.Wait()
	close(pids)
	servers := map[string]int{}
	for pid := range pids {
		servers[pid]++
	}
	if len(servers) > 3 || len(servers) == 0 {
		t.Errorf("%d servers were used, want 1 to 3", len(servers))
	}
}
