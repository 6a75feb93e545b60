package proxy

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// systemUser is who runs the test.
func systemUser(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// writeFiles writes files of a configuration into a directory of their own, and
// returns it.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func TestRulesOfAuthHBAFile(t *testing.T) {
	c := clientTLS(t)
	for _, name := range []string{"ann", "boss", "other"} {
		if _, err := c.authority.Issue(name); err != nil {
			t.Fatal(err)
		}
	}
	me := systemUser(t)
	dir := writeFiles(t, map[string]string{
		"hba": `
local   mapped      all                      peer map=system
local   all         all                      peer
hostssl cert        all     127.0.0.0/8      cert
hostssl mapped      all     all              cert map=people
hostnossl cert,mapped all   all              reject
host    trusted     all     127.0.0.1/32     trust
host    secret      scram   127.0.0.1/32     scram-sha-256
host    secret      md5     127.0.0.1 255.255.255.255 md5
host    secret      @plain  all              password
host    pgbouncer   plain   all              password
host    elsewhere   all     10.0.0.0/8       trust
`,
		"ident": "people boss ann\npeople boss plain\nsystem " + me + " scram\n",
		"plain": "plain\nunknown",
		"users": fmt.Sprintf("\"plain\" \"%[1]s\"\n\"md5\" \"%[2]s\"\n\"scram\" \"%[3]s\"\n\"ann\" \"\"\n%[4]q \"\"\n", goodPassword, md5Secret(t, "md5"), scramSecret(t), me),
	})
	settings := fmt.Sprintf("pool_mode = transaction\nunix_socket_dir = %[1]s\nauth_type = hba\nauth_hba_file = %[1]s/hba\nauth_ident_file = %[1]s/ident\nauth_file = %[1]s/users\nclient_tls_ca_file = %[2]s\n%[3]s[databases]\n* = host=%[4]s port=%[5]d dbname=app user=app\n",
		dir, c.authority.File, c.settings("allow"), postgres.Host(), postgres.Port())
	p := startPooler(t, settings)
	logIn := func(how, user, password, database string) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if how == "unix" {
			return p.logInByUnixSocket(filepath.Join(dir, ".s.PGSQL.0"), user, database)
		}
		more := "verify-full sslrootcert=" + c.authority.File
		if how == "plain" {
			more = "disable"
		}
		if name, ok := strings.CutPrefix(how, "tls "); ok {
			at := strings.TrimSuffix(c.authority.File, "ca.crt") + name
			more += " sslcert=" + at + ".crt sslkey=" + at + ".key"
		}
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=localhost port=%s user=%s password='%s' dbname=%s sslmode=%s", p.port, user, password, database, more))
		if err != nil {
			return err
		}
		defer conn.Close(ctx) //nolint:errcheck // it is only a question
		_, err = conn.Exec(ctx, "select 1").ReadAll()
		return err
	}
	const admitted = ""
	tests := []struct {
		how, user, password, database string
		want                          string // "" or what the refusal says
	}{
		{"unix", me, "", "db", admitted},
		{"unix", "ann", "", "db", "unix socket login rejected"},
		{"unix", "unknown", "", "db", "unix socket login rejected"},
		{"unix", "scram", "", "mapped", admitted},
		{"unix", me, "", "mapped", "unix socket login rejected"},

		{"tls ann", "ann", "", "cert", admitted},
		{"tls ann", "plain", goodPassword, "cert", "certificate authentication failed"},
		{"tls other", "ann", "", "cert", "certificate authentication failed"},
		{"tls other", "other", "", "cert", "certificate authentication failed"},
		{"tls", "ann", "", "cert", "certificate authentication failed"},
		{"plain", "ann", "", "cert", "login rejected"},
		{"tls boss", "ann", "", "mapped", admitted},
		{"tls boss", "plain", "", "mapped", admitted},
		{"tls boss", "scram", "", "mapped", "certificate authentication failed"},
		{"tls boss", "boss", "", "mapped", "certificate authentication failed"},
		{"tls ann", "ann", "", "mapped", "certificate authentication failed"},

		{"plain", "ann", "", "trusted", admitted},
		{"plain", "unknown", "", "trusted", "no such user"},
		{"plain", "scram", goodPassword, "secret", admitted},
		{"tls", "scram", goodPassword, "secret", admitted},
		{"plain", "scram", wrongPassword, "secret", "password authentication failed"},
		{"plain", "md5", goodPassword, "secret", admitted},
		{"plain", "md5", wrongPassword, "secret", "password authentication failed"},
		{"plain", "plain", goodPassword, "secret", admitted},
		{"plain", "plain", wrongPassword, "secret", "password authentication failed"},
		{"plain", "unknown", goodPassword, "secret", "password authentication failed"},
		{"plain", "ann", goodPassword, "secret", "login rejected"},
		{"plain", "plain", goodPassword, "elsewhere", "login rejected"},
		{"plain", "plain", goodPassword, "pgbouncer", "not allowed"},
		{"plain", "scram", goodPassword, "pgbouncer", "login rejected"},
	}
	for _, tt := range tests {
		err := logIn(tt.how, tt.user, tt.password, tt.database)
		if (err == nil) != (tt.want == admitted) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s, %s: %v, want %q", tt.how, tt.user, tt.database, err, tt.want)
			continue
		}
		code := "28000"
		if strings.HasPrefix(tt.want, "password") {
			code = "28P01"
		}
		if err != nil && codeOf(err) != code {
			t.Errorf("%s, %s, %s: SQLSTATE %s, want %s", tt.how, tt.user, tt.database, codeOf(err), code)
		}
	}

	// The rules are read anew, all or none.
	write(t, filepath.Join(dir, "hba"), "host all all all trust\nhost all all nonsense trust\n")
	next, err := loadConfig(p.dir, settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reload(next); err == nil || !strings.Contains(err.Error(), "hba:2: ") {
		t.Errorf("rules that can't be read: %v", err)
	}
	if err := logIn("plain", "ann", "", "secret"); codeOf(err) != "28000" {
		t.Errorf("after a reload that failed: %v", err)
	}
	write(t, filepath.Join(dir, "hba"), "host secret ann all trust\n")
	if done := p.reload(settings); len(done.Files) != 1 || done.Files[0] != filepath.Join(dir, "hba") {
		t.Errorf("changed files: %q", done.Files)
	}
	if err := logIn("plain", "ann", "", "secret"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := logIn("unix", me, "", "db"); codeOf(err) != "28000" {
		t.Errorf("after a reload: %v", err)
	}
	p.keepsSecrets()
}

// logInByUnixSocket logs in without a password, and runs a query.
func (p *pooler) logInByUnixSocket(path, user, database string) error {
	raw, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	conn := newWireClient(p.t, raw)
	conn.send(startupPacket(user, database))
	for {
		typ, body, err := conn.next()
		switch {
		case err != nil:
			return err
		case typ == wire.ErrorResponse:
			r := wire.ParseReport(body)
			return &pgconn.PgError{Severity: r.Severity, Code: r.Code, Message: r.Message}
		case typ == wire.ReadyForQuery:
			if got := conn.answer("select 'in'"); got != "in" {
				return fmt.Errorf("the answer is %q", got)
			}
			return nil
		}
	}
}

// Without rules, a certificate's name is the user's.
func TestAuthTypeCert(t *testing.T) {
	c := clientTLS(t)
	strangers := clientTLS(t)
	users := filepath.Join(t.TempDir(), "users.txt")
	write(t, users, "\"app\" \"\"\n\"other\" \"\"\n")
	base := "pool_mode = transaction\nauth_type = cert\nauth_file = " + users + "\nclient_tls_ca_file = " + c.authority.File + "\n"
	for _, mode := range []string{"allow", "require", "verify-full"} {
		p := startPooler(t, base+c.settings(mode))
		for _, tt := range []struct {
			certificate, user string
			of                testTLS
			ok                bool
		}{
			{"app", "app", c, true},
			{"app", "other", c, false},
			{"unknown", "unknown", c, false},
			{"app", "app", strangers, false},
			{"", "app", c, false},
		} {
			url := fmt.Sprintf("postgres://%s@localhost:%s/app?sslmode=verify-full&sslrootcert=%s", tt.user, p.port, c.authority.File)
			if tt.certificate != "" {
				pair, err := tt.of.authority.Issue(tt.certificate)
				if err != nil {
					t.Fatal(err)
				}
				url += "&sslcert=" + pair.Cert + "&sslkey=" + pair.Key
			}
			conn, err := pgconn.Connect(context.Background(), url)
			if (err == nil) != tt.ok {
				t.Errorf("%s: %+v: %v", mode, tt, err)
			}
			if err == nil {
				if got := value(t, conn, "select current_user"); got != tt.user {
					t.Errorf("logged in as %q", got)
				}
				_ = conn.Close(context.Background())
			}
		}
		if err := p.logIn("app", "", "app"); err == nil {
			t.Errorf("%s: let in outside TLS", mode)
		}
	}
}

// Servers that ask for a certificate are shown one.
func TestCertificatesForServers(t *testing.T) {
	r := pgtest.Start(t, pgserver.Options{
		TLS:   true,
		Roles: []pgserver.Role{{Name: "app"}, {Name: "other"}},
		HBA:   []string{"hostssl all all all cert", "host all all all reject"},
	})
	pair, err := r.Authority().Issue("app")
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users.txt")
	write(t, users, "\"app\" \"\"\n\"other\" \"\"\n")
	databases := fmt.Sprintf("[databases]\nown = host=localhost port=%[1]d dbname=postgres sslmode=verify-full sslrootcert=%[2]s sslcert=%[3]s sslkey=%[4]s\nnone = host=localhost port=%[1]d dbname=postgres sslmode=verify-full sslrootcert=%[2]s\n",
		r.Port(), r.Authority().File, pair.Cert, pair.Key)
	p := startPooler(t, "pool_mode = transaction\nserver_login_retry = 0.1\nauth_type = trust\nauth_file = "+users+"\n"+databases)
	if err := p.logIn("app", "", "own"); err != nil {
		t.Errorf("%v", err)
	}
	if err := p.logIn("other", "", "own"); codeOf(err) != "28000" {
		t.Errorf("as somebody else: %v", err)
	}
	if err := p.logIn("app", "", "none"); err == nil {
		t.Error("let in without a certificate")
	}
	all := startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = trust\nauth_file = %s\nserver_tls_sslmode = verify-full\nserver_tls_ca_file = %s\nserver_tls_cert_file = %s\nserver_tls_key_file = %s\n[databases]\nown = host=localhost port=%d dbname=postgres\n",
		users, r.Authority().File, pair.Cert, pair.Key, r.Port()))
	if err := all.logIn("app", "", "own"); err != nil {
		t.Errorf("by the settings for all databases: %v", err)
	}
}
