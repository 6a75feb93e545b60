package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/notify"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
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
			if !strings.Contains(tt.name, "block") { // which pins
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

// hubPID is the process of the hub's server.
func (p *pooler) hubPID() uint32 {
	p.t.Helper()
	var pid uint32
	eventually(p.t, "the hub to be connected", func() bool {
		st := p.ListenStats()
		if len(st) == 1 {
			pid = st[0].ServerPID
		}
		return pid != 0
	})
	return pid
}

// missed waits for the notice of a gap.
func (k *talker) missed() {
	k.t.Helper()
	list := k.until(string([]byte{wire.NoticeResponse}))
	if r := wire.ParseReport(list[len(list)-1].body); r.Code != "01000" || !strings.Contains(r.Message, "missed") {
		k.t.Errorf("told %+v", r)
	}
}

func TestLostHub(t *testing.T) {
	p := startPooler(t, listenSettings)
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("listen news", "listen more")
	b.run("listen news")
	p.multiplexed()
	b.run("begin; select 1")
	admin := talk(t, postgres.Address())
	admin.run(fmt.Sprintf("select pg_terminate_backend(%d)", p.hubPID()))
	a.missed()
	admin.run("notify news, 'again'", "notify more")
	if got := a.hear(2); got != "news:again more:" {
		t.Errorf("heard %s", got)
	}
	if got := types(b.ask(simple("commit"))); got != "C Z:I" {
		t.Errorf("commit: %s", got)
	}
	b.missed()
	if got := b.hear(1); got != "news:again" {
		t.Errorf("heard %s", got)
	}
	if st := p.ListenStats()[0]; st.Gaps != 1 || st.Channels != 2 {
		t.Errorf("%+v", st)
	}
}

// While there is no hub, the client keeps its server and hears from it; that is
// shown when it lasts.
func TestListenWithoutHub(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "narrow", Password: ""}}, Databases: []string{"app"}})
	if err := server.Exec(context.Background(), "postgres", "alter role narrow connection limit 1"); err != nil {
		t.Fatal(err)
	}
	p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", "user=narrow"))
	k := talk(t, p.address())
	k.run("listen news", "notify news, 'one'")
	if got := k.hear(1); got != "news:one" {
		t.Errorf("heard %s", got)
	}
	eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
	if pin := p.Pins()[0]; !slices.Equal(pin.Kinds, []string{"listen"}) || pin.Cause != "listen news" {
		t.Errorf("%+v", pin)
	}
	if err := server.Exec(context.Background(), "postgres", "alter role narrow connection limit -1"); err != nil {
		t.Fatal(err)
	}
	p.multiplexed()
	k.run("notify news, 'two'")
	if got := k.hear(1); got != "news:two" {
		t.Errorf("heard %s", got)
	}
}

// A client whose encoding Postgres would have to convert to keeps its server.
func TestListenInAnotherEncoding(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\n")
	k := talk(t, p.address(), wire.Param{Name: "client_encoding", Value: "LATIN1"})
	k.run("listen news")
	eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
	talk(t, postgres.Address()).run("notify news, 'é'")
	if got := k.hear(1); got != "news:\xe9" {
		t.Errorf("heard %q", got)
	}
	k.run("unlisten news")
	p.multiplexed()
}

