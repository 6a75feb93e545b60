package proxy

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// The leak matrix: whatever a client leaves behind (leak_matrix_kinds), and
// however it leaves (leak_matrix_ways), the next client on that server finds
// nothing of it. The tables are in docs/compatibility.md, for transaction mode,
// and in docs/reliability.md, for session mode.

var updateLeakMatrix = flag.Bool("update", false, "write the tables of session state in docs/compatibility.md and docs/reliability.md anew")

// lane tries all kinds of state with one way of leaving: a proxy with a single
// server, before a database of its own.
type lane struct {
	t        *testing.T
	p        *pooler
	way      *way
	database string
	user     string // who leaves; who comes next is postgres
	fresh    []string
	reported map[string]string // at the login of a client on a fresh server
	pid      string            // of the server
	lasting  bool              // in session mode
}

// laneSettings: the clients of the user app are ended when they stall, and all
// servers are logged in as postgres, so they come from one pool.
const laneSettings = `
pool_mode = %s
default_pool_size = 1
session_audit = %s
[databases]
* = host=%s port=%d user=postgres
[users]
app = client_idle_timeout=0.1 idle_transaction_timeout=0.1 query_timeout=0.6
`

// inDatabase is what the kinds of state need there.
const inDatabase = `
	create table if not exists ledger (line text);
	create table if not exists counted (id serial);
	create sequence if not exists shared_sequence;
	create extension if not exists dblink;
	create extension if not exists pg_trgm;
	create or replace function remembers(name text) returns bool language plpgsql as
		$$begin return currval(name::regclass) > 0; exception when others then return false; end$$;
	create or replace function remembers_any() returns bool language plpgsql as
		$$begin return lastval() > 0; exception when others then return false; end$$;
	create table first_random as select setseed(0.42)::text, random() as number;
	select pg_replication_origin_create('of_' || current_database());
	create or replace function hidden_lock() returns void language plpgsql as $$begin perform pg_advisory_lock(4712); end$$;
	create or replace function hidden_table() returns void language plpgsql as $$begin create temp table hidden (a int); end$$;
	create or replace function hidden_set() returns void language plpgsql as $$begin set work_mem = '11MB'; end$$;
	create or replace function hidden_listen() returns void language plpgsql as $$begin listen mine; end$$;
`

func newLane(t *testing.T, w *way, database, mode, audit string) *lane {
	t.Helper()
	l := &lane{t: t, way: w, database: database, user: "postgres"}
	if w.stalls {
		l.user = "app"
	}
	l.makeDatabase()
	l.p = startPooler(t, fmt.Sprintf(laneSettings, mode, audit, postgres.Host(), postgres.Port()))
	next := l.client()
	l.fresh, l.pid, l.reported = next.findings(), next.query("select pg_backend_pid()"), next.params
	_ = next.conn.Close()
	return l
}

func (l *lane) makeDatabase() {
	l.t.Helper()
	if err := postgres.Exec(context.Background(), "postgres", "create database "+l.database); err != nil {
		l.t.Fatal(err)
	}
	k := l.direct()
	for _, a := range k.ask(simple(inDatabase)) {
		if a.typ == wire.ErrorResponse {
			l.t.Fatalf("%+v", wire.ParseReport(a.body))
		}
	}
	_ = k.conn.Close()
}

// direct is a client of Postgres itself.
func (l *lane) direct() *talker {
	return talk(l.t, postgres.Address(), wire.Param{Name: "database", Value: l.database})
}

// client is a client of the proxy who comes after another.
func (l *lane) client() *talker {
	return talk(l.t, l.p.address(), wire.Param{Name: "database", Value: l.database})
}

// apparent is what there is to be found in a session: a row for everything that
// one client could have from another.
const apparent = `
	select name || ' = ' || setting from pg_settings
	union all select 'current_user = ' || current_user
	union all select 'session_user = ' || session_user
	union all select 'app.tenant = ' || current_setting('app.tenant', true) where current_setting('app.tenant', true) <> ''
	union all select 'é takes ' || octet_length('é')
	union all select 'statement ' || name from pg_prepared_statements where from_sql
	union all select 'cursor ' || name from pg_cursors
	union all select 'channel ' || c from pg_listening_channels() c
	union all select 'lock ' || objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
	union all select 'relation ' || relname from pg_class where relnamespace = pg_my_temp_schema()
	union all select 'function ' || proname from pg_proc where pronamespace = pg_my_temp_schema()
	union all select 'type ' || typname from pg_type where typnamespace = pg_my_temp_schema()
	union all select 'currval' where remembers('shared_sequence')
	union all select 'lastval' where remembers_any()
	union all select 'connection ' || c from unnest(dblink_get_connections()) c
	union all select 'slot ' || slot_name from pg_replication_slots where active_pid = pg_backend_pid()
	union all select 'replication origin' where pg_replication_origin_session_is_setup()
	union all select 'line ' || line from ledger
	order by 1`

// warm calls what loads libraries, which have parameters of their own: a new
// server has to look like one that was used.
const warm = "select remembers('shared_sequence'), show_limit(), dblink_get_connections()"

