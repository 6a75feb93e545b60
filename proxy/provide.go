package proxy

import (
	"bytes"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What servers are given of the statements that a message names in SQL, ahead of
// the message. Three things hold:
//
//   - A message waits for answers to what was sent before it, and never for those
//     to what is sent for it: that goes ahead of it in one go. Whoever waits is so
//     waiting for something that ends.
//   - A server is given a thing once: what stands there by a name is known, and
//     that it is what the client means by the name. The same message, looked at
//     again, needs nothing.
//   - What is put in makes no transaction fail. Ahead of a Query it is between a
//     savepoint and the return to it: PREPARE isn't undone by that, but its error
//     is. The client's own statement then finds nothing by the name, and that
//     error is the client's, with the reason in its place.
//
// Within a batch a savepoint might not be allowed. There the client's next
// message is the one that would fail, and it gets the error (within.go).

// standing is what a server has by the name of a statement in SQL.
type standing struct {
	// of is the client's statement of the protocol that it stands for; nil if
	// SQL has prepared it. It is only compared.
	of *prepared.Name
	// idle: it is there for the name's sake, and mustn't be executed.
	idle bool
}

// hasSQL notes that the server has a statement of a client's.
func (srv *server) hasSQL(of *sqlOwner, name string, what standing) {
	if srv.sqlNames == nil {
		srv.sqlNames = make(map[string]standing)
	}
	srv.sqlOf = of
	srv.sqlNames[name] = what
}

// dropStrangers has the server drop what another client has prepared by SQL. A
// Close never fails, so all of it is gone afterwards.
func (s *session) dropStrangers() {
	srv := s.server
	out := s.w.toServer[:0]
	for name := range srv.sqlNames {
		out = s.exchange.dropSQL(out, name)
	}
	srv.sqlNames, srv.sqlOf = nil, nil
	out = s.exchange.endErrand(out, errandStrangers)
	srv.conn.Send(out)
	s.w.toServer = reuse(out)
}

// provide sees to it that the server has what the statements of a text name. It
// answers false if the client's message has to wait: it isn't certain what the
// server has, or, for a Query, whether it is in a transaction. within: the text is
// part of a batch, and so is then what is sent ahead of it. A Query in the midst of
// a batch, which no driver sends, has to do with what there is.
func (s *session) provide(p *splice, d *deeds, within bool) bool {
	if d == nil {
		return true
	}
	if d.numbers {
		s.hideNumbers(p)
	}
	v := s.provides(within)
	for i := range d.effects {
		e := &d.effects[i]
		if !aboutStatement(e) || mentioned(d.effects[:i], e.Name) {
			continue // what comes first by a name says what has to be there
		}
		if v == hold || v == forward && !s.provideName(p, e.Name, e.Kind == state.KindExecute, within) {
			return false
		}
	}
	return true
}

// provideBound is provide for a message of the protocol that names a statement
// prepared by SQL.
func (s *session) provideBound(p *splice, name []byte) bool {
	if _, bySQL := s.sql.find(name); !bySQL {
		return true
	}
	v := s.provides(true)
	return v == drop || v == forward && s.provideName(p, name, true, true)
}

// provides says whether anything may go ahead of the client's message: forward,
// hold if the message has to wait for what was sent before it, and drop if there
// is no place for anything.
func (s *session) provides(within bool) verdict {
	x := &s.exchange
	switch {
	case x.skipping, x.full(), x.copyIn:
		return drop
	case !within && (x.batch || x.status == wire.TxFailed && x.empty()):
		return drop
	case x.unproven > 0, x.unsettled > 0, s.asksForStatements():
		return hold
	}
	return forward
}

// aboutStatement reports whether an effect is about a statement by its name.
func aboutStatement(e *state.Effect) bool {
	return e.Kind == state.KindPrepare || e.Kind == state.KindExecute || e.Kind == state.KindDeallocate
}

// mentioned reports whether one of the effects is about the statement called name.
func mentioned(effects []state.Effect, name []byte) bool {
	for i := range effects {
		if e := &effects[i]; aboutStatement(e) && bytes.Equal(significant(e.Name), significant(name)) {
			return true
		}
	}
	return false
}

// provideName sees to it that the server has the client's statement called
// name, if there is one, and nothing by that name if there is none. runs: it is
// going to be executed, or else it is enough that there is something by that
// name.
func (s *session) provideName(p *splice, name []byte, runs, within bool) bool {
	if !plainASCII(name) {
		return true
	}
	key := string(significant(name))
	there, has := s.server.sqlNames[key]
	one, known := s.sql.find(name)
	if one.stuck {
		return true // it never was anywhere else
	}
	var wanted standing
	if !known {
		of, protocols := s.names.names.Lookup(name)
		if known = protocols; known {
			query, typed := of.Statement.SQL()
			known = !typed || !runs // better none than another
			wanted.of, one.home = of, of.Home
			one.text = string(appendPrepare(nil, []byte(key), nil, []byte(query)))
		}
	}
	switch {
	case !known && !has, known && has && there.of == wanted.of && !(runs && there.idle):
		return true
	case !within && !s.exchange.errandsOnly():
		return false
	case has:
		s.unprovide(p, key, within)
	}
	if !known {
		return true
	}
	if wanted.idle = !runs; wanted.idle {
		one.text = string(appendPrepare(nil, []byte(key), nil, []byte("SELECT 1")))
		one.home = nil
	}
	s.server.hasSQL(s.ownSQL().owner, key, wanted)
	s.prepareAgain(p, key, one.text, one.home, within)
	return true
}

// prepareAgain sends the PREPARE of the statement called name, under what it was
// prepared under first.
func (s *session) prepareAgain(p *splice, name, text string, home *prepared.Meaning, within bool) {
	x := &s.exchange
	reserved := s.proxy.translation.reserved
	ahead, behind := s.aroundNow(home, prepared.SensitivityOf([]byte(text)))
	out := p.insert()
	switch {
	case within:
		if ahead != "" {
			out = x.command(out, reserved, ahead, errandMeaning, "")
		}
		out = x.command(out, reserved, text, errandPrepare, name)
		if behind != "" {
			out = x.command(out, reserved, behind, errandMeaning, "")
		}
	default:
		if ahead != "" {
			text = ahead + ";" + text + "\n;" + behind
		}
		s.unnamed.here = false // a Query drops it
		aside := x.status != wire.TxIdle || x.begins()
		savepoint := `SAVEPOINT "` + reserved + `_s"`
		if aside {
			out = x.provision(out, savepoint, "")
		}
		out = x.provision(out, text, name)
		if aside {
			out = x.provision(out, "ROLLBACK TO "+savepoint+";RELEASE "+savepoint, "")
		}
	}
	p.out = out
}

// unprovide takes back what was provided by the name.
func (s *session) unprovide(p *splice, name string, within bool) {
	delete(s.server.sqlNames, name)
	p.out = s.exchange.dropSQL(p.insert(), name)
	if !within {
		p.out = s.exchange.endErrand(p.out, errandStrangers)
	}
}

// notProvided: the server couldn't prepare a statement again. It will say so
// when the client's message names it, which is then told why.
func (s *session) notProvided(name string, r *wire.Report) {
	delete(s.server.sqlNames, name)
	s.exchange.excuse(name, r)
}

// notReached: the server has skipped what was sent to provide statements. What
// should have been dropped by a name is there, whatever it is.
func (s *session) notReached() {
	for _, one := range s.exchange.lapsed {
		if one.errand == errandPrepare {
			delete(s.server.sqlNames, one.name)
		} else {
			s.server.hasSQL(s.ownSQL().owner, one.name, standing{idle: true})
		}
	}
	s.exchange.lapsed = nil
}
