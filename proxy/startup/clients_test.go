package startup_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"carpool/proxy/auth"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

// door is a listener behind which machines let real drivers in.
type door struct {
	options  startup.Options
	method   auth.Method
	verifier *auth.Verifier
	users    *auth.Users
	tls      *tls.Config
	port     int

	mu         sync.Mutex
	identities []startup.Identity // guarded by mu
}

// open serves until the test is over.
func (d *door) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.port = l.Addr().(*net.TCPAddr).Port
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				if err := d.serve(c); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
}

// serve takes one client in, answers nothing it asks, and waits for its end.
func (d *door) serve(c net.Conn) error {
	m := startup.New(&d.options, startup.TCP)
	var pending []byte
	chunk := make([]byte, 512)
	for {
		n, ev := m.Feed(pending)
		pending = pending[n:]
		for {
			if _, err := c.Write(m.Out()); err != nil {
				return nil // the client has gone
			}
			switch ev.Kind {
			case startup.StartTLS, startup.DirectTLS:
				secure := tls.Server(&unread{c, pending}, d.tls)
				if err := secure.Handshake(); err != nil {
					return fmt.Errorf("handshake: %w", err)
				}
				c, pending = secure, nil
				ev = m.Secured(secure.ConnectionState().NegotiatedProtocol)
				continue
			case startup.Identify:
				ev = d.identified(m, ev.Identity)
				continue
			case startup.Work:
				ev.Work()
				ev = m.Resume()
				continue
			case startup.Authenticated:
				secret := []byte{1, 2, 3, 4}
				if _, err := c.Write(startup.AppendWelcome(nil, 4711, secret, wire.AppendParameterStatus(nil, "server_version", "18.0"))); err != nil {
					return nil
				}
				_, _ = c.Read(chunk)
				return nil
			case startup.Reject, startup.Drop, startup.CancelQuery:
				return nil
			case startup.More:
			}
			break
		}
		if n > 0 && len(pending) > 0 {
			continue
		}
		n, err := c.Read(chunk)
		if err != nil {
			return nil
		}
		pending = append(pending, chunk[:n]...)
	}
}

func (d *door) identified(m *startup.Machine, id startup.Identity) startup.Event {
	d.mu.Lock()
	d.identities = append(d.identities, id)
	d.mu.Unlock()
	secret, known := d.users.Lookup(id.User)
	mech, err := d.verifier.Mechanism(d.method, id.User, secret, known)
	if err != nil {
		return m.Refuse(wire.Report{Code: "28000", Message: err.Error()})
	}
	return m.Authenticate(mech)
}

