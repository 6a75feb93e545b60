package state

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// asked is the text of the query that AppendAudit makes, or "".
func asked(t testing.TB, q Question) string {
	t.Helper()
	return queryText(t, AppendAudit([]byte("before"), &q))
}

// queryText is the text of the one Query message that was appended to "before",
// or "".
func queryText(t testing.TB, b []byte) string {
	t.Helper()
	rest, ok := strings.CutPrefix(string(b), "before")
	if !ok {
		t.Fatalf("what was in the buffer has changed: %q", b)
	}
	if rest == "" {
		return ""
	}
	h, ok, valid := wire.ParseHeader([]byte(rest))
	if !ok || !valid || h.Type != wire.Query || h.Size() != len(rest) {
		t.Fatalf("not one Query message: %q", rest)
	}
	text, ok := strings.CutSuffix(rest[wire.HeaderLen:], "\x00")
	if !ok || strings.IndexByte(text, 0) >= 0 || !isASCII(text) {
		t.Fatalf("not pure ASCII and then a zero: %q", rest)
	}
	return text
}

// A question looks at nothing that it isn't about.
func TestAuditAsksForNothingElse(t *testing.T) {
	witnesses := []string{
		"pg_lock_status", "pg_cursor(", "pg_depend", "pg_listening_channels", "pg_prepared_statement(",
		"pg_show_all_settings", "current_setting('role')", "pg_stat_get_activity", "current_setting(n.name",
	}
	tests := []struct {
		name string
		q    Question
		want []string
	}{
		{"nothing", Question{}, nil},
		{"what can't be answered", Question{Holds: HoldsAnything &^ Askable(), Names: []string{"a"}, All: true}, nil},
		{"no parameter", Question{Holds: HoldsParameters}, nil},
		{"names without the kind", Question{Holds: HoldsCursors, Names: []string{"a"}, All: true}, []string{"pg_cursor("}},
		{"locks", Question{Holds: HoldsAdvisoryLocks | HoldsSeed}, []string{"pg_lock_status"}},
		{"temporary", Question{Holds: HoldsTemporary}, []string{"pg_depend"}},
		{"channels", Question{Holds: HoldsListens}, []string{"pg_listening_channels"}},
		{"statements", Question{Holds: HoldsStatements}, []string{"pg_prepared_statement("}},
		{"two", Question{Holds: HoldsAdvisoryLocks | HoldsListens}, []string{"pg_lock_status", "pg_listening_channels"}},
		{"a parameter", Question{Holds: HoldsParameters, Names: []string{"a"}}, []string{"pg_show_all_settings", "current_setting(n.name"}},
		{"its value", Question{Holds: HoldsParameters, Names: []string{"a"}, ValuesOnly: true}, []string{"current_setting(n.name"}},
		{"the role", Question{Holds: HoldsParameters, Names: []string{"ROLE"}}, []string{"current_setting('role')"}},
		{"the user", Question{Holds: HoldsParameters, Names: []string{"Session_Authorization"}}, []string{"pg_stat_get_activity"}},
		{"no names", Question{Holds: HoldsParameters, Names: []string{"", "x'y", "a b", "ä", "\x00", "seed", "TRANSACTION_isolation"}}, nil},
		{
			"all parameters",
			Question{Holds: HoldsParameters, All: true, ValuesOnly: true},
			[]string{"pg_show_all_settings", "current_setting('role')", "pg_stat_get_activity"},
		},
		{"everything", Question{Holds: HoldsAnything, Names: []string{"a.b", "role"}, All: true}, witnesses},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := asked(t, tt.q)
			if len(tt.want) == 0 && text != "" {
				t.Fatalf("asked %s", text)
			}
			for _, w := range witnesses {
				if strings.Contains(text, w) != slices.Contains(tt.want, w) {
					t.Errorf("%s in the query is %t:\n%s", w, !slices.Contains(tt.want, w), text)
				}
			}
		})
	}
}

