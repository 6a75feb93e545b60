package upstream

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"
)

func hostOf(s *pgserver.Server) HostPort { return HostPort{s.Host(), uint16(s.Port())} }

// logInAs dials and closes at the end of the test.
func logInAs(t *testing.T, target *Target, extra ...wire.Param) (*Conn, error) {
	t.Helper()
	if target.Database == "" {
		target.Database = "postgres"
	}
	target.ConnectTimeout = 10 * time.Second
	c, err := Dial(t.Context(), target, extra)
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

// refusal returns what a server said in err.
func refusal(t *testing.T, err error) *LoginError {
	t.Helper()
	e := (*LoginError)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a server's refusal", err)
	}
	return e
}

func md5Secret(user, password string) string {
	sum := md5.Sum([]byte(password + user))
	return "md5" + hex.EncodeToString(sum[:])
}

func TestLoggingInToPostgres(t *testing.T) {
	const password = `pass'word\ "x", %20`
	postgres := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{
			{Name: "trusted"},
			{Name: "limited"},
			{Name: "clear", Password: password},
			{Name: "hashed", Password: password, Encryption: pgserver.MD5},
			{Name: "scrambled", Password: password},
		},
		HBA: []string{
			"host all clear all password",
			"host all hashed all md5",
			"host all scrambled all scram-sha-256",
			"host all rejected all reject",
			"local all scrambled scram-sha-256",
		},
	})
	host := hostOf(postgres)
	socket := HostPort{postgres.Dir(), uint16(postgres.Port())}

	tests := []struct {
		name, user, password string
		host                 HostPort
		code, complaint      string // of the refusal, or of an error of our own
	}{
		{"trust", "trusted", "", host, "", ""},
		{"trust, a password is not needed", "trusted", "x", host, "", ""},
		{"Unix socket", "trusted", "", socket, "", ""},
		{"SCRAM over a Unix socket", "scrambled", password, socket, "", ""},
		{"a name", "trusted", "", HostPort{"localhost", host.Port}, "", ""},
		{"cleartext", "clear", password, host, "", ""},
		{"md5", "hashed", password, host, "", ""},
		{"md5 by its secret", "hashed", md5Secret("hashed", password), host, "", ""},
		{"SCRAM", "scrambled", password, host, "", ""},
		{"cleartext, wrong", "clear", "wrong", host, "28P01", ""},
		{"md5, wrong", "hashed", "wrong", host, "28P01", ""},
		{"md5, wrong secret", "hashed", md5Secret("hashed", "wrong"), host, "28P01", ""},
		{"SCRAM, wrong", "scrambled", "wrong", host, "28P01", ""},
		{"SCRAM, wrong, Unix socket", "scrambled", "wrong", socket, "28P01", ""},
		{"rejected", "rejected", "x", host, "28000", ""},
		{"no such role", "nobody", "x", host, "28000", ""},
		{"SCRAM by an md5 secret", "scrambled", md5Secret("scrambled", password), host, "", "md5"},
		{"SCRAM by a SCRAM secret", "scrambled", "SCRAM-SHA-256$4096:c2FsdA==$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "=", host, "", "by which no client has logged in"},
		{"no password", "scrambled", "", host, "", "there is no password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := logInAs(t, &Target{Hosts: []HostPort{tt.host}, User: tt.user, Password: tt.password})
			switch {
			case tt.code != "":
				e := refusal(t, err)
				if e.Report.Code != tt.code || !e.Fatal() || e.Report.Message == "" {
					t.Errorf("refusal %v", err)
				}
			case tt.complaint != "":
				if err == nil || !strings.Contains(err.Error(), tt.complaint) {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			default:
				checkUsable(t, c)
				if c.Remote.IsValid() == tt.host.unix() || c.Local.IsValid() == tt.host.unix() {
					t.Errorf("the ends are %v and %v", c.Remote, c.Local)
				}
			}
			if err != nil && strings.Contains(err.Error(), tt.password) && len(tt.password) > 5 {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}

	t.Run("no such database", func(t *testing.T) {
		_, err := logInAs(t, &Target{Hosts: []HostPort{host}, User: "trusted", Database: "nowhere"})
		if e := refusal(t, err); e.Report.Code != "3D000" || !e.Fatal() || e.Host != host {
			t.Errorf("refusal %v", err)
		}
	})
	t.Run("too many connections", func(t *testing.T) {
		if err := postgres.Exec(t.Context(), "", "ALTER ROLE limited CONNECTION LIMIT 1"); err != nil {
			t.Fatal(err)
		}
		target := &Target{Hosts: []HostPort{host}, User: "limited"}
		if _, err := logInAs(t, target); err != nil {
			t.Fatal(err)
		}
		_, err := logInAs(t, target)
		if e := refusal(t, err); e.Report.Code != "53300" || e.Fatal() {
			t.Errorf("refusal %v", err)
		}
	})
	t.Run("start-up parameters", func(t *testing.T) {
		target := &Target{Hosts: []HostPort{host}, User: "trusted", Params: []wire.Param{
			{Name: "application_name", Value: "one"}, {Name: "statement_timeout", Value: "4321ms"},
		}}
		c, err := logInAs(t, target, wire.Param{Name: "application_name", Value: "two"}, wire.Param{Name: "options", Value: "-c search_path=x"})
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, conn: c, piece: 1000}
		if c.Param("application_name") != "two" || p.value("show statement_timeout") != "4321ms" || p.value("show search_path") != "x" {
			t.Errorf("the server reports %q", c.Params)
		}
		if c.Param("server_version") == "" || c.Param("no such thing") != "" {
			t.Errorf("the server reports %q", c.Params)
		}
	})
	t.Run("one that the server doesn't know", func(t *testing.T) {
		_, err := logInAs(t, &Target{Hosts: []HostPort{host}, User: "trusted"}, wire.Param{Name: "nonsense", Value: "1"})
		if e := refusal(t, err); e.Report.Code != "42704" {
			t.Errorf("refusal %v", err)
		}
	})
	connectQueries(t, host)
}

func connectQueries(t *testing.T, host HostPort) {
	for name, tt := range map[string]struct{ query, code, complaint string }{
		"sets":         {"set timezone to 'Asia/Kolkata'; select 1; select * from generate_series(1, 100)", "", ""},
		"is empty":     {";", "", ""},
		"notices":      {"do $$begin raise notice 'x'; end$$", "", ""},
		"fails":        {"set timezone to 'UTC'; select 1/0", "22012", ""},
		"is no SQL":    {"hello", "42601", ""},
		"begins":       {"begin", "", "inside a transaction"},
		"copies out":   {"copy (select 1) to stdout", "", "unexpected message"},
		"copies in":    {"create temp table x (a int); copy x from stdin", "", "unexpected message"},
		"says a lot":   {"select repeat('x', 1000000)", "", "length"},
		"says a lot 2": {"select * from generate_series(1, 100000)", "", "too much"},
	} {
		t.Run("connect query that "+name, func(t *testing.T) {
			c, err := logInAs(t, &Target{Hosts: []HostPort{host}, User: "trusted", ConnectQuery: tt.query})
			switch {
			case tt.code != "":
				if e := refusal(t, err); e.Report.Code != tt.code || e.Step != StepConnectQuery {
					t.Errorf("refusal %v", err)
				}
			case tt.complaint != "":
				if err == nil || !strings.Contains(err.Error(), tt.complaint) {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			default:
				checkUsable(t, c)
				if name == "sets" && c.Param("TimeZone") != "Asia/Kolkata" {
					t.Errorf("the server reports %q", c.Params)
				}
			}
		})
	}
}
