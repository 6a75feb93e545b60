package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// Listening when something goes wrong: the hub's connection is lost or can't be
// had, a client doesn't read, a reload leads elsewhere.

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

// A hub that can't come back for a while costs those who listen by it the gap,
// of which they are told, and others nothing: they hear from their servers.
func TestHubThatCantComeBack(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}}, Databases: []string{"app"}})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\n[databases]\n"+on(server, "app", "user=app"))
	a, b := talk(t, p.address()), talk(t, p.address())
	a.run("listen news")
	p.multiplexed()
	pid := p.hubPID()
	b.run("begin; select 1") // has a server
	admin := talk(t, server.Address())
	admin.run("alter role app nologin", fmt.Sprintf("select pg_terminate_backend(%d)", pid))
	eventually(t, "the loss", func() bool { return !p.ListenStats()[0].Connected })
	b.run("listen news", "commit", "notify news, 'missed by one'")
	if got := b.hear(1); got != "news:missed by one" {
		t.Errorf("heard %s", got)
	}
	admin.run("alter role app login")
	a.missed()
	p.multiplexed()
	admin.run("notify news, 'for both'")
	for _, k := range []*talker{a, b} {
		if got := k.hear(1); got != "news:for both" {
			t.Errorf("heard %s", got)
		}
	}
	if st := p.ListenStats()[0]; st.Gaps != 1 {
		t.Errorf("%+v", st)
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

// As many as one transaction may well bring don't send away a client that reads.
func TestBurstSendsNobodyAway(t *testing.T) {
	const n = 100_000
	p := startPooler(t, listenSettings)
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	sender := talk(t, postgres.Address())
	sender.say(simple(fmt.Sprintf("select count(pg_notify('news', i || repeat('x', 60))) from generate_series(1, %d) i", n)))
	for i := range n {
		if a := k.next(); a.typ != wire.NotificationResponse {
			t.Fatalf("after %d: %s", i, types([]answer{a}))
		}
		if got, want := k.heard[0].payload, fmt.Sprint(i+1, strings.Repeat("x", 60)); got != want {
			t.Fatalf("after %d: heard %s", i, got)
		}
		k.heard = nil
	}
	sender.until("Z")
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

// So is a client that was in a transaction when that happened, and asks for
// nothing afterwards.
func TestReloadMovesAListenerInATransaction(t *testing.T) {
	other := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}, Roles: []pgserver.Role{{Name: "app"}}})
	p := startPooler(t, listenSettings+"[databases]\n"+on(postgres, "app", ""))
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	k.run("begin", "select 1")
	p.reload(listenSettings + "[databases]\n" + on(other, "app", "user=app"))
	k.run("commit")
	k.missed()
	talk(t, other.Address()).run("notify news, 'there'")
	if got := k.hear(1); got != "news:there" {
		t.Errorf("heard %s", got)
	}
}

// What the hub has brought before the route changes comes before the notice of
// the gap.
func TestReloadMovesAListenerWithNotificationsToCome(t *testing.T) {
	p := startPooler(t, listenSettings+"[databases]\n"+on(postgres, "app", ""))
	k, sender := talk(t, p.address()), talk(t, postgres.Address())
	k.run("listen news")
	p.multiplexed()
	k.run("begin", "select 1")
	sender.run("notify news, 'before'")
	eventually(t, "it to be brought", func() bool { return p.ListenStats()[0].Delivered == 1 })
	p.reload(listenSettings + "[databases]\n" + on(postgres, "app", "user=app password=secret"))
	eventually(t, "the connection to be closed", func() bool { return !p.ListenStats()[0].Connected })
	sender.run("notify news, 'meanwhile'")
	k.run("commit")
	k.missed()
	sender.run("notify news, 'after'")
	if got := k.hear(2); got != "news:before news:after" {
		t.Errorf("heard %s", got)
	}
}

// What came while a BEGIN that no server saw had failed comes behind the
// ROLLBACK, which none sees either.
func TestNotificationsBehindARollbackThatNoServerSees(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\ndeferred_begin = on\n")
	k := dialTalker(t, p.address())
	key := (&leftover{texts: []string{"listen news"}}).make(k, "postgres", "app")
	p.multiplexed()
	other := talk(t, p.address())
	other.run("begin", "select 1") // has the only server
	k.run("begin")
	k.say(simple("select 1"))
	eventually(t, "it to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
	(&lane{t: t, p: p}).cancel(key)
	if got := types(k.until("Z")); got != "E:57014 Z:E" {
		t.Errorf("cancelled: %s", got)
	}
	talk(t, postgres.Address()).run("notify news, 'one'")
	eventually(t, "it to be brought", func() bool { return p.ListenStats()[0].Delivered == 1 })
	if got := types(k.ask(simple("rollback"))); got != "C Z:I" {
		t.Errorf("rollback: %s", got)
	}
	if got := k.hear(1); got != "news:one" {
		t.Errorf("heard %s", got)
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
	eventually(t, "the server to be told to listen no more", func() bool { return unlistenedServers(t) == 1 })
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
