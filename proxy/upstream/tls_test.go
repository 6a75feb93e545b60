package upstream

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
)

// As libpq has it: the common name counts only where there is no other name.
func TestVerifyName(t *testing.T) {
	named := func(common string, dns ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: common}, DNSNames: dns}
	}
	withIP := named("db.example")
	withIP.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)}
	for _, tt := range []struct {
		name string
		cert *x509.Certificate
		host string
		ok   bool
	}{
		{"name", named("", "db.example"), "db.example", true},
		{"case", named("", "db.example"), "DB.Example", true},
		{"wildcard", named("", "*.example"), "db.example", true},
		{"wildcard of two levels", named("", "*.example"), "a.db.example", false},
		{"other name", named("", "db.example"), "db2.example", false},
		{"common name", named("db.example"), "db.example", true},
		{"case of the common name", named("DB.example"), "db.EXAMPLE", true},
		{"common name with a wildcard", named("*.example"), "db.example", true},
		{"other common name", named("db.example"), "db2.example", false},
		{"common name beside a name", named("db.example", "other.example"), "db.example", false},
		{"common name beside an address", withIP, "db.example", false},
		{"address", withIP, "10.0.0.1", true},
		{"other address", withIP, "10.0.0.2", false},
		{"address as common name", named("10.0.0.1"), "10.0.0.1", true},
		{"no name at all", named(""), "db.example", false},
		{"no name at all, no host", named(""), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := verifyName(tt.cert, tt.host); (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}
