package notify

import (
	"errors"
	"fmt"
	"time"

	"carpool/proxy/wire"
)

// arrival is a notification that somebody wants.
type arrival struct {
	note Note
	ch   *channel    // where it was made, or
	only *subscriber // who waits for this token
}

// receive takes whole messages from the server. The chunk is kept by those who
// get notes of it.
func (h *Hub) receive(chunk []byte) {
	h.obey() // a token is posted before it is sent, so before it arrives
	h.link.heardAt = time.Now()
	for len(chunk) > 0 {
		header, _, _ := wire.ParseHeader(chunk)
		message := chunk[:header.Size():header.Size()]
		chunk = chunk[header.Size():]
		if header.Type == wire.NotificationResponse {
			if !h.arrive(message) {
				h.deliver()
				h.lose(errors.New("listening for notifications: malformed NotificationResponse"))
				return
			}
			continue
		}
		h.deliver() // an answer comes behind the notes before it
		if err := h.answer(header.Type, message[wire.HeaderLen:]); err != nil {
			h.lose(err)
			return
		}
	}
	h.deliver()
}

// answer takes a message that isn't a notification.
func (h *Hub) answer(typ byte, body []byte) error {
	l := &h.link
	switch typ {
	case wire.ReadyForQuery:
		if status, ok := wire.ParseReadyForQuery(body); !ok || status != wire.TxIdle {
			return errors.New("listening for notifications: unexpected ReadyForQuery")
		}
		return h.answered()
	case wire.ErrorResponse:
		l.failed, l.report = true, wire.ParseReport(body)
	case wire.CommandComplete, wire.EmptyQueryResponse, wire.RowDescription, wire.DataRow,
		wire.ParameterStatus, wire.NoticeResponse:
	default:
		return fmt.Errorf("listening for notifications: unexpected message %q", typ)
	}
	return nil
}

// arrive adds a notification to those of the batch, if anybody wants it.
func (h *Hub) arrive(message []byte) (ok bool) {
	body, ok := splitNote(message)
	if !ok {
		return false
	}
	r := &h.registry
	if string(body.channel) == h.marker {
		if sub := r.tokens[string(body.payload)]; sub != nil {
			r.expect(sub, "")
			h.arrived = append(h.arrived, arrival{note: Note{h.marker, message}, only: sub})
		}
		return true
	}
	h.counters.received.Add(1)
	// What comes while LISTEN or UNLISTEN is under way was made before the one
	// or is unwanted after the other.
	if ch := r.channels[string(body.channel)]; ch != nil && ch.standing == on {
		h.arrived = append(h.arrived, arrival{note: Note{ch.name, message}, ch: ch})
	}
	return true
}

// deliver hands out the batch: to each who wants anything of it, by one call.
// All who want just one channel's share a slice, however many they are.
func (h *Hub) deliver() {
	if len(h.arrived) == 0 {
		return
	}
	var brought []*channel
	var touched []*subscriber
	delivered := 0
	touch := func(sub *subscriber) {
		if sub.sole == nil && !sub.mixed {
			touched = append(touched, sub)
		}
	}
	for i := range h.arrived {
		switch a := &h.arrived[i]; {
		case a.only != nil:
			touch(a.only)
			a.only.mixed = true
			delivered-- // it isn't the application's
		default:
			if a.ch.run == nil {
				brought = append(brought, a.ch)
			}
			a.ch.run = append(a.ch.run, a.note)
		}
	}
	for _, ch := range brought {
		for _, m := range ch.members {
			touch(m.subscriber)
			if m.sole == nil {
				m.sole = ch
			} else {
				m.mixed = true
			}
		}
	}
	for _, sub := range touched {
		var batch []Note
		if sub.mixed {
			batch = h.wantedBy(sub)
		} else {
			batch = sub.sole.run
		}
		sub.sole, sub.mixed = nil, false
		delivered += len(batch)
		sub.listener.Notes(batch)
	}
	for _, ch := range brought {
		ch.run = nil
	}
	clear(h.arrived)
	h.arrived = h.arrived[:0]
	h.counters.delivered.Add(uint64(delivered))
}

// wantedBy is the part of the batch for one who wants more than a channel's.
func (h *Hub) wantedBy(sub *subscriber) []Note {
	var batch []Note
	for i := range h.arrived {
		a := &h.arrived[i]
		if _, member := sub.channels[a.ch]; a.only == sub || a.ch != nil && member {
			batch = append(batch, a.note)
		}
	}
	return batch
}
