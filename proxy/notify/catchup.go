package notify

import (
	"slices"
	"time"
)

// Catching up: how far the hub has to come so that it has brought everything
// that a client can know to be committed.
//
// A server that commits signals those that listen before it answers that it is
// ready again. A statement that is sent to the hub's server after that answer
// finds it signalled, and it sends its client all notifications that are there
// before it is ready in turn. So the answer to any statement that was sent after a
// commit was answered comes behind what that commit has notified. Servers of
// before version 13 may send notifications behind the answer; with these they come
// late.

// catchUp is a CatchUp that is under way.
type catchUp struct {
	listener Listener
	ticket   uint64
}

// catchUp begins one. It waits for its turn to be sent, with all others that come
// meanwhile.
func (h *Hub) catchUp(c *command) {
	if h.link.stream == nil {
		c.listener.CaughtUp(c.number) // nothing comes
		return
	}
	h.link.behind = append(h.link.behind, catchUp{c.listener, c.number})
}

// sayCatchUps sends a statement for those that wait, if there are any. No other
// such statement is under way.
func (h *Hub) sayCatchUps(now time.Time) {
	l := &h.link
	if len(l.behind) == 0 {
		return
	}
	l.catching, l.behind = l.behind, l.catching[:0]
	h.say(now, forCatchUp, nil, "")
}

// caughtUp: the answer has come.
func (l *link) caughtUp() {
	for _, c := range l.catching {
		c.listener.CaughtUp(c.ticket)
	}
	clear(l.catching)
	l.catching = l.catching[:0]
}

// giveUp ends all of them with the connection.
func (l *link) giveUp() {
	for _, c := range slices.Concat(l.catching, l.behind) {
		c.listener.CaughtUp(c.ticket)
	}
}

// forgetCatchUps forgets those of a Listener that leaves.
func (l *link) forgetCatchUps(gone Listener) {
	is := func(c catchUp) bool { return c.listener == gone }
	l.catching = slices.DeleteFunc(l.catching, is)
	l.behind = slices.DeleteFunc(l.behind, is)
}
