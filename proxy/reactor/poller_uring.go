//go:build linux

package reactor

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// uring is a poller on io_uring, and a carrier. Everything that is about
// readiness (listeners, TLS connections, room to send, the end of a connection
// that isn't being received from) it leaves to an epoll set, whose descriptor
// is itself polled by the ring.
//
// Sending. What is queued in connections goes with the system call that the
// loop makes anyway. These sends don't wait for room, so that they are over
// when the call returns: the kernel never reads a buffer of ours while we run.
// What the socket didn't take is kept and sent when epoll sees room.
//
// Receiving. A carried connection is in one of these states:
//
//	resting    no request, because readArmed isn't set; epoll watches for its end.
//	receiving  one request is in flight, for one piece in a provided buffer. It
//	           stays there when the connection is paused: what arrives is kept,
//	           and then it rests.
//	in bulk    a piece has filled its buffer. Until nothing more is there, the
//	           loop reads large pieces itself, once a turn.
//
// Another request is made only when the completion of the one before has been
// dealt with, so that the pieces are in order. (A request that goes on for all
// pieces would save a little, but one peer could have dozens of buffers filled
// before a Pause is heard of.) Completions name connections by id: those that
// come for one that is gone find none, and their buffers go back like all
// others. The kernel closes a socket when its receive has ended, at the loop's
// next system call.
type uring struct {
	*epoll
	ring    *ring
	buffers *providedBuffers

	touched     []uint64 // ids of connections to look at before the next system call
	orphans     []uint64 // ids whose connection is gone, to be cancelled
	inBulk      []uint64 // ids to read from in this turn
	completions []completion
	spare       []completion
	watching    bool // the ring polls the epoll set
}

// The two highest bits of a completion's user data say what it is about; the
// rest is the id of a connection.
const (
	aboutReceive = iota << 62
	aboutSend
	aboutCancel
	aboutEpoll

	aboutMask uint64 = 3 << 62
)

const (
	// submitTries bounds how often the kernel may be too busy for a request.
	submitTries = 10_000
	// partTries bounds how often it is asked whether a receive has ended.
	partTries = 64
)

func newUring() (poller, error) {
	r, err := newRing()
	if err != nil {
		return nil, err
	}
	buffers, err := provide(r)
	if err != nil {
		r.close()
		return nil, err
	}
	inner, err := newEpoll()
	if err != nil {
		r.close()
		buffers.free()
		return nil, err
	}
	return &uring{epoll: inner, ring: r, buffers: buffers}, nil
}

func (u *uring) name() string { return "io_uring" }

func (u *uring) close() {
	u.ring.close()
	if u.ring.enabled {
		runtime.UnlockOSThread()
	}
	u.buffers.free()
	u.epoll.close()
}

