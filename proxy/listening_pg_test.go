package proxy

import (
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/notify"
)

// LISTEN and NOTIFY in transaction mode, held against a real Postgres: clients
// listen through one connection, and can't tell.

// heard is a notification as a client got it.
type heard struct {
	pid              uint32
	channel, payload string
}

func (h heard) String() string { return h.channel + ":" + h.payload }

func hearNote(t testing.TB, body []byte) heard {
	pid, channel, payload, ok := notify.ParseNote(body)
	if !ok {
		t.Errorf("malformed notification %q", body)
	}
	return heard{pid, string(channel), string(payload)}
}

// hear waits for so many notifications.
func (k *talker) hear(n int) string {
	k.t.Helper()
	for len(k.heard) < n {
		k.next()
	}
	return k.told()
}

// told are the notifications that have come since it was asked last.
func (k *talker) told() string {
	words := make([]string, len(k.heard))
	for i, h := range k.heard {
		words[i] = h.String()
	}
	k.heard = nil
	return strings.Join(words, " ")
}

// fence is a channel that every client of these tests listens on, so that what
// was notified before can be known to have come or not to.
const fence = "fence"

// everything is what has come before a notification that is sent now.
func (k *talker) everything() string {
	k.t.Helper()
	sender := talk(k.t, postgres.Address())
	sender.run("notify " + fence + ", 'now'")
	_ = sender.conn.Close()
	for {
		if n := len(k.heard); n > 0 && k.heard[n-1].channel == fence {
			k.heard = k.heard[:n-1]
			return k.told()
		}
		k.next()
	}
}

// multiplexed waits until the pool has no server lent: what is listened on is
// with the hub.
func (p *pooler) multiplexed() {
	p.t.Helper()
	eventually(p.t, "what is listened on to be with the hub", func() bool {
		for _, v := range p.Pools() {
			if v.Pool.Leased > 0 {
				return false
			}
		}
		return len(p.Pins()) == 0
	})
}

const listenSettings = "pool_mode = transaction\ndefault_pool_size = 1\n"

func TestListenIsMultiplexed(t *testing.T) {
	for _, audit := range []string{"suspicious", "always", "off"} {
		t.Run("session_audit "+audit, func(t *testing.T) { listenIsMultiplexed(t, "session_audit = "+audit+"\n") })
	}
}

