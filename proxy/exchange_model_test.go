package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"carpool/proxy/wire"
)

// modelMessage is one message of either side.
type modelMessage struct {
	t    byte
	body string
}

// modelServer is a Postgres backend reduced to what decides about its answers:
// which messages it answers, ignores or refuses in which state, and with which
// SQLSTATE. Its SQL is a list of words, see run. It follows SocketBackend and
// PostgresMain in tcop/postgres.c, and CopyGetData in commands/copyfromparse.c.
type modelServer struct {
	// lenient: a Parse doesn't fail for being in an aborted transaction, and its
	// name is looked at before its text. That is how it looks through carpool
	// when the server has the statement already, see exchange.parse. Likewise, a
	// Bind looks at the result of a statement before the portal's name.
	lenient bool
	// forgiving: a statement with a name that returns other columns now is
	// refused only if its client relies on what it was told of it. That is how it
	// looks through carpool, see renew.go.
	forgiving bool
	// version is that of all tables that change.
	version *int
	next    string // the portal that is described behind the next Bind, see say

	statements map[string]*modelStatement
	last       *modelPortal // bound last, of a statement with a name
	portals    map[string]*modelPortal
	tx         byte // wire.TxIdle ...
	batch      bool // extended messages were read since the last Sync
	skipping   bool
	deferred   bool // the end of the implicit transaction will fail
	copying    *modelCopy
	dead       bool

	held []modelMessage // answers not flushed yet
	out  []modelMessage // answers that have left

	wiped     int   // times that all statements were dropped
	copySyncs int   // Syncs ignored in COPY
	ignored   []int // copySyncs whenever a COPY has failed
}

type modelStatement struct {
	query, shape string
	told         string // to the client, of its shape
	whole        bool   // of the statement, not just of a portal
}

type modelPortal struct {
	of                   *modelStatement
	query, shape, params string
	done                 int // rows sent
	over                 bool
}

// modelCopy is COPY FROM STDIN under way.
type modelCopy struct {
	extended bool
	rest     []string // statements that follow in the same Query
	rows     int
}

func newModelServer(version *int) *modelServer {
	return &modelServer{version: version, statements: map[string]*modelStatement{}, portals: map[string]*modelPortal{}, tx: wire.TxIdle}
}

// shape is what a query returns at present.
func (m *modelServer) shape(query string) string {
	if query == "select 4" || query == "select 5" {
		return fmt.Sprintf("%s of version %d", query, *m.version)
	}
	return query
}

// same is RevalidateCachedQuery: the SQLSTATE if a statement's result has
// changed.
func (m *modelServer) same(name string, st *modelStatement, relying bool) (code string) {
	now := m.shape(st.query)
	switch {
	case m.forgiving && name != "" && relying && st.told != now:
		return "0A000"
	case m.forgiving && name != "":
		st.shape = now
	case st.shape != now:
		return "0A000"
	}
	return ""
}

// free reports whether the server waits for a command, in no transaction and
// no batch.
func (m *modelServer) free() bool {
	return m.tx == wire.TxIdle && !m.batch && !m.skipping && m.copying == nil
}

func (m *modelServer) say(t byte, body string) { m.held = append(m.held, modelMessage{t, body}) }

func (m *modelServer) flush() {
	m.out = append(m.out, m.held...)
	m.held = m.held[:0]
}

func (m *modelServer) ready() {
	m.say(wire.ReadyForQuery, string(m.tx))
	m.flush()
}

// fail is ereport(ERROR), up to where PostgresMain catches it.
func (m *modelServer) fail(code string, extended bool) {
	m.say(wire.ErrorResponse, code)
	if m.tx == wire.TxOpen {
		m.tx = wire.TxFailed
	}
	clear(m.portals)
	m.deferred = false
	m.copying = nil
	m.flush()
	if extended {
		m.skipping = true
		return
	}
	m.ready()
}

// die is what becomes of a client that has lost the place in the protocol.
func (m *modelServer) die() {
	m.ignored = append(m.ignored, m.copySyncs)
	m.say(wire.ErrorResponse, "08P01")
	m.say(wire.ErrorResponse, "FATAL")
	m.flush()
	m.dead = true
}

