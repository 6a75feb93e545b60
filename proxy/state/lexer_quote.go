package state

import "bytes"

// Strings is what a backslash means in a string without E before it.
type Strings uint8

// What backslashes mean.
const (
	// StringsConforming: standard_conforming_strings is on. A backslash is one.
	StringsConforming Strings = iota
	// StringsEscape: it is off. A backslash is as in a string with E.
	StringsEscape
	// StringsUnknown: texts where it matters are ambiguous.
	StringsUnknown
)

// quoted reads a string whose content begins at p.
func (l *Lexer) quoted(start, p int, kind TokenKind) Token {
	escapes := kind == TokenEscapeString || kind == TokenString && l.dialect.Strings == StringsEscape
	for {
		end, ok := l.quoteEnd(p, escapes)
		if kind == TokenBitString { // in which no quote is doubled
			end = p + bytes.IndexByte(l.text[p:], '\'')
			ok = end >= p
		}
		if !ok {
			return l.rest(TokenIncomplete, start)
		}
		unknown := kind == TokenString && l.dialect.Strings == StringsUnknown
		if unknown && bytes.IndexByte(l.text[p:end], '\\') >= 0 {
			return l.rest(TokenAmbiguous, start)
		}
		if (unknown || escapes) && l.dialect.Encoding == EncodingUnknown && !ascii(l.text[p:end]) {
			return l.rest(TokenAmbiguous, start)
		}
		next, more := l.continued(end + 1)
		if !more {
			return l.token(kind, end+1)
		}
		p = next
	}
}

// quoteEnd returns where the quote is that ends the content which begins at p.
func (l *Lexer) quoteEnd(p int, escapes bool) (int, bool) {
	for p < len(l.text) {
		if !escapes {
			// No encoding has a quote as a part of another character.
			next := bytes.IndexByte(l.text[p:], '\'')
			if next < 0 {
				return 0, false
			}
			p += next
		}
		switch c := l.text[p]; {
		case c == '\'' && l.at(p+1) != '\'':
			return p, true
		case c == '\'':
			p += 2
		case c == '\\':
			p++
			if p < len(l.text) {
				p += l.dialect.Encoding.width(l.text[p:])
			}
		default:
			p += l.dialect.Encoding.width(l.text[p:])
		}
	}
	return 0, false
}

// continued returns where a string goes on of which a part ended before p: on
// another line, with nothing but space and line comments between.
func (l *Lexer) continued(p int) (int, bool) {
	line := false
	for p < len(l.text) {
		switch c := l.text[p]; {
		case c == '\n' || c == '\r':
			line = true
			p++
		case classes[c] == space:
			p++
		case c == '-' && l.at(p+1) == '-':
			p = lineEnd(l.text, p)
		case c == '\'':
			return p + 1, line
		default:
			return 0, false
		}
	}
	return 0, false
}

// quotedName reads a name in double quotes whose content begins at p.
func (l *Lexer) quotedName(start, p int, kind TokenKind) Token {
	for {
		next := bytes.IndexByte(l.text[p:], '"')
		if next < 0 {
			return l.rest(TokenIncomplete, start)
		}
		p += next + 1
		if l.at(p) != '"' {
			return l.token(kind, p)
		}
		p++
	}
}

// withEscape adds the UESCAPE that may follow to a token.
func (l *Lexer) withEscape(t Token) Token {
	if t.Kind == TokenIncomplete || t.Kind == TokenAmbiguous {
		return t
	}
	// Only what can be an escape is read: it could be another string with an
	// escape of its own, and so on.
	const word = "uescape"
	ahead := *l
	if !ahead.skip() || !equalFold(word, ahead.text[ahead.pos:min(ahead.pos+len(word), len(ahead.text))]) {
		return t
	}
	if w := ahead.word(ahead.pos); w.End-w.Start != len(word) || !ahead.skip() || lower(ahead.at(ahead.pos)) == 'u' {
		return t
	}
	switch s := ahead.Next(); s.Kind {
	case TokenString, TokenEscapeString, TokenDollar:
		l.pos, t.End = s.End, s.End
	}
	return t
}

// dollar reads a string in dollar quotes, or a parameter.
func (l *Lexer) dollar(start int) Token {
	p := start + 1
	if classes[l.at(p)] == digit {
		for classes[l.at(p)] == digit {
			p++
		}
		return l.token(TokenParameter, p)
	}
	for p < len(l.text) && (classes[l.text[p]] == letter || classes[l.text[p]] == digit) {
		if l.text[p] >= 0x80 && l.dialect.Encoding == EncodingUnknown {
			return l.rest(TokenAmbiguous, start)
		}
		p += l.dialect.Encoding.width(l.text[p:])
	}
	if l.at(p) != '$' {
		return l.token(TokenStray, start+1)
	}
	p++
	end := bytes.Index(l.text[p:], l.text[start:p])
	if end < 0 {
		return l.rest(TokenIncomplete, start)
	}
	return l.token(TokenDollar, p+end+p-start)
}