func listenIsMultiplexed(t *testing.T, settings string) {
	p := startPooler(t, listenSettings+settings)
	a, b, c := talk(t, p.address()), talk(t, p.address()), talk(t, p.address())
	a.run("listen news")
	b.run("x:listen news", "listen \"Other News\"")
	c.run("begin; listen news", "select 1", "commit")
	p.multiplexed()
	pid := a.query("select pg_backend_pid()")
	b.run("begin", "notify news, 'one'", "notify news, 'two'", "notify \"Other News\", 'three'", "commit")
	for name, k := range map[string]*talker{"a": a, "b": b, "c": c} {
		want, n := "news:one news:two", 2
		if k == b {
			want, n = want+" Other News:three", 3
		}
		for len(k.heard) < n {
			k.next()
		}
		if fmt.Sprint(k.heard[0].pid) != pid {
			t.Errorf("%s: notified by %d, want %s", name, k.heard[0].pid, pid)
		}
		if got := k.told(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	stats := p.ListenStats()
	if len(stats) != 1 || stats[0].Channels != 2 || stats[0].Listeners != 3 || !stats[0].Connected || stats[0].Database != "app" {
		t.Errorf("%+v", stats)
	}
	_ = a.conn.Close()
	_ = b.conn.Close()
	_ = c.conn.Close()
	eventually(t, "the hub to forget them", func() bool { return p.ListenStats()[0].Listeners == 0 })
}

// What comes to stand counts, whatever was said.
func TestListenAndUnlistenAreTransactional(t *testing.T) {
	p := startPooler(t, listenSettings)
	sender := talk(t, postgres.Address())
	for _, tt := range []struct {
		name string
		do   []string
		want string // the channels that are listened on then; a and b are before
	}{
		{"UNLISTEN", []string{"unlisten a"}, "b"},
		{"UNLISTEN in the extended protocol", []string{"x:unlisten a"}, "b"},
		{"UNLISTEN of another", []string{"unlisten c"}, "a b"},
		{"UNLISTEN *", []string{"unlisten *", "listen fence"}, ""},
		{"DISCARD ALL", []string{"discard all", "listen fence"}, ""},
		{"asyncpg's reset", []string{"select pg_advisory_unlock_all(); close all; unlisten *; reset all;", "listen fence"}, ""},
		{"UNLISTEN rolled back", []string{"begin", "unlisten a", "rollback"}, "a b"},
		{"UNLISTEN rolled back in one text", []string{"begin; unlisten a; rollback"}, "a b"},
		{"UNLISTEN and an error", []string{"begin", "unlisten a", "select 1/0", "commit"}, "a b"},
		{"UNLISTEN and an error in one text", []string{"unlisten a; select 1/0"}, "a b"},
		{"UNLISTEN committed", []string{"begin", "unlisten a", "commit"}, "b"},
		{"UNLISTEN committed in the extended protocol", []string{"x:begin", "x:unlisten a", "x:commit"}, "b"},
		{"UNLISTEN rolled back in the extended protocol", []string{"x:begin", "x:unlisten a", "x:rollback"}, "a b"},
		{"UNLISTEN behind a savepoint", []string{"begin", "savepoint s", "unlisten a", "rollback to s", "unlisten b", "commit"}, "a"},
		{"UNLISTEN before a savepoint", []string{"begin", "unlisten b", "savepoint s", "unlisten a", "rollback to s", "commit"}, "a"},
		{"UNLISTEN behind a savepoint that is released", []string{"begin", "savepoint s", "unlisten a", "release s", "commit"}, "b"},
		{"UNLISTEN and LISTEN", []string{"begin; unlisten a; listen a; commit"}, "a b"},
		{"LISTEN and UNLISTEN", []string{"begin; listen c; unlisten a; unlisten c; commit"}, "b"},
		{"LISTEN twice", []string{"listen a", "listen a"}, "a b"},
		{"LISTEN", []string{"listen c"}, "a b c"},
		{"LISTEN rolled back", []string{"begin; listen c", "rollback"}, "a b"},
		{"LISTEN rolled back to a savepoint", []string{"begin; listen c; savepoint s; listen d; rollback to s; commit"}, "a b c"},
		{"LISTEN again after UNLISTEN", []string{"unlisten a", "listen a"}, "a b"},
		{"UNLISTEN * rolled back", []string{"begin; unlisten *", "rollback"}, "a b"},
		{"UNLISTEN * and LISTEN", []string{"begin; unlisten *; listen b; listen fence; commit"}, "b"},
		{"UNLISTEN in quotes", []string{`unlisten "a"`, `unlisten "B"`, "unlisten B"}, ""},
		{"hidden in a block", []string{"do $$begin execute 'listen c'; end$$"}, "a b c"},
		{"UNLISTEN hidden in a block", []string{"begin; unlisten a; do $$begin execute 'unlisten a'; end$$; rollback"}, "a b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := talk(t, p.address())
			k.doing = tt.name
			k.run("listen a; listen b", "listen fence")
			p.multiplexed()
			k.run(tt.do...)
			switch {
			case tt.name == "hidden in a block": // which pins
				eventually(t, "the server to listen no more", func() bool { return unlistenedServers(t) == 1 })
			case !strings.Contains(tt.name, "block"):
				p.multiplexed()
			}
			for _, channel := range []string{"a", "b", "c", "d"} {
				sender.run("notify " + channel)
			}
			want := tt.want
			for _, channel := range strings.Fields(tt.want) {
				want = strings.Replace(want, channel, channel+":", 1)
			}
			if got := k.everything(); got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
			k.run("discard all")
			_ = k.conn.Close()
			p.multiplexed()
		})
	}
}

// unlistenedServers is how many servers were last asked to listen no more.
func unlistenedServers(t *testing.T) int {
	t.Helper()
	return count(t, postgres, "select count(*) from pg_stat_activity where query = 'UNLISTEN *' and state = 'idle'")
}

// All of it in one go, without waiting for an answer.
func TestPipelinedUnlisten(t *testing.T) {
	p := startPooler(t, listenSettings)
	k := talk(t, p.address())
	k.run("listen a; listen b", "listen fence")
	p.multiplexed()
	k.say(simple("begin"), simple("unlisten a"), simple("rollback"), simple("begin"), simple("unlisten b"), simple("commit"), simple("listen c"), simple("unlisten c"))
	for range 8 {
		k.until("Z")
	}
	p.multiplexed()
	talk(t, postgres.Address()).run("notify a; notify b; notify c")
	if got := k.everything(); got != "a:" {
		t.Errorf("heard %q, want a", got)
	}
	// Prepared long before it is executed.
	k.ask(parse("out", "unlisten a"), parse("back", "rollback"), parse("done", "commit"), syncNow)
	k.run("begin")
	k.ask(bind("", "out"), execute("", 0), syncNow)
	k.ask(bind("", "back"), execute("", 0), syncNow)
	p.multiplexed()
	talk(t, postgres.Address()).run("notify a")
	if got := k.everything(); got != "a:" {
		t.Errorf("heard %q, want a", got)
	}
	k.say(simple("begin"), bind("", "out"), execute("", 0), bind("", "done"), execute("", 0), syncNow)
	k.until("Z")
	k.until("Z")
	p.multiplexed()
	talk(t, postgres.Address()).run("notify a")
	if got := k.everything(); got != "" {
		t.Errorf("heard %q", got)
	}
}

// Notifications come between transactions, in their order.
func TestNotificationsWaitForTheEndOfTheTransaction(t *testing.T) {
	for _, deferred := range []string{"off", "on"} {
		t.Run("deferred_begin "+deferred, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nevent_loops = 1\ndeferred_begin = "+deferred)
			a, b := talk(t, p.address()), talk(t, p.address())
			a.run("listen news")
			b.run("listen news")
			p.multiplexed()
			for _, within := range []string{"select 1", ""} {
				a.run("begin")
				talk(t, postgres.Address()).run("notify news, 'one'", "notify news, 'two'")
				b.hear(2)
				if within != "" {
					if got := types(a.ask(simple(within))); got != "T D C Z:T" {
						t.Errorf("within: %s", got)
					}
				}
				if got := types(a.ask(simple("commit"))); got != "C Z:I" {
					t.Errorf("at the end: %s", got)
				}
				if got := a.hear(2); got != "news:one news:two" {
					t.Errorf("then: %s", got)
				}
			}
		})
	}
}

