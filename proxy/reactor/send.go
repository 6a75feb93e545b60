package reactor

import "golang.org/x/sys/unix"

// sendBatch bounds what waits for a carrier's next batch, in bytes; more is
// sent with a system call of its own.
const sendBatch = 32 << 10

// Send sends b, now as far as the socket takes it and the rest when there is
// room again. b is the caller's again when Send returns. What is kept has no
// limit: whoever sends looks at Buffered and stops. Errors are told by
// Handler.Failed, later; sending on a dead connection does nothing.
func (c *Conn) Send(b []byte) {
	if len(b) == 0 || !c.has(isOpen) || c.has(isFailed|isFinishing) {
		return
	}
	if c.tls != nil {
		c.tls.send(c, b)
		return
	}
	c.sendRaw(b)
}

func (c *Conn) sendRaw(b []byte) {
	if !c.has(writeArmed) && c.loop.carrier != nil && len(c.out)+len(b) <= sendBatch {
		c.keepUnsent(b)
		c.set(isQueued)
		c.loop.carrier.touch(c)
		return
	}
	c.push()
	if c.has(isFailed) {
		return
	}
	if c.Buffered() > 0 {
		c.keepUnsent(b)
		return
	}
	if n, ok := c.sendNow(b); ok && n < len(b) {
		c.keepUnsent(b[n:])
		c.awaitRoom()
	}
}

// push sends what is queued, without waiting for the batch.
func (c *Conn) push() {
	if !c.has(isQueued) {
		return
	}
	c.clear(isQueued)
	if n, ok := c.sendNow(c.out); ok {
		c.sentQueued(n)
	}
}

// sentQueued notes that the socket has taken n bytes of what was queued.
func (c *Conn) sentQueued(n int) {
	c.clear(isQueued)
	c.outSent += n
	if c.Buffered() > 0 {
		c.awaitRoom()
	} else {
		c.dropSent()
	}
}

func (c *Conn) awaitRoom() {
	c.set(writeArmed)
	c.rearm()
}

// sendNow offers b to the socket. ok is false when the connection is dead.
func (c *Conn) sendNow(b []byte) (n int, ok bool) {
	n, errno := send(c.fd, b)
	return n, c.stillSends(errno)
}

// stillSends reports whether sending may go on after errno, and fails the
// connection if not.
func (c *Conn) stillSends(errno unix.Errno) bool {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		return true
	}
	c.fail(errno)
	c.set(sendFailed)
	return false
}

// keepUnsent puts b behind what is to be sent. Room that was sent already is
// used first, so that a steady flow doesn't make the buffer grow.
func (c *Conn) keepUnsent(b []byte) {
	if c.outSent > 0 && len(c.out)+len(b) > cap(c.out) {
		c.out = c.out[:copy(c.out, c.out[c.outSent:])]
		c.outSent = 0
	}
	c.out = c.loop.buffers.extend(c.out, b)
}

// flush sends kept bytes, now that there is room.
func (c *Conn) flush() {
	if c.Buffered() == 0 || c.has(isFailed) {
		return
	}
	n, ok := c.sendNow(c.out[c.outSent:])
	if !ok {
		return
	}
	c.outSent += n
	if c.Buffered() > 0 {
		return
	}
	c.dropSent()
	c.clear(writeArmed)
	c.rearm()
	c.handler.Drained(c)
}

// dropSent gives the buffer of sent bytes back.
func (c *Conn) dropSent() {
	c.loop.buffers.give(c.out)
	c.out, c.outSent = nil, 0
}
