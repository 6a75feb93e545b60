package proxy

import (
	"time"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What a client notifies itself, where the hub has what it listens on. From a
// server of its own the notification would come before the ReadyForQuery by
// which the client learns that its transaction is over, and some look for it
// just then, never again. By way of the hub it comes at some time later. So that
// ReadyForQuery waits:
//
//	none --a NOTIFY has completed--> notified --the transaction is over--> awaited
//	awaited --the hub has caught up, or takes too long--> due --ReadyForQuery--> none
//
// While own is awaited, the ReadyForQuery is the next thing in what the server has
// sent, which isn't looked at meanwhile: to everybody else it hasn't come yet, and
// the server is still at work. It goes out behind what is in the queue by then, as
// far as the client takes that.

// own is how far that is.
type own struct {
	stage  ownStage
	ticket uint64        // of what the hub was asked for
	since  time.Duration // when it was
	// late: it was waited for in vain, and hasn't come yet.
	late bool
}

type ownStage uint8

const (
	ownNone ownStage = iota
	ownNotified
	ownAwaited
	ownDue
)

// ownPatience is how long a ReadyForQuery waits for the hub. A hub that works
// takes about as long as a query that does nothing; one whose server stands still
// mustn't make all wait who notify. Until it has brought what one has waited for,
// that one waits for nothing more.
const ownPatience = 500 * time.Millisecond

// notified: a statement with an effect has completed.
func (s *session) notified(e *state.Effect) {
	l := s.listening
	if e.Kind == state.KindNotify && l != nil && l.own.stage == ownNone && l.handover != nil && l.handover.Len() > 0 {
		l.own.stage = ownNotified
	}
}

// notifiedInPart: a portal with deeds, if there are any, has been executed in part.
func (s *session) notifiedInPart(d *deeds) {
	if d == nil || s.listening == nil {
		return
	}
	for i := range d.effects {
		s.notified(&d.effects[i])
	}
}

// awaitsOwn reports whether a ReadyForQuery that has come has to wait. errand is
// what it is the answer to.
func (s *session) awaitsOwn(body []byte, errand errand) bool {
	o := &s.listening.own
	switch {
	case o.stage == ownNone || o.stage == ownDue || s.state != stateActive:
		return false
	case o.stage == ownAwaited:
		return true
	}
	if status, ok := wire.ParseReadyForQuery(body); !ok || status != wire.TxIdle || errand != errandNone {
		return false
	}
	if o.late {
		o.stage = ownNone
		return false
	}
	l := s.listening
	*o = own{stage: ownAwaited, ticket: l.hub.CatchUp(l.inbox), since: s.w.Now()}
	s.rearm()
	return true
}

// caughtUp: the hub has brought what it was asked for.
func (s *session) caughtUp(ticket uint64) {
	o := &s.listening.own
	if o.ticket != ticket {
		return
	}
	o.late = false
	if o.stage == ownAwaited {
		s.ownIsDue()
	}
}

// ownIsLate: the hub takes too long.
func (s *session) ownIsLate() {
	s.listening.own.late = true
	s.ownIsDue()
}

// ownIsDue lets the ReadyForQuery that waits go on.
func (s *session) ownIsDue() {
	s.listening.own.stage = ownDue
	s.server.conn.Resume()
	s.rearm()
}

// ownDeadline is when the ReadyForQuery waits no longer; 0 is never.
func (s *session) ownDeadline() time.Duration {
	if l := s.listening; l != nil && l.own.stage == ownAwaited {
		return l.own.since + s.proxy.ownPatience
	}
	return 0
}

// holdsReady reports whether a ReadyForQuery waits. The server has done its work
// by then: limits on its time are for what comes next.
func (s *session) holdsReady() bool {
	l := s.listening
	return l != nil && (l.own.stage == ownAwaited || l.own.stage == ownDue)
}

// ownFirst appends what comes before a ReadyForQuery that has waited.
func (s *session) ownFirst(dst []byte) []byte {
	l := s.listening
	if l.own.stage != ownDue {
		return dst
	}
	l.own.stage = ownNone
	s.listenReady(s.exchange.status) // what the transaction has UNLISTENed doesn't come
	if s.client.Buffered() > maxAhead {
		return dst // it takes nothing; the rest comes behind, see flush
	}
	return l.queue.appendNext(dst, len(dst)+maxAhead)
}
