package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// TestJournalOnPostgres plays random scripts on a server and compares what a
// Journal says with what the server says, each time it is idle.
func TestJournalOnPostgres(t *testing.T) {
	s := onServer{pgtest.Start(t, pgserver.Options{Settings: map[string]string{"max_prepared_transactions": "10"}})}
	const world = `CREATE TABLE once (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
		CREATE PROCEDURE committing() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
		CREATE PROCEDURE undoing() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; END';`
	if err := s.postgres.Exec(t.Context(), "", world); err != nil {
		t.Fatal(err)
	}
	const all = HoldsListens | HoldsParameters | HoldsStatements
	for _, test := range []struct {
		name    string
		keeps   Holdings
		scripts int
		words   []string
		doubts  bool // whether it may be that what stands isn't known
	}{
		{"Channels", 0, 1000, plainWords, false},
		{"ChannelsAndParameters", HoldsListens | HoldsParameters, 1000, plainWords, false},
		{"Everything", all, 500, plainWords, true},
		{"Doubtful", all, 500, slices.Concat(plainWords, doubtfulWords), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.newPlayer(t, test.keeps)
			p.playScripts(test.scripts, test.words)
			t.Logf("%d scripts, compared %d times, not known %d times", test.scripts, p.asked, p.unknown)
			if p.asked < 2*test.scripts || (p.unknown > 0) != test.doubts || p.unknown > p.asked/5 {
				t.Error("too few comparisons, or the wrong number of doubts")
			}
		})
	}
}

// plainWords are the statements of scripts, those that come more often more
// often.
var plainWords = []string{
	"LISTEN a", "LISTEN b", "LISTEN c", "LISTEN \"A b\"", "UNLISTEN a", "UNLISTEN b", "UNLISTEN *",
	"SET app.x = 1", "SET app.x = 2", "SET SESSION app.y = 'one'", "RESET app.x", "RESET ALL", "SET LOCAL app.x = 9",
	"SELECT set_config('app.y', 'two', false)", "SELECT set_config('app.y', 'three', true)",
	"PREPARE p AS SELECT 1", "PREPARE q AS SELECT 1", "DEALLOCATE p", "DEALLOCATE ALL",
	"BEGIN", "START TRANSACTION", "COMMIT", "END", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
	"SAVEPOINT s", "SAVEPOINT t", "SAVEPOINT u", "RELEASE s", "RELEASE t", "RELEASE u",
	"ROLLBACK TO s", "ROLLBACK TO t", "ROLLBACK TO u",
	"SELECT 1", "SELECT 1/0", "nonsense", "NOTIFY a", "INSERT INTO once VALUES (1), (1)",
	"PREPARE TRANSACTION 'two'",
}

// likelyWords are what half of the statements are taken from, by what the
// server's status is before them, so that transactions become long.
var likelyWords = map[byte][]string{
	'I': {"BEGIN", "BEGIN", "LISTEN a", "SET app.x = 3"},
	'T': {
		"SAVEPOINT s", "SAVEPOINT s", "SAVEPOINT t", "LISTEN a", "LISTEN b", "UNLISTEN a", "SET app.x = 4", "SET app.y = 'four'",
		"RELEASE s", "ROLLBACK TO s", "ROLLBACK TO t", "SELECT 1/0",
	},
	'E': {"ROLLBACK TO s", "ROLLBACK TO s", "ROLLBACK TO t", "ROLLBACK", "COMMIT"},
}

// doubtfulWords are those after which it may not be known what stands.
var doubtfulWords = []string{
	"VACUUM once", "VACUUM once", "DISCARD ALL", "DISCARD ALL", "DO 'BEGIN NULL; END'", "CALL committing()", "CALL committing()", "CALL undoing()",
	"ROLLBACK PREPARED 'two'",
}

// standing is what a session has: the channels, parameters and statements that
// there are. Nothing is the same as empty.
type standing struct {
	channels, statements map[string]bool
	parameters           map[string]string
}

func newStanding() standing {
	return standing{make(map[string]bool), make(map[string]bool), make(map[string]string)}
}

func (s standing) String() string {
	list := func(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ",") }
	return list(s.channels) + "/" + s.parameters["app.x"] + "/" + s.parameters["app.y"] + "/" + list(s.statements)
}

// do makes a deed of a journal stand.
func (s standing) do(e *Effect) {
	switch name := string(e.Name); e.Kind {
	case KindListen:
		s.channels[name] = true
	case KindUnlisten:
		delete(s.channels, name)
	case KindUnlistenAll:
		clear(s.channels)
	case KindSet:
		s.parameters[name] = string(e.Value)
	case KindReset:
		delete(s.parameters, name)
	case KindResetAll:
		clear(s.parameters)
	case KindPrepare:
		s.statements[name] = true
	case KindDeallocate:
		delete(s.statements, name)
	case KindDeallocateAll:
		clear(s.statements)
	case KindDiscardAll:
		clear(s.channels)
		clear(s.parameters)
		clear(s.statements)
	}
}

// standsQuery asks a server what String of a standing says.
const standsQuery = `SELECT (SELECT coalesce(string_agg(c, ',' ORDER BY c COLLATE "C"), '') FROM pg_listening_channels() c)
	|| '/' || coalesce(current_setting('app.x', true), '') || '/' || coalesce(current_setting('app.y', true), '') || '/' ||
	(SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_prepared_statements WHERE from_sql)`

// readStanding reads what String or standsQuery gives.
func readStanding(text string) standing {
	s := newStanding()
	parts := strings.Split(text, "/")
	for i, set := range []map[string]bool{0: s.channels, 3: s.statements} {
		if set != nil && parts[i] != "" {
			for name := range strings.SplitSeq(parts[i], ",") {
				set[name] = true
			}
		}
	}
	s.parameters["app.x"], s.parameters["app.y"] = parts[1], parts[2]
	return s
}

