package proxy

import (
	"carpool/pool"
	"carpool/proxy/wire"
)

// The path of bytes from the client to its server. exchange decides on every
// header; bodies are passed on as they come, however long they are. Parse,
// Bind, Describe and Close are looked into where statement names are translated,
// and the texts of Query and Parse are read for what they leave behind.

const (
	// maxNames is how many bytes of a Bind may be names, and the longest
	// Describe or Close.
	maxNames = 16 << 10
	// maxInPlace is the longest Parse that is read where it lies; longer ones
	// are collected.
	maxInPlace = 32 << 10
	// maxUntaken is how many bytes of answers may wait for a client to take
	// them before no more is heard from it. What a server brings before it is
	// held back is less: a client that reads nothing can still say goodbye.
	maxUntaken = 256 << 10
)

// clientBytes deals with what the client sent and returns how much of it is
// done with.
func (s *session) clientBytes(b []byte) int {
	if s.client.Buffered() > maxUntaken {
		s.clogged = true
		s.client.Pause()
		return 0
	}
	s.holding = false // until something has to wait again
	p := splice{src: b, out: s.w.toServer[:0]}
	if s.collected != nil {
		p.pos = s.collect(b)
		if s.collected != nil || s.state == stateFarewell || s.state == stateClosed {
			return p.pos
		}
		p.start = p.pos
	}
	s.beginWork()
	for p.pos < len(b) && s.clientMessage(&p) {
	}
	if s.state == stateFarewell || s.state == stateClosed {
		return len(b)
	}
	s.toServer(&p)
	if s.state == stateActive && s.account.limits.Load() != nil {
		s.rearm()
	}
	return p.pos
}

// toServer sends what was decided on, and holds the client back while the
// server doesn't take it.
func (s *session) toServer(p *splice) {
	if s.server != nil {
		if s.exchange.keeping {
			s.keep(p)
		}
		if n := p.send(&s.server.conn); n > 0 {
			s.route.count(s.w).received.Add(int64(n))
			if s.server.conn.Buffered() > 0 {
				s.client.Pause()
			}
		}
	}
	s.w.toServer = reuse(p.out)
}

// maxKept is how much is kept of what was sent to a server, so that it can be
// sent again, in bytes.
const maxKept = 16 << 10

// keep keeps what is about to be sent.
func (s *session) keep(p *splice) {
	srv := s.server
	out := p.out[p.kept:]
	if len(srv.kept)+len(out)+p.pos-p.start > maxKept {
		s.exchange.keeping = false
		return
	}
	srv.kept = append(append(srv.kept, out...), p.src[p.start:p.pos]...)
}

// keepFrom has what is sent be kept from here on, if that has just been decided.
func (s *session) keepFrom(p *splice, at int, before bool) {
	if s.exchange.keeping && !before {
		s.server.kept = s.server.kept[:0]
		p.kept = at
	}
}

// clientMessage deals with the message, or the part of one, at the front of
// what is left. It answers false when it has to wait or the session is over.
func (s *session) clientMessage(p *splice) bool {
	if s.body > 0 {
		n := min(s.body, len(p.rest()))
		if s.bodyDrop {
			p.cut(n)
		} else {
			p.keep(n)
		}
		s.body -= n
		return true
	}
	h, ok, valid := wire.ParseHeader(p.rest())
	switch {
	case !ok:
		return false
	case !valid || !wire.IsClientType(h.Type):
		s.reject(protocolViolation("invalid message from the client"))
		return false
	case h.Body > s.proxy.Config().MaxPacketSize:
		s.reject(messageTooLong("max_packet_size", s.proxy.Config().MaxPacketSize))
		return false
	case h.Type == wire.Flush && h.Body > 0:
		// The server would refuse it with an error that no answer is due to.
		s.reject(protocolViolation("invalid message from the client"))
		return false
	case h.Type == wire.Terminate:
		s.toServer(p)
		s.terminate()
		return false
	case h.Type == wire.Password:
		s.reject(protocolViolation("unexpected password message"))
		return false
	}
	if s.recovers() {
		return s.waitForServer(p)
	}
	if s.server == nil {
		if s.refused != nil && s.mend(p, h) {
			return false
		}
		if done, more := s.withoutServer(p, h); done {
			return more
		}
		if !s.acquire() {
			return false
		}
	}
	if s.exchange.turns > 0 && asks(h.Type) {
		return s.waitForServer(p)
	}
	if s.slow != nil {
		s.slow.sees(s, h, p.rest())
	}
	if !s.watch(p, h) {
		return false
	}
	switch h.Type {
	case wire.Parse:
		return s.clientParse(p, h)
	case wire.Bind:
		return s.clientBind(p, h)
	case wire.Describe, wire.Close:
		return s.clientTarget(p, h)
	case wire.Query:
		return s.clientQuery(p, h)
	case wire.Execute:
		return s.clientExecute(p, h)
	}
	v := s.exchange.client(h.Type)
	if h.Type == wire.FunctionCall && v == forward && !s.rules.blind {
		d := tooLarge() // a function by its number may do anything
		s.exchange.attach(d)
		s.shift(d)
	}
	return s.apply(p, h, v, nil)
}

