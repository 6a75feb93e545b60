package upstream

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carpool/proxy/wire"
)

// peer plays the loop that a Conn is handed to: it speaks to the server through
// the descriptor, and through the TLS layer if there is one, piece bytes at a
// time.
type peer struct {
	t     *testing.T
	conn  *Conn
	piece int
	in    []byte
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if p.conn.TLS != nil {
		if _, err := p.conn.TLS.Conn.Write(b); err != nil {
			p.t.Fatal(err)
		}
		b = p.conn.TLS.Feed.Take()
	}
	if n, err := unix.Write(p.conn.FD, b); err != nil || n != len(b) {
		p.t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

// receive waits for the next message.
func (p *peer) receive() (typ byte, body []byte) {
	p.t.Helper()
	for {
		if h, ok, _ := wire.ParseHeader(p.in); ok && len(p.in) >= h.Size() {
			body, p.in = p.in[wire.HeaderLen:h.Size()], p.in[h.Size():]
			return h.Type, body
		}
		ready := []unix.PollFd{{Fd: int32(p.conn.FD), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 10_000); n != 1 {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			p.t.Fatalf("nothing arrives: %v", err)
		}
		b := make([]byte, p.piece)
		n, err := unix.Read(p.conn.FD, b)
		if n <= 0 {
			p.t.Fatalf("the server closed the connection: %v", err)
		}
		p.in = append(p.in, p.decrypt(b[:n])...)
	}
}

func (p *peer) decrypt(b []byte) (plain []byte) {
	if p.conn.TLS == nil {
		return b
	}
	p.conn.TLS.Feed.Put(b)
	buf := make([]byte, 1000)
	for {
		n, err := p.conn.TLS.Conn.Read(buf)
		plain = append(plain, buf[:n]...)
		if temporary := net.Error(nil); errors.As(err, &temporary) && temporary.Timeout() {
			return plain
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// value runs a query and returns the first column of its last row.
func (p *peer) value(sql string) (value string) {
	p.t.Helper()
	p.send(wire.AppendQuery(nil, sql))
	for {
		switch typ, body := p.receive(); typ {
		case wire.DataRow:
			value = string(body[6:])
		case wire.ErrorResponse:
			p.t.Fatalf("%s: %v", sql, wire.ParseReport(body))
		case wire.ReadyForQuery:
			return value
		}
	}
}

// checkUsable checks that a Conn is what it says.
func checkUsable(t *testing.T, c *Conn) {
	t.Helper()
	p := &peer{t: t, conn: c, piece: 37}
	p.in = append(p.in, c.Rest...)
	if got := p.value("select pg_backend_pid()"); got != fmt.Sprint(c.PID) {
		t.Errorf("the backend is %s, the key says %d", got, c.PID)
	}
	const big = 20_000
	if got := p.value(fmt.Sprintf("select repeat('x', %d)", big)); got != strings.Repeat("x", big) {
		t.Errorf("%d bytes of %d came through", len(got), big)
	}
	if got := p.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()"); (got == "t") != (c.TLS != nil) {
		t.Errorf("encrypted: the server says %q", got)
	}
	flags, err := unix.FcntlInt(uintptr(c.FD), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the descriptor blocks (flags %x, %v)", flags, err)
	}
	if flags, err = unix.FcntlInt(uintptr(c.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("children inherit the descriptor (flags %x, %v)", flags, err)
	}
}
