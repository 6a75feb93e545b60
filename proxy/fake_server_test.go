package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"carpool/proxy/wire"
)

// fakeServer plays Postgres, to do what Postgres never does.
type fakeServer struct {
	t       *testing.T
	ln      net.Listener
	script  func(c *fakeConn)
	serial  atomic.Int32
	serving sync.WaitGroup
	mu      sync.Mutex
	open    []net.Conn

	// For scripts that meet the test at some point.
	held    chan *fakeConn
	release chan struct{}
}

// fakeConn is a connection that a fakeServer has accepted, the serial-th.
type fakeConn struct {
	net.Conn
	server *fakeServer
	serial int
	in     *bufio.Reader
}

// startFake starts a server that runs script for every connection, and closes
// the connection after it.
func startFake(t *testing.T, script func(c *fakeConn)) *fakeServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{t: t, ln: ln, script: script, held: make(chan *fakeConn, 100), release: make(chan struct{})}
	f.serving.Go(f.serve)
	t.Cleanup(func() {
		_ = ln.Close()
		f.mu.Lock()
		for _, conn := range f.open {
			_ = conn.Close()
		}
		f.mu.Unlock()
		f.serving.Wait()
	})
	return f
}

func (f *fakeServer) serve() {
	for {
		conn, err := f.ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.open = append(f.open, conn)
		f.mu.Unlock()
		c := &fakeConn{Conn: conn, server: f, serial: int(f.serial.Add(1)), in: bufio.NewReader(conn)}
		f.serving.Go(func() {
			defer conn.Close()
			f.script(c)
		})
	}
}

// databases is the section that sends everybody to the server.
func (f *fakeServer) databases() string {
	return fmt.Sprintf("\n[databases]\n* = host=127.0.0.1 port=%d sslmode=disable\n", f.ln.Addr().(*net.TCPAddr).Port)
}

// startup reads the client's start-up packet.
func (c *fakeConn) startup() bool {
	head, err := c.in.Peek(4)
	if err != nil {
		return false
	}
	size := int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	_, err = io.ReadFull(c.in, make([]byte, size))
	return err == nil
}

// serverWelcome is what a server says when a login has succeeded.
func serverWelcome() []byte {
	out := wire.AppendAuthentication(nil, wire.AuthOK, nil)
	for _, p := range [][2]string{
		{"server_version", "17.0"},
		{"client_encoding", "UTF8"},
		{"server_encoding", "UTF8"},
		{"DateStyle", "ISO, MDY"},
		{"TimeZone", "UTC"},
		{"standard_conforming_strings", "on"},
		{"application_name", ""},
		{"integer_datetimes", "on"},
	} {
		out = wire.AppendParameterStatus(out, p[0], p[1])
	}
	out = wire.AppendBackendKeyData(out, 4711, []byte{1, 2, 3, 4})
	return wire.AppendReadyForQuery(out, wire.TxIdle)
}

// logIn plays a login that needs no password.
func (c *fakeConn) logIn() bool {
	if !c.startup() {
		return false
	}
	_, err := c.Write(serverWelcome())
	return err == nil
}

// hold tells the test that the script has got here, and waits for it.
func (c *fakeConn) hold() {
	c.server.held <- c
	select {
	case <-c.server.release:
	case <-c.server.t.Context().Done():
	}
}

// receive reads one message; false at the end.
func (c *fakeConn) receive() (typ byte, body []byte, ok bool) {
	head, err := c.in.Peek(wire.HeaderLen)
	if err != nil {
		return 0, nil, false
	}
	h, _, _ := wire.ParseHeader(head)
	b := make([]byte, h.Size())
	if _, err := io.ReadFull(c.in, b); err != nil {
		return 0, nil, false
	}
	return h.Type, b[wire.HeaderLen:], true
}

// row is a DataRow of one value.
func row(text string) []byte {
	out, mark := wire.Begin(nil, wire.DataRow)
	out = append(out, 0, 1, byte(len(text)>>24), byte(len(text)>>16), byte(len(text)>>8), byte(len(text)))
	return wire.Finish(append(out, text...), mark)
}

// rowHead is a RowDescription of one text column.
func rowHead() []byte {
	out, mark := wire.Begin(nil, wire.RowDescription)
	out = append(out, 0, 1, 'v', 0)
	return wire.Finish(append(out, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0), mark)
}

// completed ends a command.
func completed() []byte {
	out, mark := wire.Begin(nil, wire.CommandComplete)
	return wire.AppendReadyForQuery(wire.Finish(wire.AppendString(out, "SELECT 1"), mark), wire.TxIdle)
}

// oneValue is the whole answer to a query whose result is one value.
func oneValue(text string) []byte {
	return append(append(rowHead(), row(text)...), completed()...)
}

// behave answers every query properly, with the connection's serial number.
func (c *fakeConn) behave() {
	for {
		typ, _, ok := c.receive()
		if !ok || typ == wire.Terminate {
			return
		}
		if typ == wire.Query {
			_, _ = c.Write(oneValue(fmt.Sprintf("server %d", c.serial)))
		}
	}
}

// linger waits until the other side closes the connection.
func (c *fakeConn) linger() { _, _ = io.Copy(io.Discard, c.in) }
