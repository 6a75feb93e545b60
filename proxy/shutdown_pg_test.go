package proxy

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/proxy/reactor"
	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"
)

// taskOf is f as work for a loop.
func taskOf(f func()) reactor.Task { return reactor.TaskFunc(f) }

// openDescriptors is how many descriptors the process has.
func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// stop shuts the proxy down and waits until it accepts nobody any more and has
// let go of its sockets.
func (p *pooler) stop(mode ShutdownMode) {
	p.t.Helper()
	p.Shutdown(mode)
	p.ended()
}

// ended waits until Run has returned.
func (p *pooler) ended() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the proxy doesn't end")
	}
}

func (p *pooler) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// refusesConnections reports whether nobody listens any more.
func (p *pooler) refusesConnections() bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

// Clients that are there may stay as long as they like; new ones don't get in.
func TestShutdownThatWaitsForClients(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := startPooler(t, "pool_mode = "+mode)
			a, b := p.enter("app", "app"), p.enter("app", "app")
			late := p.knock() // connected, not logged in
			late.send(startupPacket("app", "app")[:10])
			eventually(t, "all to be accepted", func() bool { return p.State().Accepted == 3 })
			p.Shutdown(WaitForClients)
			eventually(t, "new connections to be refused", p.refusesConnections)
			late.send(startupPacket("app", "app")[10:])
			if r := late.refusal(); r.Code != "57P03" {
				t.Errorf("a client that was late: %+v, want 57P03", r)
			}
			for _, c := range []*wireClient{a, b} {
				if got := c.answer("select 'still here'"); got != "still here" {
					t.Errorf("a client got %q", got)
				}
				if p.hasEnded() {
					t.Fatal("the proxy ended before its clients left")
				}
				c.send(wire.AppendEmpty(nil, wire.Terminate))
			}
			p.ended()
		})
	}
}

// What is in a transaction comes to its end, what isn't is told to go.
func TestShutdownThatWaitsForServers(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 2")
			idle, busy := p.enter("app", "app"), p.enter("app", "app")
			busy.query("begin")
			busy.until(wire.ReadyForQuery)
			if mode == "session" {
				idle.answer("select 1")
			}
			late := p.knock()
			late.send(startupPacket("app", "app")[:10])
			eventually(t, "all to be accepted", func() bool { return p.State().Accepted == 3 })
			p.Shutdown(WaitForServers)
			if r := idle.refusal(); r.Code != "57P01" {
				t.Errorf("the idle client: %+v, want 57P01", r)
			}
			late.send(startupPacket("app", "app")[10:])
			if r := late.refusal(); r.Code != "57P03" {
				t.Errorf("a client that was late: %+v, want 57P03", r)
			}
			if !p.refusesConnections() {
				t.Error("new connections are accepted")
			}
			if got := busy.answer("select 'in time'"); got != "in time" {
				t.Errorf("the busy client got %q", got)
			}
			if p.hasEnded() {
				t.Fatal("the proxy ended in the middle of a transaction")
			}
			busy.query("commit")
			busy.until(wire.CommandComplete)
			if r := busy.refusal(); r.Code != "57P01" {
				t.Errorf("the busy client, after its transaction: %+v, want 57P01", r)
			}
			p.ended()
		})
	}
}

// A client that is proving who it is when the end begins isn't let in behind
// the back of those who were sent away.
func TestShutdownInTheMiddleOfALogin(t *testing.T) {
	for _, mode := range []ShutdownMode{WaitForClients, WaitForServers} {
		p := startPooler(t, "pool_mode = transaction\nauth_type = plain")
		late, holder := p.knock(), p.knock()
		for _, c := range []*wireClient{late, holder} {
			c.send(startupPacket("app", "app"))
			c.until(wire.Authentication)
		}
		holder.send(wire.AppendPassword(nil, []byte("secret\x00")))
		holder.until(wire.ReadyForQuery)
		holder.query("begin")
		holder.until(wire.ReadyForQuery)
		p.Shutdown(mode)
		eventually(t, "new connections to be refused", p.refusesConnections)
		late.send(wire.AppendPassword(nil, []byte("secret\x00")))
		if r := late.refusal(); r.Code != "57P03" {
			t.Errorf("%s: %+v, want 57P03", mode, r)
		}
	}
}

// A login that has begun before the end gets the time it takes: where another
// process takes over it succeeds, else the client is told so.
func TestShutdownLetsLoginsEnd(t *testing.T) {
	begin := func(settings string) (*pooler, *wireClient) {
		p := startPooler(t, "pool_mode = transaction\n"+settings)
		late := p.knock()
		late.send(startupPacket("app", "app")[:10])
		eventually(t, "it to be accepted", func() bool { return p.State().Accepted == 1 })
		p.Shutdown(WaitForClients)
		eventually(t, "new connections to be refused", p.refusesConnections)
		late.send(startupPacket("app", "app")[10:])
		return p, late
	}
	p, late := begin("so_reuseport = 1")
	late.until(wire.ReadyForQuery)
	if got := late.answer("select 'in time'"); got != "in time" {
		t.Errorf("a client got %q", got)
	}
	late.send(wire.AppendEmpty(nil, wire.Terminate))
	p.ended()
	p, late = begin("")
	if r := late.refusal(); r.Code != "57P03" {
		t.Errorf("%+v, want 57P03", r)
	}
	p.ended()
}

