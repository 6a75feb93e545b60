package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"
)

// Every time limit ends the one client it is for, with an SQLSTATE of its own
// and an error that names the setting; nobody else notices.
func TestTimeLimits(t *testing.T) {
	const limit = 300 * time.Millisecond
	tests := []struct {
		setting  string
		sqlstate string
		begin    func(c *wireClient)
		cancels  bool // the server is busy and has to be cleaned up
	}{
		{"query_timeout", "57014", func(c *wireClient) { c.query("select pg_sleep(60) /* timelimit */") }, true},
		{"idle_transaction_timeout", "25P03", func(c *wireClient) { c.query("begin"); c.until(wire.ReadyForQuery) }, false},
		{"transaction_timeout", "25P04", func(c *wireClient) { c.query("begin"); c.until(wire.ReadyForQuery) }, false},
		{"transaction_timeout", "25P04", func(c *wireClient) { c.query("select pg_sleep(60) /* timelimit */") }, true},
		{"client_idle_timeout", "57P05", func(c *wireClient) { c.answer("select 1") }, false},
		{"client_idle_timeout", "57P05", func(*wireClient) {}, false},
	}
	for i, tt := range tests {
		for _, mode := range []string{"transaction", "session"} {
			t.Run(fmt.Sprintf("%s/%d/%s", tt.setting, i, mode), func(t *testing.T) {
				p := startPooler(t, fmt.Sprintf("pool_mode = %s\ndefault_pool_size = 3\n[databases]\n%s[users]\napp = %s = %g\n", mode, here("app", ""), tt.setting, limit.Seconds()))
				bystander := p.enter("other", "app")
				bystander.query("begin; select pg_sleep(0)")
				bystander.until(wire.ReadyForQuery)
				c := p.enter("app", "app")
				pid := c.answer("select pg_backend_pid()")
				began := time.Now()
				tt.begin(c)
				r := c.refusal()
				if r.Code != tt.sqlstate || !strings.Contains(r.Message, tt.setting) {
					t.Errorf("%+v, want %s and %s", r, tt.sqlstate, tt.setting)
				}
				if took := time.Since(began); took < limit/2 {
					t.Errorf("after %s already", took)
				}
				if got := bystander.answer("select 'untouched'"); got != "untouched" {
					t.Errorf("a bystander got %q", got)
				}
				eventually(t, "the server to be free", func() bool { s := p.poolOf("app", "app"); return s.Leased == 0 && s.Open == s.Idle })
				if got := running(t, "timelimit"); got != "0" {
					t.Errorf("%s queries go on", got)
				}
				if got := p.enter("app", "app").answer("select pg_backend_pid()"); got != pid {
					t.Errorf("the server was lost")
				}
			})
		}
	}
}

// A limit on idleness must not end a client that works.
func TestTimeLimitsLeaveActiveClientsAlone(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		p := startPooler(t, "pool_mode = "+mode+"\nquery_timeout = 0.4\ntransaction_timeout = 0.4\nidle_transaction_timeout = 0.4\nclient_idle_timeout = 0.4")
		c := p.enter("app", "app")
		for range 5 {
			c.answer("select pg_sleep(0.15)::text || 'x'")
			c.query("begin")
			c.until(wire.ReadyForQuery)
			c.answer("select pg_sleep(0.15)::text || 'x'")
			c.query("commit")
			c.until(wire.ReadyForQuery)
		}
	}
}

