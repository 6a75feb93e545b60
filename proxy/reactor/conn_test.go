package reactor

import (
	"bytes"
	"io"
	"testing"
)

// eachNetwork runs a test on every back end and kind of socket.
func eachNetwork(t *testing.T, test func(t *testing.T, poller, network string)) {
	t.Helper()
	eachPoller(t, func(t *testing.T, poller string) {
		for _, network := range networks {
			t.Run(network, func(t *testing.T) { test(t, poller, network) })
		}
	})
}

// TestPartialConsumption lets the handler take its bytes in odd portions. All
// of them have to come, once and in order.
func TestPartialConsumption(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		for _, portion := range []int{1, 7, 4096, 65535} {
			l := startLoop(t, poller)
			p := newProbe()
			want := noise(300_000)
			if portion == 7 { // so that it takes as many calls as the others
				want = want[:30_000]
			}
			done := make(chan struct{})
			p.data = func(c *Conn, b []byte) int {
				n := min(portion, len(b))
				if portion == 1 { // many bytes at a time, but never the last one
					n = max(len(b)-1, 0)
				}
				if p.got.Len()+len(b) == len(want) {
					n = len(b)
				}
				p.got.Write(b[:n])
				if p.got.Len() == len(want) {
					close(done)
				} else if n < len(b) {
					c.Pause() // asks for the rest to be shown again
					c.Resume()
				}
				return n
			}
			c, peer := attach(t, l, network, p)
			go func() { _, _ = peer.Write(want) }()
			await(t, done, "the last byte")
			on(t, l, func() {
				if !bytes.Equal(p.got.Bytes(), want) {
					t.Error("other bytes came than were sent")
				}
				if c.Unread() != 0 {
					t.Errorf("%d bytes are unread", c.Unread())
				}
			})
		}
	})
}

// TestOneByteAtATime keeps a message until it is whole.
func TestOneByteAtATime(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		const size = 500
		p := newProbe()
		p.data = func(c *Conn, b []byte) int {
			used := 0
			for ; len(b)-used >= size; used += size {
				p.got.Write(b[used : used+size])
				p.tell("whole")
			}
			return used
		}
		_, peer := attach(t, l, network, p)
		want := noise(3 * size)
		for i := range want {
			write(t, peer, want[i:i+1])
		}
		for range 3 {
			p.expect(t, "whole")
		}
		on(t, l, func() {
			if !bytes.Equal(p.got.Bytes(), want) {
				t.Error("other bytes came than were sent")
			}
		})
	})
}

// TestPauseKeepsBytes pauses with bytes left over and more arriving.
func TestPauseKeepsBytes(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		p := newProbe()
		p.data = func(c *Conn, b []byte) int {
			c.Pause()
			p.got.Write(b[:1])
			p.tell("one")
			return 1
		}
		c, peer := attach(t, l, network, p)
		want := []byte("abcdefgh")
		write(t, peer, want[:4])
		p.expect(t, "one")
		write(t, peer, want[4:])
		settle(t, l, 4)
		p.quiet(t)
		for range want[1:] {
			on(t, l, c.Resume)
			p.expect(t, "one")
		}
		on(t, l, func() {
			if !bytes.Equal(p.got.Bytes(), want) {
				t.Errorf("got %q", p.got.Bytes())
			}
			if !c.Paused() || c.Unread() != 0 {
				t.Errorf("paused %v, unread %d", c.Paused(), c.Unread())
			}
		})
	})
}

// TestResumeInsideData pauses and resumes within one call: what it leaves is
// shown again without anything new arriving.
func TestResumeInsideData(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		p := newProbe()
		first := true
		p.data = func(c *Conn, b []byte) int {
			if first {
				first = false
				c.Pause()
				c.Resume()
				return 0
			}
			p.tell("again " + string(b))
			return len(b)
		}
		_, peer := attach(t, l, network, p)
		write(t, peer, []byte("x"))
		p.expect(t, "again x")
	})
}

// TestSetHandlerInsideData hands the rest to another handler.
func TestSetHandlerInsideData(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		next := newProbe()
		p := newProbe()
		p.data = func(c *Conn, b []byte) int {
			c.SetHandler(next)
			return 2
		}
		_, peer := attach(t, l, network, p)
		write(t, peer, []byte("12345"))
		next.expect(t, "data 3")
	})
}