// unread is a connection of which some bytes have been read already.
type unread struct {
	net.Conn
	bytes []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.bytes) > 0 {
		n := copy(p, u.bytes)
		u.bytes = u.bytes[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}

// The same password, known in each of the three ways. It is ASCII: what SASLprep
// does to the others isn't the same in all drivers.
const userlist = `
"plain" "open sesame"
"md5" "md5ca8c5a3a697c1bfcf0b24830dc9b39ad"
"scram" "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$7mQxjryaMMQcx4saikyc0mg62fueMHacZ2AAUa1wN38=:qAz5erFsOkKMjQk8B6tZkSXrVJ7Xk1OCC815gqVb22c="
"empty" ""
`

func loadUsers(t *testing.T) *auth.Users {
	t.Helper()
	u, err := auth.LoadUsers(strings.NewReader(userlist), "userlist")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// clients log in with real drivers and return the SQLSTATE and text they got.
var clients = map[string]func(ctx context.Context, port int, user, password, more string) (code, message string, err error){
	"pgx": func(ctx context.Context, port int, user, password, more string) (string, string, error) {
		dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' database=books %s", port, user, password, more)
		c, err := pgconn.Connect(ctx, dsn)
		if err == nil {
			return "", "", c.Close(ctx)
		}
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return e.Code, e.Message, nil
		}
		return "", "", err
	},
	"pq": func(ctx context.Context, port int, user, password, more string) (string, string, error) {
		dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=books %s", port, user, password, more)
		connector, err := pq.NewConnector(dsn)
		if err != nil {
			return "", "", err
		}
		c, err := connector.Connect(ctx)
		if err == nil {
			return "", "", c.Close()
		}
		if e, ok := errors.AsType[*pq.Error](err); ok {
			return string(e.Code), e.Message, nil
		}
		return "", "", err
	},
}

// Every method against every kind of secret, for every kind of password: it is
// the right one and usable that gets in, and nothing else.
func TestCVE_2025_46801_NoCombinationLetsAWrongPasswordIn(t *testing.T) {
	users := loadUsers(t)
	verifier := auth.NewVerifier(nil)
	verifier.Configure(0, users, false)
	for _, method := range []auth.Method{auth.Plain, auth.MD5, auth.SCRAM} {
		d := &door{method: method, verifier: verifier, users: users}
		d.open(t)
		for name, login := range clients {
			for _, user := range []string{"plain", "md5", "scram", "empty", "nobody"} {
				for _, password := range []string{"open sesame", "Open sesame", ""} {
					t.Run(fmt.Sprintf("%s %s %s %q", method, name, user, password), func(t *testing.T) {
						code, message, err := login(t.Context(), d.port, user, password, "sslmode=disable")
						if err != nil {
							t.Fatal(err)
						}
						right := password == "open sesame" && user != "empty" && user != "nobody" &&
							(user != "md5" || method != auth.SCRAM)
						if right != (code == "") {
							t.Errorf("got in: %t; SQLSTATE %q, %s", code == "", code, message)
						}
						want := fmt.Sprintf("password authentication failed for user \"%s\"", user)
						if !right && (code != "28P01" || message != want) {
							t.Errorf("%q %q, want 28P01 %q", code, message, want)
						}
					})
				}
			}
		}
	}
}

// Once somebody is in, the next one still has to know the password.
func TestWrongPasswordAfterARightOne(t *testing.T) {
	users := loadUsers(t)
	d := &door{method: auth.SCRAM, verifier: auth.NewVerifier(nil), users: users}
	d.open(t)
	for _, password := range []string{"open sesame", "wrong", "open sesame", "wrong"} {
		code, _, err := clients["pgx"](t.Context(), d.port, "plain", password, "sslmode=disable")
		if err != nil || (code == "") != (password == "open sesame") {
			t.Errorf("%s: SQLSTATE %q, %v", password, code, err)
		}
	}
}

func TestDriversFindTheirWayIn(t *testing.T) {
	certificate := selfSigned(t)
	tests := []struct {
		options startup.Options
		more    string
		secure  bool
		minor   uint32
	}{
		{startup.Options{}, "sslmode=disable", false, 0},
		{startup.Options{}, "sslmode=disable application_name=x options='-c geqo=off'", false, 0},
		{startup.Options{TLS: startup.TLSAllow}, "sslmode=disable", false, 0},
		{startup.Options{TLS: startup.TLSAllow}, "sslmode=require", true, 0},
		{startup.Options{TLS: startup.TLSRequire}, "sslmode=require", true, 0},
		{startup.Options{TLS: startup.TLSRequire, DirectTLS: true}, "sslmode=require sslnegotiation=direct", true, 0},
		{startup.Options{}, "sslmode=disable max_protocol_version=3.2", false, 2},
		{startup.Options{TLS: startup.TLSAllow}, "sslmode=require max_protocol_version=latest", true, 2},
	}
	for _, tt := range tests {
		for name, login := range clients {
			t.Run(fmt.Sprintf("%s %s %d", name, tt.more, tt.options.TLS), func(t *testing.T) {
				d := &door{
					options: tt.options, method: auth.SCRAM, verifier: auth.NewVerifier(nil), users: loadUsers(t),
					tls: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"postgresql"}},
				}
				d.open(t)
				code, message, err := login(t.Context(), d.port, "scram", "open sesame", tt.more)
				if name == "pq" && strings.Contains(tt.more, "direct") {
					// This driver names no protocol, and Postgres refuses it too.
					if code != "08P01" {
						t.Errorf("%s %s %v", code, message, err)
					}
					return
				}
				if err != nil || code != "" {
					t.Fatalf("%s %s %v", code, message, err)
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				id := d.identities[len(d.identities)-1]
				if id.Secure != tt.secure || id.ProtocolMinor != tt.minor || id.Database != "books" {
					t.Errorf("%+v", id)
				}
			})
		}
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
