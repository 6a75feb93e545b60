package reactor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// tlsCase is one way to speak TLS.
type tlsCase struct {
	name    string
	version uint16
	server  bool // the loop's side is the TLS server
	dribble int  // the peer's bytes come in pieces of this size; 0: as they are
}

var tlsCases = []tlsCase{
	{"server 1.3", tls.VersionTLS13, true, 0},
	{"client 1.3", tls.VersionTLS13, false, 0},
	{"server 1.2", tls.VersionTLS12, true, 0},
	{"client 1.2", tls.VersionTLS12, false, 0},
	{"server 1.3 dribbling", tls.VersionTLS13, true, 37},
	{"client 1.2 dribbling", tls.VersionTLS12, false, 37},
}

func eachTLS(t *testing.T, test func(t *testing.T, poller string, tt tlsCase)) {
	t.Helper()
	eachPoller(t, func(t *testing.T, poller string) {
		for _, tt := range tlsCases {
			t.Run(tt.name, func(t *testing.T) { test(t, poller, tt) })
		}
	})
}

// dribbler writes in small pieces.
type dribbler struct {
	net.Conn
	size int
}

func (d dribbler) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = d.Conn.Write(b[n:min(n+d.size, len(b))])
		n += m
	}
	return n, err
}

// handshake makes a pair of connections that speak TLS. The peer sends early
// as soon as its own part of the handshake is through.
func handshake(t *testing.T, tt tlsCase, early []byte) (fd int, layer TLS, peer *tls.Conn, raw net.Conn) {
	t.Helper()
	fd, raw = pair(t, "tcp")
	below := raw
	if tt.dribble > 0 {
		below = dribbler{raw, tt.dribble}
	}
	serverConfig := &tls.Config{
		Certificates: []tls.Certificate{certificate()},
		MinVersion:   tt.version, MaxVersion: tt.version,
	}
	clientConfig := &tls.Config{InsecureSkipVerify: true, MaxVersion: tt.version}

	here := blockingConn(t, fd)
	layer.Feed = &Feed{Raw: here}
	if tt.server {
		layer.Conn = tls.Server(layer.Feed, serverConfig)
		peer = tls.Client(below, clientConfig)
	} else {
		layer.Conn = tls.Client(layer.Feed, clientConfig)
		peer = tls.Server(below, serverConfig)
	}
	peerDone := make(chan error, 1)
	go func() {
		err := peer.Handshake()
		if err == nil && len(early) > 0 {
			_, err = peer.Write(early)
		}
		peerDone <- err
	}()
	if tt.server { // what was read before the handshake began comes first
		layer.Feed.Prefix = make([]byte, 3)
		if _, err := io.ReadFull(here, layer.Feed.Prefix); err != nil {
			t.Fatal(err)
		}
	}
	if err := layer.Conn.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := await(t, peerDone, "the peer's handshake"); err != nil {
		t.Fatalf("the peer's handshake: %v", err)
	}
	_ = here.Close()
	layer.Feed.Switch()
	return fd, layer, peer, raw
}

// blockingConn is a net.Conn on a duplicate of fd.
func blockingConn(t *testing.T, fd int) net.Conn {
	t.Helper()
	dup, err := dupFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(dup), "dup")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// attachTLS puts a connection on the loop.
func attachTLS(t *testing.T, l *Loop, c *Conn, fd int, h Handler, layer TLS) {
	t.Helper()
	on(t, l, func() {
		if err := l.AttachTLS(c, fd, h, layer); err != nil {
			t.Error(err)
		}
	})
}

