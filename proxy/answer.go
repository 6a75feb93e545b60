package proxy

import (
	"bytes"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// The path of bytes from the server to the client that holds it.

// maxDescription is how many bytes of a description of rows or parameters are
// compared with another one: some thousand columns.
const maxDescription = 32 << 10

// maxStatus is the longest ParameterStatus that is believed, in bytes.
const maxStatus = 32 << 10

// maxNotification is the longest NotificationResponse that is believed, and
// maxTag the longest command tag that is looked at, in bytes.
const (
	maxNotification = 64 << 10
	maxTag          = 64
)

// serverBytes deals with what the server sent and returns how much of it is
// done with.
func (s *session) serverBytes(b []byte) int {
	srv := s.server
	p := splice{src: b, out: s.w.toClient[:0]}
	for p.pos < len(b) {
		more, ok := s.serverMessage(srv, &p)
		if !ok {
			s.outOfStep(&p)
			return len(b)
		}
		if s.server != srv {
			return len(b) // parted in the middle: the session is over
		}
		if !more {
			break
		}
	}
	s.toClient(srv, &p)
	s.progressed()
	return p.pos
}

// toClient sends what was decided on, and holds the server back while the
// client doesn't take it. Nothing is for a client that is gone, or not in yet.
func (s *session) toClient(srv *server, p *splice) {
	if s.state == stateFarewell || s.state == statePriming {
		p.start, p.out = p.pos, p.out[:0]
	}
	if n := p.send(&s.client); n > 0 {
		s.route.count(s.w).sent.Add(int64(n))
		if s.client.Buffered() > 0 {
			srv.conn.Pause()
		}
	}
	s.w.toClient = reuse(p.out)
}

// progressed looks at where the conversation stands after the server's bytes.
func (s *session) progressed() {
	if s.state == stateFarewell {
		s.continueFarewell()
		return
	}
	if s.holding {
		s.client.Resume()
	}
	switch {
	case s.decided():
		s.decide()
	case s.halfClosed && !s.answersDue():
		s.dismiss("client half-closed its connection")
	case s.leaving && s.exchange.idle() && s.state == stateActive:
		s.reject(shuttingDown())
	case s.poisoned && !s.begun && s.exchange.settled():
		s.drawPoison()
	case s.holding && s.unserved:
		// It keeps the server until that has done something for it. So every
		// checkout that isn't in vain, whatever a message may wait for, ends with
		// an answer for the client, and all come to their turn.
	case s.releasable():
		s.settle()
	}
}

// serverMessage deals with the message, or the part of one, at the front. It
// answers more=false when it needs more of it, and ok=false when the server is
// out of step.
func (s *session) serverMessage(srv *server, p *splice) (more, ok bool) {
	if srv.body > 0 {
		s.serverBody(srv, p)
		return true, true
	}
	rest := p.rest()
	h, complete, valid := wire.ParseHeader(rest)
	if !complete {
		return false, true
	}
	if !valid {
		return false, false
	}
	s.makeUpDue(srv, p)
	need, ok := s.lookInto(h)
	if !ok {
		return false, false
	}
	if need > len(rest) {
		return false, true
	}
	var body []byte
	if need > 0 {
		body = rest[wire.HeaderLen:need]
	}
	refusal, name := s.exchange.refusalDue()
	n := s.exchange.noted()
	if h.Type == wire.ReadyForQuery && s.listening != nil && s.awaitsOwn(body, n.errand) {
		srv.conn.Pause()
		return false, true
	}
	if h.Type == wire.ErrorResponse && s.body > 0 && !s.bodyDrop || s.state == stateFarewell {
		s.exchange.keeping = false // nothing can be put in here
	}
	if h.Type == wire.CommandComplete {
		s.exchange.temporary = s.residue.hasTemporary() || n.deeds.changes(state.KindCreateTemporary)
		s.exchange.creates = n.deeds.changes(state.KindChangeSchema)
	}
	v := s.exchange.server(h.Type, body)
	if h.Type == wire.NotificationResponse && need > 0 {
		v = s.fromServer(body)
	}
	if len(s.exchange.withheld) > 0 && v != broken {
		p.out = s.exchange.released(p.insert())
	}
	if h.Type == wire.ReadyForQuery && s.listening != nil && v == forward {
		p.out = s.ownFirst(p.insert())
	}
	size, shown := min(h.Size(), len(rest)), v
	if s.poisoned && v == forward {
		if out, instead := s.poisonedAnswer(h.Type, p.insert()); instead {
			p.out, shown = out, drop
		}
	}
	if h.Type == wire.ErrorResponse && v == forward && s.endsIdle(body) {
		v, shown = drop, drop
	}
	switch shown {
	case forward:
		p.keep(size)
	case replace:
		p.out = wire.AppendError(p.insert(), s.ownReport(refusal, name, n))
		p.cut(size)
	case drop, refused:
		p.cut(size)
	case heal:
		p.cut(size)
		srv.body, srv.bodyDrop = h.Size()-size, true
		s.heal(srv)
		return true, true
	case broken:
		return false, false
	}
	srv.body, srv.bodyDrop = h.Size()-size, shown != forward
	s.noteAnswer(srv, h.Type, body, v, n)
	s.makeUpDue(srv, p)
	return true, true
}

// endsIdle reports whether an error is the end of a server that has done all it
// had to and is about to be given back: then it isn't the client's end.
func (s *session) endsIdle(body []byte) bool {
	if !s.releasable() || s.onWay() || s.residue != nil && s.residue.pins != 0 {
		return false
	}
	severity := wire.ParseReport(body).Severity
	return severity == severityFatal || severity == "PANIC"
}

// serverBody deals with more of the message whose beginning was decided on.
func (s *session) serverBody(srv *server, p *splice) {
	n := min(srv.body, len(p.rest()))
	if srv.bodyDrop {
		p.cut(n)
	} else {
		p.keep(n)
	}
	srv.body -= n
	s.makeUpDue(srv, p)
}

// ownReport is the error that the client gets in the place of the server's.
func (s *session) ownReport(r refusal, name string, n note) wire.Report {
	switch {
	case r == 0:
		return n.excuse.report
	case s.exchange.status == wire.TxFailed && r.ofText():
		return transactionAborted()
	}
	return refusalReport(r, name, int(s.proxy.translation.maxNames.Load()))
}

// makeUpDue puts in the answers that are made up and whose turn has come, but
// not into the middle of a message.
func (s *session) makeUpDue(srv *server, p *splice) {
	if s.server == srv && srv.body == 0 && s.exchange.isDue() {
		p.out = s.exchange.due(p.insert())
	}
}

// lookInto is how much of a message has to be there before it is decided on,
// header included; 0 if the header is enough.
func (s *session) lookInto(h wire.Header) (need int, ok bool) {
	switch h.Type {
	case wire.ReadyForQuery:
		return h.Size(), h.Body == 1
	case wire.ParameterStatus:
		return h.Size(), h.Body <= maxStatus
	case wire.NotificationResponse:
		if s.listening != nil && s.listening.handover != nil {
			return h.Size(), h.Body <= maxNotification
		}
	case wire.CommandComplete:
		if h.Body <= maxTag {
			return h.Size(), true
		}
	case wire.RowDescription, wire.ParameterDescription:
		if s.exchange.describes() {
			return min(h.Size(), maxDescription), true
		}
	case wire.ErrorResponse:
		return min(h.Size(), wire.MaxReport), true
	case wire.DataRow:
		if s.residue != nil && s.residue.findings != nil && h.Body <= maxStatus {
			return h.Size(), true
		}
	}
	return 0, true
}

// heal has the server do again what it has refused, and nobody was told of.
func (s *session) heal(srv *server) {
	out := s.exchange.heal(s.w.toServer[:0], srv.kept)
	srv.conn.Send(out)
	s.w.toServer = reuse(out)
}

// noteAnswer keeps account of what the server's message means beyond its place
// in the conversation.
func (s *session) noteAnswer(srv *server, t byte, body []byte, v verdict, n note) {
	errand, d := n.errand, n.deeds
	s.residue.answered(t)
	switch t {
	case wire.ReadyForQuery:
		s.residue.ready(s.exchange.status)
		if s.listening != nil {
			s.listenReady(s.exchange.status)
		}
		if s.poisoned && !s.poisonReady(errand) {
			return
		}
		switch {
		case v == forward:
			s.answered()
		case errand == errandReplay:
			s.replayed(srv)
		case errand == errandAudit:
			s.audited()
		case errand == errandMark || errand == errandUnlisten:
			s.changeOverAnswered(errand)
		}
	case wire.DataRow:
		if errand == errandAudit {
			s.noteFinding(body)
		}
	case wire.ParameterStatus:
		s.noteParameter(srv, body)
	case wire.PortalSuspended:
		s.notifiedInPart(d)
	case wire.FunctionCallResponse, wire.CloseComplete:
		if d != nil {
			s.executed(d, false, nil)
		}
	case wire.BindComplete:
		if d != nil {
			s.suspected(d)
		}
	case wire.CommandComplete:
		switch {
		case bytes.Equal(body, tagDiscardAll):
			srv.paramsReset()
			s.deallocated(nil)
		case bytes.Equal(body, tagDeallocateAll):
			s.deallocated(nil)
		case bytes.Equal(body, tagRollback):
			s.residue.undoes()
		case bytes.Equal(body, tagCommit):
			s.residue.committed()
		}
		if d != nil {
			s.executed(d, n.query, body)
		}
		if errand == errandReplay {
			srv.primed.done++
		}
	case wire.ErrorResponse:
		s.noteError(body, v, n)
	}
}

// noteError keeps account of an error of the server's.
func (s *session) noteError(body []byte, v verdict, n note) {
	errand, d := n.errand, n.deeds
	if s.listening != nil {
		s.listening.journal.Failed(nil)
	}
	s.unnamed.here = false // a Parse behind the error may have been skipped
	s.notReached()
	r := wire.ParseReport(body)
	s.proxy.counters.fromServers.add(r.Code)
	if errand == errandNone {
		s.residue.undoes()
	}
	switch {
	case v == refused && s.state == stateFarewell:
		s.exchange.doubt = true
	case v == refused && errand == errandAudit:
		s.auditFailed(r)
	case v == refused && (errand == errandMark || errand == errandUnlisten):
		s.changeOverRefused(errand, &r)
	case v == refused && errand == errandReplay:
		s.refusedReplay(r)
	case v == refused && (errand == errandBegin || errand == errandRollback):
		s.beginRefused(r)
	case v == refused && errand == errandPrepare:
		s.notProvided(n.name, &r)
	case v == refused && errand == errandRestore:
		s.exchange.excuse("", &r)
	case v == refused && errand == errandStrangers:
		s.exchange.doubt = true // something else is there than we know of
	case v == refused: // the transaction has failed, and the client will hear of that
	case r.Severity == severityFatal || r.Severity == "PANIC":
		s.told = v != drop
	}
	if s.mending != mendingNone {
		s.mending = mendingFailed
	}
	if d != nil {
		s.failed(d, &r)
	}
}

// noteParameter keeps up with a parameter that has a new value on the server,
// and so for the client.
func (s *session) noteParameter(srv *server, body []byte) {
	name, value, ok := wire.ParseParameterStatus(body)
	if !ok {
		return
	}
	known, tracked := srv.noteParameter(name, value)
	if tracked {
		if next, ok := s.proxy.params.With(s.params, known, string(value)); ok {
			s.setParams(next)
		}
	}
}

// answered: the server has told the client that it is ready.
func (s *session) answered() {
	now := s.w.Now()
	c := s.route.count(s.w)
	clocks := c.clocks()
	clocks.queries.note(now - s.queryStart)
	if t := &s.exchange.tally; *t != (tally{}) {
		t.moveTo(c)
	}
	if s.slow != nil {
		s.slow.answered(now - s.queryStart)
	}
	status := s.exchange.status
	if status == wire.TxIdle {
		if s.slow != nil {
			s.transactionOver(now - s.xactStart)
		}
		clocks.xacts.note(now - s.xactStart)
		s.xactStart = now
	}
	s.since, s.queryStart = now, now
	s.unlooked, s.unserved = true, false
	if s.account.limits.Load() != nil {
		s.rearm()
	}
	if s.mode == config.PoolStatement && status != wire.TxIdle && !s.poisoned {
		s.reject(transactionInStatementMode())
	}
}

// outOfStep ends the session and its server after the server has sent what it
// mustn't. What came before that was in order still goes to the client.
func (s *session) outOfStep(p *splice) {
	s.toClient(s.server, p)
	s.log().Warn("server is out of step with the protocol", "server", s.server.address())
	midMessage := s.server.body > 0 && !s.server.bodyDrop
	farewell := s.state == stateFarewell
	s.drop(pool.ReasonProtocol)
	switch {
	case farewell:
		s.close()
	case midMessage:
		s.dismiss("server out of step")
	default:
		s.reject(serverOutOfStep())
	}
}
