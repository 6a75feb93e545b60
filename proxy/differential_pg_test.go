package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// step is a part of a script: what the client says, and the type of message at
// which the answer ends, "Z" if left empty. count is how many of those.
type step struct {
	say   []pgproto3.FrontendMessage
	until string
	count int
}

func q(text string) step { return step{say: []pgproto3.FrontendMessage{simple(text)}} }

func x(messages ...pgproto3.FrontendMessage) step { return step{say: messages} }

// conversation is a script that goes through every part of the protocol. It
// works in any pool mode and needs the table of directAnswers.
func conversation() []step {
	copyData := func(s string) *pgproto3.CopyData { return &pgproto3.CopyData{Data: []byte(s)} }
	return []step{
		q("select 1"),
		q(""),
		q(";"),
		q("select 1; select 'two', null, 3.5; select generate_series(1, 5)"),
		q("select 1; select 1/0; select 3"),
		q("selekt"),
		q("do $$ begin raise notice 'a notice'; raise warning 'a warning' using errcode = '01234', hint = 'h', detail = 'd'; end $$"),
		q("set timezone to 'Europe/Berlin'"),
		q("show timezone"),
		q("set application_name to 'differential'; set datestyle to german; reset datestyle"),
		q("set client_encoding to latin1"),
		q("select chr(228)"),
		q("set client_encoding to utf8"),
		q("truncate diff"),
		// Transactions.
		q("begin"), q("insert into diff values (1, 'one')"), q("savepoint s"), q("insert into diff values (1, 'again')"),
		q("select 1"), q("rollback to s"), q("select * from diff"), q("commit"),
		q("begin; insert into diff values (2, 'one')"), q("commit"),
		q("begin"), q("select 1/0"), q("commit"),
		q("commit"), q("rollback"), q("begin; begin"), q("rollback"),
		// The extended protocol.
		x(parse("", "select $1::int + 1, $2"), describe('S', ""), bind("", "", "41", "text"), describe('P', ""), execute("", 0), syncNow),
		x(parse("", "insert into diff values ($1, $2)"), describe('S', ""), bind("", "", "3", "three"), describe('P', ""), execute("", 0), syncNow),
		x(parse("", ""), bind("", ""), execute("", 0), syncNow),
		x(parse("", "select * from nothing"), bind("", ""), execute("", 0), syncNow),
		x(parse("", "select 1/$1::int"), bind("", "", "0"), execute("", 0), execute("", 0), syncNow),
		x(parse("", "select $1::int"), bind("", "", "not a number"), execute("", 0), syncNow),
		x(parse("", "select $1::int"), bind("", ""), execute("", 0), syncNow),
		x(bind("", "no such statement"), execute("", 0), syncNow),
		x(describe('S', "no such statement"), syncNow),
		x(describe('P', "no such portal"), syncNow),
		x(execute("no such portal", 0), syncNow),
		x(closeOf('S', "no such statement"), closeOf('P', "no such portal"), syncNow),
		x(syncNow),
		{say: []pgproto3.FrontendMessage{syncNow, syncNow, syncNow}, count: 3},
		// An error in a batch skips the rest of it, and the next batch works.
		{say: []pgproto3.FrontendMessage{
			parse("", "select 1"), bind("", ""), execute("", 0), parse("", "selekt"), bind("", ""), execute("", 0), parse("never", "select 1"), syncNow,
			parse("", "select 2"), bind("", ""), execute("", 0), syncNow,
		}, count: 2},
		x(bind("", "never"), syncNow),
		// Several Syncs in one go, one of them in error, a simple query between.
		{say: []pgproto3.FrontendMessage{
			parse("a", "select 1"), bind("", "a"), execute("", 0), syncNow,
			bind("", "a"), execute("", 0), bind("", "b"), syncNow,
			simple("select 'between'"),
			bind("", "a"), execute("", 0), closeOf('S', "a"), syncNow,
			bind("", "a"), execute("", 0), syncNow,
		}, count: 5},
		// Named statements: twice the name, closed, prepared anew with other text.
		x(parse("s", "select 'first' where $1 = 1"), describe('S', "s"), syncNow),
		x(parse("s", "select 'second'"), syncNow),
		x(bind("", "s", "1"), describe('P', ""), execute("", 0), syncNow),
		x(closeOf('S', "s"), parse("s", "select 'second'"), bind("", "s"), execute("", 0), syncNow),
		x(parse("t", "select 'second'"), bind("", "t"), execute("", 0), bind("", "s"), execute("", 0), syncNow),
		x(parse("bad", "selekt"), syncNow),
		x(parse("bad", "select 'good'"), bind("", "bad"), execute("", 0), syncNow),
		q("begin"), x(bind("", "unknown"), syncNow), x(bind("", "s"), execute("", 0), syncNow), q("rollback"),
		q("begin"), x(parse("s", "select 3"), syncNow), q("select 1"), q("rollback"),
		x(bind("", "s"), execute("", 0), syncNow),
		x(closeOf('S', "s"), closeOf('S', "t"), closeOf('S', "bad"), syncNow),
		x(describe('S', "s"), syncNow),
		// Flush: answers before the end of the batch.
		{say: []pgproto3.FrontendMessage{parse("f", "select $1"), flushNow}, until: "1"},
		{say: []pgproto3.FrontendMessage{describe('S', "f"), flushNow}, until: "T"},
		{say: []pgproto3.FrontendMessage{bind("", "f", "x"), execute("", 0), flushNow}, until: "C"},
		x(closeOf('S', "f"), syncNow),
		{say: []pgproto3.FrontendMessage{parse("", "selekt"), flushNow}, until: "E"},
		x(parse("", "select 1"), syncNow),
		// Portals that last over round trips.
		q("begin"),
		x(parse("c", "select generate_series(1, 10)"), bind("p", "c"), execute("p", 3), syncNow),
		x(execute("p", 3), syncNow),
		{say: []pgproto3.FrontendMessage{execute("p", 2), flushNow}, until: "s"},
		x(execute("p", 0), syncNow),
		x(closeOf('P', "p"), execute("p", 0), syncNow),
		q("rollback"),
		q("begin; declare cur cursor for select generate_series(1, 4)"), q("fetch 2 from cur"), q("fetch all from cur"), q("close cur"), q("commit"),
		x(closeOf('S', "c"), syncNow),
		// COPY.
		{say: []pgproto3.FrontendMessage{simple("copy diff from stdin")}, until: "G"},
		x(copyData("10\tten\n"), copyData("11\tel"), copyData("even\n"), &pgproto3.CopyDone{}),
		{say: []pgproto3.FrontendMessage{simple("copy diff from stdin")}, until: "G"},
		x(copyData("12\ttwelve\n"), &pgproto3.CopyFail{Message: "changed my mind"}),
		{say: []pgproto3.FrontendMessage{simple("copy diff from stdin")}, until: "G"},
		x(copyData("not a number\tx\n"), copyData("13\tthirteen\n"), &pgproto3.CopyDone{}),
		q("copy (select * from diff order by id) to stdout"),
		q("copy diff to stdout; select 'after'"),
		q("copy (select 1/(id - 10) from diff order by id) to stdout"),
		{say: []pgproto3.FrontendMessage{parse("", "copy diff from stdin"), bind("", ""), execute("", 0), flushNow}, until: "G"},
		x(copyData("14\tfourteen\n"), &pgproto3.CopyDone{}, syncNow),
		x(simple("copy diff from stdin"), copyData("15\tfifteen\n"), &pgproto3.CopyDone{}),
		x(parse("", "copy diff from stdin"), bind("", ""), execute("", 0), copyData("16\tsixteen\n"), &pgproto3.CopyDone{}, syncNow),
		x(parse("", "copy diff from stdin"), bind("", ""), execute("", 0), copyData("wrong\n"), &pgproto3.CopyDone{}, syncNow),
		x(simple("copy nothing from stdin"), copyData("17\tseventeen\n"), &pgproto3.CopyDone{}),
		x(copyData("lost"), &pgproto3.CopyDone{}, &pgproto3.CopyFail{Message: "lost"}, syncNow),
		q("copy diff(id) from stdin with (format nonsense)"),
		{say: []pgproto3.FrontendMessage{simple("copy diff from stdin; select count(*) from diff")}, until: "G"},
		x(copyData("18\teighteen\n"), &pgproto3.CopyDone{}),
		q("select * from diff order by id"),
		// FunctionCall: int4pl(40, 2), and one that doesn't exist.
		x(&pgproto3.FunctionCall{Function: 177, ArgFormatCodes: []uint16{0}, Arguments: [][]byte{[]byte("40"), []byte("2")}}),
		x(&pgproto3.FunctionCall{Function: 1, Arguments: nil}),
		// A message to ourselves inside a transaction.
		q("begin; listen diff; notify diff, 'payload'"), q("select 1"), q("commit"), q("unlisten *"),
		q("begin; set local timezone to 'Asia/Tokyo'; show timezone"), q("rollback"), q("show timezone"),
		q("deallocate all"), q("select repeat('long', 20000)"),
		q("discard all"),
		q("select 'the end'"),
	}
}

