package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"carpool/proxy/wire"
)

// wireClient is a client that speaks bytes, for what no driver would send.
type wireClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// patience is how long tests wait for something that should come at once.
const patience = 20 * time.Second

// knock opens a TCP connection to the proxy and sends nothing.
func (p *pooler) knock() *wireClient {
	p.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
	if err != nil {
		p.t.Fatal(err)
	}
	return newWireClient(p.t, conn)
}

func newWireClient(t *testing.T, conn net.Conn) *wireClient {
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return &wireClient{t: t, Conn: conn, in: bufio.NewReader(conn)}
}

// startupPacket is a StartupMessage of protocol 3.0.
func startupPacket(user, database string) []byte {
	return wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: user}, {Name: "database", Value: database}})
}

// enter opens a connection that is let in without a password, up to
// ReadyForQuery.
func (p *pooler) enter(user, database string) *wireClient {
	p.t.Helper()
	c := p.knock()
	c.send(startupPacket(user, database))
	c.until(wire.ReadyForQuery)
	return c
}

// send sends b in one write. That the proxy may have hung up is found out in
// reading.
func (c *wireClient) send(b []byte) { _, _ = c.Write(b) }

func (c *wireClient) query(sql string) { c.send(wire.AppendQuery(nil, sql)) }

// next reads one message.
func (c *wireClient) next() (typ byte, body []byte, err error) {
	head, err := c.in.Peek(wire.HeaderLen)
	if err != nil {
		return 0, nil, err
	}
	h, _, valid := wire.ParseHeader(head)
	if !valid {
		return 0, nil, errors.New("invalid message from the proxy")
	}
	b := make([]byte, h.Size())
	if _, err := io.ReadFull(c.in, b); err != nil {
		return 0, nil, err
	}
	return h.Type, b[wire.HeaderLen:], nil
}

// until reads up to a message of the type and returns its body. An error from
// the proxy on the way fails the test.
func (c *wireClient) until(want byte) []byte {
	c.t.Helper()
	for {
		typ, body, err := c.next()
		switch {
		case err != nil:
			c.t.Fatalf("waiting for %q: %v", want, err)
		case typ == want:
			return body
		case typ == wire.ErrorResponse:
			c.t.Fatalf("waiting for %q: %+v", want, wire.ParseReport(body))
		}
	}
}

// refusal reads to the end of the connection and returns the last error that
// came before it, which is empty if there was none.
func (c *wireClient) refusal() wire.Report {
	c.t.Helper()
	var last wire.Report
	for {
		typ, body, err := c.next()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			c.t.Fatal("the proxy neither answers nor closes the connection")
		case err != nil:
			return last
		case typ == wire.ErrorResponse:
			last = wire.ParseReport(body)
		}
	}
}

// answer runs a query and returns its first value.
func (c *wireClient) answer(sql string) string {
	c.t.Helper()
	c.query(sql)
	row := c.until(wire.DataRow)
	c.until(wire.ReadyForQuery)
	return string(row[6:])
}
