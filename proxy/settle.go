package proxy

import (
	"slices"
	"strings"

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
	s.reading.shifting = 0 // the server has told all there is to know
	s.sweepNamed()
	if s.listening != nil && !s.settleListening() {
		return
	}
	if s.mending != mendingNone {
		s.endMending()
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
	if !r.question(q, s.server.base, s.params, s.startup) {
		return false
	}
	r.asked, r.findings = q.Holds, &state.Findings{}
	s.exchange.ask(errandAudit)
	s.unnamed.here = false // a Query drops it
	out := state.AppendAudit(s.w.toServer[:0], q)
	s.server.conn.Send(out)
	s.w.toServer = reuse(out)
	s.route.count(s.w).audits.Add(1)
	return true
}

// asksForStatements reports whether the server is about to say which statements
// it has. Until then nothing is prepared or dropped by a name that it may tell.
func (s *session) asksForStatements() bool {
	r := s.residue
	return r != nil && r.findings != nil && r.asked&state.HoldsStatements != 0
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
	if r.findings == nil {
		return // it failed, and is asked again
	}
	s.learn(r)
	before := r.pins
	held := s.held(r.findings)
	s.server.temps = s.server.temps || held&state.HoldsTemporary != 0
	r.settled(r.asked, held)
	if new := r.pins &^ before; new != 0 {
		s.proxy.hazards.found(s, new, r)
	}
	r.forgetSuspicion()
}

// held is what the client holds of what was found. Statements prepared by SQL
// that can be prepared again follow it.
func (s *session) held(f *state.Findings) state.Holdings {
	held := f.Held()
	if s.residue.asked&state.HoldsListens != 0 && !s.foundChannels(f) {
		held &^= state.HoldsListens
	}
	if s.residue.asked&state.HoldsStatements != 0 && !s.foundStatements(f) {
		held &^= state.HoldsStatements
	}
	return held
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
	if l := s.listening; l != nil && l.onServer && r.asked&state.HoldsListens != 0 {
		s.staysOnServer() // to what else than the hub knows of isn't known
	}
}

// learn records what parameters are now, as the server has said.
func (s *session) learn(r *residue) {
	srv := s.server
	client, server, ok := s.params, srv.params, true
	// The values are in the server's client_encoding, and so is what is recorded
	// of them, as long as that itself hasn't become the client's own again.
	for setting := range r.findings.Settings() {
		a, b := true, true
		if s.chosen(r, &setting) {
			client, a = s.proxy.params.With(client, setting.Name, setting.Value)
		}
		if s.set(r, &setting) {
			server, b = s.proxy.params.With(server, setting.Name, setting.Value)
		}
		ok = ok && a && b
	}
	var told []byte
	for setting := range r.findings.Settings() {
		standard, reported := srv.params.Value(setting.Name)
		if !s.reports(setting.Name) {
			reported = false
			if !s.set(r, &setting) {
				server = s.proxy.params.Without(server, setting.Name)
			}
		}
		if s.chosen(r, &setting) {
			continue
		}
		// What isn't set is what the client began with, unless it had set it to
		// what the server has anyway.
		if was, _ := client.Value(setting.Name); was != setting.Value || !r.unreset(setting.Name) {
			client = s.defaulted(client, setting.Name)
		}
		if own, _ := client.Value(setting.Name); reported && own != standard {
			told = wire.AppendParameterStatus(told, setting.Name, own)
		}
	}
	if !ok {
		r.pin(state.HoldsParameters, tooManyParameters)
	}
	srv.params = server
	s.setParams(client)
	if len(told) > 0 {
		s.client.Send(told)
	}
	if r.asked&state.HoldsParameters == 0 {
		s.restoreReported(r)
	} else {
		s.restoreRole(r)
	}
}

// set reports whether a parameter is as the server's session was told to have it.
func (s *session) set(r *residue, found *state.Setting) bool {
	return found.Explicit && !s.emptied(r, found)
}

// chosen reports whether a parameter is as the client has set it. Of the role that
// a client brought at its login, which was set on the server, the latter can't
// tell: none is what SET ROLE NONE comes to, and RESET ROLE. The last statement
// that says either decides.
func (s *session) chosen(r *residue, found *state.Setting) bool {
	if _, own := s.startup.Value("role"); own && found.Name == "role" {
		return !r.roleless
	}
	return s.set(r, found)
}

// emptied reports whether a custom parameter that the client brought at its
// login is without a value because of a RESET.
func (s *session) emptied(r *residue, found *state.Setting) bool {
	_, own := s.startup.Value(found.Name)
	_, set := s.server.params.Value(found.Name)
	return own && (r.reset || !set) && found.Value == "" && strings.Contains(found.Name, ".")
}

// reports reports whether the server at hand tells of every change of a
// parameter.
func (s *session) reports(name string) bool {
	_, reported := s.server.base.Value(name)
	return reported
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
		if new := d.blind &^ s.rules.ignored &^ r.pins; new != 0 {
			r.pin(new, func() string { return "more effects than can be followed" })
			s.proxy.hazards.found(s, new, r)
		}
		return
	}
	for i := range d.effects {
		e := &d.effects[i]
		if query && e.Statement != d.completed {
			continue
		}
		s.server.temps = s.server.temps || e.Kind == state.KindCreateTemporary
		s.executedFor(e, tag)
		s.notified(e)
		s.mended(e)
		if !d.leaves || s.executedSQL(d, e) || d.lone && query && s.applied(e) {
			continue
		}
		r := s.remember()
		s.may(d, e)
		r.did(e, d.lone && query)
		s.restoreLater(r, e, tag)
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
		return s.prepared(e, d)
	case state.KindDeallocate:
		s.deallocated(e.Name)
	case state.KindDiscardAll: // a transaction of its own always
		s.setParams(s.overlay(s.proxy.params.ResetAll(s.params, nil), s.server.base, s.startup))
	case state.KindExecute:
		m, _ := s.executes(e)
		return m == 0
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
		e := &d.effects[i]
		if e.Kind == state.KindExecute {
			if _, known := s.executes(e); !known {
				s.remember().makes |= state.Askable() &^ s.rules.ignored // mostly there is none
				continue
			}
		}
		if d.apart || !s.replayable(d, e) {
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
		if e.Statement >= d.completed && (e.Lasts() || e.Kind == state.KindExecute && s.mayHaveExecuted(e, report)) {
			s.may(d, e)
		}
	}
}

// mayHaveExecuted reports whether an EXECUTE that has failed may have done
// something before.
func (s *session) mayHaveExecuted(e *state.Effect, report *wire.Report) bool {
	_, known := s.executes(e)
	return known || !notExecuted(report.Code)
}

// may notes an effect of a statement that was, or may have been, executed.
func (s *session) may(d *deeds, e *state.Effect) {
	r := s.remember()
	m := made(e)
	if e.Kind == state.KindExecute && e.Scope == state.ScopeSession {
		m, _ = s.executes(e)
	}
	if m == 0 && e.Ends()&r.pins == 0 {
		return
	}
	if e.Kind == state.KindUnsure && !s.rules.suspicious {
		m &^= state.Askable()
	}
	before := r.pins
	excerpt := func() string { return state.Excerpt(d.text, e.Start, e.End, d.dialect) }
	r.may(e, m&^s.rules.ignored, excerpt)
	if e.Kind == state.KindExecute && s.executesUnlisted(e) {
		r.pin(state.HoldsParameters&^s.rules.ignored, excerpt)
	}
	if new := r.pins &^ before; new != 0 {
		s.proxy.hazards.found(s, new, r)
	}
}

// executes is what the statement may leave behind that an EXECUTE executes. One
// that isn't known, if there is one, may leave anything.
func (s *session) executes(e *state.Effect) (m state.Holdings, known bool) {
	one, known := s.sql.find(e.Name)
	m = one.makes
	if d := s.named.find(e.Name); d != nil {
		known = true
		for i := range d.effects {
			m |= made(&d.effects[i])
		}
	}
	if known {
		return m, true
	}
	if _, known = s.names.names.Lookup(e.Name); known {
		return 0, true
	}
	m = state.Askable()
	if s.rules.ignored&state.HoldsStatements == 0 {
		m |= state.HoldsUnknown
	}
	return m, false
}

// executesUnlisted reports whether the statement that an EXECUTE executes may set
// parameters that servers don't list.
func (s *session) executesUnlisted(e *state.Effect) bool {
	if one, _ := s.sql.find(e.Name); one.custom {
		return true
	}
	d := s.named.find(e.Name)
	return d != nil && slices.ContainsFunc(d.effects, func(e state.Effect) bool { return unlisted(&e) })
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
		if _, own := s.startup.Value(name); own {
			srv.params = s.proxy.params.Without(srv.params, name)
			s.setParams(s.defaulted(s.params, name))
			return true
		}
		client, a := s.proxy.params.Reset(s.params, name)
		server, b := s.proxy.params.Reset(srv.params, name)
		if !a || !b {
			return false
		}
		srv.params = server
		s.setParams(client)
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
