package notify

import (
	"iter"
	"maps"
)

// Verdict is what becomes of a notification.
type Verdict uint8

// The verdicts.
const (
	// Drop: the client doesn't get it, or gets it from the other source.
	Drop Verdict = iota
	// Deliver: it is the client's next one.
	Deliver
	// Keep: the Handover keeps it until what comes before it has come.
	Keep
)

// String names the verdict.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "drop"
	case Deliver:
		return "deliver"
	case Keep:
		return "keep"
	}
	return "unknown verdict"
}

// stage is how far a channel is on its way from the client's server to the hub.
//
//	waiting --Subscribed--> ready --Mark--> crossing --token seen by both--> settled
//
// Unmark leads from crossing back to ready; Lost leads all but settled ones back
// to waiting.
type stage uint8

const (
	waiting  stage = iota // the hub was asked; the server alone counts
	ready                 // the hub listens; the server alone counts
	crossing              // the token divides: before it the server counts, after it the hub
	settled               // the hub alone counts
)

// claim is one channel that the client listens on, as far as the hub was asked.
type claim struct {
	ticket uint64
	stage  stage
}

// Handover decides, for one client, whether a notification goes to it when
// both its own server and the hub bring them. It has no lock, clock or socket.
//
// What holds after every method:
//   - a channel is crossing only while a token is under way, and at most one is;
//   - a token that both sources have shown is under way no more;
//   - notes are kept only while the hub has shown the token and the server
//     hasn't; among them are notes of settled channels only behind one of a
//     crossing channel's;
//   - underWay are the channels that haven't settled, and crossings is how many
//     of them are crossing. So the cost of a change-over doesn't depend on how
//     many channels the client has already.
//
// The zero value isn't usable; see NewHandover.
type Handover struct {
	marker string
	claims map[string]claim

	underWay         map[string]struct{} // nil when there are none, as mostly
	ready, crossings int                 // of those under way

	token        string // under way, "" if none
	seenByServer bool
	seenByHub    bool
	kept         []Note
	keptBytes    int
}

// NewHandover returns the Handover of a client that has no channels yet. marker
// is the hub's Marker.
func NewHandover(marker string) *Handover {
	return &Handover{marker: marker, claims: make(map[string]claim)}
}

// Has reports whether the channel was begun and not forgotten.
func (h *Handover) Has(channel string) bool {
	_, ok := h.claims[channel]
	return ok
}

// Len is the number of channels that were begun and not forgotten.
func (h *Handover) Len() int { return len(h.claims) }

// Channels yields the channels that were begun and not forgotten, in no order.
// The Handover mustn't be changed meanwhile.
func (h *Handover) Channels() iter.Seq[string] { return maps.Keys(h.claims) }

// Begin notes that the client's server listens on the channel, and that the
// hub was asked to: ticket is what Hub.Listen returned. A channel that Has is
// told of isn't begun again: the hub has it, whichever server listens as well.
func (h *Handover) Begin(channel string, ticket uint64) {
	h.put(channel, claim{ticket: ticket})
}

// Subscribed notes that the hub listens on the channel. It is called for every
// Listener.Subscribed without an error; one for an earlier Listen of the
// channel changes nothing, nor does one after a loss for a settled channel.
func (h *Handover) Subscribed(channel string, ticket uint64) {
	if c, ok := h.claims[channel]; ok && c.ticket == ticket && c.stage == waiting {
		h.put(channel, claim{ticket, ready})
	}
}

// Refused notes that the hub won't listen on the channel, for a
// Listener.Subscribed with an error, and forgets it. deaf is true when the
// client's server doesn't bring the channel's notifications either: the client
// must be told. Otherwise the server goes on bringing them.
func (h *Handover) Refused(channel string, ticket uint64) (deaf bool, released []Note) {
	c, ok := h.claims[channel]
	if !ok || c.ticket != ticket {
		return false, nil
	}
	return c.stage == settled, h.Forget(channel)
}

// Due reports whether it is time for Mark: the hub listens on channels that no
// token divides yet, and none is under way.
func (h *Handover) Due() bool {
	return h.token == "" && h.ready > 0
}

// Mark notes that the token, from Hub.Token, is about to be sent on the
// client's server. It answers false, and changes nothing, when that isn't Due.
func (h *Handover) Mark(token string) bool {
	if token == "" || !h.Due() {
		return false
	}
	h.token, h.seenByServer, h.seenByHub = token, false, false
	h.move(ready, crossing)
	return true
}

// Unmark notes that the transaction with the token failed: no one will see it.
func (h *Handover) Unmark() {
	if h.token == "" || h.seenByServer || h.seenByHub {
		return // it didn't fail
	}
	h.move(crossing, ready)
	h.token = ""
}

