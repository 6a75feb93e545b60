package proxy

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// identity is one user in the matrix: how the server asks for its password, how
// it keeps it, and whether that is expired there.
type identity struct {
	server  string // trust, password, md5 or scram-sha-256
	stored  string // md5 or scram
	expired bool
}

func (i identity) name() string {
	return fmt.Sprintf("%s %s %t", i.server, i.stored, i.expired)
}

// identities are all of them.
func identities() (list []identity) {
	for _, server := range []string{"trust", "password", "md5", "scram-sha-256"} {
		for _, stored := range []string{"md5", "scram"} {
			list = append(list, identity{server, stored, false}, identity{server, stored, true})
		}
	}
	return list
}

// lookup is where the pooler has users' secrets from.
type lookup struct {
	name    string
	asks    bool // by auth_query
	nobody  bool // there are no users
	plainly bool // the secrets are plain passwords; else as the server stores them
}

// kind is the kind of a user's secret as the pooler has it.
func (l lookup) kind(i identity) string {
	switch {
	case l.nobody:
		return "unknown"
	case l.asks && i.expired:
		return "none"
	case l.plainly:
		return "plain"
	}
	return i.stored
}

// admits says whether the pooler lets a client in.
func (l lookup) admits(client string, i identity, password string) bool {
	kind := l.kind(i)
	switch {
	case kind == "unknown":
		return false
	case client == "trust":
		return true
	case kind == "none" || password != goodPassword:
		return false
	}
	return client != "scram-sha-256" || kind != "md5"
}

// serves says whether the pooler gets a server for a client that it has let in.
func (l lookup) serves(client string, i identity) bool {
	kind := l.kind(i)
	bySCRAM := i.server == "scram-sha-256" || i.server == "md5" && i.stored == "scram"
	switch {
	case i.server == "trust":
		return true
	case i.expired:
		return false
	case i.server == "scram-sha-256" && i.stored == "md5":
		return false // nobody can
	case kind == "plain":
		return true
	case bySCRAM:
		return kind == "scram" && client != "trust" // the client's proof is passed on
	}
	return i.server == "md5" && kind == "md5"
}

// Everything that says who a client is, times everything by which a server asks
// who we are.
func TestIdentityMatrix(t *testing.T) {
	r := &registrar{t: t}
	var hba []string
	for _, i := range identities() {
		hba = append(hba, fmt.Sprintf("host all %q all %s", i.name(), i.server))
	}
	r.Server = pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "asker", Password: serverPassword, Superuser: true}},
		HBA:   append(hba, "host all asker all scram-sha-256", "host all all all reject"),
	})
	plain, stored := "", ""
	for _, i := range identities() {
		secret, until := cheapSecret(t, goodPassword), ""
		if i.stored == "md5" {
			secret = md5Secret(t, i.name())
		}
		if i.expired {
			until = " valid until 'yesterday'"
		}
		r.sql("", fmt.Sprintf("create role %q login password '%s'%s", i.name(), secret, until))
		plain += fmt.Sprintf("%q \"%s\"\n", i.name(), goodPassword)
		stored += fmt.Sprintf("%q \"%s\"\n", i.name(), secret)
	}
	dir := writeFiles(t, map[string]string{"plain": plain, "stored": stored, "asker": fmt.Sprintf("\"asker\" \"%s\"\n", serverPassword)})
	for _, l := range []lookup{
		{name: "plain", plainly: true},
		{name: "stored"},
		{name: "asker", asks: true},
		{name: "asker", nobody: true},
	} {
		for _, client := range []string{"trust", "plain", "md5", "scram-sha-256"} {
			settings := "pool_mode = transaction\nscram_iterations = 1\nauth_type = " + client + "\nauth_file = " + filepath.Join(dir, l.name) + "\n"
			if l.asks {
				settings += "auth_user = asker\n"
			}
			p := startPooler(t, settings+fmt.Sprintf("[databases]\n* = host=%s port=%d\n", r.Host(), r.Port()))
			for _, i := range identities() {
				for _, password := range []string{goodPassword, wrongPassword, ""} {
					l.try(t, p, client, i, password)
				}
			}
			for _, password := range []string{goodPassword, serverPassword, ""} {
				if err := p.logIn("unknown", password, "postgres"); err == nil {
					t.Errorf("%+v, %s: an unknown user gets in by %q", l, client, password)
				}
			}
			p.keepsSecrets()
			p.Shutdown(Immediate) // the next one needs the server's connections
		}
	}
}

// cheapSecret is a password as Postgres stores it, of one iteration: what thousands
// of them cost isn't what the matrix is about.
func cheapSecret(t *testing.T, password string) string {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, password, []byte("salt"), 1, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	base64 := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$1:" + base64([]byte("salt")) + "$" + base64(stored[:]) + ":" + base64(mac("Server Key"))
}

// try makes one login of the matrix.
func (l lookup) try(t *testing.T, p *pooler, client string, i identity, password string) {
	t.Helper()
	err := p.logIn(i.name(), password, "postgres")
	what := fmt.Sprintf("%+v, client %s, user %+v, password %q", l, client, i, password)
	admits := l.admits(client, i, password)
	if want := admits && l.serves(client, i); (err == nil) != want {
		t.Errorf("%s: let in: %t (%v)", what, err == nil, err)
		return
	}
	code := "28P01"
	if client == "trust" && !admits {
		code = "28000"
	}
	if err == nil || codeOf(err) == code || password == "" && codeOf(err) == "" {
		return // a client that has no password gives up by itself
	}
	t.Errorf("%s: SQLSTATE %q (%v), want %s", what, codeOf(err), err, code)
	if strings.Contains(err.Error(), goodPassword) {
		t.Errorf("%s: the error gives the password away", what)
	}
}