// wait makes one system call for everything that was queued and everything
// that has arrived, and blocks in a second one only if nothing has.
func (u *uring) wait(l *Loop, timeout time.Duration) error {
	if !u.ring.enabled {
		runtime.LockOSThread() // the ring belongs to one thread
		if err := u.ring.enable(); err != nil {
			runtime.UnlockOSThread()
			return err
		}
	}
	u.prepare(l)
	if err := u.submitAll(); err != nil {
		return err
	}
	idle := len(u.completions) == 0 && len(u.inBulk) == 0 && len(l.ready) == 0
	if idle && timeout != 0 && l.doze() {
		switch errno := u.ring.sleep(timeout); errno {
		case 0, unix.EINTR, unix.ETIME:
			u.completions = u.ring.take(u.completions)
		default:
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
	}
	l.woke()
	u.dispatch(l)
	return nil
}

// submitAll gives the kernel every submission, and takes what is complete.
// None may stay behind: a send's buffer is ours again afterwards.
func (u *uring) submitAll() error {
	for range submitTries {
		errno := u.ring.submit()
		u.completions = u.ring.take(u.completions)
		switch errno {
		case 0, unix.EINTR, unix.EBUSY, unix.EAGAIN:
		default:
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
		if u.ring.unsubmitted() == 0 {
			return nil
		}
	}
	return fmt.Errorf("io_uring_enter: %w", unix.EAGAIN)
}

// request returns a blank submission.
func (u *uring) request() *submission {
	for u.ring.full() {
		if u.submitAll() != nil {
			break // met again by wait
		}
	}
	return u.ring.next()
}

// prepare makes requests of what connections want.
func (u *uring) prepare(l *Loop) {
	for _, id := range u.touched {
		c := l.conn(id)
		if c == nil {
			continue
		}
		if c.has(isQueued) {
			s := u.request()
			s.opcode, s.fd, s.userData = opSend, c.fd, aboutSend|id
			s.addr, s.length = addressOf(c.out[c.outSent:]), uint32(len(c.out)-c.outSent)
			s.opFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
		}
		if c.has(isCarried) && c.has(readArmed) && !c.has(isReceiving) {
			u.prepareReceive(c)
		}
		c.clear(isTouched) // not before: once in the list is enough, twice would send twice
	}
	u.touched = u.touched[:0]
	for _, id := range u.orphans {
		u.cancel(id)
	}
	u.orphans = u.orphans[:0]
	if !u.watching {
		u.watching = true
		s := u.request()
		s.opcode, s.fd, s.userData, s.opFlags = opPollAdd, int32(u.epoll.fd), aboutEpoll, unix.POLLIN
	}
}

func (u *uring) prepareReceive(c *Conn) {
	switch {
	case !c.has(isInBulk):
		c.set(isReceiving)
		s := u.request()
		s.opcode, s.fd, s.userData = opRecv, c.fd, aboutReceive|c.id
		s.flags, s.ioprio, s.group = sqeBufferSelect, recvPollFirst, providedGroup
	case c.has(isPaused):
		c.disarmRead()
	default:
		u.inBulk = append(u.inBulk, c.id)
	}
}

// cancel requests the end of the receive of the connection with this id.
func (u *uring) cancel(id uint64) {
	s := u.request()
	s.opcode, s.fd, s.addr, s.userData = opAsyncCancel, -1, aboutReceive|id, aboutCancel|id
}

// dispatch tells connections what is complete. Sends come first, and call no
// handler: whoever is called afterwards finds no buffer in an unclear state.
func (u *uring) dispatch(l *Loop) {
	list := u.completions
	u.completions = u.spare[:0]
	for i := range list {
		if done := &list[i]; done.userData&aboutMask == aboutSend {
			u.sent(l.conn(done.userData&^aboutMask), done.res)
		}
	}
	for i := range list {
		done := &list[i]
		id := done.userData &^ aboutMask
		switch done.userData & aboutMask {
		case aboutReceive:
			u.received(l.conn(id), done)
		case aboutCancel:
			if done.res == -int32(unix.EALREADY) && l.conn(id) == nil {
				u.orphans = append(u.orphans, id) // it came at a bad moment
			}
		case aboutEpoll:
			u.watching = false
			n, _ := u.epoll.poll()
			u.epoll.dispatch(l, n)
		}
	}
	u.spare = list[:0]
	for _, id := range u.inBulk {
		if c := l.conn(id); c != nil {
			u.readBulk(c)
		}
	}
	u.inBulk = u.inBulk[:0]
}

// readBulk reads once without the ring, unless the connection was paused since
// it was put down for that. prepare sees to what comes next.
func (u *uring) readBulk(c *Conn) {
	u.touch(c)
	if !c.has(readArmed) || c.has(isPaused) {
		return
	}
	id := c.id
	if more := c.receive(); !more && c.owns(id) {
		c.clear(isInBulk)
	}
}

func (u *uring) sent(c *Conn, res int32) {
	if c == nil || !c.has(isQueued) {
		return
	}
	c.clear(isQueued)
	if c.stillSends(unix.Errno(max(-res, 0))) {
		c.sentQueued(int(max(res, 0)))
	}
}

func (u *uring) received(c *Conn, done *completion) {
	if c != nil {
		c.clear(isReceiving)
		if done.res == providedSize {
			c.set(isInBulk)
		}
		u.touch(c)
	}
	if done.flags&cqeBuffer != 0 {
		id := uint16(done.flags >> cqeBufferShift)
		if c != nil && done.res > 0 {
			c.arrived(u.buffers.bytes(id, int(done.res)))
		}
		u.buffers.give(id)
	}
	if c == nil || done.res > 0 || c.has(failureTold) {
		return
	}
	switch errno := unix.Errno(-done.res); errno {
	case 0:
		c.arrivedEnd()
	case unix.ENOBUFS, unix.ECANCELED, unix.EAGAIN, unix.EINTR: // touched above, if it is to go on
	default:
		c.fail(errno)
		c.tellFailure()
	}
}

// touch implements carrier.
func (u *uring) touch(c *Conn) {
	if !c.has(isTouched) {
		c.set(isTouched)
		u.touched = append(u.touched, c.id)
	}
}

// change implements carrier. As long as a connection is received from and has
// nothing to send, epoll knows nothing of it.
func (u *uring) change(c *Conn, want interest) error {
	u.touch(c)
	others := want &^ wantRead
	switch {
	case want == wantRead && c.has(isWatched):
		c.clear(isWatched)
		return u.epoll.remove(int(c.fd))
	case want == wantRead:
		return nil
	case c.has(isWatched):
		return u.epoll.modify(int(c.fd), c.id, others)
	}
	c.set(isWatched)
	return u.epoll.add(int(c.fd), c.id, others)
}

// drop implements carrier.
func (u *uring) drop(c *Conn) {
	if c.has(isWatched) {
		_ = u.epoll.remove(int(c.fd))
	}
	if c.has(isReceiving) {
		u.orphans = append(u.orphans, c.id)
	}
}

// part implements carrier.
func (u *uring) part(c *Conn) bool {
	if !c.has(isReceiving) {
		return true
	}
	u.cancel(c.id)
	looked := 0
	for range partTries {
		if u.submitAll() != nil {
			return false
		}
		for ; looked < len(u.completions); looked++ {
			done := &u.completions[looked]
			if done.userData != aboutReceive|c.id {
				continue
			}
			if done.res != -int32(unix.ECANCELED) && done.res != -int32(unix.ENOBUFS) {
				return false // dispatched with the rest
			}
			c.clear(isReceiving)
			return true
		}
	}
	return false
}
