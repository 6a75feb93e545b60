package proxy

import (
	"bytes"
	"slices"
	"strings"

	"carpool/pool"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Parameters that a server refuses. A client has set something that the next
// server doesn't take any more: the role was dropped, a right was taken away, a
// library is gone. What the client sends mustn't run without it, and yet is on
// its way behind the replay already. So the replay is a transaction that stays
// open, and failed, when one of its statements fails: the server does nothing
// until a ROLLBACK.
//
//	refused -> (the client is told, for each of its requests) -> ROLLBACK -> released
//
// The client lives on. Its parameters stay as they are, so its next statement
// meets the same, unless the server has changed its mind; but a statement that
// is nothing but a new value, or a RESET, of the very parameter gets a server
// without it (mend).

// refusedParameters are what a server has refused: one, or more if it was tried
// to replace that one and the next was refused then.
type refusedParameters struct {
	params *state.Params // the client's, with them
	names  []string      // empty if none is known
	report wire.Report   // what the client is told

	replaced []string // of the names, when the client mends
}

// mending is how far a client has come that replaces a parameter.
type mending uint8

const (
	mendingNone   mending = iota
	mendingTried          // the server at hand has the client's other parameters
	mendingDone           // the parameter was replaced
	mendingFailed         // there was an error; what was done is undone
)

// refusedReplay: the server refuses a parameter of the client's, whose bytes are
// on their way.
func (s *session) refusedReplay(r wire.Report) {
	if s.state != stateActive {
		// They are tried for the first time; nothing else has been sent, and the
		// server is as it was.
		r.Severity = severityFatal
		s.refusedBy = &r
		_, s.untried.strangers = s.refusedName(r, 1)
		return
	}
	name, strangers := s.refusedName(r, 0)
	refused := &refusedParameters{params: s.params, report: r}
	switch {
	case strangers:
		refused.report = parameterStays(name, r)
	case r.Code != codeQueryCanceled:
		refused.report = parameterRefused(name, r)
	}
	if s.mends != nil {
		refused.params = s.mends.params
	}
	if before := s.refused; before != nil && before.params == refused.params {
		refused.names = before.names
	}
	if name != "" && !strangers && !slices.Contains(refused.names, name) {
		refused.names = append(slices.Clip(refused.names), name)
	}
	s.refused = refused
	s.poisoned, s.poisonTold = true, false
	s.proxy.counters.refused(r.Code)
	if strangers || strings.EqualFold(name, temporaryBuffers) {
		s.exchange.doubt = true // of this server alone: another one takes it
	}
}

// refusedName is the parameter with which a replay has come to nothing, whose
// query began with so many statements less than a guarded one; empty if it was
// none. strangers is whether the client doesn't have it: the server can't be rid
// of what another one has set, whose right to that was taken away, say.
func (s *session) refusedName(r wire.Report, less int) (name string, strangers bool) {
	if r.Code == codeQueryCanceled {
		return "", false // it isn't about a parameter
	}
	primed := &s.server.primed
	if name = state.RefusedParameter(primed.from, s.params, primed.done+less); name != "" {
		_, own := s.params.Value(name)
		strangers = !own
	}
	return name, strangers
}

// beginRefused: the server refuses a BEGIN that the client was told had
// succeeded.
func (s *session) beginRefused(r wire.Report) {
	if s.poisoned {
		return // the replay ahead of it was, and the client hears of that
	}
	s.endRefused(r)
}

// endRefused parts from a server whose state can't be told to the client any
// more, and from the client.
func (s *session) endRefused(r wire.Report) {
	r.Severity = severityFatal
	s.drop(pool.ReasonUnclean)
	s.reject(r)
}

// poisonedAnswer appends what stands for an answer of a server that does
// nothing, if something does. A client that has said BEGIN itself waits for its
// own ROLLBACK then.
func (s *session) poisonedAnswer(t byte, out []byte) ([]byte, bool) {
	switch {
	case t == wire.ErrorResponse && !(s.begun && s.poisonTold):
		s.poisonTold = true
		return wire.AppendError(out, s.refused.report), true
	case t == wire.ReadyForQuery && !s.begun && s.exchange.status == wire.TxFailed:
		return wire.AppendReadyForQuery(out, wire.TxIdle), true
	}
	return out, false
}

// poisonReady follows a poisoned server to the end of its transaction. If a
// statement of the client's has ended it and more is behind that, this runs with
// parameters that aren't the client's: then it answers false, and the session is
// over.
func (s *session) poisonReady(e errand) bool {
	if s.exchange.status == wire.TxFailed {
		return true
	}
	s.poisoned = false
	if e == errandReplay || !s.exchange.settled() {
		s.endRefused(s.refused.report)
		return false
	}
	return true
}

// drawPoison has a poisoned server roll back when it has answered all.
func (s *session) drawPoison() {
	s.exchange.ask(errandRollback)
	s.server.conn.Send(wire.AppendQuery(s.w.toServer[:0], "ROLLBACK"))
}

// mend looks at the message at the front, for which there is no server yet. If
// it replaces the parameter that was refused, it gets a server with the others.
// It answers true if more of the message has to be there.
func (s *session) mend(p *splice, h wire.Header) (more bool) {
	if s.mending != mendingNone {
		s.endMending() // it came to no server the last time
	}
	if s.refused.params != s.params || len(s.refused.names) == 0 {
		s.refused = nil
		return false
	}
	if s.deferred != nil || s.skipping || s.failing || h.Body == 0 || h.Body > maxMending {
		return false
	}
	rest := p.rest()
	if len(rest) < h.Size() {
		return true
	}
	if e := s.onlyEffect(h.Type, rest[wire.HeaderLen:h.Size()]); e != nil && s.refused.replacedBy(e) {
		s.mending, s.mends, s.refused.replaced = mendingTried, s.refused, nil
		for _, name := range s.refused.names {
			s.setParams(s.proxy.params.Without(s.params, name))
		}
	}
	return false
}

// maxMending is the longest message that may replace a parameter, in bytes.
const maxMending = 4 << 10

// onlyEffect is the effect of a message whose only statement has only one, or
// nil.
func (s *session) onlyEffect(t byte, body []byte) *state.Effect {
	var text []byte
	switch t {
	case wire.Query:
		text = body[:len(body)-1]
	case wire.Parse:
		_, rest, ok := wire.ParseStatement(body)
		if !ok {
			return nil
		}
		text, _, _ = bytes.Cut(rest, []byte{0})
	case wire.Bind:
		_, name, _, complete := wire.ParseBindNames(body)
		if d := s.named.find(name); complete && d != nil && d.lone && len(d.effects) == 1 {
			return &d.effects[0]
		}
		return nil
	default:
		return nil
	}
	effects := s.w.classifier.Classify(text, s.dialect())
	if len(effects) != 1 || s.w.classifier.Statements() != 1 {
		return nil
	}
	return &effects[0]
}

// replacedBy reports whether an effect leaves nothing of one of the parameters.
func (r *refusedParameters) replacedBy(e *state.Effect) bool {
	return slices.ContainsFunc(r.names, func(name string) bool { return replaces(e, name) })
}

// replaces reports whether an effect leaves nothing of a parameter's value.
func replaces(e *state.Effect, name string) bool {
	identity := strings.EqualFold(name, "role") || strings.EqualFold(name, "session_authorization")
	switch e.Kind {
	case state.KindSet, state.KindReset:
		set := string(e.Name)
		return e.Scope == state.ScopeSession && (strings.EqualFold(set, name) || identity && set == "session_authorization")
	case state.KindResetAll:
		return !identity
	case state.KindDiscardAll:
		return true
	}
	return false
}

// mended notes what a client has achieved that replaces a parameter.
func (s *session) mended(e *state.Effect) {
	if s.mending != mendingTried {
		return
	}
	for _, name := range s.mends.names {
		if replaces(e, name) {
			s.mending = mendingDone
			s.mends.replaced = append(s.mends.replaced, name)
		}
	}
}

// endMending: the client parts from the server it replaced a parameter on. What
// it didn't replace it still has.
func (s *session) endMending() {
	done, mends := s.mending == mendingDone, s.mends
	s.mending, s.mends = mendingNone, nil
	for _, name := range mends.names {
		if done && slices.Contains(mends.replaced, name) {
			continue
		}
		value, _ := mends.params.Value(name)
		if next, ok := s.proxy.params.With(s.params, name, value); ok {
			s.setParams(next)
		}
	}
	if done {
		s.refused = nil
	}
}

// temporaryBuffers can't be set in a session that has used temporary tables,
// whoever did that.
const temporaryBuffers = "temp_buffers"

// wantsBuffers reports whether the client has set it to a value that a server
// with temporary tables can't be given any more.
func (s *session) wantsBuffers(srv *server) bool {
	wanted, set := s.params.Value(temporaryBuffers)
	has, _ := srv.params.Value(temporaryBuffers)
	return set && wanted != has
}
