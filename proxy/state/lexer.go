package state

import "bytes"

// Dialect is what the reading of a text depends on besides the text: settings of
// the session that sends it, as they are when the server gets it. The zero value
// is what nearly all have.
type Dialect struct {
	Strings  Strings
	Encoding Encoding
}

// Token is a part of a text that Postgres's own lexer would take as one: where
// it is, and what.
type Token struct {
	Kind       TokenKind
	Start, End int
}

// TokenKind is what a token is.
type TokenKind uint8

// The kinds of tokens.
const (
	// TokenEnd is behind the last token.
	TokenEnd TokenKind = iota
	// TokenWord is a keyword or a name without quotes.
	TokenWord
	// TokenQuoted is a name in double quotes.
	TokenQuoted
	// TokenUnicodeQuoted is one with U& before it, and UESCAPE behind it if there
	// is one.
	TokenUnicodeQuoted
	// TokenString is a string in quotes. Strings that are continued on another
	// line are one token. The N of a national string is a word before it.
	TokenString
	// TokenEscapeString is a string with E before it.
	TokenEscapeString
	// TokenUnicodeString is a string with U& before it, UESCAPE included.
	TokenUnicodeString
	// TokenBitString is a string with B or X before it.
	TokenBitString
	// TokenDollar is a string in dollar quotes.
	TokenDollar
	// TokenNumber is a number without a sign.
	TokenNumber
	// TokenParameter is $1 and the like.
	TokenParameter
	// TokenSelf is one of , ( ) [ ] . ; : and stands for itself.
	TokenSelf
	// TokenOperator is an operator, and :: and := and the two dots.
	TokenOperator
	// TokenStray is a byte that can't be there.
	TokenStray
	// TokenIncomplete is the rest of a text from a string, name or comment on
	// that doesn't end.
	TokenIncomplete
	// TokenAmbiguous is the rest of a text from a place on that can be read in
	// more than one way in the dialect.
	TokenAmbiguous
)

// Lexer takes a text apart as Postgres does (src/backend/parser/scan.l; rules of
// versions 10 to 18, which differ only about texts that some of them refuse). It
// doesn't allocate. Between tokens there is nothing but space and comments. The
// zero value has no text.
type Lexer struct {
	text    []byte
	pos     int
	dialect Dialect
	// signs is up to where every sign is a token of its own, see operator.
	signs int
}

// NewLexer returns a Lexer for text, which isn't changed.
func NewLexer(text []byte, d Dialect) Lexer { return Lexer{text: text, dialect: d} }

// Next returns the next token. After TokenIncomplete and TokenAmbiguous comes
// TokenEnd, which comes as often as asked for.
func (l *Lexer) Next() Token {
	if !l.skip() {
		return l.rest(TokenIncomplete, l.pos)
	}
	start := l.pos
	if start >= len(l.text) {
		return Token{Kind: TokenEnd, Start: len(l.text), End: len(l.text)}
	}
	switch c := l.text[start]; classes[c] {
	case letter:
		return l.word(start)
	case digit:
		return l.number(start)
	case quote:
		return l.quoted(start, start+1, TokenString)
	case doubleQuote:
		return l.quotedName(start, start+1, TokenQuoted)
	case dollar:
		return l.dollar(start)
	case self:
		return l.self(start)
	case operator:
		return l.operator(start)
	}
	return l.token(TokenStray, start+1)
}

// token takes what is before end as a token.
func (l *Lexer) token(kind TokenKind, end int) Token {
	t := Token{Kind: kind, Start: l.pos, End: end}
	l.pos = end
	return t
}

// rest takes all that is left as one token.
func (l *Lexer) rest(kind TokenKind, start int) Token {
	l.pos = len(l.text)
	return Token{Kind: kind, Start: start, End: l.pos}
}

// at returns the byte at p, and zero behind the end.
func (l *Lexer) at(p int) byte {
	if p < len(l.text) {
		return l.text[p]
	}
	return 0
}

// skip goes over space and comments. It answers false at a comment that doesn't
// end.
func (l *Lexer) skip() bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case classes[c] == space:
			l.pos++
		case c == '-' && l.at(l.pos+1) == '-':
			l.pos = lineEnd(l.text, l.pos)
		case c == '/' && l.at(l.pos+1) == '*':
			end := commentEnd(l.text, l.pos)
			if end < 0 {
				return false
			}
			l.pos = end
		default:
			return true
		}
	}
	return true
}

// lineEnd returns where the line ends that p is in.
func lineEnd(text []byte, p int) int {
	for p < len(text) && text[p] != '\n' && text[p] != '\r' {
		p++
	}
	return p
}

// commentEnd returns where the comment ends that begins at p, others inside of
// it included, or -1.
func commentEnd(text []byte, p int) int {
	depth := 1
	for p += 2; ; p++ {
		next := bytes.IndexByte(text[p:], '*')
		if next < 0 {
			return -1
		}
		// Every opening since p has its star at or after next.
		switch star := p + next; {
		case star > p && text[star-1] == '/':
			depth++
			p = star
		case star+1 < len(text) && text[star+1] == '/':
			if depth--; depth == 0 {
				return star + 2
			}
			p = star + 1
		default:
			p = star
		}
	}
}

