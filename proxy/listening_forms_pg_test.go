package proxy

import (
	"strings"
	"testing"
)

// listenForms are ways to say LISTEN and UNLISTEN, for a client that listens on
// a and b. One that pins leaves the client its server.
var listenForms = []struct {
	name string
	do   []string
	pins bool
}{
	{name: "COMMIT AND CHAIN", do: []string{"begin; listen c; unlisten a; commit and chain", "select 1", "rollback"}},
	{name: "ROLLBACK AND CHAIN", do: []string{"begin; unlisten a; listen c; rollback and chain", "unlisten b", "commit"}},
	{name: "COMMIT AND CHAIN of a transaction that has failed", do: []string{"begin; unlisten a", "select 1/0", "commit and chain", "unlisten b; commit"}},
	{name: "as another role", do: []string{"set role app", "listen c", "unlisten a", "reset role"}},
	{name: "as another user", do: []string{"set session authorization app", "listen c", "unlisten a"}},
	{name: "with a temporary table", do: []string{"create temp table mine (a int)", "listen c", "unlisten b", "drop table mine"}},
	{name: "savepoints in the extended protocol", do: []string{"x:begin", "x:savepoint s", "x:unlisten a", "x:rollback to savepoint s", "x:unlisten b", "x:commit"}},
	{name: "savepoints of one name", do: []string{"begin; savepoint s; unlisten a; savepoint s; unlisten b; rollback to s; release s; rollback to s; listen c; commit"}},
	{name: "comments", do: []string{"/* x */ unlisten /* y */ a -- z", "-- \nlisten c"}},
	{name: "Unicode escapes", do: []string{`unlisten U&"\0061"`, `listen U&"!0063" UESCAPE '!'`}},
	{name: "capitals", do: []string{`UNLISTEN A; LISTEN C; UNLISTEN "B"`}},
	{name: "an error behind them", do: []string{"listen c; unlisten a; select 1/0"}},
	{name: "a subtransaction that fails", do: []string{"do $$begin begin execute 'listen c'; raise 'x'; exception when others then null; end; execute 'listen d'; end$$"}, pins: true},
	{name: "a procedure with transactions", do: []string{"do $$begin execute 'listen c'; commit; execute 'listen d'; rollback; end$$"}, pins: true},
	{name: "PREPARE TRANSACTION, which fails", do: []string{"begin; unlisten a; prepare transaction 'x'"}},
	{name: "DISCARD ALL, which fails", do: []string{"begin; discard all", "rollback"}},
	{name: "behind COPY", do: []string{"copy (select 1) to stdout; unlisten a; listen c"}},
	{name: "to and fro", do: []string{"unlisten a; listen a; unlisten a; listen c; unlisten c; listen c"}},
	{name: "all but one", do: []string{"begin; unlisten *; listen fence; listen b; unlisten b; listen c; commit"}},
	{name: "ABORT", do: []string{"begin; unlisten a", "abort work"}},
	{name: "END", do: []string{"start transaction; unlisten a", "end"}},
	{name: "empty statements", do: []string{";;unlisten a;;", ""}},
	{name: "BEGIN behind it", do: []string{"unlisten a; begin; unlisten b", "rollback"}},
	{name: "COMMIT in the middle of a text", do: []string{"unlisten a; commit; unlisten b; select 1/0"}},
}

// Whatever is said, the client hears what it would on a direct connection.
func TestListenIsAsOnADirectConnection(t *testing.T) {
	p := startPooler(t, listenSettings)
	sender := talk(t, postgres.Address())
	for _, form := range listenForms {
		t.Run(form.name, func(t *testing.T) {
			k, direct := talk(t, p.address()), talk(t, postgres.Address())
			k.run("listen a; listen b", "listen "+fence)
			direct.run("listen a; listen b", "listen "+fence)
			p.multiplexed()
			for _, text := range form.do {
				for _, c := range []*talker{direct, k} {
					if rest, extended := strings.CutPrefix(text, "x:"); extended {
						c.ask(parse("", rest), bind("", ""), execute("", 0), syncNow)
					} else {
						c.ask(simple(text))
					}
				}
			}
			if form.pins {
				eventually(t, "the server to listen no more", func() bool { return unlistenedServers(t) == 1 })
			} else {
				p.multiplexed()
			}
			sender.run("notify a; notify b; notify c; notify d")
			got, want := k.everything(), ""
			for !strings.HasSuffix(want, fence+":now") {
				want = strings.TrimSpace(want + " " + direct.hear(1))
			}
			if want = strings.TrimSpace(strings.TrimSuffix(want, fence+":now")); got != want {
				t.Errorf("heard %q, and on a direct connection %q", got, want)
			}
			k.run("discard all")
			_, _ = k.conn.Close(), direct.conn.Close()
			p.multiplexed()
		})
	}
}
