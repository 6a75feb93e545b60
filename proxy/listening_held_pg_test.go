package proxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What happens while a ReadyForQuery waits for what the client has notified
// itself, which the hub is to bring.

// stuck has the hub's server stand still until the function that it returns is
// called.
func (p *pooler) stuck() (goOn func()) {
	p.t.Helper()
	pid := int(p.hubPID())
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	goOn = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	p.t.Cleanup(goOn)
	return goOn
}

// A client that is out of patience with a hub that stands still is so once.
func TestAHubThatIsStuckIsWaitedForOnce(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}})
	p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", ""))
	k := talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	goOn := p.stuck()
	const rounds = 60
	begun := time.Now()
	var pipeline []pgproto3.FrontendMessage
	for i := range rounds {
		pipeline = append(pipeline, simple("notify news, '"+strconv.Itoa(i)+"'"))
	}
	k.say(pipeline...)
	for range rounds {
		if got := course(t, k.until("Z")); got != "C Z:I" {
			t.Fatalf("while it is stuck: %s", got)
		}
	}
	if took := time.Since(begun); took > rounds/2*p.ownPatience {
		t.Errorf("%d took %v", rounds, took)
	}
	goOn()
	for i := range rounds {
		if got := k.heardNext(); got != "news:"+strconv.Itoa(i) {
			t.Fatalf("number %d is %s", i, got)
		}
	}
	eventually(t, "it to be waited for again", func() bool {
		return course(t, k.ask(simple("notify news, 'at once'"))) == "C news:at once Z:I"
	})
}

// heardNext waits for the next notification, and keeps those behind it.
func (k *talker) heardNext() string {
	k.t.Helper()
	for len(k.heard) == 0 {
		k.next()
	}
	first := k.heard[0]
	k.heard = k.heard[1:]
	return first.String()
}

// What is committed isn't an error because the hub takes its time.
func TestTimeLimitsWhileAHubIsStuck(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}})
	for _, limit := range []string{"query_timeout", "transaction_timeout"} {
		t.Run(limit, func(t *testing.T) {
			p := startPooler(t, listenSettings+limit+" = 0.3\n[databases]\n"+on(server, "app", ""))
			k := talk(t, p.address())
			k.run("listen news")
			p.multiplexed()
			goOn := p.stuck()
			if got := course(t, k.ask(simple("notify news, 'late'"))); got != "C Z:I" {
				t.Fatalf("while it is stuck: %s", got)
			}
			goOn()
			if got := k.hear(1); got != "news:late" {
				t.Errorf("heard %s", got)
			}
			k.say(simple("select pg_sleep(60)"))
			if got := types(k.until("E")); !strings.Contains(got, "E:57014") && !strings.Contains(got, "E:25P04") {
				t.Errorf("the limit: %s", got)
			}
		})
	}
}

// readyHeld has a client whose ReadyForQuery waits.
func readyHeld(t *testing.T, p *pooler) (k *talker, goOn func()) {
	t.Helper()
	k = talk(t, p.address())
	k.run("listen news")
	p.multiplexed()
	goOn = p.stuck()
	k.say(simple("notify news, 'own'"))
	k.until("C")
	return k, goOn
}

