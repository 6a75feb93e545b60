package reactor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Handler is told what happens to a Conn, on the loop's goroutine. Its methods
// may call those of the Conn, Close included; only Detach is for a Task.
type Handler interface {
	// Data gets bytes from the peer and answers how many it has consumed. The
	// rest is shown again in front of what comes next, or soon after Resume or
	// SetHandler. b is valid during the call only. A handler that consumes
	// nothing of 64 kB has to have called Pause, or the connection fails.
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
	// the TLS layer, or closed in both directions. What was unread while the
	// Conn was paused is lost. What is left to do is Close.
	Failed(c *Conn, err error)
}

type connFlags uint32

const (
	isOpen      connFlags = 1 << iota
	isPaused              // the handler wants no more for now
	isShowing             // Handler.Data is being called
	isReady               // in the loop's ready list
	isFinishing           // Finish was called
	readArmed             // the poller looks for bytes to read
	writeArmed            // the poller looks for room to write
	atEOF                 // the peer sends no more, and all of it was shown
	hangUpTold            // HangUp or EOF was called
	isFailed              // Failed is due or was called
	sendFailed            // sending found out: bytes may still be there to read
	failureTold           // Failed was called

	// Only where the poller is a carrier.
	isQueued    // what is in out goes with the next batch; the socket may well take it
	isCarried   // the carrier receives for this connection
	isTouched   // the carrier will look at it before its next system call
	isWatched   // the carrier has the poller watch it as well
	isReceiving // a receive is in flight
	isInBulk    // the loop reads from it in large pieces
)

// Conn is a stream socket on a loop. The zero value is ready for Attach; it
// must not be copied afterwards. A Conn that was closed can be attached again.
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
	return l.attach(c, fd, h, l.carrier != nil)
}

func (l *Loop) attach(c *Conn, fd int, h Handler, carried bool) error {
	if c.has(isOpen) {
		panic("reactor: Attach of a Conn that is open")
	}
	*c = Conn{loop: l, handler: h, fd: int32(fd), flags: isOpen | readArmed}
	c.id = l.addSlot(slot{conn: c})
	if carried {
		c.set(isCarried)
		l.carrier.touch(c)
	} else if err := l.poller.add(fd, c.id, wantRead); err != nil {
		l.dropSlot(c.id)
		*c = Conn{}
		return fmt.Errorf("attaching a connection: %w", err)
	}
	hideFromSIGPIPE(fd)
	l.conns.Add(1)
	return nil
}

// Loop is the loop that c belongs to or last belonged to, or nil if it was
// never attached.
func (c *Conn) Loop() *Loop { return c.loop }

// Open reports whether c is attached and not closed. It stays true after
// Finish until the connection is closed.
func (c *Conn) Open() bool { return c.has(isOpen) }

// FD is the descriptor of an open Conn. It stays the Conn's.
func (c *Conn) FD() int { return int(c.fd) }

// SetHandler makes h the one that is told from now on. Bytes that the old one
// has left are shown to h soon, unless c is paused.
func (c *Conn) SetHandler(h Handler) {
	if c.has(isFinishing) {
		return
	}
	c.handler = h
	if c.has(isOpen) && (c.has(isShowing) || len(c.kept) > 0) {
		c.enlist()
	}
}

// Buffered is the number of bytes that Send had to keep because the socket had
// no room.
func (c *Conn) Buffered() int {
	if c.has(isQueued) {
		return 0 // not refused yet
	}
	return len(c.out) - c.outSent
}

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
	if c.has(isFailed) {
		return
	}
	if !c.has(readArmed) && !c.has(atEOF) {
		c.set(readArmed)
		c.rearm()
	}
	if c.has(isShowing) || len(c.kept) > 0 || (c.tls != nil && c.tls.pending()) {
		c.enlist()
	}
}

// enlist puts c on the list of connections that the loop attends to before it
// waits again.
func (c *Conn) enlist() {
	if !c.has(isReady) {
		c.set(isReady)
		c.loop.ready = append(c.loop.ready, c.id)
	}
}

// attend does what was put off: the end of a failed connection, or another
// look at kept bytes.
func (c *Conn) attend() {
	switch {
	case !c.has(isOpen):
	case c.has(isFailed):
		c.lastWords()
	case c.has(isPaused):
	case c.tls != nil:
		c.tls.pump(c)
	case len(c.kept) > 0:
		c.showKept()
	}
}

// owns reports whether c is still the open connection with this id, after a
// handler was called that may have closed it, or even attached it anew.
func (c *Conn) owns(id uint64) bool { return c.has(isOpen) && c.id == id }

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

// rearm tells the poller what is looked for now.
func (c *Conn) rearm() {
	var want interest
	if c.has(readArmed) {
		want |= wantRead
	}
	if c.has(writeArmed) {
		want |= wantWrite
	}
	var err error
	if c.has(isCarried) {
		err = c.loop.carrier.change(c, want)
	} else {
		err = c.loop.poller.modify(int(c.fd), c.id, want)
	}
	if err != nil {
		c.fail(err)
	}
}

// Close closes the connection at once; what Send has kept is lost. Closing
// twice is harmless.
func (c *Conn) Close() {
	if !c.has(isOpen) {
		return
	}
	c.push()
	if !c.has(isCarried) {
		c.loop.poller.forget(int(c.fd))
	}
	_ = unix.Close(c.release())
}

// release takes the connection off its loop and returns the descriptor. The
// loop's lists may still hold its id, though never c itself, which may belong
// to another goroutine by the time they are looked at.
func (c *Conn) release() (fd int) {
	l := c.loop
	if c.has(isCarried) {
		l.carrier.drop(c)
	}
	l.dropSlot(c.id)
	l.conns.Add(-1)
	if f, ok := c.handler.(*finisher); ok {
		l.Forget(&f.timer)
		delete(l.finishing, f)
	}
	l.buffers.give(c.kept)
	l.buffers.give(c.out)
	fd = int(c.fd)
	c.kept, c.out, c.outSent, c.tls = nil, nil, 0, nil
	c.handler = nil
	c.fd = -1
	c.flags = 0
	return fd
}

// Detach takes the connection off its loop without closing it: the descriptor,
// and the TLS layer if there is one, are the caller's, who may attach them
// elsewhere. No byte may be buffered in either direction; ok is false, and
// nothing happens, when some are. It is for a Task, not for a method of c's
// own handler.
func (c *Conn) Detach() (fd int, layer *TLS, ok bool) {
	if !c.has(isOpen) || c.has(isFinishing|isShowing) {
		return -1, nil, false
	}
	c.push()
	if c.has(isFailed) || len(c.kept) > 0 || c.Buffered() > 0 {
		return -1, nil, false
	}
	if c.tls != nil {
		if c.tls.pending() {
			return -1, nil, false
		}
		layer = &TLS{Conn: c.tls.conn, Feed: c.tls.feed}
	}
	if c.has(isCarried) && !c.loop.carrier.part(c) {
		return -1, nil, false
	}
	if !c.has(isCarried) {
		_ = c.loop.poller.remove(int(c.fd))
	}
	return c.release(), layer, true
}
