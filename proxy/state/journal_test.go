package state

import (
	"fmt"
	"strings"
	"testing"
)

// scribe tells a Journal of scripts. A script is statements separated by
// semicolons, and in between what else the server says: "error", and "I", "T"
// or "E" for ReadyForQuery. A statement with "-> TAG" has another tag than its
// own.
type scribe struct {
	journal    Journal
	classifier Classifier
	answers    []string
}

func (s *scribe) write(script string) string {
	s.answers = nil
	for word := range strings.SplitSeq(script, ";") {
		word = strings.TrimSpace(word)
		switch word {
		case "error":
			s.journal.Failed(nil)
		case "I", "T", "E":
			stood, known := s.journal.Ready(word[0])
			switch {
			case !known && len(stood) > 0:
				s.answers = append(s.answers, "an answer that isn't known")
			case !known:
				s.answers = append(s.answers, "unknown")
			case word == "I":
				s.answers = append(s.answers, shorthand(stood))
			case len(stood) > 0:
				s.answers = append(s.answers, "an answer too early")
			}
		default:
			text, tag, _ := strings.Cut(word, " -> ")
			effects := s.classifier.Classify([]byte(text), Dialect{})
			for i := range effects {
				s.journal.Done(&effects[i], []byte(tag))
			}
		}
	}
	return strings.Join(s.answers, " | ")
}

func TestJournal(t *testing.T) {
	for _, test := range []struct {
		name string
		rows [][2]string
	}{
		{"transactions of one query", [][2]string{
			{"I", ""},
			{"listen a; I", "listen a"},
			{"listen a; listen b; unlisten a; unlisten *; I", "listen a; listen b; unlisten a; unlisten all"},
			{"error; I", ""},
			{"listen a; error; I; I", " | "},
			{"listen a; error; I; listen b; I", " | listen b"},
			{"listen a; commit; listen b; error; I", "listen a"},
			{"listen a; rollback; listen b; I", "listen b"},
			{"listen a; begin; listen b; T; rollback; I", ""},
			{"listen a; begin; listen b; T; commit; I", "listen a; listen b"},
		}},
		{"blocks", [][2]string{
			{"begin; T; listen a; T; listen b; T; commit; I", "listen a; listen b"},
			{"begin; T; listen a; T; rollback; I; listen b; I", " | listen b"},
			{"begin; T; listen a; T; error; E; rollback; I", ""},
			{"begin; T; listen a; T; error; E; commit -> ROLLBACK; I", ""},
			{"begin; T; listen a; T; error; I", ""}, // of the commit
			{"begin; listen a; commit; begin; listen b; T; rollback; I", "listen a"},
			{"begin; T; listen a; commit; begin; listen b; error; E; rollback; I", "listen a"},
			{"begin; T; listen a; commit and chain; T; listen b; T; rollback and chain; T; listen c; T; commit; I", "listen a; listen c"},
			{"begin; T; unlisten a; T; prepare transaction 'x' -> PREPARE TRANSACTION; I", "unlisten a"},
			{"begin; T; listen a; T; error; E; prepare transaction 'x' -> ROLLBACK; I", ""},
			{"begin; T; savepoint s; listen a; T; error; E; rollback to s; unlisten a; prepare transaction 'x'; I", "unlisten a"},
			{"unlisten a; prepare transaction 'x' -> ROLLBACK; unlisten b; error; I", "unlisten a"},
			{"begin; error; E; rollback; unlisten a; prepare transaction 'x' -> ROLLBACK; rollback; I", "unlisten a"},
			{"begin; unlisten a; error; E; rollback; unlisten b; prepare transaction 'x' -> ROLLBACK; rollback; I", "unlisten b"},
		}},
		{"savepoints", [][2]string{
			{"begin; listen a; savepoint s; listen b; rollback to s; listen c; commit; I", "listen a; listen c"},
			{"begin; listen a; savepoint s; listen b; release s; listen c; commit; I", "listen a; listen b; listen c"},
			{"begin; listen a; savepoint s; listen b; T; error; E; rollback to s; T; commit; I", "listen a"},
			{"begin; listen a; savepoint s; listen b; rollback to s; listen c; rollback to s; commit; I", "listen a"},
			// The same name twice.
			{"begin; listen a; savepoint s; listen b; savepoint s; listen c; rollback to s; release s; rollback to s; commit; I", "listen a"},
			{"begin; listen a; savepoint s; savepoint s; listen b; rollback to s; release s; listen c; rollback to s; listen d; commit; I", "listen a; listen d"},
			{"begin; listen a; savepoint s; savepoint s; release s; listen b; release s; rollback to s; listen c; commit; I", "listen c"},
			{"begin; listen a; savepoint s; savepoint t; savepoint s; listen b; release t; listen c; rollback to s; commit; I", "listen a"},
			{"begin; listen a; savepoint s; listen b; savepoint s; listen c; rollback to s; commit; I", "listen a; listen b"},
			// Older than what is kept.
			{"begin; savepoint s; listen a; rollback to s; listen b; commit; I", "listen b"},
			{"begin; savepoint s; listen a; release s; listen b; commit; I", "listen a; listen b"},
			{"begin; savepoint s; listen a; savepoint s; listen b; rollback to s; release s; rollback to s; listen c; commit; I", "listen c"},
			{"begin; savepoint s; savepoint t; listen a; savepoint u; listen b; rollback to t; rollback to s; commit; I", ""},
			{"begin; savepoint r; savepoint s; listen a; savepoint t; listen b; release s; listen c; rollback to r; listen d; commit; I", "listen d"},
			// What is younger goes with it, and no longer hides one of the same name.
			{"begin; savepoint t; savepoint x; listen a; savepoint t; listen b; release x; listen c; rollback to t; commit; I", ""},
			{"begin; savepoint t; listen a; savepoint s; savepoint s; savepoint t; listen b; release s; rollback to t; commit; I", ""},
			{"begin; savepoint t; savepoint x; listen a; savepoint t; rollback to x; listen b; listen c; rollback to t; commit; I", ""},
			{"savepoint s; rollback to s; I", ""},
			{`begin; listen a; savepoint "A"; listen b; savepoint a; listen c; rollback to "A"; commit; I`, "listen a"},
			// A new transaction doesn't know the old one's.
			{"begin; listen a; commit and chain; listen b; savepoint s; listen c; rollback to s; commit; I", "listen a; listen b"},
			{"begin; listen a; savepoint s; commit and chain; savepoint s; listen b; rollback to s; listen c; commit; I", "listen a; listen c"},
			{"begin; listen a; savepoint s; rollback and chain; savepoint s; listen b; rollback to s; listen c; commit; I", "listen c"},
		}},
		{"what can't be known", [][2]string{
			{"listen a; vacuum; I; listen b; I", "unknown | listen b"},
			{"vacuum; listen a; I", "listen a"},
			{"listen a; call p(); I", "unknown"},
			{"listen a; call p(); error; I", "unknown"},
			{"call p(); do 'x'; I", ""},
			{"begin; T; listen a; T; do 'x'; T; commit; I; I", "unknown | "},
			{"listen a; commit; do 'x'; rollback; I", "unknown"},
			{"begin; listen a; savepoint \u00e4; commit; I", "unknown"},
			{"begin; listen a; savepoint \u00e4; rollback; listen b; I", "listen b"},
			{"begin; listen a; savepoint \"\u00e4\"; T; error; I", ""},
			{"begin; savepoint \u00e4; listen a; commit; I", "listen a"},
			{"discard all; I", "discard all"},
			{"discard all; listen a; I", "discard all; listen a"},
			{"discard all; error; I", "unknown"},
			{"discard all; I; error; I", "discard all | "},
			{"listen a; discard all; I", "unknown"},
		}},
		{"what isn't kept", [][2]string{
			{"set a.b = 1; I", ""},
			{"set a.b = 1; prepare s as select 1; deallocate s; notify a; select pg_advisory_lock(1); I", ""},
			{"set a.b = 1; listen a; reset a.b; I", "listen a"},
		}},
	} {
		for _, row := range test.rows {
			var s scribe
			if got := s.write(row[0]); got != row[1] {
				t.Errorf("%s: %s\n got %s\nwant %s", test.name, row[0], got, row[1])
			}
			if s.journal.Busy() {
				t.Errorf("%s: %s\nthe journal is busy", test.name, row[0])
			}
		}
	}
}

