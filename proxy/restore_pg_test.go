package proxy

import (
	"slices"
	"strings"
	"testing"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// said runs a script, each of whose steps is sent in one go: texts separated by
// "|" are Queries, behind "x:" batches of the extended protocol, behind "y:"
// the same without a Sync. It returns what came back, in short.
func (k *talker) said(script []string) []string {
	k.t.Helper()
	var got []string
	for _, step := range script {
		var messages []pgproto3.FrontendMessage
		ready := 0
		for text := range strings.SplitSeq(step, "|") {
			rest, extended := strings.CutPrefix(text, "x:")
			rest, open := strings.CutPrefix(rest, "y:")
			switch {
			case extended || open:
				messages = append(messages, parse("", rest), bind("", ""), execute("", 0))
				if open {
					continue
				}
				messages = append(messages, syncNow)
			default:
				messages = append(messages, simple(text))
			}
			ready++
		}
		k.say(messages...)
		for range ready {
			list := k.until("Z")
			list = slices.DeleteFunc(list, func(a answer) bool { return a.typ == wire.ParameterStatus })
			got = append(got, strings.Join(values(list), ",")+" "+types(list))
		}
	}
	return got
}

// A client that doesn't wait for the answer to a RESET finds what it would find
// on a connection of its own; so does one that rolls it back.
func TestResetIsAsOnAConnectionOfItsOwn(t *testing.T) {
	const show = "select concat_ws('/', current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('work_mem'), current_setting('app.own', true), current_setting('search_path'))"
	startup := param("statement_timeout", "77s", "timezone", "Asia/Tokyo", "search_path", "pg_catalog, public", "options", "-c app.own=mine -c work_mem=5MB")
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	other := talk(t, p.address())
	for _, script := range [][]string{
		{"set statement_timeout to '5s'", "reset statement_timeout|" + show, show},
		{"set statement_timeout to '5s'|reset statement_timeout|" + show + "|" + show},
		{"set timezone to 'utc'", "reset timezone|" + show, show},
		{"set timezone to 'utc'|set app.own to 'x'", "reset all|" + show, show},
		{"set timezone to 'utc'|set app.own to 'x'|set work_mem to '8MB'", "discard all|" + show, show},
		{"x:set statement_timeout to '5s'", "x:reset statement_timeout|x:" + show, "x:" + show},
		{"x:set timezone to 'utc'", "x:discard all|x:" + show, show},
		{"reset all|begin|" + show + "|commit", show},
		{"begin|set statement_timeout to '5s'|reset statement_timeout|" + show + "|commit|" + show},
		{"x:begin|x:set search_path to public|x:reset search_path|x:" + show + "|x:commit|x:" + show},
		{"begin", "set timezone to 'utc'", "reset timezone", show, "commit", show},
		{"begin|reset all|" + show + "|rollback|" + show},
		{"select set_config('statement_timeout', '5s', false)", "select set_config('statement_timeout', null, false) is null|" + show},
		{"set search_path to public", "set search_path to default|" + show},
		{"y:set work_mem to '9MB'|x:reset work_mem|" + show},
		// Savepoints.
		{"set statement_timeout to '5s'", "begin; savepoint a; reset statement_timeout; rollback to a", show, "commit", show},
		{"set statement_timeout to '5s'", "begin", "savepoint a", "reset statement_timeout", "rollback to a", show, "commit", show},
		{"set statement_timeout to '5s'", "begin", "savepoint a", "reset statement_timeout", "release a", show, "commit", show},
		{"set statement_timeout to '5s'", "begin; savepoint a; reset statement_timeout; select 1/0", "rollback to a", show, "commit", show},
		{"set statement_timeout to '5s'", "begin; reset statement_timeout; savepoint a; select 1/0", "rollback to a", show, "commit", show},
		{"set timezone to 'utc'", "begin; savepoint a; reset timezone; rollback to a; savepoint b; reset app.own; release b", show, "commit", show},
		{"set timezone to 'utc'", "begin; reset timezone; rollback and chain", show, "commit", show},
		{"set timezone to 'utc'", "begin; reset timezone; commit and chain", show, "commit", show},
		{"set timezone to 'utc'", "begin; savepoint a; reset timezone; rollback to a; commit", show},
		// A RESET and what overtakes it.
		{"begin; reset statement_timeout; set statement_timeout to '7s'", show, "commit", show},
		{"begin; reset timezone; set timezone to 'GMT'", show, "commit", show},
		{"begin; reset timezone; set timezone to 'GMT'; commit", show},
		{"begin; reset all; set work_mem to '4MB'; commit", show},
		// What may only come before any query, and may come behind a RESET.
		{"begin", "reset statement_timeout", "set transaction isolation level serializable", show, "show transaction_isolation", "commit", show},
		{"x:begin", "x:set statement_timeout to default", "x:set transaction isolation level serializable", "x:" + show, "x:commit", show},
		{"begin", "set local work_mem to default", "set transaction isolation level repeatable read", show, "commit", show},
		{"begin", "reset statement_timeout", "set statement_timeout to '5s'", "reset statement_timeout", "set transaction isolation level serializable", show, "commit", show},
		{"begin; set statement_timeout to '5s'; reset statement_timeout", "set transaction isolation level serializable", show, "rollback", show},
		// A RESET that may look like one nothing came behind.
		{"set statement_timeout to '5s'", "begin; savepoint a", "reset statement_timeout; rollback to a", show, "commit", show},
		{"set statement_timeout to '5s'", "begin; savepoint a", "y:reset statement_timeout|x:rollback to a", show, "commit", show},
		{"begin", "select set_config('statement_timeout', null, false) is null, set_config('statement_timeout', '5s', false)", show, "commit", show},
		{"begin", "y:reset statement_timeout|x:select set_config('statement_timeout', '5s', false)", show, "commit", show},
		{"begin; savepoint a", "reset statement_timeout; select 1/0", "rollback to a", show, "commit", show},
		// For the transaction alone.
		{"set statement_timeout to '5s'", "begin", "set local statement_timeout to default", show, "commit", show},
		{"set statement_timeout to '5s'", "begin", "select set_config('statement_timeout', null, true) is null|" + show, "commit|" + show},
		{"set statement_timeout to '5s'", "begin; set local statement_timeout to default; reset statement_timeout", show, "commit", show},
		{"set timezone to 'utc'", "begin", "set local timezone to default|" + show, "rollback", show},
	} {
		direct, pooled := talk(t, postgres.Address(), startup...), talk(t, p.address(), startup...)
		pooled.doing = strings.Join(script, " / ")
		want, got := direct.said(script), pooled.said(script)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", pooled.doing, got, want)
		}
		if pooled.params["TimeZone"] != direct.params["TimeZone"] {
			t.Errorf("%s: told %s, directly %s", pooled.doing, pooled.params["TimeZone"], direct.params["TimeZone"])
		}
		other.query("select 1") // with the same server
		if got, want := pooled.query(show), direct.query(show); got != want {
			t.Errorf("%s: afterwards %s, not %s", pooled.doing, got, want)
		}
		_ = direct.conn.Close()
		_ = pooled.conn.Close()
	}
}

