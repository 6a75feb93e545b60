package proxy

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// leftover is something that a client leaves behind when it goes.
type leftover struct {
	name    string
	startup []wire.Param
	// texts are sent as Queries or, behind "x:", in the extended protocol.
	texts []string
	// then is sent behind them, and leaves the client in the middle of something.
	then []pgproto3.FrontendMessage
	// cut is how much of the encoded then isn't sent, in bytes.
	cut int
	// until is the type of the message that is awaited behind then; 0: none.
	until byte
	// busy marks the query that then starts, which is awaited to run.
	busy string
	// cancels: a cancel request is on its way when the client goes.
	cancels bool
	// notified: somebody else has notified the channel mine.
	notified bool
	// hidden: no text shows it, and it is found where session_audit is always.
	hidden bool
	// ask is a query with the answer t for who finds it, besides what findings
	// has for all.
	ask string
	// stays are the ways that a client in this state can't go.
	stays []string

	mu             sync.Mutex
	kept, replaced bool // what has become of the server: guarded by mu
}

// listens reports whether the client listens on the channel mine.
func (o *leftover) listens() bool {
	return slices.ContainsFunc(o.texts, func(text string) bool { return strings.Contains(text, "listen") })
}

// isSQL reports whether psql can leave this.
func (o *leftover) isSQL() bool {
	extended := func(text string) bool { return strings.HasPrefix(text, "x:") }
	return len(o.startup) == 0 && len(o.then) == 0 && !o.cancels && !o.notified && !slices.ContainsFunc(o.texts, extended)
}

// make logs a client in and has it leave something, all in one write: a client
// with a time limit mustn't run into it meanwhile. It returns the key for
// cancel requests.
func (o *leftover) make(k *talker, user, database string) (key []byte) {
	k.t.Helper()
	list := []wire.Param{{Name: "user", Value: user}, {Name: "database", Value: database}}
	b := wire.AppendStartup(nil, wire.Protocol30, append(list, o.startup...))
	for _, text := range o.texts {
		if rest, extended := strings.CutPrefix(text, "x:"); extended {
			b = append(b, encode(k.t, parse("", rest), bind("", ""), execute("", 0), syncNow)...)
			continue
		}
		b = append(b, encode(k.t, simple(text))...)
	}
	b = append(b, encode(k.t, o.then...)...)
	k.send(b[:len(b)-o.cut])
	for range 1 + len(o.texts) {
		for _, a := range k.until("Z") {
			if a.typ == wire.BackendKeyData {
				key = slices.Clone(a.body)
			}
		}
	}
	if o.until != 0 {
		k.until(string(o.until))
	}
	return key
}

// note takes down whether the next client had the same server.
func (o *leftover) note(kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept, o.replaced = o.kept || kept, o.replaced || !kept
}

// fate is what has become of the server. One that can be kept may be replaced
// all the same, if the client vanishes while it is asked what is there.
func (o *leftover) fate() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.kept:
		return "kept"
	case o.replaced:
		return "replaced"
	}
	return "-"
}

// leftovers are all that the matrix tries: those that pin first (left).
func leftovers() []*leftover {
	var list []*leftover
	for i := range left {
		list = append(list, &leftover{name: left[i].name, texts: left[i].make, ask: left[i].ask})
	}
	return slices.Concat(list, otherState(), parameterState(), unfinished())
}

// Kinds of one name would share their cells, and the table wouldn't be compared.
func TestLeakMatrixKindsDiffer(t *testing.T) {
	names := make(map[string]bool)
	for _, kind := range leftovers() {
		if names[kind.name] {
			t.Errorf("two kinds are called %q", kind.name)
		}
		names[kind.name] = true
	}
}

// held asks for an advisory lock.
const held = "select count(*) > 0 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"

// seeded asks for the number that random() begins with after setseed(0.42).
const seeded = "select random() = number from first_random"

