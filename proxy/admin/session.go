package admin

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"carpool/proxy/wire"
)

// session is one client's console: it speaks the simple and the extended
// protocol as Postgres does, without parameters and without transactions.
type session struct {
	// Immutable.
	console *Console
	user    string
	admin   bool         // else only SHOW is allowed
	log     *slog.Logger // for what is ordered

	closed atomic.Bool

	// Owned by Message.
	statements map[string]*prepared
	portals    map[string]*portal
	skipping   bool // after an error in the extended protocol, up to Sync
}

// maxPrepared bounds the statements and the portals that a client has at a time.
const maxPrepared = 100

// prepared is a statement that was parsed.
type prepared struct {
	statement
	show // of SHOW
}

// portal is a statement on its way to be executed.
type portal struct {
	*prepared
	formats []uint16 // of each column
	begun   bool
	result  result // what of it wasn't sent yet
}

// Close implements [proxy.ConsoleSession].
func (s *session) Close() {
	if s.closed.CompareAndSwap(false, true) {
		s.console.sessions.Add(-1)
	}
}

// Message implements [proxy.ConsoleSession].
func (s *session) Message(ctx context.Context, typ byte, body []byte) []byte {
	if typ == wire.Sync {
		s.skipping = false
		clear(s.portals) // they end with the transaction
		return wire.AppendReadyForQuery(nil, wire.TxIdle)
	}
	if s.skipping {
		return nil
	}
	c := wire.Cursor{Rest: body}
	switch typ {
	case wire.Query:
		return s.query(ctx, &c)
	case wire.FunctionCall:
		dst := wire.AppendError(nil, errorReport(codeNotSupported, "the console has no functions"))
		return wire.AppendReadyForQuery(dst, wire.TxIdle)
	case wire.Parse:
		return s.orSkip(s.parse(&c))
	case wire.Bind:
		return s.orSkip(s.bind(&c))
	case wire.Describe:
		return s.orSkip(s.describe(body))
	case wire.Execute:
		return s.orSkip(s.executePortal(ctx, &c))
	case wire.Close:
		return s.orSkip(s.closeTarget(body))
	}
	return nil // Flush: everything was sent; COPY: outside of it Postgres ignores it, too
}

// orSkip is the answer to a message of the extended protocol. An error makes
// everything up to Sync be skipped.
func (s *session) orSkip(answer []byte, failure *wire.Report) []byte {
	if failure == nil {
		return answer
	}
	s.skipping = true
	return wire.AppendError(answer, *failure)
}

// query answers a simple Query.
func (s *session) query(ctx context.Context, c *wire.Cursor) []byte {
	delete(s.statements, "")
	clear(s.portals)
	var dst []byte
	if sql, ok := c.String(); !ok {
		dst = wire.AppendError(nil, malformed("Query"))
	} else if st, failure := s.prepare(string(sql)); failure != nil {
		dst = wire.AppendError(nil, *failure)
	} else {
		r := s.run(ctx, st)
		dst = appendNotices(nil, r.notices)
		if st.columns != nil && r.failure == nil {
			dst = appendDescription(dst, st.columns, nil)
		}
		dst, _ = r.appendRows(dst, st.columns, nil, 0)
	}
	return wire.AppendReadyForQuery(dst, wire.TxIdle)
}

// parse keeps a statement under its name.
func (s *session) parse(c *wire.Cursor) ([]byte, *wire.Report) {
	name, rest, ok := wire.ParseStatement(c.Rest)
	if !ok {
		r := malformed("Parse")
		return nil, &r
	}
	text := wire.Cursor{Rest: rest}
	sql, _ := text.String()
	if _, taken := s.statements[string(name)]; taken && len(name) > 0 {
		r := errorReport(codeDuplicate, fmt.Sprintf("prepared statement \"%s\" already exists", printable(string(name))))
		return nil, &r
	}
	if len(s.statements) >= maxPrepared && len(name) > 0 {
		r := errorReport(codeTooMany, fmt.Sprintf("the console keeps no more than %d prepared statements", maxPrepared))
		return nil, &r
	}
	st, failure := s.prepare(string(sql))
	if failure != nil {
		return nil, failure
	}
	s.statements[string(name)] = st
	return wire.AppendEmpty(nil, wire.ParseComplete), nil
}