// The same name in all spellings.
func TestChannelNames(t *testing.T) {
	p := startPooler(t, listenSettings)
	long := strings.Repeat("x", 70)
	for _, name := range []string{`news`, `NEWS`, `"NEWS"`, `"a ""b"" c"`, `"'"`, `été`, `"Été"`, long, `"` + strings.Repeat("é", 40) + `"`, `U&"d\0061ta"`} {
		k := talk(t, p.address())
		k.run("listen fence", "listen "+name)
		p.multiplexed()
		sender := talk(t, p.address())
		if strings.HasPrefix(name, "U&") || strings.Contains(name, "é") && len(name) > 63 || name == long {
			sender = talk(t, postgres.Address())
			sender.run("select pg_notify(c, 'x') from (select 'data' as c where '" + name[:2] + "' = 'U&') v")
			k.everything()
			_ = k.conn.Close()
			continue
		}
		sender.run("notify " + name + ", 'x'")
		if got := k.everything(); !strings.HasSuffix(got, ":x") {
			t.Errorf("%s: heard %q", name, got)
		}
		k.run("unlisten " + name)
		p.multiplexed()
		sender.run("notify " + name + ", 'y'")
		if got := k.everything(); got != "" {
			t.Errorf("%s, which isn't listened on any more: heard %q", name, got)
		}
		_ = k.conn.Close()
	}
}

// Too much for a client that stays in its transaction, or doesn't read.
func TestTooManyNotifications(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nlisten_queue_size = 10\n")
	sender := talk(t, postgres.Address())
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	notify := func(n int) {
		sender.run(fmt.Sprintf("select pg_notify('news', i::text) from generate_series(1, %d) i", n))
	}
	notify(500) // which it takes at once
	k.hear(500)
	k.run("begin")
	notify(10)
	k.run("commit")
	k.hear(10)
	k.run("begin")
	notify(11)
	list := k.until("E")
	if r := wire.ParseReport(list[len(list)-1].body); r.Code != "54000" || !strings.Contains(r.Message, "listen_queue_size") || r.Severity != severityFatal {
		t.Errorf("told %+v", r)
	}
	k.ended()
	eventually(t, "the hub to forget it", func() bool { return p.ListenStats()[0].Listeners == 0 })
	p.multiplexed()
}

func TestListenerThatNeverReads(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nlisten_queue_size = 50\n")
	deaf, k := talk(t, p.address()), talk(t, p.address())
	deaf.run("listen news")
	k.run("listen done")
	p.multiplexed()
	sender := talk(t, postgres.Address())
	for range 200 {
		sender.run("select pg_notify('news', i || repeat('x', 7000)) from generate_series(1, 50) i")
		if p.ListenStats()[0].Listeners == 1 {
			break
		}
	}
	eventually(t, "it to be sent away", func() bool { return p.ListenStats()[0].Listeners == 1 })
	sender.run("notify done")
	if got := k.hear(1); got != "done:" {
		t.Errorf("another hears %s", got)
	}
	if p.State().Errors["54000"] != 1 {
		t.Errorf("errors: %v", p.State().Errors)
	}
}

// A reload that leads elsewhere takes the hub along.
func TestReloadMovesTheHub(t *testing.T) {
	other := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}, Roles: []pgserver.Role{{Name: "app"}}})
	p := startPooler(t, listenSettings+"[databases]\n"+on(postgres, "app", ""))
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	steps := []struct {
		line string
		at   *pgserver.Server
	}{
		{on(other, "app", ""), other},
		{on(postgres, "app", ""), postgres},
		{on(postgres, "app", "user=app password=secret"), postgres}, // another route
		{on(other, "app", "user=postgres"), other},                  // the same route, another user
		{on(postgres, "app", ""), postgres},
	}
	for i, step := range steps {
		p.reload(listenSettings + "[databases]\n" + step.line)
		k.missed()
		talk(t, step.at.Address()).run("notify news, 'there'")
		if got := k.hear(1); got != "news:there" {
			t.Errorf("step %d: heard %s", i, got)
		}
		if got := k.query("select 'alive'"); got != "alive" {
			t.Error(got)
		}
	}
}

