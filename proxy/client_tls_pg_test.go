package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"

	"carpool/bench/pgserver"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// testTLS is an authority and a certificate for the proxy.
type testTLS struct {
	authority *pgserver.Authority
	pair      pgserver.Pair
}

func clientTLS(t *testing.T) testTLS {
	t.Helper()
	a, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue("pooler", "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return testTLS{a, pair}
}

// settings are those that have the proxy use the certificate.
func (c testTLS) settings(mode string) string {
	return fmt.Sprintf("client_tls_sslmode = %s\nclient_tls_cert_file = %s\nclient_tls_key_file = %s\n", mode, c.pair.Cert, c.pair.Key)
}

// config is what a Go client needs to trust the certificate.
func (c testTLS) config(t *testing.T, alpn ...string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(c.authority.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: alpn}
}

func TestClientTLSModes(t *testing.T) {
	c := clientTLS(t)
	tests := []struct {
		pooler, client string
		encrypted      bool
		sqlstate       string // of a refusal
		refused        bool
	}{
		{pooler: "disable", client: "disable"},
		{pooler: "disable", client: "allow"},
		{pooler: "disable", client: "prefer"},
		{pooler: "disable", client: "require", refused: true},
		{pooler: "disable", client: "verify-full", refused: true},
		{pooler: "allow", client: "disable"},
		{pooler: "allow", client: "allow"},
		{pooler: "allow", client: "prefer", encrypted: true},
		{pooler: "allow", client: "require", encrypted: true},
		{pooler: "allow", client: "verify-full", encrypted: true},
		{pooler: "require", client: "disable", refused: true, sqlstate: "28000"},
		{pooler: "require", client: "allow", encrypted: true},
		{pooler: "require", client: "prefer", encrypted: true},
		{pooler: "require", client: "require", encrypted: true},
		{pooler: "require", client: "verify-full", encrypted: true},
	}
	poolers := map[string]*pooler{}
	for _, mode := range []string{"disable", "allow", "require"} {
		settings := "pool_mode = transaction\n"
		if mode != "disable" {
			settings += c.settings(mode)
		}
		poolers[mode] = startPooler(t, settings)
	}
	for _, tt := range tests {
		t.Run(tt.pooler+"/"+tt.client, func(t *testing.T) {
			url := fmt.Sprintf("postgres://app@localhost:%s/app?sslmode=%s&sslrootcert=%s", poolers[tt.pooler].port, tt.client, c.authority.File)
			if tt.client == "require" { // with a root certificate it would mean verify-ca
				url = fmt.Sprintf("postgres://app@localhost:%s/app?sslmode=require", poolers[tt.pooler].port)
			}
			conn, err := pgconn.Connect(context.Background(), url)
			if tt.refused {
				if err == nil {
					t.Fatal("the client was let in")
				}
				if got := sqlState(err); got != tt.sqlstate {
					t.Errorf("SQLSTATE %q, want %q (%v)", got, tt.sqlstate, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background()) //nolint:errcheck // it is only a question
			if _, encrypted := conn.Conn().(*tls.Conn); encrypted != tt.encrypted {
				t.Errorf("encrypted: %v, want %v", encrypted, tt.encrypted)
			}
			if got := value(t, conn, "select repeat('x', 200000)"); len(got) != 200_000 {
				t.Errorf("%d bytes of 200000 came through", len(got))
			}
		})
	}
}

// Direct TLS: the client begins with the handshake and names the protocol.
func TestDirectTLS(t *testing.T) {
	c := clientTLS(t)
	p := startPooler(t, "pool_mode = transaction\n"+c.settings("require"))
	direct := func(alpn ...string) (*wireClient, error) {
		raw, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, c.config(t, alpn...))
		return newWireClient(t, conn), conn.Handshake()
	}
	w, err := direct("postgresql")
	if err != nil {
		t.Fatal(err)
	}
	w.send(startupPacket("app", "app"))
	w.until(wire.ReadyForQuery)
	if got := w.answer("select 'direct'"); got != "direct" {
		t.Errorf("got %q", got)
	}

	w, err = direct("postgresql")
	if err != nil {
		t.Fatal(err)
	}
	w.send(wire.AppendSSLRequest(nil))
	if r := w.refusal(); r.Code != "08P01" {
		t.Errorf("an SSLRequest inside TLS: %+v", r)
	}

	if w, err = direct(); err == nil {
		w.send(startupPacket("app", "app"))
		if r := w.refusal(); r.Code != "08P01" {
			t.Errorf("without a protocol name: %+v", r)
		}
	}
	if w, err = direct("http/1.1"); err == nil {
		w.send(startupPacket("app", "app"))
		if _, _, err := w.next(); err == nil {
			t.Error("a client of another protocol is answered")
		}
	}
}

// The legal order: encryption by GSSAPI is refused, then TLS is asked for.
func TestGSSRequestThenTLS(t *testing.T) {
	c := clientTLS(t)
	p := startPooler(t, "pool_mode = transaction\n"+c.settings("allow"))
	w := p.knock()
	w.send([]byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x30})
	if b, err := w.in.ReadByte(); err != nil || b != 'N' {
		t.Fatalf("GSSENCRequest: %q, %v", b, err)
	}
	w.send(wire.AppendSSLRequest(nil))
	if b, err := w.in.ReadByte(); err != nil || b != 'S' {
		t.Fatalf("SSLRequest: %q, %v", b, err)
	}
	inside := tls.Client(w.Conn, c.config(t))
	if err := inside.Handshake(); err != nil {
		t.Fatal(err)
	}
	w = newWireClient(t, inside)
	w.send(wire.AppendQuery(startupPacket("app", "app"), "select 'inside'"))
	w.until(wire.ReadyForQuery)
	if got := string(w.until(wire.DataRow)[6:]); got != "inside" {
		t.Errorf("got %q", got)
	}

	w = p.knock()
	w.send([]byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x30})
	if b, err := w.in.ReadByte(); err != nil || b != 'N' {
		t.Fatalf("GSSENCRequest: %q, %v", b, err)
	}
	w.send(startupPacket("app", "app"))
	w.until(wire.ReadyForQuery)
}

// A client certificate is asked for and checked where the mode says so.
func TestClientCertificates(t *testing.T) {
	c := clientTLS(t)
	p := startPooler(t, "pool_mode = transaction\nclient_tls_ca_file = "+c.authority.File+"\n"+c.settings("verify-full"))
	good, err := c.authority.Issue("app")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bad, err := stranger.Issue("app")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		pair *pgserver.Pair
		ok   bool
	}{"none": {nil, false}, "good": {&good, true}, "of a stranger": {&bad, false}} {
		url := fmt.Sprintf("postgres://app@localhost:%s/app?sslmode=verify-full&sslrootcert=%s", p.port, c.authority.File)
		if tt.pair != nil {
			url += "&sslcert=" + tt.pair.Cert + "&sslkey=" + tt.pair.Key
		}
		conn, err := pgconn.Connect(context.Background(), url)
		if (err == nil) != tt.ok {
			t.Errorf("certificate %s: %v", name, err)
		}
		if err == nil {
			_ = conn.Close(context.Background())
		}
	}
}
