package proxy

import (
	"errors"
	"time"

	"carpool/proxy/reactor"

	"golang.org/x/sys/unix"
)

// Out of file descriptors, new clients wait in the kernel's queue until there
// are some again. What can be spared is given up for them: connections that only
// wait for their client to close them, and logins that should be through. If
// that doesn't help, it is because clients and servers have them all; then the
// console can still be reached by a Unix socket, on descriptors that were kept
// back for it.

const (
	// spareDescriptors is how many are kept back, spareRetry how soon after one
	// was lent it is tried to have it again.
	spareDescriptors = 4
	spareRetry       = 50 * time.Millisecond
	// loginDue is how long a login may take where descriptors are short.
	loginDue = time.Second
)

// spares are the descriptors kept back. They are owned by the loop that listens.
type spares struct {
	timer reactor.Timer
	fds   []int
	lent  bool                       // the next connection by a Unix socket is on one
	doors map[*reactor.Listener]bool // the Unix sockets
}

// refill opens what is missing, as far as that is possible.
func (s *spares) refill() {
	for len(s.fds) < spareDescriptors {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		s.fds = append(s.fds, fd)
	}
}

// lend gives a descriptor up, so that ln can accept one connection, and reports
// whether it has.
func (s *spares) lend(ln *reactor.Listener) bool {
	if !s.doors[ln] || len(s.fds) == 0 {
		return false
	}
	last := len(s.fds) - 1
	_ = unix.Close(s.fds[last])
	s.fds = s.fds[:last]
	s.lent = true
	return true
}

// taken reports whether the connection that ln has just accepted is on a
// descriptor that was lent.
func (s *spares) taken(ln *reactor.Listener) bool {
	taken := s.lent && s.doors[ln]
	s.lent = s.lent && !taken
	return taken
}

// close closes them all. Nobody may lend any afterwards.
func (s *spares) close() {
	closeAll(s.fds)
	s.fds, s.doors = nil, nil
}

// spareKeeper has what was lent again when there is something to be had.
type spareKeeper struct{ proxy *Proxy }

// Expired implements reactor.Expirer.
func (k spareKeeper) Expired(*reactor.Timer) {
	s, w := &k.proxy.spares, k.proxy.workers[0]
	s.lent = false // whoever it was for has gone away
	if s.refill(); len(s.fds) < spareDescriptors {
		w.Arm(&s.timer, w.Now()+spareRetry)
		return
	}
	for _, ln := range k.proxy.drain.listeners {
		ln.Resume()
	}
}

// outOfDescriptors does what can be done when there is none for a connection
// that waits at ln. It reports whether there is one now.
func (p *Proxy) outOfDescriptors(ln *reactor.Listener, err error) bool {
	if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
		return false
	}
	for _, w := range p.workers {
		w.Post(reactor.TaskFunc(w.giveUpDescriptors))
	}
	if !p.spares.lend(ln) {
		return false
	}
	for _, other := range p.drain.listeners {
		if !p.spares.doors[other] {
			other.Pause() // the next descriptor to be had is a spare again
		}
	}
	w := p.workers[0]
	w.Arm(&p.spares.timer, w.Now()+spareRetry)
	return true
}

// giveUpDescriptors closes what can be done without on this loop.
func (w *worker) giveUpDescriptors() {
	w.CutFinishing()
	for l := w.logins.first; l != nil && w.Now()-l.session.accepted > loginDue; l = w.logins.first {
		l.session.giveWay(noDescriptors())
	}
}