// Who says nothing at all in its login is told before it is cut off.
func TestShutdownTellsWhoIsLoggingIn(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction")
	silent := p.knock()
	silent.send(startupPacket("app", "app")[:4])
	eventually(t, "it to be accepted", func() bool { return p.State().Accepted == 1 })
	p.stop(Immediate)
	if r := silent.refusal(); r.Code != "57P03" {
		t.Errorf("%+v, want 57P03", r)
	}
}

// A login that has begun and doesn't go on doesn't keep the proxy from ending.
func TestShutdownDoesNotWaitForAStalledLogin(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nauth_type = scram-sha-256")
	stalled := p.knock()
	stalled.send(startupPacket("app", "app"))
	stalled.until(wire.Authentication) // and says no more
	p.Shutdown(WaitForClients)
	if r := stalled.refusal(); r.Code != "57P03" {
		t.Errorf("%+v, want 57P03", r)
	}
	select {
	case <-p.done:
	case <-time.After(talkerPatience):
		t.Error("it waits")
	}
}

// isTold expects that what the client has asked for is answered with 57P01, in
// whole, and that the connection ends then.
func (c *wireClient) isTold(who string) {
	c.t.Helper()
	if r := wire.ParseReport(c.until(wire.ErrorResponse)); r.Code != "57P01" {
		c.t.Errorf("%s: %+v, want 57P01", who, r)
	}
	if typ, _, err := c.next(); err != nil || typ != wire.ReadyForQuery {
		c.t.Errorf("%s: %q, %v after the error", who, typ, err)
	}
	if typ, _, err := c.next(); err == nil {
		c.t.Errorf("%s: the connection goes on with %q", who, typ)
	}
}

// After half of shutdown_timeout clients hear in the answer to their next
// statement that they have to go, and nothing of that is executed; transactions
// come to their end, and who is quiet stays until the end of the time.
func TestShutdownAsksClientsToLeave(t *testing.T) {
	direct(t, "create table leavers (who text)")
	direct(t, "grant all on leavers to public")
	defer direct(t, "drop table leavers")
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := startPooler(t, "default_pool_size = 20\nshutdown_timeout = 3\npool_mode = "+mode)
			quiet, simple, piped, extended, torn, busy := p.enter("app", "app"), p.enter("app", "app"), p.enter("app", "app"),
				p.enter("app", "app"), p.enter("app", "app"), p.enter("app", "app")
			for _, c := range []*wireClient{quiet, simple, piped, extended, torn} {
				c.answer("select 1")
			}
			busy.query("begin")
			busy.until(wire.ReadyForQuery)
			p.Shutdown(WaitForClients)
			eventually(t, "half of the time to be over", func() bool { return strings.Contains(p.log.String(), "half of shutdown_timeout") })
			for _, w := range p.workers {
				through := make(chan struct{})
				w.Post(taskOf(func() { close(through) }))
				<-through
			}

			simple.query("insert into leavers values ('simple')")
			simple.isTold("simple")
			both := wire.AppendQuery(nil, "insert into leavers values ('first')")
			piped.send(wire.AppendQuery(both, "insert into leavers values ('second')"))
			piped.isTold("piped")
			var batch []byte
			for _, m := range []pgproto3.FrontendMessage{
				&pgproto3.Parse{Query: "insert into leavers values ('batch')"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
			} {
				var err error
				if batch, err = m.Encode(batch); err != nil {
					t.Fatal(err)
				}
			}
			extended.send(batch[:len(batch)-8])
			extended.send(batch[len(batch)-8:])
			extended.isTold("extended")
			long := wire.AppendQuery(nil, "insert into leavers values ('"+strings.Repeat("x", 100_000)+"')")
			torn.send(long[:50_000])
			torn.send(long[50_000:])
			torn.isTold("torn")

			if got := busy.answer("select 'in time'"); got != "in time" {
				t.Errorf("the busy client got %q", got)
			}
			busy.query("commit")
			busy.until(wire.ReadyForQuery)
			busy.query("begin")
			busy.isTold("busy")
			p.ended()
			if r := quiet.refusal(); r.Code != "57P01" {
				t.Errorf("the quiet client: %+v, want 57P01", r)
			}
			if got := direct(t, "select count(*) from leavers"); got != "0" {
				t.Errorf("%s statements were executed", got)
			}
			if n := p.CutOff(); n != 0 {
				t.Errorf("%d transactions were cut off", n)
			}
		})
	}
}

// It is known how many transactions were lost.
func TestShutdownCountsWhatItCutsOff(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction")
	for range 2 {
		c := p.enter("app", "app")
		c.query("begin")
		c.until(wire.ReadyForQuery)
		c.answer("select 1")
	}
	p.enter("app", "app").answer("select 1")
	p.stop(Immediate)
	if n := p.CutOff(); n != 2 {
		t.Errorf("%d transactions were cut off, want 2", n)
	}
}

