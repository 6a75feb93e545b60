package proxy

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What exchange.go takes for granted of Postgres, asked of Postgres. The
// messages of each case are sent in one go, with Terminate behind them, and
// what comes back is compared in shorthand.
func TestPostgresBehavesAsExchangeAssumes(t *testing.T) {
	var (
		sync  = &pgproto3.Sync{}
		flush = &pgproto3.Flush{}
		exec  = &pgproto3.Execute{}
		done  = &pgproto3.CopyDone{}
		fail  = &pgproto3.CopyFail{Message: "no"}
		good  = &pgproto3.CopyData{Data: []byte("1\n")}
		bad   = &pgproto3.CopyData{Data: []byte("x\n")}
		bind  = &pgproto3.Bind{}
	)
	query := func(s string) *pgproto3.Query { return &pgproto3.Query{String: s} }
	parse := func(name, s string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: s} }
	bindTo := func(name string) *pgproto3.Bind { return &pgproto3.Bind{PreparedStatement: name} }
	describe := func(name string) *pgproto3.Describe { return &pgproto3.Describe{ObjectType: 'S', Name: name} }
	closing := func(name string) *pgproto3.Close { return &pgproto3.Close{ObjectType: 'S', Name: name} }
	const (
		table = "create temp table assumed (n int)"
		input = "copy assumed from stdin"
	)
	// A trigger lets COPY fail after it was announced and before data is read.
	const trap = table + `; create function pg_temp.trap() returns trigger language plpgsql as 'begin raise exception ''trap''; end';
		create trigger trap before insert on assumed for each statement execute function pg_temp.trap()`
	type messages = []pgproto3.FrontendMessage
	n63 := strings.Repeat("n", 63)
	version, err := strconv.Atoi(talk(t, postgres.Address()).query("show server_version_num"))
	if err != nil {
		t.Fatal(err)
	}
	// since is new from a version on.
	since := func(major int, before, from string) string {
		if version/10000 < major {
			return before
		}
		return from
	}
	tests := []struct {
		name string
		say  messages
		want string
	}{
		{"Sync in COPY is ignored", messages{query(table), query(input), sync, good, sync, flush, done}, "C Z:I G C Z:I"},
		{"Sync in extended COPY is ignored", messages{query(table), parse("", input), bind, exec, sync, good, done, sync}, "C Z:I 1 2 G C Z:I"},
		{"the batch of COPY goes on after it", messages{query(table), parse("", input), bind, exec, sync, done, parse("", "x"), sync}, "C Z:I 1 2 G C E:42601 Z:I"},
		{"a COPY that failed is followed by skipping", messages{query(table), parse("", input), bind, exec, sync, bad, done, query("select"), sync}, "C Z:I 1 2 G E:22P02 Z:I"},
		{"COPY that fails before it reads answers the Sync", messages{query(trap), parse("", input), bind, exec, sync, done, sync}, "C C C Z:I 1 2 G E:P0001 Z:I Z:I"},
		{"COPY that failed leaves data that is ignored", messages{query(table), query(input), bad, good, done, fail, sync}, "C Z:I G E:22P02 Z:I Z:I"},
		{"two COPYs in a Query, blind", messages{query(table), query(input + ";" + input), good, done, done}, "C Z:I G C G C Z:I"},
		{"CopyFail", messages{query(table), query(input), fail}, "C Z:I G E:57014 Z:I"},
		{"CopyDone outside COPY is ignored", messages{done, good, fail, query("")}, "I Z:I"},
		{"and in a batch", messages{parse("", ""), done, bind, fail, exec, sync}, "1 2 I Z:I"},
		{"anything else in COPY is fatal", messages{query(table), query(input), query("select")}, since(14, "C Z:I G E:08P01 Z:I", "C Z:I G E:08P01 E:08P01")},

		{"Query is ignored while skipping", messages{parse("", "x"), query("select"), &pgproto3.FunctionCall{}, good, done, flush, sync}, "E:42601 Z:I"},
		{"an error in Query begins no skipping", messages{parse("", ""), query("x"), bind, sync}, "1 E:42601 Z:I E:26000 Z:I"},
		{"Query ends the batch", messages{parse("", "create temp table kept ()"), bind, exec, query("select from kept"), query("rollback"), query("select from kept")}, since(18, "1 2 C T C Z:I N:25P01 C Z:I T C Z:I", "1 2 C T C Z:T N:25P01 C Z:I E:42P01 Z:I")},
		{"an error in FunctionCall begins no skipping", messages{&pgproto3.FunctionCall{Function: 1}, query("")}, "E:42883 Z:I I Z:I"},
		{"Sync itself may fail", messages{
			query("create temp table u (n int unique deferrable initially deferred)"),
			parse("", "insert into u values (1), (1)"), bind, exec, sync, query(""),
		}, "C Z:I 1 2 C E:23505 Z:I I Z:I"},
		{"Parse isn't undone with its transaction", messages{query("begin"), parse("a", ""), parse("b", "x"), sync, query("rollback"), bindTo("a"), sync}, "C Z:T 1 E:42601 Z:E C Z:I 2 Z:I"},
		{"nor when its batch fails", messages{parse("a", ""), parse("b", "x"), sync, bindTo("a"), bindTo("b"), sync}, "1 E:42601 Z:I 2 E:26000 Z:I"},

		{"unknown statement in an aborted transaction", messages{query("begin"), query("x"), describe("a"), sync, bindTo("a"), sync}, "C Z:T E:42601 Z:E E:26000 Z:E E:26000 Z:E"},
		{"Parse in an aborted transaction", messages{query("begin"), query("x"), parse("a", "select 1"), sync, parse("a", "rollback"), sync}, "C Z:T E:42601 Z:E E:25P02 Z:E 1 Z:E"},
		{"a name that is taken", messages{parse("a", ""), parse("a", ""), sync, parse("a", "x"), sync}, "1 E:42P05 Z:I E:42601 Z:I"},
		{"Close never fails", messages{closing("a"), query("begin"), query("x"), closing("a"), parse("a", "commit"), closing("a"), sync, query("commit")}, "3 C Z:T E:42601 Z:E 3 1 3 Z:E C Z:I"},
		{"Close reaches what SQL prepared", messages{query("prepare a as select 1"), closing("a"), bindTo("a"), sync}, "C Z:I 3 E:26000 Z:I"},
		{"names count to 63 bytes", messages{parse(n63+"1", ""), parse(n63+"2", ""), sync, bindTo(n63 + "3"), sync}, "1 E:42P05 Z:I 2 Z:I"},
		{"DEALLOCATE ALL", messages{parse("a", ""), query("deallocate all"), bindTo("a"), sync}, "1 C Z:I E:26000 Z:I"},
		{"a Query drops the unnamed statement", messages{parse("", ""), sync, query(""), bind, sync}, "1 Z:I I Z:I E:26000 Z:I"},
		{"the unnamed statement outlives its batch", messages{parse("", ""), sync, bind, sync}, "1 Z:I 2 Z:I"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := talk(t, postgres.Address())
			k.doing = tt.name
			k.say(append(tt.say, &pgproto3.Terminate{})...)
			if got := types(k.ended()); got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// From version 18 on a server that has had a Query in the midst of a batch fails
// what it is asked next. Whoever sends such a thing, the next client has a server
// that works.
func TestAQueryInABatchHarmsNobodyElse(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	for range 3 {
		odd, next := talk(t, p.address()), talk(t, p.address())
		odd.say(parse("", "select 1"), bind("", ""), execute("", 0), simple("select 2"), syncNow)
		odd.until("Z")
		odd.until("Z")
		if got := types(next.ask(parse("", "select 3"), bind("", ""), execute("", 0), syncNow)); got != "1 2 D C Z:I" {
			t.Errorf("the next client was told %s", got)
		}
	}
}

// The tags that exchange looks for are those that Postgres sends, to the byte.
func TestPostgresTagsWhatDropsStatements(t *testing.T) {
	k := talk(t, postgres.Address())
	for sql, want := range map[string][]byte{"deallocate all;": tagDeallocateAll, "discard ALL": tagDiscardAll} {
		for _, a := range k.ask(&pgproto3.Query{String: sql}) {
			if a.typ == wire.CommandComplete && string(a.body) != string(want) {
				t.Errorf("%s is tagged %q", sql, a.body)
			}
		}
	}
}

// Postgres closes a connection that brought a CancelRequest once the signal is
// sent, not before: what the query's connection then says is its effect.
func TestPostgresCancelsBeforeItHangsUp(t *testing.T) {
	conn, err := net.Dial("tcp", postgres.Address())
	if err != nil {
		t.Fatal(err)
	}
	k := newTalker(t, conn)
	k.send(wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: "postgres"}, {Name: "database", Value: "app"}}))
	var pid uint32
	var secret []byte
	for _, a := range k.until("Z") {
		if a.typ == wire.BackendKeyData {
			pid, secret = binary.BigEndian.Uint32(a.body), a.body[4:]
		}
	}
	k.say(&pgproto3.Query{String: "select repeat('x', 100000); select pg_sleep(60)"})
	canceler, err := net.Dial("tcp", postgres.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer canceler.Close()
	k.until("T") // it has begun
	_ = canceler.SetDeadline(time.Now().Add(talkerPatience))
	if _, err := canceler.Write(wire.AppendCancelRequest(nil, pid, secret)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(canceler); err != nil || len(b) > 0 {
		t.Errorf("the cancel connection got %q, %v", b, err)
	}
	if got := types(k.until("Z")); !strings.HasSuffix(got, "E:57014 Z:I") {
		t.Errorf("after the cancel: %s", got)
	}
}
