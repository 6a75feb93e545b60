package reactor

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Handler is told what happens to a Conn, on the loop's goroutine.
type Handler interface {
	// Data gets bytes from the peer and answers how many it has consumed. The
	// rest is shown again in front of what comes next, or at once after
	// Resume. b is valid during the call only. A handler that consumes nothing
	// of a full buffer has to have called Pause.
	Data(c *Conn, b []byte) int
	// Drained is called when bytes that Send had to keep are all sent.
	Drained(c *Conn)
	// EOF is called when the peer has ended its sending side and everything it
	// sent was shown. Sending to it may still be possible.
	EOF(c *Conn)
	// HangUp is called once when the peer has ended its sending side while the
	// Conn is paused; bytes may still be unread. EOF follows when they are read.
	HangUp(c *Conn)
	// Failed is called once when the connection is dead: reset, or refused by
	// the TLS layer. What is left to do is Close.
	Failed(c *Conn, err error)
}

type connFlags uint16

const (
	isOpen       connFlags = 1 << iota
	isPaused               // the handler wants no more for now
	readArmed              // the poller looks for bytes to read
	writeArmed             // the poller looks for room to write
	atEOF                  // the peer sends no more, and all of it was shown
	hangUpTold             // HangUp or EOF was called
	isFailed               // Failed is due or was called
	failureTold            // Failed was called
	isReady                // in the loop's ready list
)

// Conn is a stream socket on a loop. The zero value is ready for Attach; it
// must not be copied afterwards.
type Conn struct {
	loop    *Loop
	handler Handler
	tls     *tlsLayer
	kept    []byte // shown to the handler, not consumed
	out     []byte // not sent yet, from outSent on
	failure error
	outSent int
	id      uint64
	fd      int32
	flags   connFlags
}

func (c *Conn) has(f connFlags) bool { return c.flags&f != 0 }
func (c *Conn) set(f connFlags)      { c.flags |= f }
func (c *Conn) clear(f connFlags)    { c.flags &^= f }

// Attach gives the descriptor fd, a connected non-blocking stream socket, to
// the loop as c. On an error the descriptor stays the caller's.
func (l *Loop) Attach(c *Conn, fd int, h Handler) error {
	if c.has(isOpen) {
		panic("reactor: Attach of a Conn that is open")
	}
	*c = Conn{loop: l, handler: h, fd: int32(fd), flags: isOpen | readArmed}
	hideFromSIGPIPE(fd)
	c.id = l.addSlot(slot{conn: c})
	if err := l.poller.add(fd, c.id, wantRead); err != nil {
		l.dropSlot(c.id)
		*c = Conn{}
		return fmt.Errorf("attaching a connection: %w", err)
	}
	l.conns.Add(1)
	return nil
}

// Loop is the loop that c belongs to, or nil while it is attached to none.
func (c *Conn) Loop() *Loop { return c.loop }

// Open reports whether c is attached and not closed.
func (c *Conn) Open() bool { return c.has(isOpen) }

// FD is the descriptor of an open Conn. It stays the Conn's.
func (c *Conn) FD() int { return int(c.fd) }

// SetHandler makes h the one that is told from now on.
func (c *Conn) SetHandler(h Handler) { c.handler = h }

// Buffered is the number of bytes that Send has kept.
func (c *Conn) Buffered() int { return len(c.out) - c.outSent }

// Unread is the number of bytes that were shown and not consumed.
func (c *Conn) Unread() int { return len(c.kept) }

// Pause stops the flow of Data until Resume. It costs nothing as long as the
// peer is silent.
func (c *Conn) Pause() { c.set(isPaused) }

// Paused reports whether c is paused.
func (c *Conn) Paused() bool { return c.has(isPaused) }

// Resume lets the flow of Data go on. Bytes that were kept are shown again
// soon, though not before Resume returns.
func (c *Conn) Resume() {
	if !c.has(isOpen) || !c.has(isPaused) {
		return
	}
	c.clear(isPaused)
	if !c.has(readArmed) && !c.has(atEOF) {
		c.set(readArmed)
		c.rearm()
	}
	if len(c.kept) > 0 || (c.tls != nil && c.tls.pending()) {
		c.enlist()
	}
}

// enlist puts c on the list of connections that the loop attends to before it
// waits again.
func (c *Conn) enlist() {
	if !c.has(isReady) {
		c.set(isReady)
		c.loop.ready = append(c.loop.ready, c)
	}
}

// attend does what was put off: the end of a failed connection, or another
// look at kept bytes.
func (c *Conn) attend() {
	switch {
	case !c.has(isOpen):
	case c.has(isFailed):
		c.tellFailure()
	case c.has(isPaused):
	case c.tls != nil:
		c.tls.pump(c)
	case len(c.kept) > 0:
		n := copy(c.loop.read, c.kept)
		c.deliver(n)
	}
}

