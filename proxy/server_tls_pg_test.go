package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
)

// Every server_tls_sslmode against a server with TLS, one that insists on it,
// one that insists on none, and one without.
func TestServerTLSModes(t *testing.T) {
	roles := []pgserver.Role{{Name: "app"}, {Name: "sslonly"}, {Name: "plainonly"}}
	with := pgtest.Start(t, pgserver.Options{TLS: true, Roles: roles, HBA: []string{
		"hostssl all sslonly all trust", "host all sslonly all reject", "hostnossl all plainonly all trust", "host all plainonly all reject",
	}})
	stranger, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mode, ca, host, user string
		encrypted, refused   bool
	}{
		{mode: "disable"},
		{mode: "allow"},
		{mode: "prefer", encrypted: true},
		{mode: "require", encrypted: true},
		{mode: "verify-ca", ca: "good", encrypted: true},
		{mode: "verify-full", ca: "good", encrypted: true},
		{mode: "verify-full", ca: "good", host: "localhost", encrypted: true},
		{mode: "require", ca: "bad", refused: true},
		{mode: "verify-ca", ca: "bad", refused: true},
		{mode: "verify-full", ca: "bad", refused: true},
		{mode: "verify-full", ca: "good", host: "127.0.0.1, 127.0.0.1", encrypted: true},
		{mode: "disable", user: "sslonly", refused: true},
		{mode: "allow", user: "sslonly", encrypted: true},
		{mode: "prefer", user: "sslonly", encrypted: true},
		{mode: "allow", user: "plainonly"},
		{mode: "prefer", user: "plainonly"},
		{mode: "require", user: "plainonly", refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.mode+tt.ca+tt.host+tt.user, func(t *testing.T) {
			settings := "pool_mode = transaction\nauth_type = any\nserver_login_retry = 0.3\nserver_tls_sslmode = " + tt.mode + "\n"
			switch tt.ca {
			case "good":
				settings += "server_tls_ca_file = " + with.Authority().File + "\n"
			case "bad":
				settings += "server_tls_ca_file = " + stranger.File + "\n"
			}
			host, user := with.Host(), "app"
			if tt.host != "" {
				host = tt.host
			}
			if tt.user != "" {
				user = tt.user
			}
			p := startPooler(t, fmt.Sprintf("%s[databases]\ndb = host='%s' port=%d dbname=postgres user=%s\n", settings, host, with.Port(), user))
			conn, err := pgconn.Connect(context.Background(), p.url("app", "db"))
			if tt.refused {
				if err == nil {
					t.Fatal("the server was used")
				}
				if got := sqlState(err); got != "08001" && got != "28000" {
					t.Errorf("SQLSTATE %q: %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background()) //nolint:errcheck // it is only a question
			if got := value(t, conn, "select ssl from pg_stat_ssl where pid = pg_backend_pid()"); (got == "t") != tt.encrypted {
				t.Errorf("encrypted: %s, want %v", got, tt.encrypted)
			}
			if got := value(t, conn, "select repeat('x', 200000)"); len(got) != 200_000 {
				t.Errorf("%d bytes of 200000 came through", len(got))
			}
		})
	}
}

// A server without TLS is used by the modes that can do without, and is never
// spoken to in plaintext by those that can't.
func TestServerWithoutTLS(t *testing.T) {
	for mode, ok := range map[string]bool{"disable": true, "allow": true, "prefer": true, "require": false} {
		p := startPooler(t, "pool_mode = transaction\nserver_login_retry = 0.3\nserver_tls_sslmode = "+mode)
		conn, err := pgconn.Connect(context.Background(), p.url("app", "app"))
		if (err == nil) != ok {
			t.Errorf("%s: %v", mode, err)
		}
		if err == nil {
			_ = conn.Close(context.Background())
			continue
		}
		var refusal *pgconn.PgError
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "server_login_retry") || !strings.Contains(refusal.Hint, "server_tls_sslmode") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// Unix sockets on both sides, which no TLS mode touches.
func TestUnixSocketToTheServer(t *testing.T) {
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nserver_tls_sslmode = require\n[databases]\n* = host=%s port=%d\n", postgres.Dir(), postgres.Port()))
	conn := p.connect("app", "app")
	if got := value(t, conn, "select coalesce(inet_server_port()::text, 'unix')"); got != "unix" {
		t.Errorf("the server was reached by port %s", got)
	}
}
