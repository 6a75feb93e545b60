package drivers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5"
)

// What each driver reads from the console, and how. numeric is whatever the driver makes of it.
var consoles = []struct {
	name    string
	command []string
	want    string
}{
	{"psycopg2", []string{"python3", "-B", "console.py", "psycopg2"}, "psycopg2 24 Decimal True"},
	{"psycopg 3", []string{"python3", "-B", "console.py", "psycopg"}, `psycopg 24 Decimal True
psycopg-prepared 24 Decimal True
psycopg-binary 24 Decimal True
psycopg-pipeline 24 Decimal True
psycopg-pipeline 24 Decimal True
psycopg-error 42601`},
	{"asyncpg", []string{"python3", "-B", "console.py", "asyncpg"}, "asyncpg 24 Decimal True"},
	{"JDBC", []string{"java", "-XX:TieredStopAtLevel=1", "-cp", jdbc, "Console.java"}, `jdbc 24 numeric true
jdbc-fetch 24 numeric true
jdbc-prepared 24 numeric true
jdbc-valid true`},
}

// Drivers talk to the console as to any Postgres, in whichever protocol they prefer.
func TestConsoleSpeaksToDrivers(t *testing.T) {
	address := startCarpool(t)
	url := fmt.Sprintf("postgres://%s:%s@%s/pgbouncer?sslmode=disable", user, password, address)
	for _, c := range consoles {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			command := c.command
			switch {
			case c.name == "JDBC":
				command = append(command, "jdbc:postgresql://"+address+"/pgbouncer", user, password)
			case command[0] == "python3":
				if _, err := os.Stat("/usr/bin/python3"); err == nil {
					command[0] = "/usr/bin/python3"
				}
			}
			run := exec.CommandContext(ctx, command[0], command[1:]...)
			run.Dir, run.Env = filepath.Join("testdata", "console"), append(pgserver.Environment(t.TempDir()), "DATABASE_URL="+url)
			var complaint strings.Builder // JDBC wonders about the server's version there
			run.Stderr = &complaint
			out, err := run.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("%v:\n%s\n%s\nwant\n%s", err, got, &complaint, c.want)
			}
		})
	}
	t.Run("psql", func(t *testing.T) { consoleByPsql(t, address) })
	t.Run("pgx", func(t *testing.T) { consoleByPgx(t, url) })
}

func consoleByPsql(t *testing.T, address string) {
	binaries, err := pgserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	psql := exec.CommandContext(t.Context(), binaries.Path("psql"), "-XAt", "-h", host, "-p", port, "-U", user,
		"-c", "SHOW HELP", "-c", "SHOW STATE;", "-c", "SHOW LISTS", "pgbouncer")
	psql.Env = append(pgserver.Environment(t.TempDir()), "PGPASSWORD="+password)
	out, err := psql.CombinedOutput()
	if got := string(out); err != nil || !strings.Contains(got, "active|yes\n") || !strings.Contains(got, "PAUSE [db]") || !strings.Contains(got, "used_clients|1\n") {
		t.Errorf("%v: %s", err, got)
	}
}

// consoleByPgx asks in each of pgx's ways.
func consoleByPgx(t *testing.T, url string) {
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test's
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		for range 2 {
			rows, err := conn.Query(t.Context(), "SHOW POOLS", mode)
			if err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			pools, err := pgx.CollectRows(rows, pgx.RowToMap)
			if err != nil || len(pools) == 0 || pools[0]["database"] != "pgbouncer" || pools[0]["cl_active"] != int32(1) || pools[0]["load_balance_hosts"] != nil {
				t.Errorf("%s: %v, %v", mode, pools, err)
			}
		}
		if tag, err := conn.Exec(t.Context(), "RECONNECT", mode); err != nil || tag.String() != "RECONNECT" {
			t.Errorf("%s: %q, %v", mode, tag, err)
		}
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