// Names in all spellings, told apart as by the server.
func TestChannelNames(t *testing.T) {
	p := startPooler(t, listenSettings)
	sender := talk(t, postgres.Address())
	for _, name := range []string{
		`news`, `NEWS`, `"NEWS"`, `"a ""b"" c"`, `"'"`, `été`, `"Été"`, `U&"d\0061ta"`,
		strings.Repeat("x", 70), strings.Repeat("é", 40), `"x` + strings.Repeat("é", 40) + `"`, `"xy` + strings.Repeat("…", 30) + `"`,
	} {
		k := talk(t, p.address())
		k.doing = name
		k.run("listen "+fence, "listen "+name)
		p.multiplexed()
		sender.run("notify " + name + ", 'x'")
		if got := k.everything(); !strings.HasSuffix(got, ":x") {
			t.Errorf("%s: heard %q", name, got)
		}
		k.run("begin; unlisten *; listen "+fence+"; listen "+name, "commit")
		p.multiplexed()
		sender.run("notify " + name + ", 'y'")
		if got := k.everything(); !strings.HasSuffix(got, ":y") {
			t.Errorf("%s, listened on again: heard %q", name, got)
		}
		k.run("unlisten " + name)
		p.multiplexed()
		sender.run("notify " + name + ", 'z'")
		if got := k.everything(); got != "" {
			t.Errorf("%s, which isn't listened on any more: heard %q", name, got)
		}
		_ = k.conn.Close()
	}
}

// What follows at once, while the server is being asked what is listened on.
func TestUnlistenBehindTheAudit(t *testing.T) {
	p := startPooler(t, listenSettings)
	k, sender := talk(t, p.address()), talk(t, postgres.Address())
	k.run("listen " + fence)
	for i := range 60 {
		k.doing = fmt.Sprint("round ", i)
		k.run("listen news")
		k.say(simple("begin"), simple("unlisten news"), simple("rollback"))
		for range 3 {
			k.until("Z")
		}
		p.multiplexed()
		sender.run("notify news, 'one'")
		if got := k.everything(); got != "news:one" {
			t.Fatalf("round %d: listening, heard %q", i, got)
		}
		k.run("unlisten news", "listen news", "unlisten news")
		p.multiplexed()
		sender.run("notify news, 'two'")
		if got := k.everything(); got != "" {
			t.Fatalf("round %d: not listening, heard %q", i, got)
		}
	}
}
