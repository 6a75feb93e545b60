package state

// temporarySchema is what a session calls the schema of its temporary objects.
const temporarySchema = "pg_temp"

// settingsView is the view on parameters, which sets them when it is updated.
const settingsView = "pg_settings"

// query reads the beginning of a query.
func (c *Classifier) query() {
	switch {
	case c.is("select"):
		c.next()
		if c.is("pg_catalog") || c.is("set_config") {
			c.settings()
		}
	case c.is("insert"), c.is("merge"):
		c.insert()
	case c.is("update"):
		c.next()
		c.updated()
	case c.is("with"):
		c.with()
	}
}

// insert reads INSERT INTO or MERGE INTO and the name of the table, which may
// have a parenthesis behind it and is no call.
func (c *Classifier) insert() {
	c.next()
	if c.accept("into") {
		c.qualified()
	}
}

// updated looks at the table of an UPDATE.
func (c *Classifier) updated() {
	if c.accept("only") {
		c.acceptSelf('(')
	}
	name, _ := c.qualified()
	if equalFold(settingsView, name) {
		c.emit(c.unsure(ReasonSettingsView))
	}
}

// with goes to the statement behind the list of a WITH.
func (c *Classifier) with() {
	depth := c.depth
	for c.next(); !c.ended(); {
		if c.depth == depth && c.mainVerb() {
			c.query()
			return
		}
		c.scanToken()
	}
}

// mainVerb reports whether tok is the statement behind the list of a WITH. Names
// in the list can be the same words.
func (c *Classifier) mainVerb() bool {
	if c.before.Kind == TokenSelf && c.text[c.before.Start] != ')' || c.lex.is(c.before, "with") || c.lex.is(c.before, "recursive") {
		return false
	}
	switch {
	case c.is("select"), c.is("table"):
		return true
	case c.is("insert"), c.is("merge"):
		ahead := c.lex
		return ahead.is(ahead.Next(), "into")
	case c.is("update"):
		return c.lex.closes(c.before)
	}
	return false
}

// closes reports whether t is a closing parenthesis.
func (l *Lexer) closes(t Token) bool { return t.Kind == TokenSelf && l.text[t.Start] == ')' }

// endsValue reports whether what ends with t is a value: a field can be taken
// of it.
func (l *Lexer) endsValue(t Token) bool {
	return t.Kind == TokenParameter || l.closes(t) || t.Kind == TokenSelf && l.text[t.Start] == ']'
}

// scan goes to the end of the statement and notes the calls of functions, and
// tables that a query makes.
func (c *Classifier) scan() {
	for !c.ended() {
		c.scanToken()
	}
}

// scanToken goes over tok, or what belongs together.
func (c *Classifier) scanToken() {
	if !c.named() {
		c.next()
		return
	}
	if c.is("into") {
		c.into()
		return
	}
	name, field := c.tok, c.field
	c.next()
	switch {
	case c.self('('):
		c.call(name)
	case field: // a function of one argument can be called like that
		if f := c.function(name); f != functionSetConfig {
			c.called(f)
		}
	}
}

// into reads INTO and, if a query makes a table here, the name of it.
func (c *Classifier) into() {
	verb, opening := c.before, c.earlier
	label := c.lex.is(verb, "as") || verb.Kind == TokenSelf && c.text[verb.Start] == '.'
	inserts := (c.lex.is(verb, "insert") || c.lex.is(verb, "merge")) &&
		(opening.Kind == TokenEnd || opening.Kind == TokenSelf && c.text[opening.Start] == '(')
	c.next()
	if label {
		return
	}
	if inserts {
		c.qualified()
		return
	}
	temporary := c.persistence()
	c.accept("table")
	name, inTemporary := c.qualified()
	if temporary || inTemporary {
		c.emit(Effect{Kind: KindCreateTemporary, Exact: true, Name: name})
		return
	}
	c.emit(Effect{Kind: KindChangeSchema, Exact: true, Placed: true})
}

// persistence reads the words that say how long a table lives, and reports
// whether it is temporary.
func (c *Classifier) persistence() bool {
	back := c.reading
	_ = c.accept("local") || c.accept("global")
	switch {
	case c.accept("temporary"), c.accept("temp"):
		if c.nameEnded() {
			break // it was the name
		}
		return true
	case c.accept("unlogged"):
		if c.nameEnded() {
			break
		}
		return false
	}
	c.reading = back
	return false
}

// nameEnded reports whether tok can't be a table's name, or TABLE before it.
func (c *Classifier) nameEnded() bool {
	var room [16]byte
	word := c.fold(&room)
	return !c.named() || string(word) != "table" && len(word) > 0 && keyword(word)
}

// qualified goes over a name with the schema it may have. It returns the name
// itself, and whether the schema is the one of temporary objects.
func (c *Classifier) qualified() (name []byte, temporary bool) {
	for {
		var ok bool
		start := len(c.scratch)
		if name, _, ok = c.acceptName(); !ok {
			return nil, temporary
		}
		if !c.self('.') {
			return name, temporary
		}
		temporary = isTemporary(name)
		c.scratch = c.scratch[:start]
		c.next()
	}
}

// isTemporary reports whether a schema is one of temporary objects.
func isTemporary(schema []byte) bool {
	if len(schema) < len(temporarySchema) || string(schema[:len(temporarySchema)]) != temporarySchema {
		return false
	}
	for i, b := range schema[len(temporarySchema):] {
		if i == 0 && b != '_' || i > 0 && classes[b] != digit {
			return false
		}
	}
	return true
}

// explain reads what follows EXPLAIN. What is only explained has no effect.
func (c *Classifier) explain() {
	executed, first := false, len(c.effects)
	if c.self('(') {
		ahead := c.reading
		c.next()
		if c.self('(') || c.is("select") || c.is("values") || c.is("table") || c.is("with") {
			c.reading = ahead
		} else {
			for c.depth > ahead.depth && !c.ended() {
				executed = executed || c.is("analyze") || c.is("analyse")
				c.next()
			}
		}
	} else {
		executed = c.accept("analyze") || c.accept("analyse")
		c.accept("verbose")
	}
	if !executed && !c.is("execute") && !c.is("create") {
		c.skipStatement()
		return
	}
	if c.is("explain") {
		c.syntax() // nothing but a query can be explained
		return
	}
	c.verb()
	c.scan()
	if !executed {
		c.onlyNamed(first)
	}
	for i := first; i < len(c.effects); i++ {
		c.effects[i].Exact = false
	}
}

// onlyNamed leaves of the effects from first on those that name a statement,
// which isn't executed.
func (c *Classifier) onlyNamed(first int) {
	kept := c.effects[:first]
	for _, e := range c.effects[first:] {
		if e.Kind == KindExecute {
			e.Scope = ScopeTransaction
			kept = append(kept, e)
		}
	}
	clear(c.effects[len(kept):])
	c.effects = kept
}

// copy reads what follows COPY: where it copies to or from, and calls in its
// query or condition.
func (c *Classifier) copy() {
	for !c.ended() {
		if c.depth == 0 && (c.is("from") || c.is("to")) {
			c.next()
			switch {
			case c.accept("stdin"):
				c.emit(Effect{Kind: KindCopyIn, Exact: true})
			case c.accept("stdout"):
				c.emit(Effect{Kind: KindCopyOut, Exact: true})
			}
			return
		}
		c.scanToken()
	}
}
