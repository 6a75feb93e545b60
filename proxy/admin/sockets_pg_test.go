package admin

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Clients and servers point at each other, and at what the server says itself.
func TestConsoleSeesConnections(t *testing.T) {
	r := startProxy(t)
	console := r.connect("boss", "pgbouncer")
	busy, idle := r.connect("app", "app"), r.connect("app", "app")
	table(t, busy, "SET application_name = 'shop'")
	table(t, busy, "BEGIN")
	pid := table(t, busy, "SELECT pg_backend_pid() AS pid")[0]["pid"]
	table(t, idle, "SELECT 1")
	port := func(conn interface{ LocalAddr() net.Addr }) string {
		_, port, _ := strings.Cut(conn.LocalAddr().String(), ":")
		return port
	}
	_, ours, _ := strings.Cut(r.proxy.Addresses()[0], ":")
	clients := table(t, console, "SHOW CLIENTS")
	client := rowOf(t, clients, "port", port(busy.Conn()))
	expect(t, client, "type=C user=app database=app replication=none state=active addr=127.0.0.1 local_addr=127.0.0.1 "+
		"local_port="+ours+" wait=0 close_needed=0 remote_pid=0 tls= application_name=shop prepared_statements=0")
	expect(t, rowOf(t, clients, "port", port(idle.Conn())), "state=idle link=")
	expect(t, rowOf(t, clients, "database", "pgbouncer"), "user=boss state=idle link=")
	servers := table(t, console, "SHOW SERVERS")
	server := rowOf(t, servers, "remote_pid", pid)
	expect(t, server, fmt.Sprintf("type=S user=app database=app state=active addr=%s port=%d link=%s ptr=%s application_name=shop",
		postgres.Host(), postgres.Port(), client["ptr"], client["link"]))
	expect(t, rowOf(t, servers, "link", ""), "state=idle application_name= close_needed=0")
	for _, row := range append(clients, servers...) {
		at, err := time.Parse(timeLayout, row["connect_time"])
		if since := time.Since(at); err != nil || since < -time.Second || since > time.Minute {
			t.Errorf("connected at %s: %v", row["connect_time"], err)
		}
	}
	sockets := table(t, console, "SHOW SOCKETS")
	if len(sockets) != len(clients)+len(servers) {
		t.Errorf("%d sockets of %d clients and %d servers", len(sockets), len(clients), len(servers))
	}
	expect(t, rowOf(t, sockets, "ptr", server["ptr"]), "state=sv_active")
	running := order(busy, "SELECT pg_sleep(30)")
	await(t, console, "SHOW ACTIVE_SOCKETS", "ptr", client["ptr"], "state=cl_active")
	direct, err := pgconn.Connect(t.Context(), postgres.URL("app", "app"))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(t.Context())                                                                    //nolint:errcheck // a test's
	await(t, direct, "SELECT pid, wait_event FROM pg_stat_activity", "pid", pid, "wait_event=PgSleep") // a cancel that comes early has no effect
	if err := busy.CancelRequest(t.Context()); err != nil {
		t.Error(err)
	}
	if got := code(t, running); !strings.HasPrefix(got, "57014") {
		t.Error(got)
	}
	expect(t, rowOf(t, table(t, console, "SHOW LISTS"), "list", "used_servers"), "items=2")
	expect(t, rowOf(t, table(t, console, "SHOW LISTS"), "list", "used_clients"), "items=3")
	expect(t, rowOf(t, table(t, console, "SHOW LISTS"), "list", "pools"), "items=2")
	expect(t, rowOf(t, table(t, console, "SHOW USERS"), "name", "app"), "current_connections=2 current_client_connections=2")
	expect(t, rowOf(t, table(t, console, "SHOW USERS"), "name", "looker"), "current_connections=0 current_client_connections=0")
	expect(t, rowOf(t, table(t, console, "SHOW MEM"), "name", "client_cache"), "used=2")
}

// A connection that isn't logged in yet is seen, too.
func TestConsoleSeesLogins(t *testing.T) {
	r := startProxy(t)
	console := r.connect("looker", "pgbouncer")
	conn, err := net.Dial("tcp", r.proxy.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()                               //nolint:errcheck // a test's
	if _, err := conn.Write([]byte{0}); err != nil { // the first of a start-up packet
		t.Fatal(err)
	}
	await(t, console, "SHOW SOCKETS", "state", "cl_login", "user=(nouser) database=(nodb)")
	expect(t, rowOf(t, table(t, console, "SHOW LISTS"), "list", "login_clients"), "items=1")
	if n := len(table(t, console, "SHOW CLIENTS")); n != 1 {
		t.Errorf("%d clients are logged in", n)
	}
}

// Servers that have lain idle for longer than server_check_delay are shown as
// used, until they are.
func TestConsoleSeesUsedServers(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("boss", "pgbouncer"), r.connect("app", "app")
	table(t, client, "SELECT 1")
	expect(t, await(t, console, "SHOW POOLS", "database", "app", "sv_idle=1"), "sv_used=0")
	table(t, console, "SET server_check_delay = 0.01")
	await(t, console, "SHOW POOLS", "database", "app", "sv_idle=0 sv_used=1")
	await(t, console, "SHOW SERVERS", "database", "app", "state=used")
	table(t, client, "SELECT 1")
	table(t, console, "SET server_check_delay = 30")
	await(t, console, "SHOW POOLS", "database", "app", "sv_idle=1 sv_used=0")
}

// What databases have done, seen in four ways.
func TestConsoleCounts(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("looker", "pgbouncer"), r.connect("app", "app")
	for range 5 { // before that a server was asked what to greet the client with
		table(t, client, "SELECT 1")
	}
	await(t, console, "SHOW POOLS", "database", "app", "sv_idle=1")
	stats := rowOf(t, table(t, console, "SHOW STATS"), "database", "app")
	totals := rowOf(t, table(t, console, "SHOW STATS_TOTALS"), "database", "app")
	expect(t, totals, "query_count=5 xact_count=5 server_assignment_count=6 client_login_count=1")
	for column, value := range totals {
		name := map[string]string{"bytes_received": "total_received", "bytes_sent": "total_sent", "database": "database"}[column]
		if name == "" {
			name = "total_" + column
		}
		if stats[name] != value {
			t.Errorf("%s is %s, %s is %s", column, value, name, stats[name])
		}
	}
	if got := rowOf(t, table(t, console, "SHOW TOTALS"), "name", "total_client_bytes")["value"]; got != totals["bytes_received"] {
		t.Errorf("clients sent %s bytes, or %s", got, totals["bytes_received"])
	}
	if got := len(table(t, console, "SHOW TOTALS")); got != 24 {
		t.Errorf("%d totals", got)
	}
	if row := rowOf(t, table(t, console, "SHOW STATS_AVERAGES"), "database", "app"); row["avg_bind_count"] != "0" {
		t.Error(row)
	}
}
