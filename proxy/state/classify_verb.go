package state

// verb reads a statement by its first word, or its beginning. What is left of it
// is for scan.
func (c *Classifier) verb() {
	var room [16]byte
	word := string(c.fold(&room))
	switch word {
	case "select", "insert", "update", "delete", "merge", "values", "table", "with":
		c.query()
		return
	case "":
		if !c.self('(') {
			c.skipStatement()
			c.syntax()
		}
		return
	}
	c.next()
	if !c.verbOfSession(word) && !c.verbOfSchema(word) && !c.verbWithout(word) {
		c.skipStatement()
		c.emit(c.unsure(ReasonUnknownStatement))
	}
}

// verbOfSession reads the statements that are about the session or the
// transaction.
func (c *Classifier) verbOfSession(word string) bool {
	switch word {
	case "begin":
		c.acceptWork()
		c.begin()
	case "start":
		if !c.accept("transaction") {
			c.syntax()
			break
		}
		c.begin()
	case "commit":
		if c.accept("prepared") {
			c.twoPhase(KindCommitPrepared)
			break
		}
		c.end(KindCommit)
	case "end":
		c.end(KindCommit)
	case "rollback":
		c.rollback()
	case "abort":
		c.end(KindRollback)
	case "savepoint":
		c.savepoint(KindSavepoint)
	case "release":
		c.savepoint(KindRelease)
	case "set":
		c.set()
	case "reset":
		c.reset()
	case "prepare":
		c.prepare()
	case "execute":
		c.execute()
	case "deallocate":
		c.deallocate()
	case "discard":
		c.discard()
	case "declare":
		c.declare()
	case "fetch", "move":
		c.fetch()
	case "close":
		c.nameOrAll(KindCloseCursor, KindCloseAll, c.is("all"))
	case "listen":
		c.nameAlone(Effect{Kind: KindListen})
	case "unlisten":
		star := c.tok.Kind == TokenOperator && string(c.text[c.tok.Start:c.tok.End]) == "*"
		c.nameOrAll(KindUnlisten, KindUnlistenAll, star)
	case "notify":
		c.notify()
	case "load":
		c.load()
	default:
		return false
	}
	return true
}

// verbOfSchema reads the statements that are about what is in the database.
func (c *Classifier) verbOfSchema(word string) bool {
	switch word {
	case "create":
		c.create()
	case "drop":
		c.drop()
	case "alter":
		c.alter()
	case "import", "reassign":
		c.emit(Effect{Kind: KindChangeSchema, Exact: true, Placed: word == "import"})
	case "do":
		c.skipStatement()
		c.emit(c.unsure(ReasonBlock))
	case "call":
		c.emit(c.unsure(ReasonProcedure))
	case "copy":
		c.copy()
	case "explain":
		c.explain()
	default:
		return false
	}
	return true
}

// verbWithout knows the other statements.
func (c *Classifier) verbWithout(word string) bool {
	switch word {
	case "vacuum":
		c.emit(Effect{Kind: KindAlone, Exact: true})
	case "reindex":
		c.alone("concurrently", "database", "system", "schema")
	case "analyze", "analyse", "checkpoint", "cluster", "comment", "grant", "lock", "refresh", "revoke", "security", "show", "truncate":
	default:
		return false
	}
	return true
}

// alone emits that the statement isn't for transactions, if one of the words is
// in it.
func (c *Classifier) alone(words ...string) {
	back := c.reading
	for found := false; !found && !c.ended(); c.next() {
		for _, w := range words {
			if c.is(w) {
				c.emit(Effect{Kind: KindAlone, Exact: true})
				found = true
				break
			}
		}
	}
	c.reading = back
}

// skipStatement goes to the end of the statement.
func (c *Classifier) skipStatement() {
	for !c.ended() {
		c.next()
	}
}

// nameAlone reads a name, with which the statement ends.
func (c *Classifier) nameAlone(e Effect) {
	var ok bool
	if e.Name, e.Exact, ok = c.acceptName(); !ok {
		c.syntax()
		return
	}
	c.last(e)
}

