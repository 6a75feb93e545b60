package proxy

import (
	"bytes"

	"carpool/config"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Deferred BEGIN: a BEGIN on its own is answered at once, and sent to a server
// ahead of the next statement. That saves a round trip in each transaction, and
// a client that has said BEGIN and nothing else holds no server. If COMMIT or
// ROLLBACK comes next there was nothing to do.

// maxDeferred is the longest Query that may be put off, in bytes of its text.
const maxDeferred = 256

// withoutServerQuery deals with a Query in a session without a server, if none
// is needed for it.
func (s *session) withoutServerQuery(p *splice, h wire.Header) (done, more bool) {
	if !s.rules.deferBegin || s.mode != config.PoolTransaction || h.Body > maxDeferred || h.Body == 0 {
		return false, false
	}
	rest := p.rest()
	if len(rest) < h.Size() {
		return true, false
	}
	text := rest[wire.HeaderLen : h.Size()-1]
	if !mayControl(text, s.deferred != nil) {
		return false, false
	}
	effects := s.w.classifier.Classify(text, s.dialect())
	if len(effects) != 1 || s.w.classifier.Statements() != 1 {
		return false, false
	}
	tag, status := "", byte(wire.TxIdle)
	switch e := &effects[0]; {
	case e.Kind == state.KindBegin && s.deferred == nil:
		if !s.certain(e) {
			return false, false
		}
		tag, status = beginTag(text[e.Start:]), wire.TxOpen
		s.deferred = append([]byte(nil), text...)
		s.xactStart = s.w.Now()
	case e.Kind == state.KindCommit && s.deferred != nil && !e.Chain:
		tag, s.deferred = "COMMIT", nil
	case e.Kind == state.KindRollback && s.deferred != nil && !e.Chain:
		tag, s.deferred = "ROLLBACK", nil
	default:
		return false, false
	}
	s.route.count(s.w).clocks().queries.note(0)
	out := wire.AppendHeader(s.w.toClient[:0], wire.CommandComplete, len(tag)+1)
	out = wire.AppendReadyForQuery(wire.AppendString(out, tag), status)
	s.client.Send(out)
	s.w.toClient = reuse(out)
	p.cut(h.Size())
	s.since = s.w.Now()
	if s.account.limits.Load() != nil {
		s.rearm()
	}
	s.flush()
	return true, true
}

// mayControl reports whether a text may be transaction control that concerns a
// session without a server: a BEGIN, or, if one is deferred, its end. It is
// asked about every query, so that only few need to be read.
func mayControl(text []byte, deferred bool) bool {
	if len(text) < 3 {
		return false
	}
	switch text[0] | 0x20 {
	case 'b', '/' | 0x20, '-' | 0x20, ' ', '\n' | 0x20, '\t' | 0x20:
		return true
	case 's':
		return text[1]|0x20 == 't'
	case 'c', 'e', 'r', 'a':
		return deferred
	}
	return false
}

// certain reports whether a BEGIN can't fail. On a standby some modes can't be
// had, and what would come behind it would be a transaction of its own.
func (s *session) certain(e *state.Effect) bool {
	if !e.Exact {
		return false
	}
	modes := bytes.ToLower(e.Value)
	if !bytes.Contains(modes, []byte("serializable")) && !bytes.Contains(modes, []byte("write")) {
		return true
	}
	if w := s.route.terms.Load().dest.welcome.Load(); w != nil {
		for _, p := range w.reported {
			if p.Name == "in_hot_standby" {
				return p.Value == "off"
			}
		}
	}
	return false
}

// beginTag is the command tag of a BEGIN.
func beginTag(text []byte) string {
	if text[0]|0x20 == 's' {
		return "START TRANSACTION"
	}
	return "BEGIN"
}

// status is the transaction status that a client without a server is told.
func (s *session) status() byte {
	switch {
	case s.aborted:
		return wire.TxFailed
	case s.deferred != nil:
		return wire.TxOpen
	}
	return wire.TxIdle
}

// whileAborted answers a client whose transaction has failed before a server
// has seen anything of it: nothing is done until it ends. What may end it in the
// extended protocol is left to a server, on which it is made to fail likewise.
func (s *session) whileAborted(p *splice, h wire.Header) (done, more bool) {
	rest := p.rest()
	out := s.w.toClient[:0]
	short := h.Body > 0 && h.Body <= maxDeferred
	switch {
	case h.Type != wire.FunctionCall && short && len(rest) < h.Size():
		return true, false
	case h.Type == wire.Parse && short && s.parsesEnd(rest[wire.HeaderLen:h.Size()]):
		return false, false
	case h.Type == wire.Query && short && s.ends(rest[wire.HeaderLen:h.Size()-1]):
		const tag = "ROLLBACK"
		s.deferred, s.aborted = nil, false
		out = wire.AppendString(wire.AppendHeader(out, wire.CommandComplete, len(tag)+1), tag)
		out = wire.AppendReadyForQuery(out, wire.TxIdle)
	default:
		out = wire.AppendError(out, transactionAborted())
		if h.Type == wire.Parse {
			s.skipping = true
		} else {
			out = wire.AppendReadyForQuery(out, wire.TxFailed)
		}
	}
	s.client.Send(out)
	s.w.toClient = reuse(out)
	size := min(h.Size(), len(rest))
	p.cut(size)
	s.body, s.bodyDrop = h.Size()-size, true
	s.flush()
	return true, true
}

// parsesEnd reports whether a Parse is of a text that ends the transaction.
func (s *session) parsesEnd(body []byte) bool {
	_, rest, ok := wire.ParseStatement(body)
	if !ok {
		return false
	}
	text := wire.Cursor{Rest: rest}
	sql, ok := text.String()
	return ok && s.ends(sql)
}

// ends reports whether a text ends the transaction, and does nothing else.
func (s *session) ends(text []byte) bool {
	effects := s.w.classifier.Classify(text, s.dialect())
	if len(effects) != 1 || s.w.classifier.Statements() != 1 || effects[0].Chain {
		return false
	}
	return effects[0].Kind == state.KindCommit || effects[0].Kind == state.KindRollback
}

// failBegun makes a transaction fail that has failed for the client already.
// Servers log it.
const failBegun = `ROLLBACK TO SAVEPOINT "a statement was canceled while it waited for a server connection"`

// beginDeferred sends the BEGIN that was put off, ahead of what the client has
// sent now.
func (s *session) beginDeferred() {
	out := wire.AppendQuery(s.w.toServer[:0], string(s.deferred))
	s.exchange.ask(errandBegin)
	if s.aborted {
		out = wire.AppendQuery(out, failBegun)
		s.exchange.ask(errandFail)
	}
	s.deferred, s.begun, s.aborted = nil, true, false
	s.server.conn.Send(out)
	s.w.toServer = reuse(out)
}