// player plays scripts in one session.
type player struct {
	t          *testing.T
	front      *pgproto3.Frontend
	journal    Journal
	classifier Classifier
	// lazy: the journal isn't told about transactions while it isn't busy.
	lazy   bool
	status byte
	played []string
	value  string // the last value that came

	// What has come to stand as far as the journal says.
	stands         standing
	asked, unknown int
}

func (s onServer) newPlayer(t *testing.T, keeps Holdings) *player {
	t.Helper()
	hijacked, err := s.open(t, "").Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hijacked.Conn.Close() })
	return &player{t: t, front: hijacked.Frontend, status: 'I', journal: Journal{Keeps: keeps}}
}

// playScripts plays scripts of random words. After each the session has nothing
// left.
func (p *player) playScripts(scripts int, words []string) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, uint64(len(words))<<16|uint64(p.journal.Keeps)))
	word := func() string {
		from := words
		if random.IntN(2) == 0 {
			from = likelyWords[p.status]
		}
		return from[random.IntN(len(from))]
	}
	for n := range scripts {
		p.lazy = random.IntN(2) == 0
		p.played, p.stands = []string{fmt.Sprintf("seed %d, script %d", seed, n)}, newStanding()
		for range 4 + random.IntN(16) {
			texts := make([]string, 1+random.IntN(4)*random.IntN(2))
			for i := range texts {
				texts[i] = word()
			}
			p.play(texts, random.IntN(ways))
		}
		for p.status != 'I' {
			p.play([]string{[]string{"COMMIT", "ROLLBACK"}[random.IntN(2)]}, random.IntN(ways))
		}
		p.unheard("DISCARD ALL")
		p.unheard("ROLLBACK PREPARED 'two'")
	}
}

// The ways to send statements.
const (
	asQuery     = iota // one Query
	asPipeline         // an Execute each, and one Sync
	asSuspended        // the same, but for one row
	ways               // their number
)

// play sends statements, tells the journal what becomes of them, and compares
// if the server is idle then.
func (p *player) play(texts []string, way int) {
	var effects [][]Effect // by statement
	if way == asQuery {
		texts = []string{strings.Join(texts, "; ")}
	}
	for _, text := range texts {
		all := CloneEffects(nil, p.classifier.Classify([]byte(text), Dialect{}))
		per := make([][]Effect, p.classifier.Statements())
		for _, e := range all {
			per[e.Statement] = append(per[e.Statement], e)
		}
		if strings.Contains(text, "nonsense") {
			clear(per) // nothing of it is executed
		}
		effects = append(effects, per...)
		p.send(text, way)
	}
	p.played = append(p.played, fmt.Sprintf("%d: %s", way, strings.Join(texts, " + ")))
	if way != asQuery {
		p.front.Send(&pgproto3.Sync{})
	}
	p.receive(effects, true)
	p.played[len(p.played)-1] += " -> " + string(p.status)
	stood, known := p.journal.Ready(p.status)
	if p.status != 'I' {
		if len(stood) != 0 {
			p.t.Errorf("an answer too early: %s", shorthand(stood))
		}
		return
	}
	for i := range stood {
		p.stands.do(&stood[i])
	}
	p.compare(known)
}

// compare asks the server what stands.
func (p *player) compare(known bool) {
	p.unheard(standsQuery)
	p.asked++
	server := readStanding(p.value)
	if !known {
		p.unknown++
		p.stands = server
		return
	}
	if p.journal.kinds()&HoldsParameters == 0 {
		clear(server.parameters)
	}
	if p.journal.kinds()&HoldsStatements == 0 {
		clear(server.statements)
	}
	if got, want := p.stands.String(), server.String(); got != want {
		p.t.Fatalf("the journal says %s, the server %s, after\n%s", got, want, strings.Join(p.played, "\n"))
	}
}

// unheard sends a query of which the journal isn't told.
func (p *player) unheard(query string) {
	p.send(query, asQuery)
	p.receive(nil, false)
}

func (p *player) send(text string, way int) {
	if way == asQuery {
		p.front.Send(&pgproto3.Query{String: text})
		return
	}
	p.front.Send(&pgproto3.Parse{Query: text})
	p.front.Send(&pgproto3.Bind{})
	var rows uint32
	if way == asSuspended {
		rows = 1
	}
	p.front.Send(&pgproto3.Execute{MaxRows: rows})
}

// receive reads up to ReadyForQuery.
func (p *player) receive(effects [][]Effect, heard bool) {
	if err := p.front.Flush(); err != nil {
		p.t.Fatal(err)
	}
	statement := 0
	done := func(tag string) {
		if heard {
			for i := range effects[statement] {
				p.tell(&effects[statement][i], tag)
			}
		}
		statement++
	}
	for {
		message, err := p.front.Receive()
		if err != nil {
			p.t.Fatal(err)
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			p.value = string(m.Values[0])
		case *pgproto3.CommandComplete:
			done(string(m.CommandTag))
		case *pgproto3.PortalSuspended:
			done("")
		case *pgproto3.ErrorResponse:
			if heard {
				var failed []Effect
				if statement < len(effects) {
					failed = effects[statement]
				}
				p.journal.Failed(failed)
			}
		case *pgproto3.ReadyForQuery:
			p.status = m.TxStatus
			return
		}
	}
}

// tell tells the journal what was done.
func (p *player) tell(e *Effect, tag string) {
	if !p.journal.Follows(e) || p.lazy && !p.journal.Busy() && !p.journal.keeps(e) {
		return
	}
	p.journal.Done(e, []byte(tag))
}
