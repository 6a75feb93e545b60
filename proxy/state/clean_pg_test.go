package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

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

// A timeout that the client has set doesn't stop the cleaning.
func (s onServer) cleaningTakesItsTime(t *testing.T) {
	c := s.openAs(t, "app", "")
	const many = "DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE 'CREATE TEMP TABLE x' || i || ' (a int PRIMARY KEY)'; END LOOP; END $$;"
	must(t, c, many)
	must(t, c, "SET statement_timeout TO 10")
	if _, err := run(t, c, "DISCARD TEMP"); err == nil || sqlState(err) != "57014" {
		t.Fatalf("cleaning needs less than the timeout: %v", err)
	}
	for _, h := range []Holdings{HoldsTemporary, HoldsAnything} {
		clean(t, c, h)
		must(t, c, "RESET statement_timeout;"+many+"SET statement_timeout TO 10")
	}
	clean(t, c, HoldsTemporary)
	if got := must(t, c, "SHOW statement_timeout"); got != "10ms" {
		t.Errorf("statement_timeout is %s after cleaning", got)
	}
	if f := find(t, c, Question{Holds: HoldsTemporary}); f.Held() != 0 {
		t.Error("not cleaned")
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