// findings are what the session shows, and what it says besides. It is asked
// by named statements: a Query would drop the statement without a name.
func (k *talker) findings() []string {
	k.t.Helper()
	k.look("warm", warm)
	var list []string
	rest := ""
	for _, a := range k.look("apparent", apparent) {
		if a.typ == wire.DataRow {
			list = append(list, firstValue(a.body))
			continue
		}
		rest += types([]answer{a}) + " "
	}
	return append(list, "answered by "+rest)
}

// look asks by a statement with a name.
func (k *talker) look(name, text string) []answer {
	k.t.Helper()
	return k.ask(parse(name, text), bind("", name), execute("", 0), closeOf('S', name), syncNow)
}

// finds reports whether the answer to a question is true.
func (k *talker) finds(question string) bool {
	k.t.Helper()
	return slices.ContainsFunc(k.look("ask", question), func(a answer) bool { return a.typ == wire.DataRow && firstValue(a.body) == "t" })
}

// news are the findings that a fresh session doesn't have.
func news(findings, fresh []string) []string {
	return slices.DeleteFunc(slices.Clone(findings), func(f string) bool { return slices.Contains(fresh, f) })
}

// leaks has one client leave something, and says what the next one finds of it.
func (l *lane) leaks(kind *leftover) []string {
	seen := l.way.leave(l, kind)
	b := l.client()
	defer b.conn.Close() //nolint:errcheck // it has found what there is to be found
	b.doing = kind.name + ", " + l.way.name
	var found []string
	if kind.listens() {
		l.direct().run("notify mine, 'for the old one'")
	}
	expect := func(what, want string, messages ...pgproto3.FrontendMessage) {
		if got := types(b.ask(messages...)); got != want {
			found = append(found, fmt.Sprintf("%s is answered by %s", what, got))
		}
	}
	// What only an error would end is looked for first, then what a Query would.
	if kind.ask != "" && b.finds(kind.ask) {
		found = append(found, kind.ask)
	}
	first := b.findings()
	found = append(found, news(first, l.fresh)...)
	found = append(found, news(l.fresh, first)...)
	expect("a Bind of the statement without a name", "E:26000 Z:I", bind("", ""), execute("", 0), syncNow)
	expect("a Bind of a named statement", "E:26000 Z:I", bind("", "mine"), execute("", 0), syncNow)
	expect("an Execute of a named portal", "E:34000 Z:I", execute("mine", 0), syncNow)
	for name, value := range l.reported {
		if b.params[name] != value {
			found = append(found, fmt.Sprintf("%s is reported as %s", name, b.params[name]))
		}
	}
	pid := b.query("select pg_backend_pid()")
	for _, notice := range b.notices {
		found = append(found, "told "+notice)
	}
	for _, note := range b.heard {
		found = append(found, "notified of "+note.String())
	}
	kind.note(pid == l.pid)
	l.pid = pid
	seen()
	if len(found) > 0 {
		l.renew()
	}
	return found
}

// renew ends the server and what was committed, so that a leak is told once.
func (l *lane) renew() {
	l.direct().run("truncate ledger", "select pg_terminate_backend("+l.pid+")")
	eventually(l.t, "the server to be gone", func() bool { return l.p.Pools()[0].Pool.Open == 0 })
	next := l.client()
	l.pid = next.query("select pg_backend_pid()")
	_ = next.conn.Close()
}

// TestLeakMatrix tries everything with everything, in transaction mode.
func TestLeakMatrix(t *testing.T) {
	kinds := leftovers()
	cells := tryAll(t, kinds, func(int, int) bool { return true }, func(t *testing.T, i int) func(*leftover) *lane {
		l := newLane(t, &ways[i], fmt.Sprintf("lane%d", i), "transaction", "suspicious")
		looked := newLane(t, &ways[i], fmt.Sprintf("looked%d", i), "transaction", "always")
		return func(kind *leftover) *lane {
			if kind.hidden {
				return looked
			}
			return l
		}
	})
	if len(cells) == len(kinds)*len(ways) { // or else a way was given up, which the table mustn't hide
		compareTable(t, "../docs/compatibility.md", matrixTable(kinds, cells, " (`session_audit = always`)"))
	}
}

// In session mode all of it is to be found as long as the session lasts, and
// nothing after it, hidden or not, but for what DISCARD ALL doesn't end. Each
// kind is tried with one way, another one for the next; to write the table
// anew, with all.
func TestLeakMatrixOfSessions(t *testing.T) {
	kinds := leftovers()
	tries := func(kind, way int) bool { return *updateLeakMatrix || kind%len(ways) == way }
	cells := tryAll(t, kinds, tries, func(t *testing.T, i int) func(*leftover) *lane {
		l := newLane(t, &ways[i], fmt.Sprintf("session%d", i), "session", "suspicious")
		l.lasting = true
		return func(*leftover) *lane { return l }
	})
	const page = "../docs/reliability.md"
	if len(cells) == len(kinds)*len(ways) {
		compareTable(t, page, matrixTable(kinds, cells, ""))
		return
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		_, row, known := strings.Cut(string(text), "\n| "+kind.name+" | ")
		written := strings.Split(row, " | ")
		if !known || len(written) < len(ways) {
			t.Errorf("%s has no row %q", page, kind.name)
			continue
		}
		for i := range ways {
			if cell, tried := cells[kind.name+"/"+ways[i].name]; tried && cell != written[i] {
				t.Errorf("%s says %s of %s, %s, and not %s", page, written[i], kind.name, ways[i].name, cell)
			}
		}
	}
}

