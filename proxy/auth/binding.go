package auth

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
)

// The beginnings of a SCRAM exchange ("gs2-header" of RFC 5802, section 7).
const (
	gs2Without = "n,,"                      // the client doesn't bind channels
	gs2Missed  = "y,,"                      // it would, but wasn't offered it
	gs2Bound   = "p=tls-server-end-point,," // it does, by the server's certificate
)

// Bind offers the client to bind the exchange to its TLS connection, if the
// exchange is one that can be bound. endpoint is EndPoint of the certificate
// that was shown on this connection; nil offers nothing. It comes before Begin.
func Bind(m Mechanism, endpoint []byte) {
	if e, ok := m.(*scramExchange); ok {
		e.endpoint = endpoint
	}
}

// EndPoint is the binding data of type tls-server-end-point (RFC 5929, section
// 4.1): a hash of the server's certificate, by the hash of its own signature, and
// SHA-256 where that is a weak one. It is nil where the standard defines none, as
// for Ed25519.
func EndPoint(certificate *x509.Certificate) []byte {
	switch certificate.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		sum := sha256.Sum256(certificate.Raw)
		return sum[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(certificate.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(certificate.Raw)
		return sum[:]
	}
	return nil
}
