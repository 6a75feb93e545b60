package reactor

import "time"

// events is what a poller saw on one descriptor.
type events uint8

const (
	eventRead  events = 1 << iota // bytes, or the end of them, can be read
	eventWrite                    // there is room to write
	eventHup                      // the peer sends no more; bytes may still be unread
	eventShut                     // both sides have ended; bytes may still be unread
	eventError                    // the connection was reset
)

// interest is what a poller is asked to look for. The ends of a connection are
// always looked for.
type interest uint8

const (
	wantRead interest = 1 << iota
	wantWrite
)

// poller waits for descriptors. Its methods, wake apart, are called on the
// goroutine of its loop. Readiness is level-triggered: what isn't dealt with
// is reported again.
type poller interface {
	add(fd int, id uint64, want interest) error
	modify(fd int, id uint64, want interest) error
	remove(fd int) error
	// forget is remove for a descriptor that is closed next.
	forget(fd int)
	// wait looks for events, and blocks until one, wake or the timeout
	// (negative: none) if there are none and l.doze permits it. Then it calls
	// l.woke once and l.event for each.
	wait(l *Loop, timeout time.Duration) error
	wake()
	name() string
	close()
}

// carrier is a poller that also moves bytes: it receives for connections that
// are marked as carried, calling their arrived and arrivedEnd, and sends for
// all connections what is queued in them.
type carrier interface {
	// touch makes the carrier look at c before its next system call: bytes are
	// queued, or receiving is to begin or to end, as readArmed says.
	touch(c *Conn)
	// change is modify for a carried connection.
	change(c *Conn, want interest) error
	// drop ends everything under way for c, which is about to be closed; what
	// arrives still is thrown away.
	drop(c *Conn)
	// part ends it so that no byte is taken from the socket any more when it
	// returns. It answers false, and c goes on, when some were taken already.
	part(c *Conn) bool
}