// tryAll tries kinds with ways as tries says, on the lanes that makes makes for
// the i-th way, and returns the cells by kind and way.
func tryAll(t *testing.T, kinds []*leftover, tries func(kind, way int) bool, makes func(t *testing.T, i int) func(*leftover) *lane) map[string]string {
	t.Helper()
	names := make(map[string]bool)
	for _, kind := range kinds {
		if names[kind.name] {
			t.Fatalf("two kinds are called %q", kind.name)
		}
		names[kind.name] = true
	}
	var mu sync.Mutex
	cells := make(map[string]string)
	t.Run("ways", func(t *testing.T) {
		for i := range slices.Backward(ways[:]) { // the slowest first
			w := &ways[i]
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				on := makes(t, i)
				for k, kind := range kinds {
					if !tries(k, i) {
						continue
					}
					cell := "-"
					if kind.goes(w) {
						cell = on(kind).cell(t, kind)
					}
					mu.Lock()
					cells[kind.name+"/"+w.name] = cell
					mu.Unlock()
				}
			})
		}
	})
	return cells
}

// cell tries one kind, and says what came of it.
func (l *lane) cell(t *testing.T, kind *leftover) string {
	t.Helper()
	found := l.leaks(kind)
	if len(found) > 0 {
		t.Errorf("%s, %s: the next client finds\n\t%s", kind.name, l.way.name, strings.Join(found, "\n\t"))
		return "LEAK"
	}
	return "0"
}

// What the matrix looks for shows where it is: with nobody between the client
// and the server, the session that was left something finds it.
func TestLeakMatrixFindsWhatIsThere(t *testing.T) {
	l := &lane{t: t, database: "unpooled"}
	l.makeDatabase()
	untouched := l.direct()
	fresh := untouched.findings()
	_ = untouched.conn.Close()
	for _, kind := range leftovers() {
		if len(kind.then) > 0 || kind.cancels {
			continue // the client isn't done and can't ask, or it has left nothing
		}
		eventually(t, "the session before to be gone", func() bool { // what it holds, nobody else can have
			return direct(t, "select count(*) from pg_stat_activity where datname = '"+l.database+"'") == "0"
		})
		k := dialTalker(t, postgres.Address())
		k.doing = kind.name
		kind.make(k, "postgres", l.database)
		if kind.ask != "" && k.finds(kind.ask) {
			_ = k.conn.Close()
			continue
		}
		if len(news(k.findings(), fresh)) == 0 {
			t.Errorf("%s: nothing of it shows", kind.name)
		}
		_ = k.conn.Close()
	}
}

const (
	tableBegin = "<!-- state: begin -->\n"
	tableEnd   = "<!-- state: end -->\n"
)

// matrixTable is the matrix in Markdown. remark is put behind what is hidden.
func matrixTable(kinds []*leftover, cells map[string]string, remark string) string {
	var b strings.Builder
	b.WriteString("\n| what is left |")
	for i := range ways {
		b.WriteString(" " + ways[i].name + " |")
	}
	b.WriteString(" the server |\n|---|" + strings.Repeat(":-:|", len(ways)) + "---|\n")
	tried, leaks, left := 0, 0, 0
	for _, kind := range kinds {
		b.WriteString("| " + kind.name)
		if kind.hidden {
			b.WriteString(remark)
		}
		b.WriteString(" |")
		for i := range ways {
			cell := cells[kind.name+"/"+ways[i].name]
			switch cell {
			case "0":
				tried++
			case "LEAK":
				tried++
				leaks++
			case "left":
				left++
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString(" " + kind.fate() + " |\n")
	}
	fmt.Fprintf(&b, "\n%d cells, %d leaks", tried, leaks)
	if left > 0 {
		fmt.Fprintf(&b, "; besides, %d cells of what `DISCARD ALL` doesn't end", left)
	}
	b.WriteString(".\n\n")
	return b.String()
}

// compareTable compares the table with that on a page, or writes it there.
func compareTable(t *testing.T, page, table string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(text), tableBegin)
	written, after, closed := strings.Cut(rest, tableEnd)
	switch {
	case !opened || !closed:
		t.Fatalf("%s has no lines %q and %q", page, tableBegin, tableEnd)
	case written == table:
	case *updateLeakMatrix:
		if err := os.WriteFile(page, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table than this, which `go test ./proxy -run LeakMatrix -args -update` writes:\n%s", page, table)
	}
}