func TestClientLoginTimeoutNamesTheSetting(t *testing.T) {
	p := startPooler(t, "auth_type = scram-sha-256\nclient_login_timeout = 0.3\ntcp_defer_accept = 0")
	silent := p.knock()
	asked := p.knock()
	asked.send(startupPacket("app", "app"))
	for name, c := range map[string]*wireClient{"silent": silent, "asked": asked} {
		if r := c.refusal(); r.Code != "08006" || !strings.Contains(r.Message, "client_login_timeout") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestQueryWaitTimeoutAndItsNotice(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nquery_wait_timeout = 0.6\nquery_wait_notify = 0.2")
	holder, patient, waiting := p.enter("app", "app"), p.enter("app", "app"), p.enter("app", "app")
	for range 2 { // the notice comes in every wait
		holder.query("begin")
		holder.until(wire.ReadyForQuery)
		patient.query("select 1")
		notice := wire.ParseReport(patient.until(wire.NoticeResponse))
		if notice.Severity != "NOTICE" || !strings.Contains(notice.Message+notice.Detail, "query_wait_notify") {
			t.Errorf("the notice: %+v", notice)
		}
		holder.query("commit")
		holder.until(wire.ReadyForQuery)
		patient.until(wire.ReadyForQuery)
	}
	holder.query("begin")
	holder.until(wire.ReadyForQuery)
	waiting.query("select 1")
	if r := waiting.refusal(); r.Code != "53300" || !strings.Contains(r.Message, "query_wait_timeout") {
		t.Errorf("%+v, want 53300 and query_wait_timeout", r)
	}
	if s := p.poolOf("app", "app"); s.Waiting != 0 {
		t.Errorf("%d still wait", s.Waiting)
	}
	holder.query("commit")
	holder.until(wire.ReadyForQuery)
	if got := patient.answer("select 'served'"); got != "served" {
		t.Errorf("another client got %q", got)
	}
}

// A server that takes connections and never answers: the kernel accepts, no
// process does.
func TestServerConnectTimeout(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nserver_connect_timeout = 0.3\nserver_login_retry = 0.5\nquery_wait_timeout = 10\n[databases]\nhole = host=127.0.0.1 port=%d\n%s",
		hole.Addr().(*net.TCPAddr).Port, here("app", "")))
	c := p.knock()
	c.send(startupPacket("app", "hole"))
	r := c.refusal()
	if r.Code != "08001" || !strings.Contains(r.Message, "server_login_retry") || !strings.Contains(r.Detail, "server_connect_timeout") {
		t.Errorf("%+v, want 08001 with the cause", r)
	}
	if !strings.Contains(p.log.String(), "server_connect_timeout: ") {
		t.Error("the log doesn't tell why the dial ended")
	}
	p.checkServing()
}

// While the server is down clients wait, and are told why in the end; when it
// comes back the ones that wait are served.
func TestServerDownAndBack(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}}})
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nserver_login_retry = 3\n[databases]\n* = host=%s port=%d\n", server.Host(), server.Port()))
	early := p.enter("app", "postgres")
	early.answer("select 1")
	if err := server.Down(context.Background(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss to be noticed", func() bool { return p.poolOf("postgres", "app").Open == 0 })
	early.query("select 1")
	eventually(t, "the client to wait", func() bool { return p.poolOf("postgres", "app").Waiting == 1 })
	if err := server.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	early.until(wire.DataRow)
	early.until(wire.ReadyForQuery)

	if err := server.Down(context.Background(), pgserver.Immediate); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss to be noticed", func() bool { return p.poolOf("postgres", "app").Open == 0 })
	late := p.enter("app", "postgres")
	for _, c := range []*wireClient{early, late} {
		c.query("select 1")
		if r := c.refusal(); r.Code != "08001" || !strings.Contains(r.Message, "server_login_retry") || !strings.Contains(r.Detail, "connection refused") {
			t.Errorf("%+v, want 08001 with the cause", r)
		}
	}
	if err := server.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "clients to be served again", func() bool {
		c := p.enter("app", "postgres")
		c.query("select 1")
		for {
			typ, _, err := c.next()
			if err != nil || typ == wire.DataRow {
				return err == nil
			}
		}
	})
}

// A cancel request that can't be delivered is given up, and the server it was
// for isn't reused: nobody knows when it would arrive.
func TestCancelWaitTimeout(t *testing.T) {
	f := startFake(t, func(c *fakeConn) {
		if c.serial == 2 { // the cancel request
			c.linger()
			return
		}
		if !c.logIn() {
			return
		}
		_, _, _ = c.receive()
		if c.serial == 1 {
			c.hold()
			_, _ = c.Write(oneValue("first"))
		} else {
			_, _ = c.Write(oneValue(fmt.Sprintf("server %d", c.serial)))
		}
		c.behave()
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\ncancel_wait_timeout = 0.3"+f.databases())
	conn := p.connect("app", "app")
	done := start(conn, "select 1")
	<-f.held
	began := time.Now()
	if err := conn.CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the cancel request took %s", took)
	}
	if !strings.Contains(p.log.String(), "cancel_wait_timeout") {
		t.Error("the log doesn't name cancel_wait_timeout")
	}
	close(f.release)
	if err := result(t, done); err != nil {
		t.Error(err)
	}
	if got := p.enter("app", "app").answer("select 1"); got != "server 3" {
		t.Errorf("the server that may be cancelled any time was used again: %s", got)
	}
}