// TestTLS echoes, beginning with what the handshake has read too much, and
// ends in good order.
func TestTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		l := startLoop(t, poller)
		early := noise(1000)
		fd, layer, peer, _ := handshake(t, tt, early)
		p := newProbe()
		p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
		var c Conn
		attachTLS(t, l, &c, fd, p, layer)
		readFull(t, peer, early)
		for _, size := range []int{1, 100, 5000, 70_000, 1} {
			msg := noise(size)
			write(t, peer, msg)
			readFull(t, peer, msg)
		}
		on(t, l, func() {
			state, ok := c.TLSState()
			if !ok || state.Version != tt.version || !state.HandshakeComplete {
				t.Errorf("TLSState: %v, version %x", ok, state.Version)
			}
		})
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.expect(t, "eof")
		on(t, l, func() {
			c.Send([]byte("bye"))
			c.Finish()
		})
		readFull(t, peer, []byte("bye"))
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF { // not ErrUnexpectedEOF: a close_notify came
			t.Errorf("at the end the peer reads %v", err)
		}
		_ = peer.Close()
		awaitClosed(t, &c)
		p.quiet(t)
	})
}

// TestTLSPartialConsumption leaves a byte each time, and pauses now and then.
func TestTLSPartialConsumption(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		l := startLoop(t, poller)
		want := noise(300_000)
		fd, layer, peer, _ := handshake(t, tt, want[:100])
		p := newProbe()
		calls := 0
		done := make(chan struct{})
		p.data = func(c *Conn, b []byte) int {
			n := max(len(b)/2, 1)
			p.got.Write(b[:n])
			if p.got.Len() == len(want) {
				close(done)
				return n
			}
			c.Pause()
			if calls++; calls%3 == 0 {
				l.Post(TaskFunc(c.Resume))
			} else {
				c.Resume()
			}
			return n
		}
		var c Conn
		attachTLS(t, l, &c, fd, p, layer)
		go func() { _, _ = peer.Write(want[100:]) }()
		await(t, done, "the last byte")
		on(t, l, func() {
			if !bytes.Equal(p.got.Bytes(), want) {
				t.Error("other bytes came than were sent")
			}
			c.Close()
		})
	})
}

// TestTLSBackPressure echoes much to a peer that reads late.
func TestTLSBackPressure(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		total := 8 << 20
		if tt.dribble > 0 {
			total = 1 << 20
		}
		l := startLoop(t, poller)
		fd, layer, peer, _ := handshake(t, tt, nil)
		p := newProbe()
		most := 0
		p.data = func(c *Conn, b []byte) int {
			c.Send(b)
			most = max(most, c.Buffered()+c.Unread()+c.tls.feed.Pending())
			if c.Buffered() > 0 {
				c.Pause()
			}
			return len(b)
		}
		p.drained = func(c *Conn) { c.Resume() }
		p.eof = func(c *Conn) { c.Finish() }
		var c Conn
		attachTLS(t, l, &c, fd, p, layer)
		go func() {
			var s stream
			b := make([]byte, 1<<16)
			for range total / len(b) {
				s.fill(b)
				if _, err := peer.Write(b); err != nil {
					t.Errorf("writing: %v", err)
					break
				}
			}
			_ = peer.CloseWrite()
		}()
		var s stream
		got := 0
		for b := make([]byte, 50_000); ; {
			n, err := peer.Read(b)
			if !s.matches(b[:n]) {
				t.Fatal("other bytes came than were sent")
			}
			got += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got != total {
			t.Errorf("%d bytes came back of %d", got, total)
		}
		_ = peer.Close()
		awaitClosed(t, &c)
		if most > 1<<20 {
			t.Errorf("%d bytes were kept", most)
		}
	})
}

// TestTLSBareFIN: an end without close_notify is an end.
func TestTLSBareFIN(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		l := startLoop(t, poller)
		fd, layer, _, raw := handshake(t, tt, []byte("early"))
		p := newProbe()
		var c Conn
		attachTLS(t, l, &c, fd, p, layer)
		p.expect(t, "data 5")
		closeWrite(t, raw)
		p.expect(t, "eof")
		settle(t, l, 3)
		p.quiet(t)
		on(t, l, c.Close)
	})
}