// read takes one message from the client.
func (m *modelServer) read(msg modelMessage) {
	switch {
	case m.dead:
		return
	case m.copying != nil:
		m.readCopy(msg)
		return
	case msg.t == wire.Sync:
		m.sync()
		return
	case m.skipping:
		return
	}
	switch msg.t {
	case wire.Query:
		m.batch, m.last = false, nil
		delete(m.statements, "")
		if m.deferred = m.deferred && m.tx != wire.TxIdle; strings.Contains(msg.body, "syntax") {
			m.fail("42601", false)
			return
		}
		m.simple(strings.Split(msg.body, ";"))
	case wire.FunctionCall:
		m.batch = false
		switch {
		case m.tx == wire.TxFailed:
			m.fail("25P02", false)
		case msg.body == "fail":
			m.fail("22012", false)
		default:
			m.say(wire.FunctionCallResponse, "")
			m.simple(nil)
		}
	case wire.Flush:
		m.flush()
	case wire.Parse, wire.Bind, wire.Describe, wire.Execute, wire.Close:
		m.batch = true
		if code := m.extended(msg); code != "" {
			m.fail(code, true)
		}
	}
}

func (m *modelServer) readCopy(msg modelMessage) {
	c := m.copying
	switch msg.t {
	case wire.CopyData:
		if c.rows++; msg.body == "bad" {
			m.ignored = append(m.ignored, m.copySyncs)
			m.fail("22P02", c.extended)
		}
	case wire.CopyDone:
		m.copying = nil
		m.say(wire.CommandComplete, "COPY "+strconv.Itoa(c.rows))
		if !c.extended {
			m.simple(c.rest)
		}
	case wire.CopyFail:
		m.ignored = append(m.ignored, m.copySyncs)
		m.fail("57014", c.extended)
	case wire.Sync:
		m.copySyncs++
	case wire.Flush:
	default:
		m.die()
	}
}

func (m *modelServer) sync() {
	m.skipping, m.batch = false, false
	if m.tx == wire.TxIdle {
		clear(m.portals)
		if m.deferred {
			m.fail("23503", false)
			return
		}
	}
	m.ready()
}

func (m *modelServer) simple(list []string) {
	for i, s := range list {
		if m.returnsRows(s) && m.tx != wire.TxFailed {
			m.say(wire.RowDescription, m.shape(s))
		}
		code := m.run(s, &modelPortal{query: s, shape: m.shape(s)}, 0, false)
		if code != "" {
			m.fail(code, false)
			return
		}
		if m.copying != nil {
			m.copying.rest = list[i+1:]
			return
		}
	}
	if m.tx == wire.TxIdle {
		clear(m.portals)
		if m.deferred {
			m.fail("23503", false)
			return
		}
	}
	m.ready()
}

func (m *modelServer) returnsRows(s string) bool { return strings.HasPrefix(s, "select") }

func exits(s string) bool { return s == "commit" || s == "rollback" }

// run executes one statement and returns the SQLSTATE of its error. The words:
// select N (N rows), begin, commit, rollback, fail, notice, set (reports a
// parameter), defer (makes the end of an implicit transaction fail), copyin,
// copyinfail (fails before it reads data), copyout, wipe and discard (which
// drop all statements).
func (m *modelServer) run(s string, p *modelPortal, limit int, extended bool) (code string) {
	if m.tx == wire.TxFailed && !exits(s) && s != "" {
		return "25P02"
	}
	tag := strings.ToUpper(s)
	switch {
	case s == "":
		m.say(wire.EmptyQueryResponse, "")
		return ""
	case m.returnsRows(s):
		rows, _ := strconv.Atoi(s[len("select "):])
		for n := 0; p.done < rows; n++ {
			if limit > 0 && n == limit {
				m.say(wire.PortalSuspended, "")
				return ""
			}
			m.say(wire.DataRow, p.shape+p.params)
			p.done++
		}
	case s == "begin":
		m.tx = wire.TxOpen
	case exits(s):
		m.tx = wire.TxIdle
		clear(m.portals)
	case s == "fail":
		return "22012"
	case s == "notice":
		m.say(wire.NoticeResponse, "by a statement")
	case s == "set":
		m.say(wire.ParameterStatus, "by a statement")
	case s == "defer":
		m.deferred = m.tx == wire.TxIdle
	case s == "copyin", s == "copyinfail":
		m.say(wire.CopyInResponse, "")
		m.flush()
		if s == "copyinfail" {
			m.ignored = append(m.ignored, m.copySyncs)
			return "23514"
		}
		m.copying = &modelCopy{extended: extended}
		return ""
	case s == "copyout":
		m.say(wire.CopyOutResponse, "")
		m.say(wire.CopyData, "row"+p.params)
		m.say(wire.CopyDone, "")
	case s == "wipe", s == "discard":
		if s == "discard" && m.tx != wire.TxIdle {
			return "25001"
		}
		clear(m.statements)
		m.wiped++
		if tag = string(tagDeallocateAll); s == "discard" {
			tag = string(tagDiscardAll)
		}
	}
	m.say(wire.CommandComplete, tag)
	return ""
}

