package delay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve listens and runs a function for each connection until the test ends. It returns the address.
func serve(t *testing.T, network, address string, function func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { function(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

func echo(conn net.Conn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.Close()
}

func start(t *testing.T, network, address string, delay time.Duration) *Proxy {
	t.Helper()
	p, err := Start(t.Context(), network, address, delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// roundTrip sends a byte and waits for it to come back.
func roundTrip(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestEachRoundTripTakesTheDelay(t *testing.T) {
	const trips = 20
	for _, delay := range []time.Duration{300 * time.Microsecond, 2 * time.Millisecond, 15 * time.Millisecond} {
		p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", echo), delay)
		conn := dial(t, p.Address())
		fastest := roundTrip(t, conn)
		for range trips {
			took := roundTrip(t, conn)
			if took < delay {
				t.Errorf("delay %s: a round trip took only %s", delay, took)
			}
			fastest = min(fastest, took)
		}
		// The fastest of many tells what the proxy does; a single one may tell what else the machine does.
		if fastest > delay+5*time.Millisecond {
			t.Errorf("delay %s: the fastest round trip took %s", delay, fastest)
		}
		t.Logf("delay %s: the fastest round trip took %s", delay, fastest)
	}
}

func TestConnectingTakesARoundTripMore(t *testing.T) {
	const delay = 20 * time.Millisecond
	p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", echo), delay)
	began := time.Now()
	conn := dial(t, p.Address())
	roundTrip(t, conn)
	if took := time.Since(began); took < 2*delay {
		t.Errorf("connecting and one round trip took only %s", took)
	}
}

// TestConnectionsAreDelayedSideBySide: the delays of many connections don't add up.
func TestConnectionsAreDelayedSideBySide(t *testing.T) {
	const delay, clients, trips = 20 * time.Millisecond, 50, 5
	p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", echo), delay)
	began := time.Now()
	var running sync.WaitGroup
	for range clients {
		conn := dial(t, p.Address())
		running.Go(func() {
			for range trips {
				if _, err := conn.Write([]byte{1}); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if took, serial := time.Since(began), clients*trips*delay; took > serial/4 {
		t.Errorf("%d connections with %d round trips of %s took %s", clients, trips, delay, took)
	}
}

func TestBulkComesThroughWhole(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		const size = 48 << 20 // many times the window
		random := rand.NewChaCha8([32]byte{1})
		sent, received := sha256.New(), sha256.New()
		p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", echo), delay)
		conn := dial(t, p.Address())
		var writing sync.WaitGroup
		writing.Go(func() {
			if _, err := io.Copy(conn, io.TeeReader(io.LimitReader(random, size), sent)); err != nil {
				t.Error(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		n, err := io.Copy(received, conn) // ends because the half-close has come back
		writing.Wait()
		if err != nil || n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Errorf("delay %s: %d of %d bytes came back, %v", delay, n, size, err)
		}
		t.Logf("delay %s: %.0f MB/s there and back", delay, size/1e6/time.Since(began).Seconds())
	}
}

// TestSlowReaderStopsTheSender: what the proxy holds is bounded.
func TestSlowReaderStopsTheSender(t *testing.T) {
	release := make(chan struct{})
	p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		<-release
		_ = conn.Close()
	}), time.Millisecond)
	conn := dial(t, p.Address())
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	written := 0
	block := make([]byte, 1<<20)
	for {
		n, err := conn.Write(block)
		written += n
		if err != nil {
			break
		}
		if written > 64<<20 {
			t.Errorf("%d bytes were taken in that nobody reads", written)
			break
		}
	}
	close(release)
}

func TestHalfCloseIsPassedOn(t *testing.T) {
	p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		all, _ := io.ReadAll(conn) // until the client's end
		_, _ = conn.Write([]byte("got " + strconv.Itoa(len(all))))
		_ = conn.Close()
	}), time.Millisecond)
	conn := dial(t, p.Address())
	if _, err := conn.Write(make([]byte, 1234)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if reply, err := io.ReadAll(conn); err != nil || string(reply) != "got 1234" {
		t.Errorf("got %q, %v", reply, err)
	}
}

func TestResetIsPassedOn(t *testing.T) {
	t.Run("of the server", func(t *testing.T) {
		p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			reset(conn)
		}), time.Millisecond)
		conn := dial(t, p.Address())
		if _, err := conn.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client got %v", err)
		}
	})
	t.Run("of the client", func(t *testing.T) {
		seen := make(chan error, 1)
		p := start(t, "tcp", serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			_, _ = conn.Write([]byte{1})
			_, err := conn.Read(make([]byte, 1))
			seen <- err
			_ = conn.Close()
		}), time.Millisecond)
		conn := dial(t, p.Address())
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		reset(conn)
		if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server got %v", err)
		}
	})
	t.Run("when there is no server", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		p := start(t, "tcp", listener.Addr().String(), time.Millisecond)
		conn := dial(t, p.Address())
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client got %v", err)
		}
	})
}

func TestUnixServer(t *testing.T) {
	path := serve(t, "unix", filepath.Join(t.TempDir(), "socket"), echo)
	p := start(t, "unix", path, time.Millisecond)
	roundTrip(t, dial(t, p.Address()))
}

// TestEndOfContextEndsEverything relies on TestMain, which looks for goroutines that are left.
func TestEndOfContextEndsEverything(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, "tcp", serve(t, "tcp", "127.0.0.1:0", echo), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, p.Address())
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
	began := time.Now()
	_ = p.Close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("closing took %s, as if what is under way had to arrive first", took)
	}
	if _, err := net.Dial("tcp", p.Address()); err == nil {
		t.Error("the proxy still listens")
	}
}

// TestStartWithAContextThatHasEnded: nothing of Start may come too late for the end.
func TestStartWithAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 {
		p, err := Start(ctx, "tcp", "127.0.0.1:1", time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", p.Address()); err == nil {
			t.Fatal("the proxy listens")
		}
	}
}

func TestStartRefusesNonsense(t *testing.T) {
	for _, delay := range []time.Duration{-1, time.Hour} {
		if p, err := Start(t.Context(), "tcp", "127.0.0.1:1", delay); err == nil {
			t.Errorf("delay %s was taken", delay)
			_ = p.Close()
		}
	}
}