// Where it is to be pinned it is, and what was multiplexed before stays.
func TestReloadOfThePolicy(t *testing.T) {
	const settings = "pool_mode = transaction\ndefault_pool_size = 2\n"
	p := startPooler(t, settings)
	k := talk(t, p.address())
	k.run("listen fence", "listen a")
	p.multiplexed()
	p.reload(settings + "state_listen = pin\n")
	k.run("listen b")
	eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
	sender := talk(t, postgres.Address())
	sender.run("notify a; notify b")
	for len(k.heard) < 2 {
		k.next()
	}
	k.told()
	k.run("unlisten b")
	p.multiplexed()
	k.run("unlisten a")
	sender.run("notify a; notify b")
	if got := k.everything(); got != "" {
		t.Errorf("heard %q", got)
	}
	p.reload(settings + "session_state = ignore\nsession_audit = off\nstate_unsure = ignore\n")
	k.run("listen c", "unlisten fence")
	eventually(t, "the hub to be told", func() bool { return p.ListenStats()[0].Listeners == 0 })
}

// What we ask a server in between takes nothing from the client: not even the
// statement without a name, which a Query drops.
func TestUnnamedStatementOutlivesTheChangeOver(t *testing.T) {
	p := startPooler(t, listenSettings)
	k := talk(t, p.address())
	k.run("create temp table mine (a int)")
	k.say(simple("listen news"), parse("", "select 42"), syncNow)
	k.until("Z")
	k.until("Z")
	eventually(t, "the server to be told to listen no more", func() bool {
		return count(t, postgres, "select count(*) from pg_stat_activity where query = 'UNLISTEN *' and state = 'idle'") == 1
	})
	if got := values(k.ask(bind("", ""), execute("", 0), syncNow)); !slices.Equal(got, []string{"42"}) {
		t.Errorf("the statement says %q", got)
	}
	k.run("notify news, 'x'")
	if got := k.hear(1); got != "news:x" {
		t.Errorf("heard %s", got)
	}
	if pins := p.Pins(); len(pins) != 1 || !slices.Equal(pins[0].Kinds, []string{"temporary"}) {
		t.Errorf("%+v", pins)
	}
}

// A cancel request that comes late hits a query of ours, and changes nothing.
func TestCancelDuringTheChangeOver(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\n")
	sender := talk(t, postgres.Address())
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c, err := pgconn.ParseConfig(p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	c.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { got = append(got, n.Channel+":"+n.Payload) }
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the test is over
	for i := range 100 {
		done := start(conn, fmt.Sprintf("listen news_%d", i))
		for range i % 3 {
			if err := conn.CancelRequest(ctx); err != nil {
				t.Fatal(err)
			}
		}
		err := result(t, done)
		if err != nil && sqlState(err) != "57014" {
			t.Fatal(err)
		}
		for range i % 4 {
			if err := conn.CancelRequest(ctx); err != nil {
				t.Fatal(err)
			}
		}
		p.multiplexed()
		sender.run(fmt.Sprintf("notify news_%d, 'x'", i))
		if want := fmt.Sprintf("news_%d:x", i); err == nil {
			for len(got) == 0 {
				if err := conn.WaitForNotification(ctx); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
			}
			if len(got) != 1 || got[0] != want {
				t.Fatalf("round %d: heard %q", i, got)
			}
		}
		got = nil
	}
}

// A hub's connection ends with its route, and with the proxy.
func TestHubEnds(t *testing.T) {
	gone := func(pid uint32) func() bool {
		return func() bool {
			return count(t, postgres, fmt.Sprintf("select count(*) from pg_stat_activity where pid = %d", pid)) == 0
		}
	}
	p := startPooler(t, listenSettings+"autodb_idle_timeout = 0.001\nserver_idle_timeout = 0.01\n")
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	pid := p.hubPID()
	_ = k.conn.Close()
	eventually(t, "the route to be forgotten", func() bool {
		p.closeIdleRoutes()
		return len(p.ListenStats()) == 0
	})
	eventually(t, "its connection to be closed", gone(pid))
	talk(t, p.address()).run("listen news")
	p.multiplexed()
	pid = p.hubPID()
	p.stop(Immediate)
	p.ended()
	eventually(t, "the connection to be closed", gone(pid))
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