// otherState is of all kinds.
func otherState() []*leftover {
	long := "/*" + strings.Repeat("*", 300<<10) + "*/ "
	return []*leftover{
		{name: "temporary table and another role", texts: []string{"create temp table mine (a int)", "set role other"}},
		{name: "temporary table and read-only transactions", texts: []string{"create temp table mine (a int)", "set default_transaction_read_only to on"}},
		{name: "temporary table and a short statement_timeout", texts: []string{"create temp table mine (a int)", "set statement_timeout to 1"}},
		{name: "temporary type", texts: []string{"create type pg_temp.mine as (a int)"}},
		{name: "temporary table by EXECUTE", texts: []string{"prepare other as select 1", "create temp table mine as execute other", "deallocate other"}},
		{name: "temporary table by search_path", texts: []string{"set search_path to pg_temp, public", "create table mine (a int)"}},
		{name: "temporary table in a text of 300 kB", texts: []string{long + "create temp table mine (a int)"}},
		{name: "setval in a text of 300 kB", texts: []string{long + "select setval('shared_sequence', 7)"}, ask: "select remembers('shared_sequence')"},
		{name: "LOAD in a text of 300 kB", texts: []string{long + "load 'auto_explain'"}},
		{name: "temporary table, hidden in a function", hidden: true, texts: []string{"select hidden_table()"}},
		{name: "advisory lock, extended", texts: []string{"x:select pg_advisory_lock(4711)"}, ask: held},
		{name: "advisory lock by EXECUTE", texts: []string{"prepare other as select pg_advisory_lock(4711)", "execute other", "deallocate other"}, ask: held},
		{name: "advisory lock by a named statement", then: messages(parse("other", "select pg_advisory_lock(4711)"), syncNow, bind("", "other"), execute("", 0), syncNow), until: 'C', ask: held},
		{name: "advisory lock by FunctionCall", then: messages(&pgproto3.FunctionCall{Function: 2880, Arguments: [][]byte{[]byte("4711")}}), until: 'Z', ask: held},
		{name: "advisory lock by FETCH", texts: []string{"begin; declare other cursor for select pg_advisory_lock(4711)", "fetch other", "commit"}, ask: held},
		{name: "advisory lock by COPY", texts: []string{"copy (select pg_advisory_lock(4711)) to stdout"}, ask: held},
		{name: "advisory lock by EXPLAIN", texts: []string{"explain analyze select pg_advisory_lock(4711)"}, ask: held},
		{name: "advisory lock in quotes", texts: []string{`select pg_catalog . "pg_advisory_lock"(4711)`}, ask: held},
		{name: "advisory lock in Unicode escapes", texts: []string{`select U&"pg\005fadvisory_lock"(4711)`}, ask: held},
		{name: "advisory lock and another role", texts: []string{"select pg_advisory_lock(4711)", "set session authorization other"}, ask: held},
		{name: "advisory lock by DO", texts: []string{"do $$begin perform pg_advisory_lock(4711); end$$"}, ask: held},
		{name: "advisory lock, hidden in a function", hidden: true, texts: []string{"select hidden_lock()"}, ask: held},
		{name: "advisory lock, hidden in a function, while pinned", hidden: true, texts: []string{"create temp table other (a int)", "select hidden_lock()", "drop table other"}, ask: held},
		{name: "temporary table, hidden in a function, behind new start-up parameters", hidden: true, startup: param("application_name", "not seen before"), texts: []string{"select hidden_table()"}},
		{name: "temporary table, hidden in a function, unread", hidden: true, then: messages(simple("select hidden_table()"))},
		{name: "LISTEN in an open transaction", texts: []string{"listen mine", "begin; listen other"}},
		{name: "LISTEN, hidden in a function", hidden: true, texts: []string{"select hidden_listen()"}},
		{name: "LISTEN, seen by the shared connection", texts: []string{"listen mine", "select pg_sleep(0.05)"}},
		{name: "NOTIFY to oneself, unread", texts: []string{"listen mine", "notify mine, 'for the old one'"}},
		{name: "NOTIFY in an open transaction", texts: []string{"listen mine", "begin; notify mine, 'for the old one'"}},
		{name: "notification from others, queued", texts: []string{"listen mine", "begin; select 1"}, notified: true},
		{name: "SQL PREPARE in an open transaction", texts: []string{"begin", "prepare mine as select 42"}},
		{name: "named statement of the protocol", then: messages(parse("mine", "select 42"), syncNow), until: 'Z'},
		{name: "statement of the protocol without a name", then: messages(parse("", "select 42"), syncNow), until: 'Z'},
		{name: "both in an open transaction", texts: []string{"begin", "select 1"}, then: messages(parse("mine", "select 42"), parse("", "select 43"), syncNow), until: 'Z'},
		{name: "setval", texts: []string{"select setval('shared_sequence', 7)"}, ask: "select remembers('shared_sequence')"},
		{name: "setseed", texts: []string{"select setseed(0.42)"}, ask: seeded},
		{name: "SET SEED", texts: []string{"set seed to 0.42"}, ask: seeded},
		{name: "LOAD", texts: []string{"load 'auto_explain'"}},
		{name: "dblink_connect", texts: []string{"select dblink_connect('mine', 'dbname=' || current_database() || ' port=' || current_setting('port') || ' host=127.0.0.1 user=postgres')"}},
		{name: "temporary replication slot", texts: []string{"select pg_create_physical_replication_slot('of_' || current_database(), true, true)"}},
		{name: "replication origin", texts: []string{"select pg_replication_origin_session_setup('of_' || current_database())"}},
		{name: "replication origin, then DISCARD ALL", texts: []string{"select pg_replication_origin_session_setup('of_' || current_database())", "discard all"}},
	}
}

