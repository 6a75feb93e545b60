package pgserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var postgres *pgserver.Server

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgserver.Options{
		TLS:            true,
		MaxConnections: 33,
		Settings:       map[string]string{"work_mem": "5MB"},
		Databases:      []string{`odd "name"`},
		Roles: []pgserver.Role{
			{Name: "scram", Password: "it's"},
			{Name: "md5", Password: `back\slash`, Encryption: pgserver.MD5},
			{Name: "plain", Password: "päss wörd"},
			{Name: "boss", Superuser: true},
		},
		HBA: []string{
			"hostssl all scram all scram-sha-256",
			"host all md5 all md5",
			"host all plain all password",
			"local all plain reject",
		},
	}, func(s *pgserver.Server) { postgres = s }))
}

func TestStartHonoursOptions(t *testing.T) {
	for _, row := range []struct{ database, sql, want string }{
		{"", "SHOW max_connections", "33"},
		{"", "SHOW work_mem", "5MB"},
		{"", "SHOW fsync", "off"},
		{`odd "name"`, "SELECT current_database()", `odd "name"`},
		{"", "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'scram'", "SCRAM-SHA-256"},
		{"", "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'md5'", "md5"},
		{"", "SELECT rolsuper FROM pg_roles WHERE rolname = 'boss'", "t"},
		{"", "SELECT 1; SELECT 2", "2"},
		{"", "SELECT NULL", ""},
		{"", "SELECT 1 WHERE false", ""},
	} {
		got, err := postgres.Value(t.Context(), row.database, row.sql)
		if err != nil || got != row.want {
			t.Errorf("%s: got %q, %v; want %q", row.sql, got, err, row.want)
		}
	}
	if _, err := postgres.Value(t.Context(), "", "SELECT 1/0"); err == nil || !strings.Contains(err.Error(), "22012") {
		t.Errorf("division by zero: got error %v", err)
	}
	if err := postgres.Exec(t.Context(), "absent", ""); err == nil || !strings.Contains(err.Error(), "3D000") {
		t.Errorf("absent database: got error %v", err)
	}
}

func TestURLAndConnStringLogIn(t *testing.T) {
	for _, user := range []string{"", "scram", "md5", "plain", "boss"} {
		for _, target := range []string{postgres.URL(user, ""), postgres.ConnString(user, `odd "name"`)} {
			conn, err := pgconn.Connect(t.Context(), target)
			if err != nil {
				t.Errorf("user %q: %v", user, err)
				continue
			}
			if _, secure := conn.Conn().(*tls.Conn); !secure {
				t.Errorf("user %q: no TLS", user)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	wrong := strings.Replace(postgres.ConnString("scram", ""), "password='it", "password='at", 1)
	if _, err := pgconn.Connect(t.Context(), wrong); err == nil {
		t.Error("a wrong password logs in")
	}
}

func TestAuthorityIssuesTrustedCertificates(t *testing.T) {
	pair, err := postgres.Authority().Issue("someone", "db.example")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(postgres.Authority().File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "db.example"}); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsAddressAndData(t *testing.T) {
	s := pgtest.Start(t, pgserver.Options{})
	if err := s.Exec(t.Context(), "", "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []pgserver.Shutdown{pgserver.Fast, pgserver.Smart, pgserver.Immediate, pgserver.Crash} {
		conn, err := pgconn.Connect(t.Context(), s.URL("", ""))
		if err != nil {
			t.Fatal(err)
		}
		if mode == pgserver.Smart { // which would wait for it
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Restart(t.Context(), mode); err != nil {
			t.Fatalf("mode %d: %v", mode, err)
		}
		if got, err := s.Value(t.Context(), "", "SELECT n FROM kept"); err != nil || got != "7" {
			t.Errorf("mode %d: got %q, %v", mode, got, err)
		}
		if mode != pgserver.Smart {
			if _, err := conn.Exec(t.Context(), "SELECT 1").ReadAll(); err == nil {
				t.Errorf("mode %d: a connection outlived the server", mode)
			}
		}
	}
}

func TestDownRefusesConnectionsAndPauseLeavesThemUnanswered(t *testing.T) {
	s := pgtest.Start(t, pgserver.Options{})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pgconn.Connect(short, s.URL("", "")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connecting to a paused server: %v", err)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(t.Context(), "", "SELECT 1"); err != nil {
		t.Error(err)
	}
	if err := s.Down(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", s.Address()); err == nil {
		conn.Close()
		t.Error("a server that is down accepts")
	}
	if err := s.Pause(); err == nil {
		t.Error("a server that is down can be paused")
	}
}

func TestStopRemovesEverythingEvenWhenPaused(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	if conn, err := net.Dial("tcp", s.Address()); err == nil {
		conn.Close()
		t.Error("still listening")
	}
	if err := s.Up(t.Context()); err == nil {
		t.Error("a stopped server came up again")
	}
}

func TestContextEndsServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Connect(t.Context(), s.URL("", ""))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	// Returns once the server has closed the connection.
	if _, err := conn.Conn().Read(make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil { // waits for the Stop under way
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestStartLeavesNothingBehindOnFailure(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp/carpool-pgserver-test")
	if err := os.MkdirAll(os.Getenv("TMPDIR"), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(os.Getenv("TMPDIR"))
	if _, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}}); err == nil ||
		!strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("an unknown setting: got error %v", err)
	}
	cancelled, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pgserver.Start(cancelled, pgserver.Options{}); err == nil {
		t.Error("started within a tenth of a second")
	}
	left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
