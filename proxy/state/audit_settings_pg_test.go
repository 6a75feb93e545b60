package state

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// settingNamed is the setting of that name.
func settingNamed(t testing.TB, f *Findings, name string) Setting {
	t.Helper()
	for setting := range f.Settings() {
		if strings.EqualFold(setting.Name, name) {
			return setting
		}
	}
	t.Errorf("nothing about %s", name)
	return Setting{}
}

func (s onServer) settingsAreTold(t *testing.T) {
	tests := []struct {
		user, set, name string
		want            Setting
		values          Setting // with ValuesOnly
	}{
		{"app", "", "TIMEZONE", Setting{"TimeZone", "UTC", false}, Setting{"TimeZone", "UTC", true}},
		{"app", "SET TIME ZONE 'utc'", "timezone", Setting{"TimeZone", "UTC", true}, Setting{"TimeZone", "UTC", true}},
		{"app", "SET work_mem TO '64MB'", "Work_Mem", Setting{"work_mem", "65536", true}, Setting{"work_mem", "64MB", true}},
		{"app", "SET work_mem TO '64MB'; RESET work_mem", "work_mem", Setting{"work_mem", "4096", false}, Setting{"work_mem", "4MB", true}},
		{"app", "SET application_name TO ''", "application_name", Setting{"application_name", "", true}, Setting{"application_name", "", true}},
		{"app", "", "app.x", Setting{"app.x", "", false}, Setting{"app.x", "", false}},
		{"app", "SET app.x TO 'it''s'", "App.X", Setting{"app.x", "it's", true}, Setting{"app.x", "it's", true}},
		{"app", "SET app.x TO 1; RESET app.x", "app.x", Setting{"app.x", "", true}, Setting{"app.x", "", false}},
		{"app", "SET app.x TO ''", "app.x", Setting{"app.x", "", true}, Setting{"app.x", "", false}},
		{"app", "RESET app.never", "app.never", Setting{"app.never", "", true}, Setting{"app.never", "", false}},
		{"app", "", "nonsense", Setting{"nonsense", "", false}, Setting{"nonsense", "", false}},
		{"app", "SET ROLE other", "role", Setting{"role", "other", true}, Setting{"role", "other", true}},
		{"app", "SET ROLE NONE", "role", Setting{"role", "none", false}, Setting{"role", "none", false}},
		{"boss", "SET SESSION AUTHORIZATION app", "session_authorization", Setting{"session_authorization", "app", true}, Setting{"session_authorization", "app", true}},
		{"boss", "SET SESSION AUTHORIZATION boss", "session_authorization", Setting{"session_authorization", "boss", false}, Setting{"session_authorization", "boss", false}},
		{"boss", "SET SESSION AUTHORIZATION app; SET ROLE other", "session_authorization", Setting{"session_authorization", "app", true}, Setting{"session_authorization", "app", true}},
		{"boss", "SET track_activities TO off; SET SESSION AUTHORIZATION app", "session_authorization", Setting{"session_authorization", "app", true}, Setting{"session_authorization", "app", true}},
		{"boss", "DO 'BEGIN END'; SET plpgsql.extra_warnings TO 'all'", "plpgsql.extra_warnings", Setting{"plpgsql.extra_warnings", "all", true}, Setting{"plpgsql.extra_warnings", "all", true}},
		{"boss", "DO 'BEGIN END'; SET plpgsql.extra_warnings TO 'all'; RESET plpgsql.extra_warnings", "plpgsql.extra_warnings", Setting{"plpgsql.extra_warnings", "none", false}, Setting{"plpgsql.extra_warnings", "none", true}},
		{"boss", "DO 'BEGIN END'; SET plpgsql.variable_conflict TO use_column; SET ROLE app", "plpgsql.variable_conflict", Setting{"plpgsql.variable_conflict", "use_column", true}, Setting{"plpgsql.variable_conflict", "use_column", true}},
		{"boss", "SET dynamic_library_path TO '/x'; SET ROLE app", "dynamic_library_path", Setting{"dynamic_library_path", "", false}, Setting{}},
	}
	for _, tt := range tests {
		t.Run(tt.set+" "+tt.name, func(t *testing.T) {
			c := s.openAs(t, tt.user, "", "TimeZone", "UTC")
			must(t, c, tt.set)
			for _, q := range []Question{{Names: []string{tt.name}}, {Names: []string{"x.y", tt.name}, All: true}} {
				q.Holds = HoldsParameters
				if got := settingNamed(t, find(t, c, q), tt.name); got != tt.want {
					t.Errorf("told %v, want %v", got, tt.want)
				}
			}
			if tt.values != (Setting{}) {
				f := find(t, c, Question{Holds: HoldsParameters, Names: []string{tt.name}, ValuesOnly: true})
				if got := settingNamed(t, f, tt.name); got != tt.values {
					t.Errorf("value alone: told %v, want %v", got, tt.values)
				}
			}
			all := slices.Collect(find(t, c, Question{Holds: HoldsParameters, All: true}).Settings())
			custom := strings.HasPrefix(tt.want.Name, "app.")
			if tt.want.Explicit && !custom && !slices.Contains(all, tt.want) {
				t.Errorf("%v isn't among all: %v", tt.want, all)
			}
		})
	}
}

