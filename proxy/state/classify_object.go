package state

// create reads what follows CREATE.
func (c *Classifier) create() {
	c.acceptAll("or", "replace")
	temporary := false
	c.accept("global")
	c.accept("local")
	if c.accept("temporary") || c.accept("temp") {
		temporary = true
	}
	c.accept("unlogged")
	c.accept("recursive")
	if c.is("database") || c.is("tablespace") || c.is("subscription") {
		c.emit(Effect{Kind: KindAlone, Exact: true})
	}
	stored, placed := c.storedObject(), c.placed()
	routine := c.is("function") || c.is("procedure")
	first := len(c.effects)
	if temporary {
		c.next() // TABLE, VIEW or SEQUENCE
		exact := !c.acceptAll("if", "not", "exists")
		name, _ := c.qualified()
		c.emit(Effect{Kind: KindCreateTemporary, Exact: exact, Name: name})
	}
	c.definition(stored, routine, temporary, first)
	if len(c.effects) == first || c.effects[first].Kind != KindCreateTemporary {
		c.emit(Effect{Kind: KindChangeSchema, Exact: true, Placed: placed})
	}
}

// placed reports whether search_path decides where an object goes that is
// created: it belongs to a schema, and none is named.
func (c *Classifier) placed() bool {
	var room [16]byte
	switch string(c.fold(&room)) {
	case "access", "cast", "constraint", "database", "event", "group", "index", "language", "policy", "procedural", "publication",
		"role", "rule", "schema", "server", "subscription", "tablespace", "transform", "trigger", "trusted", "unique", "user":
		return false
	case "domain", "function", "procedure", "sequence", "table", "type", "view":
	default:
		return true
	}
	back := c.reading
	c.next()
	c.acceptAll("if", "not", "exists")
	qualified := c.named()
	if qualified {
		c.next()
		qualified = c.self('.')
	}
	c.reading = back
	return !qualified
}

// storedObject reports whether what is created is kept to be run later, so that
// calls in it aren't made now.
func (c *Classifier) storedObject() bool {
	var room [16]byte
	switch string(c.fold(&room)) {
	case "materialized", "table", "index", "unique":
		return false
	}
	return true
}

// definition reads the rest of a CREATE. Its first effect, if there is one, is
// that of a temporary object.
func (c *Classifier) definition(stored, routine, temporary bool, first int) {
	executed := !stored && !c.is("table") && !temporary
	for !c.ended() {
		switch {
		case c.depth == 0 && c.acceptAll("on", "commit", "drop"):
			if len(c.effects) > first && c.effects[first].Kind == KindCreateTemporary {
				c.effects[first].Scope = ScopeTransaction
			}
			continue
		case c.depth == 0 && routine && c.acceptAll("begin", "atomic"):
			c.body()
			continue
		case c.depth == 0 && c.is("concurrently"):
			c.emit(Effect{Kind: KindAlone, Exact: true})
		case c.depth == 0 && !stored && !executed && c.createsAs():
			executed = true
			continue
		case !temporary && c.namesTemporary():
			exact := !c.lex.is(c.before, "exists")
			name, _ := c.qualified()
			c.emit(Effect{Kind: KindCreateTemporary, Exact: exact, Name: name})
			temporary = true
			continue
		}
		if executed {
			c.scanToken()
		} else {
			c.next()
		}
	}
}

// createsAs goes over what stands in a CREATE TABLE before something that is run
// at once: its query, or the bounds of a partition.
func (c *Classifier) createsAs() bool {
	if c.acceptAll("for", "values") {
		return true
	}
	if !c.accept("as") {
		return false
	}
	if c.accept("execute") {
		c.execute()
	}
	return true
}

// namesTemporary reports whether tok is the schema of temporary objects in
// front of a name.
func (c *Classifier) namesTemporary() bool {
	if !c.named() {
		return false
	}
	ahead := c.lex
	if t := ahead.Next(); t.Kind != TokenSelf || c.text[t.Start] != '.' {
		return false
	}
	start := len(c.scratch)
	name, _ := c.name(c.tok)
	c.scratch = c.scratch[:start]
	return isTemporary(name)
}

// body goes over the statements of a function that is written without quotes. It
// ends with an END where a statement could begin.
func (c *Classifier) body() {
	for depth := 1; depth > 0 && c.tok.Kind != TokenEnd && c.trouble == ReasonNone; {
		begins := c.before.Kind == TokenSelf && c.text[c.before.Start] == ';' || c.lex.is(c.before, "atomic")
		switch {
		case begins && c.accept("end"):
			depth--
		case c.acceptAll("begin", "atomic"):
			depth++
		default:
			c.next()
		}
	}
}

// drop reads what follows DROP.
func (c *Classifier) drop() {
	if c.is("database") || c.is("tablespace") || c.is("subscription") {
		c.emit(Effect{Kind: KindAlone, Exact: true})
	}
	if c.is("index") {
		c.alone("concurrently")
	}
	if c.is("owned") {
		c.emit(Effect{Kind: KindDrop})
		return
	}
	// The names come behind one word or more: the last of them isn't followed by
	// another name.
	for !c.ended() {
		if c.acceptAll("if", "exists") {
			break
		}
		ahead := c.lex
		switch t := ahead.Next(); t.Kind {
		case TokenWord, TokenQuoted, TokenUnicodeQuoted:
			c.next()
			if c.lex.is(c.before, "concurrently") || c.objectWord() {
				continue
			}
		}
		break
	}
	for named := false; ; {
		name, _ := c.qualified()
		if name == nil {
			if !named {
				c.emit(Effect{Kind: KindDrop})
			}
			return
		}
		named = true
		c.emit(Effect{Kind: KindDrop, Exact: true, Name: name})
		if c.self('(') {
			c.skipParentheses()
		}
		if !c.acceptSelf(',') {
			return
		}
	}
}

// objectWord reports whether tok is a word that can follow another in the kind
// of an object: DROP MATERIALIZED VIEW.
func (c *Classifier) objectWord() bool {
	var room [16]byte
	switch string(c.fold(&room)) {
	case "class", "concurrently", "configuration", "data", "dictionary", "family", "if", "language", "mapping", "method",
		"parser", "search", "table", "template", "trigger", "view", "wrapper":
		return true
	}
	return false
}

// alter reads what follows ALTER.
func (c *Classifier) alter() {
	switch {
	case c.is("system"):
		c.skipStatement()
		c.emit(Effect{Kind: KindAlone, Exact: true})
		return
	case c.is("role"), c.is("user"), c.is("database"):
		defaults := false
		for !c.ended() {
			defaults = defaults || c.is("set") || c.is("reset")
			c.next()
		}
		if defaults {
			c.emit(Effect{Kind: KindChangeDefaults, Exact: true})
		}
		return
	}
	c.emit(Effect{Kind: KindChangeSchema, Exact: true})
	c.alone("concurrently")
	for !c.ended() {
		if c.acceptAll("set", "default") {
			// The new default isn't used now.
			for depth := c.depth; !c.ended() && (c.depth > depth || !c.self(',')); {
				c.next()
			}
			continue
		}
		c.scanToken()
	}
}
