package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// TestLexerOnPostgres holds the lexer against the one of a server.
func TestLexerOnPostgres(t *testing.T) {
	s := onServer{pgtest.Start(t, pgserver.Options{})}
	s.makeUnicode(t)
	t.Run("LiteralsAndNames", s.literalsAndNames)
	t.Run("WhereErrorsAre", s.whereErrorsAre)
	t.Run("Encodings", s.encodings)
}

// writer makes up SQL.
type writer struct {
	*rand.Rand
	safe  []string // pieces of strings and names
	trail []string // characters that end in a backslash or a letter
}

func (w *writer) one(of ...string) string { return of[w.IntN(len(of))] }

// pieces joins a few pieces of content.
func (w *writer) pieces(more ...string) string {
	var out strings.Builder
	choice := append(append(more[:len(more):len(more)], w.safe...), w.trail...)
	for range w.IntN(6) {
		out.WriteString(choice[w.IntN(len(choice))])
	}
	return out.String()
}

// gap is space that may stand between any two tokens, and must where empty could
// join them.
func (w *writer) gap() string {
	return w.one(" ", "\n", "\t ", "/* ' \" $$ */", " -- ' ; /*\n", "/*/* ; */*/ ", "\f", "/*//**/*/", "\r\n", " /***/ ")
}

