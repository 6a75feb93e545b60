package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"
)

// selfSigned makes a certificate whose signature is of one kind.
func selfSigned(t *testing.T, algorithm x509.SignatureAlgorithm, key crypto.Signer) tls.Certificate {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), SignatureAlgorithm: algorithm,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// inBetween is a man in the middle: he ends the client's TLS with a certificate
// of his own and speaks to the server over another TLS connection. He passes
// everything on, but what edit makes of the server's first message.
func inBetween(t *testing.T, server *pgserver.Server, edit func([]byte) []byte) HostPort {
	t.Helper()
	own := selfSigned(t, x509.ECDSAWithSHA256, ecdsaKey(t, elliptic.P256()))
	return listen(t, func(c net.Conn) {
		if hear(c) == nil {
			return
		}
		_, _ = c.Write([]byte{'S'})
		client := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{own}})
		raw, err := net.Dial("tcp", server.Address())
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		_, _ = raw.Write(wire.AppendSSLRequest(nil))
		if _, err := io.ReadFull(raw, make([]byte, 1)); err != nil {
			t.Error(err)
			return
		}
		upper := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		go func() { // ends with the connections
			_, _ = io.Copy(upper, client)
			_ = raw.Close()
		}()
		first := make([]byte, 1024)
		n, err := upper.Read(first)
		if err != nil {
			return // the client has gone without a word
		}
		_, _ = client.Write(edit(first[:n]))
		_, _ = io.Copy(client, upper)
	})
}

func unchanged(message []byte) []byte { return message }

// withoutPlus takes channel binding from what a server offers.
func withoutPlus([]byte) []byte {
	return ask(wire.AuthSASL, scramMechanism+"\x00\x00")
}

func TestChannelBinding(t *testing.T) {
	roles := []pgserver.Role{
		{Name: "scram", Password: "hunter2"},
		{Name: "md5", Password: "hunter2", Encryption: pgserver.MD5},
		{Name: "clear", Password: "hunter2"},
		{Name: "trusted"},
	}
	hba := []string{
		"host all scram all scram-sha-256", "local all scram scram-sha-256", "host all md5 all md5", "host all clear all password", "host all trusted all trust",
	}
	with := pgtest.Start(t, pgserver.Options{TLS: true, HBA: hba, Roles: roles})
	without := pgtest.Start(t, pgserver.Options{HBA: hba, Roles: roles})
	right := func() HostPort { return hostOf(with) }
	plain := func() HostPort { return hostOf(without) }
	socket := func() HostPort { return HostPort{with.Dir(), uint16(with.Port())} }
	thief := func() HostPort { return inBetween(t, with, unchanged) }
	stripper := func() HostPort { return inBetween(t, with, withoutPlus) }
	for _, tt := range []struct {
		name      string
		binding   ChannelBinding
		host      func() HostPort
		mode      TLSMode
		user      string
		complaint string // "" is success
	}{
		{"prefer", BindingPrefer, right, TLSRequire, "scram", ""},
		{"require", BindingRequire, right, TLSRequire, "scram", ""},
		{"disable", BindingDisable, right, TLSRequire, "scram", ""},
		{"require, sslmode prefer", BindingRequire, right, TLSPrefer, "scram", ""},
		{"require, sslmode allow", BindingRequire, right, TLSAllow, "scram", ""},
		{"prefer without TLS", BindingPrefer, right, TLSDisable, "scram", ""},
		{"prefer, a server without TLS", BindingPrefer, plain, TLSPrefer, "scram", ""},
		{"prefer, md5", BindingPrefer, right, TLSRequire, "md5", ""},
		{"prefer, a Unix socket", BindingPrefer, socket, TLSRequire, "scram", ""},

		{"require without TLS", BindingRequire, right, TLSDisable, "scram", "channel binding is required, and there is none without TLS"},
		{"require, a server without TLS", BindingRequire, plain, TLSPrefer, "scram", "channel binding is required, and there is none without TLS"},
		{"require, a Unix socket", BindingRequire, socket, TLSRequire, "scram", "channel binding is required, and there is none without TLS"},
		{"require, md5", BindingRequire, right, TLSRequire, "md5", "channel binding is required, and the server asks for an md5 password"},
		{"require, cleartext", BindingRequire, right, TLSRequire, "clear", "channel binding is required, and the server asks for a cleartext password"},
		{"require, trust", BindingRequire, right, TLSRequire, "trusted", "channel binding is required, and the server let us in without a proof"},

		{"a man in the middle, disable", BindingDisable, thief, TLSRequire, "scram", ""},
		{"a man in the middle", BindingPrefer, thief, TLSRequire, "scram", "channel binding check failed"},
		{"a man in the middle, require", BindingRequire, thief, TLSRequire, "scram", "channel binding check failed"},
		{"a man who hides it, disable", BindingDisable, stripper, TLSRequire, "scram", ""},
		{"a man who hides it", BindingPrefer, stripper, TLSRequire, "scram", "SCRAM channel binding negotiation error"},
		{"a man who hides it, require", BindingRequire, stripper, TLSRequire, "scram", "channel binding is required, and the server doesn't offer it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := logInAs(t, &Target{Hosts: []HostPort{tt.host()}, User: tt.user, Password: "hunter2", TLS: TLS{Mode: tt.mode, ChannelBinding: tt.binding}})
			switch {
			case tt.complaint == "" && err == nil:
				checkUsable(t, c)
			case tt.complaint == "" || err == nil || !strings.Contains(reason(err), tt.complaint):
				t.Errorf("error %v, want %q", err, tt.complaint)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// reason is an error with the detail that a server gave.
func reason(err error) string {
	text := err.Error()
	if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
		text += " " + refusal.Report.Detail
	}
	return text
}

// The hash of the certificate depends on its signature; what Postgres takes it
// to be is what counts.
func TestChannelBindingByKindOfCertificate(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		TLS: true, HBA: []string{"host all app all scram-sha-256"}, Roles: []pgserver.Role{{Name: "app", Password: "hunter2"}},
	})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		algorithm x509.SignatureAlgorithm
		key       crypto.Signer
		complaint string // with channel binding required
	}{
		{x509.SHA256WithRSA, rsaKey, ""},
		{x509.SHA384WithRSA, rsaKey, ""},
		{x509.SHA512WithRSA, rsaKey, ""},
		{x509.SHA256WithRSAPSS, rsaKey, ""},
		{x509.SHA512WithRSAPSS, rsaKey, ""},
		{x509.ECDSAWithSHA256, ecdsaKey(t, elliptic.P256()), ""},
		{x509.ECDSAWithSHA384, ecdsaKey(t, elliptic.P384()), ""},
		{x509.ECDSAWithSHA512, ecdsaKey(t, elliptic.P521()), ""},
		{x509.PureEd25519, edwards, "channel binding is required, and it isn't defined for the kind of signature"},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			certificate := selfSigned(t, tt.algorithm, tt.key)
			show(t, server, certificate)
			for _, b := range []ChannelBinding{BindingRequire, BindingPrefer, BindingDisable} {
				c, err := logInAs(t, &Target{Hosts: []HostPort{hostOf(server)}, User: "app", Password: "hunter2", TLS: TLS{Mode: TLSRequire, ChannelBinding: b}})
				switch {
				case b == BindingRequire && tt.complaint != "":
					if err == nil || !strings.Contains(err.Error(), tt.complaint) {
						t.Errorf("%s: error %v, want %q", b, err, tt.complaint)
					}
				case err != nil:
					t.Errorf("%s: %v", b, reason(err))
				default:
					checkUsable(t, c)
				}
			}
		})
	}
}