// event is called by the loop for what the poller saw.
func (c *Conn) event(e events) {
	if e&eventWrite != 0 {
		c.flush()
	}
	if e&eventRead != 0 && c.has(isOpen) {
		if c.has(isPaused) {
			c.disarmRead()
		} else {
			c.receive()
		}
	}
	if e&eventError != 0 && c.has(isOpen) && (c.has(isPaused) || e&eventRead == 0) {
		c.fail(socketError(c.fd)) // otherwise it is met in reading
		c.tellFailure()
	}
	if e&eventHup != 0 && c.has(isOpen) {
		c.hangUp(e&eventShut != 0)
	}
}

// hangUp deals with a peer that has ended its sending side, which matters here
// only if reading doesn't find out: because reading is paused, or because the
// end was read before and the other direction has ended now as well.
func (c *Conn) hangUp(both bool) {
	switch {
	case c.has(atEOF):
		if both {
			c.fail(io.EOF)
			c.tellFailure()
		}
	case c.has(isPaused) && !c.has(hangUpTold):
		c.disarmRead()
		c.set(hangUpTold)
		c.handler.HangUp(c)
	}
}

// socketError asks the socket why it died.
func socketError(fd int32) error {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && n != 0 {
		return unix.Errno(n)
	}
	return io.EOF
}

func (c *Conn) disarmRead() {
	if c.has(readArmed) {
		c.clear(readArmed)
		c.rearm()
	}
}

func (c *Conn) rearm() {
	var want interest
	if c.has(readArmed) {
		want |= wantRead
	}
	if c.has(writeArmed) {
		want |= wantWrite
	}
	if err := c.loop.poller.modify(int(c.fd), c.id, want); err != nil {
		c.fail(err)
	}
}

// receive reads once. The poller comes back when there is more, so that no
// connection keeps the others waiting.
func (c *Conn) receive() {
	if c.tls != nil {
		c.tls.receive(c)
		return
	}
	l := c.loop
	kept := copy(l.read, c.kept)
	n, errno := recv(c.fd, l.read[kept:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.fail(errno)
		c.tellFailure()
	case n == 0 && kept < len(l.read):
		c.endOfInput()
	default:
		c.deliver(kept + n)
	}
}

// deliver shows the first n bytes of the loop's buffer to the handler and
// keeps what it leaves.
func (c *Conn) deliver(n int) {
	l := c.loop
	used := c.handler.Data(c, l.read[:n])
	if !c.has(isOpen) || c.loop != l {
		return
	}
	c.keep(l.read[used:n])
	if len(c.kept) >= len(l.read) && !c.has(isPaused) {
		c.fail(fmt.Errorf("nothing of %d bytes was consumed", n))
	}
}

// keep replaces the kept bytes by rest.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		if c.kept != nil {
			c.loop.buffers.give(c.kept)
			c.kept = nil
		}
		return
	}
	if cap(c.kept) < len(rest) {
		if c.kept != nil {
			c.loop.buffers.give(c.kept)
		}
		c.kept = c.loop.buffers.take(len(rest))
	}
	c.kept = append(c.kept[:0], rest...)
}

func (c *Conn) endOfInput() {
	c.set(atEOF | hangUpTold)
	c.disarmRead()
	if c.has(isFailed) {
		c.tellFailure()
		return
	}
	c.handler.EOF(c)
}

// fail marks the connection dead; the handler hears of it from tellFailure.
func (c *Conn) fail(err error) {
	if c.has(isFailed) {
		return
	}
	c.set(isFailed)
	c.failure = err
	c.enlist()
}

func (c *Conn) tellFailure() {
	if c.has(failureTold) {
		return
	}
	c.set(failureTold | hangUpTold)
	c.clear(readArmed | writeArmed)
	c.rearm()
	c.handler.Failed(c, c.failure)
}

// Close closes the connection at once; what Send has kept is lost. Closing
// twice is harmless.
func (c *Conn) Close() {
	if !c.has(isOpen) {
		return
	}
	_ = unix.Close(c.release())
}

// release takes the connection off its loop and returns the descriptor.
func (c *Conn) release() (fd int) {
	l := c.loop
	_ = l.poller.remove(int(c.fd))
	l.dropSlot(c.id)
	l.conns.Add(-1)
	if c.kept != nil {
		l.buffers.give(c.kept)
	}
	if c.out != nil {
		l.buffers.give(c.out)
	}
	fd = int(c.fd)
	c.kept, c.out, c.outSent, c.tls = nil, nil, 0, nil
	c.handler = nil
	c.fd = -1
	c.clear(isOpen | isReady)
	return fd
}

// Detach takes the connection off its loop without closing it: the descriptor,
// and the TLS layer if there is one, are the caller's, who may attach them
// elsewhere. No byte may be buffered in either direction; ok is false, and
// nothing happens, when some are.
func (c *Conn) Detach() (fd int, layer *TLS, ok bool) {
	if !c.has(isOpen) || len(c.kept) > 0 || c.Buffered() > 0 || c.has(isFailed) {
		return -1, nil, false
	}
	if c.tls != nil {
		if c.tls.pending() {
			return -1, nil, false
		}
		layer = &TLS{Conn: c.tls.conn, Feed: c.tls.feed}
	}
	return c.release(), layer, true
}
