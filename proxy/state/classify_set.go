package state

import "bytes"

// set reads what follows SET.
func (c *Classifier) set() {
	scope := ScopeSession
	switch {
	case c.startsName():
	case c.is("local"):
		c.next()
		scope = ScopeTransaction
	case c.is("session"):
		back := c.reading
		c.next()
		if !c.startsName() && (c.is("authorization") || c.is("characteristics")) {
			c.reading = back
		}
	}
	if c.startsName() || !c.special(scope) {
		c.generic(scope)
	}
}

// startsName reports whether tok is the name of a parameter, or its first part,
// although it may be a word that is special in other places: SET session.x = 1.
func (c *Classifier) startsName() bool {
	if !c.named() {
		return false
	}
	ahead := c.lex
	switch t := ahead.Next(); t.Kind {
	case TokenSelf:
		return c.lex.text[t.Start] == '.'
	case TokenOperator:
		return c.lex.text[t.Start] == '='
	default:
		return ahead.is(t, "to")
	}
}

// special reads the spellings that have a grammar of their own.
func (c *Classifier) special(scope Scope) bool {
	var room [16]byte
	switch string(c.fold(&room)) {
	case "transaction":
		c.next()
		c.setTransaction()
	case "constraints":
		c.skipStatement()
		c.emit(Effect{Kind: KindSetTransaction, Scope: ScopeTransaction, Exact: true})
	case "session":
		c.next()
		if c.accept("authorization") {
			c.setTo(scope, "session_authorization")
		} else if c.acceptAll("characteristics", "as", "transaction") {
			c.characteristics(scope)
		} else {
			return false
		}
	case "time":
		c.next()
		if !c.accept("zone") {
			return false
		}
		c.timeZone(scope)
	case "names":
		c.next()
		if c.ended() {
			c.emit(Effect{Kind: KindReset, Scope: scope, Exact: true, Name: c.written("client_encoding")})
			return true
		}
		c.setTo(scope, "client_encoding")
	case "schema":
		c.next()
		c.values(Effect{Kind: KindSet, Scope: scope, Exact: true, Name: c.written("search_path")})
	case "role":
		c.next()
		c.setTo(scope, "role")
	case "xml":
		c.next()
		if !c.accept("option") || !c.is("document") && !c.is("content") {
			return false
		}
		c.setTo(scope, "xmloption")
	default:
		return false
	}
	return true
}

// setTo reads the one value, or DEFAULT, that the parameter called name is set
// to.
func (c *Classifier) setTo(scope Scope, name string) {
	c.values(Effect{Kind: KindSet, Scope: scope, Exact: true, Name: c.written(name)})
}

// timeZone reads what follows SET TIME ZONE.
func (c *Classifier) timeZone(scope Scope) {
	e := Effect{Kind: KindSet, Scope: scope, Exact: true, Name: c.written("TimeZone")}
	switch {
	case c.accept("local"):
		e.Kind = KindReset
		c.last(e)
	case c.accept("interval"):
		// What comes of it depends on the fields that follow, and on IntervalStyle.
		c.skipStatement()
		e.Exact = false
		c.emit(e)
	default:
		c.values(e)
	}
}

// generic reads a name, and what it is set to.
func (c *Classifier) generic(scope Scope) {
	e := Effect{Kind: KindSet, Scope: scope}
	var ok bool
	if e.Name, e.Exact, ok = c.parameterName(); !ok {
		c.syntax()
		return
	}
	switch {
	case c.acceptAll("from", "current"):
		e.Exact = false
		c.emitParameter(e)
	case c.accept("to"), c.acceptOperator("="):
		c.values(e)
	default:
		c.syntax()
	}
}

// parameterName reads the name of a parameter, of which the parts are joined by
// dots.
func (c *Classifier) parameterName() (name []byte, exact, ok bool) {
	start := len(c.scratch)
	for exact = true; ; {
		if !c.named() {
			return nil, false, false
		}
		var fine bool
		c.scratch, fine = c.lex.AppendName(c.scratch, c.tok)
		exact = exact && fine
		c.next()
		if !c.acceptSelf('.') {
			return c.kept(start), exact, true
		}
		c.scratch = append(c.scratch, '.')
	}
}

// values reads the list of values that the parameter of e is set to, and emits
// e with them as Postgres joins them, or for a DEFAULT as a reset.
func (c *Classifier) values(e Effect) {
	if c.accept("default") {
		e.Kind = KindReset
		if !c.ended() {
			c.syntax()
			return
		}
		c.emitParameter(e)
		return
	}
	quotes, room := takesQuotedList(string(e.Name)), []byte(nil)
	start := len(c.scratch)
	for first := true; ; first = false {
		if !first {
			c.scratch = append(c.scratch, ", "...)
		}
		begin := len(c.scratch)
		exact, ok := c.value()
		if !ok {
			c.syntax()
			return
		}
		e.Exact = e.Exact && exact
		if len(c.scratch)-start > 2*MaxValueLen { // more than is remembered of any parameter
			c.scratch, e.Exact = c.scratch[:start], false
			c.skipStatement()
			break
		}
		if quotes {
			room = append(room[:0], c.scratch[begin:]...)
			c.scratch = appendIdentifier(c.scratch[:begin], room)
		}
		if !c.acceptSelf(',') {
			break
		}
	}
	e.Value = c.kept(start)
	if !c.ended() {
		c.syntax()
		return
	}
	if !e.Exact {
		e.Value = nil
	}
	c.emitParameter(e)
}

