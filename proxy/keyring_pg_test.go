package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/auth"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Clients and servers use SCRAM, and nobody but the clients knows a password.
func TestSCRAMIsPassedThrough(t *testing.T) {
	r := &registrar{t: t, users: filepath.Join(t.TempDir(), "users.txt")}
	r.Server = pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{
			{Name: "asker", Password: serverPassword, Superuser: true},
			{Name: "scram", Password: goodPassword},
			{Name: "other", Password: goodPassword},
			{Name: "foreign", Password: "Straße"},
			{Name: "roman", Password: "Ⅸ"},
		},
		Databases: []string{"app"},
		HBA:       []string{"host all postgres all trust", "host all all all scram-sha-256"},
	})
	verifier := func(user string) string {
		return r.sql("", "select rolpassword from pg_authid where rolname = '"+user+"'")
	}
	list := func(more ...string) {
		text := fmt.Sprintf("\"asker\" \"%s\"\n", serverPassword)
		for i := 0; i < len(more); i += 2 {
			text += fmt.Sprintf("%q \"%s\"\n", more[i], more[i+1])
		}
		write(t, r.users, text)
	}
	settings := func(auth string) string {
		return fmt.Sprintf("pool_mode = transaction\nauth_file = %s\nauth_type = %s\n[databases]\nforced = host=%s port=%d dbname=app user=scram\nroman = host=%[3]s port=%[4]d dbname=app user=roman password=Ⅸ\n* = host=%[3]s port=%[4]d\n", r.users, auth, r.Host(), r.Port())
	}
	users := []string{"scram", verifier("scram"), "foreign", verifier("foreign")}

	t.Run("auth_file", func(t *testing.T) {
		list(users...)
		for _, method := range []string{"scram-sha-256", "md5", "plain"} {
			p := startPooler(t, settings(method))
			if err := p.logIn("scram", wrongPassword, "app"); codeOf(err) != "28P01" {
				t.Errorf("%s: %v", method, err)
			}
			if err := p.logIn("asker", serverPassword, "forced"); codeOf(err) != "28P01" || !strings.Contains(err.Error(), "no client has logged in") {
				t.Errorf("%s: before anybody has proven to be scram: %v", method, err)
			}
			for user, password := range map[string]string{"scram": goodPassword, "foreign": "Straße"} {
				if err := p.logIn(user, password, "app"); err != nil {
					t.Errorf("%s: %s: %v", method, user, err)
				}
			}
			if err := p.logIn("asker", serverPassword, "forced"); err != nil {
				t.Errorf("%s: after somebody has: %v", method, err)
			}
			if err := p.logIn("asker", serverPassword, "roman"); err != nil {
				t.Errorf("a password that is normalized before it is hashed: %v", err)
			}
			p.keepsSecrets()
		}
	})

	t.Run("no proof, no key", func(t *testing.T) {
		list(users...)
		p := startPooler(t, settings("trust"))
		if err := p.logIn("scram", "", "app"); codeOf(err) != "28P01" || !strings.Contains(err.Error(), "no client has logged in") {
			t.Errorf("%v", err)
		}
	})

	t.Run("another secret of the same password", func(t *testing.T) {
		list("scram", verifier("other"))
		p := startPooler(t, settings("scram-sha-256"))
		err := p.logIn("scram", goodPassword, "app")
		if codeOf(err) != "28P01" || !strings.Contains(err.Error(), "another SCRAM secret") {
			t.Errorf("%v", err)
		}
		list(users...)
		p.reload(settings("scram-sha-256"))
		if err := p.logIn("scram", goodPassword, "app"); err != nil {
			t.Errorf("after the file was put right: %v", err)
		}
		p.keepsSecrets()
	})

	t.Run("auth_query", func(t *testing.T) {
		list()
		for _, method := range []string{"scram-sha-256", "plain"} {
			asking := strings.Replace(settings(method), "[databases]", "auth_user = asker\nauth_query_max_age = 1h\n[databases]", 1)
			p := startPooler(t, asking)
			for user, password := range map[string]string{"scram": goodPassword, "foreign": "Straße"} {
				if err := p.logIn(user, password, "app"); err != nil {
					t.Errorf("%s: %s: %v", method, user, err)
				}
			}
			if err := p.logIn("scram", wrongPassword, "app"); codeOf(err) != "28P01" {
				t.Errorf("%s: %v", method, err)
			}
			p.keepsSecrets()
		}
	})

	t.Run("the password changes on the server", func(t *testing.T) {
		list()
		p := startPooler(t, strings.Replace(settings("scram-sha-256"), "[databases]", "auth_user = asker\nauth_query_max_age = 1h\nauth_dbname = app\n[databases]", 1))
		if err := p.logIn("other", goodPassword, "app"); err != nil {
			t.Fatal(err)
		}
		r.sql("", "alter role other password '"+wrongPassword+"'")
		// It is remembered here, but not any more what the server has.
		if err := p.logIn("other", goodPassword, "postgres"); codeOf(err) != "28P01" {
			t.Errorf("the old password: %v", err)
		}
		for _, database := range []string{"postgres", "app"} {
			if err := p.logIn("other", wrongPassword, database); err != nil {
				t.Errorf("the new password, %s: %v", database, err)
			}
		}
		if err := p.logIn("other", goodPassword, "postgres"); codeOf(err) != "28P01" {
			t.Errorf("the old password: %v", err)
		}
	})
}

