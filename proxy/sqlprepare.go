package proxy

import (
	"bytes"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Statements prepared by SQL: PREPARE, EXECUTE, DEALLOCATE. They keep the names
// that clients give them, so no text is changed. A server has those of one
// client at a time: before another client's first message they are dropped, and
// when a client comes to a server that lacks one it names, it is prepared anew
// ahead of its message. Neither costs a round trip. Where the message is part of
// a batch, so is what goes ahead of it (see within.go).
//
// Postgres has one name space for these and for those of the protocol, which
// have names of ours on servers. A client that names one of the latter in SQL
// finds something there by that name.

// sqlStatements are what a client has prepared by SQL, by name.
type sqlStatements struct {
	texts map[string]sqlStatement
	size  int // of the texts, in bytes
	// owner changes when a statement is dropped: a server that has another one
	// may have what doesn't exist any more.
	owner *sqlOwner
}

// sqlOwner is whose the statements on a server are, by its address.
type sqlOwner struct{ _ byte }

// sqlStatement is one of them.
type sqlStatement struct {
	text   string            // of the PREPARE
	makes  state.Holdings    // by what it does when it is executed
	custom bool              // it may set parameters that servers don't list
	shifts shift             // likewise
	home   *prepared.Meaning // under what it was prepared; nil if it isn't known or doesn't matter
}

// maxSQLStatement is the longest statement that is remembered, in bytes. A
// client with a longer one keeps its server, and so does one with more than
// maxSQLStatements bytes of them.
const (
	maxSQLStatement  = 16 << 10
	maxSQLStatements = 4 << 20
)

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
		(d.home != nil || prepared.SensitivityOf(e.Value) == prepared.SensitiveToPath) &&
		s.sql.room(len(e.Value)+len(e.Types), int(s.proxy.translation.maxNames.Load()))
}

