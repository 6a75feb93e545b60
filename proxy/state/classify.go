package state

// MaxEffects is the largest number of effects that one text is said to have. If
// it has more, one follows that is unsure.
const MaxEffects = 4096

// keptScratch is how many bytes of names and values a Classifier keeps room for
// between texts.
const keptScratch = 16 << 10

// Classifier says what statements do to their session, as far as their text
// says it. The zero value is ready. It belongs to one loop, and keeps the room it
// needs for the next text; for a text without effects it needs none.
//
// Nearly all statements are queries that do nothing to the session. skipPlain
// knows them in one pass over their bytes. Any other statement is taken apart by
// a Lexer and read by its first words. In what remains only calls of functions
// and SELECT INTO are looked for.
//
// What no text says isn't foretold: what functions, procedures, triggers, rules,
// views, operators and casts do inside; that the default of a column advances a
// sequence; what a prepared statement does that is executed by its name; that an
// object is temporary because of search_path or of the tables in a view. A
// function is known by its name in whatever schema it is, since search_path
// isn't known, and so are calls that aren't made in the end.
type Classifier struct {
	text    []byte
	effects []Effect
	scratch []byte // names and values
	trouble Reason // why reading has stopped

	statement int // number of the statement that is read
	start     int // where it begins
	reading
}

// reading is a place in the text.
type reading struct {
	lex     Lexer
	tok     Token // the one to be read next
	before  Token // the one before it in the statement, or none
	earlier Token // and before that
	depth   int   // parentheses that are open before tok
	// field: tok stands behind the dot of a value, as in (1).name; ofField: behind
	// such a name.
	field, ofField bool
}

// Classify returns the effects of a text, in the order in which they take place
// if all of it succeeds: the text of a Query with any number of statements, or
// of a Parse. No effect means that the statements leave nothing behind in the
// session, as far as their text says. The result is good until the next call,
// and as long as text isn't changed.
//
// When a text can't be taken apart, its only effect is one that is unsure.
func (c *Classifier) Classify(text []byte, d Dialect) []Effect {
	c.text, c.trouble, c.statement = text, ReasonNone, 0
	clear(c.effects)
	c.effects = c.effects[:0]
	if c.scratch == nil || cap(c.scratch) > keptScratch {
		c.scratch = []byte{} // not nil, as a name without a character isn't
	}
	c.scratch = c.scratch[:0]
	for pos := 0; c.trouble == ReasonNone; {
		if end, plain := skipPlain(text, pos, d); plain {
			c.statement++
			if pos = end; pos == len(text) {
				break
			}
			continue
		}
		c.reading = reading{lex: Lexer{text: text, pos: pos, dialect: d}}
		c.look()
		for c.self(';') {
			c.look()
		}
		if c.ended() {
			break
		}
		c.read()
		pos = c.tok.End
	}
	c.text, c.reading = nil, reading{}
	switch c.trouble {
	case ReasonNone:
	case ReasonTooMany:
		c.effects = append(c.effects, c.unsure(ReasonTooMany))
	default:
		c.start, c.statement = 0, 0
		c.effects = append(c.effects[:0], c.unsure(c.trouble))
		c.effects[0].End = len(text)
	}
	return c.effects
}

// Statements is the number of statements of the text that was classified last,
// empty ones left out; as far as it was read, if it has an effect that is unsure
// about the whole text.
func (c *Classifier) Statements() int { return c.statement }

// read reads the statement that begins with tok, up to the semicolon or the end.
func (c *Classifier) read() {
	first := len(c.effects)
	c.start = c.tok.Start
	c.verb()
	c.scan()
	for i := first; i < len(c.effects); i++ {
		c.effects[i].End = c.before.End
	}
	c.statement++
}

// next goes to the next token.
func (c *Classifier) next() {
	switch {
	case c.self('('):
		c.depth++
	case c.self(')') && c.depth > 0:
		c.depth--
	}
	c.field, c.ofField = c.self('.') && (c.ofField || c.lex.endsValue(c.before)), c.field
	c.earlier, c.before = c.before, c.tok
	c.look()
}

// look makes the next token tok.
func (c *Classifier) look() {
	c.tok = c.lex.Next()
	switch c.tok.Kind {
	case TokenIncomplete:
		c.trouble = ReasonIncomplete
	case TokenAmbiguous:
		c.trouble = ReasonAmbiguous
	case TokenStray:
		c.trouble = ReasonSyntax
	}
}

