package admin

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, row := range []struct {
		sql  string
		want string // verb|arg|value, "name:" before a quoted arg; "" is no command, "!" is refused
	}{
		{"SHOW POOLS", "show|POOLS|"},
		{"show pools;", "show|pools|"},
		{" \t\n show \r\n pools ; ; ", "show|pools|"},
		{"select pools", "select|pools|"},
		{"RELOAD", "reload||"},
		{"PAUSE my-db.2_x*", "pause|my-db.2_x*|"},
		{`PAUSE "my ""db"" ; x"`, `pause|name:my "db" ; x|`},
		{"PAUSE datenbänk", "pause|datenbänk|"},
		{"SET default_pool_size = 5", "set|default_pool_size|5"},
		{"set default_pool_size=5;", "set|default_pool_size|5"},
		{"SET client_encoding TO 'UTF8';", "set|client_encoding|UTF8"},
		{"SET x = 'it''s'", "set|x|it's"},
		{`SET x = "y z"`, "set|x|y z"},
		{"SET server_check_query = <empty>", "set|server_check_query|<empty>"},
		{"SET x = ''", "set|x|"},
		{"", ""},
		{" ; ", ""},
		{"-- ping", ""},
		{"/* hello */ SHOW /* there */ POOLS -- end", "show|POOLS|"},
		{"/* without an end SHOW POOLS", ""},

		{"SHOW", "show||"}, // whether the argument is missing is for the command to say
		{"SHOW POOLS SERVERS", "!"},
		{"SHOW POOLS; SHOW STATS", "!"},
		{"SHOW = POOLS", "!"},
		{"SHOW 'POOLS'", "!"},
		{"SHOW (", "!"},
		{"SELECT version()", "!"},
		{`PAUSE ""`, "!"},
		{`PAUSE "open`, "!"},
		{`"SHOW" POOLS`, "!"},
		{"= 1", "!"},
		{"SET", "!"},
		{"SET x", "!"},
		{"SET x 5", "!"},
		{"SET x =", "!"},
		{"SET x = ;", "!"},
		{"SET x = 5 6", "!"},
		{"SET x = 'open", "!"},
		{"SET 'x' = 5", "!"},
	} {
		st, ok := parse(row.sql)
		got := "!"
		if ok {
			got = ""
			if st.verb != "" {
				arg := st.arg
				if st.isName {
					arg = "name:" + arg
				}
				got = strings.Join([]string{st.verb, arg, st.value}, "|")
			}
		}
		if got != row.want {
			t.Errorf("%q: got %q, want %q", row.sql, got, row.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"SHOW POOLS;", "SET a = 'b''c'", `KILL "x""y"`, "/* */ -- \n;", "SET a TO \x00", "\xff\xfe", `SHOW "`, "SET x='",
		"SHUTDOWN WAIT_FOR_CLIENTS", strings.Repeat("/*", 100), strings.Repeat(";", 1000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st, ok := parse(sql)
		if !ok {
			return
		}
		if st.args > 1 || st.args == 0 && st.arg != "" {
			t.Errorf("%q: %d arguments, of which one is %q", sql, st.args, st.arg)
		}
		if st.verb != strings.ToLower(st.verb) || strings.ContainsAny(st.verb, blanks+`;'"=`) {
			t.Errorf("%q: the verb is %q", sql, st.verb)
		}
		// What was understood is understood again when it is written plainly.
		if st.verb == "" || st.verb == "set" || st.args == 0 {
			return
		}
		again, ok := parse(st.verb + ` "` + strings.ReplaceAll(st.arg, `"`, `""`) + `";`)
		if !ok || again.verb != st.verb || again.arg != st.arg {
			t.Errorf("%q: once more it is %+v, %v", sql, again, ok)
		}
	})
}
