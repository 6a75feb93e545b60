package reactor

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFinishDeliversTheLastMessage finishes while the peer's bytes are unread:
// closing at once would have the kernel send a reset, which makes the peer
// lose what it hasn't read.
func TestFinishDeliversTheLastMessage(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		for _, size := range []int{30, 4 << 20} {
			l := startLoop(t, poller)
			p := newProbe()
			c, peer := attach(t, l, network, p)
			on(t, l, c.Pause)
			flood := make(chan struct{})
			go func() { // more than all the buffers hold
				defer close(flood)
				_, _ = peer.Write(make([]byte, 16<<20))
			}()
			last := noise(size)
			on(t, l, func() {
				c.Send(last)
				c.Finish()
				c.Finish()
				c.Send([]byte("not after the end"))
				c.SetHandler(p)
			})
			await(t, flood, "the flood")
			readFull(t, peer, last)
			if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the last message: %d bytes, %v", n, err)
			}
			_ = peer.Close()
			awaitClosed(t, c)
			p.quiet(t)
		}
	})
}

// awaitClosed lets the loop run until c is closed.
func awaitClosed(t testing.TB, c *Conn) {
	t.Helper()
	limit := time.Now().Add(patience)
	for open := true; open; {
		if time.Now().After(limit) {
			t.Fatal("the connection isn't closed")
		}
		on(t, c.Loop(), func() { open = c.Open() })
	}
}

// TestFinishAfterEOF closes at once when there is nothing to wait for, and
// after the last byte when there is.
func TestFinishAfterEOF(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		for _, size := range []int{0, 4 << 20} {
			l := startLoop(t, poller)
			p := newProbe()
			c, peer := attach(t, l, network, p)
			closeWrite(t, peer)
			p.expect(t, "eof")
			last := noise(size)
			on(t, l, func() {
				c.Send(last)
				c.Finish()
				if c.Open() != (size > 0) {
					t.Errorf("open is %v", c.Open())
				}
			})
			readFull(t, peer, last)
			if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the last message: %d bytes, %v", n, err)
			}
			awaitClosed(t, c)
		}
	})
}

// TestFinishHasALimit is left by a peer that neither reads nor closes.
func TestFinishHasALimit(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		c, peer := attach(t, l, "tcp", newProbe())
		start := time.Now()
		on(t, l, func() {
			c.Send(make([]byte, 32<<20))
			c.Finish()
		})
		awaitClosed(t, c)
		if d := time.Since(start); d < lingerLimit {
			t.Errorf("closed after %v", d)
		}
		_ = peer.Close()
	})
}

// TestCloseCutsFinishShort, and leaves no timer behind that would close the
// next connection of the same Conn.
func TestCloseCutsFinishShort(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		c, peer := attach(t, l, "tcp", newProbe())
		fd, newPeer := pair(t, "tcp")
		p := newProbe()
		on(t, l, func() {
			c.Finish()
			if _, _, ok := c.Detach(); ok {
				t.Error("detached while it was finished")
			}
			c.Close()
			if _, ok := l.wheel.next(); ok {
				t.Error("a timer is left")
			}
			if err := l.Attach(c, fd, p); err != nil {
				t.Error(err)
			}
		})
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer reads %v", err)
		}
		write(t, newPeer, []byte("x"))
		p.expect(t, "data 1")
	})
}

// TestFinishOfAFailedConn has nothing to deliver.
func TestFinishOfAFailedConn(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, l, "tcp", p)
		reset(t, peer)
		p.expect(t, "failed")
		on(t, l, func() {
			c.Finish()
			if c.Open() {
				t.Error("still open")
			}
		})
	})
}

// TestPeerResetsWhileFinishing ends it.
func TestPeerResetsWhileFinishing(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		c, peer := attach(t, l, "tcp", newProbe())
		on(t, l, func() {
			c.Send(make([]byte, 16<<20))
			c.Finish()
		})
		start := time.Now()
		reset(t, peer)
		awaitClosed(t, c)
		if d := time.Since(start); d >= lingerLimit {
			t.Errorf("it took %v", d)
		}
	})
}

// TestCloseResets documents why Finish exists: the peer of a connection that
// is closed with unread bytes meets a reset.
func TestCloseResets(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		fd, peer := pair(t, "tcp")
		write(t, peer, []byte("unread"))
		var c Conn
		on(t, l, func() {
			if err := l.Attach(&c, fd, newProbe()); err != nil {
				t.Error(err)
			}
			c.Close()
		})
		if _, err := io.ReadAll(peer); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the peer reads %v", err)
		}
	})
}

// TestCutFinishing closes who is being finished, and nobody else.
func TestCutFinishing(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		p := newProbe()
		stays, talks := attach(t, l, "tcp", p)
		var peers []net.Conn
		on(t, l, func() { l.CutFinishing() }) // there is none
		for range 3 {
			c, peer := attach(t, l, "tcp", newProbe())
			on(t, l, func() { c.Finish() })
			peers = append(peers, peer)
		}
		on(t, l, func() {
			l.CutFinishing()
			if n := l.Conns(); n != 1 || !stays.Open() || len(l.finishing) != 0 {
				t.Errorf("%d connections are left, %d of them finishing", n, len(l.finishing))
			}
		})
		for _, peer := range peers {
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a peer reads %v", err)
			}
		}
		write(t, talks, []byte("x"))
		p.expect(t, "data 1")
	})
}
