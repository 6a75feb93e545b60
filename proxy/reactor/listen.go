package reactor

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch bounds how many connections one event takes in, so that a
	// herd at the door doesn't hold up those inside.
	acceptBatch = 32
	// acceptPause is how long a listener rests when the process is out of
	// descriptors or memory: waiting connections stay in the backlog.
	acceptPause = 100 * time.Millisecond
)

// Acceptor is told of new connections, on the loop's goroutine.
type Acceptor interface {
	// Accept owns fd, a non-blocking socket, from here on. peer isn't valid for
	// a Unix socket.
	Accept(ln *Listener, fd int, peer netip.AddrPort)
	// AcceptFailed is told why no connection can be taken in for the moment. If
	// it answers that it has seen to that, it is tried again at once, and else
	// after a short rest.
	AcceptFailed(ln *Listener, err error) (again bool)
}

// Listener is a listening socket on a loop.
type Listener struct {
	loop     *Loop
	acceptor Acceptor
	timer    Timer
	id       uint64
	fd       int
	open     bool
	resting  bool
	paused   bool
}

// Listen gives fd, a listening non-blocking socket, to the loop. On an error it
// stays the caller's.
func (l *Loop) Listen(fd int, a Acceptor) (*Listener, error) {
	ln := &Listener{loop: l, acceptor: a, fd: fd, open: true}
	ln.timer.Owner = ln
	ln.id = l.addSlot(slot{listener: ln})
	if err := l.poller.add(fd, ln.id, wantRead); err != nil {
		l.dropSlot(ln.id)
		return nil, fmt.Errorf("attaching a listener: %w", err)
	}
	return ln, nil
}

// Close stops listening and closes the socket. Connections that wait in its
// backlog are reset by the kernel. Closing twice is harmless.
func (ln *Listener) Close() {
	if !ln.open {
		return
	}
	ln.open = false
	ln.loop.Forget(&ln.timer)
	_ = ln.loop.poller.remove(ln.fd)
	ln.loop.dropSlot(ln.id)
	_ = unix.Close(ln.fd)
}

func (ln *Listener) acceptAll() {
	if ln.resting || ln.paused {
		return
	}
	for range acceptBatch {
		fd, peer, err := accept(ln.fd)
		switch err {
		case nil:
			ln.acceptor.Accept(ln, fd, peer)
			if !ln.open {
				return
			}
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			if !ln.acceptor.AcceptFailed(ln, err) {
				ln.rest()
				return
			}
		}
	}
}

// rest leaves new connections in the backlog for a while.
func (ln *Listener) rest() {
	ln.resting = true
	ln.rearm()
	ln.loop.Arm(&ln.timer, ln.loop.now+acceptPause)
}

// Expired implements Expirer: the rest is over.
func (ln *Listener) Expired(*Timer) {
	ln.resting = false
	ln.rearm()
}

// Pause leaves new connections in the backlog until Resume.
func (ln *Listener) Pause() {
	ln.paused = true
	ln.rearm()
}

// Resume takes back Pause.
func (ln *Listener) Resume() {
	ln.paused = false
	ln.rearm()
}

// rearm tells the poller whether new connections are looked for now.
func (ln *Listener) rearm() {
	if !ln.open {
		return
	}
	want := wantRead
	if ln.resting || ln.paused {
		want = 0
	}
	_ = ln.loop.poller.modify(ln.fd, ln.id, want)
}