// text writes a string in one of all ways.
func (w *writer) text(conforming bool) string {
	more := func(body string) string { // perhaps on another line
		if w.IntN(4) == 0 {
			return "'" + body + "'" + w.one("\n", " \n ", " -- ' x\n", "\r\n -- y\n\t") + "'" + body + "'"
		}
		return "'" + body + "'"
	}
	escapes := []string{`\\`, `\'`, `''`, `\n`, `\x41`, `\101`, `\u0041`, `\q`, `\x7`, `\0411`}
	switch w.IntN(5) {
	case 0:
		return w.one("E", "e") + more(w.pieces(escapes...))
	case 1:
		if conforming {
			return w.one("U&", "u&") + "'" + w.pieces("''", `\\`, `\0041`, `\+000041`) + "'"
		}
		return "'" + w.pieces(escapes...) + "'"
	case 2:
		if conforming {
			return "U&'" + w.pieces("''", `!!`, `!0041`, `\`) + "'" + w.gap() + "UESCAPE" + w.gap() + "'!'"
		}
		return "'x'"
	case 3:
		tag := w.one("$$", "$a$", "$a_1$")
		return tag + w.pieces("'", `"`, " $b$ ", "--", "/*", `\`, " $ ", " $") + " " + tag
	}
	if conforming {
		return more(w.pieces("''", `\`, `"`, "$$"))
	}
	return more(w.pieces(escapes...))
}

// label writes a name of a column.
func (w *writer) label() string {
	switch w.IntN(4) {
	case 0:
		return `"` + w.pieces(`""`, "'", "--", "/*", "$$", " ", ";", `\`) + `x"`
	case 1:
		return `U&"` + w.pieces(`""`, `\\`, `\0041`, "'") + `x"`
	case 2:
		return `U&"` + w.pieces(`""`, "##", "#0041", `\`) + `x"` + w.gap() + "uescape" + w.gap() + "'#'"
	}
	return w.one("Abc", "a$1", "_x", "a1B", "ABCdefghij"+strings.Repeat("klmnopqrst", w.IntN(7)))
}

// literalsAndNames compares what Postgres takes strings and names for, and where
// it ends statements.
func (s onServer) literalsAndNames(t *testing.T) {
	for _, test := range []struct {
		encoding string
		trail    []string
	}{
		{"UTF8", []string{"ä", "日本"}},
		{"SJIS", []string{"\x83\x5c", "\x95\x5c", "\x83\x41", "\xb1", "\x83\x7c"}},
		{"BIG5", []string{"\xa5\x5c", "\xb3\x5c", "\xa4\x40"}},
		{"GBK", []string{"\xbf\x5c", "\x81\x5c", "\x81\x41", "\x81\x7c"}},
		{"UHC", []string{"\x81\x41", "\x81\x61"}},
		{"GB18030", []string{"\x81\x30\x81\x36", "\xbf\x5c"}},
	} {
		for _, conforming := range []string{"on", "off"} {
			t.Run(test.encoding+" "+conforming, func(t *testing.T) {
				w := &writer{rand.New(rand.NewPCG(7, uint64(len(test.encoding)))), []string{"a", " ", ";", "x1", "%"}, test.trail}
				c := s.open(t, unicode, "client_encoding", test.encoding, "standard_conforming_strings", conforming, "backslash_quote", "on")
				d := Dialect{Encoding: EncodingOf(test.encoding)}
				if conforming == "off" {
					d.Strings = StringsEscape
				}
				for range 400 {
					compareValues(t, c, w, d, conforming == "on")
				}
			})
		}
	}
}

func compareValues(t *testing.T, c *pgconn.PgConn, w *writer, d Dialect, conforming bool) {
	t.Helper()
	var text strings.Builder
	for range 1 + w.IntN(4) {
		label := w.label()
		if !conforming && strings.HasPrefix(label, "U&") {
			label = "l"
		}
		text.WriteString(w.one("", w.gap()) + "SELECT" + w.gap() + w.text(conforming) + w.one("", w.gap()) + "AS" + w.gap() + label + w.one("", w.gap()) + ";" + w.one("", ";"))
	}
	reader := c.Exec(t.Context(), text.String())
	var want []string
	for reader.NextResult() {
		rows := reader.ResultReader()
		for rows.NextRow() {
			want = append(want, fmt.Sprintf("%q AS %q", rows.Values()[0], rows.FieldDescriptions()[0].Name))
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatalf("%q: %v", text.String(), err)
	}
	var got []string
	l := NewLexer([]byte(text.String()), d)
	for {
		if first := l.Next(); first.Kind == TokenEnd {
			break
		} else if l.text[first.Start] == ';' {
			continue
		}
		value, known := l.AppendString(nil, l.Next())
		l.Next() // AS
		name, exact := l.AppendName(nil, l.Next())
		if !exact || !known {
			// The server cuts in its own encoding.
			if len(name) < maxIdentifier {
				t.Errorf("%q: %q (%v) and %q (%v) aren't known", text.String(), value, known, name, exact)
			}
			return
		}
		got = append(got, fmt.Sprintf("%q AS %q", value, name))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q\n got %s\nwant %s", text.String(), got, want)
	}
	var classifier Classifier
	classifier.Classify([]byte(text.String()), d)
	if classifier.Statements() != len(want) {
		t.Errorf("%q: %d statements, and %d for Postgres", text.String(), classifier.Statements(), len(want))
	}
}

var nearToken = regexp.MustCompile(`(?s)^syntax error at or near "(.*)"$`)

// whereErrorsAre sends soups of tokens. Where Postgres's grammar stops must be
// one of our tokens, the very one it names; and what doesn't end for Postgres
// doesn't for us.
func (s onServer) whereErrorsAre(t *testing.T) {
	const seed = 11
	w := &writer{Rand: rand.New(rand.NewPCG(seed, 1))}
	tokens := []string{
		"a", "SELECT", ",", "(", ")", "::", ".", "1", "1.5", "1e5", ".5", "'a'", "''", "'", `"a"`, `"`, "$$", "$a$", "$1", "E'", `\'`, "N'a'", "b'1'", "x'f'",
		"U&'a'", `U&"a"`, "U&", "uescape", "--", "/*", "*/", "+", "-", "*", "/", "<", ">", "=", "!", "@", "#", "~", "|", "&", "?", "%", "^", "`", ":=", "=>", "..", ";",
		"\n", " ", " ", " ", "[", "]", "AS", "FROM", "_x", "$", "{", "\\",
	}
	c := s.open(t, unicode, "backslash_quote", "on")
	errorsSeen, unterminated := 0, 0
	for range 12000 {
		var out strings.Builder
		if w.IntN(2) == 0 {
			out.WriteString("SELECT ")
			for range w.IntN(5) {
				out.WriteString(w.one("a", "1", "1.5", "'a'", "$$x$$", `"b"`, "E'\\''", "a.b", ".5", "1e-5", "x'1'") + w.one("", " ", w.gap()) +
					w.one("+", "-", "*", "/", "<", ">", "=", "<>", "!=", "@", "@-", "*-", "=-", "||", "~*", "?-", "->>", "+-", "<=-") + w.one("", " ", w.gap()))
			}
		}
		for range 1 + w.IntN(6) {
			out.WriteString(tokens[w.IntN(len(tokens))] + w.one("", "", " "))
		}
		text := out.String()
		_, err := c.Exec(t.Context(), text).ReadAll()
		refused := (*pgconn.PgError)(nil)
		if !errors.As(err, &refused) || refused.Code != "42601" {
			checkComplete(t, text, err)
			continue
		}
		errorsSeen++
		if checkPosition(t, text, refused) {
			unterminated++
		}
	}
	t.Logf("%d errors, of which %d about what doesn't end", errorsSeen, unterminated)
	if errorsSeen < 4000 || unterminated < 500 {
		t.Errorf("only %d errors and %d about what doesn't end", errorsSeen, unterminated)
	}
}

// checkComplete checks that a text which Postgres has read to the end is one for
// us.
func checkComplete(t *testing.T, text string, err error) {
	t.Helper()
	l := NewLexer([]byte(text), Dialect{})
	for {
		switch token := l.Next(); token.Kind {
		case TokenEnd:
			return
		case TokenIncomplete, TokenStray:
			if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code[:2] == "22" {
				return // about the value of an escape, before it came there
			}
			t.Errorf("%q: %s at %d, and Postgres says %v", text, tokenNames[token.Kind], token.Start, err)
			return
		}
	}
}

// checkPosition compares the token that an error is about, and reports whether
// it is one that doesn't end.
func checkPosition(t *testing.T, text string, refused *pgconn.PgError) (unterminated bool) {
	t.Helper()
	position := int(refused.Position) - 1
	unterminated = strings.HasPrefix(refused.Message, "unterminated")
	near := nearToken.FindStringSubmatch(refused.Message)
	if !unterminated && near == nil {
		return false // about a number or an escape
	}
	l := NewLexer([]byte(text), Dialect{})
	for {
		token := l.Next()
		raw := text[token.Start:token.End]
		switch {
		case token.Start == position && unterminated && token.Kind == TokenIncomplete:
			return true
		case token.Start == position && near != nil:
			// UESCAPE is a part of the token for us. Postgres writes what it has read.
			if near[1] != raw && !strings.HasPrefix(raw, near[1]) && !strings.HasPrefix(near[1], raw) {
				t.Errorf("%q: %q, and Postgres says %s", text, raw, refused.Message)
			}
			return false
		case token.Start <= position && position < token.End && near != nil:
			word := strings.ToLower(near[1])
			if (token.Kind == TokenUnicodeString || token.Kind == TokenUnicodeQuoted) && (word == "uescape" || strings.HasPrefix(near[1], "'")) {
				return false
			}
		}
		if token.Kind == TokenEnd {
			t.Errorf("%q: no token at %d, where Postgres says %s", text, position, refused.Message)
			return unterminated
		}
	}
}

// encodings checks for every pair of bytes that Postgres takes it for the
// characters that we take it for, and that no character beyond ASCII becomes one
// of ASCII in the server.
func (s onServer) encodings(t *testing.T) {
	c := s.open(t, unicode)
	must(t, c, `CREATE FUNCTION pairs(encoding name) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE out text := ''; r text;
		BEGIN
			FOR lead IN 128..255 LOOP FOR trail IN 1..255 LOOP
				BEGIN
					r := convert_from(set_byte(set_byte('\x0000', 0, lead), 1, trail), encoding);
					IF r ~ '^[\x01-\x7f]' THEN
						out := out || lead || ' ' || trail || E' 0\n';
					ELSIF trail < 128 THEN
						out := out || lead || ' ' || trail || ' ' || length(r) || E'\n';
					END IF;
				EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN NULL;
				END;
			END LOOP; END LOOP;
			RETURN out;
		END $$`)
	for _, name := range []string{"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "EUC_JP", "EUC_JIS_2004", "EUC_KR", "EUC_CN", "EUC_TW", "LATIN1", "LATIN5", "WIN1252", "WIN866", "WIN874", "KOI8R", "ISO_8859_6", "WIN1258"} {
		encoding, pairs := EncodingOf(name), 0
		for line := range strings.Lines(must(t, c, "SELECT pairs('"+name+"')")) {
			var lead, trail byte
			var characters int
			if _, err := fmt.Sscan(line, &lead, &trail, &characters); err != nil {
				t.Fatal(err)
			}
			pairs++
			if characters == 0 {
				if encoding != EncodingUnknown {
					t.Errorf("%s %#x %#x becomes ASCII", name, lead, trail)
				}
				continue
			}
			if width := encoding.width([]byte{lead, trail}); encoding != EncodingUnknown && width != 3-characters {
				t.Errorf("%s %#x %#x: %d characters, and we take %d bytes for the first", name, lead, trail, characters, width)
			}
			if characters == 1 && strings.IndexByte("'\"$*/-;() \n\r", trail) >= 0 {
				t.Errorf("%s %#x %#x is a character", name, lead, trail)
			}
		}
		t.Logf("%s: %d pairs", name, pairs)
	}
}
