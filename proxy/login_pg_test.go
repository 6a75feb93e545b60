package proxy

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

// Passwords that can't be in a log for another reason.
const (
	goodPassword   = "Tr0mbone-7731"
	wrongPassword  = "Wr0ng-2298"
	serverPassword = "Accord10n-9057"
)

// scramSecret is goodPassword as Postgres would store it.
func scramSecret(t *testing.T) string {
	t.Helper()
	secret, err := postgres.Value(context.Background(), "", "set password_encryption = 'scram-sha-256'; drop role if exists secretmaker; create role secretmaker password '"+goodPassword+"'; select rolpassword from pg_authid where rolname = 'secretmaker'")
	if err != nil || !strings.HasPrefix(secret, "SCRAM-SHA-256$") {
		t.Fatalf("making a SCRAM secret: %q, %v", secret, err)
	}
	return secret
}

// md5Secret is goodPassword as Postgres stored it of old.
func md5Secret(t *testing.T, user string) string {
	t.Helper()
	return "md5" + direct(t, fmt.Sprintf("select md5('%s%s')", goodPassword, user))
}

// userFile writes an auth_file with the users plain, md5, scram and none, named
// for the kind of secret they have.
func userFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users.txt")
	write(t, name, fmt.Sprintf("\"plain\" \"%s\"\n\"md5\" \"%s\"\n\"scram\" \"%s\"\n\"none\" \"\"\n",
		goodPassword, md5Secret(t, "md5"), scramSecret(t)))
	return name
}

// drivers log in with a password and run a query.
var drivers = map[string]func(p *pooler, user, password, database string) error{
	"pgx": func(p *pooler, user, password, database string) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err := pgconn.ParseConfig(p.url(user, database))
		if err != nil {
			return err
		}
		c.Password = password
		conn, err := pgconn.ConnectConfig(ctx, c)
		if err != nil {
			return err
		}
		defer conn.Close(ctx) //nolint:errcheck // it is only a question
		_, err = conn.Exec(ctx, "select 1").ReadAll()
		return err
	},
	"lib/pq": func(p *pooler, user, password, database string) error {
		u := url.URL{Scheme: "postgres", Host: "127.0.0.1:" + p.port, Path: database, User: url.UserPassword(user, password), RawQuery: "sslmode=disable"}
		db, err := stdsql.Open("postgres", u.String())
		if err != nil {
			return err
		}
		defer db.Close() //nolint:errcheck // it is only a question
		var one int
		return db.QueryRow("select 1").Scan(&one)
	},
}

// codeOf is the SQLSTATE that either driver reports, or "".
func codeOf(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return sqlState(err)
}

// keepsSecrets fails if one of the passwords is in the log.
func (p *pooler) keepsSecrets() {
	p.t.Helper()
	log := p.log.String()
	for _, secret := range []string{goodPassword, wrongPassword, serverPassword, "SCRAM-SHA-256$", md5Secret(p.t, "md5")} {
		if strings.Contains(log, secret) {
			p.t.Errorf("the log gives away %q", secret)
		}
	}
}

// Which user gets in with the right password; with another, or an empty one,
// nobody does where one is asked for.
func TestLoginMatrix(t *testing.T) {
	admitted := map[string][]string{
		"any":           {"plain", "md5", "scram", "none", "unknown"},
		"trust":         {"plain", "md5", "scram", "none"},
		"plain":         {"plain", "md5", "scram"},
		"md5":           {"plain", "md5", "scram"},
		"scram-sha-256": {"plain", "scram"},
	}
	users := userFile(t)
	for method, good := range admitted {
		p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = %s\nauth_file = %s\n[databases]\ndb = host=%s port=%d dbname=app user=app\n",
			method, users, postgres.Host(), postgres.Port()))
		open := method == "any" || method == "trust"
		for _, user := range []string{"plain", "md5", "scram", "none", "unknown"} {
			for _, password := range []string{goodPassword, wrongPassword, ""} {
				for driver, login := range drivers {
					err := login(p, user, password, "db")
					want := slices.Contains(good, user) && (open || password == goodPassword)
					if (err == nil) != want {
						t.Errorf("%s: user %s with password %q by %s: let in: %v (%v)", method, user, password, driver, err == nil, err)
					}
					refusal := "28P01"
					if method == "trust" {
						refusal = "28000"
					}
					if err != nil && password != "" && codeOf(err) != refusal {
						t.Errorf("%s: user %s with password %q by %s: SQLSTATE %q, want %s (%v)", method, user, password, driver, codeOf(err), refusal, err)
					}
				}
			}
		}
		p.keepsSecrets()
	}
}

