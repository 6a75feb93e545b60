package proxy

import (
	"carpool/proxy/prepared"
	"carpool/proxy/wire"
)

// The statement without a name. A server has one, which lives until the next
// Parse without a name or simple query, and through the end of a transaction.
// Most clients prepare, bind and execute it in one go. Some, lib/pq among them,
// wait for the Parse to be answered before they send the Bind; by then they may
// have been given another server, or somebody else the one they had, and would
// run a statement that isn't theirs. So it is remembered and prepared anew in
// that case, and where there is nothing to remember, the server's is closed:
// the server then says that it doesn't exist.

// unnamed is what a session knows of its client's unnamed statement.
type unnamed struct {
	// statement is what was prepared last, held by a reference; nil if it was
	// bound in the same go, if there is none, or if it is too long to be kept.
	statement *prepared.Statement
	home      *prepared.Meaning // under what; nil if it isn't known
	// here: the server at hand has the client's unnamed statement, or none.
	here bool
	// deeds are what it leaves behind when it is executed.
	deeds *deeds
}

// forget gives up the statement that was prepared.
func (u *unnamed) forget() {
	if u.statement != nil {
		u.statement.Release()
		u.statement = nil
	}
}

// replaced notes that the server has a new unnamed statement of the client's,
// or none.
func (u *unnamed) replaced() {
	u.forget()
	u.here, u.deeds = true, nil
}

// unnamedParse: a Parse without a name goes through as it is. It is remembered
// unless its Bind is in sight, or it is longer than what is read in place.
func (s *session) unnamedParse(p *splice, h wire.Header) bool {
	rest := p.rest()
	whole := len(rest) >= h.Size()
	if !whole && h.Size() <= maxInPlace {
		return false
	}
	var d *deeds
	if s.reads() {
		if !whole && h.Body <= s.readable() {
			return s.beginCollecting(p, h)
		}
		var denied denial
		if d, denied = s.readParse(rest[wire.HeaderLen:min(len(rest), h.Size())], h); denied.refusal != 0 {
			return s.refuseParse(p, h, denied)
		}
		if s.unreadable(d) || !s.provide(p, d, true) {
			return s.waitForServer(p)
		}
	}
	v := s.exchange.client(wire.Parse)
	if v == forward {
		s.unnamed.replaced()
		s.unnamed.deeds = d
		if s.exchange.statements != nil && whole && h.Size() <= maxInPlace && !bindFollows(rest[h.Size():]) {
			if _, statement, ok := wire.ParseStatement(rest[wire.HeaderLen:h.Size()]); ok {
				s.doubtNames()
				s.unnamed.statement, s.unnamed.home = s.names.intern(statement), s.names.certain()
			}
		}
	}
	return s.apply(p, h, v, nil)
}

// bindFollows reports whether there is a Bind in the rest of the batch, as far
// as it has come.
func bindFollows(rest []byte) bool {
	for {
		h, ok, valid := wire.ParseHeader(rest)
		switch {
		case !ok || !valid:
			return false
		case h.Type == wire.Bind:
			return true
		case h.Type != wire.Describe || h.Size() > len(rest):
			return false
		}
		rest = rest[h.Size():]
	}
}

// ensureUnnamed sees to it that the server's unnamed statement is the client's
// before the client uses it.
func (s *session) ensureUnnamed(p *splice) {
	u, x := &s.unnamed, &s.exchange
	if u.here || x.skipping || x.full() {
		return
	}
	u.here = true
	if u.statement != nil {
		out := p.insert()
		ahead, behind := s.aroundNow(u.home, u.statement.Sensitivity())
		if ahead != "" {
			out = x.command(out, s.proxy.translation.reserved, ahead, errandMeaning, "")
		}
		x.inject(kindParse)
		out = u.statement.AppendUnnamedParse(out)
		if behind != "" {
			out = x.command(out, s.proxy.translation.reserved, behind, errandMeaning, "")
		}
		p.out = out
		return
	}
	x.inject(kindClose)
	p.out = wire.AppendHeader(p.insert(), wire.Close, 2)
	p.out = append(p.out, 'S', 0)
}

// inject notes a message of our own within the client's batch.
func (x *exchange) inject(k kind) {
	x.batch = true
	x.push(pending{kind: k, treatment: swallow})
}