// extended executes a message of the extended protocol.
func (m *modelServer) extended(msg modelMessage) (code string) {
	c := wire.Cursor{Rest: []byte(msg.body)}
	switch msg.t {
	case wire.Parse:
		return m.parse(msg)
	case wire.Bind:
		portal, _ := c.String()
		name, _ := c.String()
		key := string(significant(name))
		st, ok := m.statements[key]
		m.last = nil
		switch {
		case !ok:
			return "26000"
		case m.tx == wire.TxFailed && !exits(st.query) && st.query != "":
			return "25P02"
		}
		relying := st.told != "" && (st.whole || m.next != "P"+string(portal)+"\x00")
		if m.lenient {
			if code := m.same(key, st, relying); code != "" {
				return code
			}
		}
		if len(portal) > 0 && m.portals[string(portal)] != nil {
			return "42P03"
		}
		if code := m.same(key, st, relying); code != "" {
			return code
		}
		p := &modelPortal{of: st, query: st.query, shape: st.shape, params: string(c.Rest)}
		m.portals[string(portal)] = p
		if key != "" {
			m.last = p
		}
		m.say(wire.BindComplete, "")
	case wire.Execute:
		name, _ := c.String()
		p, ok := m.portals[string(name)]
		switch {
		case !ok:
			return "34000"
		case p.over:
			return "55000"
		}
		limit := int(binary.BigEndian.Uint32(c.Rest))
		p.over = !m.returnsRows(p.query) && p.query != ""
		return m.run(p.query, p, limit, true)
	case wire.Describe, wire.Close:
		kind, name, ok := wire.ParseTarget([]byte(msg.body))
		switch {
		case !ok:
			return "08P01"
		case msg.t == wire.Describe:
			return m.describe(kind, name)
		case kind == 'S':
			delete(m.statements, string(significant(name)))
		default:
			delete(m.portals, string(name))
		}
		m.say(wire.CloseComplete, "")
	}
	return ""
}

func (m *modelServer) parse(msg modelMessage) (code string) {
	name, rest, ok := wire.ParseStatement([]byte(msg.body))
	if !ok {
		return "08P01"
	}
	key := string(significant(name))
	query := string(rest[:bytes.IndexByte(rest, 0)])
	_, taken := m.statements[key]
	if key == "" {
		delete(m.statements, "")
		taken = false
	}
	switch {
	case taken && m.lenient:
		return "42P05"
	case strings.Contains(query, "syntax"):
		return "42601"
	case m.tx == wire.TxFailed && !exits(query) && query != "" && !m.lenient:
		return "25P02"
	case taken:
		return "42P05"
	}
	m.statements[key] = &modelStatement{query: query, shape: m.shape(query)}
	m.say(wire.ParseComplete, "")
	return ""
}

func (m *modelServer) describe(kind byte, name []byte) (code string) {
	var query, shape string
	if kind == 'P' {
		p, ok := m.portals[string(name)]
		switch {
		case !ok:
			return "34000"
		case m.tx == wire.TxFailed && m.returnsRows(p.query):
			return "25P02"
		}
		query, shape = p.query, p.shape
		if p == m.last {
			p.of.told = shape
		}
	} else {
		key := string(significant(name))
		st, ok := m.statements[key]
		switch {
		case !ok:
			return "26000"
		case m.tx == wire.TxFailed && m.returnsRows(st.query):
			return "25P02"
		}
		m.say(wire.ParameterDescription, st.query)
		if code := m.same(key, st, st.whole); code != "" {
			return code
		}
		query, shape = st.query, st.shape
		if key != "" {
			st.told, st.whole = shape, true
		}
	}
	if m.returnsRows(query) {
		m.say(wire.RowDescription, shape)
	} else {
		m.say(wire.NoData, "")
	}
	return ""
}