// Clients that wait for a server are not kept waiting.
func TestShutdownTellsWaitingClients(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	busy, waiting := p.enter("app", "app"), p.enter("app", "app")
	busy.query("begin")
	busy.until(wire.ReadyForQuery)
	waiting.query("select 1")
	eventually(t, "the client to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
	p.Shutdown(WaitForServers)
	if r := waiting.refusal(); r.Code != "57P01" {
		t.Errorf("%+v, want 57P01", r)
	}
	busy.query("commit")
	p.ended()
}

func TestShutdownAtOnce(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	idle, busy, waiting, half := p.enter("app", "app"), p.enter("app", "app"), p.enter("app", "app"), p.knock()
	half.send(startupPacket("app", "app")[:10])
	busy.query("select pg_sleep(60) /* atonce */")
	eventually(t, "the query to run", func() bool { return running(t, "atonce") == "1" })
	waiting.query("select 1")
	eventually(t, "the client to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
	p.Shutdown(Immediate)
	p.ended()
	for name, c := range map[string]*wireClient{"idle": idle, "busy": busy, "waiting": waiting} {
		if r := c.refusal(); r.Code != "57P01" {
			t.Errorf("the %s client: %+v, want 57P01", name, r)
		}
	}
	half.refusal()
	direct(t, "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%atonce%' and pid <> pg_backend_pid()")
}

// A stronger way to end overrules a weaker one, a weaker one changes nothing.
func TestShutdownGetsStronger(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction")
	idle, busy := p.enter("app", "app"), p.enter("app", "app")
	busy.query("begin")
	busy.until(wire.ReadyForQuery)
	p.Shutdown(WaitForClients)
	idle.answer("select 1")
	p.Shutdown(WaitForServers)
	if r := idle.refusal(); r.Code != "57P01" {
		t.Errorf("the idle client: %+v, want 57P01", r)
	}
	p.Shutdown(WaitForClients)
	if got := busy.answer("select 'busy'"); got != "busy" {
		t.Errorf("the busy client got %q", got)
	}
	p.stop(Immediate)
	if r := busy.refusal(); r.Code != "57P01" {
		t.Errorf("the busy client: %+v, want 57P01", r)
	}
}

func TestShutdownTimeout(t *testing.T) {
	for name, mode := range map[string]ShutdownMode{"waiting for clients": WaitForClients, "waiting for servers": WaitForServers} {
		t.Run(name, func(t *testing.T) {
			p := startPooler(t, "pool_mode = transaction\nshutdown_timeout = 0.3")
			c := p.enter("app", "app")
			c.query("begin")
			c.until(wire.ReadyForQuery)
			p.stop(mode)
			if r := c.refusal(); r.Code != "57P01" {
				t.Errorf("%+v, want 57P01", r)
			}
			if !strings.Contains(p.log.String(), "shutdown_timeout") {
				t.Error("the log doesn't name shutdown_timeout")
			}
		})
	}
}

// Ended, a proxy leaves no goroutine, no descriptor and no socket file.
func TestShutdownLeavesNothing(t *testing.T) {
	for name, mode := range map[string]ShutdownMode{"clients": WaitForClients, "servers": WaitForServers, "at once": Immediate} {
		t.Run(name, func(t *testing.T) {
			goroutines := goleak.IgnoreCurrent()
			tls := clientTLS(t)
			dir := t.TempDir()
			descriptors := openDescriptors(t)
			p := startPooler(t, "pool_mode = session\nserver_connect_timeout = 60\nunix_socket_dir = "+dir+"\n"+tls.settings("allow"))
			clients := []*wireClient{p.enter("app", "app"), p.enter("app", "app"), p.knock(), p.knock(), p.knock()}
			clients[0].query("begin")
			clients[0].until(wire.ReadyForQuery)
			clients[2].send(wire.AppendSSLRequest(nil)) // its handshake never goes on
			clients[3].send([]byte{0, 0})
			eventually(t, "all to be accepted", func() bool { return p.State().Accepted >= 4 })
			if _, err := clients[2].in.ReadByte(); err != nil {
				t.Fatal(err)
			}
			p.Shutdown(mode)
			for _, c := range clients {
				_ = c.Close()
			}
			p.ended()
			goleak.VerifyNone(t, goroutines)
			eventually(t, "the descriptors to be closed", func() bool { return openDescriptors(t) <= descriptors })
			if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
				t.Errorf("left over: %v, %v", list, err)
			}
		})
	}
}

// A proxy that is told to end before it has begun lets go of its sockets, too.
func TestShutdownBeforeRun(t *testing.T) {
	for _, mode := range []ShutdownMode{WaitForClients, WaitForServers, Immediate} {
		descriptors := openDescriptors(t)
		p, err := newProxy(t, "listen_addr = 127.0.0.1\nlisten_port = 0")
		if err != nil {
			t.Fatal(err)
		}
		p.Shutdown(mode)
		if err := p.Run(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if n := openDescriptors(t); n > descriptors {
			t.Errorf("%s: %d descriptors were left open", mode, n-descriptors)
		}
	}
}
