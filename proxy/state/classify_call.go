package state

// function is a function whose call means something to the session.
type function uint8

const (
	functionNone function = iota
	functionSetConfig
	functionSetLimit
	functionAdvisoryLock
	functionAdvisoryTryLock
	functionAdvisoryUnlock
	functionAdvisoryUnlockAll
	functionSequenceAdvance
	functionSequenceRead
	functionSeed
	functionNotify
	functionConnect
	functionDisconnect
	functionRunsText
	functionLeavesState
)

// Lengths of the names that functionOf knows.
const (
	shortestFunction = len("setval")
	longestFunction  = len("pg_replication_origin_session_setup")
)

// functionOf returns the function that is called name, in whatever case, and in
// whatever schema.
func functionOf(name []byte) function {
	if len(name) < shortestFunction || len(name) > longestFunction {
		return functionNone
	}
	switch lower(name[0]) {
	case 'c', 'd', 'l', 'n', 'p', 'q', 's', 't':
	default:
		return functionNone
	}
	var room [longestFunction]byte
	for i, b := range name {
		room[i] = lower(b)
	}
	switch string(room[:len(name)]) {
	case "set_config":
		return functionSetConfig
	case "set_limit": // of pg_trgm
		return functionSetLimit
	case "pg_advisory_lock", "pg_advisory_lock_shared":
		return functionAdvisoryLock
	case "pg_try_advisory_lock", "pg_try_advisory_lock_shared":
		return functionAdvisoryTryLock
	case "pg_advisory_unlock", "pg_advisory_unlock_shared":
		return functionAdvisoryUnlock
	case "pg_advisory_unlock_all":
		return functionAdvisoryUnlockAll
	case "nextval", "setval":
		return functionSequenceAdvance
	case "currval", "lastval":
		return functionSequenceRead
	case "setseed":
		return functionSeed
	case "pg_notify":
		return functionNotify
	case "dblink_connect", "dblink_connect_u":
		return functionConnect
	case "dblink_disconnect":
		return functionDisconnect
	case "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
		"ts_stat", "ts_rewrite",
		"crosstab", "crosstab2", "crosstab3", "crosstab4", "crosstab_hash", "connectby", "xpath_table":
		return functionRunsText
	case "pg_replication_origin_session_setup", "pg_replication_origin_session_reset",
		"pg_create_physical_replication_slot", "pg_create_logical_replication_slot",
		"pg_copy_physical_replication_slot", "pg_copy_logical_replication_slot",
		"pg_backup_start", "pg_start_backup":
		return functionLeavesState
	}
	return functionNone
}

// function returns the function that is called by the token name.
func (c *Classifier) function(name Token) (f function) {
	if name.Kind == TokenWord {
		return functionOf(c.lex.text[name.Start:name.End])
	}
	start := len(c.scratch)
	if folded, _ := c.name(name); !hasUpper(folded) {
		f = functionOf(folded)
	}
	c.scratch = c.scratch[:start]
	return f
}

// call notes what the call of a function does, if it does something. The
// function's name is the token name, and tok the parenthesis behind it.
func (c *Classifier) call(name Token) {
	f := c.function(name)
	if f != functionSetConfig {
		c.called(f)
		return
	}
	back := c.reading
	e := c.setConfig()
	e.Exact = false
	c.emitParameter(e)
	c.reading = back
}

// called notes what the call of a function does whose arguments don't matter.
func (c *Classifier) called(f function) {
	switch f {
	case functionNone:
	case functionSetLimit:
		c.emit(Effect{Kind: KindSet, Name: c.written("pg_trgm.similarity_threshold")})
	case functionRunsText:
		c.emit(c.unsure(ReasonRunsText))
	case functionLeavesState:
		c.emit(c.unsure(ReasonFunction))
	default:
		c.emit(Effect{Kind: kindOfCall[f]})
	}
}

// kindOfCall has what the call of a function is that is an effect by itself.
var kindOfCall = [...]Kind{
	functionAdvisoryLock:      KindAdvisoryLock,
	functionAdvisoryTryLock:   KindAdvisoryTryLock,
	functionAdvisoryUnlock:    KindAdvisoryUnlock,
	functionAdvisoryUnlockAll: KindAdvisoryUnlockAll,
	functionSequenceAdvance:   KindSequenceAdvance,
	functionSequenceRead:      KindSequenceRead,
	functionSeed:              KindSeed,
	functionNotify:            KindNotify,
	functionConnect:           KindConnect,
	functionDisconnect:        KindDisconnect,
}

// hasUpper reports whether an exact name has a capital letter, which no function
// we know has.
func hasUpper(name []byte) bool {
	for _, b := range name {
		if b >= 'A' && b <= 'Z' {
			return true
		}
	}
	return false
}