func TestWhileAReadyForQueryWaits(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}})
	admin := talk(t, server.Address())
	for _, tt := range []struct {
		name string
		test func(t *testing.T, p *pooler, k *talker, goOn func())
	}{
		{"the server is terminated", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			admin.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'app' and application_name = '' and pid <> pg_backend_pid()")
			eventually(t, "it to be gone", func() bool {
				return admin.query("select count(*) from pg_stat_activity where datname = 'app' and application_name = '' and pid <> pg_backend_pid()") == "0"
			})
			goOn()
			if got := course(t, k.until("Z")); got != "news:own Z:I" {
				t.Errorf("got %s", got)
			}
			if got := k.query("select 'alive'"); got != "alive" {
				t.Error(got)
			}
		}},
		{"the client's sending side is closed", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			if err := k.conn.(halfCloser).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			goOn()
			list := k.ended()
			rest := list[:0]
			for _, a := range list {
				if a.typ != wire.ParameterStatus {
					rest = append(rest, a)
				}
			}
			if got := course(t, rest); got != "news:own Z:I" {
				t.Errorf("got %s", got)
			}
		}},
		{"nothing begins any more", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			p.Shutdown(WaitForServers)
			goOn()
			if got := course(t, k.ended()); got != "news:own Z:I E:57P01" {
				t.Errorf("got %s", got)
			}
		}},
		{"RECONNECT", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			if err := p.Reconnect("app"); err != nil {
				t.Fatal(err)
			}
			if got := course(t, k.until("Z")); got != "Z:I" {
				t.Errorf("got %s", got)
			}
			k.missed()
			if got := k.query("select 'alive'"); got != "alive" {
				t.Error(got)
			}
		}},
		{"PAUSE", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			if err := p.Hold("app"); err != nil {
				t.Fatal(err)
			}
			if got := course(t, k.until("Z")); got != "Z:I" {
				t.Errorf("got %s", got)
			}
			if err := p.Resume("app"); err != nil {
				t.Fatal(err)
			}
			k.missed()
		}},
		{"KILL", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			if err := p.Kill("app"); err != nil {
				t.Fatal(err)
			}
			if got := course(t, k.ended()); got != "E:57P01" {
				t.Errorf("got %s", got)
			}
		}},
		{"more is asked", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			k.say(simple("begin; notify news, 'two'; commit"), simple("select 1"))
			goOn()
			for range 3 {
				k.until("Z")
			}
			if got := k.told(); got != "news:own news:two" {
				t.Errorf("heard %s", got)
			}
		}},
		{"more comes than the client takes", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			goOn()
			k.until("Z")
			goOn = p.stuck()
			k.say(simple("select repeat('x', 1000000) from generate_series(1, 10); notify news, 'two'"), simple("select 1"))
			k.until("C")
			k.until("C")
			goOn()
			if got := course(t, k.until("Z")) + ", " + course(t, k.until("Z")); got != "news:two Z:I, T D C Z:I" {
				t.Errorf("got %s", got)
			}
		}},
		{"the database is moved", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			p.reload(listenSettings + "[databases]\n" + on(postgres, "app", ""))
			if got := course(t, k.until("Z")); got != "Z:I" {
				t.Errorf("got %s", got)
			}
			k.missed()
			k.run("notify news, 'there'")
			if got := k.hear(1); got != "news:there" {
				t.Errorf("heard %s", got)
			}
		}},
		{"the client leaves", func(t *testing.T, p *pooler, k *talker, goOn func()) {
			_ = k.conn.Close()
			p.multiplexed()
			eventually(t, "the hub to forget it", func() bool { return p.ListenStats()[0].Listeners == 0 })
			goOn()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", ""))
			p.patient()
			k, goOn := readyHeld(t, p)
			tt.test(t, p, k, goOn)
		})
	}
}

// Clients that change what they listen on in the transaction in which they
// notify hear what they would on a connection of their own, when they would.
func TestOwnNotificationsWithWhatChangesThem(t *testing.T) {
	admin := talk(t, postgres.Address())
	admin.run("create table if not exists own_unique (n int unique deferrable initially deferred)", "truncate own_unique", "insert into own_unique values (1)")
	defer admin.run("drop table own_unique")
	for _, audit := range []string{"suspicious", "always"} {
		p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2\nsession_audit = "+audit+"\nevent_loops = 2\n")
		p.patient()
		other := talk(t, p.address())
		other.run("listen c") // which the hub has for another
		p.multiplexed()
		for _, tt := range []struct {
			name   string
			before string
			say    []pgproto3.FrontendMessage
		}{
			{"first transaction", "", []pgproto3.FrontendMessage{simple("begin; listen a; notify a, '1'; commit")}},
			{"first transaction, which another listens on", "", []pgproto3.FrontendMessage{simple("begin; listen c; notify c, '1'; commit")}},
			{"first query", "", []pgproto3.FrontendMessage{simple("listen a; notify a, '1'")}},
			{"one more", "listen a", []pgproto3.FrontendMessage{simple("begin; listen c; notify c, '1'; notify a, '2'; commit"), simple("notify c, '3'")}},
			{"unlisten first", "listen a; listen c", []pgproto3.FrontendMessage{simple("begin; unlisten a; notify a, '1'; notify c, '2'; commit")}},
			{"unlisten and listen", "listen a; listen c", []pgproto3.FrontendMessage{simple("begin; notify a, '1'; unlisten *; listen a; notify c, '2'; commit"), simple("notify a, '3'")}},
			{"unlisten that is rolled back", "listen a", []pgproto3.FrontendMessage{simple("begin; savepoint s; unlisten a; rollback to s; notify a, '1'; commit")}},
			{"a commit that fails", "listen a", []pgproto3.FrontendMessage{simple("begin"), simple("notify a, '1'"), simple("insert into own_unique values (1)"), simple("commit"), simple("select 1")}},
			{"a batch that fails at its end", "listen a", []pgproto3.FrontendMessage{
				parse("", "notify a, '1'"), bind("", ""), execute("", 0), parse("", "insert into own_unique values (1)"), bind("", ""), execute("", 0), syncNow, simple("notify a, '2'"),
			}},
			{"a batch that fails behind it", "listen a", []pgproto3.FrontendMessage{
				parse("", "notify a, '1'"), bind("", ""), execute("", 0), parse("", "select 1/0"), bind("", ""), execute("", 0), syncNow, simple("notify a, '2'"),
			}},
			{"and chain", "listen a", []pgproto3.FrontendMessage{simple("begin"), simple("notify a, '1'"), simple("commit and chain"), simple("notify a, '2'"), simple("rollback")}},
			{"COPY", "listen a", []pgproto3.FrontendMessage{simple("notify a, '1'; copy own_unique from stdin; notify a, '2'"), &pgproto3.CopyDone{}, simple("copy (select 1) to stdout; notify a, '3'")}},
			{"a failed COPY", "listen a", []pgproto3.FrontendMessage{simple("notify a, '1'; copy own_unique from stdin"), &pgproto3.CopyFail{}, simple("notify a, '2'")}},
			{"discard all", "listen a", []pgproto3.FrontendMessage{simple("notify a, '1'"), simple("discard all"), simple("notify a, '2'")}},
			{"a temporary table", "listen a; create temp table own_temp (n int)", []pgproto3.FrontendMessage{simple("notify a, '1'"), simple("listen c"), simple("notify c, '2'"), simple("select pg_notify('a', '3')")}},
			{"in parts", "listen a", []pgproto3.FrontendMessage{
				parse("", "select pg_notify('a', n::text) from generate_series(1, 3) n"), bind("", ""), execute("", 1), execute("", 1), syncNow, simple("select 1"),
			}},
			{"a great many", "listen a", []pgproto3.FrontendMessage{simple("select count(pg_notify('a', n::text)) from generate_series(1, 1000) n"), simple("select 1")}},
		} {
			var got [2]string
			for i, address := range []string{p.address(), postgres.Address()} { // one after the other
				k := talk(t, address)
				k.doing = tt.name
				if tt.before != "" {
					k.run(tt.before)
				}
				if !strings.Contains(tt.before, "temp") {
					p.multiplexed()
				}
				for _, m := range tt.say {
					k.say(m)
					switch m.(type) {
					case *pgproto3.Query, *pgproto3.Sync, *pgproto3.CopyDone, *pgproto3.CopyFail:
						got[i] += course(t, k.until("ZG")) + "\n"
					}
				}
				k.heard = nil
				k.run("listen " + fence)
				got[i] += "behind: " + k.everything() + "\n"
				k.run("unlisten *")
				_ = k.conn.Close()
			}
			if got[0] != got[1] {
				t.Errorf("%s, %s: by way of the pooler\n%sdirectly\n%s", audit, tt.name, got[0], got[1])
			}
		}
	}
}