func TestJournalOfOtherKinds(t *testing.T) {
	for _, row := range [][2]string{
		{"set a.b = 1; I", "set a.b=1"},
		{"begin; set a.b = 1; set local a.b = 2; savepoint s; reset a.b; rollback to s; select set_config('c.d', '3', false); commit; I", "set a.b=1; set c.d=3"},
		{"reset all; error; I", ""},
		// Prepared statements stay whatever becomes of the transaction, and from
		// when they were prepared on.
		{"begin; T; set a.b = 1; prepare s (int) as select $1; T; rollback; I", "prepare s"},
		{"begin; T; listen a; prepare s as select 1; deallocate t; T; commit; I", "prepare s; deallocate t; listen a"},
		{"begin; T; listen a; savepoint s; listen b; prepare s as select 1; rollback to s; deallocate all; error; E; rollback; I", "prepare s; deallocate all"},
		{"discard all; prepare s as select 1; I", "discard all; prepare s"},
		{"set a.b = 1; update pg_settings set setting = 1; I", "unknown"},
		{"set search_path = pg_temp; I", "set search_path=pg_temp"},
	} {
		s := scribe{journal: Journal{Keeps: HoldsListens | HoldsParameters | HoldsStatements}}
		if got := s.write(row[0]); got != row[1] {
			t.Errorf("%s\n got %s\nwant %s", row[0], got, row[1])
		}
	}
}

