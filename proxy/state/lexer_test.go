package state

import (
	"fmt"
	"strings"
	"testing"
)

var tokenNames = [...]string{
	TokenEnd: "end", TokenWord: "word", TokenQuoted: "quoted", TokenUnicodeQuoted: "uquoted", TokenString: "string",
	TokenEscapeString: "estring", TokenUnicodeString: "ustring", TokenBitString: "bits", TokenDollar: "dollar",
	TokenNumber: "number", TokenParameter: "param", TokenSelf: "self", TokenOperator: "op", TokenStray: "stray",
	TokenIncomplete: "incomplete", TokenAmbiguous: "ambiguous",
}

// tokens writes the tokens of a text as kind<text>.
func tokens(text string, d Dialect) string {
	l := NewLexer([]byte(text), d)
	var out []string
	for {
		t := l.Next()
		if t.Kind == TokenEnd {
			return strings.Join(out, " ")
		}
		out = append(out, fmt.Sprintf("%s<%s>", tokenNames[t.Kind], text[t.Start:t.End]))
	}
}

func TestLexer(t *testing.T) {
	off, unknown := Dialect{Strings: StringsEscape}, Dialect{Strings: StringsUnknown}
	for _, test := range []struct {
		text string
		d    Dialect
		want string
	}{
		{"", Dialect{}, ""},
		{" \t\r\n\f\v", Dialect{}, ""},
		{"a_1$ Ä", Dialect{}, "word<a_1$> word<Ä>"},
		{`"a""b" U&"a" u&"\0061"uescape'!'x`, Dialect{}, `quoted<"a""b"> uquoted<U&"a"> uquoted<u&"\0061"uescape'!'> word<x>`},
		{"U&'a' /* */ UESCAPE -- x\n '!' b", Dialect{}, "ustring<U&'a' /* */ UESCAPE -- x\n '!'> word<b>"},
		{"u &'a' u&a", Dialect{}, "word<u> op<&> string<'a'> word<u> op<&> word<a>"},
		{"'a''b' E'a\\'' e'\\\\' N'a' b'1' X'f' ne'a' e 'a'", Dialect{}, "string<'a''b'> estring<E'a\\''> estring<e'\\\\'> word<N> string<'a'> bits<b'1'> bits<X'f'> word<ne> string<'a'> word<e> string<'a'>"},
		{`'a\' b`, Dialect{}, `string<'a\'> word<b>`},
		{`'a\' b'`, off, `string<'a\' b'>`},
		{`'a\' b`, off, `incomplete<'a\' b>`},
		{`'a' 'a\' b`, unknown, `string<'a'> ambiguous<'a\' b>`},
		{`'a' E'a\' b'`, unknown, `string<'a'> estring<E'a\' b'>`},
		{"'a'\n'b' 'c'", Dialect{}, "string<'a'\n'b'> string<'c'>"},
		{"'a' -- x\n  -- y\n\t'b'", Dialect{}, "string<'a' -- x\n  -- y\n\t'b'>"},
		{"'a' /* x\n */ 'b'", Dialect{}, "string<'a'> string<'b'>"},
		{"E'a'\n'\\'' c", Dialect{}, "estring<E'a'\n'\\''> word<c>"},
		{"'a'\n", Dialect{}, "string<'a'>"},
		{"$$a$$ $a$ $$ $b$ $a$ $1$2 a$b$c$ $", Dialect{}, "dollar<$$a$$> dollar<$a$ $$ $b$ $a$> param<$1> param<$2> word<a$b$c$> stray<$>"},
		{"$a$ $A$", Dialect{}, "incomplete<$a$ $A$>"},
		{"$a b$", Dialect{}, "stray<$> word<a> word<b$>"},
		{"1 1.5 .5 1. 1e10 1E-5 1e 1..2 0xFf 0b1 1_000 1a 1into", Dialect{}, "number<1> number<1.5> number<.5> number<1.> number<1e10> number<1E-5> number<1> word<e> number<1> op<..> number<2> number<0xFf> number<0b1> number<1_000> number<1> word<a> number<1> word<into>"},
		{"a=-1 a<>-1 a@-1 a!=-1 a+-1 a->>'x' *-- c\n+/* */-", Dialect{}, "word<a> op<=> op<-> number<1> word<a> op<<>> op<-> number<1> word<a> op<@-> number<1> word<a> op<!=-> number<1> word<a> op<+> op<-> number<1> word<a> op<->>> string<'x'> op<*> op<+> op<->"},
		{"a::b := c:d [1:2] (;,.)", Dialect{}, "word<a> op<::> word<b> op<:=> word<c> self<:> word<d> self<[> number<1> self<:> number<2> self<]> self<(> self<;> self<,> self<.> self<)>"},
		{"/* /* */ */a/**/b/*/*//**/*/*/c", Dialect{}, "word<a> word<b> word<c>"},
		{"a -- /*\rb", Dialect{}, "word<a> word<b>"},
		{"a /* /* */", Dialect{}, "word<a> incomplete</* /* */>"},
		{"'", Dialect{}, "incomplete<'>"},
		{"b'1''2'\n'3' c", Dialect{}, "bits<b'1'> string<'2'\n'3'> word<c>"},
		{"'\x81\x5f' a", Dialect{Strings: StringsUnknown, Encoding: EncodingUnknown}, "ambiguous<'\x81\x5f' a>"},
		{`"a""`, Dialect{}, `incomplete<"a"">`},
		{"\\ \x00 {", Dialect{}, "stray<\\> stray<\x00> stray<{>"},
	} {
		if got := tokens(test.text, test.d); got != test.want {
			t.Errorf("%q %v\n got %s\nwant %s", test.text, test.d, got, test.want)
		}
	}
}