// show makes a server show another certificate, and returns when it does.
func show(t *testing.T, server *pgserver.Server, certificate tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}, "server.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(server.Dir(), name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Exec(t.Context(), "", "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(20 * time.Second)
	for !shows(t, server, certificate.Certificate[0]) {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatal("the server doesn't take the new certificate")
		}
	}
}

func shows(t *testing.T, server *pgserver.Server, der []byte) bool {
	t.Helper()
	at := address{host: hostOf(server)}
	addresses, err := resolve(t.Context(), at.host)
	if err != nil {
		t.Fatal(err)
	}
	l, err := connect(t.Context(), addresses[0], &Socket{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.encrypt(t.Context(), (&TLS{}).config(at.host)); err != nil {
		return false // between two pairs of files
	}
	return string(l.tls.ConnectionState().PeerCertificates[0].Raw) == string(der)
}

// Where it isn't offered, a client says whether it would have done it: a server
// that did offer it learns that somebody has kept it back.
func TestWhatIsSaidAboutChannelBinding(t *testing.T) {
	endpoint := []byte("hash")
	for _, tt := range []struct {
		name      string
		binding   ChannelBinding
		encrypted bool
		endpoint  []byte
		offered   string
		want      string // mechanism and gs2-header
		complaint string
	}{
		{"bound", BindingPrefer, true, endpoint, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256-PLUS p=tls-server-end-point,,", ""},
		{"bound, the other order", BindingPrefer, true, endpoint, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS p=tls-server-end-point,,", ""},
		{"only bound", BindingPrefer, true, endpoint, "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS p=tls-server-end-point,,", ""},
		{"missed", BindingPrefer, true, endpoint, "SCRAM-SHA-256", "SCRAM-SHA-256 y,,", ""},
		{"disabled", BindingDisable, true, endpoint, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256 n,,", ""},
		{"without TLS", BindingPrefer, false, nil, "SCRAM-SHA-256", "SCRAM-SHA-256 n,,", ""},
		{"no hash", BindingPrefer, true, nil, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256 n,,", ""},
		{"offered without TLS", BindingPrefer, false, nil, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "", "outside TLS"},
		{"offered without TLS, disabled", BindingDisable, false, nil, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "", "outside TLS"},
		{"disabled and nothing else offered", BindingDisable, true, endpoint, "SCRAM-SHA-256-PLUS", "", "none of which is supported"},
		{"required and missed", BindingRequire, true, endpoint, "SCRAM-SHA-256", "", "the server doesn't offer it"},
		{"required, no hash", BindingRequire, true, nil, "SCRAM-SHA-256-PLUS", "", "isn't defined for the kind of signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := session{target: &Target{TLS: TLS{ChannelBinding: tt.binding}}, encrypted: tt.encrypted, endpoint: tt.endpoint}
			b, err := s.bind(strings.Fields(tt.offered))
			switch {
			case tt.complaint != "":
				if err == nil || !strings.Contains(err.Error(), tt.complaint) {
					t.Errorf("error %v, want %q", err, tt.complaint)
				}
			case err != nil || b.mechanism+" "+b.gs2 != tt.want:
				t.Errorf("got %q %q %v, want %q", b.mechanism, b.gs2, err, tt.want)
			}
		})
	}
}
