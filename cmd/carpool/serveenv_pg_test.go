package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// The environment alone is enough: several databases, users of their own, the
// port of the platform, the log on stdout.
func TestServeByTheEnvironment(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	p := start(t, []string{
		"ORDERS_URL=" + postgres.URL("app", "app"),
		"REPORTS_URL=" + postgres.URL("app", "postgres"),
		"CARPOOL_URLS=ORDERS_URL REPORTS_URL",
		"CARPOOL_USERLIST=\"ann\" \"whisper\"\n\"bob\" \"mumble\"\n",
		"CARPOOL_LOG_TO=stdout", "CARPOOL_LOG_FORMAT=json", "PORT=" + port,
	}, "serve", "--listen", "env:PORT")
	p.await(`"msg":"listening on 0.0.0.0:` + port)
	for _, row := range []struct{ login, database string }{
		{"ann:whisper", "app"}, {"bob:mumble", "postgres"}, {"app:secret", "app"},
	} {
		conn, err := dial(fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", row.login, port, row.database))
		if err != nil {
			t.Errorf("%s: %v", row.login, err)
			continue
		}
		if got := mustQuery(t, conn, "SELECT current_user || ' ' || current_database()"); got != "app "+row.database {
			t.Errorf("%s at %s: is %q on the server", row.login, row.database, got)
		}
		_ = conn.Close(t.Context())
	}
	for _, row := range []struct{ login, database string }{{"ann:mumble", "app"}, {"eve:whisper", "app"}, {"ann:whisper", "template1"}} {
		if conn, err := dial(fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", row.login, port, row.database)); err == nil {
			t.Errorf("%s got into %s", row.login, row.database)
			_ = conn.Close(t.Context())
		}
	}
	commandLine, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
	if err != nil {
		commandLine = nil // not Linux
	}
	log := p.stdout.String()
	for _, secret := range []string{"whisper", "mumble", "secret"} {
		if strings.Contains(log, secret) || strings.Contains(string(commandLine), secret) {
			t.Errorf("the log or the command line shows %q", secret)
		}
	}
	if p.stderr.String() != "" {
		t.Errorf("on stderr: %s", p.stderr)
	}
}

// A URL's own user doesn't get at what another URL's user may: there it would
// have that one's rights.
func TestUsersOfURLsAreConfined(t *testing.T) {
	if err := postgres.Exec(t.Context(), "", "CREATE ROLE bill LOGIN PASSWORD 'mumble'"); err != nil {
		t.Fatal(err)
	}
	p, address := serve(t, []string{
		"ORDERS_URL=" + postgres.URL("app", "app"),
		"MORE_URL=" + postgres.URL("app", "template1"),
		"BILLING_URL=" + strings.Replace(postgres.URL("app", "postgres"), "//app:secret@", "//bill:mumble@", 1),
		"CARPOOL_URLS=ORDERS_URL MORE_URL BILLING_URL",
		`CARPOOL_USERLIST="ann" "whisper"`,
	}, "serve")
	for _, row := range []struct{ login, database, want string }{
		{"app:secret", "app", "app"},
		{"app:secret", "template1", "app"},
		{"app:secret", "postgres", ""},
		{"bill:mumble", "postgres", "bill"},
		{"bill:mumble", "app", ""},
		{"ann:whisper", "app", "app"},
		{"ann:whisper", "postgres", "bill"},
	} {
		conn, err := dial("postgres://" + row.login + "@" + address + "/" + row.database + "?sslmode=disable")
		if row.want == "" {
			if told, ok := errors.AsType[*pgconn.PgError](err); !ok || told.Code != "42501" {
				t.Errorf("%s at %s: %v", row.login, row.database, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s at %s: %v", row.login, row.database, err)
			continue
		}
		if got := mustQuery(t, conn, "SELECT current_user"); got != row.want {
			t.Errorf("%s at %s is %s", row.login, row.database, got)
		}
		_ = conn.Close(t.Context())
	}
	if strings.Contains(p.stderr.String(), "mumble") {
		t.Error("the log shows a password")
	}
}
