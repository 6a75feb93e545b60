package admin

import "strings"

// statement is one command of the console, taken apart.
type statement struct {
	text   string // as it came, for messages
	verb   string // in lower case; "" is no command at all
	args   int    // arguments that were given: 0 or 1
	arg    string // a name as it was given, without quotes; for SET the variable
	value  string // only for SET: what it is to be
	isName bool   // arg was in double quotes, so it is no keyword
}

// parse takes a query apart. There are three forms, each with any number of
// semicolons behind it and comments around it:
//
//	verb
//	verb argument
//	SET name = value, SET name TO value
func parse(sql string) (statement, bool) {
	l := lexer{rest: sql}
	st := statement{text: sql}
	first, ok := l.next()
	switch {
	case ok && first.kind == tokenEnd:
		return st, l.onlySemicolons()
	case !ok || first.kind != tokenWord:
		return st, false
	}
	st.verb = strings.ToLower(first.text)
	if st.verb == "set" {
		return st, l.assignment(&st)
	}
	arg, ok := l.next()
	if !ok {
		return st, false
	}
	if arg.kind == tokenWord || arg.kind == tokenName {
		st.args, st.arg, st.isName = 1, arg.text, arg.kind == tokenName
		if arg, ok = l.next(); !ok {
			return st, false
		}
	}
	return st, arg.kind == tokenEnd && l.onlySemicolons()
}

// tokenKind is what a token is.
type tokenKind uint8

const (
	tokenEnd     tokenKind = iota // a semicolon or the end of the text
	tokenWord                     // letters, digits and _ . - *
	tokenName                     // in double quotes
	tokenLiteral                  // in single quotes
	tokenEquals
)

type token struct {
	kind tokenKind
	text string // without quotes
}

type lexer struct{ rest string }

// assignment reads what comes after SET.
func (l *lexer) assignment(st *statement) bool {
	name, ok := l.next()
	if !ok || name.kind != tokenWord {
		return false
	}
	to, ok := l.next()
	if !ok || !(to.kind == tokenEquals || to.kind == tokenWord && strings.EqualFold(to.text, "to")) {
		return false
	}
	value, ok := l.value()
	if !ok {
		return false
	}
	st.args, st.arg, st.value = 1, name.text, value
	end, ok := l.next()
	return ok && end.kind == tokenEnd && l.onlySemicolons()
}

// value reads a quoted value, or a bare one: everything up to a blank or a
// semicolon.
func (l *lexer) value() (string, bool) {
	l.skip()
	if strings.HasPrefix(l.rest, "'") || strings.HasPrefix(l.rest, `"`) {
		t, ok := l.next()
		return t.text, ok
	}
	n := strings.IndexAny(l.rest, blanks+`;'"`)
	if n < 0 {
		n = len(l.rest)
	}
	text := l.rest[:n]
	l.rest = l.rest[n:]
	return text, text != ""
}

// next reads one token. It is false for what is none.
func (l *lexer) next() (token, bool) {
	l.skip()
	if l.rest == "" {
		return token{kind: tokenEnd}, true
	}
	switch c := l.rest[0]; {
	case c == ';':
		l.rest = l.rest[1:]
		return token{kind: tokenEnd}, true
	case c == '=':
		l.rest = l.rest[1:]
		return token{kind: tokenEquals, text: "="}, true
	case c == '"':
		text, ok := l.quoted('"')
		return token{kind: tokenName, text: text}, ok && text != ""
	case c == '\'':
		text, ok := l.quoted('\'')
		return token{kind: tokenLiteral, text: text}, ok
	}
	n := 0
	for n < len(l.rest) && isWordByte(l.rest[n]) {
		n++
	}
	text := l.rest[:n]
	l.rest = l.rest[n:]
	return token{kind: tokenWord, text: text}, n > 0
}

// quoted reads up to the closing quote; a doubled one stands for itself.
func (l *lexer) quoted(quote byte) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch {
		case l.rest[i] != quote:
			b.WriteByte(l.rest[i])
		case i+1 < len(l.rest) && l.rest[i+1] == quote:
			b.WriteByte(quote)
			i++
		default:
			l.rest = l.rest[i+1:]
			return b.String(), true
		}
	}
	return "", false
}

const blanks = " \t\r\n\f\v"

// skip passes over blanks and comments. A comment without an end takes
// everything; that can only make a command incomplete.
func (l *lexer) skip() {
	for {
		l.rest = strings.TrimLeft(l.rest, blanks)
		var end string
		switch {
		case strings.HasPrefix(l.rest, "--"):
			end = "\n"
		case strings.HasPrefix(l.rest, "/*"):
			end = "*/"
		default:
			return
		}
		_, l.rest, _ = strings.Cut(l.rest[2:], end)
	}
}

func (l *lexer) onlySemicolons() bool {
	for l.skip(); strings.HasPrefix(l.rest, ";"); l.skip() {
		l.rest = l.rest[1:]
	}
	return l.rest == ""
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '_' || c == '.' || c == '-' || c == '*' || c >= 0x80
}
