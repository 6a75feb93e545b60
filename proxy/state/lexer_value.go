package state

import (
	"bytes"
	"unicode/utf8"
)

// maxIdentifier is the length in bytes that Postgres cuts names to.
const maxIdentifier = 63

// AppendName appends the name that a word or a name in quotes stands for:
// without quotes, folded to lower case, and cut as Postgres does it. It answers
// false when that can't be known, for the server folds, cuts and writes what is
// beyond ASCII in its own encoding.
func (l *Lexer) AppendName(dst []byte, t Token) ([]byte, bool) {
	start, exact := len(dst), true
	raw := l.text[t.Start:t.End]
	switch t.Kind {
	case TokenWord:
		for _, c := range raw {
			dst = append(dst, lower(c))
		}
		exact = ascii(raw)
	case TokenQuoted:
		dst = appendDoubled(dst, raw[1:len(raw)-1], '"')
	case TokenUnicodeQuoted:
		dst, exact = l.appendUnicode(dst, t, '"')
	default:
		return dst, false
	}
	if len(dst)-start > maxIdentifier {
		exact = exact && ascii(dst[start:])
		dst = dst[:start+maxIdentifier]
	}
	return dst, exact
}

// AppendString appends the content of a string. It answers false when that
// can't be known: an escape stands for something beyond ASCII, which depends on
// the encoding of the database, or for nothing.
func (l *Lexer) AppendString(dst []byte, t Token) ([]byte, bool) {
	raw := l.text[t.Start:t.End]
	switch t.Kind {
	case TokenString:
		if l.dialect.Strings == StringsEscape {
			return l.appendParts(dst, t, 1, true)
		}
		return l.appendParts(dst, t, 1, false)
	case TokenEscapeString:
		return l.appendParts(dst, t, 2, true)
	case TokenUnicodeString:
		return l.appendUnicode(dst, t, '\'')
	case TokenDollar:
		tag := bytes.IndexByte(raw[1:], '$') + 2
		return append(dst, raw[tag:len(raw)-tag]...), true
	}
	return dst, false
}

// appendParts appends the parts of a string, of which the first begins skip
// bytes into the token.
func (l *Lexer) appendParts(dst []byte, t Token, skip int, escapes bool) ([]byte, bool) {
	exact := true
	for p := t.Start + skip; ; {
		end, ok := l.quoteEnd(p, escapes)
		if !ok {
			return dst, false
		}
		if escapes {
			var fine bool
			dst, fine = l.appendEscapes(dst, l.text[p:end])
			exact = exact && fine
		} else {
			dst = appendDoubled(dst, l.text[p:end], '\'')
		}
		if end+1 >= t.End {
			return dst, exact
		}
		if p, ok = l.continued(end + 1); !ok {
			return dst, exact
		}
	}
}

// appendDoubled appends raw, in which two quotes stand for one.
func appendDoubled(dst, raw []byte, quote byte) []byte {
	for {
		next := bytes.IndexByte(raw, quote)
		if next < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:next+1]...)
		raw = raw[min(next+2, len(raw)):]
	}
}

// appendEscapes appends raw, in which a backslash begins an escape.
func (l *Lexer) appendEscapes(dst, raw []byte) ([]byte, bool) {
	exact := true
	for len(raw) > 0 {
		width := l.dialect.Encoding.width(raw)
		switch {
		case raw[0] == '\'':
			dst = append(dst, '\'')
			raw = raw[min(2, len(raw)):]
			continue
		case raw[0] != '\\' || len(raw) == 1:
			dst = append(dst, raw[:width]...)
			raw = raw[width:]
			continue
		}
		value, length, ok := unescape(raw[1:])
		switch {
		case length > 0: // a character by its number
			exact = exact && ok
			dst = append(dst, value)
			raw = raw[1+length:]
		default: // itself
			width = l.dialect.Encoding.width(raw[1:])
			dst = append(dst, raw[1:1+width]...)
			raw = raw[1+width:]
		}
	}
	return dst, exact
}

// unescape returns the ASCII character that the escape with the given rest
// stands for, and the length of that rest; zero if it stands for itself. It
// answers false when it isn't one of ASCII.
func unescape(rest []byte) (value byte, length int, ok bool) {
	switch c := rest[0]; c {
	case 'b':
		return '\b', 1, true
	case 'f':
		return '\f', 1, true
	case 'n':
		return '\n', 1, true
	case 'r':
		return '\r', 1, true
	case 't':
		return '\t', 1, true
	case 'v':
		return '\v', 1, false // by version: of it or itself
	case 'x':
		number, digits := hexadecimal(rest[1:], 2)
		if digits == 0 {
			return 0, 0, true
		}
		return byte(number), 1 + digits, number < utf8.RuneSelf && number > 0
	case 'u', 'U':
		want := 4
		if c == 'U' {
			want = 8
		}
		number, digits := hexadecimal(rest[1:], want)
		return byte(number), 1 + digits, digits == want && number < utf8.RuneSelf && number > 0
	}
	number := 0
	for length < len(rest) && length < 3 && rest[length] >= '0' && rest[length] <= '7' {
		number = number*8 + int(rest[length]-'0')
		length++
	}
	return byte(number), length, length > 0 && number < utf8.RuneSelf && number > 0
}

// hexadecimal reads a number of at most limit digits.
func hexadecimal(text []byte, limit int) (number uint32, digits int) {
	for digits < len(text) && digits < limit {
		switch c := lower(text[digits]); {
		case c >= '0' && c <= '9':
			number = number<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			number = number<<4 | uint32(c-'a'+10)
		default:
			return number, digits
		}
		digits++
	}
	return number, digits
}

// appendUnicode appends what a U& string or name stands for.
func (l *Lexer) appendUnicode(dst []byte, t Token, quote byte) ([]byte, bool) {
	start := len(dst)
	inner := Lexer{text: l.text[:t.End], pos: t.Start + 2, dialect: l.dialect}
	inner.dialect.Strings = StringsConforming
	body := inner.Next()
	var exact bool
	if quote == '"' {
		dst, exact = appendDoubled(dst, l.text[body.Start+1:body.End-1], '"'), true
	} else {
		dst, exact = inner.appendParts(dst, body, 1, false)
	}
	if l.dialect.Encoding == EncodingUnknown && !ascii(dst[start:]) {
		return dst, false
	}
	escape := byte('\\')
	if inner.Next().Kind == TokenWord { // UESCAPE
		room, ok := l.AppendString(nil, inner.Next())
		if !ok || len(room) != 1 {
			return dst, false
		}
		escape = room[0]
	}
	out, raw := dst[:start], dst[start:]
	for len(raw) > 0 {
		if raw[0] != escape {
			width := l.dialect.Encoding.width(raw)
			out = append(out, raw[:width]...)
			raw = raw[width:]
			continue
		}
		if len(raw) > 1 && raw[1] == escape {
			out = append(out, escape)
			raw = raw[2:]
			continue
		}
		begin, want := 1, 4
		if len(raw) > 1 && raw[1] == '+' {
			begin, want = 2, 6
		}
		number, digits := hexadecimal(raw[begin:], want)
		exact = exact && digits == want && number < utf8.RuneSelf && number > 0
		out = append(out, byte(number))
		raw = raw[begin+digits:]
	}
	return out, exact
}
