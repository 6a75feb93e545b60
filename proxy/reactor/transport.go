package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// TLS is a tls.Conn whose handshake is through, over a switched Feed.
type TLS struct {
	Conn *tls.Conn
	Feed *Feed
}

// AttachTLS is Attach for a connection that speaks TLS. What the handshake
// had read too much is shown to the handler soon.
func (l *Loop) AttachTLS(c *Conn, fd int, h Handler, t TLS) error {
	if err := l.Attach(c, fd, h); err != nil {
		return err
	}
	c.tls = &tlsLayer{conn: t.Conn, feed: t.Feed, fresh: true}
	if l.raw == nil {
		l.raw = make([]byte, readBufferSize)
	}
	c.enlist()
	return nil
}

// TLSState describes the TLS layer, or answers false on a plain connection.
func (c *Conn) TLSState() (tls.ConnectionState, bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return c.tls.conn.ConnectionState(), true
}

// tlsLayer turns ciphertext into bytes and back, without blocking.
type tlsLayer struct {
	conn  *tls.Conn
	feed  *Feed
	fresh bool // crypto/tls may hold decrypted or raw bytes since the handshake
}

// pending reports whether bytes might be had without reading the socket.
func (t *tlsLayer) pending() bool { return t.fresh || t.feed.Pending() > 0 }

// receive reads ciphertext once and shows what it contains.
func (t *tlsLayer) receive(c *Conn) {
	n, errno := recv(c.fd, c.loop.raw)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		c.fail(errno)
		c.tellFailure()
		return
	case n == 0:
		t.feed.End()
		c.disarmRead()
	default:
		t.feed.Put(c.loop.raw[:n])
	}
	t.pump(c)
}

// pump decrypts what is there, a buffer at a time, until the handler pauses.
func (t *tlsLayer) pump(c *Conn) {
	l := c.loop
	for more := true; more && !c.has(isPaused) && !c.has(isFailed); {
		n := copy(l.read, c.kept)
		full, err := t.fill(l.read, &n)
		t.fresh, more = full, full
		if n > 0 {
			c.deliver(n)
		}
		if !c.has(isOpen) || c.loop != l {
			return
		}
		if err != nil && !c.has(isPaused) {
			t.stop(c, err)
			return
		}
		t.fresh = t.fresh || err != nil // met again after Resume
	}
	t.feed.Keep()
	t.flush(c) // answers of the protocol itself, such as a key update
}

// fill reads plaintext behind the first *n bytes of buf, until it is full or
// no more is to be had. err is nil when only bytes are lacking.
func (t *tlsLayer) fill(buf []byte, n *int) (full bool, err error) {
	for *n < len(buf) {
		m, err := t.conn.Read(buf[*n:])
		*n += m
		if err != nil {
			if errors.Is(err, errNoBytes) {
				return false, nil
			}
			return false, err
		}
	}
	return true, nil
}

func (t *tlsLayer) stop(c *Conn, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		c.endOfInput()
		return
	}
	t.flush(c) // an alert, if there is one
	c.fail(fmt.Errorf("reading TLS: %w", err))
	c.tellFailure()
}

func (t *tlsLayer) send(c *Conn, b []byte) {
	if _, err := t.conn.Write(b); err != nil {
		c.fail(fmt.Errorf("writing TLS: %w", err))
		return
	}
	t.flush(c)
}

func (t *tlsLayer) flush(c *Conn) {
	if b := t.feed.Take(); len(b) > 0 {
		c.sendRaw(b)
		t.feed.Release()
	}
}

func (t *tlsLayer) closeWrite(c *Conn) {
	_ = t.conn.CloseWrite()
	t.flush(c)
}
