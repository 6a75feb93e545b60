package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// certificate is one that nobody can check and that lasts as long as the process: it is there for clients that insist on TLS
// although they don't leave the machine. Certificate and key are in a file that has no name where the system can do that.
type certificate struct {
	path string
	file *os.File
	// named is whether the file has to be removed.
	named bool
}

// certificateLife is far longer than any process lives.
const certificateLife = 10 * 365 * 24 * time.Hour

// newCertificate makes one. Remove it after use.
func newCertificate() (*certificate, error) {
	text, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	c, err := unnamedFile()
	if err != nil {
		return nil, fmt.Errorf("making a place for a certificate: %w", err)
	}
	if _, err := c.file.Write(text); err != nil {
		c.remove()
		return nil, fmt.Errorf("keeping a certificate: %w", err)
	}
	return c, nil
}

// namedFile makes a file that only this user can read.
func namedFile() (*certificate, error) {
	file, err := os.CreateTemp("", "carpool-*.pem")
	if err != nil {
		return nil, err
	}
	return &certificate{path: file.Name(), file: file, named: true}, nil
}

func (c *certificate) remove() {
	_ = c.file.Close() // nothing is lost with it
	if c.named {
		_ = os.Remove(c.path)
	}
}

// selfSigned makes a certificate and its key, both in PEM.
func selfSigned() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "carpool"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), nil
}
