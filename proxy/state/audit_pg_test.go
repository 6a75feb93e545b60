package state

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// TestAuditOnPostgres holds what an audit finds, and what is left after a
// cleaning, against a server.
func TestAuditOnPostgres(t *testing.T) {
	s := onServer{pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}, {Name: "other"}, {Name: "boss", Superuser: true}}})}
	if err := s.postgres.Exec(t.Context(), "", "CREATE EXTENSION dblink; GRANT other TO app; CREATE SEQUENCE advanced; GRANT ALL ON SEQUENCE advanced TO app;"+hostileSchema); err != nil {
		t.Fatal(err)
	}
	t.Run("EveryKindIsFoundAndCleaned", s.everyKindIsFoundAndCleaned)
	t.Run("NothingIsFoundWhereNothingIsLeft", s.nothingIsFoundWhereNothingIsLeft)
	t.Run("NothingInTheSessionIsInTheWay", s.nothingInTheSessionIsInTheWay)
	t.Run("AuditChangesNothing", s.auditChangesNothing)
	t.Run("AuditWaitsForNobody", s.auditWaitsForNobody)
	t.Run("SettingsAreTold", s.settingsAreTold)
	t.Run("EverySettingCanBeGivenToAnotherSession", s.everySettingCanBeGivenToAnotherSession)
	t.Run("NamesAndValuesKeepTheirEncoding", s.namesAndValuesKeepTheirEncoding)
	t.Run("MoreThanALimitIsRefused", s.moreThanALimitIsRefused)
	t.Run("CleaningTakesItsTime", s.cleaningTakesItsTime)
	t.Run("SequencesAndSeedAreForgotten", s.sequencesAndSeedAreForgotten)
	t.Run("CleaningOfAnythingIsDiscardAll", s.cleaningOfAnythingIsDiscardAll)
	t.Run("TargetedCleaningLeavesTheRest", s.targetedCleaningLeavesTheRest)
}

