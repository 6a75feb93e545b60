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
	// AcceptFailed is told why no connection can be taken in for the moment.
	AcceptFailed(ln *Listener, err error)
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
	if ln.resting {
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
			ln.rest(err)
			return
		}
	}
}

// rest leaves new connections in the backlog for a while.
func (ln *Listener) rest(err error) {
	ln.resting = true
	_ = ln.loop.poller.modify(ln.fd, ln.id, 0)
	ln.loop.Arm(&ln.timer, ln.loop.now+acceptPause)
	ln.acceptor.AcceptFailed(ln, err)
}

// Expired implements Expirer: the rest is over.
func (ln *Listener) Expired(*Timer) {
	ln.resting = false
	_ = ln.loop.poller.modify(ln.fd, ln.id, wantRead)
}
