package state

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// TestClassifyOnPostgres holds the classifier against a server.
func TestClassifyOnPostgres(t *testing.T) {
	s := onServer{pgtest.Start(t, pgserver.Options{
		Roles:    []pgserver.Role{{Name: "app"}},
		Settings: map[string]string{"statement_timeout": "20s"}, // for what doesn't end
	})}
	s.makeWorld(t)
	t.Run("EveryChangeIsForetold", s.everyChangeIsForetold)
	t.Run("ValuesAreWhatPostgresTakes", s.valuesAreWhatPostgresTakes)
	t.Run("WhatLastsIsForetold", s.whatLastsIsForetold)
	t.Run("KeywordsAreQuotedAsPostgresDoes", s.keywordsAreQuotedAsPostgresDoes)
}

// world is what the statements of the tests are about.
const world = `
	DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public;
	CREATE EXTENSION dblink; CREATE EXTENSION tablefunc; CREATE EXTENSION pg_trgm;
	CREATE SEQUENCE s; CREATE SEQUENCE used; SELECT setval('used', 7);
	CREATE TABLE t (a int, b text, c text); INSERT INTO t VALUES (1, 'one', ''), (2, 'two', '');
	CREATE TABLE x (a int); CREATE TABLE u (a int); CREATE TABLE "nextval" (a int); CREATE TABLE "temp" (a int);
	CREATE TABLE books (isbn text, author text, title text, price numeric);
	CREATE TABLE serial (id serial PRIMARY KEY, a int);
	CREATE TABLE parted (a int) PARTITION BY RANGE (a);
	CREATE VIEW v AS SELECT a FROM t;
	CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
	CREATE PROCEDURE p(int) LANGUAGE sql AS 'SELECT 1';
	CREATE PROCEDURE leaving() LANGUAGE sql AS 'SELECT pg_advisory_lock(9)';
	CREATE TYPE mood AS ENUM ('sad');`

func (s onServer) makeWorld(t *testing.T) {
	t.Helper()
	if err := s.postgres.Exec(t.Context(), "", world); err != nil {
		t.Fatal(err)
	}
}

// remake makes the world anew if the effects may have changed it.
func (s onServer) remake(t *testing.T, effects []Effect) {
	t.Helper()
	for _, e := range effects {
		switch e.Kind {
		case KindUnsure, KindChangeSchema, KindDrop, KindAlone:
			s.makeWorld(t)
			return
		}
	}
}

// witness is what a server says that one of its sessions holds, by what it is.
type witness map[Holdings]string

// witnesses are the queries that ask. Each gives one line.
var witnesses = map[Holdings]string{
	HoldsParameters: `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) || session_user || ' ' || current_user || ' ' || current_setting('role') ||
		coalesce(current_setting('pg_trgm.similarity_threshold', true), '0.3') ||
		(SELECT string_agg(coalesce(current_setting(n, true), ''), ' ') FROM unnest('{app.a,x.y,X.y,a.b,c.d,d.e,session.x,local.x,time.x,session.auth}'::text[]) n)
		FROM pg_settings WHERE name NOT LIKE '%.%' AND name NOT LIKE 'transaction_%' AND source <> 'override' OR name = 'search_path'`,
	HoldsStatements:    `SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements`,
	HoldsCursors:       `SELECT string_agg(name, ' ' ORDER BY name) FROM pg_cursors WHERE is_holdable`,
	HoldsListens:       `SELECT string_agg(c, ' ' ORDER BY c) FROM pg_listening_channels() c`,
	HoldsTemporary:     `SELECT string_agg(n, ' ' ORDER BY n) FROM (SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() UNION SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema() UNION SELECT typname FROM pg_type WHERE typnamespace = pg_my_temp_schema()) o(n)`,
	HoldsAdvisoryLocks: `SELECT string_agg(objid::text || mode, ' ' ORDER BY objid, mode) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`,
	HoldsLibraries:     `SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain.%'`,
	HoldsConnections:   `SELECT array_to_string(public.dblink_get_connections(), ' ')`,
	HoldsSequences:     `SELECT lastval()`,
}

