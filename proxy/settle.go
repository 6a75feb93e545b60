package proxy

import (
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What becomes of the server at the end of a transaction: it goes back to the
// pool at once, or the client's residue on it is looked into first.
//
//	idle -> (asked -> audited) -> released, or kept: pinned

// settle is called when the server owes nothing and is outside a transaction.
func (s *session) settle() {
	r := s.residue
	if s.unlooked {
		s.unlooked = false
		if s.sampled() {
			r = s.remember()
			r.makes, r.all = state.Askable()&^s.rules.ignored, true
		}
	}
	if r == nil {
		s.conclude()
		return
	}
	if r.suspects() {
		if s.ask(r) {
			return
		}
	}
	s.restoreReported(r)
	r.forgetSuspicion()
	s.conclude()
}

// conclude gives the server back, unless there is still something on it for
// which the client keeps it.
func (s *session) conclude() {
	if s.listening != nil && !s.settleListening() {
		return
	}
	if r := s.residue; r != nil {
		if r.pins != 0 {
			s.keepPinned(r)
			return
		}
		s.unpinned(r)
		s.residue = nil
	}
	s.release()
}

// remember returns the client's residue, of which there may be none yet.
func (s *session) remember() *residue {
	if s.residue == nil {
		s.residue = &residue{}
	}
	return s.residue
}

// sampled reports whether it is this transaction's turn to be looked into,
// whatever its statements say.
func (s *session) sampled() bool {
	if s.rules.every == 0 {
		return false
	}
	s.w.transactions++
	return s.w.transactions%s.rules.every == 0
}

// ask asks the server what the client has left in its session, unless there is
// nothing to be asked about. The client has its answers and doesn't wait; what
// it sends meanwhile goes to the same server.
func (s *session) ask(r *residue) bool {
	q := &s.w.question
	if !r.question(q, s.server.base, s.params) {
		return false
	}
	r.asked, r.findings = q.Holds, &state.Findings{}
	s.exchange.ask(errandAudit)
	s.unnamed.here = false // a Query drops it
	out := state.AppendAudit(s.w.toServer[:0], q)
	s.server.conn.Send(out)
	s.w.toServer = reuse(out)
	s.route.count(s.w).audits.Add(1)
	if len(r.restore) > 0 || r.reset && s.startup.Len() > 0 || s.params != s.server.params {
		r.waiting = true // what comes next mustn't run with the server's default
		s.client.Pause()
	}
	return true
}

// noteFinding takes a row of the answer to ask.
func (s *session) noteFinding(body []byte) {
	r := s.residue
	switch {
	case r == nil || r.findings == nil:
	case body == nil || !r.findings.Row(body): // more than can be remembered, or not what was asked for
		r.attempts = maxAudits
		s.auditFailed(wire.Report{Message: "an answer of impossible length or content"})
	}
}

// audited goes on when the server has answered all of ask's question.
func (s *session) audited() {
	r := s.residue
	if r.waiting {
		r.waiting = false
		s.client.Resume()
	}
	if r.findings == nil {
		return // it failed, and is asked again
	}
	s.learn(r)
	before := r.pins
	r.settled(r.asked, s.held(r.findings))
	if new := r.pins &^ before; new != 0 {
		s.proxy.hazards.found(s, new, r)
	}
	r.forgetSuspicion()
}

// held is what the client holds of what was found. Statements prepared by SQL
// that we know of follow it.
func (s *session) held(f *state.Findings) state.Holdings {
	held := f.Held()
	if s.residue.asked&state.HoldsListens != 0 && !s.foundChannels(f) {
		held &^= state.HoldsListens
	}
	if held&state.HoldsStatements == 0 {
		return held
	}
	for name := range f.Statements() {
		if _, known := s.server.sqlNames[name]; !known {
			return held
		}
	}
	return held &^ state.HoldsStatements
}

// maxAudits is how often the same question is asked.
const maxAudits = 3

// auditFailed: the server didn't say. A cancel request of the client's may have
// hit the question instead of the statement before it, so it is asked again.
func (s *session) auditFailed(report wire.Report) {
	r := s.residue
	r.findings = nil
	if r.attempts++; r.attempts < maxAudits {
		return
	}
	s.log().Warn("the server doesn't say what a client has left in its session, which keeps it", "error", report.Message)
	r.forgetSuspicion()
	r.pin(state.HoldsUnknown, func() string { return "session_audit: " + report.Message })
}

// learn records what parameters are now, as the server has said.
func (s *session) learn(r *residue) {
	srv := s.server
	client, server, ok := s.params, srv.params, true
	if r.findings != nil {
		for setting := range r.findings.Settings() {
			if !setting.Explicit {
				client, server = s.defaulted(client, setting.Name), s.proxy.params.Without(server, setting.Name)
				continue
			}
			var a, b bool
			client, a = s.proxy.params.With(client, setting.Name, setting.Value)
			server, b = s.proxy.params.With(server, setting.Name, setting.Value)
			ok = ok && a && b
		}
	}
	if !ok {
		r.pin(state.HoldsParameters, func() string { return "more parameters than can be remembered" })
	}
	srv.params = server
	s.setParams(client)
	s.restoreReported(r)
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

// restoreReported: a RESET takes parameters to what the server began with. What
// the client had asked for when it logged in has to come back, and it is told.
func (s *session) restoreReported(r *residue) {
	srv := s.server
	for _, name := range r.due {
		standard, reported := srv.base.Value(name)
		now, _ := srv.params.Value(name)
		value, own := s.startup.Value(name)
		if !own || !reported || now != standard || now == value {
			continue
		}
		if next, ok := s.proxy.params.With(s.params, name, value); ok {
			s.setParams(next)
			s.client.Send(wire.AppendParameterStatus(nil, name, value))
		}
	}
}

func (s *session) setParams(p *state.Params) {
	s.params = p
	s.names.params = p
}

// executed: a statement among deeds has been executed. This is told once for
// each statement of a Query, and once for each Execute. tag is the body of its
// CommandComplete, nil if there is none.
func (s *session) executed(d *deeds, query bool, tag []byte) {
	if d.large {
		s.executedUnread()
		r := s.remember()
		r.makes, r.all = state.Askable()&^s.rules.ignored, true
		return
	}
	for i := range d.effects {
		e := &d.effects[i]
		if query && e.Statement != d.completed {
			continue
		}
		if s.residue != nil && e.Kind == state.KindSet {
			s.residue.setAgain(string(e.Name))
		}
		s.executedFor(e, tag)
		if !d.leaves || s.executedSQL(d, e) || d.lone && query && s.applied(e) {
			continue
		}
		r := s.remember()
		s.may(d, e)
		r.did(e)
		s.restoreLater(r, e)
	}
	if query {
		d.completed++
	}
}

// executedSQL notes what has to do with statements prepared by SQL; false if
// there is more to an effect.
func (s *session) executedSQL(d *deeds, e *state.Effect) bool {
	switch e.Kind {
	case state.KindPrepare:
		if !s.replayable(d, e) {
			return false
		}
		s.prepared(e, d.potential)
		return true
	case state.KindDeallocate:
		s.deallocated(e.Name)
	case state.KindDeallocateAll:
		s.deallocated(nil)
	case state.KindDiscardAll: // a transaction of its own always
		s.deallocated(nil)
		s.setParams(s.overlay(s.server.base, s.startup))
	case state.KindExecute:
		one, _ := s.sql.find(e.Name)
		return one.makes == 0 && s.named[string(significant(e.Name))] == nil
	}
	return false
}

// suspected: a statement with deeds has been bound, and may be executed in
// parts, or not at all.
func (s *session) suspected(d *deeds) {
	if d.large {
		s.executed(d, false, nil)
		return
	}
	if !d.leaves {
		return
	}
	for i := range d.effects {
		if e := &d.effects[i]; d.apart || !s.replayable(d, e) {
			s.may(d, e)
		}
	}
}

// A text that the server can't read is refused with this SQLSTATE from this
// function of its source: it reads all of it before it does anything. Other
// functions use the same code for what they are given when they run.
const (
	syntaxError = "42601"
	textReader  = "scanner_yyerror"
)

// failed: a statement among deeds has ended with an error. Some effects stay.
func (s *session) failed(d *deeds, report *wire.Report) {
	switch {
	case report.Code == syntaxError && report.Routine == textReader:
		return // nothing of it was executed
	case d.large:
		s.executed(d, false, nil)
		return
	}
	for i := range d.effects {
		e := &d.effects[i]
		if e.Statement >= d.completed && e.Lasts() {
			s.may(d, e)
		}
	}
}

// may notes an effect of a statement that was, or may have been, executed.
func (s *session) may(d *deeds, e *state.Effect) {
	r := s.remember()
	m := made(e)
	if e.Kind == state.KindExecute {
		m = s.executes(e)
	}
	if m == 0 && e.Ends()&r.pins == 0 {
		return
	}
	if e.Kind == state.KindUnsure && !s.rules.suspicious {
		m &^= state.Askable()
	}
	before := r.pins
	r.may(e, m&^s.rules.ignored, func() string { return state.Excerpt(d.text, e.Start, e.End, d.dialect) })
	if new := r.pins &^ before; new != 0 {
		s.proxy.hazards.found(s, new, r)
	}
}

// executes is what the statement may leave behind that an EXECUTE executes.
func (s *session) executes(e *state.Effect) state.Holdings {
	one, _ := s.sql.find(e.Name)
	m := one.makes
	if d := s.named[string(significant(e.Name))]; d != nil {
		for i := range d.effects {
			m |= made(&d.effects[i])
		}
	}
	return m
}

// applied records an effect on parameters that took place in a transaction of
// its own, where nothing needs to be asked; false if it isn't one.
func (s *session) applied(e *state.Effect) bool {
	srv := s.server
	switch e.Kind {
	case state.KindSet, state.KindReset:
	default:
		return false
	}
	name := string(e.Name)
	if !e.Exact || e.Bound != [3]uint16{} || !state.Nameable(name) {
		return false
	}
	if _, reported := srv.base.Value(name); reported {
		_, own := s.startup.Value(name)
		return e.Kind == state.KindSet || !own
	}
	if name == "session_authorization" || name == "role" {
		return false
	}
	if e.Kind == state.KindReset {
		srv.params = s.proxy.params.Without(srv.params, name)
		s.setParams(s.defaulted(s.params, name))
		return true
	}
	client, a := s.proxy.params.With(s.params, name, string(e.Value))
	server, b := s.proxy.params.With(srv.params, name, string(e.Value))
	if !a || !b {
		return false
	}
	srv.params = server
	s.setParams(client)
	return true
}

// restoreLater notes parameters that a RESET took to the server's default, in
// case the transaction goes on.
func (s *session) restoreLater(r *residue, e *state.Effect) {
	switch e.Kind {
	case state.KindReset:
		if name, _ := state.Canonical(e.Name); s.brought(name) {
			r.restoreLater(name)
		}
	case state.KindResetAll, state.KindDiscardAll:
		for p := range s.startup.All() {
			r.restoreLater(p.Name)
		}
	}
}

// brought reports whether the client had a value for a parameter when it came.
func (s *session) brought(name string) bool {
	_, own := s.startup.Value(name)
	return own
}

// restore gives the server, in the midst of a transaction, the values that the
// client's RESETs should have led to.
func (s *session) restore(r *residue) {
	var wanted *state.Params
	for _, name := range r.restore {
		if value, own := s.startup.Value(name); own {
			if next, ok := s.proxy.params.With(wanted, name, value); ok {
				wanted = next
			}
		}
	}
	r.restore = r.restore[:0]
	out := state.AppendReplay(s.w.toServer[:0], nil, wanted)
	if len(out) > 0 {
		s.exchange.ask(errandRestore)
		s.unnamed.here = false
		s.server.conn.Send(out)
	}
	s.w.toServer = reuse(out)
}
