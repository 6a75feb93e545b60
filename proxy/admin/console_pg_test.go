package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/config"
	"carpool/proxy"

	"github.com/jackc/pgx/v5/pgconn"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app"}}, Databases: []string{"app"},
	}, func(s *pgserver.Server) { postgres = s }))
}

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

// running is a proxy with a console before the shared Postgres.
type running struct {
	t     *testing.T
	proxy *proxy.Proxy
	ended chan error
}

func startProxy(t *testing.T) *running {
	t.Helper()
	users := t.TempDir() + "/users.txt"
	if err := os.WriteFile(users, []byte("\"app\" \"\"\n\"boss\" \"\"\n\"looker\" \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := makeProxy(t, map[string]string{
		"auth_file": users, "pool_mode": "transaction", "default_pool_size": "3",
		"admin_users": "boss", "stats_users": "looker",
	}, &config.Database{Name: "*", Hosts: []string{postgres.Host()}, Ports: []int{postgres.Port()}})
	p.SetConsole(New(p, "carpool 1.2"))
	r := &running{t: t, proxy: p, ended: make(chan error, 1)}
	go func() { r.ended <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		r.wait()
	})
	return r
}

// wait waits until the proxy has ended.
func (r *running) wait() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Error(err)
		}
		r.ended <- nil // for whoever asks next
	case <-time.After(patience):
		r.t.Error("the proxy didn't end")
	}
}

func (r *running) dial(user, database string) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return pgconn.Connect(ctx, fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, r.proxy.Addresses()[0], database))
}

func (r *running) connect(user, database string) *pgconn.PgConn {
	r.t.Helper()
	conn, err := r.dial(user, database)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// table runs a command and returns its rows as maps from column to value.
func table(t *testing.T, conn *pgconn.PgConn, sql string) []map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows []map[string]string
	for _, values := range results[len(results)-1].Rows {
		row := make(map[string]string)
		for i, field := range results[len(results)-1].FieldDescriptions {
			row[field.Name] = string(values[i])
		}
		rows = append(rows, row)
	}
	return rows
}

// rowOf is the one row that has a value in a column.
func rowOf(t *testing.T, rows []map[string]string, column, value string) map[string]string {
	t.Helper()
	for _, row := range rows {
		if row[column] == value {
			return row
		}
	}
	t.Fatalf("no row with %s = %s: %v", column, value, rows)
	return nil
}

// awaitRow asks until a database's row has 1 in a column: a client has its
// answer a moment before its server is given back.
func awaitRow(t *testing.T, conn *pgconn.PgConn, sql, database, column string) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		row := rowOf(t, table(t, conn, sql), "database", database)
		if row[column] == "1" || time.Now().After(deadline) {
			return row
		}
	}
}

func expect(t *testing.T, row map[string]string, want string) {
	t.Helper()
	for pair := range strings.FieldsSeq(want) {
		column, value, _ := strings.Cut(pair, "=")
		if row[column] != value {
			t.Errorf("%s is %q, want %q, in %v", column, row[column], value, row)
		}
	}
}

func TestConsoleSeesThePools(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	if got := console.ParameterStatus("server_version"); got != "1.2/bouncer" {
		t.Errorf("server_version is %q", got)
	}
	busy, idle := r.connect("app", "app"), r.connect("app", "app")
	table(t, idle, "SELECT 1")
	table(t, busy, "BEGIN; SELECT 1")
	expect(t, rowOf(t, table(t, console, "SHOW POOLS"), "database", "app"),
		"user=app cl_active=2 cl_waiting=0 sv_active=1 sv_idle=0 maxwait=0 pool_mode=transaction")
	expect(t, rowOf(t, table(t, console, "SHOW POOLS"), "database", "pgbouncer"), "user=pgbouncer cl_active=1 pool_mode=statement")
	table(t, busy, "COMMIT")
	expect(t, awaitRow(t, console, "SHOW POOLS;", "app", "sv_idle"), "cl_active=2 sv_active=0 sv_idle=1")
	expect(t, rowOf(t, table(t, console, "show databases"), "name", "app"),
		fmt.Sprintf("host=%s port=%d database=app pool_size=3 current_connections=1 current_client_connections=2 paused=0",
			postgres.Host(), postgres.Port()))
	stats := rowOf(t, table(t, console, "SHOW STATS"), "database", "app")
	expect(t, stats, "total_xact_count=2 total_client_login_count=2")
	if stats["total_query_count"] < "3" || stats["total_received"] == "0" || stats["total_sent"] == "0" {
		t.Errorf("nothing was counted: %v", stats)
	}
}

// Every wait of a client is visible while it lasts.
func TestConsoleSeesWaitingClients(t *testing.T) {
	r := startProxy(t)
	console := r.connect("looker", "carpool")
	for range 3 {
		table(t, r.connect("app", "app"), "BEGIN; SELECT 1")
	}
	waiting := r.connect("app", "app")
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		_, err := waiting.Exec(ctx, "SELECT 1").ReadAll()
		done <- err
	}()
	expect(t, awaitRow(t, console, "SHOW POOLS", "app", "cl_waiting"), "cl_active=3 cl_waiting=1 sv_active=3 sv_idle=0")
	if err := waiting.CancelRequest(ctx); err != nil {
		t.Error(err)
	}
	var cancelled *pgconn.PgError
	if err := <-done; !errors.As(err, &cancelled) || cancelled.Code != "57014" {
		t.Errorf("the client that waited got %v", err)
	}
}

func TestConsoleRefuses(t *testing.T) {
	r := startProxy(t)
	if _, err := r.dial("app", "pgbouncer"); err == nil {
		t.Error("a user who is in neither list got in")
	}
	looker := r.connect("looker", "pgbouncer")
	_, err := looker.Exec(context.Background(), "SHUTDOWN").ReadAll()
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != codePrivilege || refused.Severity != "ERROR" {
		t.Errorf("SHUTDOWN by a stats user: %v", err)
	}
	table(t, looker, "SHOW VERSION") // the connection lives on
}

func TestShutdownFromTheConsole(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("boss", "pgbouncer"), r.connect("app", "app")
	table(t, client, "BEGIN; SELECT 1")
	table(t, console, "SHUTDOWN WAIT_FOR_CLIENTS")
	expect(t, rowOf(t, table(t, console, "SHOW STATE"), "key", "stopping"), "value=yes")
	expect(t, rowOf(t, table(t, console, "SHOW STATE"), "key", "active"), "value=no")
	table(t, client, "COMMIT")
	_ = client.Close(context.Background())
	r.wait()
}
