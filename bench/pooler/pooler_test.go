package pooler

import (
	"strings"
	"testing"

	"carpool/bench/target"
	"carpool/config"
)

func TestKeepsPrepared(t *testing.T) {
	for version, want := range map[string]bool{
		"PgBouncer 1.18.0": false, "PgBouncer 1.21.0": true, "PgBouncer 1.9.0": false, "PgBouncer 2.0": true, "PgBouncer": true,
		"PgBouncer x": false, "carpool version 0.1": true,
	} {
		if got := (Product{Version: version}).KeepsPrepared(); got != want {
			t.Errorf("%s: got %t", version, got)
		}
	}
}

func valid() Settings {
	return Settings{
		Mode: Transaction, PoolSize: 5, MaxClients: 20,
		Server: target.Server{Host: "h", Port: 1, User: "u", Password: "p", Database: "d", SSLMode: config.SSLRequire, SSLRootCert: "/ca"},
	}
}

func TestSettingsCheck(t *testing.T) {
	if err := valid().check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Settings){
		"mode":       func(s *Settings) { s.Mode = "sometimes" },
		"no servers": func(s *Settings) { s.PoolSize = 0 },
		"no clients": func(s *Settings) { s.MaxClients = 0 },
		"TLS, Unix":  func(s *Settings) { s.TLS, s.Unix = true, true },
		"line break": func(s *Settings) { s.Server.Password = "a\n[pgbouncer]\nauth_type = any" },
	} {
		s := valid()
		spoil(&s)
		if err := s.check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLinesAreReadAsTheyWereMeant has carpool's own reader of configurations read what awkward names and passwords become.
func TestLinesAreReadAsTheyWereMeant(t *testing.T) {
	for _, word := range []string{"plain", "it's", `a "b"`, "a b", "a=b;c#d", "%include x", "päss"} {
		s := valid()
		s.Server.Password, s.Server.User, s.Server.Database = word, word, word
		text := strings.Join(s.lines(place{dir: t.TempDir()}, 7, true), "\n") + "\n"
		path := writeConfiguration(t, text)
		c, err := config.LoadFile(path)
		if err != nil {
			t.Errorf("%s: %v\n%s", word, err, text)
			continue
		}
		d, found := c.Database(word)
		if !found || d.Password != word || d.User != word || d.DBName != word || d.Hosts[0] != "h" {
			t.Errorf("%s: read as %+v", word, d)
		}
		if c.DefaultPoolSize != 5 || c.MaxClientConn != 20+consoleClients || c.PoolMode != config.PoolTransaction || c.UnixSocketDir != "" ||
			c.ServerTLS.Mode != config.SSLRequire || c.ServerTLS.CAFile != "/ca" || c.AuthType != config.AuthMD5 {
			t.Errorf("%s: read as %s", word, c.Redacted())
		}
	}
}
