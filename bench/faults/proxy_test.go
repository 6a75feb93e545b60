package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := dialed(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// dialed is dial that may fail.
func dialed(t *testing.T, p *Proxy) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

func TestFaults(t *testing.T) {
	message := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, row := range []struct {
		name               string
		toServer, toClient Fault
		want               int  // bytes that come back
		reset              bool // and then this
	}{
		{name: "nothing", want: len(message)},
		{name: "chunks", toServer: Fault{Chunk: 100}, toClient: Fault{Chunk: 7}, want: len(message)},
		{name: "reset to the client", toClient: Fault{Reset: true, After: 12_345}, want: 12_345, reset: true},
		{name: "reset at once", toServer: Fault{Reset: true}, want: 0, reset: true},
		{name: "reset behind the end", toServer: Fault{Reset: true, After: len(message) + 1}, want: len(message)},
		{name: "hole to the server", toServer: Fault{Hole: true, After: 4000}, want: 4000},
		{name: "hole to the client", toClient: Fault{Hole: true, After: 4000}, want: 4000},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := between(t, echo(t), func(int) (Fault, Fault) { return row.toServer, row.toClient })
			conn, err := dialed(t, p)
			if row.reset && errors.Is(err, syscall.ECONNRESET) {
				return // sooner than it was open
			}
			if err != nil {
				t.Fatal(err)
			}
			written := make(chan error)
			go func() {
				_, err := conn.Write(message)
				_ = conn.CloseWrite()
				written <- err
			}()
			got, err := io.ReadAll(conn)
			// The system tells of a reset once, whoever hears it first.
			ends := errors.Join(err, <-written)
			if reset := errors.Is(ends, syscall.ECONNRESET) || errors.Is(ends, syscall.EPIPE); reset != row.reset {
				t.Errorf("the end was %v", ends)
			}
			// What a reset overtakes is lost.
			if len(got) > row.want || !row.reset && len(got) < row.want || !bytes.Equal(got, message[:len(got)]) {
				t.Errorf("%d bytes have come back, not %d", len(got), row.want)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	p := between(t, echo(t), nil)
	conn := dial(t, p)
	say := func(what string) {
		t.Helper()
		if _, err := conn.Write([]byte(what)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != want {
			t.Fatalf("%q, %v", b, err)
		}
	}
	say("a")
	hear("a")
	p.Silence()
	p.Silence() // again: no difference
	say("b")
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var one [1]byte
	if n, err := conn.Read(one[:]); n != 0 || !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err) {
		t.Errorf("%q came through the silence: %v", one[:n], err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	p.Speak()
	p.Speak()
	hear("b")
	eventually(t, "two bytes to be counted in each direction", func() bool {
		sent, received := p.Passed()
		return sent == 2 && received == 2 && p.Connections() == 1
	})
	p.Reset()
	if _, err := conn.Read(one[:]); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// Close ends what is silent, too.
func TestCloseInSilence(t *testing.T) {
	p, err := Start("tcp", echo(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, p)
	p.Silence()
	if _, err := conn.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("the connection ended as if nothing had happened")
	}
}