// version is the server's major version.
func version(t testing.TB, c *pgconn.PgConn) int {
	t.Helper()
	number, err := strconv.Atoi(strings.FieldsFunc(c.ParameterStatus("server_version"), func(r rune) bool { return r < '0' || r > '9' })[0])
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// find asks a question and collects the answer.
func find(t testing.TB, c *pgconn.PgConn, q Question) *Findings {
	t.Helper()
	f, ok := tryFind(t, c, q)
	if !ok {
		t.Fatal("the answer was refused")
	}
	return f
}

func tryFind(t testing.TB, c *pgconn.PgConn, q Question) (*Findings, bool) {
	t.Helper()
	text := asked(t, q)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results, err := c.Exec(ctx, text).ReadAll()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	f := new(Findings)
	for _, r := range results {
		for _, columns := range r.Rows {
			body := make([]string, len(columns))
			for i, value := range columns {
				if body[i] = string(value); value == nil {
					body[i] = null
				}
			}
			if !f.Row(row(body...)) {
				return f, false
			}
		}
	}
	return f, true
}

// cleanText is the text of the query that AppendClean makes.
func cleanText(t testing.TB, h Holdings) string {
	t.Helper()
	out, ok := AppendClean([]byte("before"), h)
	if !ok {
		t.Fatalf("%v can't be cleaned", h.names())
	}
	return queryText(t, out)
}

// clean cleans a session, and fails the test if that doesn't work.
func clean(t testing.TB, c *pgconn.PgConn, h Holdings) {
	t.Helper()
	text := cleanText(t, h)
	if _, err := c.Exec(t.Context(), text).ReadAll(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// lasting are the ways to leave something in a session.
var lasting = []struct {
	holds Holdings
	since int // version of Postgres
	make  string
}{
	{HoldsTemporary, 0, "CREATE TEMP TABLE x (a int)"},
	{HoldsTemporary, 0, "CREATE TABLE pg_temp.x (a int)"},
	{HoldsTemporary, 0, "CREATE TEMP TABLE x AS SELECT 1"},
	{HoldsTemporary, 0, "SELECT 1 AS a INTO TEMP x"},
	{HoldsTemporary, 0, "CREATE TEMP VIEW x AS SELECT 1"},
	{HoldsTemporary, 0, "CREATE TEMP SEQUENCE x"},
	{HoldsTemporary, 0, "SET search_path TO pg_temp; CREATE TABLE x (a int); RESET search_path"},
	{HoldsTemporary, 0, "CREATE FUNCTION pg_temp.x() RETURNS int LANGUAGE sql AS 'SELECT 1'"},
	{HoldsTemporary, 11, "CREATE PROCEDURE pg_temp.x() LANGUAGE sql AS 'SELECT 1'"},
	{HoldsTemporary, 0, "CREATE AGGREGATE pg_temp.x(int) (sfunc = int4pl, stype = int)"},
	{HoldsTemporary, 0, "CREATE TYPE pg_temp.x AS (a int)"},
	{HoldsTemporary, 0, "CREATE TYPE pg_temp.x AS ENUM ('a')"},
	{HoldsTemporary, 0, "CREATE TYPE pg_temp.x AS RANGE (subtype = text)"},
	{HoldsTemporary, 0, "CREATE DOMAIN pg_temp.x AS int"},
	{HoldsTemporary, 0, "CREATE OPERATOR pg_temp.@@@ (leftarg = int, rightarg = int, procedure = pg_catalog.int4pl)"},
	{HoldsTemporary, 0, `CREATE COLLATION pg_temp.x FROM "C"`},
	{HoldsTemporary, 0, "CREATE TEXT SEARCH CONFIGURATION pg_temp.x (copy = pg_catalog.simple)"},
	{HoldsTemporary, 0, "CREATE TEXT SEARCH DICTIONARY pg_temp.x (template = pg_catalog.simple)"},
	{HoldsTemporary, 0, "DO $$ BEGIN CREATE TEMP TABLE x (a int); END $$"},
	{HoldsTemporary, 0, "BEGIN; CREATE TEMP TABLE x (a int); SAVEPOINT a; DROP TABLE x; ROLLBACK TO a; COMMIT"},
	{HoldsAdvisoryLocks, 0, "SELECT pg_advisory_lock(1)"},
	{HoldsAdvisoryLocks, 0, "SELECT pg_advisory_lock_shared(1, 2)"},
	{HoldsAdvisoryLocks, 0, "SELECT pg_try_advisory_lock(1)"},
	{HoldsAdvisoryLocks, 0, "SELECT pg_try_advisory_lock_shared(-1)"},
	{HoldsAdvisoryLocks, 0, "SELECT pg_advisory_lock(1), pg_advisory_lock(1); SELECT pg_advisory_unlock(1)"},
	{HoldsAdvisoryLocks, 0, "BEGIN; SELECT pg_advisory_lock(1); ROLLBACK"},
	{HoldsAdvisoryLocks, 0, "DO $$ BEGIN PERFORM pg_advisory_lock(g) FROM generate_series(1, 100) g; END $$"},
	{HoldsCursors, 0, "DECLARE x CURSOR WITH HOLD FOR SELECT 1"},
	{HoldsCursors, 0, "BEGIN; DECLARE x SCROLL CURSOR WITH HOLD FOR SELECT * FROM pg_class; COMMIT"},
	{HoldsListens, 0, "LISTEN x"},
	{HoldsListens, 0, `BEGIN; LISTEN "X y"; COMMIT`},
	{HoldsListens, 0, "DO $$ BEGIN LISTEN x; END $$"},
	{HoldsStatements, 0, "PREPARE x AS SELECT 1"},
	{HoldsStatements, 0, "BEGIN; PREPARE x(int) AS SELECT $1; ROLLBACK"},
	{HoldsParameters, 0, "SET statement_timeout TO '10min'"},
	{HoldsParameters, 0, "SELECT set_config('TimeZone', 'Asia/Kolkata', false)"},
	{HoldsParameters, 0, "SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE"},
	{HoldsParameters, 0, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"},
	{HoldsParameters, 0, "SET ROLE other"},
	{HoldsParameters, 0, "DO $$ BEGIN SET work_mem TO '5MB'; END $$"},
	{HoldsParameters, 0, "UPDATE pg_settings SET setting = 'on' WHERE name = 'enable_seqscan' AND false; UPDATE pg_settings SET setting = 'off' WHERE name = 'enable_seqscan'"},
}

// everything is the question that asks for all that can be asked.
var everything = Question{Holds: Askable(), All: true}

func (s onServer) everyKindIsFoundAndCleaned(t *testing.T) {
	c := s.openAs(t, "app", "")
	for _, l := range lasting {
		if version(t, c) < l.since {
			continue
		}
		t.Run(l.make, func(t *testing.T) {
			if f := find(t, c, everything); f.Held() != 0 {
				t.Fatalf("held before: %v", f.Held().names())
			}
			must(t, c, l.make)
			if got := find(t, c, everything).Held(); got != l.holds {
				t.Errorf("found %v, want %v", got.names(), l.holds.names())
			}
			if got := find(t, c, Question{Holds: l.holds, All: true}).Held(); got != l.holds {
				t.Errorf("asked for it alone: found %v", got.names())
			}
			if got := find(t, c, Question{Holds: Askable() &^ l.holds, All: true}).Held(); got != 0 {
				t.Errorf("asked for all else: found %v", got.names())
			}
			clean(t, c, l.holds)
			if l.holds == HoldsParameters {
				must(t, c, "RESET ROLE; RESET ALL")
			}
			if f := find(t, c, everything); f.Held() != 0 {
				t.Errorf("held after: %v", f.Held().names())
			}
		})
	}
}

func (s onServer) openAs(t *testing.T, user, database string, settings ...string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(s.postgres.URL(user, database))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(settings); n += 2 {
		config.RuntimeParams[settings[n]] = settings[n+1]
	}
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (s onServer) nothingIsFoundWhereNothingIsLeft(t *testing.T) {
	c := s.openAs(t, "app", "", "statement_timeout", "1h", "options", "-c work_mem=4321kB -c app.start=1")
	for _, text := range []string{
		"BEGIN; CREATE TEMP TABLE x (a int); CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ROLLBACK",
		"BEGIN; CREATE TEMP TABLE x (a int) ON COMMIT DROP; COMMIT",
		"CREATE TEMP TABLE x (a serial PRIMARY KEY, b text); CREATE TEMP VIEW v AS SELECT * FROM x; DROP TABLE x CASCADE",
		"CREATE TEMP TABLE x (a int); DISCARD TEMP",
		"SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock_shared(1, 2)",
		"SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)",
		"BEGIN; LISTEN x; ROLLBACK",
		"LISTEN x; UNLISTEN x",
		"BEGIN; DECLARE x CURSOR FOR SELECT 1; COMMIT",
		"BEGIN; DECLARE x CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
		"PREPARE x AS SELECT 1; DEALLOCATE x",
		"BEGIN; SET TimeZone TO 'Asia/Kolkata'; SET ROLE other; SET app.x TO 1; ROLLBACK",
		"BEGIN; SET LOCAL TimeZone TO 'Asia/Kolkata'; SET LOCAL ROLE other; SET LOCAL app.y TO 1; COMMIT",
		"SET statement_timeout TO 5; RESET statement_timeout",
		"SET work_mem TO '5MB'; RESET ALL",
		"SET ROLE other; SET ROLE NONE",
		"SET ROLE other; RESET ROLE",
		"SET SESSION AUTHORIZATION app; RESET SESSION AUTHORIZATION",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"SET seed TO 0.5",
	} {
		must(t, c, text)
		if f := find(t, c, Question{Holds: Askable(), All: true, Names: []string{"app.x", "app.y"}}); f.Held() != 0 {
			t.Errorf("%s\nleft %v %v", text, f.Held().names(), slices.Collect(f.Settings()))
		}
	}
}

// hostileSchema has what a query that doesn't say which function, table or
// operator it means might take.
const hostileSchema = `
	CREATE SCHEMA hostile; GRANT ALL ON SCHEMA hostile TO public;
	CREATE FUNCTION hostile.no() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'a function of the session was called'; END $$;
	DO $$
	DECLARE f text; x text; o text;
	BEGIN
		FOREACH f IN ARRAY '{"pg_lock_status()","pg_backend_pid()","pg_cursor()","pg_my_temp_schema()","pg_listening_channels()",
			"pg_prepared_statement()","pg_show_all_settings()","pg_stat_get_activity(int)","pg_get_userbyid(oid)","current_setting(text)",
			"current_setting(text,bool)","left(text,int)","strpos(text,text)","unnest(text[])","set_config(text,text,bool)",
			"pg_advisory_unlock_all()","setseed(float8)","hashfloat8(float8)","date_part(text,timestamptz)","clock_timestamp()"}'::text[] LOOP
			EXECUTE format('CREATE FUNCTION hostile.%s RETURNS bool LANGUAGE sql AS ''SELECT hostile.no()''', f);
		END LOOP;
		FOREACH x IN ARRAY '{text,name,int,oid,float8}'::text[] LOOP
			EXECUTE format('CREATE FUNCTION hostile.compare(%s,%s) RETURNS bool LANGUAGE sql AS ''SELECT hostile.no()''', x, x);
			FOREACH o IN ARRAY '{=,<>,>,<,/}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR hostile.%s (leftarg = %s, rightarg = %s, procedure = hostile.compare)', o, x, x);
			END LOOP;
		END LOOP;
		FOREACH x IN ARRAY '{pg_locks,pg_cursors,pg_depend,pg_settings,pg_prepared_statements,pg_stat_activity}'::text[] LOOP
			EXECUTE format('CREATE VIEW hostile.%s AS SELECT hostile.no()', x);
		END LOOP;
	END $$;
	CREATE DOMAIN hostile.text AS int; CREATE DOMAIN hostile.float8 AS text; CREATE DOMAIN hostile.oid AS text; CREATE DOMAIN hostile.name AS int;`

// settled are sessions in which a careless query would fail, be slow or be
// fooled.
var settled = []struct{ name, set string }{
	{"nothing", ""},
	{"hostile search_path", "SET search_path TO hostile, pg_temp, pg_catalog"},
	{"empty search_path", "SET search_path TO ''"},
	{"another role", "SET ROLE other"},
	{"another user", "SET SESSION AUTHORIZATION other"},
	{"another user and role", "SET SESSION AUTHORIZATION app; SET ROLE other"},
	{"serializable", "SET default_transaction_isolation TO serializable; SET default_transaction_read_only TO on; SET default_transaction_deferrable TO on"},
	{"strings", "SET standard_conforming_strings TO off; SET backslash_quote TO off; SET escape_string_warning TO on; SET quote_all_identifiers TO on"},
	{"SJIS", "SET client_encoding TO 'SJIS'"},
	{"SQL_ASCII", "SET client_encoding TO 'SQL_ASCII'"},
	{"row security", "SET row_security TO off"},
	{"planner", "SET enable_hashjoin TO off; SET enable_mergejoin TO off; SET enable_nestloop TO off; SET enable_seqscan TO off; SET enable_indexscan TO off"},
	{"odd", "SET transform_null_equals TO on; SET array_nulls TO off; SET IntervalStyle TO sql_standard; SET DateStyle TO 'Postgres, DMY'; SET TimeZone TO '<x>-3'"},
	{"messages", "SET client_min_messages TO debug5"},
	{"replication role", "SET session_replication_role TO replica"},
	{"low limits", "SET lock_timeout TO 1; SET work_mem TO 64; SET max_stack_depth TO 100; SET statement_timeout TO '1s'"},
}

func (s onServer) nothingInTheSessionIsInTheWay(t *testing.T) {
	s.makeUnicode(t)
	const load = `CREATE TEMP TABLE x (a int); SELECT pg_catalog.pg_advisory_lock(1); DECLARE x CURSOR WITH HOLD FOR SELECT a FROM x;
		LISTEN x; PREPARE x AS SELECT 1; CREATE FUNCTION pg_temp.pg_lock_status() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TEMP TABLE pg_depend (a int)`
	if err := s.postgres.Exec(t.Context(), unicode, hostileSchema+"GRANT TEMP ON DATABASE "+unicode+" TO public"); err != nil {
		t.Fatal(err)
	}
	const held = HoldsTemporary | HoldsAdvisoryLocks | HoldsCursors | HoldsListens | HoldsStatements
	for _, tt := range settled {
		t.Run(tt.name, func(t *testing.T) {
			c := s.openAs(t, "boss", unicode)
			must(t, c, load)
			must(t, c, tt.set)
			f := find(t, c, Question{Holds: Askable(), Names: []string{"app.x", "TimeZone", "role"}, All: true})
			if got := f.Held() &^ HoldsParameters; got != held {
				t.Errorf("found %v", got.names())
			}
			if want := tt.set != ""; (f.Held()&HoldsParameters != 0) != want {
				t.Errorf("parameters are set: %t, want %t: %v", !want, want, slices.Collect(f.Settings()))
			}
			find(t, c, Question{Holds: HoldsParameters, Names: []string{"app.x", "TimeZone", "role"}, ValuesOnly: true})
			before := slices.Collect(f.Settings())
			clean(t, c, held|HoldsSeed|HoldsSequences)
			f = find(t, c, Question{Holds: Askable(), Names: []string{"app.x", "TimeZone", "role"}, All: true})
			if got := f.Held() &^ HoldsParameters; got != 0 {
				t.Errorf("found %v after cleaning", got.names())
			}
			if after := slices.Collect(f.Settings()); !slices.Equal(before, after) {
				t.Errorf("cleaning changed the settings from %v\nto %v", before, after)
			}
			c = s.openAs(t, "boss", unicode)
			must(t, c, load)
			must(t, c, tt.set)
			clean(t, c, HoldsAnything)
			if f := find(t, c, Question{Holds: Askable(), Names: []string{"app.x"}, All: true}); f.Held() != 0 {
				t.Errorf("found %v %v after cleaning of anything", f.Held().names(), slices.Collect(f.Settings()))
			}
		})
	}
}

func (s onServer) auditChangesNothing(t *testing.T) {
	c := s.openAs(t, "app", "")
	before := s.ask(t, c)
	find(t, c, Question{Holds: Askable(), Names: []string{"app.new", "TimeZone", "nonsense"}, All: true})
	find(t, c, Question{Holds: HoldsParameters, Names: []string{"app.new", "TimeZone", "nonsense"}, ValuesOnly: true})
	if got := changes(before, s.ask(t, c)); got != 0 {
		t.Errorf("changed %v", got.names())
	}
	if got := must(t, c, "SELECT pg_my_temp_schema()"); got != "0" {
		t.Error("made a temporary schema")
	}
	if _, err := run(t, c, "SHOW app.new"); err == nil {
		t.Error("made a parameter")
	}
}

// The defaults of a transaction may make it wait for those of others.
func (s onServer) auditWaitsForNobody(t *testing.T) {
	other := s.openAs(t, "boss", "")
	must(t, other, "CREATE TABLE busy (a int)")
	must(t, other, "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO busy VALUES (1)")
	t.Cleanup(func() {
		if err := s.postgres.Exec(context.Background(), "", "SELECT pg_terminate_backend("+strconv.Itoa(int(other.PID()))+")"); err != nil {
			t.Error(err)
		}
	})
	c := s.openAs(t, "app", "")
	must(t, c, "SET default_transaction_isolation TO serializable; SET default_transaction_read_only TO on; SET default_transaction_deferrable TO on")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.openAs(t, "app", "").Exec(ctx, "SET default_transaction_isolation TO serializable; SET default_transaction_read_only TO on;"+
		"SET default_transaction_deferrable TO on; COMMIT; SELECT 1").ReadAll(); err == nil {
		t.Error("nobody would have had to wait")
	}
	find(t, c, everything)
	clean(t, c, HoldsAdvisoryLocks|HoldsTemporary|HoldsSeed)
	clean(t, c, HoldsAnything)
}

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
		{"app", "SET app.x TO 1; RESET app.x", "app.x", Setting{"app.x", "", false}, Setting{"app.x", "", false}},
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
		if text := "SELECT set_config('" + name + "', " + string(appendLiteral(nil, value)) + ", false)"; sets(t, from, text) != nil {
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

// BenchmarkAuditOnPostgres measures a question and its answer, over loopback TCP.
// "nothing" is what a round trip costs.
func BenchmarkAuditOnPostgres(b *testing.B) {
	s := onServer{pgtest.Start(b, pgserver.Options{})}
	c, err := pgconn.Connect(b.Context(), s.postgres.URL("", ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	set := Question{Holds: HoldsParameters, Names: []string{"TimeZone", "app.x"}}
	values, timeout, role, user, all := set, set, set, set, everything
	values.ValuesOnly = true
	timeout.Names, role.Names, user.Names = []string{"statement_timeout"}, []string{"role"}, []string{"session_authorization"}
	all.Names = set.Names
	for _, m := range []struct{ name, text string }{
		{"nothing", "SELECT 1"},
		{"locks", asked(b, Question{Holds: HoldsAdvisoryLocks})},
		{"temporary", asked(b, Question{Holds: HoldsTemporary})},
		{"cursors", asked(b, Question{Holds: HoldsCursors})},
		{"channels", asked(b, Question{Holds: HoldsListens})},
		{"statements", asked(b, Question{Holds: HoldsStatements})},
		{"all but parameters", asked(b, Question{Holds: Askable() &^ HoldsParameters})},
		{"two parameters", asked(b, set)},
		{"two parameters, values only", asked(b, values)},
		{"statement_timeout", asked(b, timeout)},
		{"role", asked(b, role)},
		{"session_authorization", asked(b, user)},
		{"all parameters", asked(b, Question{Holds: HoldsParameters, All: true})},
		{"everything and two names", asked(b, all)},
		{"clean locks", cleanText(b, HoldsAdvisoryLocks)},
		{"clean temporary", cleanText(b, HoldsTemporary)},
		{"clean all that is targeted", cleanText(b, HoldsAnything&^(HoldsLibraries|HoldsConnections))},
		{"clean anything", cleanText(b, HoldsAnything)},
		{"DISCARD ALL", "DISCARD ALL"},
	} {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Exec(b.Context(), m.text).ReadAll(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