// asks reports whether a message may name a statement, or run one by its text.
func asks(typ byte) bool {
	switch typ {
	case wire.Query, wire.Parse, wire.Bind, wire.Describe, wire.Close, wire.FunctionCall:
		return true
	}
	return false
}

// beginWork notes when the server begins to work for the client, if it doesn't
// yet: what the client sends now is what time limits are counted from.
func (s *session) beginWork() {
	if s.server == nil || !s.exchange.settled() {
		return
	}
	s.queryStart = s.w.Now()
	s.recovering = s.recovering && s.exchange.status == wire.TxFailed // a savepoint may yet lead out of it
	switch s.exchange.status {
	case wire.TxIdle:
		s.xactStart = s.queryStart
		if s.server.params != s.params && !s.private {
			s.prime(s.server) // it was kept, and a RESET left it with the wrong values
		}
	case wire.TxOpen:
		if s.residue != nil && len(s.residue.restore) > 0 {
			s.restore(s.residue)
		}
	}
}

// apply does what was decided for the message at the front. out is what stands
// in its place, whole, if it is replaced.
func (s *session) apply(p *splice, h wire.Header, v verdict, out []byte) bool {
	size := min(h.Size(), len(p.rest()))
	switch v {
	case forward:
		p.keep(size)
	case replace:
		p.out = out
		p.cut(size)
	case drop:
		p.cut(size)
	default:
		return s.waitForServer(p)
	}
	s.body, s.bodyDrop = h.Size()-size, v != forward
	if h.Type == wire.Flush {
		s.sendDue()
	}
	return true
}

// sendDue sends answers that are made up and whose turn has come, and reports
// whether there were any. In the middle of a message of the server's they wait
// for its end.
func (s *session) sendDue() bool {
	if !s.exchange.isDue() || s.server.body > 0 {
		return false
	}
	s.client.Send(s.exchange.due(nil))
	return true
}

// waitForServer holds the client's next message back until the server has made
// progress, or answers true if it needn't, since made-up answers were what was
// in the way. A batch without an end is flushed, since the server needn't
// answer any of it before.
func (s *session) waitForServer(p *splice) bool {
	if s.sendDue() {
		return true
	}
	s.holding = true
	s.client.Pause()
	if !s.exchange.awaited() {
		p.out = wire.AppendEmpty(p.insert(), wire.Flush)
	}
	return false
}

// clientParse: a Parse with a name is read whole.
func (s *session) clientParse(p *splice, h wire.Header) bool {
	rest := p.rest()
	if s.exchange.statements == nil && !s.reads() || h.Body == 0 {
		return s.apply(p, h, s.exchange.client(wire.Parse), nil)
	}
	if len(rest) == wire.HeaderLen {
		return false
	}
	if rest[wire.HeaderLen] == 0 {
		return s.unnamedParse(p, h)
	}
	if len(rest) < h.Size() {
		if h.Size() <= maxInPlace {
			return false
		}
		return s.beginCollecting(p, h)
	}
	body := rest[wire.HeaderLen:h.Size()]
	if done, more := s.readNamed(p, h, body); done {
		return more
	}
	s.doubtNames()
	out, v := s.exchange.parse(p.insert(), body)
	p.out = out
	s.countParse(v)
	return s.apply(p, h, v, out)
}

