package state

// begin reads what follows BEGIN or START TRANSACTION.
func (c *Classifier) begin() {
	start := c.tok.Start
	for first := true; !c.ended(); first = false {
		if !first {
			c.acceptSelf(',')
		}
		if c.mode() == (mode{}) {
			c.syntax()
			return
		}
	}
	e := Effect{Kind: KindBegin, Scope: ScopeTransaction, Exact: true}
	if start < c.before.End {
		e.Value = c.text[start:c.before.End:c.before.End]
	}
	c.emit(e)
}

// end reads what follows COMMIT or ROLLBACK and the like.
func (c *Classifier) end(kind Kind) {
	c.acceptWork()
	e := Effect{Kind: kind, Scope: ScopeTransaction, Exact: true}
	if c.accept("and") {
		e.Chain = !c.accept("no")
		if !c.accept("chain") {
			c.syntax()
			return
		}
	}
	c.last(e)
}

// acceptWork goes over the word that says nothing.
func (c *Classifier) acceptWork() { _ = c.accept("work") || c.accept("transaction") }

// rollback reads what follows ROLLBACK.
func (c *Classifier) rollback() {
	if c.accept("prepared") {
		c.twoPhase(KindRollbackPrepared)
		return
	}
	back := c.reading
	c.acceptWork()
	if c.accept("to") {
		c.savepoint(KindRollbackTo)
		return
	}
	c.reading = back
	c.end(KindRollback)
}

// savepoint reads the name of a savepoint, behind the word SAVEPOINT where that
// may be left out.
func (c *Classifier) savepoint(kind Kind) {
	if kind != KindSavepoint && c.is("savepoint") {
		// It is a name as well.
		back := c.reading
		c.next()
		if c.ended() {
			c.reading = back
		}
	}
	c.nameAlone(Effect{Kind: kind, Scope: ScopeTransaction})
}

// twoPhase reads the name of a prepared transaction.
func (c *Classifier) twoPhase(kind Kind) {
	e := Effect{Kind: kind, Scope: ScopeTransaction}
	if !c.texts() {
		c.syntax()
		return
	}
	e.Name, e.Exact = c.content(c.tok)
	c.next()
	c.last(e)
}

// mode is one mode of a transaction: the parameter for it, and its value.
type mode struct{ parameter, value string }

// mode reads a mode; none if there is none.
func (c *Classifier) mode() mode {
	const isolation, readOnly, deferrable = "transaction_isolation", "transaction_read_only", "transaction_deferrable"
	back := c.reading
	switch {
	case c.accept("isolation"):
		if !c.accept("level") {
			break
		}
		switch {
		case c.accept("serializable"):
			return mode{isolation, "serializable"}
		case c.acceptAll("repeatable", "read"):
			return mode{isolation, "repeatable read"}
		case c.acceptAll("read", "committed"):
			return mode{isolation, "read committed"}
		case c.acceptAll("read", "uncommitted"):
			return mode{isolation, "read uncommitted"}
		}
	case c.acceptAll("read", "only"):
		return mode{readOnly, "on"}
	case c.acceptAll("read", "write"):
		return mode{readOnly, "off"}
	case c.accept("deferrable"):
		return mode{deferrable, "on"}
	case c.acceptAll("not", "deferrable"):
		return mode{deferrable, "off"}
	}
	c.reading = back
	return mode{}
}

// setTransaction reads what follows SET TRANSACTION.
func (c *Classifier) setTransaction() {
	c.skipStatement()
	c.emit(Effect{Kind: KindSetTransaction, Scope: ScopeTransaction, Exact: true})
}

// characteristics reads the modes that transactions shall have from now on.
func (c *Classifier) characteristics(scope Scope) {
	for first := true; first || !c.ended(); first = false {
		if !first {
			c.acceptSelf(',')
		}
		m := c.mode()
		if m == (mode{}) {
			c.syntax()
			return
		}
		name := c.written("default_" + m.parameter)
		c.emit(Effect{Kind: KindSet, Scope: scope, Exact: true, Name: name, Value: c.written(m.value)})
	}
}
