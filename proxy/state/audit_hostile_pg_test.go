package state

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"
)

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