func (s *session) countParse(v verdict) {
	c := s.route.count(s.w)
	switch v {
	case replace:
		c.clientParses.Add(1)
		c.serverParses.Add(1)
	case drop:
		c.clientParses.Add(1)
	}
}

// beginCollecting starts to gather a Parse or Query that doesn't fit the loop's
// buffer.
func (s *session) beginCollecting(p *splice, h wire.Header) bool {
	if limit := s.proxy.Config().MaxParseSize; h.Body > limit {
		s.reject(messageTooLong("max_parse_size", limit))
		return false
	}
	s.collected = append([]byte(nil), p.rest()...) // it grows with what comes, not with what is claimed
	p.cut(len(p.rest()))
	return false
}

// collect gathers more of the message and, when it is whole, deals with it.
func (s *session) collect(b []byte) (used int) {
	h, _, _ := wire.ParseHeader(s.collected)
	want := h.Size()
	used = min(len(b), want-len(s.collected))
	s.collected = append(s.collected, b[:used]...)
	if len(s.collected) < want {
		return used
	}
	whole := s.collected
	s.collected = nil
	p := splice{src: whole, out: s.w.toServer[:0]}
	for p.pos < want && s.clientMessage(&p) {
	}
	if s.state == stateFarewell || s.state == stateClosed {
		return len(b)
	}
	s.toServer(&p)
	if p.pos < want {
		s.collected = whole[:want-1] // the last byte comes again, and with it this message
		return used - 1
	}
	return used
}

// clientBind: of a Bind only the names are read.
func (s *session) clientBind(p *splice, h wire.Header) bool {
	s.route.count(s.w).binds.Add(1)
	if s.exchange.statements == nil && s.named == nil && s.sql == nil && s.unnamed.deeds == nil {
		return s.apply(p, h, s.exchange.client(wire.Bind), nil)
	}
	rest := p.rest()
	body := rest[wire.HeaderLen:min(len(rest), h.Size())]
	portal, name, namesLen, complete := wire.ParseBindNames(body)
	if !complete {
		if len(body) < h.Body && len(body) < maxNames {
			return false
		}
		s.reject(protocolViolation("invalid Bind message"))
		return false
	}
	if len(name) == 0 {
		if !s.provide(p, s.unnamed.deeds, true) {
			return s.waitForServer(p)
		}
		if s.exchange.statements != nil {
			s.ensureUnnamed(p)
		}
		return s.apply(p, h, s.bind(s.exchange.client(wire.Bind), portal, s.unnamed.deeds), nil)
	}
	if !s.provideBound(p, name) || !s.provide(p, s.named.find(name), true) {
		return s.waitForServer(p)
	}
	s.doubtNames()
	before, at := s.exchange.keeping, len(p.insert())
	out, v, follow := s.exchange.bind(p.out, portal, name, namesLen, h.Body, rest[min(len(rest), h.Size()):])
	p.out = out
	s.keepFrom(p, at, before)
	d := s.named.find(name)
	if d == nil && s.sql != nil {
		d = s.executing(name)
	}
	s.bind(v, portal, d)
	if v != replace || !follow {
		return s.apply(p, h, v, out)
	}
	head := wire.HeaderLen + namesLen
	p.cut(head)
	passed := min(h.Size(), len(rest)) - head
	p.keep(passed)
	s.body, s.bodyDrop = h.Body-namesLen-passed, false
	return true
}