// Two databases may be on servers that know different users by one name.
func TestWhatWasLearntOfOneDatabaseIsForNoOther(t *testing.T) {
	var k keyring
	s := auth.ParseSecret("sesame")
	k.put(owner{"one", "u"}, s)
	if got, _ := k.get(owner{"one", "u"}); !got.Equal(s) {
		t.Errorf("%v", got)
	}
	for _, o := range []owner{{"two", "u"}, {"one", "v"}, {"", "u"}} {
		if got, ok := k.get(o); ok {
			t.Errorf("%+v: %v", o, got)
		}
	}
	for i := range mostKeys + 10 {
		k.put(owner{"one", fmt.Sprint(i)}, s)
	}
	if n := len(k.secrets); n != mostKeys {
		t.Errorf("%d secrets are kept", n)
	}
}

// Channel binding with clients, by the certificate that they are shown.
func TestChannelBindingWithClients(t *testing.T) {
	c := clientTLS(t)
	p := startPooler(t, "pool_mode = transaction\nauth_type = scram-sha-256\nauth_file = "+userFile(t)+"\n"+c.settings("allow")+
		fmt.Sprintf("[databases]\ndb = host=%s port=%d dbname=app user=app\n", postgres.Host(), postgres.Port()))
	for _, tt := range []struct {
		user, sslmode, binding string
		ok                     bool
	}{
		{"scram", "verify-full", "require", true},
		{"plain", "verify-full", "require", true},
		{"plain", "verify-full", "prefer", true},
		{"plain", "verify-full", "disable", true},
		{"plain", "disable", "prefer", true},
		{"plain", "disable", "require", false},
		{"unknown", "verify-full", "require", false},
	} {
		url := fmt.Sprintf("postgres://%s:%s@localhost:%s/db?sslmode=%s&channel_binding=%s", tt.user, goodPassword, p.port, tt.sslmode, tt.binding)
		if tt.sslmode != "disable" {
			url += "&sslrootcert=" + c.authority.File
		}
		conn, err := pgconn.Connect(context.Background(), url)
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
		if err == nil {
			_ = conn.Close(context.Background())
		}
	}

	begin := func() *wireClient {
		w := p.knock()
		w.send(wire.AppendSSLRequest(nil))
		if b, err := w.in.ReadByte(); err != nil || b != 'S' {
			t.Fatalf("SSLRequest: %q, %v", b, err)
		}
		w = newWireClient(t, tls.Client(w.Conn, c.config(t)))
		w.send(startupPacket("plain", "db"))
		if offer := string(w.until(wire.Authentication)[4:]); offer != "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00" {
			t.Errorf("inside TLS %q is offered", offer)
		}
		return w
	}
	for name, first := range map[string][2]string{
		"downgrade":                        {"SCRAM-SHA-256", "y,,n=,r=abcdefgh"},
		"PLUS without binding":             {"SCRAM-SHA-256-PLUS", "n,,n=,r=abcdefgh"},
		"PLUS, and says it wasn't offered": {"SCRAM-SHA-256-PLUS", "y,,n=,r=abcdefgh"},
		"binding without PLUS":             {"SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abcdefgh"},
		"another type of binding":          {"SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abcdefgh"},
	} {
		w := begin()
		message := wire.AppendString(nil, first[0])
		message = append(message, 0, 0, 0, byte(len(first[1])))
		w.send(wire.AppendPassword(nil, append(message, first[1]...)))
		if typ, _, err := w.next(); err != nil || typ != wire.ErrorResponse {
			t.Errorf("%s: %q, %v", name, typ, err)
		}
	}
	if log := p.log.String(); !strings.Contains(log, auth.ErrDowngrade.Error()) {
		t.Error("the log doesn't tell of the downgrade")
	}

	// A man in the middle shows another certificate, whom the client trusts.
	other, err := c.authority.Issue("between", "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := tls.LoadX509KeyPair(other.Cert, other.Key)
	if err != nil {
		t.Fatal(err)
	}
	port := between(t, "127.0.0.1:"+p.port, shown)
	for binding, ok := range map[string]bool{"disable": true, "prefer": false, "require": false} {
		conn, err := pgconn.Connect(context.Background(), fmt.Sprintf("postgres://plain:%s@localhost:%d/db?sslmode=verify-full&sslrootcert=%s&channel_binding=%s", goodPassword, port, c.authority.File, binding))
		if (err == nil) != ok {
			t.Errorf("with a man in the middle, channel_binding=%s: %v", binding, err)
		}
		if err == nil {
			_ = conn.Close(context.Background())
		}
	}
	p.keepsSecrets()
}