// settings reads a list of calls of set_config and nothing else, as it is
// commonly used: SELECT has been read, and they are all that follows. It emits
// their effects, or answers false and reads nothing.
func (c *Classifier) settings() bool {
	back, first := c.reading, len(c.effects)
	for {
		e, ok := c.setting()
		if !ok {
			c.reading = back
			clear(c.effects[first:])
			c.effects = c.effects[:first]
			return false
		}
		c.emitParameter(e)
		if c.ended() {
			return true
		}
		if !c.acceptSelf(',') {
			c.reading = back
			clear(c.effects[first:])
			c.effects = c.effects[:first]
			return false
		}
	}
}

// setting reads one call of set_config with the name of its column.
func (c *Classifier) setting() (Effect, bool) {
	if c.accept("pg_catalog") && !c.acceptSelf('.') {
		return Effect{}, false
	}
	if !c.accept("set_config") || !c.self('(') {
		return Effect{}, false
	}
	e := c.setConfig()
	if !e.Exact {
		return e, false
	}
	switch {
	case c.accept("as"):
		if !c.named() {
			return Effect{}, false
		}
		c.next()
	case c.named() && !c.clause():
		c.next()
	}
	return e, true
}

// clause reports whether tok is a word behind which a SELECT has more than a
// list. Not all such words: what follows must be a comma or the end.
func (c *Classifier) clause() bool { return c.is("from") || c.is("where") || c.is("into") }

// setConfig reads the arguments of a set_config, of which tok is the
// parenthesis. The effect is exact if all is known, and the call is made.
func (c *Classifier) setConfig() Effect {
	e := Effect{Kind: KindSet}
	depth := c.depth
	c.next()
	name := c.argument(depth)
	c.acceptSelf(',')
	value := c.argument(depth)
	var local argument
	if !name.cut && !value.cut { // or else what comes next is no argument of this call
		c.acceptSelf(',')
		local = c.argument(depth)
	}
	e.Exact = c.acceptSelf(')') && name.known && value.known && local.known && !name.null
	e.Name, e.Value = name.text, value.text
	e.Bound = [3]uint16{name.bound, value.bound, local.bound}
	if value.null {
		e.Kind = KindReset
	}
	switch isLocal, ok := booleanOf(local.text); {
	case !local.known || local.bound > 0:
	case !ok:
		e.Exact = false
	case isLocal:
		e.Scope = ScopeTransaction
	}
	return e
}

// argument is an argument in a call.
type argument struct {
	known bool
	null  bool
	cut   bool   // it goes on
	bound uint16 // number of the parameter it is, or none
	text  []byte
}

// argument goes over an argument of a call whose parenthesis has the given
// depth. It knows strings, booleans, parameters and NULL.
func (c *Classifier) argument(depth int) (a argument) {
	switch {
	case c.tok.Kind == TokenParameter:
		a.bound = c.parameter()
		a.known = a.bound > 0
	case c.accept("null"):
		a.known, a.null = true, true
	case c.is("true"), c.is("false"):
		a.known = true
		a.text, _ = c.name(c.tok)
		c.next()
	case c.texts():
		a.text, a.known = c.content(c.tok)
		c.next()
	}
	c.skipCast()
	if a.known && (c.self(',') || c.self(')')) {
		return a
	}
	for range maxArgument {
		if c.tok.Kind == TokenEnd || c.trouble != ReasonNone || c.depth <= depth ||
			c.depth == depth+1 && (c.self(',') || c.self(')')) {
			return argument{}
		}
		c.next()
	}
	return argument{cut: true}
}

// maxArgument is how many tokens of an argument are gone over to find the next
// one. There may be calls in it, of which each is looked at in its turn.
const maxArgument = 100

// parameter goes over a parameter and returns its number, zero if there can be
// none of that number.
func (c *Classifier) parameter() uint16 {
	number := 0
	for _, digit := range c.lex.text[c.tok.Start+1 : c.tok.End] {
		if number = number*10 + int(digit-'0'); number > 0xffff {
			number = 0
			break
		}
	}
	c.next()
	return uint16(number)
}

// skipCast goes over a cast that changes nothing.
func (c *Classifier) skipCast() {
	back := c.reading
	if c.acceptOperator("::") && (c.accept("text") || c.accept("bool") || c.accept("boolean") || c.accept("varchar")) {
		return
	}
	c.reading = back
}

// booleanOf reads a boolean as Postgres does, if it is written in full.
func booleanOf(word []byte) (value, ok bool) {
	if len(word) > 5 {
		return false, false
	}
	switch {
	case equalFold("t", word), equalFold("true", word), equalFold("on", word), equalFold("yes", word), equalFold("y", word), equalFold("1", word):
		return true, true
	case equalFold("f", word), equalFold("false", word), equalFold("off", word), equalFold("no", word), equalFold("n", word), equalFold("0", word):
		return false, true
	}
	return false, false
}