// ask asks all witnesses about the session of c.
func (s onServer) ask(t *testing.T, c *pgconn.PgConn) witness {
	t.Helper()
	w := make(witness)
	for what, query := range witnesses {
		value, err := run(t, c, query)
		if err != nil {
			value = sqlState(err) // no lastval yet, no rights, the transaction is aborted
		}
		w[what] = value
	}
	return w
}

// changes is what differs between two witnesses.
func changes(before, after witness) (out Holdings) {
	for what := range before {
		if before[what] != after[what] {
			out |= what
		}
	}
	return out
}

func sqlState(err error) string {
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
		return refused.Code
	}
	return err.Error()
}

// names writes the names of holdings.
func (h Holdings) names() string {
	all := []string{"parameters", "statements", "cursors", "listens", "temporary", "locks", "libraries", "sequences", "seed", "connections"}
	var out []string
	for i, n := range all {
		if h&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, "+")
}

// everyChangeIsForetold runs statements in sessions of their own, and compares
// what the server says of the session afterwards with what the classifier said
// before. What a statement left behind must be in Makes or Ends; what surely is
// there must be there, unless the corpus says why not.
func (s onServer) everyChangeIsForetold(t *testing.T) {
	ran, changed := 0, 0
	for _, test := range corpus() {
		var classifier Classifier
		effects := CloneEffects(nil, classifier.Classify([]byte(test.text), Dialect{}))
		c := s.open(t, "")
		if test.before != "" {
			must(t, c, test.before)
		}
		before := s.ask(t, c)
		tags, err := s.tags(t, c, test.text)
		if err == nil {
			ran++
			s.checkGrammar(t, test.text, effects, classifier.Statements(), tags)
		}
		if c.TxStatus() != 'I' {
			must(t, c, "COMMIT")
		}
		got := changes(before, s.ask(t, c))
		if s.seeded(t, c, test, err) {
			got |= HoldsSeed
		}
		var makes, surely, ends Holdings
		for i := range effects {
			makes |= effects[i].Makes()
			ends |= effects[i].Ends()
			if effects[i].Exact {
				surely |= effects[i].Makes()
			}
		}
		if got != 0 {
			changed++
		}
		if missed := got &^ (makes | ends); missed != test.hidden {
			t.Errorf("%s\nchanged %s unforetold, want %q\nclassified as %s", test.text, missed.names(), test.hidden.names(), shorthand(effects))
		}
		if idle := surely &^ got; err == nil && idle != test.idle {
			t.Errorf("%s\ndidn't change %s, want %q\nclassified as %s", test.text, idle.names(), test.idle.names(), shorthand(effects))
		}
		_ = c.Close(context.Background())
		s.remake(t, effects)
	}
	t.Logf("%d statements, of which %d ran and %d changed their session", len(corpus()), ran, changed)
	if ran < 250 || changed < 120 {
		t.Errorf("only %d ran, and %d changed something", ran, changed)
	}
}

// tags runs a text and returns the command tags of its statements.
func (s onServer) tags(t *testing.T, c *pgconn.PgConn, text string) (tags []string, err error) {
	t.Helper()
	reader := c.Exec(t.Context(), text)
	for reader.NextResult() {
		tag, err := reader.ResultReader().Close()
		if err == nil {
			tags = append(tags, tag.String())
		}
	}
	return tags, reader.Close()
}

// checkGrammar checks the classifier's reading of a text that Postgres has
// accepted: as many statements, and none that it can't read.
func (s onServer) checkGrammar(t *testing.T, text string, effects []Effect, statements int, tags []string) {
	t.Helper()
	for _, e := range effects {
		switch e.Reason {
		case ReasonSyntax, ReasonIncomplete, ReasonAmbiguous, ReasonUnknownStatement:
			t.Errorf("%s\nis fine with Postgres, and said to be %s", text, e.Reason)
		}
	}
	if len(tags) != statements && statements > 0 && !strings.Contains(strings.ToUpper(text), "COPY") && len(tags) > 0 {
		t.Errorf("%s\nhas %d statements for Postgres %v, and %d for us", text, len(tags), tags, statements)
	}
}

