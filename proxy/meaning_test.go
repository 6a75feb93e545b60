package proxy

import (
	"bytes"
	"testing"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// FuzzSensitivity holds what is said of a text's bytes against the lexer: one
// that doesn't depend on how constants are read has none, and one that doesn't
// depend on the dialect has the same tokens in each.
func FuzzSensitivity(f *testing.F) {
	for _, text := range []string{
		"select $1", "select 'a'", `select U&"\0061"`, "select $$a$$", "select $a1$b$a1$", "select x'1f'", "select '\xe4'",
		`select '\'''`, "select a$b", "$1$2", "select\x00'a'", "select $", "select 1 -- '",
	} {
		f.Add([]byte(text))
	}
	dialects := []state.Dialect{
		{Strings: state.StringsEscape},
		{Encoding: state.EncodingShiftJIS},
		{Strings: state.StringsUnknown, Encoding: state.EncodingUnknown},
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		of := prepared.SensitivityOf(text)
		if of == prepared.SensitiveToBytes {
			return
		}
		text, _, _ = bytes.Cut(text, []byte{0}) // a query's text ends there
		standard := state.NewLexer(text, state.Dialect{})
		var others []state.Lexer
		for _, d := range dialects {
			others = append(others, state.NewLexer(text, d))
		}
		for {
			token := standard.Next()
			for i := range others {
				if other := others[i].Next(); other != token {
					t.Fatalf("%q: %+v, in dialect %+v %+v", text, token, dialects[i], other)
				}
			}
			switch token.Kind {
			case state.TokenEnd, state.TokenIncomplete, state.TokenStray, state.TokenAmbiguous:
				return
			case state.TokenString, state.TokenEscapeString, state.TokenUnicodeString, state.TokenBitString, state.TokenDollar:
				if of == prepared.SensitiveToPath {
					t.Fatalf("%q has the constant %q", text, text[token.Start:token.End])
				}
			}
		}
	})
}

// The commands around a preparation set what differs, and take it back.
func TestAround(t *testing.T) {
	var interner state.Interner
	meaning := func(list ...wire.Param) *prepared.Meaning {
		p, ok := interner.Of(list)
		if !ok {
			t.Fatal("parameters weren't accepted")
		}
		return prepared.NewMeaning(p.Value)
	}
	home := meaning(param("timezone", "UTC", "xmloption", "it's")...)
	now := meaning(param("TimeZone", "Asia/Tokyo", "XmlOption", "it's", "array_nulls", "off")...)
	ahead, behind := around(home, now, prepared.SensitiveToConstants)
	const (
		wantAhead = "SELECT pg_catalog.set_config('carpool.kept_0',pg_catalog.current_setting('TimeZone'),true),pg_catalog.set_config('TimeZone','UTC',true)," +
			"pg_catalog.set_config('carpool.kept_1',pg_catalog.current_setting('array_nulls'),true),pg_catalog.set_config('array_nulls'," +
			"(SELECT s.reset_val FROM pg_catalog.pg_show_all_settings() AS s WHERE s.name OPERATOR(pg_catalog.=) 'array_nulls'),true)"
		wantBehind = "SELECT pg_catalog.set_config('TimeZone',pg_catalog.current_setting('carpool.kept_0'),true)," +
			"pg_catalog.set_config('array_nulls',pg_catalog.current_setting('carpool.kept_1'),true)"
	)
	if ahead != wantAhead || behind != wantBehind {
		t.Errorf("ahead  %s\nbehind %s", ahead, behind)
	}
	if ahead, behind := around(home, now, prepared.SensitiveToPath); ahead != "" || behind != "" {
		t.Errorf("where it doesn't matter: %q, %q", ahead, behind)
	}
	if !home.Equal(meaning(param("TimeZone", "UTC", "xmloption", "it's")...)) {
		t.Error("the case of names matters")
	}
	if home.Key(prepared.SensitiveToConstants) == now.Key(prepared.SensitiveToConstants) || home.Key(prepared.SensitiveToPath) != now.Key(prepared.SensitiveToPath) {
		t.Error("keys don't tell meanings apart, or where they needn't")
	}
}
