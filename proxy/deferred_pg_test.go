package proxy

import (
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// A BEGIN costs no server until the next statement, and a transaction of
// nothing costs none at all.
func TestBeginIsDeferred(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 1")
	busy := talk(t, p.address())
	busy.run("begin", "select 1") // it has the only server
	k := talk(t, p.address())
	for _, begin := range []string{
		"BEGIN", "begin;", "  Begin Work ;", "begin transaction isolation level repeatable read, read only",
		"/* app */ begin", "-- now\nbegin", "start transaction", "START TRANSACTION READ ONLY", "begin isolation level serializable",
		"begin read write", "begin not deferrable",
	} {
		want := "C Z:T"
		if got := types(k.ask(simple(begin))); got != want {
			t.Errorf("%s: %s, want %s", begin, got, want)
		}
		answers := k.ask(syncNow)
		if got := types(answers); got != "Z:T" {
			t.Errorf("%s, then Sync: %s", begin, got)
		}
		for _, end := range []string{"commit"} {
			if got := types(k.ask(simple(end))); got != "C Z:I" {
				t.Errorf("%s, then %s: %s", begin, end, got)
			}
		}
	}
	for end, tag := range map[string]string{"COMMIT": "COMMIT", "end;": "COMMIT", "rollback work": "ROLLBACK", "abort": "ROLLBACK"} {
		begun := k.ask(simple("start transaction"))
		ended := k.ask(simple(end))
		if got := string(begun[0].body) + string(ended[0].body); got != "START TRANSACTION\x00"+tag+"\x00" {
			t.Errorf("%s: tags %q", end, got)
		}
	}
	k.run("begin")
	busy.run("commit")
	if got := k.query("select now() = statement_timestamp(), txid_current_if_assigned() is null"); !strings.HasPrefix(got, "f") && !strings.HasPrefix(got, "t") {
		t.Error(got)
	}
	if leased := p.Pools()[0].Pool.Leased; leased != 1 {
		t.Errorf("%d servers are lent in the midst of the transaction", leased)
	}
	k.run("commit")
}

// What comes behind a deferred BEGIN is in its transaction.
func TestWhatFollowsADeferredBeginIsInItsTransaction(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\ndefault_pool_size = 2")
	k, other := talk(t, p.address()), talk(t, p.address())
	other.run("drop table if exists deferred", "create table deferred (a int)")
	for name, insert := range map[string]func(){
		"simple":   func() { k.run("insert into deferred values (1)") },
		"extended": func() { k.run("x:insert into deferred values (1)") },
		"named": func() {
			k.ask(parse("ins", "insert into deferred values (1)"), syncNow)
			k.ask(bind("", "ins"), execute("", 0), syncNow)
			k.ask(closeOf('S', "ins"), syncNow)
		},
	} {
		k.run("begin")
		insert()
		if got := other.query("select count(*) from deferred"); got != "0" {
			t.Errorf("%s: it isn't in a transaction: %s rows", name, got)
		}
		k.run("rollback")
		k.run("begin isolation level repeatable read")
		insert()
		if got := k.query("show transaction_isolation"); got != "repeatable read" {
			t.Errorf("%s: %s", name, got)
		}
		k.run("commit")
		if got := other.query("select count(*) from deferred"); got != "1" {
			t.Errorf("%s: %s rows, want 1", name, got)
		}
		other.run("delete from deferred")
	}
	// In one go.
	k.say(simple("begin"), simple("insert into deferred values (1)"), simple("rollback"))
	for range 3 {
		k.until("Z")
	}
	if got := other.query("select count(*) from deferred"); got != "0" {
		t.Errorf("in one go: %s rows", got)
	}
	// A second BEGIN is warned of, as ever.
	k.run("begin")
	if got := types(k.ask(simple("begin"))); got != "N:25001 C Z:T" {
		t.Errorf("a second BEGIN: %s", got)
	}
	k.run("rollback")
	// The client's parameters are there, and SET LOCAL is the transaction's.
	k.run("set work_mem to '5MB'", "begin", "set local work_mem to '6MB'")
	if got := k.query("show work_mem"); got != "6MB" {
		t.Error(got)
	}
	k.run("commit")
	if got := k.query("show work_mem"); got != "5MB" {
		t.Error(got)
	}
	k.run("begin", "set work_mem to '7MB'", "commit")
	if got := k.query("show work_mem"); got != "7MB" {
		t.Errorf("SET right behind a deferred BEGIN: %s", got)
	}
	k.run("begin", "set work_mem to '8MB'", "rollback")
	if got := k.query("show work_mem"); got != "7MB" {
		t.Errorf("SET right behind a deferred BEGIN that is rolled back: %s", got)
	}
}

// The time limits of a transaction hold for one that has only been said.
func TestADeferredTransactionMayNotBeIdle(t *testing.T) {
	p := startPooler(t, "deferred_begin = 1\npool_mode = transaction\nidle_transaction_timeout = 1")
	k := talk(t, p.address())
	k.run("begin")
	if r := wire.ParseReport(k.next().body); r.Code != "25P03" {
		t.Errorf("%+v", r)
	}
	off := startPooler(t, "pool_mode = transaction\ndeferred_begin = 0")
	k = talk(t, off.address())
	k.run("begin")
	if leased := off.Pools()[0].Pool.Leased; leased != 1 {
		t.Error("deferred_begin = 0, but it was deferred")
	}
}
