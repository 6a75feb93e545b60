package reactor

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNoBusyLoop puts a connection into every state in which the poller might
// report the same thing without end, and counts the loop's turns.
func TestNoBusyLoop(t *testing.T) {
	states := []struct {
		name    string
		network string
		paused  bool
		enter   entrance
		told    []string
	}{
		{name: "idle", network: "tcp"},
		{name: "paused with unread bytes", network: "tcp", paused: true, enter: sendBytes},
		{name: "paused with unread bytes", network: "unix", paused: true, enter: sendBytes},
		{name: "end seen and still open", network: "tcp", enter: shut, told: []string{"eof"}},
		{name: "end seen and still open", network: "unix", enter: shut, told: []string{"eof"}},
		{name: "end while paused", network: "tcp", paused: true, enter: shut, told: []string{"hang-up"}},
		{name: "bytes and end while paused", network: "tcp", paused: true, enter: both(sendBytes, shut), told: []string{"hang-up"}},
		{name: "gone while paused", network: "unix", paused: true, enter: gone, told: []string{"hang-up"}},
		{name: "gone", network: "unix", enter: gone, told: []string{"eof", "failed"}},
		{name: "reset while paused", network: "tcp", paused: true, enter: resetPeer, told: []string{"failed"}},
		{name: "reset", network: "tcp", enter: resetPeer, told: []string{"failed"}},
		{name: "sending to a peer that doesn't read", network: "tcp", enter: stuff},
		{name: "sending to a peer that doesn't read", network: "unix", enter: stuff},
		{name: "sending after the peer's end", network: "tcp", enter: both(shut, stuff), told: []string{"eof"}},
		{name: "sending, paused, and the end", network: "tcp", paused: true, enter: both(stuff, shut), told: []string{"hang-up"}},
		{name: "finishing", network: "tcp", enter: finish},
	}
	eachPoller(t, func(t *testing.T, poller string) {
		for _, tt := range states {
			t.Run(tt.name+" on "+tt.network, func(t *testing.T) {
				l := startLoop(t, poller)
				p := newProbe()
				c, peer := attach(t, l, tt.network, p)
				if tt.paused {
					on(t, l, c.Pause)
				}
				if tt.enter != nil {
					tt.enter(t, l, c, p, peer)
				}
				for _, note := range tt.told {
					p.expect(t, note)
				}
				settle(t, l, 3)
				if n := turnsIn(t, l, 60*time.Millisecond); n > 12 {
					t.Errorf("%d turns", n)
				}
				p.quiet(t)
				on(t, l, c.Close)
			})
		}
	})
}

// testPeer is the part of a peer that the entrances need.
type testPeer interface {
	Write([]byte) (int, error)
	Close() error
}

// entrance brings a connection into a state.
type entrance func(t *testing.T, l *Loop, c *Conn, p *probe, peer testPeer)

func both(a, b entrance) entrance {
	return func(t *testing.T, l *Loop, c *Conn, p *probe, peer testPeer) {
		a(t, l, c, p, peer)
		b(t, l, c, p, peer)
	}
}

func sendBytes(t *testing.T, _ *Loop, _ *Conn, _ *probe, peer testPeer) {
	write(t, peer, []byte("nobody reads this"))
}

func shut(t *testing.T, _ *Loop, _ *Conn, _ *probe, peer testPeer) {
	if err := peer.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func gone(_ *testing.T, _ *Loop, _ *Conn, _ *probe, peer testPeer) { _ = peer.Close() }

func resetPeer(t *testing.T, _ *Loop, _ *Conn, _ *probe, peer testPeer) {
	if err := peer.(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
}

func stuff(t *testing.T, l *Loop, c *Conn, _ *probe, _ testPeer) {
	on(t, l, func() { c.Send(make([]byte, 16<<20)) })
}

func finish(t *testing.T, l *Loop, c *Conn, _ *probe, _ testPeer) { on(t, l, c.Finish) }

// turnsIn counts how often the loop wakes up in a while.
func turnsIn(t testing.TB, l *Loop, d time.Duration) uint64 {
	t.Helper()
	counted := make(chan uint64, 1)
	var before uint64
	b := newBell(func() { counted <- l.turns - before })
	on(t, l, func() {
		before = l.turns
		l.Arm(&b.timer, l.Now()+d)
	})
	return await(t, counted, "the bell")
}

// TestRoundTripAllocatesNothing bounces a message.
func TestRoundTripAllocatesNothing(t *testing.T) {
	eachNetwork(t, func(t *testing.T, poller, network string) {
		const rounds = 3000
		l := startLoop(t, poller)
		p := newProbe()
		p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
		fd, peer := pair(t, network)
		peerFD := descriptor(t, peer)
		defer unix.Close(peerFD)
		if err := unix.SetNonblock(peerFD, false); err != nil {
			t.Fatal(err)
		}
		var c Conn
		on(t, l, func() {
			if err := l.Attach(&c, fd, p); err != nil {
				t.Error(err)
			}
		})
		msg := make([]byte, 200)
		bounce := func(n int) {
			for range n {
				if _, err := unix.Write(peerFD, msg); err != nil {
					t.Fatal(err)
				}
				if _, err := unix.Read(peerFD, msg); err != nil {
					t.Fatal(err)
				}
			}
		}
		bounce(100)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bounce(rounds)
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > rounds/20 {
			t.Errorf("%d allocations in %d round trips", n, rounds)
		}
		on(t, l, c.Close)
	})
}
