package proxy

import (
	"sync"

	"carpool/proxy/notify"
	"carpool/proxy/reactor"
	"carpool/proxy/wire"
)

// What the hub brings to a session: from the hub's goroutine to the session's
// loop, where it waits until the client is between transactions.

// maxInbox is how many notifications may be on their way to a loop for one
// session. A loop that works takes them at once; what is kept for the client is
// bounded by listen_queue_size.
const maxInbox = 1 << 17

// inbox is a session as the hub knows it. However much arrives, one task is
// posted until the loop has had its turn.
type inbox struct {
	session *session // immutable; touched on its loop alone

	mu     sync.Mutex
	events []hubEvent
	notes  int
	full   bool
	posted bool
}

// hubEvent is a call of one of the Listener's methods.
type hubEvent struct {
	kind    hubEventKind
	batch   []notify.Note
	channel string
	ticket  uint64
	err     error
}

type hubEventKind uint8

const (
	hubNotes hubEventKind = iota
	hubSubscribed
	hubLost
	hubRestored
	hubCaughtUp
	hubOverran // notifications were dropped
)

// Notes implements notify.Listener.
func (b *inbox) Notes(batch []notify.Note) { b.post(hubEvent{kind: hubNotes, batch: batch}) }

// Subscribed implements notify.Listener.
func (b *inbox) Subscribed(channel string, ticket uint64, err error) {
	b.post(hubEvent{kind: hubSubscribed, channel: channel, ticket: ticket, err: err})
}

// Lost implements notify.Listener.
func (b *inbox) Lost(error) { b.post(hubEvent{kind: hubLost}) }

// Restored implements notify.Listener.
func (b *inbox) Restored() { b.post(hubEvent{kind: hubRestored}) }

// CaughtUp implements notify.Listener.
func (b *inbox) CaughtUp(ticket uint64) { b.post(hubEvent{kind: hubCaughtUp, ticket: ticket}) }

func (b *inbox) post(e hubEvent) {
	b.mu.Lock()
	b.notes += len(e.batch)
	switch {
	case b.full:
	case b.notes > maxInbox:
		b.full = true
		b.events = append(b.events, hubEvent{kind: hubOverran})
	default:
		b.events = append(b.events, e)
	}
	first := !b.posted
	b.posted = true
	b.mu.Unlock()
	if first {
		b.session.w.Post(b) // a loop that has ended needs nothing more
	}
}

// take empties the inbox.
func (b *inbox) take() []hubEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events, b.notes, b.posted = nil, 0, false
	return events
}

// Run implements reactor.Task: what the hub has brought has arrived on the loop.
func (b *inbox) Run(*reactor.Loop) {
	s, events := b.session, b.take()
	for i := range events {
		l := s.listening
		if l == nil || l.inbox != b || s.state == stateClosed || s.state == stateFarewell {
			return // it has left, or listens elsewhere
		}
		s.hubSays(&events[i])
	}
	s.flush()
	if s.state == stateActive && s.onWay() && s.releasable() {
		s.conclude()
	}
}

// hubSays deals with one thing that the hub has brought.
func (s *session) hubSays(e *hubEvent) {
	l := s.listening
	switch e.kind {
	case hubNotes:
		for _, n := range e.batch {
			if l.handover.FromHub(n) == notify.Deliver {
				l.queue.note(n)
			}
		}
	case hubSubscribed:
		s.subscribed(e)
	case hubLost:
		l.queue.add(l.handover.Lost())
	case hubRestored:
		l.queue.message(wire.AppendNotice(nil, notificationsMissed()))
	case hubCaughtUp:
		s.caughtUp(e.ticket)
	case hubOverran:
		s.reject(tooManyNotifications(s.rules.listenQueue))
	}
}

// subscribed takes the hub's answer to a Listen.
func (s *session) subscribed(e *hubEvent) {
	l := s.listening
	if e.err == nil {
		l.handover.Subscribed(e.channel, e.ticket)
	} else {
		if !l.handover.Has(e.channel) {
			return
		}
		deaf, released := l.handover.Refused(e.channel, e.ticket)
		l.queue.add(released)
		switch {
		case deaf:
			s.reject(listeningRefused(e.channel, e.err))
			return
		case !l.handover.Has(e.channel) && l.onServer:
			s.log().Warn("what a client listens on stays with its server, which it keeps", "error", e.err)
			s.staysOnServer()
		}
	}
}

// fromServer judges a notification that the client's own server brings.
func (s *session) fromServer(body []byte) verdict {
	_, channel, payload, ok := notify.ParseNote(body)
	if !ok {
		return broken
	}
	v, released := s.listening.handover.FromServer(channel, payload)
	s.listening.queue.add(released)
	if v == notify.Drop {
		return drop
	}
	return forward
}
