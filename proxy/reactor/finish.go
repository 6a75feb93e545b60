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
// explains everything, from the peer. The handler hears no more of c.
func (c *Conn) Finish() {
	if !c.has(isOpen) {
		return
	}
	if c.has(isFailed) || (c.has(atEOF) && c.Buffered() == 0) {
		c.Close()
		return
	}
	f := &finisher{conn: c}
	f.timer.Owner = f
	c.handler = f
	if c.tls != nil {
		c.tls.closeWrite(c)
	}
	c.loop.Arm(&f.timer, c.loop.now+lingerLimit)
	c.keep(nil)
	c.Resume()
	if c.Buffered() == 0 {
		f.Drained(c)
	}
}

// finisher is the handler of a connection that is being finished.
type finisher struct {
	conn  *Conn
	timer Timer
}

func (f *finisher) Data(_ *Conn, b []byte) int { return len(b) }
func (f *finisher) HangUp(*Conn)               {}
func (f *finisher) Failed(*Conn, error)        { f.end() }
func (f *finisher) Expired(*Timer)             { f.end() }

func (f *finisher) Drained(c *Conn) {
	if c.has(atEOF) {
		f.end()
		return
	}
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
}

func (f *finisher) EOF(c *Conn) {
	if c.Buffered() == 0 {
		f.end()
	}
}

func (f *finisher) end() {
	f.conn.loop.Forget(&f.timer)
	f.conn.Close()
}
