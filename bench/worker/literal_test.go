package worker

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"carpool/bench/workload"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestAppendSQL(t *testing.T) {
	for _, test := range []struct {
		sql  string
		bare bool
		args []string
		want string // "" is an error
	}{
		{sql: "SELECT 1", want: "SELECT 1"},
		{sql: "SELECT $1", args: []string{"a"}, want: "SELECT  'a'"},
		{sql: "SELECT $2,$1,$2", args: []string{"a", "b"}, want: "SELECT  'b', 'a', 'b'"},
		{sql: "a LIKE$1", args: []string{"a%"}, want: "a LIKE E'a%'"},
		{sql: "SELECT $1", args: []string{"it's"}, want: "SELECT  E'it''s'"},
		{sql: "SELECT $1", args: []string{`\'`}, want: `SELECT  E'\\'''`},
		{sql: "SELECT $1", args: []string{"é😀"}, want: `SELECT  E'\u00E9\U0001F600'`},
		{sql: "SELECT $1", args: []string{"\x00"}},
		{sql: "SELECT $1", args: []string{"\xff"}},
		{sql: "SELECT $2", args: []string{"a"}},
		{sql: "SELECT $$x$$, $0, $", args: []string{"a"}, want: "SELECT $$x$$, $0, $"},
		{sql: "x-$1", bare: true, args: []string{"-5"}, want: "x- -5"},
		{sql: "LIMIT $1", bare: true, args: []string{"1e3"}, want: "LIMIT  1e3"},
		{sql: "SELECT $1", bare: true, args: []string{"true"}, want: "SELECT  true"},
		{sql: "SELECT $1", bare: true, args: []string{"1; DROP TABLE x"}},
		{sql: "SELECT $1", bare: true, args: []string{"Inf"}},
		{sql: "SELECT $1", bare: true, args: []string{"0x10"}},
		{sql: "SELECT $1", bare: true, args: []string{""}},
	} {
		got, err := appendSQL(nil, workload.Statement{SQL: test.sql, Bare: test.bare}, test.args)
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s with %q: got %q, %v, want %q", test.sql, test.args, got, err, test.want)
		}
	}
}

// unquote reads a literal as Postgres' lexer does: "" and false when it doesn't end where the text does.
func unquote(text string) (string, bool) {
	escapes := strings.HasPrefix(text, "E")
	text = strings.TrimPrefix(text, "E")
	if !strings.HasPrefix(text, "'") {
		return "", false
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			value.WriteByte('\'')
			i++
		case text[i] == '\'':
			return value.String(), i == len(text)-1
		case text[i] == '\\' && escapes && i+1 < len(text):
			i++
			digits := map[byte]int{'u': 4, 'U': 8}[text[i]]
			if digits == 0 {
				value.WriteByte(text[i])
				continue
			}
			if i+digits >= len(text) {
				return "", false
			}
			r, err := strconv.ParseInt(text[i+1:i+1+digits], 16, 32)
			if err != nil {
				return "", false
			}
			value.WriteRune(rune(r))
			i += digits
		default:
			value.WriteByte(text[i])
		}
	}
	return "", false
}

func FuzzLiteral(f *testing.F) {
	for _, seed := range []string{"", "a", "it's", `\`, `\'`, "é", "😀", "\x00", "\xff", "''''", `\u0000`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, err := appendLiteral(nil, value)
		if err != nil {
			if utf8.ValidString(value) && !strings.Contains(value, "\x00") {
				t.Fatalf("%q is refused: %v", value, err)
			}
			return
		}
		for _, b := range text {
			if b >= utf8.RuneSelf || b == 0 {
				t.Fatalf("%q became %q, which isn't ASCII", value, text)
			}
		}
		if strings.Contains(value, `\`) && text[0] != 'E' {
			t.Fatalf("%q became %q, which depends on a setting", value, text)
		}
		if got, whole := unquote(string(text)); !whole || got != value {
			t.Fatalf("%q became %q, which is %q", value, text, got)
		}
	})
}