// ended reports whether the statement has no more tokens. A semicolon in
// parentheses doesn't end one: there can be one in CREATE RULE.
func (c *Classifier) ended() bool {
	return c.tok.Kind == TokenEnd || c.trouble != ReasonNone || c.depth == 0 && c.self(';')
}

// self reports whether tok is the given character.
func (c *Classifier) self(char byte) bool {
	return c.tok.Kind == TokenSelf && c.lex.text[c.tok.Start] == char
}

// is reports whether tok is the given word, which is in lower case.
func (c *Classifier) is(word string) bool { return c.lex.is(c.tok, word) }

// is reports whether t is the given word, which is in lower case.
func (l *Lexer) is(t Token, word string) bool {
	return t.Kind == TokenWord && equalFold(word, l.text[t.Start:t.End])
}

// accept goes over tok if it is the given word.
func (c *Classifier) accept(word string) bool {
	if !c.is(word) {
		return false
	}
	c.next()
	return true
}

// acceptAll goes over the given words, if it is they that come, and else over
// none.
func (c *Classifier) acceptAll(words ...string) bool {
	back := c.reading
	for _, w := range words {
		if !c.accept(w) {
			c.reading = back
			return false
		}
	}
	return true
}

// acceptSelf goes over tok if it is the given character.
func (c *Classifier) acceptSelf(char byte) bool {
	if !c.self(char) {
		return false
	}
	c.next()
	return true
}

// acceptOperator goes over tok if it is the given operator.
func (c *Classifier) acceptOperator(operator string) bool {
	if c.tok.Kind != TokenOperator || string(c.lex.text[c.tok.Start:c.tok.End]) != operator {
		return false
	}
	c.next()
	return true
}

// fold returns tok in lower case if it is a word short enough for room, which
// every keyword is.
func (c *Classifier) fold(room *[16]byte) []byte {
	raw := c.lex.text[c.tok.Start:c.tok.End]
	if c.tok.Kind != TokenWord || len(raw) > len(room) {
		return nil
	}
	for i, b := range raw {
		room[i] = lower(b)
	}
	return room[:len(raw)]
}

// named reports whether tok can be a name.
func (c *Classifier) named() bool {
	switch c.tok.Kind {
	case TokenWord, TokenQuoted, TokenUnicodeQuoted:
		return true
	}
	return false
}

// name returns the name that t is.
func (c *Classifier) name(t Token) ([]byte, bool) {
	start := len(c.scratch)
	var exact bool
	c.scratch, exact = c.lex.AppendName(c.scratch, t)
	return c.kept(start), exact
}

// kept returns what the scratch has from start on, safe from what is appended.
func (c *Classifier) kept(start int) []byte {
	return c.scratch[start:len(c.scratch):len(c.scratch)]
}

// written returns text as bytes of the scratch.
func (c *Classifier) written(text string) []byte {
	start := len(c.scratch)
	c.scratch = append(c.scratch, text...)
	return c.kept(start)
}

// acceptName goes over a name and returns it; false if there is none.
func (c *Classifier) acceptName() (name []byte, exact, ok bool) {
	if !c.named() {
		return nil, false, false
	}
	name, exact = c.name(c.tok)
	c.next()
	return name, exact, true
}

// texts reports whether tok is a string that stands for text.
func (c *Classifier) texts() bool {
	switch c.tok.Kind {
	case TokenString, TokenEscapeString, TokenUnicodeString, TokenDollar:
		return true
	}
	return false
}

// content returns what the string t stands for, nothing if it is too long to be
// the value of a parameter.
func (c *Classifier) content(t Token) ([]byte, bool) {
	if t.End-t.Start > 2*MaxValueLen {
		return nil, false
	}
	start := len(c.scratch)
	var exact bool
	c.scratch, exact = c.lex.AppendString(c.scratch, t)
	return c.kept(start), exact
}

// emit adds an effect of the statement that is read.
func (c *Classifier) emit(e Effect) {
	if len(c.effects) == MaxEffects {
		c.trouble = ReasonTooMany
	}
	if c.trouble != ReasonNone {
		return
	}
	e.Statement, e.Start = c.statement, c.start
	c.effects = append(c.effects, e)
}

// last emits e if the statement ends here, and else that it isn't known.
func (c *Classifier) last(e Effect) {
	if !c.ended() {
		c.syntax()
		return
	}
	c.emit(e)
}

// syntax emits that the statement isn't written as Postgres has it.
func (c *Classifier) syntax() { c.emit(c.unsure(ReasonSyntax)) }

func (c *Classifier) unsure(reason Reason) Effect {
	return Effect{Kind: KindUnsure, Reason: reason, Statement: c.statement, Start: c.start, End: c.start}
}