// perform goes through a script and returns the answers as text, step by step.
func (k *talker) perform(script []step) []string {
	k.t.Helper()
	out := make([]string, len(script))
	for i, s := range script {
		k.say(s.say...)
		until := s.until
		if until == "" {
			until = "Z"
		}
		k.doing = said(s)
		var b strings.Builder
		for range max(s.count, 1) {
			for _, a := range k.until(until) {
				fmt.Fprintf(&b, "%c %s\n", a.typ, comparison(a, k.pid))
			}
		}
		out[i] = b.String()
	}
	return out
}

// comparison is the body of a message without what differs from server to
// server: the process in notifications, the source line of errors, and whether
// a name in an error is cut.
func comparison(a answer, pid uint32) string {
	switch a.typ {
	case wire.NotificationResponse:
		return fmt.Sprintf("%q", a.body[4:])
	case wire.ErrorResponse, wire.NoticeResponse:
		var fields []string
		for _, f := range strings.Split(string(a.body), "\x00") {
			if f != "" && !strings.ContainsAny(f[:1], "FLR") {
				fields = append(fields, f)
			}
		}
		return fmt.Sprintf("%q", fields)
	}
	return fmt.Sprintf("%q", a.body)
}

func compareAnswers(t *testing.T, script []step, want, got []string) {
	t.Helper()
	for i := range script {
		if want[i] != got[i] {
			t.Errorf("step %d, %s\ndirect:\n%scarpool:\n%s", i, said(script[i]), want[i], got[i])
		}
	}
}