// parameterState is what SET and its like leave.
func parameterState() []*leftover {
	list := []*leftover{
		{name: "SET in an open transaction", texts: []string{"begin", "set work_mem to '5MB'"}},
		{name: "SET LOCAL in an open transaction", texts: []string{"begin", "set local work_mem to '5MB'"}},
		{name: "SET among other statements", texts: []string{"select 1; set work_mem to '5MB'; select 2"}},
		{name: "set_config", texts: []string{"select set_config('work_mem', '5MB', false)"}},
		{name: "set_config with a name that is computed", texts: []string{"select set_config('work' || '_mem', '5MB', false)"}},
		{name: "UPDATE pg_settings", texts: []string{"update pg_settings set setting = '5120' where name = 'work_mem'"}},
		{name: "set_limit (pg_trgm)", texts: []string{"select set_limit(0.8)"}},
		{name: "SET, hidden in a function", hidden: true, texts: []string{"select hidden_set()"}},
		{name: "SET by DO", texts: []string{"do $$begin set work_mem = '5MB'; end$$"}},
		{name: "start-up: statement_timeout", startup: param("statement_timeout", "77s"), texts: []string{"select 1"}},
		{name: "start-up: client_encoding", startup: param("client_encoding", "LATIN1"), texts: []string{"select 1"}},
		{name: "start-up: options", startup: param("options", "-c search_path=pg_catalog -c app.tenant=one"), texts: []string{"select 1"}},
	}
	for _, text := range []string{
		"set work_mem to '5MB'",
		"set app.tenant to 'one'",
		"set search_path to pg_catalog",
		"set statement_timeout to '66s'",
		"set plan_cache_mode to force_generic_plan",
		"set client_encoding to 'LATIN1'",
		"set client_min_messages to 'debug5'",
		"set names 'SJIS'",
		"set time zone 'Asia/Tokyo'",
		"set datestyle to 'german'",
		"set standard_conforming_strings to off",
		"set application_name to 'the old one'",
		"set session characteristics as transaction read only",
		"set session_replication_role to replica",
		"set role other",
		"set session authorization other",
	} {
		list = append(list, &leftover{name: strings.ToUpper(text[:3]) + text[3:], texts: []string{text}})
	}
	return append(list, &leftover{name: "SET ROLE in an open transaction", texts: []string{"begin", "set role other"}})
}