// The last statement of a query fails if the commit behind it does, and then a
// PREPARE has been done all the same.
func TestJournalDoubtsFailuresOfWhatLasts(t *testing.T) {
	for _, test := range []struct {
		keeps Holdings
		text  string
		known bool
	}{
		{HoldsStatements, "prepare s as select 1", false},
		{HoldsStatements, "deallocate s", false},
		{HoldsStatements | HoldsListens, "listen a", true},
		{HoldsListens, "prepare s as select 1", true},
	} {
		var classifier Classifier
		j := Journal{Keeps: test.keeps}
		j.Failed(classifier.Classify([]byte(test.text), Dialect{}))
		if stood, known := j.Ready('I'); len(stood) != 0 || known != test.known {
			t.Errorf("%s: got %s, %v", test.text, shorthand(stood), known)
		}
		if stood, known := j.Ready('I'); len(stood) != 0 || !known {
			t.Errorf("%s: and then %s, %v", test.text, shorthand(stood), known)
		}
	}
}

// What a client can make grow has an end, and then the answer is that nothing
// is known; unless nothing came to stand.
func TestJournalIsBounded(t *testing.T) {
	many := func(n int, statement func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(statement(i) + ";")
		}
		return b.String()
	}
	listen := func(i int) string { return fmt.Sprintf("listen c%d", i) }
	mark := func(i int) string { return fmt.Sprintf("savepoint s%d", i) }
	long := func(i int) string { return fmt.Sprintf("set a.b = '%s'", strings.Repeat("x", 4000)) }
	row := func(int) string { return "savepoint s" }
	chain := func(i int) string { return listen(i) + "; commit and chain" }
	prepare := func(i int) string { return fmt.Sprintf("prepare s%d as select 1", i) }
	for _, test := range []struct{ name, script, want string }{
		{"deeds", "begin;" + many(maxJournalDeeds+1, listen) + "commit; I", "unknown"},
		{"deeds rolled back", "begin;" + many(maxJournalDeeds+1, listen) + "rollback; listen a; I", "listen a"},
		{"deeds of a failure", "begin;" + many(maxJournalDeeds+1, listen) + "error; I", ""},
		{"deeds of many transactions", "begin;" + many(maxJournalDeeds+1, chain) + "T; commit; I", "unknown"},
		{"deeds that last", "begin;" + many(maxJournalDeeds+1, prepare) + "T; rollback; I", "unknown"},
		{"savepoints", "begin; listen a;" + many(maxJournalSavepoints+1, mark) + "rollback to s3; commit; I", "unknown"},
		{"savepoints of one name", "begin; listen a;" + many(10*maxJournalSavepoints, row) + "listen b; rollback to s; commit; I", "listen a"},
		{"savepoints before", "begin;" + many(maxJournalSavepoints+1, mark) + "listen a; rollback to s3; commit; I", ""},
		{"values", many(17, long) + "I", "unknown"},
		{"values taken back", "set a.b = 1;" + strings.Repeat("savepoint s;"+many(15, long)+"rollback to s;", 20) + "I", "set a.b=1"},
	} {
		s := scribe{journal: Journal{Keeps: HoldsListens | HoldsParameters | HoldsStatements}}
		if got := s.write(test.script); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got[:min(len(got), 200)], test.want)
		}
		if got := s.write("listen z; I"); got != "listen z" {
			t.Errorf("%s: and then %s", test.name, got)
		}
		if s.journal.deeds != nil || s.journal.savepoints != nil || s.journal.size != 0 {
			t.Errorf("%s: something is left: %+v", test.name, s.journal)
		}
	}
}

// What is answered belongs to the caller, and the text it was read from may
// change.
func TestJournalCopiesWhatItKeeps(t *testing.T) {
	var classifier Classifier
	var j Journal
	text := []byte(`listen "Ab"`)
	j.Done(&classifier.Classify(text, Dialect{})[0], []byte("LISTEN"))
	copy(text, "unlisten xx")
	classifier.Classify([]byte("listen other"), Dialect{})
	first, _ := j.Ready('I')
	var s scribe
	s.journal = j
	s.write("listen b; I")
	if got := shorthand(first); got != "listen Ab" {
		t.Errorf("got %s", got)
	}
}

func TestJournalIsFreeUntilSomethingIsKept(t *testing.T) {
	var classifier Classifier
	effects := CloneEffects(nil, classifier.Classify([]byte("begin; savepoint a; set a.b = 1; vacuum; do 'x'; rollback to a; release a; commit"), Dialect{}))
	var j Journal
	allocated := testing.AllocsPerRun(100, func() {
		for i := range effects {
			j.Done(&effects[i], nil)
		}
		j.Failed(effects)
		if stood, known := j.Ready('I'); stood != nil || !known || j.Busy() {
			t.Fatalf("got %v, %v", stood, known)
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestJournalFollows(t *testing.T) {
	var classifier Classifier
	for text, want := range map[string]bool{
		"begin": false, "commit": true, "rollback to a": true, "savepoint a": true, "release a": true, "prepare transaction 'a'": true,
		"commit prepared 'a'": true, "vacuum": true, "do 'x'": true, "listen a": true, "unlisten *": true, "discard all": true,
		"set a.b = 1": false, "prepare a as select 1": false, "notify a": false, "create temp table t (a int)": false,
	} {
		var j Journal
		if got := j.Follows(&classifier.Classify([]byte(text), Dialect{})[0]); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
