package reactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// lingerLimit is how long a finished connection may take to read what it was
// sent and to close its side.
const lingerLimit = 2 * time.Second

// Finish closes c in good order: what Send has kept is sent, the sending side
// is shut, and what still arrives is thrown away until the peer closes too or
// a short time has passed. Closing at once would make the kernel answer unread
// bytes with a reset, which can take the last message, often the error that
// explains everything, from the peer. The handler hears no more of c; c stays
// open, and must not be used for another connection, until all that is done.
// Close cuts it short.
func (c *Conn) Finish() {
	if !c.has(isOpen) || c.has(isFinishing) {
		return
	}
	if c.has(isFailed) {
		c.Close()
		return
	}
	f := &finisher{conn: c}
	f.timer.Owner = f
	c.handler = f
	c.set(isFinishing)
	if c.loop.finishing == nil {
		c.loop.finishing = make(map[*finisher]struct{})
	}
	c.loop.finishing[f] = struct{}{}
	if c.tls != nil {
		c.tls.closeWrite(c)
	}
	c.push()
	if c.has(isFailed) {
		c.Close()
		return
	}
	c.keep(nil)
	c.loop.Arm(&f.timer, c.loop.now+lingerLimit)
	if c.Buffered() == 0 {
		f.Drained(c)
	}
	c.Resume()
}

// CutFinishing closes the connections of the loop that are being finished, for
// the sake of their descriptors. It is for the loop's goroutine, and not for a
// method of a handler of theirs.
func (l *Loop) CutFinishing() {
	for f := range l.finishing {
		f.conn.Close()
	}
}

// finisher is the handler of a connection that is being finished.
type finisher struct {
	conn  *Conn
	timer Timer
}

// Data implements Handler: nobody wants it any more.
func (f *finisher) Data(_ *Conn, b []byte) int { return len(b) }

// HangUp implements Handler.
func (f *finisher) HangUp(*Conn) {}

// Failed implements Handler.
func (f *finisher) Failed(*Conn, error) { f.conn.Close() }

// Expired implements Expirer: the peer has had its time.
func (f *finisher) Expired(*Timer) { f.conn.Close() }

// Drained implements Handler: everything is sent.
func (f *finisher) Drained(c *Conn) {
	if c.has(atEOF) {
		c.Close()
		return
	}
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
}

// EOF implements Handler: the peer has closed its side.
func (f *finisher) EOF(c *Conn) {
	if c.Buffered() == 0 {
		c.Close()
	}
}
