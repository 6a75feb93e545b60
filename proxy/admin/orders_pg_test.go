package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// order sends a command that may take long, and returns what comes of it.
func order(conn *pgconn.PgConn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := conn.Exec(ctx, sql).ReadAll()
		done <- err
	}()
	return done
}

// code is the SQLSTATE and the message of what an order has come to.
func code(t *testing.T, done <-chan error) string {
	t.Helper()
	select {
	case err := <-done:
		var refused *pgconn.PgError
		switch {
		case err == nil:
			return ""
		case errors.As(err, &refused):
			return refused.Code + " " + refused.Message
		}
		return err.Error()
	case <-time.After(patience):
		t.Fatal("no answer")
		return ""
	}
}

func wantCode(t *testing.T, conn *pgconn.PgConn, sql, want string) {
	t.Helper()
	if got := code(t, order(conn, sql)); got != want {
		t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// await asks until a row has what is wanted.
func await(t *testing.T, conn *pgconn.PgConn, sql, column, value, want string) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		for _, row := range table(t, conn, sql) {
			if row[column] != value {
				continue
			}
			met := true
			for pair := range strings.FieldsSeq(want) {
				name, v, _ := strings.Cut(pair, "=")
				met = met && row[name] == v
			}
			if met {
				return row
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: no row of %s with %s: %v", sql, value, want, table(t, conn, sql))
		}
	}
}

// A pause waits for what is lent, closes what is idle, and has everybody wait
// who comes meanwhile.
func TestPauseWaitsForTransactions(t *testing.T) {
	r := startProxy(t)
	console, other := r.connect("boss", "pgbouncer"), r.connect("boss", "pgbouncer")
	busy, idle := r.connect("app", "app"), r.connect("app", "app")
	table(t, busy, "BEGIN; SELECT 1")
	table(t, idle, "SELECT 1")
	paused := order(console, "PAUSE")
	await(t, other, "SHOW POOLS", "database", "app", "sv_active=1 sv_idle=0")
	expect(t, rowOf(t, table(t, other, "SHOW STATE"), "key", "paused"), "value=yes")
	wantCode(t, other, "PAUSE", "55000 already suspended/paused")
	wantCode(t, other, "PAUSE app", "55000 already suspended/paused")
	wantCode(t, other, "RESUME app", "55000 database app is not paused")
	held := order(idle, "SELECT 1")
	expect(t, await(t, other, "SHOW WAITS", "database", "app", "waits_for=paused"), "user=app limit=")
	newcomer := r.connect("app", "app") // may come in, since servers are known
	heldToo := order(newcomer, "SELECT 1")
	select {
	case err := <-paused:
		t.Errorf("the pause was over before the transaction: %v", err)
	default:
	}
	table(t, busy, "COMMIT")
	if got := code(t, paused); got != "" {
		t.Error(got)
	}
	expect(t, rowOf(t, table(t, other, "SHOW POOLS"), "database", "app"), "sv_active=0 sv_idle=0 sv_login=0")
	wantCode(t, other, "RESUME", "")
	wantCode(t, other, "RESUME", "55000 pooler is not paused/suspended")
	for _, done := range []<-chan error{held, heldToo} {
		if got := code(t, done); got != "" {
			t.Error(got)
		}
	}
}

// One database is paused by itself, whatever becomes of the others, and stays
// so over a reload; users who come to it later wait, too.
func TestPauseOfOneDatabase(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	client, elsewhere := r.connect("app", "app"), r.connect("app", "postgres")
	table(t, client, "SELECT 1")
	wantCode(t, console, "PAUSE app", "")
	wantCode(t, console, "PAUSE app", "") // waits for the same
	expect(t, rowOf(t, table(t, console, "SHOW DATABASES"), "name", "app"), "paused=1 disabled=0 current_connections=0")
	expect(t, rowOf(t, table(t, console, "SHOW DATABASES"), "name", "postgres"), "paused=0")
	expect(t, rowOf(t, table(t, console, "SHOW STATE"), "key", "paused"), "value=no")
	wantCode(t, console, "RESUME", "55000 pooler is not paused/suspended")
	table(t, elsewhere, "SELECT 1")
	table(t, console, "SET server_lifetime = 77")
	held := order(client, "SELECT 1")
	stranger := make(chan error, 1)
	go func() { // of another user, whose pool is opened now
		conn, err := r.dial("boss", "app")
		if err == nil {
			_ = conn.Close(context.Background())
		}
		stranger <- err
	}()
	await(t, console, "SHOW WAITS", "user", "boss", "waits_for=paused database=app")
	await(t, console, "SHOW WAITS", "user", "app", "waits_for=paused database=app")
	wantCode(t, console, "RESUME app", "")
	if got := code(t, held); got != "" {
		t.Error(got)
	}
	if got := code(t, stranger); !strings.Contains(got, `role "boss" does not exist`) {
		t.Error(got) // it got as far as Postgres
	}
}

// Who cancels his PAUSE takes it back; who leaves, or is overtaken by a RESUME,
// doesn't.
func TestPauseThatDoesNotEnd(t *testing.T) {
	r := startProxy(t)
	watcher := r.connect("boss", "pgbouncer")
	busy := r.connect("app", "app")
	table(t, busy, "BEGIN; SELECT 1")
	isPaused := func(want string) {
		t.Helper()
		await(t, watcher, "SHOW STATE", "key", "paused", "value="+want)
	}

	console := r.connect("boss", "pgbouncer")
	done := order(console, "PAUSE")
	isPaused("yes")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := console.CancelRequest(ctx); err != nil {
		t.Error(err)
	}
	if got := code(t, done); got != "57014 canceling statement due to user request" {
		t.Error(got)
	}
	isPaused("no")

	done = order(console, "PAUSE")
	isPaused("yes")
	wantCode(t, watcher, "RESUME", "")
	if got := code(t, done); got != "55000 resumed before the pause was complete" {
		t.Error(got)
	}

	done = order(console, "PAUSE")
	isPaused("yes")
	_ = console.Conn().Close()
	<-done
	await(t, watcher, "SHOW POOLS", "database", "pgbouncer", "cl_active=1")
	isPaused("yes")
	wantCode(t, watcher, "RESUME", "")
	table(t, busy, "COMMIT")
}

// A disabled database lets nobody in, and those who are there stay.
func TestDisable(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("boss", "pgbouncer"), r.connect("app", "app")
	wantCode(t, console, "DISABLE app", "")
	wantCode(t, console, "DISABLE app", "")
	expect(t, rowOf(t, table(t, console, "SHOW DATABASES"), "name", "app"), "disabled=1 paused=0")
	var refused *pgconn.PgError
	if _, err := r.dial("app", "app"); !errors.As(err, &refused) || refused.Code != "55000" || refused.Message != `database "app" is disabled` {
		t.Error(err)
	}
	table(t, client, "SELECT 1")
	r.connect("app", "postgres")
	wantCode(t, console, "ENABLE app", "")
	table(t, r.connect("app", "app"), "SELECT 1")
}

// RECONNECT closes what is idle at once and what is lent when it comes back,
// which WAIT_CLOSE waits for.
func TestReconnect(t *testing.T) {
	r := startProxy(t)
	console, other := r.connect("boss", "pgbouncer"), r.connect("boss", "pgbouncer")
	busy, idle := r.connect("app", "app"), r.connect("app", "app")
	const pid = "SELECT pg_backend_pid() AS pid"
	table(t, busy, "BEGIN")
	before := map[string]bool{table(t, busy, pid)[0]["pid"]: true, table(t, idle, pid)[0]["pid"]: true}
	if len(before) != 2 {
		t.Fatal(before)
	}
	wantCode(t, console, "RECONNECT app", "")
	closed := order(other, "WAIT_CLOSE app")
	if now := table(t, idle, pid)[0]["pid"]; before[now] {
		t.Error("a server is lent that was to be closed")
	}
	await(t, console, "SHOW SERVERS", "close_needed", "1", "state=active database=app")
	select {
	case err := <-closed:
		t.Errorf("nothing was waited for: %v", err)
	default:
	}
	table(t, busy, "COMMIT")
	if got := code(t, closed); got != "" {
		t.Error(got)
	}
	if now := table(t, busy, pid)[0]["pid"]; before[now] {
		t.Error("a server is lent that was to be closed")
	}
	wantCode(t, console, "WAIT_CLOSE", "") // there is nothing to wait for
}

// KILL ends clients and servers, and leaves the database paused.
func TestKill(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	busy, idle, elsewhere := r.connect("app", "app"), r.connect("app", "app"), r.connect("app", "postgres")
	table(t, busy, "BEGIN; SELECT 1")
	table(t, idle, "SELECT 1")
	table(t, elsewhere, "BEGIN; SELECT 1")
	wantCode(t, console, "KILL app", "")
	for _, conn := range []*pgconn.PgConn{busy, idle} {
		wantCode(t, conn, "SELECT 1", "57P01 admin forced disconnect")
	}
	await(t, console, "SHOW POOLS", "database", "app", "cl_active=0 cl_waiting=0 sv_active=0 sv_idle=0")
	table(t, elsewhere, "COMMIT")
	newcomer := r.connect("app", "app")
	held := order(newcomer, "SELECT 1")
	await(t, console, "SHOW WAITS", "database", "app", "waits_for=paused")
	wantCode(t, console, "RESUME app", "")
	if got := code(t, held); got != "" {
		t.Error(got)
	}
	wantCode(t, console, "KILL", "")
	wantCode(t, console, "KILL", "55000 already suspended/paused")
	wantCode(t, elsewhere, "SELECT 1", "57P01 admin forced disconnect")
	wantCode(t, console, "RESUME", "")
	table(t, r.connect("app", "postgres"), "SELECT 1")
}

func TestKillClient(t *testing.T) {
	r := startProxy(t)
	console, victim, bystander := r.connect("boss", "pgbouncer"), r.connect("app", "app"), r.connect("app", "app")
	table(t, bystander, "SELECT 1")
	local := victim.Conn().LocalAddr().String()
	table(t, victim, "BEGIN; SELECT 1")
	id := rowOf(t, table(t, console, "SHOW CLIENTS"), "port", local[strings.LastIndexByte(local, ':')+1:])["id"]
	wantCode(t, console, "KILL_CLIENT "+id, "")
	wantCode(t, console, "KILL_CLIENT "+id, "42704 client not found")
	wantCode(t, victim, "SELECT 1", "57P01 admin forced disconnect")
	table(t, bystander, "SELECT 1")
}

// SET lasts until the next reload, and takes effect at once.
func TestSet(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	table(t, console, "SET default_pool_size = 1")
	expect(t, rowOf(t, table(t, console, "SHOW CONFIG"), "key", "default_pool_size"), "value=1 default=20 changeable=yes")
	table(t, r.connect("app", "app"), "BEGIN; SELECT 1")
	waits := order(r.connect("app", "app"), "SELECT 1")
	expect(t, await(t, console, "SHOW WAITS", "database", "app", "waits_for=pool_size"), "limit=1")
	table(t, console, "SET default_pool_size TO '2'")
	if got := code(t, waits); got != "" {
		t.Error(got)
	}
	wantCode(t, console, "SET pool_mode = nonsense", "22023 "+fmt.Sprint(config.Default().Set("pool_mode", "nonsense")))
}

// In a pause the connection that listens for all is closed, too; those who
// listen are told of the gap, and hear again afterwards.
func TestPauseOfListeners(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("postgres://app@%s/app?sslmode=disable", r.proxy.Addresses()[0]))
	if err != nil {
		t.Fatal(err)
	}
	warned, heard := make(chan string, 10), make(chan string, 100)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warned <- n.Message }
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { heard <- n.Payload }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	listener, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close(context.Background()) //nolint:errcheck // a test's
	table(t, listener, "LISTEN news")
	await(t, console, "SHOW POOLS", "database", "app", "sv_active=0 sv_idle=1") // it is with the shared connection
	direct, err := pgconn.Connect(ctx, postgres.URL("app", "app"))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background()) //nolint:errcheck // a test's
	const others = "SELECT 'others' AS are, count(*) AS n FROM pg_stat_activity WHERE usename = 'app' AND pid <> pg_backend_pid()"
	await(t, direct, others, "are", "others", "n=2")
	wantCode(t, console, "PAUSE", "")
	await(t, direct, others, "are", "others", "n=0")
	wantCode(t, console, "RESUME", "")
	for len(warned) == 0 && ctx.Err() == nil {
		table(t, listener, "SELECT 1")
	}
	select {
	case got := <-warned:
		if !strings.Contains(got, "notifications may have been missed") {
			t.Error(got)
		}
	case <-ctx.Done():
		t.Error("nobody was told of the gap")
	}
	table(t, direct, "NOTIFY news, 'extra'")
	for len(heard) == 0 && ctx.Err() == nil {
		table(t, listener, "SELECT 1")
	}
	select {
	case got := <-heard:
		if got != "extra" {
			t.Error(got)
		}
	case <-ctx.Done():
		t.Error("nothing is heard any more")
	}
}

// Orders about a database that is only a name to the fallback: what may be
// ordered in advance is, what undoes something has nothing to undo.
func TestOrdersAboutNamesOfTheFallback(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	const nowhere = codeNoDatabase + " no such database: dreamt"
	wantCode(t, console, "RESUME dreamt", nowhere)
	wantCode(t, console, "ENABLE dreamt", nowhere)
	for _, step := range []struct{ sql, want string }{
		{"RECONNECT dreamt", ""},
		{"WAIT_CLOSE dreamt", ""},
		{"DISABLE dreamt", ""},
		{"RESUME dreamt", codeState + " database dreamt is not paused"},
		{"ENABLE dreamt", ""},
		{"PAUSE dreamt", ""},
		{"RESUME dreamt", ""},
		{"KILL dreamt", ""},
		{"RESUME dreamt", ""},
		{"RESUME dreamt", nowhere},
	} {
		wantCode(t, console, step.sql, step.want)
	}
	table(t, r.connect("app", "app"), "SELECT 1")
	wantCode(t, console, "ENABLE app", "") // somebody has come to it
	wantCode(t, console, "RESUME app", codeState+" database app is not paused")
}
