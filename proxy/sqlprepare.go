package proxy

import (
	"bytes"
	"maps"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Statements prepared by SQL: PREPARE, EXECUTE, DEALLOCATE. They keep the names
// that clients give them, so no text is changed. A server has those of one
// client at a time: before another client's first message they are dropped, and
// when a client comes to a server that lacks one it names, it is prepared anew
// ahead of its message. Neither costs a round trip.
//
// Postgres has one name space for these and for those of the protocol, which
// have names of ours on servers. A client that names one of the latter in SQL
// finds something there by that name.

// sqlStatements are what a client has prepared by SQL, by name. When one is
// dropped another value takes their place, so that servers that still have it
// are known by what they point to.
type sqlStatements struct {
	texts map[string]sqlStatement
}

// sqlStatement is one of them.
type sqlStatement struct {
	text  string         // of the PREPARE
	makes state.Holdings // by what it does when it is executed
}

// maxSQLStatement is the longest statement that is remembered, in bytes. A
// client with a longer one keeps its server.
const maxSQLStatement = 16 << 10

// find returns the statement called name.
func (l *sqlStatements) find(name []byte) (sqlStatement, bool) {
	if l == nil {
		return sqlStatement{}, false
	}
	one, ok := l.texts[string(significant(name))]
	return one, ok
}

// replayable reports whether what an SQL PREPARE prepares can be prepared again
// elsewhere with the same meaning, and dropped by whoever comes next, whatever
// the encoding of each and whatever backslashes mean there.
func (s *session) replayable(d *deeds, e *state.Effect) bool {
	return e.Kind == state.KindPrepare && e.Exact && plainASCII(e.Name) && len(e.Name) > 0 &&
		len(e.Value)+len(e.Types) <= maxSQLStatement && plainASCII(e.Value) && bytes.IndexByte(e.Value, '\\') < 0 &&
		(s.sql == nil || len(s.sql.texts) < int(s.proxy.translation.maxNames.Load()))
}

func plainASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == 0 {
			return false
		}
	}
	return true
}

// appendPrepare appends the PREPARE of a statement.
func appendPrepare(dst, name, types, statement []byte) []byte {
	dst = append(dst, "PREPARE "...)
	dst = appendQuoted(dst, name)
	if len(types) > 0 {
		dst = append(append(append(dst, " ("...), types...), ')')
	}
	return append(append(dst, " AS "...), statement...)
}

func appendQuoted(dst, name []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, bytes.ReplaceAll(name, []byte{'"'}, []byte(`""`))...)
	return append(dst, '"')
}

// without returns the statements but the one called name.
func (l *sqlStatements) without(name string) *sqlStatements {
	if l == nil {
		return nil
	}
	rest := maps.Clone(l.texts)
	delete(rest, name)
	return &sqlStatements{texts: rest}
}

// ownSQL returns the client's statements, of which there may be none yet.
func (s *session) ownSQL() *sqlStatements {
	if s.sql == nil {
		s.sql = &sqlStatements{texts: make(map[string]sqlStatement)}
	}
	return s.sql
}

// prepared notes that an SQL PREPARE has been executed.
func (s *session) prepared(e *state.Effect, makes state.Holdings) {
	name := string(significant(e.Name))
	s.ownSQL().texts[name] = sqlStatement{text: string(appendPrepare(nil, e.Name, e.Types, e.Value)), makes: makes}
	s.server.hasSQL(s.sql, name)
}

// deallocated notes that a DEALLOCATE has been executed; without a name, of all.
func (s *session) deallocated(name []byte) {
	if name == nil {
		s.sql, s.named = nil, nil
		s.server.sqlNames = nil
		return
	}
	s.dropSQL(string(significant(name)))
	if len(name) > 0 {
		s.names.names.Delete(name)
		delete(s.named, string(significant(name)))
	}
}

// dropSQL notes that the server at hand has dropped the statement called name.
func (s *session) dropSQL(name string) {
	delete(s.server.sqlNames, name)
	s.sql = s.sql.without(name)
	s.server.sqlOf = s.sql
}

// hasSQL notes that the server has a statement of a client's.
func (srv *server) hasSQL(of *sqlStatements, name string) {
	if srv.sqlNames == nil {
		srv.sqlNames = make(map[string]struct{})
	}
	srv.sqlOf = of
	srv.sqlNames[name] = struct{}{}
}

// dropStrangers has the server drop what another client has prepared by SQL.
func (s *session) dropStrangers() {
	srv := s.server
	out := s.w.toServer[:0]
	out, mark := wire.Begin(out, wire.Query)
	for name := range srv.sqlNames {
		out = append(out, "DEALLOCATE "...)
		out = append(appendQuoted(out, []byte(name)), ';')
	}
	out = wire.Finish(append(out, 0), mark)
	srv.sqlNames, srv.sqlOf = nil, nil
	s.exchange.ask(errandDeallocate)
	srv.conn.Send(out)
	s.w.toServer = reuse(out)
}