// unfinished is where a client is in the middle of something.
func unfinished() []*leftover {
	const insert = "insert into ledger (line) values ('not committed')"
	const much = "(select repeat('x', 1000) from generate_series(1, 20000))"
	slow := func(n int) string { return "select pg_sleep(1) /* slow" + strconv.Itoa(n) + " */" }
	long := "select '" + strings.Repeat("a query that is never ended", maxRead/20) + "'"
	pipeline := slices.Repeat(messages(simple("select repeat('x', 1000)")), 100)
	batches := slices.Repeat(messages(parse("", "select repeat('x', 1000)"), bind("", ""), execute("", 0), syncNow), 100)
	return []*leftover{
		{name: "BEGIN alone", texts: []string{"begin"}},
		{name: "open transaction", texts: []string{"begin", insert}},
		{name: "open transaction, savepoint", texts: []string{"begin; savepoint a", insert}},
		{name: "open transaction, table lock", texts: []string{"begin; lock table ledger", insert}},
		{name: "open transaction by AND CHAIN", texts: []string{"begin; " + insert, "rollback and chain"}},
		{name: "failed transaction", texts: []string{"begin; " + insert, "select 1/0"}},
		{name: "failed transaction that had state", texts: []string{"begin; create temp table mine (a int); set work_mem to '5MB'; prepare mine as select 1", "select pg_advisory_lock(4711)", "select 1/0"}},
		{name: "portal", texts: []string{"begin"}, then: messages(parse("", "select generate_series(1, 9)"), bind("mine", ""), execute("mine", 1), syncNow), until: 'Z'},
		{name: "portal, no Sync", then: messages(parse("", "select generate_series(1, 9)"), bind("mine", ""), execute("mine", 1), flushNow), until: 's'},
		{name: "batch without Sync", then: messages(parse("", insert), bind("", ""), execute("", 0), flushNow), until: 'C'},
		{name: "failed batch without Sync", then: messages(parse("", insert), bind("", ""), execute("", 0), parse("", "select 1/0"), bind("", ""), execute("", 0), flushNow), until: 'E'},
		{name: "COPY IN", then: messages(simple("copy ledger (line) from stdin"), &pgproto3.CopyData{Data: []byte("not committed\n")}), until: 'G'},
		{name: "COPY IN in a transaction", texts: []string{"begin; " + insert}, then: messages(simple("copy ledger (line) from stdin"), &pgproto3.CopyData{Data: []byte("not")}), until: 'G'},
		{name: "COPY IN, extended", then: messages(parse("", "copy ledger (line) from stdin"), bind("", ""), execute("", 0), flushNow, &pgproto3.CopyData{Data: []byte("not committed\n")}), until: 'G'},
		{name: "COPY IN, half a CopyData", then: messages(simple("copy ledger (line) from stdin"), &pgproto3.CopyData{Data: make([]byte, 1<<20)}), cut: 1 << 19, until: 'G', stays: []string{"Terminate"}},
		{name: "COPY OUT, unread", then: messages(simple("copy " + much + " to stdout")), until: 'd'},
		{name: "COPY OUT, unread, extended", then: messages(parse("", "copy "+much+" to stdout"), bind("", ""), execute("", 0), flushNow), until: 'd'},
		{name: "unread results", then: messages(simple("select * from " + much + " much")), until: 'T'},
		{name: "unread results of a pipeline", then: pipeline},
		{name: "unread results of batches", then: batches},
		{name: "running query", then: messages(simple(slow(1))), busy: "slow1"},
		{name: "running query in a transaction", texts: []string{"begin; " + insert}, then: messages(simple(slow(2))), busy: "slow2"},
		{name: "running query, then a temporary table", then: messages(simple(slow(3) + "; create temp table mine (a int)")), busy: "slow3"},
		{name: "running query, extended, no Sync", then: messages(parse("", slow(4)), bind("", ""), execute("", 0), flushNow), busy: "slow4"},
		{name: "NOTICEs, unread", then: messages(simple("do $$begin for i in 1..20000 loop raise notice '%', repeat('x', 1000); end loop; end$$")), until: 'N'},
		{name: "NOTICEs of a running query", then: messages(simple("do $$begin raise notice 'begun'; perform pg_sleep(1) /* slow7 */; raise notice 'for the old one'; end$$")), until: 'N', busy: "slow7"},
		{name: "NOTICE of a query that survives its cancel", then: messages(simple("do $$begin begin perform pg_sleep(1) /* slow8 */; exception when query_canceled then raise notice 'for the old one'; end; raise notice 'for the old one'; end$$; select 1")), busy: "slow8"},
		{name: "NOTICE of a query that survives its cancel, extended", then: messages(parse("", "do $$begin perform pg_sleep(1) /* slow9 */; exception when query_canceled then raise notice 'for the old one'; end$$"), bind("", ""), execute("", 0), flushNow), busy: "slow9"},
		{name: "pending cancel", then: messages(simple(slow(5))), busy: "slow5", cancels: true},
		{name: "pending cancel in a transaction", texts: []string{"begin; " + insert}, then: messages(simple(slow(6))), busy: "slow6", cancels: true},
		{name: "late cancel", texts: []string{"select 1"}, cancels: true},
		{name: "late cancel in a transaction", texts: []string{"begin; " + insert}, cancels: true},
		{name: "late cancel, temporary table", texts: []string{"create temp table mine (a int)"}, cancels: true},
		{name: "half a message", then: messages(simple("select 1")), cut: 3, stays: []string{"Terminate"}},
		{name: "half a long message", then: messages(simple(long)), cut: len(long) - 2*maxInPlace, stays: []string{"Terminate"}},
		{name: "half a message in a transaction", texts: []string{"begin; " + insert}, then: messages(simple(long)), cut: len(long) - 2*maxInPlace, stays: []string{"Terminate"}},
	}
}

func messages(list ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return list }
