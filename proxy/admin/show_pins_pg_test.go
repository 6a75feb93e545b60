package admin

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5/pgconn"
)

// Who keeps a server, since when and why, and what else has happened.
func TestConsoleSeesPins(t *testing.T) {
	r := startProxy(t)
	console, client := r.connect("looker", "pgbouncer"), r.connect("app", "app")
	table(t, client, "SET application_name = 'porter'")
	table(t, client, "CREATE TEMP TABLE basket (label text DEFAULT 'hunter2')")
	table(t, client, "SELECT pg_advisory_lock(4711)")
	pin := awaitPin(t, console, "temporary,locks")
	pid := table(t, client, "SELECT pg_backend_pid() AS pid")[0]["pid"]
	expect(t, pin, "database=app user=app application_name=porter seconds=0 remote_pid="+pid)
	if got := client.Conn().LocalAddr().String(); pin["client"] != got {
		t.Errorf("the client is %s, not %s", pin["client"], got)
	}
	if got := pin["statement"]; !strings.HasPrefix(got, "CREATE TEMP TABLE") || strings.Contains(got, "hunter2") {
		t.Errorf("the statement is %q", got)
	}
	hazards := table(t, console, "SHOW HAZARDS")
	for kind, statement := range map[string]string{"temporary": "CREATE TEMP TABLE", "locks": "SELECT pg_advisory_lock"} {
		h := rowOf(t, hazards, "kind", kind)
		expect(t, h, "database=app user=app application_name=porter times=1")
		if !strings.HasPrefix(h["statement"], statement) || !strings.Contains(h["advice"], "state_"+kind) {
			t.Errorf("%s: %v", kind, h)
		}
	}
	table(t, client, "DISCARD ALL")
	awaitPin(t, console, "")
	if got := len(table(t, console, "SHOW HAZARDS")); got != 2 {
		t.Errorf("of 2 hazards %d are remembered", got)
	}
}

// awaitPin asks until one client keeps its server, because of these kinds of
// state; with "" until none does. A client has its answer a moment before.
func awaitPin(t *testing.T, console *pgconn.PgConn, kinds string) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		rows := table(t, console, "SHOW PINS")
		switch {
		case len(rows) == 0 && kinds == "":
			return nil
		case len(rows) == 1 && rows[0]["kinds"] == kinds:
			return rows[0]
		case time.Now().After(deadline):
			t.Fatalf("not %q: %v", kinds, rows)
		}
	}
}

// psql shows both as tables.
func TestPsqlShowsPins(t *testing.T) {
	r := startProxy(t)
	client := r.connect("app", "app")
	table(t, client, "DECLARE page CURSOR WITH HOLD FOR SELECT 1")
	awaitPin(t, r.connect("looker", "pgbouncer"), "cursors")
	binaries, err := pgserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var shown bytes.Buffer
	psql := exec.CommandContext(ctx, binaries.Path("psql"), "-XAt", "-c", "SHOW PINS", "-c", "SHOW HAZARDS",
		fmt.Sprintf("postgres://boss@%s/pgbouncer?sslmode=disable", r.proxy.Addresses()[0]))
	psql.Stdout, psql.Stderr = &shown, &shown
	if err := psql.Run(); err != nil {
		t.Fatalf("%v: %s", err, &shown)
	}
	lines := strings.Split(strings.TrimSpace(shown.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	if pin := strings.Split(lines[0], "|"); len(pin) != len(pinColumns) || pin[6] != "cursors" {
		t.Errorf("%q", pin)
	}
	if h := strings.Split(lines[1], "|"); len(h) != len(hazardColumns) || h[0] != "cursors" || h[4] != "1" {
		t.Errorf("%q", h)
	}
}