// TestTLSEndWhilePaused: the end waits for its turn behind the bytes.
func TestTLSEndWhilePaused(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		for _, bare := range []bool{true, false} {
			l := startLoop(t, poller)
			fd, layer, peer, raw := handshake(t, tt, nil)
			p := newProbe()
			p.data = func(c *Conn, b []byte) int {
				p.got.Write(b)
				if p.got.Len() < 8 {
					c.Pause()
					p.tell("paused")
				}
				return len(b)
			}
			var c Conn
			attachTLS(t, l, &c, fd, p, layer)
			write(t, peer, []byte("one"))
			p.expect(t, "paused")
			write(t, peer, []byte("three"))
			if !bare {
				_ = peer.CloseWrite()
			}
			closeWrite(t, raw)
			p.expect(t, "hang-up")
			settle(t, l, 3)
			p.quiet(t)
			on(t, l, c.Resume)
			p.expect(t, "eof")
			on(t, l, func() {
				if p.got.String() != "onethree" {
					t.Errorf("got %q", p.got.String())
				}
				c.Close()
			})
		}
	})
}

// TestTLSGarbage: bytes that no key made kill the connection, not the loop.
func TestTLSGarbage(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		for _, garbage := range [][]byte{
			[]byte("\x17\x03\x03\x00\x20 this is no record of this session"),
			[]byte("Q\x00\x00\x00\x0dSELECT 1\x00"),
			noise(100_000),
		} {
			l := startLoop(t, poller)
			fd, layer, peer, raw := handshake(t, tt, nil)
			p := newProbe()
			var c Conn
			attachTLS(t, l, &c, fd, p, layer)
			write(t, peer, []byte("fine"))
			p.expect(t, "data 4")
			go func() { _, _ = raw.Write(garbage) }()
			p.expect(t, "failed")
			on(t, l, func() { c.Send([]byte("x")); c.Resume(); c.Close() })
			p.quiet(t)
		}
	})
}

// TestTLSDetach moves the layer with the connection.
func TestTLSDetach(t *testing.T) {
	eachTLS(t, func(t *testing.T, poller string, tt tlsCase) {
		from, to := startLoop(t, poller), startLoop(t, poller)
		fd, layer, peer, _ := handshake(t, tt, nil)
		p := newProbe()
		p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
		var c Conn
		attachTLS(t, from, &c, fd, p, layer)
		for range 20 {
			write(t, peer, []byte("there"))
			readFull(t, peer, []byte("there"))
			var moved *TLS
			on(t, from, func() {
				var ok bool
				if fd, moved, ok = c.Detach(); !ok {
					t.Error("Detach was refused")
				}
			})
			attachTLS(t, to, &c, fd, p, *moved)
			from, to = to, from
		}
		on(t, from, c.Close)
	})
}

// TestFeed is the part below crypto/tls alone.
func TestFeed(t *testing.T) {
	f := &Feed{Prefix: []byte("ab")}
	f.Switch()
	b := make([]byte, 3)
	owner := []byte("cdef")
	f.Put(owner)
	if n, err := f.Read(b); n != 3 || err != nil || string(b) != "abc" {
		t.Errorf("Read: %q, %v", b[:n], err)
	}
	f.Keep()
	copy(owner, "XXXX")
	f.Put([]byte("gh"))
	if f.Pending() != 5 {
		t.Errorf("Pending is %d", f.Pending())
	}
	got := make([]byte, 8)
	n, _ := f.Read(got)
	if string(got[:n]) != "defgh" {
		t.Errorf("Read: %q", got[:n])
	}
	if _, err := f.Read(got); err != error(errNoBytes) {
		t.Errorf("with no bytes: %v", err)
	}
	f.End()
	if _, err := f.Read(got); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := f.Write([]byte("out")); err != nil || string(f.Take()) != "out" || len(f.Take()) != 0 {
		t.Error("what was written can't be taken once")
	}
}