// TestCloseInsideData closes, and attaches the same Conn to another socket at
// once: bytes that the old one had left must not turn up in the new one.
func TestCloseInsideData(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		fd, newPeer := pair(t, network)
		p, next := newProbe(), newProbe()
		p.data = func(c *Conn, b []byte) int {
			c.Close()
			c.Close()
			if err := l.Attach(c, fd, next); err != nil {
				t.Error(err)
			}
			p.tell("closed")
			return 1
		}
		c, peer := attach(t, l, network, p)
		write(t, peer, []byte("secret of the old one"))
		p.expect(t, "closed")
		if _, err := peer.Read(make([]byte, 1)); err == nil {
			t.Error("the old connection is still there")
		}
		write(t, newPeer, []byte("new"))
		next.expect(t, "data 3")
		on(t, l, func() {
			if next.got.String() != "new" || l.Conns() != 1 {
				t.Errorf("the new connection got %q", next.got.String())
			}
			c.Close()
		})
	})
}

// TestNothingConsumed fails a handler's connection that would stall.
func TestNothingConsumed(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		p := newProbe()
		p.data = func(*Conn, []byte) int { return 0 }
		c, peer := attach(t, l, network, p)
		go func() { _, _ = peer.Write(make([]byte, 4*readBufferSize)) }()
		p.expect(t, "failed")
		on(t, l, c.Close)
	})
}

// TestDetach moves an idle connection from loop to loop, bytes flowing in
// between. It is refused while any are buffered.
func TestDetach(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		from, to := startLoop(t, poller), startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, from, network, p)
		total := 0
		for range 50 {
			var fd int
			on(t, from, func() {
				var ok bool
				if fd, _, ok = c.Detach(); !ok {
					t.Error("Detach was refused")
				}
				if c.Open() || from.Conns() != 0 {
					t.Error("still there")
				}
			})
			write(t, peer, []byte("early")) // while on no loop
			on(t, to, func() {
				if err := to.Attach(c, fd, p); err != nil {
					t.Error(err)
				}
				c.Send([]byte("moved"))
			})
			readFull(t, peer, []byte("moved"))
			for total += 5; ; {
				await(t, p.told, "the bytes")
				n := 0
				on(t, to, func() { n = p.got.Len() })
				if n == total {
					break
				}
			}
			from, to = to, from
		}
		on(t, from, func() {
			p.data = func(c *Conn, b []byte) int { c.Pause(); p.tell("kept"); return 0 }
		})
		write(t, peer, []byte("x"))
		p.expect(t, "kept")
		on(t, from, func() {
			if _, _, ok := c.Detach(); ok {
				t.Error("detached with unread bytes")
			}
			if !c.Open() {
				t.Error("a refused Detach closed it")
			}
		})
	})
}

// TestDetachRacesWithArrival detaches while bytes are on their way: whichever
// is first, each byte arrives once, in order.
func TestDetachRacesWithArrival(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		loops := [2]*Loop{startLoop(t, poller), startLoop(t, poller)}
		const total = 1 << 20
		var want stream
		p := newProbe()
		got := 0
		done := make(chan struct{})
		p.data = func(_ *Conn, b []byte) int {
			if !want.matches(b) {
				t.Error("bytes out of order")
			}
			if got += len(b); got == total {
				close(done)
			}
			return len(b)
		}
		c, peer := attach(t, loops[0], network, p)
		go func() {
			var s stream
			b := make([]byte, 512)
			for range total / len(b) {
				s.fill(b)
				_, _ = peer.Write(b)
			}
		}()
		at := 0
		for moved := 0; ; {
			select {
			case <-done:
				t.Logf("moved %d times", moved)
				return
			default:
			}
			fd, ok := -1, false
			on(t, loops[at], func() { fd, _, ok = c.Detach() })
			if !ok {
				continue
			}
			moved++
			at = 1 - at
			on(t, loops[at], func() {
				if err := loops[at].Attach(c, fd, p); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestSendMoreThanTheSocketTakes keeps the rest, in order, and tells when it
// is gone.
func TestSendMoreThanTheSocketTakes(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, l, network, p)
		want := noise(8 << 20)
		on(t, l, func() {
			for i := 0; i < len(want); i += 1 << 20 {
				c.Send(want[i : i+1<<20])
			}
			if c.Buffered() == 0 {
				t.Error("nothing is buffered")
			}
		})
		p.quiet(t)
		readFull(t, peer, want)
		p.expect(t, "drained")
		on(t, l, func() {
			if c.Buffered() != 0 || c.out != nil {
				t.Errorf("%d bytes are buffered", c.Buffered())
			}
			c.Send([]byte("more"))
		})
		readFull(t, peer, []byte("more"))
		p.quiet(t)
	})
}

// TestSteadySendDoesNotGrow keeps a few bytes buffered for ever: room that was
// sent is used again.
func TestSteadySendDoesNotGrow(t *testing.T) {
	l := idleLoop()
	c := &Conn{loop: l, flags: isOpen}
	var in, out stream
	b := make([]byte, 100)
	for range 10_000 {
		in.fill(b)
		c.keepUnsent(b)
		for c.Buffered() > 300 {
			if !out.matches(c.out[c.outSent : c.outSent+50]) {
				t.Fatal("bytes out of order")
			}
			c.outSent += 50
		}
	}
	if cap(c.out) > 1024 {
		t.Errorf("the buffer has grown to %d bytes", cap(c.out))
	}
}

func TestSendAfterClose(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		c, peer := attach(t, l, network, newProbe())
		on(t, l, func() {
			c.Send([]byte("last"))
			c.Close()
			c.Send([]byte("too late"))
			c.Pause()
			c.Resume()
			c.Finish()
		})
		if got, err := io.ReadAll(peer); err != nil || string(got) != "last" {
			t.Errorf("the peer read %q, %v", got, err)
		}
	})
}

