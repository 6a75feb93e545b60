package state

// maxExcerpt is about how long an excerpt gets, in bytes.
const maxExcerpt = 60

// Excerpt returns the first words of the statement at text[start:end] for people
// to know it by: on one line, without comments, and with a question mark for
// every literal, so that nothing of a client's data is in it.
func Excerpt(text []byte, start, end int, d Dialect) string {
	start, end = max(start, 0), min(end, len(text))
	if start > end {
		start = end
	}
	out := make([]byte, 0, maxExcerpt+16)
	l := NewLexer(text[:end], d)
	l.pos = start
	behind := -1 // where the last token ended
	for {
		t := l.Next()
		if t.Kind == TokenEnd {
			return string(out)
		}
		if behind >= 0 && t.Start > behind {
			out = append(out, ' ')
		}
		behind = t.End
		switch t.Kind {
		case TokenWord, TokenQuoted, TokenParameter, TokenSelf, TokenOperator:
			out = appendPrintable(out, text[t.Start:t.End])
		default:
			out = append(out, '?')
		}
		if len(out) >= maxExcerpt || t.Kind == TokenIncomplete || t.Kind == TokenAmbiguous {
			return string(out) + "..."
		}
	}
}

// appendPrintable appends a token, shortened, with only what any terminal shows.
func appendPrintable(dst, token []byte) []byte {
	for i, c := range token {
		if i == maxExcerpt {
			return append(dst, "..."...)
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}