func said(s step) string {
	var words []string
	for _, m := range s.say {
		words = append(words, fmt.Sprintf("%T%+v", m, m))
	}
	return strings.ReplaceAll(strings.Join(words, " "), "*pgproto3.", "")
}

// directAnswers is what Postgres itself answers to a script.
func directAnswers(t *testing.T, script []step) []string {
	t.Helper()
	k := talk(t, postgres.Address())
	k.query("create table if not exists diff(id int primary key, t text unique deferrable initially deferred)")
	return k.perform(script)
}

// What a client gets through carpool is, message by message and byte by byte,
// what it gets without.
func TestConversationIsTheSameAsWithoutPooler(t *testing.T) {
	script := conversation()
	want := directAnswers(t, script)
	tests := []struct {
		name, settings string
	}{
		{"session", "pool_mode = session"},
		{"transaction", "pool_mode = transaction\ndefault_pool_size = 1"},
		{"transaction without translation", "pool_mode = transaction\ndefault_pool_size = 1\nmax_prepared_statements = 0"},
		{"transaction, one statement per server", "pool_mode = transaction\ndefault_pool_size = 1\nmax_prepared_statements = 1"},
		{"two loops", "pool_mode = transaction\ndefault_pool_size = 1\nevent_loops = 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startPooler(t, "deferred_begin = 1\n"+tt.settings)
			compareAnswers(t, script, want, talk(t, p.address()).perform(script))
		})
	}
}

// Where the bytes of a message are cut on their way makes no difference.
func TestConversationInSingleBytes(t *testing.T) {
	script := conversation()
	want := directAnswers(t, script)
	for _, mode := range []string{"session", "transaction"} {
		t.Run("from the client/"+mode, func(t *testing.T) {
			p := startPooler(t, "deferred_begin = 1\npool_mode = "+mode+"\ndefault_pool_size = 1")
			k := talk(t, p.address())
			k.chunk = 1
			compareAnswers(t, script, want, k.perform(script))
		})
		t.Run("from the server/"+mode, func(t *testing.T) {
			port := trickle(t, postgres.Address())
			p := startPooler(t, fmt.Sprintf("deferred_begin = 1\npool_mode = %s\ndefault_pool_size = 1\n[databases]\n* = host=127.0.0.1 port=%d", mode, port))
			compareAnswers(t, script, want, talk(t, p.address()).perform(script))
		})
	}
}

// trickle listens on a port and passes everything on to an address and back,
// one byte at a time.
func trickle(t *testing.T, address string) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); _ = ln.Close() })
	pass := func(to io.WriteCloser, from io.Reader) {
		defer to.Close() //nolint:errcheck // the other side finds out
		var buf [4096]byte
		for {
			n, err := from.Read(buf[:])
			for i := range n {
				if _, err := to.Write(buf[i : i+1]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", address)
			if err != nil {
				_ = a.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() })
			go pass(a, b)
			go pass(b, a)
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}
