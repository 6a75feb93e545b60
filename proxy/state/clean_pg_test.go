package state

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

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

// A timeout that the client has set doesn't stop the cleaning.
func (s onServer) cleaningTakesItsTime(t *testing.T) {
	c := s.openAs(t, "app", "")
	const many = "DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE 'CREATE TEMP TABLE x' || i || ' (a int PRIMARY KEY)'; END LOOP; END $$"
	must(t, c, many)
	must(t, c, "SET statement_timeout TO 10")
	if version(t, c) < 13 {
		return // the timeout is for the query as a whole
	}
	if _, err := run(t, c, "DISCARD TEMP"); err == nil || sqlState(err) != "57014" {
		t.Fatalf("cleaning needs less than the timeout: %v", err)
	}
	clean(t, c, HoldsTemporary)
	if got := must(t, c, "SHOW statement_timeout"); got != "10ms" {
		t.Errorf("statement_timeout is %s after cleaning", got)
	}
	if f := find(t, c, Question{Holds: HoldsTemporary}); f.Held() != 0 {
		t.Error("not cleaned")
	}
	// The login may have the timeout too.
	c = s.openAs(t, "app", "", "statement_timeout", "10")
	must(t, c, "SET statement_timeout TO 0")
	must(t, c, many)
	clean(t, c, HoldsAnything)
	if got := must(t, c, "SHOW statement_timeout"); got != "10ms" {
		t.Errorf("statement_timeout is %s after cleaning of anything", got)
	}
}

func (s onServer) sequencesAndSeedAreForgotten(t *testing.T) {
	c := s.openAs(t, "app", "")
	for _, h := range []Holdings{HoldsSequences | HoldsSeed, HoldsAnything} {
		numbers := make(map[string]bool)
		for range 3 {
			must(t, c, "SELECT nextval('advanced'), setseed(0.5)")
			clean(t, c, h)
			if _, err := run(t, c, "SELECT lastval()"); err == nil || sqlState(err) != "55000" {
				t.Errorf("lastval() after cleaning: %v", err)
			}
			numbers[must(t, c, "SELECT random()")] = true
		}
		must(t, c, "SELECT setseed(0.5)")
		numbers[must(t, c, "SELECT random()")] = true
		if len(numbers) != 4 {
			t.Errorf("random() can be foretold: %v", numbers)
		}
	}
}

// After the cleaning of anything a session is as after DISCARD ALL.
func (s onServer) cleaningOfAnythingIsDiscardAll(t *testing.T) {
	const configure = "ALTER ROLE app SET work_mem TO '5MB'; ALTER ROLE app SET statement_timeout TO '1h'; ALTER ROLE app SET role TO other; GRANT app TO boss"
	if err := s.postgres.Exec(t.Context(), "", configure); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.postgres.Exec(t.Context(), "", "ALTER ROLE app RESET ALL"); err != nil {
			t.Error(err)
		}
	}()
	for _, user := range []string{"app", "boss"} {
		c := s.openAs(t, user, "", "application_name", "initial", "options", "-c app.start=1")
		before := s.ask(t, c)
		for _, l := range lasting {
			if version(t, c) < l.since {
				continue
			}
			must(t, c, l.make)
			if user == "boss" {
				must(t, c, "RESET ROLE; SET log_min_duration_statement TO 5; SET app.start TO 2; SET SESSION AUTHORIZATION app; SET work_mem TO '3MB'")
			}
			clean(t, c, HoldsAnything)
			if got := changes(before, s.ask(t, c)); got != 0 {
				t.Errorf("%s: %s\nleft %v:\n%s\n%s", user, l.make, got.names(), before[got], s.ask(t, c)[got])
			}
		}
	}
}

// What is cleaned is what was asked for.
func (s onServer) targetedCleaningLeavesTheRest(t *testing.T) {
	c := s.openAs(t, "app", "")
	const load = `CREATE TEMP TABLE x (a int); SELECT pg_advisory_lock(1); DECLARE x CURSOR WITH HOLD FOR SELECT a FROM x; LISTEN x; PREPARE x AS SELECT 1;
		SET TimeZone TO 'Asia/Kolkata'; SELECT nextval('advanced')`
	for _, h := range []Holdings{HoldsCursors, HoldsStatements, HoldsListens, HoldsAdvisoryLocks, HoldsTemporary, HoldsSequences} {
		clean(t, c, HoldsAnything)
		must(t, c, load)
		before := s.ask(t, c)
		clean(t, c, h)
		if got := changes(before, s.ask(t, c)); got != h {
			t.Errorf("cleaning %v changed %v", h.names(), got.names())
		}
	}
}
