package reactor

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// lastReads bounds how much is read from a connection that failed in sending.
const lastReads = 16

// event is called by the loop for what the poller saw.
func (c *Conn) event(e events) {
	id := c.id
	if e&eventWrite != 0 {
		c.flush()
	}
	if e&eventRead != 0 && c.owns(id) {
		if c.has(isPaused) {
			c.disarmRead()
		} else {
			c.receive()
		}
	}
	if e&eventError != 0 && c.owns(id) && !c.meetsErrorReading(e) {
		c.fail(socketError(c.fd))
		c.tellFailure()
	}
	if e&eventHup != 0 && c.owns(id) {
		c.hangUp(e&eventShut != 0)
	}
}

// meetsErrorReading reports whether an error is left to reading, which meets it
// behind the last bytes.
func (c *Conn) meetsErrorReading(e events) bool {
	return !c.has(isPaused) && (e&eventRead != 0 || c.has(isCarried) && c.has(readArmed))
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

// receive reads once, and reports whether there was something. The poller
// comes back when there is more, so that no connection keeps the others
// waiting.
func (c *Conn) receive() bool {
	if c.tls != nil {
		return c.tls.receive(c)
	}
	l := c.loop
	if len(c.kept) > readBufferSize {
		c.showKept()
		return true
	}
	kept := copy(l.read, c.kept)
	n, errno := recv(c.fd, l.read[kept:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return false
	case errno != 0:
		c.fail(errno)
		c.tellFailure()
		return false
	case n == 0 && kept < len(l.read):
		if !c.owesShow() {
			c.endOfInput()
		}
		return false
	}
	c.show(l.read[:kept+n])
	return true
}

// arrived takes bytes from a carrier. They are the carrier's again when it
// returns.
func (c *Conn) arrived(b []byte) {
	l := c.loop
	switch {
	case c.has(failureTold):
	case c.has(isPaused):
		c.kept = l.buffers.extend(c.kept, b)
		c.disarmRead()
	case len(c.kept) == 0:
		c.show(b)
	case len(c.kept)+len(b) <= readBufferSize:
		n := copy(l.read, c.kept)
		c.show(l.read[:n+copy(l.read[n:], b)])
	default:
		c.kept = l.buffers.extend(c.kept, b)
		c.showKept()
	}
}

// arrivedEnd is told by a carrier that the peer sends no more.
func (c *Conn) arrivedEnd() {
	if c.has(isPaused) {
		c.hangUp(false)
	} else if !c.has(atEOF) && !c.owesShow() {
		c.endOfInput()
	}
}

// owesShow reports whether kept bytes are about to be shown again, because the
// handler has asked for it. Until then the end has to wait; the poller comes
// back to it.
func (c *Conn) owesShow() bool {
	return c.has(isReady) && len(c.kept) > 0 && !c.has(isFailed)
}

// show gives b, which begins with everything that was kept, to the handler and
// keeps what it leaves.
func (c *Conn) show(b []byte) {
	used, ok := c.callData(b)
	if !ok {
		return
	}
	c.keep(b[used:])
	c.checkConsumed(used, len(b))
}

// showKept shows kept bytes again, a buffer's worth at a time: what arrives
// from a carrier while the connection is paused may be more.
func (c *Conn) showKept() {
	l := c.loop
	for len(c.kept) > readBufferSize {
		used, ok := c.callData(l.read[:copy(l.read, c.kept)])
		if !ok {
			return
		}
		used = min(used, len(c.kept)) // Finish may have thrown it away
		c.kept = c.kept[:copy(c.kept, c.kept[used:])]
		c.checkConsumed(used, readBufferSize)
		if c.has(isPaused | isFailed) {
			return
		}
	}
	if len(c.kept) > 0 {
		c.show(l.read[:copy(l.read, c.kept)])
	}
}

// callData calls the handler. ok is false when that has closed the connection.
func (c *Conn) callData(b []byte) (used int, ok bool) {
	id := c.id
	c.set(isShowing)
	used = c.handler.Data(c, b)
	if !c.owns(id) {
		return 0, false
	}
	c.clear(isShowing)
	return used, true
}

// checkConsumed fails a connection whose handler would wait for ever.
func (c *Conn) checkConsumed(used, shown int) {
	if used == 0 && shown == readBufferSize && !c.has(isPaused|isFinishing) {
		c.fail(fmt.Errorf("nothing of %d bytes was consumed", shown))
	}
}

// keep replaces the kept bytes by rest. A buffer that has become much too
// large goes back: a peer could otherwise pin it with a single byte.
func (c *Conn) keep(rest []byte) {
	buffers := &c.loop.buffers
	if len(rest) == 0 || cap(c.kept) < len(rest) || cap(c.kept) > 4*max(len(rest), smallestBuffer) {
		buffers.give(c.kept)
		c.kept = nil
	}
	if len(rest) == 0 {
		return
	}
	if c.kept == nil {
		c.kept = buffers.take(len(rest))
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

// lastWords tells the handler that the connection has failed, after everything
// that the peer had said before: often the message that explains it.
func (c *Conn) lastWords() {
	id := c.id
	for range lastReads {
		if !c.has(sendFailed) || c.has(isPaused|atEOF|failureTold) || !c.receive() || !c.owns(id) {
			break
		}
	}
	if c.owns(id) {
		c.tellFailure()
	}
}