// Characters of which a later byte looks like ASCII.
func TestLexerSkipsTheOtherBytesOfCharacters(t *testing.T) {
	for _, test := range []struct{ encoding, text, want string }{
		{"SJIS", "E'\x83\x5c' \xb1\x5c", "estring<E'\x83\x5c'> word<\xb1> stray<\\>"},
		{"SJIS", "\x83\x5ca", "word<\x83\x5ca>"},
		{"shift_jis_2004", "'\x81\x5f' E'\x81\x5f' b", "string<'\x81\x5f'> ambiguous<E'\x81\x5f' b>"},
		{"BIG5", "\xa5\x5c.\xa5\x7c", "word<\xa5\x5c> self<.> word<\xa5\x7c>"},
		{"GBK", "E'\xbf\x5c' a", "estring<E'\xbf\x5c'> word<a>"},
		{"GBK", "E'\\\xbf\x5c' a", "estring<E'\\\xbf\x5c'> word<a>"},
		{"windows-949", "\x81\x41", "word<\x81\x41>"},
		{"GB18030", "\x81\x30\x81\x30\x81\x7e(", "word<\x81\x30\x81\x30\x81\x7e> self<(>"},
		{"JOHAB", "\x8f\xa1\xa1\x88\x5c", "word<\x8f\xa1\xa1\x88\x5c>"},
		{"UTF8", "E'\xbf\x5c'", "incomplete<E'\xbf\x5c'>"},
		{"LATIN1", "\xe4\x5c", "word<\xe4> stray<\\>"},
		{"", "a \xe4", "word<a> ambiguous<\xe4>"},
		{"", "'\xe4' E'\xe4'", "string<'\xe4'> ambiguous<E'\xe4'>"},
		{"GBK", "\xbf", "word<\xbf>"},
	} {
		if got := tokens(test.text, Dialect{Encoding: EncodingOf(test.encoding)}); got != test.want {
			t.Errorf("%s %q\n got %q\nwant %q", test.encoding, test.text, got, test.want)
		}
	}
}

// FuzzLexer checks that tokens cover their text: in order, not empty, and with
// nothing but space and comments between.
func FuzzLexer(f *testing.F) {
	for _, seed := range []string{"select 'a' \"b\" $$c$$ E'\\'' -- d\n /* /* */ */ U&'x' uescape '!' 1e5 $1 @-", "'", "$a$", "\x83\x5c", "/*/", "1.e", "..", "::"} {
		f.Add([]byte(seed), uint8(0), uint8(0))
		f.Add([]byte(seed), uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, text []byte, strings, encoding uint8) {
		d := Dialect{Strings: Strings(strings % 3), Encoding: Encoding(encoding) % (EncodingUnknown + 1)}
		l := NewLexer(text, d)
		for at := 0; ; {
			token := l.Next()
			gap := Lexer{text: text[:token.Start], pos: at, dialect: d}
			if !gap.skip() || gap.pos != token.Start {
				t.Fatalf("%q: between tokens at %d and %d is more than space", text, at, token.Start)
			}
			if token.Kind == TokenEnd {
				if token.Start != len(text) {
					t.Fatalf("%q ends at %d", text, token.Start)
				}
				return
			}
			if token.End <= token.Start || token.End > len(text) {
				t.Fatalf("%q: token %v", text, token)
			}
			at = token.End
			switch token.Kind {
			case TokenWord, TokenQuoted, TokenUnicodeQuoted:
				if name, _ := l.AppendName(nil, token); len(name) > maxIdentifier {
					t.Fatalf("%q: name %q is too long", text, name)
				}
			default:
				l.AppendString(nil, token)
			}
		}
	})
}