// Where the answer tells what statement_timeout is, it isn't changed before.
func TestAuditKeepsTheTimeoutThatItTells(t *testing.T) {
	tests := []struct {
		name string
		q    Question
		want string
	}{
		{"locks", Question{Holds: HoldsAdvisoryLocks}, "TLa"},
		{"another parameter", Question{Holds: HoldsParameters | HoldsAdvisoryLocks, Names: []string{"TimeZone"}}, "TLsa"},
		{"no parameter", Question{Holds: HoldsAdvisoryLocks, Names: []string{"statement_timeout"}}, "TLa"},
		{"the timeout", Question{Holds: HoldsParameters, Names: []string{"Statement_Timeout"}}, "Ts"},
		{"the timeout and locks", Question{Holds: HoldsParameters | HoldsAdvisoryLocks, Names: []string{"statement_timeout"}}, "TsLa"},
		{"all parameters", Question{Holds: HoldsParameters | HoldsSeed, All: true}, "Ts"},
		{"everything", Question{Holds: HoldsParameters | HoldsAdvisoryLocks, All: true}, "TsLa"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, order := asked(t, tt.q), map[int]string{}
			for what, mark := range map[string]string{"T": auditTransaction, "L": untimed, "s": "pg_show_all_settings", "a": "pg_lock_status"} {
				if at := strings.Index(text, mark); at >= 0 {
					order[at] = what
				}
			}
			got := ""
			for _, at := range slices.Sorted(maps.Keys(order)) {
				got += order[at]
			}
			if got != tt.want {
				t.Errorf("order %s, want %s:\n%s", got, tt.want, text)
			}
		})
	}
}

func TestAuditFoldsNames(t *testing.T) {
	text := asked(t, Question{Holds: HoldsParameters, Names: []string{"TIMEZONE", "seed", "Search_Path", "App.User_ID", "role"}})
	if want := `unnest('{TimeZone,search_path,app.user_id}'::pg_catalog.text[])`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
}