// value appends one value to the scratch as Postgres writes it.
func (c *Classifier) value() (exact, ok bool) {
	switch {
	case c.named():
		c.scratch, exact = c.lex.AppendName(c.scratch, c.tok)
		c.next()
		return exact, true
	case c.texts():
		if c.tok.End-c.tok.Start <= 2*MaxValueLen {
			c.scratch, exact = c.lex.AppendString(c.scratch, c.tok)
		}
		c.next()
		return exact, true
	}
	negative := c.acceptOperator("-")
	if !negative {
		c.acceptOperator("+")
	}
	if c.tok.Kind != TokenNumber {
		return false, false
	}
	exact = c.number(negative)
	c.next()
	return exact, true
}

// number appends the number tok to the scratch: an integer as one, any other as
// written.
func (c *Classifier) number(negative bool) (exact bool) {
	digits := c.lex.text[c.tok.Start:c.tok.End]
	integer := true
	for _, d := range digits {
		if d == '_' || lower(d) == 'x' || lower(d) == 'o' || lower(d) == 'b' {
			return false
		}
		integer = integer && classes[d] == digit
	}
	if integer && len(digits) < len("2147483647") {
		for len(digits) > 1 && digits[0] == '0' {
			digits = digits[1:]
		}
		negative = negative && digits[0] != '0'
	}
	if negative {
		c.scratch = append(c.scratch, '-')
	}
	c.scratch = append(c.scratch, digits...)
	return true
}

// reset reads what follows RESET.
func (c *Classifier) reset() {
	e := Effect{Kind: KindReset, Exact: true}
	switch {
	case c.startsName(): // RESET session.x
	case c.acceptAll("time", "zone"):
		e.Name = c.written("TimeZone")
	case c.acceptAll("session", "authorization"):
		e.Name = c.written("session_authorization")
	case c.acceptAll("transaction", "isolation", "level"):
		e.Name = c.written("transaction_isolation")
	case c.accept("all"):
		e.Kind = KindResetAll
		c.last(e)
		return
	}
	if e.Name == nil {
		var ok bool
		if e.Name, e.Exact, ok = c.parameterName(); !ok {
			c.syntax()
			return
		}
	}
	if !c.ended() {
		c.syntax()
		return
	}
	c.emitParameter(e)
}

// emitParameter emits a setting, which with some parameters is another effect.
func (c *Classifier) emitParameter(e Effect) {
	if now, old := nameNow(e.Name); old {
		e.Name = c.written(now)
	}
	for _, name := range identity {
		if equalFold(name, e.Name) {
			e.Name = c.written(name)
		}
	}
	switch {
	case equalFold("transaction_isolation", e.Name), equalFold("transaction_read_only", e.Name), equalFold("transaction_deferrable", e.Name):
		c.emit(Effect{Kind: KindSetTransaction, Scope: ScopeTransaction, Exact: e.Exact})
		return
	case equalFold("seed", e.Name):
		c.emit(Effect{Kind: KindSeed})
		return
	}
	c.emit(e)
	if e.Kind == KindSet && equalFold("search_path", e.Name) && temporaryFirst(e.Value) {
		u := c.unsure(ReasonTemporaryPath)
		u.Scope = e.Scope
		c.emit(u)
	}
}

// temporaryFirst reports whether pg_temp may be where new objects go with this
// search_path: nothing stands before it that every database has.
func temporaryFirst(path []byte) bool {
	for part := range bytes.SplitSeq(path, []byte{','}) {
		part = bytes.Trim(part, "\" \t\n\r\f\v")
		switch {
		case equalFold("public", part), equalFold("pg_catalog", part), equalFold("information_schema", part):
			return false
		case len(part) >= len(temporarySchema) && equalFold(temporarySchema, part[:len(temporarySchema)]):
			return true
		}
	}
	return false
}

// appendIdentifier appends name as Postgres's quote_identifier writes it.
func appendIdentifier(dst, name []byte) []byte {
	safe := len(name) > 0 && classes[name[0]] != digit
	for _, b := range name {
		safe = safe && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '_')
	}
	if safe && !keyword(name) {
		return append(dst, name...)
	}
	dst = append(dst, '"')
	for _, b := range name {
		if b == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}