// Done reports whether the hub alone brings the notifications of all channels,
// so that the client's server may stop listening.
func (h *Handover) Done() bool { return len(h.underWay) == 0 }

// KeptBytes is the size of the messages that are kept. Who bounds a client's
// queue counts them in.
func (h *Handover) KeptBytes() int { return h.keptBytes }

// KeptNotes is how many notes are kept.
func (h *Handover) KeptNotes() int { return len(h.kept) }

// FromServer judges what the client's own server brings: Deliver or Drop.
// released are notes that were kept and come next, behind it.
func (h *Handover) FromServer(channel, payload []byte) (v Verdict, released []Note) {
	if string(channel) == h.marker {
		if h.token != "" && string(payload) == h.token {
			h.seenByServer = true
			return Drop, h.divide()
		}
		return Drop, nil // other clients' tokens, and those of before a loss
	}
	c, ok := h.claims[string(channel)]
	if ok && (c.stage == settled || c.stage == crossing && h.seenByServer) {
		return Drop, nil
	}
	return Deliver, nil
}

// FromHub judges what the hub brings.
func (h *Handover) FromHub(n Note) Verdict {
	if n.Channel == h.marker {
		if h.token != "" && string(n.Payload()) == h.token {
			h.seenByHub = true
			h.divide()
		}
		return Drop
	}
	c, ok := h.claims[n.Channel]
	switch {
	case !ok, c.stage == waiting, c.stage == ready, c.stage == crossing && !h.seenByHub:
		return Drop
	case c.stage == crossing, len(h.kept) > 0:
		h.kept = append(h.kept, n)
		h.keptBytes += len(n.Message)
		return Keep
	}
	return Deliver
}

// divide ends the change-over once both sources have shown the token.
func (h *Handover) divide() (released []Note) {
	if !h.seenByServer || !h.seenByHub {
		return nil
	}
	h.move(crossing, settled)
	return h.release()
}

// Forget notes that the client stopped listening on the channel.
func (h *Handover) Forget(channel string) (released []Note) {
	return h.ForgetThese(map[string]struct{}{channel: {}})
}

// ForgetThese is Forget for several channels.
func (h *Handover) ForgetThese(channels map[string]struct{}) (released []Note) {
	for name := range channels {
		h.remove(name)
	}
	h.sift(channels)
	if h.crossings > 0 {
		return nil
	}
	// Nothing waits for the token any more, and perhaps it never comes.
	return h.release()
}

// ForgetAll notes that the client stopped listening, or leaves.
func (h *Handover) ForgetAll() {
	clear(h.claims)
	h.underWay = nil
	h.ready, h.crossings = 0, 0
	h.kept = nil
	h.release()
}

// Lost notes that the hub has lost its connection, for Listener.Lost. Channels
// that haven't settled begin anew, since the client's server still brings them:
// they miss at most what the server brought after the token. When Lost comes,
// the hub may have another connection already, and the token may be behind
// where that one begins, or never come on it: so it divides nothing any more.
func (h *Handover) Lost() (released []Note) {
	if h.crossings > 0 {
		h.sift(h.underWay) // the server brings them
	}
	h.move(crossing, waiting)
	h.move(ready, waiting)
	return h.release()
}

// put makes a claim, or changes it.
func (h *Handover) put(channel string, c claim) {
	h.remove(channel)
	h.claims[channel] = c
	switch c.stage {
	case settled:
		return
	case ready:
		h.ready++
	case crossing:
		h.crossings++
	}
	if h.underWay == nil {
		h.underWay = make(map[string]struct{})
	}
	h.underWay[channel] = struct{}{}
}

// remove takes a claim away, if there is one.
func (h *Handover) remove(channel string) {
	switch c, ok := h.claims[channel]; {
	case !ok:
		return
	case c.stage == ready:
		h.ready--
	case c.stage == crossing:
		h.crossings--
	}
	delete(h.claims, channel)
	if delete(h.underWay, channel); len(h.underWay) == 0 {
		h.underWay = nil
	}
}

// move brings all channels of one stage, which isn't settled, to another.
func (h *Handover) move(from, to stage) {
	for name := range h.underWay {
		if c := h.claims[name]; c.stage == from {
			h.put(name, claim{c.ticket, to})
		}
	}
}

// sift drops channels' notes from those that are kept.
func (h *Handover) sift(channels map[string]struct{}) {
	var rest []Note
	for _, n := range h.kept {
		if _, drop := channels[n.Channel]; !drop {
			rest = append(rest, n)
		} else {
			h.keptBytes -= len(n.Message)
		}
	}
	h.kept = rest
}

// release gives up the token, and gives out what was kept for it.
func (h *Handover) release() []Note {
	released := h.kept
	h.token, h.seenByServer, h.seenByHub = "", false, false
	h.kept, h.keptBytes = nil, 0
	return released
}
