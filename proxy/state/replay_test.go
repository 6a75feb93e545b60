package state

import (
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// sql is the text of the query that AppendReplay makes, or "".
func sql(t testing.TB, server, client *Params) string {
	t.Helper()
	b := AppendReplay([]byte("before"), server, client)
	if !strings.HasPrefix(string(b), "before") {
		t.Fatalf("what was in the buffer has changed: %q", b)
	}
	b = b[len("before"):]
	if len(b) == 0 {
		return ""
	}
	h, ok, valid := wire.ParseHeader(b)
	if !ok || !valid || h.Type != wire.Query || h.Size() != len(b) || b[len(b)-1] != 0 {
		t.Fatalf("not one Query message: %q", b)
	}
	return string(b[wire.HeaderLen : len(b)-1])
}

func TestAppendReplay(t *testing.T) {
	tests := []struct {
		name           string
		server, client []string
		want           string
	}{
		{"nothing at all", nil, nil, ""},
		{"the same", []string{"TimeZone", "UTC"}, []string{"TimeZone", "UTC"}, ""},
		{"the same but for case", []string{"TimeZone", "UTC"}, []string{"timezone", "utc"}, ""},
		{"case that means something", []string{"application_name", "A"}, []string{"application_name", "a"}, `SET "application_name" TO 'a';`},
		{"differing", []string{"TimeZone", "UTC"}, []string{"TimeZone", "GMT"}, `SET "TimeZone" TO 'GMT';`},
		{"style without order", []string{"DateStyle", "SQL, DMY"}, []string{"DateStyle", "ISO"}, `RESET "DateStyle";SET "DateStyle" TO 'ISO';`},
		{"style and order", []string{"DateStyle", "SQL, DMY"}, []string{"DateStyle", "ISO, YMD"}, `SET "DateStyle" TO 'ISO, YMD';`},
		{"not there yet", nil, []string{"a.b", "1"}, `SET "a"."b" TO '1';`},
		{"empty custom", nil, []string{"a.b", ""}, `RESET "a"."b";`},
		{"emptied custom", []string{"a.b", "1"}, []string{"a.b", ""}, `RESET "a"."b";`},
		{"empty custom not wanted", []string{"a.b", ""}, nil, ``},
		{"empty", nil, []string{"a", ""}, `SET "a" TO '';`},
		{"not wanted", []string{"DateStyle", "ISO", "TimeZone", "UTC"}, []string{"TimeZone", "UTC"}, `RESET "DateStyle";`},
		{
			"resets, then client_encoding, then the rest",
			[]string{"statement_timeout", "1"},
			[]string{"DateStyle", "ISO, MDY", "client_encoding", "SJIS", "application_name", ""},
			`SET LOCAL statement_timeout TO 0;RESET "statement_timeout";SET "client_encoding" TO 'SJIS';SET "application_name" TO '';SET "DateStyle" TO 'ISO, MDY';`,
		},
		{
			"what would make it wait",
			[]string{"default_transaction_isolation", "serializable"},
			[]string{"a.b", "1"},
			`SET TRANSACTION ISOLATION LEVEL READ COMMITTED;RESET "default_transaction_isolation";SET "a"."b" TO '1';`,
		},
		{"quotes and backslashes", nil, []string{"a", `it's`, "b", `\`, "c", `\';--`}, `SET "a" TO 'it''s';SET "b" TO E'\\';SET "c" TO E'\\'';--';`},
		{
			"a list that is quoted already",
			nil,
			[]string{"search_path", `"$user", "it's"`},
			`SELECT pg_catalog.set_config('search_path', '"$user", "it''s"', false) IS NULL;`,
		},
		{
			"bytes of a start-up packet",
			nil,
			[]string{"a", "\xe4"},
			`SELECT pg_catalog.set_config('a', pg_catalog.convert_from(pg_catalog.decode('e4', 'hex'), pg_catalog.getdatabaseencoding()), false) IS NULL;`,
		},
	}
	var i Interner
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sql(t, set(t, &i, tt.server...), set(t, &i, tt.client...)); got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A reported value beyond ASCII stays in the encoding it was reported in, even
// if the client changes its encoding later.
func TestValuesRememberTheirEncoding(t *testing.T) {
	var i Interner
	p := with(t, &i, set(t, &i, "client_encoding", "SJIS"), "search_path", "\x83\x5c")
	p = with(t, &i, p, "client_encoding", "UTF8")
	const want = `SELECT pg_catalog.set_config('search_path', pg_catalog.convert_from(pg_catalog.decode('835c', 'hex'), 'SJIS'), false) IS NULL;`
	if got := sql(t, set(t, &i, "client_encoding", "UTF8"), p); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	q := with(t, &i, set(t, &i, "client_encoding", "UTF8"), "search_path", "\x83\x5c")
	if q == p || sql(t, q, p) != want {
		t.Error("the same bytes in another encoding count as the same value")
	}
}

// statements splits SQL as a server does, with standard_conforming_strings on
// or off; ok is false if something is left open.
func statements(sql string, conforming bool) (list []string, ok bool) {
	start := 0
	for at := 0; at < len(sql); at++ {
		switch c := sql[at]; c {
		case ';':
			list = append(list, sql[start:at])
			start = at + 1
		case '\'', '"':
			escapes := c == '\'' && (!conforming || (at > 0 && sql[at-1] == 'E'))
			closed := false
			for at++; at < len(sql) && !closed; at++ {
				switch {
				case sql[at] == '\\' && escapes:
					at++
				case sql[at] == c && at+1 < len(sql) && sql[at+1] == c:
					at++
				case sql[at] == c:
					closed = true
				}
			}
			if !closed {
				return nil, false
			}
			at--
		}
	}
	return list, start == len(sql)
}

// Whatever is in a value, the server sees the statements that were meant, and
// ASCII alone.
func FuzzReplay(f *testing.F) {
	f.Add("application_name", "a'b", "TimeZone", "UTC")
	f.Add("search_path", `"x\'`, "client_encoding", "GBK")
	f.Add("a.b", "\x83\x5c'; drop table x; --", "client_encoding", "SJIS")
	f.Add("a", "\\", "b", "\n'\r\n'\\''")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		var i Interner
		a, ok := i.With(nil, name2, value2)
		if !ok {
			return
		}
		b, ok := i.With(a, name1, value1)
		if !ok {
			return
		}
		for _, pair := range [][2]*Params{{nil, b}, {a, b}, {b, a}, {b, nil}} {
			text := sql(t, pair[0], pair[1])
			if !isASCII(text) || strings.IndexByte(text, 0) >= 0 {
				t.Fatalf("%q isn't pure ASCII", text)
			}
			on, ok1 := statements(text, true)
			off, ok2 := statements(text, false)
			if !ok1 || !ok2 || len(on) != len(off) || len(on) > 2 {
				t.Fatalf("%q is %q with standard_conforming_strings on, %q with off", text, on, off)
			}
			for _, s := range on {
				if !strings.HasPrefix(s, `SET "`) && !strings.HasPrefix(s, `RESET "`) && !strings.HasPrefix(s, "SELECT pg_catalog.set_config('") {
					t.Fatalf("%q contains the statement %q", text, s)
				}
			}
		}
		if AppendReplay(nil, b, b) != nil {
			t.Error("equal sets need a query")
		}
		if again, ok := AppendSettings(nil, b, true); ok {
			text := string(again[wire.HeaderLen : len(again)-1])
			list, closed := statements(text, false)
			for _, s := range list {
				closed = closed && strings.HasPrefix(s, `SET LOCAL "`)
			}
			if !isASCII(text) || !closed || len(list) != b.Len() {
				t.Fatalf("%q is %q", text, list)
			}
		}
	})
}

func BenchmarkReplayOfOneDifference(b *testing.B) {
	var i Interner
	server := set(b, &i, "DateStyle", "ISO, MDY", "TimeZone", "UTC", "application_name", "a", "client_encoding", "UTF8")
	client := with(b, &i, server, "application_name", "b")
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendReplay(buf[:0], server, client)
	}
}
