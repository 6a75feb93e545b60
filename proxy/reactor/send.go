package reactor

import "golang.org/x/sys/unix"

// Send sends b, now as far as the socket takes it and the rest when there is
// room again. b is the caller's again when Send returns. Errors are told by
// Handler.Failed, later; sending on a dead connection does nothing.
func (c *Conn) Send(b []byte) {
	if !c.has(isOpen) || c.has(isFailed) {
		return
	}
	if c.tls != nil {
		c.tls.send(c, b)
		return
	}
	c.sendRaw(b)
}

func (c *Conn) sendRaw(b []byte) {
	if c.Buffered() > 0 {
		c.out = c.loop.buffers.extend(c.out, b)
		return
	}
	n, errno := send(c.fd, b)
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.ENOBUFS {
			c.fail(errno)
			return
		}
		n = 0
	}
	if n == len(b) {
		return
	}
	c.out = append(c.loop.buffers.take(len(b)-n), b[n:]...)
	c.outSent = 0
	c.set(writeArmed)
	c.rearm()
}

// flush sends kept bytes, now that there is room.
func (c *Conn) flush() {
	if c.Buffered() == 0 || c.has(isFailed) {
		return
	}
	n, errno := send(c.fd, c.out[c.outSent:])
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.ENOBUFS {
			c.fail(errno)
		}
		return
	}
	c.outSent += n
	if c.outSent < len(c.out) {
		return
	}
	c.loop.buffers.give(c.out)
	c.out, c.outSent = nil, 0
	c.clear(writeArmed)
	c.rearm()
	c.handler.Drained(c)
}
