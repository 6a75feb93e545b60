package worker

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"
)

// pipe is a connection's two ends.
func pipe(t testing.TB, network, address string) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial(network, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// Whatever net.Conn promises: concurrent use, deadlines, ends.
func TestSocketIsANetConn(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				near, far := pipe(t, network, address)
				near, far = unwatched(near), unwatched(far)
				if _, ok := near.(*socket); !ok {
					t.Fatalf("a connection by %s is watched", network)
				}
				return near, far, func() { near.Close(); far.Close() }, nil
			})
		})
	}
}

// An error is net's in every word, and wraps what net's wraps.
func TestSocketSaysWhatNetSays(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(near, far net.Conn) error
		is   error
	}{
		"closed here": {is: net.ErrClosed, fail: func(near, _ net.Conn) error {
			near.Close()
			return readByte(near)
		}},
		"too late": {is: os.ErrDeadlineExceeded, fail: func(near, _ net.Conn) error {
			if err := near.SetDeadline(past); err != nil {
				return err
			}
			_, err := near.Write([]byte("x"))
			return err
		}},
		"reset": {is: syscall.ECONNRESET, fail: func(near, far net.Conn) error {
			if err := far.(*net.TCPConn).SetLinger(0); err != nil {
				return err
			}
			far.Close()
			return readByte(near)
		}},
		"gone": {is: syscall.EPIPE, fail: func(near, far net.Conn) error {
			if err := far.(*net.TCPConn).SetLinger(0); err != nil {
				return err
			}
			far.Close()
			_ = readByte(near) // is told of the reset, which the next call isn't any more
			_, err := near.Write([]byte("x"))
			return err
		}},
		"over": {is: io.EOF, fail: func(near, far net.Conn) error {
			far.Close()
			return readByte(near)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			for _, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, unwatched} {
				near, far := pipe(t, "tcp", "127.0.0.1:0")
				defer near.Close()
				defer far.Close()
				err := test.fail(wrap(near), far)
				if !errors.Is(err, test.is) {
					t.Fatalf("%v instead of %v", err, test.is)
				}
				said = append(said, strings.NewReplacer(near.LocalAddr().String(), "near", near.RemoteAddr().String(), "far").Replace(err.Error()))
			}
			if said[0] != said[1] {
				t.Errorf("net says %q and we %q", said[0], said[1])
			}
		})
	}
}

func readByte(conn net.Conn) error {
	_, err := conn.Read(make([]byte, 1))
	return err
}

// A call is a send, a receive that finds nothing, a wait and a receive: none may allocate.
func TestSocketDoesNotAllocate(t *testing.T) {
	near, far := pipe(t, "tcp", "127.0.0.1:0")
	defer near.Close()
	defer far.Close()
	near, far = unwatched(near), unwatched(far)
	b := make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := near.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a message", n)
	}
}
