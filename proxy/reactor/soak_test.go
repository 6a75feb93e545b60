package reactor

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSoak echoes on many connections while each is paused, moved between two
// loops, consumed in odd portions, finished and closed at random. Each peer
// knows what has to come back: a byte of another connection, or of an earlier
// one with the same descriptor, shows at once.
func TestSoak(t *testing.T) {
	const conns, lives = 24, 12
	eachPoller(t, func(t *testing.T, poller string) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		loops := [2]*Loop{startLoop(t, poller), startLoop(t, poller)}
		var wg sync.WaitGroup
		for i := range conns {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				for range lives {
					liveOnce(t, loops, r)
				}
			})
		}
		wg.Wait()
		for _, l := range loops {
			awaitNoConns(t, l)
		}
	})
}

func awaitNoConns(t testing.TB, l *Loop) {
	t.Helper()
	for n := 1; n > 0; {
		on(t, l, func() { n = l.Conns() })
	}
}

// liveOnce is one connection's life, seen from its peer.
func liveOnce(t *testing.T, loops [2]*Loop, r *rand.Rand) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Error(err)
		return
	}
	_ = unix.SetNonblock(fds[0], true)
	file := os.NewFile(uintptr(fds[1]), "peer")
	peer, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		t.Error(err)
		return
	}
	defer peer.Close()
	start, size := r.Uint32(), 1+r.IntN(200_000)
	e := &echo{loops: loops, random: rand.New(rand.NewPCG(r.Uint64(), 0))}
	if r.IntN(3) == 0 {
		e.cutAt = 1 + r.IntN(size)
	}
	on(t, loops[0], func() {
		if err := loops[0].Attach(&e.conn, fds[0], e); err != nil {
			t.Error(err)
		}
	})
	go func() {
		out := stream{start}
		b := make([]byte, 1+r.IntN(20_000))
		for sent := 0; sent < size; {
			n := min(len(b), size-sent)
			out.fill(b[:n])
			if _, err := peer.Write(b[:n]); err != nil {
				return // cut
			}
			sent += n
		}
		_ = peer.(*net.UnixConn).CloseWrite()
	}()
	want := stream{start}
	got := 0
	b := make([]byte, 30_000)
	for {
		n, err := peer.Read(b)
		if !want.matches(b[:n]) {
			t.Errorf("after %d bytes came others than were sent", got)
			break
		}
		got += n
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			break
		}
		if err != nil {
			t.Errorf("reading: %v", err)
			break
		}
	}
	if e.cutAt == 0 && got != size {
		t.Errorf("%d bytes came back of %d", got, size)
	}
}

// echo sends back what it gets, in a restless way.
type echo struct {
	loops  [2]*Loop
	conn   Conn
	random *rand.Rand
	at     int
	seen   int
	cutAt  int
	posted bool // goOn is on its way, and nobody else resumes or moves it
}

func (e *echo) Data(c *Conn, b []byte) int {
	n := len(b)
	if e.random.IntN(3) == 0 {
		n = e.random.IntN(n + 1)
	}
	c.Send(b[:n])
	e.seen += n
	if e.cutAt > 0 && e.seen >= e.cutAt {
		if e.random.IntN(2) == 0 {
			c.Finish()
		} else {
			c.Close()
		}
		return n
	}
	c.Pause()
	switch {
	case c.Buffered() > 0: // until Drained
	case e.random.IntN(2) == 0:
		c.Resume()
	default:
		e.posted = true
		e.loops[e.at].Post(TaskFunc(e.goOn))
	}
	return n
}

// goOn resumes the connection, on the other loop if it can be moved.
func (e *echo) goOn() {
	e.posted = false
	fd, _, ok := e.conn.Detach()
	if !ok {
		e.conn.Resume()
		return
	}
	e.at = 1 - e.at
	to := e.loops[e.at]
	to.Post(TaskFunc(func() {
		if err := to.Attach(&e.conn, fd, e); err != nil {
			panic(err)
		}
	}))
}

func (e *echo) Drained(c *Conn) {
	if !e.posted {
		c.Resume()
	}
}

func (e *echo) HangUp(*Conn)            {}
func (e *echo) EOF(c *Conn)             { c.Finish() }
func (e *echo) Failed(c *Conn, _ error) { c.Close() }

// TestDescriptorUsedAgainAtOnce closes a connection in the turn it was attached
// in, or just after something was sent, and attaches another one that gets
// the same descriptor: whatever was prepared for the first must not happen to
// the second.
func TestDescriptorUsedAgainAtOnce(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		first, second := newProbe(), newProbe()
		for range 20 {
			fd1, peer1 := pair(t, "unix")
			fd2, peer2 := pair(t, "unix")
			write(t, peer2, []byte("for the second"))
			var c1, c2 Conn
			on(t, l, func() {
				if err := l.Attach(&c1, fd1, first); err != nil {
					t.Error(err)
				}
				c1.Send([]byte("from the first"))
				c1.Close()
				moved, err := dupFD(fd2) // the lowest free number, often fd1
				if err != nil {
					t.Error(err)
				}
				_ = unix.Close(fd2)
				if err := l.Attach(&c2, moved, second); err != nil {
					t.Error(err)
				}
			})
			second.expect(t, "data 14")
			on(t, l, func() { second.got.Reset(); c2.Close() })
			if got, err := io.ReadAll(peer1); err != nil || string(got) != "from the first" {
				t.Errorf("the first peer read %q, %v", got, err)
			}
			if got, err := io.ReadAll(peer2); err != nil || len(got) > 0 {
				t.Errorf("the second peer read %q, %v", got, err)
			}
		}
		first.quiet(t)
	})
}

// TestFlood has more bytes waiting, on many connections, than a loop has room
// for at once.
func TestFlood(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		const n, size = 64, 150_000
		l := startLoop(t, poller)
		conns, handlers := make([]Conn, n), make([]*probe, n)
		all := make(chan struct{}, n)
		hold, held := make(chan struct{}), make(chan struct{})
		l.Post(TaskFunc(func() { close(held); <-hold })) // the loop is busy meanwhile
		<-held
		for i := range conns {
			fd, peer := pair(t, "unix")
			p := newProbe()
			want := stream{uint32(i) << 8}
			got := 0
			p.data = func(_ *Conn, b []byte) int {
				if !want.matches(b) {
					t.Errorf("connection %d: other bytes came than were sent", i)
				}
				if got += len(b); got == size {
					all <- struct{}{}
				}
				return len(b)
			}
			handlers[i] = p
			l.Post(TaskFunc(func() {
				if err := l.Attach(&conns[i], fd, p); err != nil {
					t.Error(err)
				}
			}))
			go func() {
				b := make([]byte, size)
				(&stream{uint32(i) << 8}).fill(b)
				_, _ = peer.Write(b)
			}()
		}
		close(hold)
		for range conns {
			await(t, all, "a connection's last byte")
		}
		on(t, l, func() {
			for i := range conns {
				conns[i].Close()
			}
		})
		settle(t, l, 3)
		checkPoller(t, l)
	})
}
