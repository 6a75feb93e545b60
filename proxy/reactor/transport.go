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
	if err := l.attach(c, fd, h, false); err != nil {
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

// receive reads ciphertext once and shows what it contains. It reports whether
// there was any.
func (t *tlsLayer) receive(c *Conn) bool {
	n, errno := recv(c.fd, c.loop.raw)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return false
	case errno != 0:
		c.fail(errno)
		c.tellFailure()
		return false
	case n == 0:
		t.feed.End()
		c.disarmRead()
	default:
		t.feed.Put(c.loop.raw[:n])
	}
	t.pump(c)
	return n > 0
}

// pump decrypts what is there, a buffer at a time, until the handler pauses.
func (t *tlsLayer) pump(c *Conn) {
	l, id := c.loop, c.id
	var end error
	for more := true; more && !c.has(isPaused|failureTold); {
		n := copy(l.read, c.kept)
		n, more, end = t.fill(l.read, n)
		t.fresh = more || end != nil // an end is met again after Resume
		if n > 0 {
			c.show(l.read[:n])
		}
		if !c.owns(id) {
			return
		}
		more = more && len(c.kept) < readBufferSize
	}
	t.feed.Keep()
	t.flush(c) // answers of the protocol itself, such as a key update or an alert
	if end != nil && !c.has(isPaused|atEOF|failureTold) && !c.owesShow() {
		t.stop(c, end)
	}
}

// fill reads plaintext behind the first n bytes of buf, and returns how many
// there are then. It ends when buf is full, and there may be more, or when no
// more is to be had. err is nil when only bytes are lacking.
func (t *tlsLayer) fill(buf []byte, n int) (filled int, more bool, err error) {
	for n < len(buf) {
		m, err := t.conn.Read(buf[n:])
		n += m
		if errors.Is(err, errNoBytes) {
			return n, false, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, true, nil
}

// stop ends reading for the reason that the TLS layer gave.
func (t *tlsLayer) stop(c *Conn, err error) {
	t.fresh = false
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		c.endOfInput()
		return
	}
	c.fail(fmt.Errorf("reading TLS: %w", err))
	c.tellFailure()
}

// send encrypts b into a buffer that all connections of the loop share, and
// sends that.
func (t *tlsLayer) send(c *Conn, b []byte) {
	t.flush(c) // what reading had to answer comes first
	t.feed.out = c.loop.sealed[:0]
	_, err := t.conn.Write(b)
	c.loop.sealed = t.feed.out[:0]
	if cap(c.loop.sealed) > largestBuffer {
		c.loop.sealed = nil
	}
	t.flush(c)
	if err != nil {
		c.fail(fmt.Errorf("writing TLS: %w", err))
	}
}

// flush sends what crypto/tls has written.
func (t *tlsLayer) flush(c *Conn) {
	if b := t.feed.out; len(b) > 0 && !c.has(isFailed) {
		c.sendRaw(b)
	}
	t.feed.out = nil
}

// closeWrite tells the peer that nothing more comes.
func (t *tlsLayer) closeWrite(c *Conn) {
	_ = t.conn.CloseWrite()
	t.flush(c)
}