// seeded reports whether random() is no longer random after a statement: it
// gives the same in another session.
func (s onServer) seeded(t *testing.T, c *pgconn.PgConn, test statement, err error) bool {
	t.Helper()
	if err != nil || !strings.Contains(strings.ToLower(test.text), "seed") {
		return false
	}
	other := s.open(t, "")
	defer other.Close(context.Background())
	must(t, other, test.text)
	return must(t, c, "SELECT random()") == must(t, other, "SELECT random()")
}

// valuesAreWhatPostgresTakes gives the values of exact settings to set_config in
// another session, which has to have the same then.
func (s onServer) valuesAreWhatPostgresTakes(t *testing.T) {
	checked := 0
	for _, test := range corpus() {
		var classifier Classifier
		effects := classifier.Classify([]byte(test.text), Dialect{})
		if len(effects) != 1 || effects[0].Kind != KindSet || !effects[0].Exact || effects[0].Scope != ScopeSession || effects[0].Bound != [3]uint16{} || test.before != "" {
			continue
		}
		name := string(effects[0].Name)
		a, b := s.open(t, ""), s.open(t, "")
		_, wanted := run(t, a, test.text)
		_, err := run(t, b, "SELECT set_config("+string(AppendLiteral(nil, name))+", "+string(AppendLiteral(nil, string(effects[0].Value)))+", false)")
		if refusal(wanted) != refusal(err) {
			t.Errorf("%s: %v, and with %q: %v", test.text, wanted, effects[0].Value, err)
		} else if wanted == nil {
			checked++
			show := "SELECT current_setting(" + string(AppendLiteral(nil, name)) + ")"
			if want, got := must(t, a, show), must(t, b, show); got != want {
				t.Errorf("%s: %q, and with %q: %q", test.text, want, effects[0].Value, got)
			}
		}
		_, _ = a.Close(context.Background()), b.Close(context.Background())
	}
	t.Logf("%d values", checked)
	if checked < 40 {
		t.Errorf("only %d values were compared", checked)
	}
}

// refusal says whether there is an error.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	return "refused"
}

// whatLastsIsForetold runs statements in transactions that are rolled back.
func (s onServer) whatLastsIsForetold(t *testing.T) {
	for _, test := range corpus() {
		var classifier Classifier
		effects := CloneEffects(nil, classifier.Classify([]byte(test.text), Dialect{}))
		if slices.ContainsFunc(effects, func(e Effect) bool {
			return e.Kind >= KindBegin && e.Kind <= KindRollbackPrepared || e.Kind == KindAlone
		}) {
			continue
		}
		var lasts Holdings
		for i := range effects {
			if effects[i].Lasts() {
				lasts |= effects[i].Makes() | effects[i].Ends()
			}
		}
		c := s.open(t, "")
		if test.before != "" {
			must(t, c, test.before)
		}
		before := s.ask(t, c)
		must(t, c, "BEGIN")
		_, _ = run(t, c, test.text)
		must(t, c, "ROLLBACK")
		if got := changes(before, s.ask(t, c)) &^ (lasts | test.hidden); got != 0 {
			t.Errorf("%s\nleft %s after a rollback; classified as %s", test.text, got.names(), shorthand(effects))
		}
		_ = c.Close(context.Background())
	}
}

// keywordsAreQuotedAsPostgresDoes compares the list of keywords.
func (s onServer) keywordsAreQuotedAsPostgresDoes(t *testing.T) {
	words, err := s.postgres.Value(t.Context(), "", "SELECT string_agg(word, ' ' ORDER BY word) FROM pg_get_keywords() WHERE catcode <> 'U'")
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]bool)
	for _, w := range strings.Fields(quotedKeywords) {
		ours[w] = true
	}
	for _, w := range strings.Fields(words) {
		if !ours[w] {
			t.Errorf("%s is missing", w)
		}
		delete(ours, w)
	}
	for w := range maps.Keys(ours) {
		// Words of later versions.
		if !strings.HasPrefix(w, "json") && w != "merge_action" && w != "system_user" {
			t.Errorf("%s isn't a keyword", w)
		}
	}
}