// others are values for parameters whose type doesn't say what they can be.
var others = map[string]string{
	"application_name": "x y'\\", "search_path": `"$user", "We'ird, \ name", pg_catalog`, "TimeZone": "<+0530>-05:30", "DateStyle": "SQL, DMY",
	"client_encoding": "LATIN1", "default_tablespace": "pg_default", "temp_tablespaces": `pg_default, "pg_default"`, "default_table_access_method": "heap",
	"lc_messages": "POSIX", "lc_monetary": "POSIX", "lc_numeric": "POSIX", "lc_time": "POSIX", "default_text_search_config": "pg_catalog.german",
	"dynamic_library_path": "/x:$libdir", "backtrace_functions": "a,b", "wal_consistency_checking": "heap, btree", "timezone_abbreviations": "Australia",
	"createrole_self_grant": "set, inherit", "restrict_nonsystem_relation_kind": "view, foreign-table", "plpgsql.extra_errors": "all", "plpgsql.extra_warnings": "all",
	"log_statement_sample_rate": "0.25", "session_replication_role": "replica", "local_preload_libraries": "",
	"extension_control_path": "/x:$system", "log_connections": "",
}

// Whatever a session can set is found, and set by AppendReplay elsewhere is what
// it was.
func (s onServer) everySettingCanBeGivenToAnotherSession(t *testing.T) {
	from, to := s.openAs(t, "boss", ""), s.openAs(t, "boss", "")
	must(t, from, "DO 'BEGIN END'") // loads PL/pgSQL
	results, err := from.Exec(t.Context(), `SELECT name, vartype, setting, min_val, max_val, enumvals[1], enumvals[array_length(enumvals, 1)]
		FROM pg_settings WHERE context IN ('user', 'superuser') AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var i Interner
	checked := 0
	for _, r := range results[0].Rows {
		name, value := string(r[0]), otherValue(r)
		if value == "" {
			t.Logf("%s: no other value is known", name)
			continue
		}
		if text := "SELECT set_config('" + name + "', " + string(AppendLiteral(nil, value)) + ", false)"; sets(t, from, text) != nil {
			t.Logf("%s can't be %q: %v", name, value, sets(t, from, text))
			continue
		}
		checked++
		found := settingNamed(t, find(t, from, Question{Holds: HoldsParameters, Names: []string{strings.ToUpper(name)}}), name)
		if all := slices.Collect(find(t, from, everything).Settings()); !found.Explicit || found.Name != name || !slices.Contains(all, found) {
			t.Errorf("%s set to %s: found %v, in all %v", name, value, found, all)
		}
		quick := settingNamed(t, find(t, from, Question{Holds: HoldsParameters, Names: []string{name}, ValuesOnly: true}), name)
		for _, f := range []Setting{found, quick} {
			must(t, to, sql(t, nil, with(t, &i, nil, f.Name, f.Value)))
			if one, other := must(t, from, `SHOW "`+strings.ReplaceAll(name, ".", `"."`)+`"`), must(t, to, `SHOW "`+strings.ReplaceAll(name, ".", `"."`)+`"`); one != other {
				t.Errorf("%s is %q, and %q in the other session, after %v", name, one, other, f)
			}
			must(t, to, "RESET ALL")
		}
		must(t, from, "RESET ALL")
		if f := find(t, from, everything); f.Held() != 0 {
			t.Errorf("%s: after RESET found %v", name, slices.Collect(f.Settings()))
		}
	}
	t.Logf("%d parameters were checked", checked)
	if checked < 120 {
		t.Errorf("only %d parameters were checked", checked)
	}
}

func sets(t *testing.T, c *pgconn.PgConn, text string) error {
	t.Helper()
	_, err := run(t, c, text)
	return err
}

// otherValue is a value that a parameter hasn't got.
func otherValue(r [][]byte) string {
	name, setting := string(r[0]), string(r[2])
	if value, ok := others[name]; ok {
		return value
	}
	switch name {
	case "statement_timeout", "lock_timeout", "transaction_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout":
		return "3600001"
	case "jit_above_cost", "jit_inline_above_cost", "jit_optimize_above_cost":
		return "123456.5"
	case "max_stack_depth":
		return "1000"
	}
	switch string(r[1]) {
	case "bool":
		if setting == "on" {
			return "off"
		}
		return "on"
	case "integer", "real":
		low, _ := strconv.ParseFloat(string(r[3]), 64)
		high, _ := strconv.ParseFloat(string(r[4]), 64)
		now, _ := strconv.ParseFloat(setting, 64)
		if now+1 <= high {
			return fmt.Sprint(now + 1)
		}
		return fmt.Sprint((now + low) / 2)
	case "enum":
		if string(r[5]) != setting {
			return string(r[5])
		}
		return string(r[6])
	}
	return ""
}

func (s onServer) namesAndValuesKeepTheirEncoding(t *testing.T) {
	s.makeUnicode(t)
	const unencoded = "unencoded"
	const create = "CREATE DATABASE " + unencoded + " TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
	if err := s.postgres.Exec(t.Context(), "", create); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ database, encoding, bytes string }{
		{unicode, "UTF8", "ソ日本ä"},
		{unicode, "SJIS", "\x83\x5c\x95\x5c"}, // second bytes that are backslashes
		{unicode, "LATIN1", "\xe4\xf6"},
		{unicode, "SQL_ASCII", "\xc3\xa4"},
		{unencoded, "SQL_ASCII", "\xe4\xff\x83\x5c"},
		{unencoded, "UTF8", "ä"},
	}
	for _, tt := range tests {
		t.Run(tt.database+" "+tt.encoding, func(t *testing.T) {
			from, to := s.openAs(t, "boss", tt.database, "client_encoding", tt.encoding), s.openAs(t, "boss", tt.database, "client_encoding", "UTF8")
			must(t, from, `SET app.x TO '`+tt.bytes+`'; SET search_path TO "`+tt.bytes+`", x; LISTEN "`+tt.bytes+`"; PREPARE "`+tt.bytes+`" AS SELECT 1`)
			f := find(t, from, Question{Holds: Askable(), Names: []string{"app.x", "client_encoding"}, All: true})
			if got := slices.Collect(f.Channels()); !slices.Equal(got, []string{tt.bytes}) {
				t.Errorf("channels %q", got)
			}
			if got := slices.Collect(f.Statements()); !slices.Equal(got, []string{tt.bytes}) {
				t.Errorf("statements %q", got)
			}
			var i Interner
			p := with(t, &i, nil, "client_encoding", tt.encoding)
			for _, name := range []string{"app.x", "search_path"} {
				p = with(t, &i, p, name, settingNamed(t, f, name).Value)
			}
			must(t, to, sql(t, nil, p))
			const show = "SELECT current_setting('app.x') || current_setting('search_path')"
			if one, other := must(t, from, show), must(t, to, show); one != other || !strings.HasPrefix(one, tt.bytes) {
				t.Errorf("%q, and in the other session %q", one, other)
			}
		})
	}
}

func (s onServer) moreThanALimitIsRefused(t *testing.T) {
	c := s.openAs(t, "app", "")
	const listen = "DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE 'LISTEN x' || i; END LOOP; END $$"
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{fmt.Sprintf(listen, MaxFound), true},
		{fmt.Sprintf(listen, MaxFound+1), false},
		{"UNLISTEN *; SELECT set_config('app.x', repeat('x', 16384), false)", true},
		{"SELECT set_config('app.x', repeat('x', 16385), false)", false},
		{"SELECT set_config('app.x', repeat('x', 100000000), false)", false},
	} {
		must(t, c, tt.text)
		if _, ok := tryFind(t, c, Question{Holds: Askable(), Names: []string{"app.x"}}); ok != tt.ok {
			t.Errorf("%s: taken %t", tt.text, ok)
		}
	}
}
