package pgserver

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
	"path/filepath"
	"time"
)

// Authority is a certificate authority for tests. It issues certificates for servers and clients into files.
type Authority struct {
	// File is the authority's own certificate (PEM), what sslrootcert and server_tls_ca_file want.
	File string

	dir         string
	owner       *Owner
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Pair names the files (PEM) of a certificate and its private key. The key's file has mode 0600.
type Pair struct {
	Cert string
	Key  string
}

// NewAuthority makes a certificate authority whose files go into dir, which must exist. The files belong to the caller.
func NewAuthority(dir string) (*Authority, error) { return newAuthority(dir, nil) }

func newAuthority(dir string, owner *Owner) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	template := certificateTemplate("carpool test authority")
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the authority's certificate: %w", err)
	}
	a := &Authority{File: filepath.Join(dir, "ca.crt"), dir: dir, owner: owner, certificate: certificate, key: key}
	if err := a.write(a.File, "CERTIFICATE", der, 0o644); err != nil {
		return nil, err
	}
	return a, nil
}

// Issue makes a certificate with the common name and the host names and IP addresses given, good for servers and clients,
// in the files NAME.crt and NAME.key of the authority's directory. The name must be fit for a file name.
func (a *Authority) Issue(name string, hosts ...string) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key for %s: %w", name, err)
	}
	template := certificateTemplate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("making a certificate for %s: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encoding the key for %s: %w", name, err)
	}
	pair := Pair{Cert: filepath.Join(a.dir, name+".crt"), Key: filepath.Join(a.dir, name+".key")}
	if err := a.write(pair.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return Pair{}, err
	}
	if err := a.write(pair.Key, "PRIVATE KEY", keyDER, 0o600); err != nil {
		return Pair{}, err
	}
	return pair, nil
}

func (a *Authority) write(path, kind string, der []byte, mode os.FileMode) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, text, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return a.owner.Give(path)
}

func certificateTemplate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(7 * 24 * time.Hour),
	}
}