// Whatever the names are, they are only names.
func FuzzAudit(f *testing.F) {
	f.Add("TimeZone", "a.b", true, false)
	f.Add("x'y", `a\`, false, true)
	f.Add("a$1.b", "role", false, false)
	f.Fuzz(func(t *testing.T, one, other string, all, valuesOnly bool) {
		text := asked(t, Question{Holds: HoldsAnything, Names: []string{one, other}, All: all, ValuesOnly: valuesOnly})
		for _, conforming := range []bool{true, false} {
			list, ok := statements(text+";", conforming)
			selects := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s+";" == auditTransaction || s+";" == untimed })
			if !ok || len(list) < 3 || len(list) > 4 || len(list)-len(selects) != 2 {
				t.Fatalf("%q has the statements %q", text, list)
			}
		}
		_, names, found := strings.Cut(text, "unnest('{")
		names, _, closed := strings.Cut(names, "}'")
		if found != (listed(one) || listed(other)) || found != closed || strings.ContainsAny(names, "'\\\"{ ") {
			t.Fatalf("%q with the names %q", text, names)
		}
	})
}

// null is a NULL in a row.
const null = "NULL"

// row makes the body of a DataRow.
func row(columns ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(columns)))
	for _, c := range columns {
		if c == null {
			b = binary.BigEndian.AppendUint32(b, 1<<32-1)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
		b = append(b, c...)
	}
	return b
}

func TestFindings(t *testing.T) {
	var f Findings
	for _, r := range [][]byte{
		row("a", null, null), row("s", "TimeZone", "UTC"), row("d", "app.x", null), row("l", "ch", null), row("l", "Ä", null), row("p", "st", null),
	} {
		if !f.Row(r) {
			t.Errorf("%q refused", r)
		}
	}
	if want := HoldsAdvisoryLocks | HoldsParameters | HoldsListens | HoldsStatements; f.Held() != want {
		t.Errorf("held %v, want %v", f.Held().names(), want.names())
	}
	if got := slices.Collect(f.Settings()); !slices.Equal(got, []Setting{{"TimeZone", "UTC", true}, {"app.x", "", false}}) {
		t.Errorf("settings %v", got)
	}
	if got := slices.Collect(f.Channels()); !slices.Equal(got, []string{"ch", "Ä"}) {
		t.Errorf("channels %q", got)
	}
	if got := slices.Collect(f.Statements()); !slices.Equal(got, []string{"st"}) {
		t.Errorf("statements %q", got)
	}
	f.Reset()
	if f.Held() != 0 || len(slices.Collect(f.Settings()))+len(slices.Collect(f.Channels()))+len(slices.Collect(f.Statements())) != 0 {
		t.Errorf("after Reset: %+v", f)
	}
	for _, r := range [][]byte{row("c", null, null), row("t", null, null), row("d", "role", "none")} {
		if !f.Row(r) {
			t.Errorf("%q refused", r)
		}
	}
	if f.Held() != HoldsCursors|HoldsTemporary {
		t.Errorf("held %v", f.Held().names())
	}
}

func TestFindingsRefuse(t *testing.T) {
	good := row("s", "TimeZone", "UTC")
	tests := []struct {
		name string
		body []byte
	}{
		{"nothing", nil},
		{"no columns", row()},
		{"two columns", row("a", null)},
		{"four columns", row("a", null, null, null)},
		{"cut off", good[:len(good)-1]},
		{"more behind", append(slices.Clone(good), 0)},
		{"size beyond the body", append(slices.Clone(good[:len(good)-7]), 0x7f, 0xff, 0xff, 0xff, 'U', 'T', 'C')},
		{"negative size", append(slices.Clone(good[:len(good)-7]), 0xff, 0xff, 0xff, 0xfe, 'U', 'T', 'C')},
		{"no kind", row(null, null, null)},
		{"empty kind", row("", null, null)},
		{"unknown kind", row("x", null, null)},
		{"long kind", row("ss", "TimeZone", "UTC")},
		{"lock with a name", row("a", "x", null)},
		{"lock with a value", row("a", null, "")},
		{"parameter without a name", row("s", null, "x")},
		{"parameter with a bad name", row("s", "a'b", "x")},
		{"parameter set to NULL", row("s", "a", null)},
		{"parameter with a zero", row("s", "a", "x\x00y")},
		{"value too long", row("s", "a", strings.Repeat("x", MaxValueLen+1))},
		{"encoding beyond ASCII", row("s", "client_encoding", "ä")},
		{"of a transaction", row("s", "Transaction_Isolation", "serializable")},
		{"channel without a name", row("l", null, null)},
		{"channel with an empty name", row("l", "", null)},
		{"channel with a long name", row("l", strings.Repeat("x", maxFoundName+1), null)},
		{"channel with a zero", row("l", "a\x00", null)},
		{"channel with a value", row("l", "a", "b")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Findings
			if f.Row(tt.body) {
				t.Error("taken")
			}
			if f.Held() != 0 {
				t.Errorf("held %v", f.Held().names())
			}
		})
	}
}

// No server can make an answer grow.
func TestFindingsAreLimited(t *testing.T) {
	for _, r := range [][]byte{row("l", "ch", null), row("p", "st", null), row("d", "a", ""), row("s", "a", strings.Repeat("x", MaxValueLen))} {
		var f Findings
		taken := 0
		for f.Row(r) {
			if taken++; taken > 2*MaxFound {
				t.Fatalf("%.20q: no end", r)
			}
		}
		if taken == 0 {
			t.Errorf("%.20q refused", r)
		}
	}
}

func FuzzFindings(f *testing.F) {
	f.Add(row("a", null, null), row("s", "TimeZone", "UTC"))
	f.Add(row("l", "ch", null), row("d", "app.x", null))
	f.Add(row("p", "st", null), []byte{0, 3, 0, 0, 0, 1, 's', 0xff, 0xff})
	f.Fuzz(func(t *testing.T, one, other []byte) {
		var found Findings
		for _, body := range [][]byte{one, other} {
			before := slices.Clone(body)
			took := found.Row(body)
			if !slices.Equal(before, body) {
				t.Fatal("the body was changed")
			}
			var again Findings
			if took && !again.Row(body) {
				t.Fatal("taken once, and refused by itself")
			}
			clear(body) // what was found is its own
		}
		var held Holdings
		for s := range found.Settings() {
			if !sound(s.Name, s.Value) {
				t.Fatalf("setting %q %q", s.Name, s.Value)
			}
			if s.Explicit {
				held |= HoldsParameters
			}
		}
		for name := range found.Channels() {
			held |= HoldsListens
			if name == "" || name[0] == 0 {
				t.Fatalf("channel %q", name)
			}
		}
		for name := range found.Statements() {
			held |= HoldsStatements
			if name == "" || name[0] == 0 {
				t.Fatalf("statement %q", name)
			}
		}
		const named = HoldsParameters | HoldsListens | HoldsStatements
		if found.Held()&named != held || found.Held()&^Askable() != 0 {
			t.Fatalf("held %v of %v", found.Held().names(), held.names())
		}
	})
}

func BenchmarkAppendAudit(b *testing.B) {
	q := Question{Holds: Askable(), Names: []string{"TimeZone", "app.x"}, All: true}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendAudit(buf[:0], &q)
	}
}
