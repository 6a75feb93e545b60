package proxy

import (
	"bytes"
	"slices"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// A RESET takes a parameter to what the server began with, where the client
// means what it asked for itself when it logged in: servers are opened without
// the parameters of any client. Its next message waits until the server has
// answered and the client's own value is back:
//
//   - at the end of a transaction the value is the client's again from then on,
//     and set ahead of its next message as any parameter is (settle.go);
//   - in the midst of one, what is no longer set is set again at once (restore).
//     If nothing came behind the RESET, that is all it was for. Or else the server
//     decides which that is: the RESET may have been rolled back to a savepoint by
//     then, or another SET have followed it. That takes a query, behind which
//     there can be no SET TRANSACTION ISOLATION LEVEL in the transaction.
//
// What comes behind a RESET in the same Query, or before the Sync of the same
// batch, can't wait, and runs with the server's value.

// takesAway reports whether a parameter that the client brought at its login
// may be taken from it by one of the effects.
func (d *deeds) takesAway(startup *state.Params) bool {
	if d == nil || startup.Len() == 0 {
		return false
	}
	for i := range d.effects {
		switch e := &d.effects[i]; e.Kind {
		case state.KindResetAll, state.KindDiscardAll:
			return true
		case state.KindReset:
			if _, own := startup.Value(resetBy(e)); own || len(e.Name) == 0 {
				return true
			}
		}
	}
	return false
}

// resetBy is the parameter of those that clients bring which a RESET resets. The
// one of session_authorization, which no client brings, resets the role.
func resetBy(e *state.Effect) string {
	if name := string(e.Name); name != "session_authorization" {
		return name
	}
	return "role"
}

// recovers reports whether the client's next message has to wait until the
// server has answered a RESET, is out of a transaction that a refused parameter
// has left, or has been parted from without that. What belongs to a batch under way doesn't, or the
// batch would have no end.
func (s *session) recovers() bool {
	x := &s.exchange
	return (s.recovering || s.poisoned || s.mending != mendingNone) && s.server != nil && !x.settled() && !x.batch && !x.skipping && !x.copyIn
}

// restoreLater notes parameters that a RESET took to the server's default, in
// case the transaction goes on. tag is the body of the statement's CommandComplete,
// if there is one.
func (s *session) restoreLater(r *residue, e *state.Effect, tag []byte) {
	// A call of set_config can do as much as a RESET, among others that undo it.
	command := bytes.Equal(tag, tagReset) || bytes.Equal(tag, tagSet)
	first, taken := len(r.restore) == 0, false
	switch e.Kind {
	case state.KindReset:
		_, taken = s.startup.Value(resetBy(e))
		r.restoreOnce(resetBy(e), taken)
	case state.KindResetAll:
		for p := range s.startup.All() {
			taken = true
			r.restoreOnce(p.Name, true)
		}
	}
	if taken && e.Scope == state.ScopeSession {
		r.lasting = true
	}
	if taken {
		r.taken = first && command
	}
}

var (
	tagReset = []byte("RESET\x00")
	tagSet   = []byte("SET\x00") // of SET ... TO DEFAULT
)

// answered notes that the server has sent a message of type t, before anything
// that it means is noted.
func (r *residue) answered(t byte) {
	if r == nil || len(r.restore) == 0 {
		return
	}
	switch t {
	case wire.ReadyForQuery, wire.ParameterStatus, wire.NoticeResponse, wire.NotificationResponse, wire.CloseComplete:
	default:
		r.taken = false
	}
}

// restoreOnce lists a parameter, once: a client can send any number of RESETs in
// one transaction without awaiting an answer.
func (r *residue) restoreOnce(name string, taken bool) {
	if taken && !slices.Contains(r.restore, name) {
		r.restore = append(r.restore, name)
	}
}

// restore gives the server, in the midst of a transaction, the values that the
// client's RESETs should have led to.
func (s *session) restore(r *residue) {
	var wanted *state.Params
	if !r.roleless { // set again behind the RESET, perhaps to none, which looks the same
		r.restore = slices.DeleteFunc(r.restore, state.IsIdentity)
	}
	for _, name := range r.restore {
		if value, own := s.startup.Value(name); own {
			if next, ok := s.proxy.params.With(wanted, name, value); ok {
				wanted = next
			}
		}
	}
	out, ok := s.w.toServer[:0], false
	if r.taken {
		out, ok = state.AppendSettings(out, wanted, !r.lasting)
	}
	if !ok {
		out = state.AppendRestore(out, wanted, !r.lasting)
	}
	for _, name := range r.restore {
		if !slices.Contains(r.restored, name) {
			r.restored = append(r.restored, name)
		}
	}
	r.restore, r.lasting, r.taken = r.restore[:0], false, false
	if len(out) > 0 {
		s.exchange.ask(errandRestore)
		s.unnamed.here = false
		s.server.conn.Send(out)
	}
	s.w.toServer = reuse(out)
}

// restoreReported is for a RESET after which the server wasn't asked about
// parameters, since it was all there was in its transaction: what the client had
// asked for when it logged in has to come back, and it is told.
func (s *session) restoreReported(r *residue) {
	if !r.reset {
		return
	}
	s.restoreRole(r)
	srv := s.server
	for p := range s.startup.All() {
		standard, reported := srv.base.Value(p.Name)
		now, _ := srv.params.Value(p.Name)
		if !reported || now != standard || now == p.Value || r.unreset(p.Name) {
			continue
		}
		if next, ok := s.proxy.params.With(s.params, p.Name, p.Value); ok {
			s.setParams(next)
			s.client.Send(wire.AppendParameterStatus(nil, p.Name, p.Value))
		}
	}
}

// restoreRole tells a client what its role means that has come back to the one
// which it brought, while its server has none, and has said what that means.
func (s *session) restoreRole(r *residue) {
	if _, own := s.startup.Value("role"); own && r.roleless && s.super != "" && s.super != s.server.super {
		s.client.Send(wire.AppendParameterStatus(nil, superuserName, s.super))
	}
}

// defaulted is client with the parameter name as the client began with it.
func (s *session) defaulted(client *state.Params, name string) *state.Params {
	if value, own := s.startup.Value(name); own {
		if next, ok := s.proxy.params.With(client, name, value); ok {
			return next
		}
	}
	return s.proxy.params.Without(client, name)
}