// However short patience is, all come once and in their order, also to one who
// takes its time to read.
func TestOwnNotificationsOfTheImpatient(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3\nevent_loops = 2\n")
	p.ownPatience = 100 * time.Microsecond
	const rounds = 200
	var wait sync.WaitGroup
	for i := range 6 {
		k := talk(t, p.address())
		k.run(fmt.Sprintf("listen own%d; listen everybody", i))
		p.multiplexed()
		wait.Go(func() {
			var batch []pgproto3.FrontendMessage
			answers := 0
			for n := range rounds {
				batch = append(batch,
					simple(fmt.Sprintf("notify own%d, '%d'", i, n)),
					simple(fmt.Sprintf("begin; notify everybody, '%d %d'; notify own%d, 'taken back'; rollback", i, n, i)),
					simple("select repeat('x', 20000)"))
				answers += 3
				if n%20 == 19 {
					batch = append(batch, simple(fmt.Sprintf("begin; unlisten own%d; listen own%d; commit", i, i)))
					answers++
					k.say(batch...)
					for ; answers > 0; answers-- {
						k.until("Z")
					}
					batch = nil
				}
			}
			for n := range rounds {
				if got, want := k.heardNext(), fmt.Sprintf("own%d:%d", i, n); got != want {
					t.Errorf("heard %s, want %s", got, want)
					return
				}
			}
			if len(k.heard) > 0 {
				t.Errorf("heard more: %s", k.told())
			}
		})
	}
	wait.Wait()
}

// A cancel request finds nothing to cancel any more, and hits nobody else.
func TestCancelWhileAReadyForQueryWaits(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}})
	admin := talk(t, server.Address())
	p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", ""))
	p.patient()
	conn, other := p.connect("postgres", "app"), talk(t, p.address())
	if err := result(t, start(conn, "listen news")); err != nil {
		t.Fatal(err)
	}
	p.multiplexed()
	goOn := p.stuck()
	done := start(conn, "notify news, 'own'")
	eventually(t, "it to be done", func() bool {
		return admin.query("select count(*) from pg_stat_activity where state = 'idle' and query like 'notify%'") == "1"
	})
	other.say(simple("select 'the next'"))
	if err := conn.CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	goOn()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
	if got := types(other.until("Z")); got != "T D C Z:I" {
		t.Errorf("another client got %s", got)
	}
}