// nameOrAll reads a name, or what stands for all, with which the statement ends.
func (c *Classifier) nameOrAll(one, all Kind, isAll bool) {
	if isAll {
		c.next()
		c.last(Effect{Kind: all, Exact: true})
		return
	}
	c.nameAlone(Effect{Kind: one})
}

// prepare reads what follows PREPARE.
func (c *Classifier) prepare() {
	if c.is("transaction") {
		back := c.reading
		c.next()
		if c.texts() {
			c.twoPhase(KindPrepareTransaction)
			return
		}
		c.reading = back // it can be the name of a statement
	}
	e := Effect{Kind: KindPrepare}
	var ok bool
	if e.Name, e.Exact, ok = c.acceptName(); !ok {
		c.syntax()
		return
	}
	if c.self('(') {
		start := c.tok.End
		c.skipParentheses()
		if !c.lex.closes(c.before) {
			c.syntax()
			return
		}
		e.Types = c.text[start:c.before.Start:c.before.Start]
	}
	if !c.accept("as") || c.ended() {
		c.syntax()
		return
	}
	start := c.tok.Start
	c.skipStatement()
	e.Value = c.text[start:c.before.End:c.before.End]
	c.emit(e)
}

// skipParentheses goes from a parenthesis over the one that closes it.
func (c *Classifier) skipParentheses() {
	depth := c.depth
	for c.next(); c.depth > depth && c.tok.Kind != TokenEnd && c.trouble == ReasonNone; {
		c.next()
	}
}

// execute reads what follows EXECUTE, up to the arguments.
func (c *Classifier) execute() {
	e := Effect{Kind: KindExecute}
	var ok bool
	if e.Name, e.Exact, ok = c.acceptName(); !ok {
		c.syntax()
		return
	}
	c.emit(e)
}

// deallocate reads what follows DEALLOCATE.
func (c *Classifier) deallocate() {
	if c.is("prepare") {
		back := c.reading
		c.next()
		if c.ended() {
			c.reading = back // it is the name
		}
	}
	c.nameOrAll(KindDeallocate, KindDeallocateAll, c.is("all"))
}

// discard reads what follows DISCARD.
func (c *Classifier) discard() {
	e := Effect{Exact: true}
	switch {
	case c.accept("all"):
		e.Kind = KindDiscardAll
	case c.accept("plans"):
		e.Kind = KindDiscardPlans
	case c.accept("sequences"):
		e.Kind = KindDiscardSequences
	case c.accept("temp"), c.accept("temporary"):
		e.Kind = KindDiscardTemporary
	default:
		c.syntax()
		return
	}
	c.last(e)
}

// declare reads what follows DECLARE, up to the query.
func (c *Classifier) declare() {
	e := Effect{Kind: KindDeclareCursor, Scope: ScopeTransaction}
	var ok bool
	if e.Name, e.Exact, ok = c.acceptName(); !ok {
		c.syntax()
		return
	}
	for !c.accept("cursor") {
		if c.ended() {
			c.syntax()
			return
		}
		c.next()
	}
	if c.acceptAll("with", "hold") {
		e.Scope = ScopeSession
	} else {
		c.acceptAll("without", "hold")
	}
	if !c.accept("for") {
		c.syntax()
		return
	}
	c.emit(e)
}

// fetch reads what follows FETCH or MOVE: the name of the cursor is the last
// word.
func (c *Classifier) fetch() {
	c.skipStatement()
	e := Effect{Kind: KindFetch}
	e.Name, e.Exact = c.name(c.before)
	c.emit(e)
}

// notify reads what follows NOTIFY.
func (c *Classifier) notify() {
	e := Effect{Kind: KindNotify, Scope: ScopeTransaction}
	var ok bool
	if e.Name, e.Exact, ok = c.acceptName(); !ok {
		c.syntax()
		return
	}
	if c.acceptSelf(',') {
		if !c.texts() {
			c.syntax()
			return
		}
		var exact bool
		e.Value, exact = c.content(c.tok)
		e.Exact = e.Exact && exact
		c.next()
	}
	c.last(e)
}

// load reads what follows LOAD.
func (c *Classifier) load() {
	e := Effect{Kind: KindLoad}
	if !c.texts() {
		c.syntax()
		return
	}
	e.Name, e.Exact = c.content(c.tok)
	c.next()
	c.last(e)
}