// clientTarget: Describe and Close are read whole, they are short.
func (s *session) clientTarget(p *splice, h wire.Header) bool {
	if s.exchange.statements == nil {
		return s.apply(p, h, s.exchange.client(h.Type), nil)
	}
	rest := p.rest()
	if len(rest) < h.Size() {
		if h.Body > maxNames {
			s.reject(protocolViolation("invalid Describe or Close message"))
		}
		return false
	}
	body := rest[wire.HeaderLen:h.Size()]
	withoutName := string(body) == "S\x00"
	if h.Type == wire.Describe && len(body) > 1 && body[0] == 'S' && !s.provideBound(p, body[1:len(body)-1]) {
		return s.waitForServer(p)
	}
	if h.Type == wire.Close {
		if withoutName {
			s.unnamed.replaced()
		}
		if len(body) > 1 && body[0] == 'S' && !withoutName {
			return s.closeNamed(p, h, body)
		}
		return s.apply(p, h, s.exchange.closeTarget(body), nil)
	}
	if withoutName {
		s.ensureUnnamed(p)
	}
	s.doubtNames()
	before, at := s.exchange.keeping, len(p.insert())
	out, v := s.exchange.describe(p.out, body)
	p.out = out
	s.keepFrom(p, at, before)
	return s.apply(p, h, v, out)
}

// withoutServer deals with messages that need no server, in a session that
// has none. done is false for those that do need one.
func (s *session) withoutServer(p *splice, h wire.Header) (done, more bool) {
	size := min(h.Size(), len(p.rest()))
	switch {
	case s.failing:
		s.failing = false
		if h.Type == wire.Query || h.Type == wire.FunctionCall {
			s.client.Send(wire.AppendReadyForQuery(nil, s.status()))
		} else {
			s.skipping = h.Type != wire.Sync
			if !s.skipping {
				s.client.Send(wire.AppendReadyForQuery(nil, s.status()))
			}
		}
	case h.Type == wire.Sync:
		s.skipping = false
		s.client.Send(wire.AppendReadyForQuery(nil, s.status()))
	case s.skipping:
	case h.Type == wire.Flush, h.Type == wire.CopyData, h.Type == wire.CopyDone, h.Type == wire.CopyFail:
		// Outside COPY a server ignores these, too.
	case s.aborted && (h.Type == wire.Query || h.Type == wire.FunctionCall || h.Type == wire.Parse):
		return s.whileAborted(p, h)
	case h.Type == wire.Close && s.purpose == purposeTranslating:
		return s.forgetStatement(p, h)
	case h.Type == wire.Query:
		return s.withoutServerQuery(p, h)
	default:
		return false, false
	}
	p.cut(size)
	s.body, s.bodyDrop = h.Size()-size, true
	return true, true
}

// forgetStatement answers a Close for a prepared statement, which no server
// need hear of.
func (s *session) forgetStatement(p *splice, h wire.Header) (done, more bool) {
	rest := p.rest()
	if len(rest) < h.Size() {
		return h.Body <= maxNames, false
	}
	target, name, ok := wire.ParseTarget(rest[wire.HeaderLen:h.Size()])
	if !ok || target != 'S' || len(name) == 0 {
		return false, false
	}
	s.names.names.Delete(name)
	if _, bySQL := s.sql.find(name); bySQL {
		s.sql.drop(string(significant(name)))
	}
	s.client.Send(wire.AppendEmpty(nil, wire.CloseComplete))
	p.cut(h.Size())
	return true, true
}

// fail answers the message at the front of what the client has sent, and the
// rest of its batch, with an error.
func (s *session) fail(r wire.Report) {
	s.client.Send(wire.AppendError(nil, r))
	s.proxy.counters.refused(r.Code)
	s.failing = true
	s.aborted = s.deferred != nil
	s.become(stateIdle)
	s.client.Resume()
}

// serverTook is called when the server's socket has taken all it was sent.
func (s *session) serverTook() {
	if !s.holding && s.state == stateActive {
		s.client.Resume()
	}
}

// lost deals with a server that is gone while the session holds it.
func (s *session) lost(why string) {
	srv := s.server
	switch s.state {
	case stateChecking:
		s.checked(false)
		return
	case stateFarewell:
		s.drop(pool.ReasonBroken)
		s.close()
		return
	}
	s.log().Warn("server connection lost: " + why)
	told := s.told
	midMessage := srv.body > 0 && !srv.bodyDrop
	s.drop(pool.ReasonBroken)
	if told || midMessage {
		s.dismiss("server connection lost: " + why)
		return
	}
	s.reject(serverClosed())
}
