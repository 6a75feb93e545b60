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
	// wait blocks until an event, wake or the timeout (negative: none) and
	// calls l.woke once and then l.event for each.
	wait(l *Loop, timeout time.Duration) error
	wake()
	name() string
	close()
}
