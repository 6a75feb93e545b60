package state

import (
	"context"
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
		"BEGIN; SET TimeZone TO 'Asia/Kolkata'; SET ROLE other; ROLLBACK", // custom ones stay, and are empty
		"BEGIN; SET LOCAL TimeZone TO 'Asia/Kolkata'; SET LOCAL ROLE other; COMMIT",
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
