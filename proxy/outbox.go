package proxy

import (
	"bytes"
	"slices"

	"carpool/proxy/notify"
	"carpool/proxy/wire"
)

// What the hub has brought for a client, until the client is between
// transactions and takes it.

// outgoing is a message that waits for the client.
type outgoing struct {
	channel string // of a notification; empty for a notice
	message []byte
}

// outbox is a queue of messages. The zero value is empty.
type outbox struct {
	list []outgoing
	head int
	size int // of the messages, in bytes
	// owned is the place up to which the messages are copies of our own; those
	// behind are parts of what the hub has read.
	owned int
}

func (q *outbox) len() int { return len(q.list) - q.head }

// note adds a notification.
func (q *outbox) note(n notify.Note) {
	q.list = append(q.list, outgoing{n.Channel, n.Message})
	q.size += len(n.Message)
}

// add adds notifications.
func (q *outbox) add(notes []notify.Note) {
	for _, n := range notes {
		q.note(n)
	}
}

// message adds a message that is no notification.
func (q *outbox) message(m []byte) {
	q.list = append(q.list, outgoing{message: m})
	q.size += len(m)
}

// sift drops the notifications of channels.
func (q *outbox) sift(channels map[string]struct{}) {
	q.list, q.head, q.owned = slices.DeleteFunc(q.list[q.head:], func(o outgoing) bool {
		_, drop := channels[o.channel]
		if drop {
			q.size -= len(o.message)
		}
		return drop
	}), 0, 0
}

// appendNext takes messages off the front and appends them to dst, until it has
// size bytes.
func (q *outbox) appendNext(dst []byte, size int) []byte {
	for q.len() > 0 && len(dst) < size {
		next := q.list[q.head].message
		dst, q.size = append(dst, next...), q.size-len(next)
		q.list[q.head] = outgoing{}
		q.head++
	}
	switch {
	case q.len() == 0:
		*q = outbox{list: q.list[:0]}
		if cap(q.list) > keptQueue {
			q.list = nil
		}
	case q.head > len(q.list)/2:
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.owned, q.head = q.list[:n], max(q.owned-q.head, 0), 0
	}
	return dst
}

// keep copies what stays for longer, so that it doesn't hold on to larger
// buffers.
func (q *outbox) keep() {
	for i := max(q.owned, q.head); i < len(q.list); i++ {
		q.list[i].message = bytes.Clone(q.list[i].message)
	}
	q.owned = len(q.list)
}

// quiet reports whether the client is between transactions and in the middle of
// no message: notifications may come.
func (s *session) quiet() bool {
	switch s.state {
	case stateIdle, stateWaiting:
		return s.deferred == nil
	case stateActive:
		return s.exchange.undisturbed() && s.server.body == 0
	}
	return false
}

// maxFlush is how many bytes of notifications are sent at once, and maxAhead how
// many of them may be on their way to a client.
const (
	maxFlush = 32 << 10
	maxAhead = 64 << 10
)

// flush sends the client what waits for it, if it may come and the client takes
// it. A client for which too much waits is ended.
func (s *session) flush() {
	l := s.listening
	if l == nil {
		return
	}
	q := &l.queue
	if q.len() > 0 && s.quiet() {
		for q.len() > 0 && s.client.Buffered() <= maxAhead {
			out := q.appendNext(s.w.toClient[:0], maxFlush)
			s.route.count(s.w).sent.Add(int64(len(out)))
			s.client.Send(out)
			s.w.toClient = reuse(out)
		}
	}
	if limit := s.rules.listenQueue; l.overfull(limit) && s.state != stateFarewell && s.state != stateClosed {
		s.reject(tooManyNotifications(limit))
		return
	}
	q.keep()
}

// What notifications may take in the queue: on an average so many bytes each, or
// so many together if that is more.
const (
	queuedEach = 160
	queuedAll  = 8 << 20
)

// overfull reports whether more waits for the client than may: more than limit
// notifications, or what takes too many bytes.
func (l *listening) overfull(limit int) bool {
	notes, size := l.queue.len(), l.queue.size
	if l.handover != nil {
		notes, size = notes+l.handover.KeptNotes(), size+l.handover.KeptBytes()
	}
	return notes > limit || size > max(queuedAll, limit*queuedEach)
}

// notificationsMissed is what a client is told after a gap.
func notificationsMissed() wire.Report {
	return wire.Report{
		Severity: "WARNING", Code: "01000", Message: "notifications may have been missed",
		Detail: "The connection that listens for clients was lost and is open again.",
	}
}