// bind makes a portal of a statement. There are no parameters to be given.
func (s *session) bind(c *wire.Cursor) ([]byte, *wire.Report) {
	fail := func(r wire.Report) ([]byte, *wire.Report) { return nil, &r }
	name, ok := c.String()
	statement, ok2 := c.String()
	_, ok3 := readFormats(c) // of parameters
	params, ok4 := c.Uint16()
	switch {
	case !ok || !ok2 || !ok3 || !ok4:
		return fail(malformed("Bind"))
	case params > 0:
		return fail(errorReport(codeProtocol, "the console's commands take no parameters"))
	}
	formats, ok := readFormats(c)
	st, known := s.statements[string(statement)]
	switch {
	case !ok || len(c.Rest) > 0:
		return fail(malformed("Bind"))
	case !known:
		return fail(errorReport(codeUnknown, fmt.Sprintf("prepared statement \"%s\" does not exist", printable(string(statement)))))
	case s.portals[string(name)] != nil && len(name) > 0:
		return fail(errorReport(codeDuplicatePortal, fmt.Sprintf("portal \"%s\" already exists", printable(string(name)))))
	case len(s.portals) >= maxPrepared:
		return fail(errorReport(codeTooMany, fmt.Sprintf("the console keeps no more than %d portals", maxPrepared)))
	}
	p := &portal{prepared: st, formats: make([]uint16, len(st.columns))}
	for i := range p.formats {
		switch len(formats) {
		case 0:
		case 1:
			p.formats[i] = formats[0]
		case len(p.formats):
			p.formats[i] = formats[i]
		default:
			return fail(errorReport(codeProtocol, "as many formats as columns are wanted"))
		}
	}
	s.portals[string(name)] = p
	return wire.AppendEmpty(nil, wire.BindComplete), nil
}

// readFormats reads a list of format codes, 0 for text and 1 for binary.
func readFormats(c *wire.Cursor) (list []uint16, ok bool) {
	n, ok := c.Uint16()
	for i := 0; ok && i < int(n); i++ {
		var f uint16
		f, ok = c.Uint16()
		ok = ok && f <= formatBinary
		list = append(list, f)
	}
	return list, ok
}

// describe says what columns a statement or a portal brings.
func (s *session) describe(body []byte) ([]byte, *wire.Report) {
	kind, name, ok := wire.ParseTarget(body)
	if !ok {
		r := malformed("Describe")
		return nil, &r
	}
	var dst []byte
	var cols []column
	var formats []uint16
	if kind == 'S' {
		st, known := s.statements[string(name)]
		if !known {
			r := errorReport(codeUnknown, fmt.Sprintf("prepared statement \"%s\" does not exist", printable(string(name))))
			return nil, &r
		}
		dst = append(wire.AppendHeader(nil, wire.ParameterDescription, 2), 0, 0)
		cols = st.columns
	} else {
		p, known := s.portals[string(name)]
		if !known {
			r := noPortal(name)
			return nil, &r
		}
		cols, formats = p.columns, p.formats
	}
	if cols == nil {
		return wire.AppendEmpty(dst, wire.NoData), nil
	}
	return appendDescription(dst, cols, formats), nil
}

// executePortal runs a portal, or goes on with its rows.
func (s *session) executePortal(ctx context.Context, c *wire.Cursor) ([]byte, *wire.Report) {
	name, ok := c.String()
	limit, ok2 := c.Uint32()
	if !ok || !ok2 || len(c.Rest) > 0 {
		r := malformed("Execute")
		return nil, &r
	}
	p, known := s.portals[string(name)]
	if !known {
		r := noPortal(name)
		return nil, &r
	}
	if !p.begun {
		p.begun = true
		p.result = s.run(ctx, p.prepared)
	}
	dst := appendNotices(nil, p.result.notices)
	p.result.notices = nil
	if p.result.failure != nil {
		return dst, p.result.failure
	}
	dst, left := p.result.appendRows(dst, p.columns, p.formats, int(limit))
	p.result.rows = left
	return dst, nil
}

// closeTarget forgets a statement or a portal. One that isn't there is no error.
func (s *session) closeTarget(body []byte) ([]byte, *wire.Report) {
	kind, name, ok := wire.ParseTarget(body)
	if !ok {
		r := malformed("Close")
		return nil, &r
	}
	if kind == 'S' {
		delete(s.statements, string(name))
	} else {
		delete(s.portals, string(name))
	}
	return wire.AppendEmpty(nil, wire.CloseComplete), nil
}

func noPortal(name []byte) wire.Report {
	return errorReport(codeNoPortal, fmt.Sprintf("portal \"%s\" does not exist", printable(string(name))))
}

func malformed(message string) wire.Report {
	return errorReport(codeProtocol, "invalid "+message+" message")
}