// uncertain reports whether a text names statements while it isn't known yet
// what became of those that were prepared or closed before.
func (s *session) uncertain(d *deeds) bool {
	if d == nil || s.exchange.unsettled == 0 {
		return false
	}
	for i := range d.effects {
		switch d.effects[i].Kind {
		case state.KindPrepare, state.KindExecute, state.KindDeallocate:
			return true
		}
	}
	return false
}

// provide sees to it that the server has what the statements of a text name.
func (s *session) provide(p *splice, d *deeds) {
	if d == nil {
		return
	}
	for i := range d.effects {
		switch e := &d.effects[i]; e.Kind {
		case state.KindPrepare, state.KindExecute, state.KindDeallocate:
			s.provideName(p, e.Name, e.Kind == state.KindExecute)
		case state.KindSequenceRead:
			s.hideSequences(p)
		}
	}
}

// provideName sees to it that the server has the client's statement called
// name, if there is one, and nothing by that name if there is none. In the midst
// of a batch that isn't possible. runs: it is going to be executed.
func (s *session) provideName(p *splice, name []byte, runs bool) {
	x := &s.exchange
	failed := x.status == wire.TxFailed && x.empty() // what is under way may mend it
	if x.batch || x.skipping || x.full() || x.copyIn || failed || !plainASCII(name) {
		return
	}
	key := string(significant(name))
	_, has := s.server.sqlNames[key]
	one, known := s.sql.find(name)
	if known && has {
		return
	}
	if !known {
		of, protocols := s.names.names.Lookup(name)
		switch {
		case !protocols && has, protocols && has && runs:
			s.unprovide(p, key) // it was there for its name alone
		}
		if !protocols || has && !runs {
			return
		}
		text, typed := of.Statement.SQL()
		switch {
		case !runs:
			// It is one of the protocol's; here it stands for its name alone.
			text = "SELECT 1"
		case typed:
			return // better none than another
		}
		one.text = string(appendPrepare(nil, []byte(key), nil, []byte(text)))
	}
	s.server.hasSQL(s.ownSQL(), key)
	s.unnamed.here = false // a Query drops it
	x.push(pending{kind: kindQuery, treatment: swallow, errand: errandPrepare, name: key})
	p.out = wire.AppendQuery(p.insert(), one.text)
}

// provideBound is provideName for a message of the protocol that names a
// statement prepared by SQL.
func (s *session) provideBound(p *splice, name []byte) {
	if _, bySQL := s.sql.find(name); bySQL {
		s.provideName(p, name, true)
	}
}

// unprovide takes back what was provided by the name.
func (s *session) unprovide(p *splice, name string) {
	delete(s.server.sqlNames, name)
	s.unnamed.here = false
	s.exchange.ask(errandDeallocate)
	p.out = wire.AppendQuery(p.insert(), "DEALLOCATE "+string(appendQuoted(nil, []byte(name))))
}

// hideSequences sees to it that currval and lastval don't answer with what
// another client's INSERT has left, which no text shows: if the client has
// advanced no sequence that we know of, they are to say so.
func (s *session) hideSequences(p *splice) {
	x := &s.exchange
	if x.status != wire.TxIdle || !x.errandsOnly() || s.residue != nil && s.residue.pins&state.HoldsSequences != 0 {
		return
	}
	s.unnamed.here = false
	x.push(pending{kind: kindQuery, treatment: swallow, errand: errandPrepare})
	p.out = wire.AppendQuery(p.insert(), "DISCARD SEQUENCES")
}

// notProvided: the server couldn't prepare a statement again. It will say so
// when the client's message names it.
func (s *session) notProvided(name string) { delete(s.server.sqlNames, name) }

// closeNamed decides on a Close of a statement with a name, given its whole
// body. The server closes what SQL has prepared by the name, or what stands
// there for a statement of the protocol.
func (s *session) closeNamed(p *splice, h wire.Header, body []byte) bool {
	name := body[1 : len(body)-1]
	_, bySQL := s.sql.find(name)
	_, here := s.server.sqlNames[string(significant(name))]
	x := &s.exchange
	if !bySQL && !here || x.full() || x.skipping || x.statements == nil {
		return s.apply(p, h, x.closeTarget(body), nil)
	}
	v := x.client(wire.Close)
	if v == forward {
		x.attach(&deeds{leaves: true, turns: true, effects: []state.Effect{{Kind: state.KindDeallocate, Exact: true, Name: bytes.Clone(name)}}})
	}
	return s.apply(p, h, v, nil)
}

// executing is what a statement prepared by SQL leaves behind that is bound by
// the protocol.
func (s *session) executing(name []byte) *deeds {
	if one, bySQL := s.sql.find(name); !bySQL || one.makes == 0 {
		return nil
	}
	return &deeds{leaves: true, effects: []state.Effect{{Kind: state.KindExecute, Exact: true, Name: bytes.Clone(name)}}}
}
