package reactor

import (
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestPostKeepsOrder posts from many goroutines, now to a busy loop and now to
// a sleeping one; nothing may be lost, nor overtaken by work of the same poster.
func TestPostKeepsOrder(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		const posters, each = 8, 2000
		l := startLoop(t, poller)
		var seen [posters][]int
		var wg sync.WaitGroup
		for p := range posters {
			wg.Go(func() {
				for i := range each {
					if !l.Post(TaskFunc(func() { seen[p] = append(seen[p], i) })) {
						t.Error("Post was refused")
					}
					if i%97 == 0 {
						on(t, l, func() {})
					}
				}
			})
		}
		wg.Wait()
		on(t, l, func() {})
		for p, got := range seen {
			if len(got) != each || !slices.IsSorted(got) {
				t.Errorf("poster %d: %d tasks ran of %d, in order: %v", p, len(got), each, slices.IsSorted(got))
			}
		}
	})
}

// TestPostFromTheLoop posts work to itself, a task at a time: it has to go on
// without any event from outside.
func TestPostFromTheLoop(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		done := make(chan struct{})
		left := 1000
		var next TaskFunc
		next = func() {
			if left--; left == 0 {
				close(done)
				return
			}
			l.Post(next)
		}
		l.Post(next)
		await(t, done, "the last task")
	})
}

// TestStopRunsWhatWasAccepted stops amid posters: each task that Post took is
// run, each that it refused isn't.
func TestStopRunsWhatWasAccepted(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		for range 20 {
			l, err := NewLoop(0, time.Now(), poller)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- l.Run() }()
			ran := 0
			taken := make(chan int)
			for range 4 {
				go func() {
					n := 0
					for l.Post(TaskFunc(func() { ran++ })) {
						n++
					}
					taken <- n
				}()
			}
			runtime.Gosched()
			l.Stop()
			l.Stop()
			if err := await(t, done, "Run"); err != nil {
				t.Fatal(err)
			}
			want := 0
			for range 4 {
				want += await(t, taken, "a poster")
			}
			if ran != want {
				t.Fatalf("%d tasks ran, %d were accepted", ran, want)
			}
		}
	})
}

// TestRunClosesEverything ends a loop that has connections in every state.
func TestRunClosesEverything(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		before := descriptors(t)
		l, err := NewLoop(0, time.Now(), poller)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- l.Run() }()
		var conns [6]Conn
		for i := range conns {
			fd, peer := pair(t, networks[i%2])
			p := newProbe()
			on(t, l, func() {
				if err := l.Attach(&conns[i], fd, p); err != nil {
					t.Error(err)
				}
				switch i / 2 {
				case 0:
					conns[i].Pause()
				case 1:
					conns[i].Send(make([]byte, 8<<20))
				case 2:
					conns[i].Send([]byte("the end"))
					conns[i].Finish()
				}
			})
			defer peer.Close()
		}
		if n := l.Conns(); n != len(conns) {
			t.Errorf("Conns is %d, want %d", n, len(conns))
		}
		l.Stop()
		if err := await(t, done, "Run"); err != nil {
			t.Fatal(err)
		}
		if l.Conns() != 0 || l.Post(TaskFunc(func() {})) {
			t.Errorf("after Run: Conns %d, and Post must be refused", l.Conns())
		}
		if after := descriptors(t); after != before+len(conns) { // the peers' ends
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

// descriptors counts the open ones of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	dir, err := os.Open("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestNowMoves checks that the clock stands still within a turn, and never
// goes back.
func TestNowMoves(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		var last time.Duration
		for range 50 {
			on(t, l, func() {
				now := l.Now()
				if now < last || now > time.Since(l.epoch) {
					t.Errorf("the clock shows %v after %v", now, last)
				}
				if again := l.Now(); again != now {
					t.Errorf("the clock moved within a turn")
				}
				last = now
			})
		}
	})
}

func TestUnknownPoller(t *testing.T) {
	if _, err := NewLoop(0, time.Now(), "abacus"); err == nil {
		t.Error("a loop was made on an abacus")
	}
}

// TestClosedConnLeavesTheReadyList detaches a connection that the loop is about to
// attend to and attaches it elsewhere: the old loop must not touch it again.
// The race detector sees it if it does.
func TestClosedConnLeavesTheReadyList(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l1, l2 := startLoop(t, poller), startLoop(t, poller)
		p := newProbe()
		c, peer := attach(t, l1, "unix", p)
		for range 200 {
			var fd int
			on(t, l1, func() {
				c.Pause()
				c.kept = append(c.kept, 'x')
				c.Resume() // enlists it
				c.kept = nil
				var ok bool
				if fd, _, ok = c.Detach(); !ok {
					t.Error("Detach was refused")
				}
			})
			on(t, l2, func() {
				if err := l2.Attach(c, fd, p); err != nil {
					t.Error(err)
				}
			})
			l1, l2 = l2, l1
		}
		write(t, peer, []byte("hello"))
		p.expect(t, "data 5")
		on(t, l1, c.Close)
	})
}

// TestStaleEvents closes connections from the handler of another one whose
// events came with the same wake-up, and puts new ones in their place: nothing
// may reach those that was meant for the old ones.
func TestStaleEvents(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		const n = 16
		var conns, replacements [n]Conn
		var fds, newFDs [n]int
		for i := range n {
			var peer net.Conn
			fds[i], peer = pair(t, "unix")
			newFDs[i], _ = pair(t, "unix")
			write(t, peer, []byte("x"))
		}
		fresh, done := newProbe(), make(chan struct{})
		p := newProbe()
		p.data = func(first *Conn, b []byte) int {
			for i := range conns {
				conns[i].Close()
				if err := l.Attach(&replacements[i], newFDs[i], fresh); err != nil {
					t.Error(err)
				}
			}
			close(done)
			return len(b)
		}
		on(t, l, func() {
			for i := range n {
				if err := l.Attach(&conns[i], fds[i], p); err != nil {
					t.Error(err)
				}
			}
		})
		await(t, done, "the first connection")
		settle(t, l, 3)
		fresh.quiet(t)
		on(t, l, func() {
			if l.Conns() != n {
				t.Errorf("%d connections, want %d", l.Conns(), n)
			}
			for i := range replacements {
				replacements[i].Close()
			}
		})
	})
}
