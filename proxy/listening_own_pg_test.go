package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/reactor"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// What a client notifies itself comes when it does on a direct connection, though
// by way of the hub.

// course is types, and with each notification what it says.
func course(t testing.TB, list []answer) string {
	words := strings.Fields(types(list))
	for i, a := range list {
		if words[i] == "A" {
			words[i] = hearNote(t, a.body).String()
		}
	}
	return strings.Join(words, " ")
}

// patient has clients wait as long for their own notifications as the test does.
func (p *pooler) patient() {
	p.ownPatience = patience
	for _, w := range p.workers {
		seen := make(chan bool)
		w.Post(reactor.TaskFunc(func() { close(seen) }))
		<-seen
	}
}

func TestOwnNotificationsComeBeforeReadyForQuery(t *testing.T) {
	p := startPooler(t, listenSettings)
	p.patient()
	for _, tt := range []struct {
		name string
		say  []pgproto3.FrontendMessage
	}{
		{"NOTIFY", []pgproto3.FrontendMessage{simple("notify a, '1'")}},
		{"pg_notify", []pgproto3.FrontendMessage{simple("select pg_notify('a', '1')")}},
		{"several", []pgproto3.FrontendMessage{simple("notify a, '1'; notify b, '2'; notify a, '3'; notify c")}},
		{"in a transaction", []pgproto3.FrontendMessage{simple("begin"), simple("notify a, '1'"), simple("select 1"), simple("commit")}},
		{"in one that fails", []pgproto3.FrontendMessage{simple("begin"), simple("notify a, '1'"), simple("select 1/0"), simple("rollback")}},
		{"rolled back to a savepoint", []pgproto3.FrontendMessage{simple("begin; notify a, '1'; savepoint s; notify a, '2'; rollback to s; commit")}},
		{"in the extended protocol", []pgproto3.FrontendMessage{parse("", "notify a, '1'"), bind("", ""), execute("", 0), syncNow}},
		{"prepared", []pgproto3.FrontendMessage{bind("", "kept", "a"), execute("", 0), syncNow}},
		{"and an UNLISTEN", []pgproto3.FrontendMessage{simple("begin; notify a, '1'; notify b, '2'; unlisten a; commit"), simple("select 1")}},
		{"which is all that is left", []pgproto3.FrontendMessage{simple("notify a, '1'; notify b, '2'"), simple("select 1")}},
	} {
		var got [2]string
		for i, address := range []string{p.address(), postgres.Address()} { // one after the other
			k := talk(t, address)
			k.doing = tt.name
			k.ask(parse("kept", "select pg_notify($1, 'prepared')"), syncNow)
			k.run("listen a; listen b")
			p.multiplexed()
			k.say(tt.say...)
			for _, m := range tt.say {
				switch m.(type) {
				case *pgproto3.Query, *pgproto3.Sync:
					got[i] += course(t, k.until("Z")) + "\n"
				}
			}
			k.run("unlisten *") // the other one mustn't hear of it
			_ = k.conn.Close()
		}
		if got[0] != got[1] {
			t.Errorf("%s: by way of the pooler\n%sdirectly\n%s", tt.name, got[0], got[1])
		}
	}
}

// Many times, by many clients on few servers.
func TestOwnNotificationsAlwaysComeBefore(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3\nevent_loops = 2\n")
	p.patient()
	var wait sync.WaitGroup
	for i := range 8 {
		k := talk(t, p.address())
		channel := fmt.Sprint("own", i)
		k.run("listen "+channel, "listen everybody")
		p.multiplexed()
		wait.Go(func() {
			for n := range 100 {
				for _, payload := range []string{fmt.Sprint(n, "a"), fmt.Sprint(n, "b")} {
					list := k.ask(simple("begin; notify everybody; select pg_notify('" + channel + "', '" + payload + "'); commit"))
					if got, want := course(t, list), channel+":"+payload; !strings.Contains(got+" ", want+" ") || !strings.HasSuffix(got, " Z:I") {
						t.Errorf("%s: got %s", want, got)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	if got := p.Pools()[0].Pool.Open; got > 3 {
		t.Errorf("%d servers", got)
	}
}

// A hub whose server has come to a stop delays nobody for long.
func TestOwnNotificationsOfAHubThatIsStuck(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}})
	p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", ""))
	k, other := talk(t, p.address()), talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	pid := int(p.hubPID())
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	signal(syscall.SIGSTOP)
	if got := course(t, k.ask(simple("notify news, 'late'"))); got != "C Z:I" {
		t.Errorf("while it is stuck: %s", got)
	}
	if got := other.query("select 'alive'"); got != "alive" {
		t.Error(got)
	}
	signal(syscall.SIGCONT)
	if got := k.hear(1); got != "news:late" {
		t.Errorf("heard %s", got)
	}
	signal(syscall.SIGSTOP)
	k.say(simple("notify news, 'unheard'"))
	_ = k.conn.Close()
	p.multiplexed()
	signal(syscall.SIGCONT)
	if got := other.query("select 'alive'"); got != "alive" {
		t.Error(got)
	}
}

// In a pipeline they may come with an earlier answer, since the server is ahead of
// the client by then; never with a later one, and in their order.
func TestOwnNotificationsInAPipeline(t *testing.T) {
	p := startPooler(t, listenSettings)
	p.patient()
	k := talk(t, p.address())
	k.ask(parse("kept", "select pg_notify($1, $2)"), syncNow)
	k.run("listen a; listen b")
	p.multiplexed()
	for range 50 {
		k.say(
			bind("", "kept", "a", "1"), execute("", 0), syncNow,
			bind("", "kept", "b", "2"), execute("", 0), syncNow,
			simple("select 1"),
			bind("", "kept", "a", "3"), execute("", 0), bind("", "kept", "c", "4"), execute("", 0), syncNow,
			simple("notify b, '5'"), simple("select 2"),
		)
		heard := 0
		for i, want := range []struct {
			rest  string
			notes int // that have come by then, at least
		}{{"2 D C Z:I", 1}, {"2 D C Z:I", 2}, {"T D C Z:I", 2}, {"2 D C 2 D C Z:I", 3}, {"C Z:I", 4}, {"T D C Z:I", 4}} {
			rest := ""
			for _, a := range k.until("Z") {
				if a.typ == wire.NotificationResponse {
					heard++
				} else {
					rest += " " + types([]answer{a})
				}
			}
			if rest != " "+want.rest || heard < want.notes {
				t.Fatalf("answer %d is%s, with %d notifications by then", i, rest, heard)
			}
		}
		if got := k.told(); got != "a:1 b:2 a:3 b:5" {
			t.Fatalf("heard %s", got)
		}
	}
}

// pgx, which prepares what it is given, has them when it returns.
func TestPgxHasItsOwnNotifications(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\n")
	p.patient()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.ParseConfig(p.url("postgres", "app"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	c.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { got = append(got, n.Payload) }
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the test is over
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("select pg_notify($1, $2)", "news", "before it listens")
	exec("listen news")
	p.multiplexed()
	for i := range 20 {
		exec("select pg_notify($1, $2)", "news", fmt.Sprint(i))
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		exec("notify news, 'in a transaction'")
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if want := []string{fmt.Sprint(i), "in a transaction"}; !slices.Equal(got, want) {
			t.Fatalf("round %d: it has %q", i, got)
		}
		got = nil
	}
}
