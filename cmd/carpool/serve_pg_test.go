package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ownURL is the environment of a carpool before the shared Postgres.
func ownURL() []string { return []string{"DATABASE_URL=" + postgres.URL("app", "app")} }

// serve starts carpool on a port of the system's choice and returns where it
// listens.
func serve(t *testing.T, environ []string, args ...string) (*process, string) {
	t.Helper()
	p := start(t, environ, append(args, "--port", "0")...)
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	return p, address
}

// dial connects to a database URL.
func dial(url string) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return pgconn.Connect(ctx, url)
}

func connect(t *testing.T, address string) (*pgconn.PgConn, error) {
	t.Helper()
	conn, err := dial("postgres://app:secret@" + address + "/app?sslmode=disable")
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func mustConnect(t *testing.T, address string) *pgconn.PgConn {
	t.Helper()
	conn, err := connect(t, address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// query runs one statement and returns its one value.
func query(conn *pgconn.PgConn, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func mustQuery(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	value, err := query(conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestServeADatabaseURL(t *testing.T) {
	p, address := serve(t, ownURL(), "serve")
	if got := mustQuery(t, mustConnect(t, address), "SELECT current_user"); got != "app" {
		t.Errorf("it is the user %q", got)
	}
	log := p.stderr.String()
	for _, want := range []string{`version="` + version() + `"`, `msg="event loops" poller=`, `msg="file descriptors" limit=`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if strings.Contains(log, "secret") {
		t.Error("the log shows the password")
	}
	if p.stdout.String() != "" {
		t.Error("something is on stdout")
	}
}

func TestServeAFile(t *testing.T) {
	dir := t.TempDir()
	users := write(t, dir, "users.txt", "\"app\" \"secret\"\n")
	file := write(t, dir, "carpool.ini", fmt.Sprintf(`[databases]
app = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = md5
auth_file = %s
admin_users = app
log_format = json
pidfile = %s/carpool.pid
`, postgres.Host(), postgres.Port(), users, dir))
	for _, args := range [][]string{{"serve", file}, {file}} {
		p := start(t, []string{"CARPOOL_LISTEN_PORT=0"}, args...)
		address, _, _ := strings.Cut(p.await(`"msg":"listening on `), `"`)
		mustQuery(t, mustConnect(t, address), "SELECT 1")
		content, err := os.ReadFile(filepath.Join(dir, "carpool.pid"))
		if err != nil || strings.TrimSpace(string(content)) != fmt.Sprint(p.cmd.Process.Pid) {
			t.Errorf("the pidfile has %q, %v", content, err)
		}
		// A second one with the same pidfile is refused.
		second := start(t, []string{"CARPOOL_LISTEN_PORT=0"}, args...)
		if status := second.wait(); status != 1 || !strings.Contains(second.stderr.String(), "is carpool running already?") {
			t.Errorf("a second carpool: status %d, %s", status, second.stderr)
		}
		p.signal(syscall.SIGQUIT)
		if status := p.wait(); status != 0 {
			t.Errorf("status %d", status)
		}
		if _, err := os.Stat(filepath.Join(dir, "carpool.pid")); err == nil {
			t.Error("the pidfile is still there")
		}
	}
}

func TestServeCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	pidFile := filepath.Join(t.TempDir(), "carpool.pid")
	for setting, args := range map[string][]string{
		"listen_port":    {"serve", "--port", port},
		"metrics_listen": {"serve", "--port", "0", "--set", "metrics_listen=127.0.0.1:" + port},
	} {
		p := start(t, ownURL(), append(args, "--set", "pidfile="+pidFile)...)
		said := func(what string) bool { return strings.Contains(p.stderr.String(), what) }
		if status := p.wait(); status != 1 || !said(taken.Addr().String()) || !said(setting) || !said("or stop who has") {
			t.Errorf("%v: status %d, %s", args, status, p.stderr)
		}
		if _, err := os.Stat(pidFile); err == nil {
			t.Errorf("%v: the pidfile is still there", args)
		}
	}
}

func TestQuietAndVerbose(t *testing.T) {
	file := write(t, t.TempDir(), "carpool.ini", "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\n")
	for _, row := range []struct {
		flag string
		want bool // whether anything is logged
	}{{"-v", true}, {"-q", false}} {
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		out := newTranscript()
		if status := run(&program{args: []string{row.flag, file}, signals: signals, stdout: out, stderr: out}); status != 0 {
			t.Errorf("%s: status %d", row.flag, status)
		}
		if got := out.String() != ""; got != row.want {
			t.Errorf("%s: the log is %q", row.flag, out)
		}
	}
	// What keeps it from starting is said all the same.
	if status, _, stderr := runHere(nil, "-q", file, "--port=x"); status != 1 || !strings.Contains(stderr, "listen_port") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// SIGTERM: clients go on until they leave, no new one is let in, status 0.
func TestTermWaitsForClients(t *testing.T) {
	p, address := serve(t, ownURL(), "serve")
	conn := mustConnect(t, address)
	mustQuery(t, conn, "SELECT 1")
	p.signal(syscall.SIGTERM)
	p.await("shutting down: waiting for clients")
	mustQuery(t, conn, "BEGIN")
	mustQuery(t, conn, "COMMIT")
	if _, err := connect(t, address); err == nil {
		t.Error("a new client got in")
	}
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// SIGINT: transactions that have begun may end, nothing else.
func TestIntWaitsForTransactions(t *testing.T) {
	p, address := serve(t, ownURL(), "serve")
	idle, busy := mustConnect(t, address), mustConnect(t, address)
	mustQuery(t, idle, "SELECT 1")
	mustQuery(t, busy, "BEGIN")
	mustQuery(t, busy, "SELECT 1") // a BEGIN on its own is deferred
	p.signal(syscall.SIGINT)
	p.await("shutting down: waiting for servers")
	_, err := query(idle, "SELECT 1")
	var told *pgconn.PgError
	if err == nil || errors.As(err, &told) && told.Code != "57P01" {
		t.Errorf("a client outside a transaction: %v", err)
	}
	mustQuery(t, busy, "SELECT 1")
	mustQuery(t, busy, "COMMIT")
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// SIGINT after another signal, or SIGQUIT, doesn't wait for anybody. The status
// tells that a transaction was lost.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, signals := range [][]syscall.Signal{
		{syscall.SIGTERM, syscall.SIGINT},
		{syscall.SIGTERM, syscall.SIGQUIT},
		{syscall.SIGINT, syscall.SIGINT},
		{syscall.SIGQUIT},
	} {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			p, address := serve(t, ownURL(), "serve")
			conn := mustConnect(t, address)
			mustQuery(t, conn, "BEGIN")
			mustQuery(t, conn, "SELECT 1") // now it has begun on a server
			for i, sig := range signals {
				p.signal(sig)
				if i+1 < len(signals) {
					p.await("shutting down: waiting for")
				}
			}
			if status := p.wait(); status != exitFailure || !strings.Contains(p.stderr.String(), "transactions were cut off by the end: 1\n") {
				t.Errorf("status %d", status)
			}
			if _, err := query(conn, "COMMIT"); err == nil {
				t.Error("the client wasn't cut")
			}
		})
	}
}

// Platforms send SIGTERM several times: what runs comes to its end all the same.
func TestRepeatedTermIsOne(t *testing.T) {
	for _, first := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p, address := serve(t, ownURL(), "serve", "--set=shutdown_timeout=20s")
		conn := mustConnect(t, address)
		type result struct {
			value string
			err   error
		}
		answered := make(chan result, 1)
		go func() {
			value, err := query(conn, "SELECT 'done' FROM pg_sleep(1)")
			answered <- result{value, err}
		}()
		eventually(t, "the query runs", func() bool {
			n, err := postgres.Value(t.Context(), "", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''done''%' AND state = 'active'")
			return err == nil && n == "1"
		})
		p.signal(first)
		p.await("shutting down")
		for range 3 {
			p.signal(syscall.SIGTERM)
			p.await("got signal terminated again, which changes nothing so soon")
		}
		if got := <-answered; got.err != nil || got.value != "done" {
			t.Errorf("%s, and then repeated SIGTERM: the query ended with %q, %v", first, got.value, got.err)
		}
		_ = conn.Close(context.Background())
		if status := p.wait(); status != exitOK {
			t.Errorf("%s: status %d", first, status)
		}
	}
}

// A drain has its limit. Connections on which nothing goes on are no loss.
func TestShutdownTimeout(t *testing.T) {
	for statement, want := range map[string]int{"BEGIN": exitFailure, "SELECT 2": exitOK} {
		p, address := serve(t, ownURL(), "serve", "--set=shutdown_timeout=100ms")
		conn := mustConnect(t, address)
		mustQuery(t, conn, statement)
		mustQuery(t, conn, "SELECT 1")
		p.signal(syscall.SIGTERM)
		if status := p.wait(); status != want || !strings.Contains(p.stderr.String(), "shutdown_timeout is over") {
			t.Errorf("%s: status %d, want %d", statement, status, want)
		}
	}
}

// SIGUSR1 pauses and SIGUSR2 resumes, in the order in which they come.
func TestSignalsThatPause(t *testing.T) {
	p, address := serve(t, ownURL(), "serve")
	conn := mustConnect(t, address)
	mustQuery(t, conn, "BEGIN; SELECT 1")
	p.signal(syscall.SIGUSR1)
	p.await("PAUSE command issued")
	p.signal(syscall.SIGUSR1)
	p.await("got a signal to pause, and can't")
	mustQuery(t, conn, "COMMIT")
	p.await("paused: no server connection is open")
	answered := make(chan error, 1)
	go func() {
		_, err := query(conn, "SELECT 1")
		answered <- err
	}()
	p.signal(syscall.SIGUSR2)
	p.await("RESUME command issued")
	if err := <-answered; err != nil {
		t.Error(err)
	}
	p.signal(syscall.SIGUSR2)
	p.await("got a signal to resume, and can't")
	p.signal(syscall.SIGPIPE)
	mustQuery(t, conn, "SELECT 1")
}

// Nobody reads the log any more: that is no reason to end.
func TestBrokenLog(t *testing.T) {
	read, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	file := write(t, t.TempDir(), "carpool.ini", "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\n")
	_ = read.Close()
	status := make(chan int)
	go func() {
		status <- run(&program{args: []string{file}, signals: signals, stdout: io.Discard, stderr: written})
	}()
	signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d", got)
	}
	_ = written.Close()
}

func TestMetricsAreServed(t *testing.T) {
	p, address := serve(t, ownURL(), "serve", "--set=metrics_listen=127.0.0.1:0")
	base := "http://" + p.await("metrics on http://")
	base, _, _ = strings.Cut(base, "/metrics")
	conn := mustConnect(t, address)
	mustQuery(t, conn, "SELECT 1")
	client := &http.Client{Timeout: patience}
	get := func(path string) (int, string) {
		response, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get("/metrics"); status != 200 || !strings.Contains(body, `carpool_pool_queries_total{database="app",user="app"} 1`) {
		t.Errorf("%d: %s", status, body)
	}
	if status, _ := get("/readyz"); status != 200 {
		t.Errorf("/readyz before the shutdown: %d", status)
	}
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	if status, _ := get("/readyz"); status != 503 {
		t.Errorf("/readyz during the shutdown: %d", status)
	}
	client.CloseIdleConnections()
	_ = conn.Close(context.Background())
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// The whole program in this process, as the tests of a command use it.
func TestRunEndsCleanly(t *testing.T) {
	signals := make(chan os.Signal, 1)
	out := newTranscript()
	status := make(chan int)
	go func() {
		status <- run(&program{
			args: []string{"serve", "--port=0", "--set=metrics_listen=127.0.0.1:0"}, environ: ownURL(), signals: signals,
			stdout: io.Discard, stderr: out,
		})
	}()
	signals <- syscall.SIGINT
	select {
	case got := <-status:
		if got != 0 {
			t.Errorf("status %d: %s", got, out)
		}
	case <-time.After(patience):
		t.Fatal("it didn't end")
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "msg=stopped") }) {
		t.Errorf("the end isn't logged: %s", out)
	}
}
