package proxy

import (
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What currval and lastval say. An INSERT whose columns have a sequence for
// their default advances it, which no text shows, and Postgres remembers that for
// the session: the next client of the server would be told a stranger's number.
// nextval and setval, which texts do show, pin.
//
// Servers forget their numbers before they tell them to somebody else: ahead of
// a statement that reads them, if it is the first of a transaction, and, once a
// route has seen such a statement, ahead of all that a client sends to a server
// that another one has had. Routes whose clients never read them pay nothing.

// readsNumbers notes that clients of the route ask for numbers.
func (r *route) readsNumbers() {
	if !r.numbersRead.Load() {
		r.numbersRead.Store(true)
	}
}

// forgetNumbers has the server at hand forget the numbers of the client that
// had it before, if anybody asks for them.
func (s *session) forgetNumbers() {
	srv := s.server
	switch {
	case !s.route.numbersRead.Load() || s.private:
		return
	case s.rules.ignored&state.HoldsSequences != 0:
		srv.numbersOf = cancelKey{}
		return
	case srv.numbersOf == s.key:
		return
	}
	out := wire.AppendQuery(s.w.toServer[:0], discardNumbers)
	s.numbersForgotten()
	srv.conn.Send(out)
	s.w.toServer = reuse(out)
}

// hideNumbers is forgetNumbers ahead of a statement that reads them.
func (s *session) hideNumbers(p *splice) {
	x, r := &s.exchange, s.residue
	switch {
	case x.status != wire.TxIdle || !x.errandsOnly():
		return // they may be those of the present transaction
	case s.ownNumbers:
		return
	case r != nil && (r.pins&state.HoldsSequences != 0 || r.pins != 0 && s.server.numbersOf == s.key):
		return // nobody else has had the server since
	}
	s.numbersForgotten()
	p.out = wire.AppendQuery(p.insert(), discardNumbers)
}

const discardNumbers = "DISCARD SEQUENCES"

func (s *session) numbersForgotten() {
	s.ownNumbers, s.server.numbersOf = true, s.key
	s.unnamed.here = false // a Query drops it
	s.exchange.ask(errandStrangers)
}
