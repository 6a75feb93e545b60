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
// Those that can't be prepared anew, because it isn't certain what their texts
// mean or there are too many, keep their server for their client, but are known
// by their names all the same.
//
// Postgres has one name space for these and for those of the protocol, which
// have names of ours on servers. A client that names one of the latter in SQL
// finds something there by that name (provide.go).

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
	// stuck: it can't be prepared again, so it is only on the server that the
	// client holds, which it keeps as long as the statement is there.
	stuck bool
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

// prepared notes that an SQL PREPARE has been executed, and whether what it has
// prepared can follow the client.
func (s *session) prepared(e *state.Effect, d *deeds) (follows bool) {
	one := sqlStatement{makes: d.potential, custom: d.potentiallyUnlisted, shifts: d.potentialShifts, home: d.home}
	if follows = s.replayable(d, e); follows {
		one.text = string(appendPrepare(nil, e.Name, e.Types, e.Value))
		s.has(e.Name, one)
		return true
	}
	s.hasStuck(e.Name, one)
	return false
}

// has notes that the client has a statement called name, and the server at hand
// has it too.
func (s *session) has(name []byte, one sqlStatement) {
	key := string(significant(name))
	l := s.ownSQL()
	l.size += len(one.text) - len(l.texts[key].text)
	l.texts[key] = one
	s.server.hasSQL(l.owner, key, standing{})
}

// hasStuck is has for a statement that can't follow the client. If there are too
// many, nothing is known of it but that the client keeps its server.
func (s *session) hasStuck(name []byte, one sqlStatement) {
	if one.stuck = true; s.sql.room(0, int(s.proxy.translation.maxNames.Load())) {
		s.has(name, one)
	}
}

// foundStatements compares what is known of the client's statements with what an
// audit has found on its server, and reports whether one of them is stuck there.
// What isn't known has been prepared by a function, say, and may do anything, and
// what isn't there any more has been dropped by one.
func (s *session) foundStatements(f *state.Findings) (stuck bool) {
	there := make(map[string]bool)
	for name := range f.Statements() {
		there[name] = true
		one, known := s.sql.find([]byte(name))
		if _, ours := s.server.sqlNames[name]; !known && !ours {
			one = sqlStatement{makes: state.Askable() | state.HoldsUnknown, custom: true, shifts: shiftAll, stuck: true}
			s.hasStuck([]byte(name), one)
		}
		stuck = stuck || one.stuck
	}
	for name := range s.server.sqlNames {
		if !there[name] {
			s.deallocated([]byte(name))
		}
	}
	return stuck
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

// closeNamed decides on a Close of a statement with a name, given its whole
// body. The server closes what SQL has prepared by the name, or what stands
// there for a statement of the protocol.
func (s *session) closeNamed(p *splice, h wire.Header, body []byte) bool {
	name := body[1 : len(body)-1]
	_, bySQL := s.sql.find(name)
	_, here := s.server.sqlNames[string(significant(name))]
	x := &s.exchange
	if s.asksForStatements() {
		return s.waitForServer(p)
	}
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
