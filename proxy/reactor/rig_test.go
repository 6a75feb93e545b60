package reactor

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// patience is a limit for failures: no test waits for it when all is well.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == fewDescriptors {
		os.Exit(runShortOfDescriptors())
	}
	goleak.VerifyTestMain(m)
}

// eachPoller runs a test on every back end that this system has.
func eachPoller(t *testing.T, test func(t *testing.T, poller string)) {
	t.Helper()
	for _, name := range pollerNames(t) {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func pollerNames(t testing.TB) []string {
	if runtime.GOOS != "linux" {
		return []string{"kqueue"}
	}
	names := []string{"epoll"}
	if p, err := newPoller("io_uring"); err == nil {
		p.close()
		names = append(names, "io_uring")
	} else {
		t.Logf("without io_uring: %v", err)
	}
	return names
}

// startLoop runs a loop until the end of the test.
func startLoop(t testing.TB, poller string) *Loop {
	t.Helper()
	l, err := NewLoop(0, time.Now(), poller)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		l.Stop()
		if err := await(t, done, "the end of the loop"); err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := l.Conns(); n != 0 {
			t.Errorf("%d connections are left after Run", n)
		}
	})
	return l
}

// on runs f on the loop's goroutine and waits for it.
func on(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(TaskFunc(func() { f(); close(done) })) {
		t.Fatal("the loop is stopped")
	}
	await(t, done, "a task")
}

// settle lets the loop come round n times, each time with a look for events.
func settle(t testing.TB, l *Loop, n int) {
	t.Helper()
	for range n {
		on(t, l, func() {})
	}
}

func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

// probe is a Handler that tells the test what happened. With nil functions it
// consumes everything and collects it.
type probe struct {
	data    func(c *Conn, b []byte) int
	drained func(c *Conn)
	eof     func(c *Conn)
	got     bytes.Buffer // the loop's goroutine only
	told    chan string
}

func newProbe() *probe { return &probe{told: make(chan string, 64)} }

func (p *probe) Data(c *Conn, b []byte) int {
	if p.data != nil {
		return p.data(c, b)
	}
	p.got.Write(b)
	p.tell(fmt.Sprintf("data %d", p.got.Len()))
	return len(b)
}

func (p *probe) Drained(c *Conn) {
	if p.drained != nil {
		p.drained(c)
		return
	}
	p.tell("drained")
}

func (p *probe) EOF(c *Conn) {
	if p.eof != nil {
		p.eof(c)
		return
	}
	p.tell("eof")
}

func (p *probe) HangUp(*Conn)            { p.tell("hang-up") }
func (p *probe) Failed(_ *Conn, _ error) { p.tell("failed") }

// tell never blocks the loop: a test that cares for a note reads the others.
func (p *probe) tell(s string) {
	select {
	case p.told <- s:
	default:
	}
}

// expect waits for a note and checks it.
func (p *probe) expect(t testing.TB, want string) {
	t.Helper()
	if got := await(t, p.told, want); got != want {
		t.Fatalf("told %q, want %q", got, want)
	}
}

// quiet checks that nothing more was told.
func (p *probe) quiet(t testing.TB) {
	t.Helper()
	select {
	case got := <-p.told:
		t.Fatalf("told %q, want nothing", got)
	default:
	}
}

// networks are the kinds of sockets that connections are tested on.
var networks = []string{"tcp", "unix"}

// pair returns a non-blocking descriptor and the connection at its other end,
// which is closed at the end of the test.
func pair(t testing.TB, network string) (fd int, peer net.Conn) {
	t.Helper()
	if network == "unix" {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fds[1]), "peer")
		defer file.Close()
		if peer, err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		fd = fds[0]
	} else {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if peer, err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		here, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fd = descriptor(t, here)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if err := peer.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

// descriptor takes the descriptor out of a net.Conn.
func descriptor(t testing.TB, c net.Conn) int {
	t.Helper()
	file, err := c.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := dupFD(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = unix.SetNonblock(fd, true)
	return fd
}

// attach makes a connection with p on the loop.
func attach(t testing.TB, l *Loop, network string, p Handler) (*Conn, net.Conn) {
	t.Helper()
	fd, peer := pair(t, network)
	c := new(Conn)
	on(t, l, func() {
		if err := l.Attach(c, fd, p); err != nil {
			t.Error(err)
		}
	})
	return c, peer
}

func dupFD(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// write fails the test when the peer can't.
func write(t testing.TB, peer io.Writer, b []byte) {
	t.Helper()
	if _, err := peer.Write(b); err != nil {
		t.Fatalf("the peer's write: %v", err)
	}
}

// readFull fails the test unless the peer reads exactly want.
func readFull(t testing.TB, peer io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(peer, got); err != nil {
		t.Fatalf("the peer's read: %v after %d bytes of %d", err, n, len(want))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the peer read other bytes than were sent")
	}
}

// closeWrite ends the peer's sending side.
func closeWrite(t testing.TB, peer net.Conn) {
	t.Helper()
	if err := peer.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// reset closes a TCP peer so that a RST is sent.
func reset(t testing.TB, peer net.Conn) {
	t.Helper()
	if err := peer.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
}

// noise is n bytes that differ wherever one looks.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// stream is an endless reader of bytes that depend on their position.
type stream struct{ pos uint32 }

func (s *stream) next() byte {
	s.pos++
	return byte((s.pos * 2654435761) >> 24)
}

func (s *stream) fill(b []byte) {
	for i := range b {
		b[i] = s.next()
	}
}

// matches reports whether b is what comes next.
func (s *stream) matches(b []byte) bool {
	for _, x := range b {
		if x != s.next() {
			return false
		}
	}
	return true
}
