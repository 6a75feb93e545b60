package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// certPool reads a file with certificates.
func certPool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}

// Every mode, towards a server with TLS and one without, with the right
// authority, a wrong one and none, by a name that the certificate has and one
// that it hasn't.
func TestTLSModes(t *testing.T) {
	hba := []string{"hostssl all tls_only all trust", "host all tls_only all reject", "hostnossl all plain_only all trust", "host all plain_only all reject"}
	roles := []pgserver.Role{{Name: "anyone"}, {Name: "tls_only"}, {Name: "plain_only"}}
	with := pgtest.Start(t, pgserver.Options{TLS: true, HBA: hba, Roles: roles})
	without := pgtest.Start(t, pgserver.Options{Roles: roles})
	stranger, err := pgserver.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := certPool(t, with.Authority().File), certPool(t, stranger.File)

	type outcome uint8
	const (
		fails outcome = iota
		plain
		encrypted
	)
	tests := []struct {
		name    string
		mode    TLSMode
		server  *pgserver.Server
		user    string
		ca      *x509.CertPool
		tlsName string
		want    outcome
	}{
		{"", TLSDisable, with, "anyone", nil, "", plain},
		{"to tls_only", TLSDisable, with, "tls_only", nil, "", fails},
		{"without TLS", TLSDisable, without, "anyone", nil, "", plain},

		{"", TLSAllow, with, "anyone", nil, "", plain},
		{"to tls_only", TLSAllow, with, "tls_only", nil, "", encrypted},
		{"to tls_only, wrong CA", TLSAllow, with, "tls_only", wrong, "", fails},
		{"without TLS", TLSAllow, without, "anyone", nil, "", plain},

		{"", TLSPrefer, with, "anyone", nil, "", encrypted},
		{"to plain_only", TLSPrefer, with, "plain_only", nil, "", plain},
		{"to tls_only", TLSPrefer, with, "tls_only", nil, "", encrypted},
		{"wrong CA", TLSPrefer, with, "anyone", wrong, "", plain},
		{"wrong CA, to tls_only", TLSPrefer, with, "tls_only", wrong, "", fails},
		{"without TLS", TLSPrefer, without, "anyone", nil, "", plain},

		{"", TLSRequire, with, "anyone", nil, "", encrypted},
		{"to plain_only", TLSRequire, with, "plain_only", nil, "", fails},
		{"right CA, wrong name", TLSRequire, with, "anyone", right, "elsewhere", encrypted},
		{"wrong CA", TLSRequire, with, "anyone", wrong, "", fails},
		{"without TLS", TLSRequire, without, "anyone", nil, "", fails},

		{"right CA", TLSVerifyCA, with, "anyone", right, "", encrypted},
		{"right CA, wrong name", TLSVerifyCA, with, "anyone", right, "elsewhere", encrypted},
		{"wrong CA", TLSVerifyCA, with, "anyone", wrong, "", fails},
		{"system's CA", TLSVerifyCA, with, "anyone", nil, "", fails},
		{"without TLS", TLSVerifyCA, without, "anyone", right, "", fails},

		{"right CA", TLSVerifyFull, with, "anyone", right, "", encrypted},
		{"right CA, another right name", TLSVerifyFull, with, "anyone", right, "localhost", encrypted},
		{"right CA, wrong name", TLSVerifyFull, with, "anyone", right, "elsewhere", fails},
		{"wrong CA", TLSVerifyFull, with, "anyone", wrong, "", fails},
		{"system's CA", TLSVerifyFull, with, "anyone", nil, "", fails},
		{"without TLS", TLSVerifyFull, without, "anyone", right, "", fails},
	}
	for _, tt := range tests {
		t.Run(tt.mode.String()+" "+tt.name, func(t *testing.T) {
			c, err := logInAs(t, &Target{
				Hosts: []HostPort{hostOf(tt.server)}, User: tt.user,
				TLS: TLS{Mode: tt.mode, CA: tt.ca, ServerName: tt.tlsName},
			})
			if tt.want == fails {
				if err == nil {
					t.Errorf("logged in, encrypted: %v", c.TLS != nil)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (c.TLS != nil) != (tt.want == encrypted) {
				t.Errorf("encrypted: %v", c.TLS != nil)
			}
			checkUsable(t, c)
		})
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			c, err := logInAs(t, &Target{Hosts: []HostPort{hostOf(with)}, User: "anyone", TLS: TLS{Mode: TLSRequire, MinVersion: version, MaxVersion: version}})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.TLS.Conn.ConnectionState().Version; got != version {
				t.Errorf("version %x is spoken", got)
			}
			checkUsable(t, c)
		})
	}
	t.Run("no TLS on Unix sockets", func(t *testing.T) {
		c, err := logInAs(t, &Target{Hosts: []HostPort{{with.Dir(), uint16(with.Port())}}, User: "anyone", TLS: TLS{Mode: TLSVerifyFull}})
		if err != nil {
			t.Fatal(err)
		}
		checkUsable(t, c)
	})
	t.Run("cancel", func(t *testing.T) {
		for _, mode := range []TLSMode{TLSDisable, TLSRequire} {
			cancelsAQuery(t, &Target{Hosts: []HostPort{hostOf(with)}, User: "anyone", TLS: TLS{Mode: mode}})
		}
	})
	t.Run("socket options", func(t *testing.T) {
		c, err := logInAs(t, &Target{Hosts: []HostPort{hostOf(without)}, User: "anyone", Socket: Socket{
			KeepAlive: true, KeepAliveIdle: 11 * time.Second, KeepAliveInterval: 7 * time.Second, KeepAliveCount: 5, UserTimeout: 9 * time.Second, Buffer: 50_000,
		}})
		if err != nil {
			t.Fatal(err)
		}
		checkSocketOptions(t, c.FD)
		checkUsable(t, c)
	})
}

// checkSocketOptions checks the options of the test above, where the system has them.
func checkSocketOptions(t *testing.T, fd int) {
	t.Helper()
	for _, o := range []struct {
		name                string
		level, option, want int
	}{
		{"keepalive idle", unix.IPPROTO_TCP, optKeepIdle, 11},
		{"keepalive interval", unix.IPPROTO_TCP, optKeepInterval, 7},
		{"keepalive count", unix.IPPROTO_TCP, optKeepCount, 5},
		{"user timeout", unix.IPPROTO_TCP, optUserTimeout, 9000},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.option); o.option != 0 && (err != nil || got != o.want) {
			t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.want)
		}
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on == 0 {
		t.Errorf("SO_KEEPALIVE is off (%v)", err)
	}
	if size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil || size < 50_000 {
		t.Errorf("SO_RCVBUF is %d (%v)", size, err)
	}
	if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
		t.Errorf("TCP_NODELAY is off (%v)", err)
	}
}