// A RESET that is rolled back takes nothing away, though the server never heard
// of the client's value, since it has that itself.
func TestResetThatIsRolledBack(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	zone := direct(t, "show timezone")
	a := talk(t, p.address(), param("statement_timeout", "77s", "timezone", "Asia/Tokyo")...)
	const show = "select current_setting('statement_timeout') || ' ' || current_setting('timezone')"
	for _, tt := range []struct {
		script []string
		want   string
	}{
		{[]string{"begin", "reset all", "select 1", "rollback"}, "0 " + zone},
		{[]string{"begin", "reset timezone", "select 1", "reset statement_timeout", "select 1/0", "commit"}, "0 " + zone},
		{[]string{"begin", "savepoint s", "reset timezone", "rollback to s", "commit"}, "0 " + zone},
		{[]string{"begin", "set timezone to 'Asia/Seoul'", "reset work_mem", "select 1", "rollback"}, "0 " + zone},
		{[]string{"begin", "set statement_timeout to 5", "rollback"}, "0 " + zone},
		{[]string{"begin", "reset timezone", "select 1", "commit"}, "0 Asia/Tokyo"},
		{[]string{"begin", "reset all", "select 1", "rollback", "discard all"}, "77s Asia/Tokyo"},
	} {
		a.run("set timezone to '"+zone+"'", "set statement_timeout to 0")
		p.recycle(t)
		a.run(tt.script...)
		if got := a.query(show); got != tt.want || !strings.HasSuffix(got, a.params["TimeZone"]) {
			t.Errorf("%q: %s, want %s; reported is %s", tt.script, got, tt.want, a.params["TimeZone"])
		}
	}
}

// What the server tells of a value is in its own encoding, which a RESET may have
// made another one than the client's.
func TestResetOfTheEncoding(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nsession_audit = always")
	a := talk(t, p.address(), param("client_encoding", "LATIN1")...)
	for _, script := range [][]string{
		{"set app.drink to 'caf\xe9'", "reset client_encoding"},
		{"begin; set app.drink to 'caf\xe9'; reset client_encoding; commit"},
	} {
		a.run(script...)
		for range 2 {
			if got := a.query("select encode(convert_to(current_setting('app.drink'), 'UTF8'), 'hex')"); got != "636166c3a9" {
				t.Errorf("%q: %s", script, got)
			}
			talk(t, p.address()).query("set app.drink to 'tea'")
		}
		a.run("reset app.drink")
	}
}
