package reactor

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// relay passes everything on from one connection to another, with
// back-pressure, and notes the most that was ever kept.
type relay struct {
	in, out Conn
	most    int
	ended   bool
}

func (r *relay) Data(_ *Conn, b []byte) int {
	r.out.Send(b)
	r.most = max(r.most, r.out.Buffered()+r.in.Unread())
	if r.out.Buffered() > 0 {
		r.in.Pause()
	}
	return len(b)
}
func (r *relay) Drained(*Conn)       {}
func (r *relay) HangUp(*Conn)        {}
func (r *relay) EOF(*Conn)           { r.ended = true; r.out.Finish() }
func (r *relay) Failed(*Conn, error) { r.in.Close(); r.out.Close() }

// sink is the handler of a relay's other end.
type sink struct{ r *relay }

func (s sink) Data(_ *Conn, b []byte) int { return len(b) }
func (s sink) Drained(*Conn) {
	s.r.most = max(s.r.most, s.r.in.Unread())
	s.r.in.Resume()
}
func (s sink) HangUp(*Conn)        {}
func (s sink) EOF(*Conn)           {}
func (s sink) Failed(*Conn, error) { s.r.in.Close(); s.r.out.Close() }

// TestBackPressure relays much more than memory may hold to a slow reader.
func TestBackPressure(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		const total = 200 << 20
		l := startLoop(t, poller)
		r := &relay{}
		inFD, source := pair(t, network)
		outFD, target := pair(t, network)
		on(t, l, func() {
			if err := l.Attach(&r.in, inFD, r); err != nil {
				t.Error(err)
			}
			if err := l.Attach(&r.out, outFD, sink{r}); err != nil {
				t.Error(err)
			}
		})
		block := noise(1 << 20)
		go func() {
			for range total / len(block) {
				if _, err := source.Write(block); err != nil {
					t.Errorf("writing: %v", err)
					break
				}
			}
			_ = source.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got := make([]byte, len(block))
		for range total / len(block) {
			if _, err := io.ReadFull(target, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, block) {
				t.Fatal("other bytes came than were sent")
			}
		}
		if n, err := target.Read(got); err != io.EOF {
			t.Errorf("after everything came %d bytes, %v", n, err)
		}
		on(t, l, func() {
			t.Logf("at most %d bytes were kept", r.most)
			if r.most > 1<<20 {
				t.Errorf("%d bytes were kept", r.most)
			}
			r.in.Close()
			r.out.Close()
		})
	})
}

// TestManyConns runs an echo over many connections at once.
func TestManyConns(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		const n, rounds = 300, 20
		l := startLoop(t, poller)
		p := newProbe()
		p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
		p.eof = func(c *Conn) { c.Finish() }
		conns := make([]Conn, n)
		peers := make([]net.Conn, n)
		for i := range conns {
			var fd int
			fd, peers[i] = pair(t, networks[i%2])
			on(t, l, func() {
				if err := l.Attach(&conns[i], fd, p); err != nil {
					t.Error(err)
					_ = unix.Close(fd)
				}
			})
		}
		msg := noise(3000)
		for range rounds {
			for i, peer := range peers {
				write(t, peer, msg[i:i+500+i])
			}
			for i, peer := range peers {
				readFull(t, peer, msg[i:i+500+i])
			}
		}
		for _, peer := range peers {
			closeWrite(t, peer)
		}
		for _, peer := range peers {
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
	})
}