// word reads a word, or the string that its letter begins.
func (l *Lexer) word(start int) Token {
	if next := l.at(start + 1); next == '\'' {
		switch l.text[start] {
		case 'e', 'E':
			return l.quoted(start, start+2, TokenEscapeString)
		case 'b', 'B', 'x', 'X':
			return l.quoted(start, start+2, TokenBitString)
		}
	} else if next == '&' && lower(l.text[start]) == 'u' {
		switch l.at(start + 2) {
		case '\'':
			return l.withEscape(l.quoted(start, start+3, TokenUnicodeString))
		case '"':
			return l.withEscape(l.quotedName(start, start+3, TokenUnicodeQuoted))
		}
	}
	p := start
	for p < len(l.text) && inWord(l.text[p]) {
		if l.text[p] < 0x80 {
			p++
			continue
		}
		if l.dialect.Encoding == EncodingUnknown {
			return l.rest(TokenAmbiguous, start)
		}
		p += l.dialect.Encoding.width(l.text[p:])
	}
	return l.token(TokenWord, p)
}

// inWord reports whether c can be inside of a word.
func inWord(c byte) bool { return classes[c]-letter <= dollar-letter }

// number reads a number. What begins like one in another base is taken up to
// its last letter or digit, as all of it is a number or its alias, by version.
// Otherwise a letter begins a word, as it does up to version 14.
func (l *Lexer) number(start int) Token {
	p := start
	if l.text[p] == '0' {
		switch l.at(p + 1) {
		case 'x', 'X', 'o', 'O', 'b', 'B':
			if c := classes[l.at(p+2)]; c == digit || c == letter {
				for p++; classes[l.at(p)] == digit || classes[l.at(p)] == letter && l.text[p] < 0x80; p++ {
				}
				return l.token(TokenNumber, p)
			}
		}
	}
	p = l.digits(p)
	if l.at(p) == '.' && l.at(p+1) != '.' {
		p = l.digits(p + 1)
	}
	if l.at(p) == 'e' || l.at(p) == 'E' {
		exponent := p + 1
		if c := l.at(exponent); c == '+' || c == '-' {
			exponent++
		}
		if classes[l.at(exponent)] == digit {
			p = l.digits(exponent)
		}
	}
	return l.token(TokenNumber, p)
}

// digits returns the end of the digits at p, between which there may be single
// underscores.
func (l *Lexer) digits(p int) int {
	for classes[l.at(p)] == digit || l.at(p) == '_' && classes[l.at(p+1)] == digit {
		p++
	}
	return p
}

// self reads a character that stands for itself, or what begins with one.
func (l *Lexer) self(start int) Token {
	next := l.at(start + 1)
	switch l.text[start] {
	case '.':
		if classes[next] == digit {
			return l.number(start)
		}
		if next == '.' {
			return l.token(TokenOperator, start+2)
		}
	case ':':
		if next == ':' || next == '=' {
			return l.token(TokenOperator, start+2)
		}
	}
	return l.token(TokenSelf, start+1)
}

// operator reads an operator. It ends where a comment begins, and doesn't end in
// a sign unless it has a character in it that no operator of the SQL standard
// has, so that a=-1 is what it seems to be. The signs that this leaves, of which
// there may be many, are told apart at once.
func (l *Lexer) operator(start int) Token {
	if start < l.signs {
		return l.token(TokenOperator, start+1)
	}
	p, special := start, false
	for ; p < len(l.text) && classes[l.text[p]] == operator; p++ {
		c := l.text[p]
		if next := l.at(p + 1); c == '-' && next == '-' || c == '/' && next == '*' {
			break
		}
	}
	for _, c := range l.text[start : p-1] {
		special = special || bytes.IndexByte([]byte("~!@#^&|`?%"), c) >= 0
	}
	end := p
	for !special && p > start+1 && (l.text[p-1] == '+' || l.text[p-1] == '-') {
		p--
	}
	if p < end {
		l.signs = end
	}
	return l.token(TokenOperator, p)
}

// class is what a byte can begin.
type class uint8

const (
	stray class = iota
	space
	letter // and underscore, and all beyond ASCII
	digit  // it and the dollar are next to letters for inWord
	dollar
	quote
	doubleQuote
	self
	operator
)

// classes has the class of every byte.
var classes = makeClasses()

func makeClasses() (out [256]class) {
	for c := range out {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
			out[c] = letter
		case c >= '0' && c <= '9':
			out[c] = digit
		}
	}
	set := func(bytes string, k class) {
		for i := range len(bytes) {
			out[bytes[i]] = k
		}
	}
	set(" \t\n\r\f\v", space)
	set("'", quote)
	set(`"`, doubleQuote)
	set("$", dollar)
	set(",()[].;:", self)
	set("~!@#^&|`?+-*/%<>=", operator)
	return out
}
