package proxy

import (
	"time"

	"carpool/config"
	"carpool/proxy/notify"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// LISTEN in transaction mode, where state_listen is multiplex: what a client
// listens on moves from the server that executed its LISTEN to the hub, which
// listens for all clients of a database.
//
// The server at hand is, as far as listening goes,
//
//	silent --an audit finds channels--> listening --the hub has all--> silent
//
// and the way from the one to the other has these steps, each begun when the
// server is idle and owes nothing (changeOver):
//
//	found    the hub is asked for the channels; the client keeps its server
//	due      the hub has some: errandMark, after which both show a token
//	done     both have shown it, for all channels: errandUnlisten
//
// What holds, whenever no message is being dealt with:
//
//  1. For every channel that the client listens on, by committed statements, the
//     server at hand listens or the hub has it settled.
//  2. A server that listens isn't given back.
//  3. UNLISTEN takes a channel from the hub when the journal knows that it came
//     to stand. Where that isn't known, the client goes on hearing.
//  4. What the hub brings is in the queue, in order, and leaves it only while the
//     client is between transactions and takes what it is sent.
//  5. The hub knows the inbox only until UnlistenAll, and of a session that has
//     left the inbox wants nothing.
//  6. A server is told to listen no more only if all is known that it listens on,
//     and the hub has it: an audit that failed leaves it as it is.
//
// A channel that the hub can't have stays with the server, which the client
// keeps: that is a pin like any other.

// listening is what a session has to do with LISTEN. Most sessions have none.
// It belongs to the session's loop.
type listening struct {
	hub      *notify.Hub      // nil until it is first asked for a channel
	inbox    *inbox           // where it brings what it has, nil likewise
	handover *notify.Handover // nil likewise
	journal  state.Journal
	// underWay: a text that may change what is listened on has been sent since
	// the server was last idle.
	underWay bool
	// late: there are statements under way that the journal should have been told
	// of and won't.
	late bool

	onServer bool // the server at hand listens
	stays    bool // to something that the hub can't have
	since    time.Duration
	cause    string // the first words of the LISTEN
	failures int    // of errands of ours in a row
	refused  bool   // the last one was
	pinned   bool   // the way takes so long that the client is shown as pinned

	queue outbox
	own   own // what it has notified itself
}

const (
	// pinnedAfter is how long the way to the hub takes before the client is shown
	// as one that keeps its server.
	pinnedAfter = time.Second
	// maxChannels is how many channels the hub has for one client; what is beyond
	// stays with its server.
	maxChannels = 10_000
)

// listens returns the session's listening, of which there may be none yet.
func (s *session) listens() *listening {
	if s.listening == nil {
		s.listening = &listening{}
	}
	return s.listening
}

// reads reports whether the texts of the client's statements are read.
func (s *session) reads() bool { return !s.rules.blind || s.listening != nil }

// multiplexes reports whether the hub can have what the client listens on.
func (s *session) multiplexes() bool {
	encoding, _ := s.params.Value("client_encoding")
	return s.rules.multiplex && s.state == stateActive &&
		notify.Unconverted(s.server.up.Param("server_encoding"), encoding)
}

// foundChannels takes up what the server at hand listens on, as it has said. It
// reports whether the client has to keep the server for some of it.
func (s *session) foundChannels(f *state.Findings) (stays bool) {
	found := false
	for name := range f.Channels() {
		found = true
		l := s.listening
		switch {
		case l != nil && l.handover != nil && (name == l.hub.Marker() || l.handover.Has(name)):
		case s.multiplexes() && s.take(name):
		default:
			stays = true
		}
	}
	l := s.listening
	if l == nil {
		return stays
	}
	switch {
	case found && !l.onServer:
		l.since, l.failures = s.w.Now(), 0
		l.cause = s.residue.causes[config.StateListen]
	case !found:
		l.pinned = false
	}
	l.onServer, l.stays = found, stays
	return stays || l.pinned
}

// take asks the hub for a channel that the server at hand listens on.
func (s *session) take(name string) bool {
	unforeseen := s.listening == nil // a LISTEN that no text has shown
	l := s.listens()
	if unforeseen {
		l.late = !s.exchange.empty()
	}
	if l.hub == nil {
		hub := s.proxy.hubs.join(s.route)
		if hub == nil {
			return false
		}
		l.hub, l.inbox = hub, &inbox{session: s}
		l.handover = notify.NewHandover(hub.Marker())
	}
	if l.handover.Len() >= maxChannels {
		return false
	}
	l.handover.Begin(name, l.hub.Listen(l.inbox, name))
	return true
}

// changeOver takes the next step on the way from the server to the hub, if it is
// time for one, and reports whether the server has to answer now. The server is
// idle and owes nothing.
func (s *session) changeOver() bool {
	l := s.listening
	if l == nil || !l.onServer || l.handover == nil || s.state != stateActive {
		return false
	}
	switch {
	case l.handover.Due() && l.failures < maxAudits:
		token := l.hub.Token(l.inbox)
		l.handover.Mark(token)
		s.sendErrand(errandMark, notify.AppendMark(s.w.toServer[:0], l.hub.Marker(), token))
		return true
	case l.handover.Done() && !l.stays:
		s.sendErrand(errandUnlisten, notify.AppendUnlistenAll(s.w.toServer[:0]))
		return true
	}
	return false
}

// sendErrand sends a query of ours, made in the loop's scratch buffer, whose answer
// nobody else is to see.
func (s *session) sendErrand(e errand, query []byte) {
	s.exchange.ask(e)
	s.unnamed.here = false // a Query drops it
	s.server.conn.Send(query)
	s.w.toServer = reuse(query)
}

// changeOverRefused: the server refuses a step. It may have been hit by a cancel
// request of the client's, so it is tried again.
func (s *session) changeOverRefused(e errand, report *wire.Report) {
	l := s.listening
	l.refused = true
	l.failures++
	if e == errandMark {
		l.handover.Unmark()
		if l.failures >= maxAudits {
			s.log().Warn("what a client listens on stays with its server, which it keeps", "error", report.Message)
			s.staysOnServer()
		}
	}
}

// changeOverAnswered: the server has answered all of a step.
func (s *session) changeOverAnswered(e errand) {
	l := s.listening
	refused := l.refused
	l.refused = false
	switch {
	case e == errandMark && !refused:
		l.failures = 0
	case e == errandMark:
	case !refused:
		s.silent()
	case l.failures >= maxAudits:
		s.exchange.doubt = true // it isn't given to anybody else
		s.silent()
	}
}

// silent: the server at hand listens on nothing any more.
func (s *session) silent() {
	l := s.listening
	l.onServer, l.failures, l.cause = false, 0, ""
	if l.pinned {
		l.pinned = false
		s.residue.unpin(state.HoldsListens)
	}
}

// staysOnServer pins the client, for something that the hub can't have.
func (s *session) staysOnServer() {
	l := s.listening
	l.stays = true
	s.remember().pin(state.HoldsListens, func() string { return l.cause })
}

// onWay reports whether the client keeps its server because it listens.
func (s *session) onWay() bool { return s.listening != nil && s.listening.onServer }

// listenDeadline is when the client is to be shown as pinned; 0 is never.
func (s *session) listenDeadline() time.Duration {
	if l := s.listening; l != nil && l.onServer && !l.pinned && !l.stays {
		return l.since + pinnedAfter
	}
	return 0
}

// listenLasts: the hub can't be had, or not soon.
func (s *session) listenLasts() {
	l := s.listening
	l.pinned = true
	r := s.remember()
	r.pin(state.HoldsListens, func() string { return l.cause })
	s.proxy.hazards.found(s, state.HoldsListens, r)
	s.keepPinned(r)
	s.rearm()
}

// rehome: the session goes over to another route of its database, which has the
// same hub.
func (s *session) rehome(to *route) {
	if l := s.listening; l != nil && l.hub != nil {
		s.proxy.hubs.follow(s.route, to)
	}
}

// followToHub has a session that keeps its server until the hub has what it
// listens on go over to the route that has the place of its own: the hub may have
// nobody else to log in by. It answers false when that ended the session.
func (s *session) followToHub() bool {
	waits := s.onWay() && s.listening.hub != nil
	return !waits || !s.route.superseded.Load() || s.follow()
}

// forgetListening forgets a listening that there is no more use for.
func (s *session) forgetListening() {
	l := s.listening
	if !l.onServer && l.queue.len() == 0 && (l.handover == nil || l.handover.Len() == 0) {
		s.stopListening()
		s.listening = nil
	}
}

// settleListening is called when the server is idle and owes nothing: it answers
// false if the server has to be kept because it listens, or the session is over.
func (s *session) settleListening() bool {
	l := s.listening
	l.underWay, l.late = false, false
	if s.flush(); s.state != stateActive {
		return false
	}
	if s.changeOver() || !s.followToHub() {
		return false
	}
	if s.onWay() && (s.residue == nil || s.residue.pins == 0) {
		s.rearm()
		return false
	}
	s.forgetListening()
	return true
}

// stopListening: the client has left, or listens on nothing.
func (s *session) stopListening() {
	if l := s.listening; l != nil && l.hub != nil {
		l.hub.UnlistenAll(l.inbox)
		s.proxy.hubs.leave(s.route)
	}
}

// remains is what the server has to be freed of when the client is gone.
func (s *session) remains() state.Holdings {
	h := s.residue.remains()
	if s.onWay() {
		h |= state.HoldsListens
	}
	return h
}
