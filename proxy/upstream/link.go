package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// link is a connection that is being made: a socket in Go's poller, and the TLS
// layer above it once there is one. Its reads and writes end with the context
// it was made with.
type link struct {
	net.Conn // what to read from and write to: raw or tls
	raw      net.Conn
	feed     *reactor.Feed // below tls
	tls      *tls.Conn
	unwatch  func() bool
}

// connect opens a socket. The link must be closed.
func connect(ctx context.Context, at address, options *Socket) (*link, error) {
	d := net.Dialer{KeepAlive: -1} // keepalive is ours to set
	if !at.host.unix() {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			if err := c.Control(func(fd uintptr) { failed = options.Apply(int(fd)) }); err != nil {
				return err
			}
			return failed
		}
	}
	raw, err := d.DialContext(ctx, at.network(), at.String())
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	l := &link{Conn: raw, raw: raw}
	l.unwatch = context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return l, nil
}

// close ends the link; the descriptor that detach gave lives on.
func (l *link) close() {
	l.unwatch()
	_ = l.raw.Close()
}

// cause returns why ctx ended, if that is what made a read or write fail with
// err, and else err.
func (l *link) cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
		return err
	}
	return context.Cause(ctx)
}

// encryptionError is a failure on the way to an encrypted connection.
type encryptionError struct{ err error }

func (e *encryptionError) Error() string { return e.err.Error() }
func (e *encryptionError) Unwrap() error { return e.err }

// encrypt asks the server for TLS and does the handshake ("SSL Session
// Encryption" in Postgres's documentation). What the server says before is
// anybody's, so of an unexpected answer no more than one byte is told.
func (l *link) encrypt(ctx context.Context, config *tls.Config) error {
	if _, err := l.raw.Write(wire.AppendSSLRequest(nil)); err != nil {
		return l.cause(ctx, fmt.Errorf("asking for TLS: %w", err))
	}
	var answer [1]byte
	if _, err := l.raw.Read(answer[:]); err != nil {
		return l.cause(ctx, fmt.Errorf("waiting for the answer to SSLRequest: %w", err))
	}
	switch answer[0] {
	case 'S':
	case 'N':
		return &encryptionError{errors.New("the server doesn't offer TLS")}
	case 'E':
		return &encryptionError{errors.New("the server answers SSLRequest with an error")}
	default:
		return fmt.Errorf("the server answers SSLRequest with %q", answer[0])
	}
	waiting, err := l.waiting()
	if err != nil {
		return fmt.Errorf("starting TLS: %w", err)
	}
	if waiting {
		return errors.New("the server sent unencrypted bytes after it agreed to TLS")
	}
	l.feed = &reactor.Feed{Raw: l.raw}
	l.tls = tls.Client(l.feed, config)
	if err := l.tls.HandshakeContext(ctx); err != nil {
		return l.cause(ctx, &encryptionError{fmt.Errorf("TLS handshake: %w", err)})
	}
	l.Conn = l.tls
	return nil
}

// waiting reports whether bytes have arrived that nobody has read: in TLS the
// client speaks first.
func (l *link) waiting() (bool, error) {
	raw, err := l.control()
	if err != nil {
		return false, err
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, _ = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return n > 0, err
}

// detach returns a second descriptor for the socket. The socket leaves Go's
// poller with the link's close.
func (l *link) detach() (int, error) {
	raw, err := l.control()
	if err != nil {
		return -1, fmt.Errorf("detaching the socket: %w", err)
	}
	fd := -1
	var failed error
	err = raw.Control(func(old uintptr) {
		fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return -1, fmt.Errorf("detaching the socket: %w", err)
	}
	return fd, nil
}

func (l *link) control() (syscall.RawConn, error) {
	s, ok := l.raw.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", l.raw)
	}
	return s.SyscallConn()
}

// config returns the configuration for a handshake with host.
func (t *TLS) config(host HostPort) *tls.Config {
	name := t.ServerName
	if name == "" {
		name = host.Host
	}
	c := &tls.Config{
		ServerName:   name,
		Certificates: t.Certificates,
		MinVersion:   max(t.MinVersion, tls.VersionTLS12),
		MaxVersion:   t.MaxVersion,
		CipherSuites: t.CipherSuites,
		NextProtos:   []string{"postgresql"},
		// crypto/tls would check all or nothing, and know no names but those in
		// subjectAltName; the checks that are wanted follow.
		InsecureSkipVerify: true,
	}
	if t.CA != nil || t.Mode >= TLSVerifyCA {
		roots, full := t.CA, t.Mode == TLSVerifyFull
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if err := verifyChain(s, roots); err != nil || !full {
				return err
			}
			return verifyName(s.PeerCertificates[0], name)
		}
	}
	return c
}

// verifyChain checks who signed the server's certificate, but not for whom.
// roots nil means the system's.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// verifyName checks for whom a certificate is. As libpq does, it takes the
// common name of one that has no other names: Postgres's own documentation
// teaches to make such certificates.
func verifyName(c *x509.Certificate, name string) error {
	common := c.Subject.CommonName
	if len(c.DNSNames)+len(c.IPAddresses) > 0 || common == "" {
		return c.VerifyHostname(name)
	}
	if strings.EqualFold(common, name) {
		return nil
	}
	return (&x509.Certificate{DNSNames: []string{common}}).VerifyHostname(name)
}

// isReset reports whether the peer closed the connection without a goodbye.
func isReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
