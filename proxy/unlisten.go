package proxy

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Which LISTEN and UNLISTEN of a client came to stand. What a server listens on
// it says itself; but an UNLISTEN is mostly executed by a server that doesn't
// listen. So while a client has channels at the hub, or a LISTEN or UNLISTEN is
// under way, a journal is told what its statements do, and what becomes of their
// transactions.

// toldOf reports whether the journal has to be told of an effect in a text.
// That of a prepared statement may be executed at any time.
func (s *session) toldOf(e *state.Effect, prepared bool) bool {
	if changesChannels(e) {
		return prepared || s.listening != nil
	}
	if e.Kind == state.KindNotify {
		return s.listening != nil || prepared && s.rules.multiplex
	}
	if prepared {
		return s.rules.multiplex && new(state.Journal).Follows(e)
	}
	l := s.listening
	return l != nil && (l.underWay || l.journal.Busy()) && l.journal.Follows(e)
}

// changesChannels reports whether an effect may change what is listened on.
func changesChannels(e *state.Effect) bool {
	switch e.Kind {
	case state.KindListen, state.KindUnlisten, state.KindUnlistenAll, state.KindDiscardAll:
		return true
	}
	return false
}

// expect prepares for an effect of what is sent to the server now.
func (s *session) expect(e *state.Effect) {
	if e.Kind == state.KindListen && s.rules.multiplex {
		s.listens().underWay = true
	}
	if s.listening != nil && changesChannels(e) {
		s.listening.underWay = true
	}
}

// expectAll is expect for a prepared statement that is bound.
func (s *session) expectAll(d *deeds) {
	if d == nil || !d.listens {
		return
	}
	for i := range d.effects {
		s.expect(&d.effects[i])
	}
}

// executedFor tells the journal that a statement with an effect has completed.
func (s *session) executedFor(e *state.Effect, tag []byte) {
	if l := s.listening; l != nil {
		l.journal.Done(e, bytes.TrimSuffix(tag, []byte{0}))
	}
}

// executedUnread tells the journal that a text was executed that wasn't read.
func (s *session) executedUnread() {
	s.executedFor(&state.Effect{Kind: state.KindUnsure}, nil)
}

// listenReady tells the journal that the server is ready, and does what came to
// stand.
func (s *session) listenReady(status byte) {
	l := s.listening
	stood, known := l.journal.Ready(status)
	if status != wire.TxIdle || l.handover == nil || !known || l.late {
		return // where it isn't known, the client goes on hearing
	}
	gone := s.unlistened(stood)
	if len(gone) == 0 {
		return
	}
	for name := range gone {
		l.hub.Unlisten(l.inbox, name)
	}
	l.queue.sift(gone)
	released := l.handover.ForgetThese(gone)
	l.queue.add(released)
}

// unlistened are the channels that the client listens on no more after deeds
// that came to stand. The last one that concerns a channel decides, so it begins
// with that.
func (s *session) unlistened(deeds []state.Effect) map[string]struct{} {
	l := s.listening
	gone := make(map[string]struct{})
	var stays map[string]struct{}
	for i := range slices.Backward(deeds) {
		e := &deeds[i]
		name, exact := s.channelOf(e)
		_, kept := stays[name]
		switch {
		case e.Kind == state.KindUnlistenAll, e.Kind == state.KindDiscardAll:
			for name := range l.handover.Channels() {
				if _, kept := stays[name]; !kept {
					gone[name] = struct{}{}
				}
			}
			return gone
		case e.Kind == state.KindUnlisten && exact && !kept && l.handover.Has(name):
			gone[name] = struct{}{}
		case e.Kind == state.KindListen && !exact:
			return gone // before it, it may be any of them
		case e.Kind == state.KindListen:
			if _, left := gone[name]; left {
				continue
			}
			if stays == nil {
				stays = make(map[string]struct{})
			}
			stays[name] = struct{}{}
		}
	}
	return gone
}

// channelOf is the channel that a LISTEN or UNLISTEN names. Servers with UTF-8
// fold ASCII alone, and cut between characters.
func (s *session) channelOf(e *state.Effect) (name string, exact bool) {
	if e.Exact || s.server == nil || !strings.EqualFold(s.server.up.Param("server_encoding"), "UTF8") {
		return string(e.Name), e.Exact
	}
	whole := e.Name
	for len(whole) > 0 {
		if r, size := utf8.DecodeLastRune(whole); r != utf8.RuneError || size > 1 {
			break
		}
		whole = whole[:len(whole)-1]
	}
	return string(whole), len(whole) > 0
}
