package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// What a server says of its own accord while it tries what a client asks for at
// its login isn't for that client, who isn't in yet.
func TestNothingComesBeforeTheWelcome(t *testing.T) {
	note := append(binaryNote(), "channel\x00payload\x00"...)
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() {
			return
		}
		if typ, _, ok := c.receive(); !ok || typ != wire.Query {
			return
		}
		out := note
		out = append(out, completed()...)
		out = append(out, note...)
		out = wire.AppendNotice(out, wire.Report{Severity: "WARNING", Code: "01000", Message: "by the way"})
		out = append(out, note[:len(note)/2]...)
		_, _ = c.Write(out)
		_, _ = c.Write(note[len(note)/2:])
		c.behave()
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
	k := dialTalker(t, p.address())
	k.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app", "TimeZone", "Asia/Tokyo")))
	list := k.until("Z")
	if list[0].typ != wire.Authentication {
		t.Errorf("the client is greeted with %s", types(list))
	}
	if n := len(k.heard) + len(k.notices); n > 0 {
		t.Errorf("it was told %d things that aren't for it", n)
	}
	if got := k.query("select 1"); got != "server 1" {
		t.Errorf("got %q", got)
	}
}

// binaryNote is the head of a NotificationResponse for "channel" and "payload".
func binaryNote() []byte {
	return []byte{wire.NotificationResponse, 0, 0, 0, 4 + 4 + 8 + 8, 0, 0, 0, 7}
}

// A client that waits for its first server isn't told so: drivers don't expect a
// notice before they are let in.
func TestNoNoticeBeforeTheWelcome(t *testing.T) {
	f := startFake(t, func(c *fakeConn) {
		switch {
		case c.serial == 1:
			if c.logIn() {
				c.receive() // what the first client asks for
				_, _ = c.Write(completed())
				c.receive() // the check
			}
		default:
			c.hold()
			if c.logIn() {
				c.behave()
			}
		}
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nserver_check_delay = 0\nserver_login_retry = 1\nquery_wait_notify = 20ms"+f.databases())
	_ = talk(t, p.address(), param("user", "app", "TimeZone", "Asia/Tokyo")...)
	k := dialTalker(t, p.address())
	k.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app", "TimeZone", "Asia/Seoul")))
	<-f.held
	began := p.now()
	eventually(t, "the time of a notice to be over", func() bool { return p.now()-began > 5*20*time.Millisecond })
	close(f.release)
	if list := k.until("Z"); list[0].typ != wire.Authentication {
		t.Errorf("the client is greeted with %s", types(list))
	}
}

// Servers that report the same have one welcome, whoever of them comes first.
func TestOneWelcomeForServersOfAKind(t *testing.T) {
	for range 1000 {
		var d destination
		var all state.Interner
		base, _ := all.Of(param("TimeZone", "UTC"))
		seen := make([]*welcome, 8)
		var wait sync.WaitGroup
		begin := make(chan struct{})
		for i := range seen {
			wait.Go(func() {
				<-begin
				seen[i] = d.refreshWelcome(param("TimeZone", "UTC"), base, nil)
			})
		}
		close(begin)
		wait.Wait()
		if slices.ContainsFunc(seen, func(w *welcome) bool { return w != d.welcome.Load() }) {
			t.Fatal("some servers' welcome isn't the one that clients get")
		}
	}
}

// A client is told at its login what it would be told by the server itself,
// whatever it brings, and whoever has been there before.
func TestGreetingIsTheServers(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	bringings := [][]wire.Param{
		nil,
		param("options", "-c default_transaction_read_only=on"),
		param("standard_conforming_strings", "no"),
		param("DateStyle", "German"),
		param("IntervalStyle", "ISO_8601"),
		param("client_encoding", "latin1"),
		param("TimeZone", "+3"),
		param("TimeZone", "<-03>+3"),
		param("options", "-c transaction_read_only=on"),
	}
	for range 20 {
		params, options := wish(rng)
		bringings = append(bringings, append(params, param("options", options)...))
	}
	for round := range 2 {
		for _, brought := range bringings {
			direct, pooled := talk(t, postgres.Address(), brought...), talk(t, p.address(), brought...)
			if !maps.Equal(direct.params, pooled.params) {
				t.Errorf("round %d, %v: told %v, by Postgres %v", round, brought, pooled.params, direct.params)
			}
			_ = direct.conn.Close()
			if round == 0 {
				pooled.query("select 1")
			}
			_ = pooled.conn.Close()
		}
	}
}

// A login that is cut off is no transaction.
func TestALoginIsNoTransaction(t *testing.T) {
	f := startFake(t, func(c *fakeConn) {
		if c.logIn() {
			c.receive()
			c.hold()
		}
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
	k := dialTalker(t, p.address())
	k.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app", "TimeZone", "Asia/Tokyo")))
	<-f.held
	p.Shutdown(Immediate)
	if list := k.ended(); types(list) != "E:57P01" {
		t.Errorf("the client was told %s", types(list))
	}
	<-p.done
	if n := p.CutOff(); n != 0 {
		t.Errorf("%d transactions were cut off", n)
	}
}

// Nothing of what a client brings is lost, however much it is.
func TestManyParametersAtTheLogin(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	options := ""
	for i := range 127 {
		options += fmt.Sprintf(" -c many.p%d=%d", i, i)
	}
	k := talk(t, p.address(), param("options", options)...)
	for i := range 127 {
		if got := k.query(fmt.Sprintf("show many.p%d", i)); got != fmt.Sprint(i) {
			t.Fatalf("parameter %d is %q", i, got)
		}
	}
}