// Unknown users see what known ones see, up to the refusal.
func TestUnknownUsersDontStandOut(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.txt")
	for _, method := range []string{"plain", "md5", "scram-sha-256"} {
		write(t, users, fmt.Sprintf("\"plain\" \"%s\"\n\"plain2\" \"%s\"\n", goodPassword, goodPassword))
		p := startPooler(t, "auth_type = "+method+"\nauth_file = "+users)
		ask := func(user string) (request []byte, r wire.Report) {
			c := p.knock()
			c.send(startupPacket(user, "app"))
			request = c.until(wire.Authentication)
			c.send(wire.AppendPassword(nil, []byte("nonsense\x00")))
			return request, c.refusal()
		}
		known, knownReport := ask("plain")
		unknown, unknownReport := ask("nobody")
		if len(known) != len(unknown) || string(known[:4]) != string(unknown[:4]) {
			t.Errorf("%s: %q for a known user, %q for an unknown one", method, known, unknown)
		}
		knownReport.Message = strings.Replace(knownReport.Message, "plain", "nobody", 1)
		if knownReport != unknownReport {
			t.Errorf("%s: %+v for a known user, %+v for an unknown one", method, knownReport, unknownReport)
		}
		// A database that isn't there shows only after the login.
		c := p.knock()
		c.send(startupPacket("nobody", "no such database"))
		c.until(wire.Authentication)
	}
}

// A server that is logged in to already must not let anybody in.
func TestWrongPasswordAfterARightOneOnAWarmPool(t *testing.T) {
	for _, method := range []string{"plain", "md5", "scram-sha-256"} {
		p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = %s\nauth_file = %s\n[databases]\ndb = host=%s port=%d dbname=app user=app\n",
			method, userFile(t), postgres.Host(), postgres.Port()))
		for range 3 {
			for driver, login := range drivers {
				if err := login(p, "plain", goodPassword, "db"); err != nil {
					t.Fatalf("%s, %s: %v", method, driver, err)
				}
				for _, password := range []string{wrongPassword, "", goodPassword + "x", goodPassword[:5]} {
					if err := login(p, "plain", password, "db"); err == nil {
						t.Errorf("%s, %s: let in with password %q", method, driver, password)
					}
				}
			}
		}
		p.keepsSecrets()
	}
}

// How the proxy logs in to servers, by every method that they may ask for.
func TestServerLoginMatrix(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{
			{Name: "r_trust"},
			{Name: "r_password", Password: serverPassword},
			{Name: "r_md5", Password: serverPassword, Encryption: pgserver.MD5},
			{Name: "r_scram-sha-256", Password: serverPassword},
			{Name: "n_trust"},
			{Name: "n_password"},
			{Name: "n_md5"},
			{Name: "n_scram-sha-256"},
		},
		HBA: []string{
			"host all r_trust,n_trust all trust", "host all r_password,n_password all password", "host all r_md5,n_md5 all md5",
			"host all r_scram-sha-256,n_scram-sha-256 all scram-sha-256", "host all postgres all trust", "host all all all reject",
		},
	})
	var databases strings.Builder
	for _, method := range []string{"trust", "password", "md5", "scram-sha-256"} {
		for name, password := range map[string]string{"right": serverPassword, "wrong": wrongPassword} {
			fmt.Fprintf(&databases, "%s_%s = host=%s port=%d dbname=postgres user=r_%s password=%s\n", method, name, server.Host(), server.Port(), method, password)
		}
		fmt.Fprintf(&databases, "%s_none = host=%s port=%d dbname=postgres user=n_%s\n", method, server.Host(), server.Port(), method)
	}
	fmt.Fprintf(&databases, "own = host=%s port=%d dbname=postgres\n", server.Host(), server.Port())
	users := filepath.Join(t.TempDir(), "users.txt")
	write(t, users, fmt.Sprintf("\"app\" \"%s\"\n\"r_password\" \"%s\"\n\"r_md5\" \"md5%s\"\n\"r_scram-sha-256\" \"%s\"\n", goodPassword, serverPassword,
		direct(t, "select md5('"+serverPassword+"r_md5')"), serverPassword))
	p := startPooler(t, "pool_mode = transaction\nauth_type = trust\nauth_file = "+users+"\n[databases]\n"+databases.String())
	for _, method := range []string{"trust", "password", "md5", "scram-sha-256"} {
		for _, password := range []string{"right", "wrong", "none"} {
			for driver, login := range drivers {
				err := login(p, "app", "", method+"_"+password)
				if want := method == "trust" || password == "right"; (err == nil) != want {
					t.Errorf("%s, %s password, %s: %v", method, password, driver, err)
				}
				if err != nil && codeOf(err) != "28P01" {
					t.Errorf("%s, %s password, %s: SQLSTATE %q: %v", method, password, driver, codeOf(err), err)
				}
				if password == "wrong" && err != nil && !strings.Contains(err.Error(), `password authentication failed for user "r_`+method) {
					t.Errorf("%s: not the server's own words: %v", method, err)
				}
			}
		}
		if method != "trust" {
			if err := drivers["pgx"](p, "r_"+method, "", "own"); err != nil {
				t.Errorf("%s, with the secret of auth_file: %v", method, err)
			}
		}
	}
	p.keepsSecrets()
}