// room reports whether another statement may be remembered.
func (l *sqlStatements) room(size, most int) bool {
	return l == nil || len(l.texts) < most && l.size+size <= maxSQLStatements
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

// ownedBy is the owner of the client's statements; nil if it has none.
func (l *sqlStatements) ownedBy() *sqlOwner {
	if l == nil {
		return nil
	}
	return l.owner
}

// drop forgets the statement called name.
func (l *sqlStatements) drop(name string) {
	if l == nil {
		return
	}
	l.size -= len(l.texts[name].text)
	delete(l.texts, name)
	l.owner = new(sqlOwner)
}

// ownSQL returns the client's statements, of which there may be none yet.
func (s *session) ownSQL() *sqlStatements {
	if s.sql == nil {
		s.sql = &sqlStatements{texts: make(map[string]sqlStatement), owner: new(sqlOwner)}
	}
	return s.sql
}

// prepared notes that an SQL PREPARE has been executed.
func (s *session) prepared(e *state.Effect, d *deeds) {
	name := string(significant(e.Name))
	text := string(appendPrepare(nil, e.Name, e.Types, e.Value))
	l := s.ownSQL()
	l.size += len(text) - len(l.texts[name].text)
	l.texts[name] = sqlStatement{text: text, makes: d.potential, custom: d.potentiallyUnlisted, shifts: d.potentialShifts, home: d.home}
	s.server.hasSQL(l.owner, name)
}

// deallocated notes that a DEALLOCATE has been executed; without a name, of all.
func (s *session) deallocated(name []byte) {
	if name == nil {
		s.sql, s.named = nil, nil
		s.server.sqlNames = nil
		return
	}
	key := string(significant(name))
	delete(s.server.sqlNames, key)
	s.sql.drop(key)
	s.server.sqlOf = s.sql.ownedBy()
	if len(name) > 0 {
		s.names.names.Delete(name)
		s.named.drop(key)
	}
}

// hasSQL notes that the server has a statement of a client's.
func (srv *server) hasSQL(of *sqlOwner, name string) {
	if srv.sqlNames == nil {
		srv.sqlNames = make(map[string]bool)
	}
	srv.sqlOf = of
	srv.sqlNames[name] = false
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
// answers false if the client's message has to wait for that. within: the text
// is part of a batch.
func (s *session) provide(p *splice, d *deeds, within bool) bool {
	if d == nil {
		return true
	}
	if d.numbers {
		s.hideNumbers(p)
	}
	for i := range d.effects {
		switch e := &d.effects[i]; e.Kind {
		case state.KindPrepare, state.KindExecute, state.KindDeallocate:
			if !s.provideName(p, e.Name, e.Kind == state.KindExecute, within) {
				return false
			}
		}
	}
	return true
}

// provideName sees to it that the server has the client's statement called
// name, if there is one, and nothing by that name if there is none. It answers
// false as long as it isn't certain what the server has. runs: it is going to be
// executed, or else it is enough that there is something by that name. within:
// the client's message is part of a batch, and so is then what is sent ahead of
// it. A Query in the midst of a batch, which no driver sends, has to do with what
// there is.
func (s *session) provideName(p *splice, name []byte, runs, within bool) bool {
	x := &s.exchange
	switch {
	case x.skipping, x.full(), x.copyIn, !plainASCII(name):
		return true
	case !within && (x.batch || x.status == wire.TxFailed && x.empty()):
		return true
	case x.unproven > 0:
		return false
	}
	key := string(significant(name))
	forName, has := s.server.sqlNames[key]
	one, known := s.sql.find(name)
	text := one.text
	if !known {
		of, protocols := s.names.names.Lookup(name)
		if has && (runs || !protocols) {
			s.unprovide(p, key, within) // it was there for its name, or another one by that name
			has = false
		}
		if !protocols {
			return true
		}
		query, typed := of.Statement.SQL()
		if typed && runs {
			return true // better none than another
		}
		text, one.home = string(appendPrepare(nil, []byte(key), nil, []byte(query))), of.Home
	}
	switch {
	case has && (!runs || !forName):
		return true
	case has:
		s.unprovide(p, key, within)
	case !runs:
		text = string(appendPrepare(nil, []byte(key), nil, []byte("SELECT 1")))
	}
	s.server.hasSQL(s.ownSQL().owner, key)
	s.server.sqlNames[key] = !runs
	s.prepareAgain(p, key, text, one.home, within)
	return true
}

// prepareAgain sends the PREPARE of the statement called name, under what it was
// prepared under first.
func (s *session) prepareAgain(p *splice, name, text string, home *prepared.Meaning, within bool) {
	x := &s.exchange
	ahead, behind := s.aroundNow(home, prepared.SensitivityOf([]byte(text)))
	if !within {
		if ahead != "" {
			text = ahead + ";" + text + "\n;" + behind
		}
		s.unnamed.here = false // a Query drops it
		x.push(pending{kind: kindQuery, treatment: swallow, errand: errandPrepare, name: name})
		p.out = wire.AppendQuery(p.insert(), text)
		return
	}
	reserved := s.proxy.translation.reserved
	out := p.insert()
	if ahead != "" {
		out = x.command(out, reserved, ahead, errandMeaning, "")
	}
	out = x.command(out, reserved, text, errandPrepare, name)
	if behind != "" {
		out = x.command(out, reserved, behind, errandMeaning, "")
	}
	p.out = out
}

// provideBound is provideName for a message of the protocol that names a
// statement prepared by SQL.
func (s *session) provideBound(p *splice, name []byte) bool {
	if _, bySQL := s.sql.find(name); bySQL {
		return s.provideName(p, name, true, true)
	}
	return true
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
	s.exchange.excuse(r)
}

// notReached: the server has skipped what was sent to provide statements.
func (s *session) notReached() {
	for _, one := range s.exchange.lapsed {
		if one.errand == errandPrepare {
			delete(s.server.sqlNames, one.name)
		} else {
			s.server.hasSQL(s.ownSQL().owner, one.name)
		}
	}
	s.exchange.lapsed = nil
}

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
	if one, bySQL := s.sql.find(name); !bySQL || one.makes == 0 && one.shifts == 0 {
		return nil
	}
	return &deeds{leaves: true, effects: []state.Effect{{Kind: state.KindExecute, Exact: true, Name: bytes.Clone(name)}}}
}
