package state

import "bytes"

// skipPlain returns the end of the statement at pos, its semicolon included, if
// it is one of those nearly all are: a query in which nothing can have an
// effect, and nothing is hard to read. It answers false about all others, and
// where nothing is left.
//
// It does in one pass what the lexer and scan do, and only for what it knows:
// what it says must be what they would say.
func skipPlain(text []byte, pos int, d Dialect) (end int, plain bool) {
	if d != (Dialect{}) {
		return 0, false
	}
	for pos < len(text) && (classes[text[pos]] == space || text[pos] == '/') {
		if text[pos] != '/' {
			pos++
		} else if pos = plainComment(text, pos); pos < 0 {
			return 0, false
		}
	}
	verb := pos
	for pos < len(text) && inWord(text[pos]) {
		pos++
	}
	update := false
	switch pos - verb {
	case 4:
		if !equalFold("with", text[verb:pos]) {
			return 0, false
		}
	case 6:
		switch word := text[verb:pos]; lower(word[0]) {
		case 's':
			plain = equalFold("select", word)
		case 'i':
			plain = equalFold("insert", word)
		case 'u':
			update = equalFold("update", word)
			plain = update
		case 'd':
			plain = equalFold("delete", word)
		case 'v':
			plain = equalFold("values", word)
		}
		if !plain {
			return 0, false
		}
	default:
		return 0, false
	}
	p := plainScan{text: text, verb: verb, wordStart: verb, wordEnd: pos, update: update}
	return p.scan(pos)
}

// plainScan is the state of skipPlain behind the first word.
type plainScan struct {
	text []byte
	verb int // where the statement begins
	// wordStart and wordEnd are where the last token is if it is a word;
	// wordEnd is zero if it isn't.
	wordStart, wordEnd int
	opened             bool // the token before that word is an opening parenthesis
	update             bool // the statement is an UPDATE
	valued             bool // the last token ends a value of which a field can be taken
	fields             bool // there was such a field
}

func (s *plainScan) scan(p int) (int, bool) {
	text, depth := s.text, 0
	for p < len(text) {
		c := text[p]
		switch classes[c] {
		case space:
			p++
			continue
		case letter:
			start := p
			for p++; p < len(text) && inWord(text[p]); p++ {
			}
			s.valued = false
			if !s.word(start, p) || s.fields && functionOf(text[start:p]) != functionNone {
				return 0, false
			}
			continue
		case digit:
			for p++; p < len(text) && classes[text[p]] == digit; p++ {
			}
			if p < len(text) && classes[text[p]] == letter {
				return 0, false
			}
		case quote:
			// A doubled quote ends one string and begins another, which is the same.
			next := bytes.IndexByte(text[p+1:], '\'')
			if next < 0 || s.wordEnd == p && !s.prefix(p) {
				return 0, false
			}
			p += next + 2
		case doubleQuote:
			if !s.quotedName(p) || s.fields {
				return 0, false
			}
			p = s.wordEnd + 1
			s.valued = false
			continue
		case dollar:
			if p+1 >= len(text) || classes[text[p+1]] != digit {
				return 0, false
			}
			p += 2
			for p < len(text) && classes[text[p]] == digit {
				p++
			}
			s.wordEnd, s.opened, s.valued = 0, false, true
			continue
		case self:
			switch c {
			case '(':
				if s.wordEnd > 0 && functionOf(text[s.wordStart:s.wordEnd]) != functionNone {
					return 0, false
				}
				depth++
				p++
				s.wordEnd, s.opened, s.valued = 0, true, false
				continue
			case ')', ']':
				if c == ')' {
					depth = max(depth-1, 0)
				}
				p++
				s.wordEnd, s.opened, s.valued = 0, false, true
				continue
			case '.':
				s.fields = s.fields || s.valued
			case ';':
				if depth > 0 {
					return 0, false
				}
				return p + 1, true
			}
			p++
		case operator:
			switch {
			case c == '-' && p+1 < len(text) && text[p+1] == '-':
				p = lineEnd(text, p)
				continue
			case c == '/' && p+1 < len(text) && text[p+1] == '*':
				if p = plainComment(text, p); p < 0 {
					return 0, false
				}
				continue
			}
			p++
		default:
			return 0, false
		}
		s.wordEnd, s.opened, s.valued = 0, false, false
	}
	return p, true
}

// quotedName takes notice of a name in double quotes, which begin at p; false
// if it may have a meaning here.
func (s *plainScan) quotedName(p int) bool {
	next := bytes.IndexByte(s.text[p+1:], '"')
	if next < 0 || s.text[p-1] == '&' {
		return false
	}
	s.wordStart, s.wordEnd, s.opened = p+1, p+1+next, false
	return !s.update || s.wordEnd-s.wordStart != len(settingsView)
}

// word takes notice of a word; false if it may have a meaning here.
func (s *plainScan) word(start, end int) bool {
	switch end - start {
	case 4:
		if word := s.text[start:end]; lower(word[0]) == 'i' && equalFold("into", word) && !s.inserts() {
			return false
		}
	case len(settingsView):
		if s.update && equalFold(settingsView, s.text[start:end]) {
			return false
		}
	}
	s.opened = s.opened && s.wordEnd == 0
	s.wordStart, s.wordEnd = start, end
	return true
}

// inserts reports whether the last token is the INSERT of a statement: its
// first word, or the first after a parenthesis. Elsewhere it can be a name.
func (s *plainScan) inserts() bool {
	return (s.wordStart == s.verb || s.opened) && s.wordEnd > 0 && equalFold("insert", s.text[s.wordStart:s.wordEnd])
}

// prefix reports whether the word that ends at p, where a string begins, leaves
// the string a plain one.
func (s *plainScan) prefix(p int) bool {
	if p-s.wordStart != 1 {
		return true
	}
	c := lower(s.text[s.wordStart])
	return c != 'e'
}

// plainComment returns the end of a comment at p, or -1 if there is none, or
// there is one within it.
func plainComment(text []byte, p int) int {
	if p+1 >= len(text) || text[p+1] != '*' {
		return -1
	}
	end := bytes.Index(text[p+2:], []byte("*/"))
	if end < 0 || bytes.Contains(text[p+2:p+2+end+1], []byte("/*")) {
		return -1
	}
	return p + 2 + end + 2
}