// TestSendFails tells of a peer that is gone, after what it had said before.
func TestSendFails(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		p := newProbe()
		fd, peer := pair(t, "unix")
		write(t, peer, []byte("last words"))
		_ = peer.Close()
		var c Conn
		on(t, l, func() {
			if err := l.Attach(&c, fd, p); err != nil {
				t.Error(err)
			}
			c.Send([]byte("into the void"))
		})
		p.expect(t, "data 10")
		p.expect(t, "failed")
		on(t, l, func() { c.Send([]byte("again")); c.Close() })
		p.quiet(t)
	})
}

// TestResetWhilePaused tells of a reset at once.
func TestResetWhilePaused(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		for _, unread := range []string{"", "some bytes"} {
			l := startLoop(t, poller)
			p := newProbe()
			c, peer := attach(t, l, "tcp", p)
			on(t, l, c.Pause)
			write(t, peer, []byte(unread))
			settle(t, l, 2)
			reset(t, peer)
			p.expect(t, "failed")
			on(t, l, c.Resume)
			settle(t, l, 3)
			p.quiet(t)
			on(t, l, c.Close)
		}
	})
}

// TestHangUpWhilePaused tells of it once, and of the end after all bytes.
func TestHangUpWhilePaused(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		for _, size := range []int{0, 10, 60_000} {
			l := startLoop(t, poller)
			p := newProbe()
			var got int
			want := noise(size)
			p.data = func(_ *Conn, b []byte) int {
				if !bytes.HasPrefix(want[got:], b) {
					t.Error("other bytes came than were sent")
				}
				got += len(b)
				return len(b)
			}
			p.eof = func(*Conn) {
				if got != size {
					t.Errorf("the end came after %d bytes of %d", got, size)
				}
				p.tell("eof")
			}
			c, peer := attach(t, l, network, p)
			on(t, l, c.Pause)
			go func() {
				_, _ = peer.Write(want)
				_ = peer.(interface{ CloseWrite() error }).CloseWrite()
			}()
			p.expect(t, "hang-up")
			settle(t, l, 3)
			p.quiet(t)
			on(t, l, c.Resume)
			p.expect(t, "eof")
			p.quiet(t)
			on(t, l, func() { c.Send([]byte("still here")) })
			readFull(t, peer, []byte("still here"))
			on(t, l, c.Close)
		}
	})
}

// TestHalfClose goes on sending after the peer's end.
func TestHalfClose(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		l := startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, l, network, p)
		write(t, peer, []byte("question"))
		p.expect(t, "data 8")
		closeWrite(t, peer)
		p.expect(t, "eof")
		want := noise(4 << 20)
		on(t, l, func() { c.Send(want) })
		readFull(t, peer, want)
		p.expect(t, "drained")
		on(t, l, c.Close)
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer reads %v", err)
		}
	})
}

// TestUnixPeerIsGone: after its last bytes and its end, a peer that can't be
// sent to either is a dead connection.
func TestUnixPeerIsGone(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, l, "unix", p)
		write(t, peer, []byte("bye"))
		p.expect(t, "data 3")
		_ = peer.Close()
		p.expect(t, "eof")
		p.expect(t, "failed")
		on(t, l, c.Close)
	})
}

// TestAttachRefused leaves the descriptor to the caller. (With io_uring the
// kernel says so later, and Failed tells it.)
func TestAttachRefused(t *testing.T) {
	l := startLoop(t, "epoll")
	on(t, l, func() {
		var c Conn
		if err := l.Attach(&c, 1<<20, newProbe()); err == nil {
			t.Error("a descriptor that doesn't exist was attached")
		}
		if c.Open() || l.Conns() != 0 {
			t.Error("something was left behind")
		}
	})
}
