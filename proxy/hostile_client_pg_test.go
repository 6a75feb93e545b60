package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// checkServing fails unless a good client is served.
func (p *pooler) checkServing() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, p.url("app", "app"))
	if err != nil {
		p.t.Fatalf("a good client isn't served any more: %v", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // it has done its duty
	if got := value(p.t, conn, "select 'alive'"); got != "alive" {
		p.t.Errorf("a good client got %q", got)
	}
}

// message is a message with any type and any length field.
func message(typ byte, length uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, length), body...)
}

// CVE-2015-4054: a password message came before the start-up packet.
func TestAnyMessageBeforeTheStartupPacketIsTurnedAway(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\nclient_login_timeout = 2")
	for typ := range 256 {
		c := p.knock()
		c.send(message(byte(typ), 9, "abcd\x00"))
		if typ == 0 || typ == 22 { // may be the beginning of a length, or of TLS
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		}
		c.refusal()
	}
	p.checkServing()
}

// impossibleLengths are those that no message can have, and those that are
// beyond any limit.
var impossibleLengths = []uint32{0, 1, 2, 3, 1 << 31, 1<<31 + 4, 1<<32 - 1, 1<<32 - 4}

// CVE-2026-107348: a length beyond 2^31 made a buffer grow for ever.
func TestImpossibleLengthsEndTheConnection(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3\nclient_login_timeout = 3")
	states := []struct {
		name  string
		begin func() *wireClient
		types string
	}{
		{"idle", func() *wireClient { return p.enter("app", "app") }, "QPBDECSHFdcfXp"},
		{"in a transaction", func() *wireClient {
			c := p.enter("app", "app")
			c.query("begin")
			c.until(wire.ReadyForQuery)
			return c
		}, "QPBDECSHFdcfXp"},
		{"in copy", func() *wireClient {
			c := p.enter("app", "app")
			c.query("create temp table incopy(x text); copy incopy from stdin; drop table incopy")
			c.until(wire.CopyInResponse)
			return c
		}, "dcfQSX"},
		{"in a batch", func() *wireClient {
			c := p.enter("app", "app")
			c.send(wire.AppendEmpty(appendStatement(nil, "select 1"), wire.Flush))
			c.until(wire.ParseComplete)
			return c
		}, "PBDECSH"},
	}
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			for _, typ := range []byte(state.types) {
				for _, length := range impossibleLengths {
					c := state.begin()
					c.send(message(typ, length, "some body"))
					if r := c.refusal(); r.Code != "08P01" {
						t.Errorf("%q of length %d: %+v, want 08P01", typ, int32(length), r)
					}
				}
			}
			p.checkServing()
		})
	}
}

func TestImpossibleLengthsBeforeTheLogin(t *testing.T) {
	p := startPooler(t, "auth_type = scram-sha-256\nclient_login_timeout = 3")
	for _, length := range append([]uint32{4, 7, 1<<31 - 1, 10_001, 1 << 24}, impossibleLengths...) {
		c := p.knock()
		c.send(append(binary.BigEndian.AppendUint32(nil, length), 0, 3, 0, 0, 'u', 's'))
		c.refusal()

		c = p.knock()
		c.send(startupPacket("app", "app"))
		c.until(wire.Authentication)
		c.send(message('p', length, "SCRAM-SHA-256\x00\xff\xff\xff\xff"))
		c.refusal()
	}
}

// CVE-2026-6664: lengths inside SASLInitialResponse.
func TestImpossibleSASLLengths(t *testing.T) {
	p := startPooler(t, "auth_type = scram-sha-256")
	for _, length := range []uint32{0, 1, 30, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1} {
		c := p.knock()
		c.send(startupPacket("app", "app"))
		c.until(wire.Authentication)
		body := append([]byte("SCRAM-SHA-256\x00"), binary.BigEndian.AppendUint32(nil, length)...)
		c.send(wire.AppendPassword(nil, append(body, "n,,n=,r=abc"...)))
		if r := c.refusal(); r.Code != "28P01" && r.Code != "08P01" {
			t.Errorf("length %d: %+v", int32(length), r)
		}
	}
}

// A password message has no place after the login: not when the client is
// idle, and not in a transaction, where it mustn't reach the server either.
func TestPasswordAfterLogin(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	c := p.enter("app", "app")
	c.send(wire.AppendPassword(nil, []byte("sesame\x00")))
	if r := c.refusal(); r.Code != "08P01" {
		t.Errorf("idle: %+v", r)
	}
	c = p.enter("app", "app")
	pid := c.answer("begin; select pg_backend_pid()")
	c.send(wire.AppendPassword(nil, []byte("sesame\x00")))
	if r := c.refusal(); r.Code != "08P01" {
		t.Errorf("in a transaction: %+v", r)
	}
	if got := p.enter("app", "app").answer("select pg_backend_pid()"); got != pid {
		t.Errorf("the server was lost: %s, was %s", got, pid)
	}
}

// CVE-2012-4575: names of any length. Postgres cuts them; nobody crashes.
func TestOverlongNames(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction")
	long := strings.Repeat("x", 64<<10)
	for _, params := range [][]wire.Param{
		{{Name: "user", Value: long}},
		{{Name: "user", Value: "app"}, {Name: "database", Value: long}},
		{{Name: "user", Value: "app"}, {Name: "options", Value: long}},
		{{Name: "user", Value: "app"}, {Name: long, Value: "x"}},
	} {
		c := p.knock()
		c.send(wire.AppendStartup(nil, wire.Protocol30, params))
		if r := c.refusal(); r.Code != "08P01" {
			t.Errorf("%s: %+v, want 08P01", params[len(params)-1].Name[:4], r)
		}
	}
	c := p.knock()
	c.send(startupPacket("app", long[:9000]))
	if r := c.refusal(); r.Code != "3D000" || len(r.Message) > 200 {
		t.Errorf("a database name of 9000 bytes: %+v", r)
	}
	p.checkServing()
}

func TestStartupPacketWithoutAUser(t *testing.T) {
	p := startPooler(t, "")
	for _, params := range [][]wire.Param{nil, {{Name: "user", Value: ""}}, {{Name: "database", Value: "app"}}} {
		c := p.knock()
		c.send(wire.AppendStartup(nil, wire.Protocol30, params))
		if r := c.refusal(); r.Code != "28000" {
			t.Errorf("%v: %+v, want 28000", params, r)
		}
	}
}

// CVE-2026-107350: a second StartupMessage in the middle of SCRAM changed who
// the client was. None of the packets of the beginning is legal later on.
func TestSecondStartupMessage(t *testing.T) {
	p := startPooler(t, "auth_type = scram-sha-256\npool_mode = transaction")
	packets := map[string][]byte{
		"startup": startupPacket("other", "app"),
		"SSL":     wire.AppendSSLRequest(nil),
		"GSS":     {0, 0, 0, 8, 4, 0xd2, 0x16, 0x30},
		"cancel":  wire.AppendCancelRequest(nil, 1, []byte{1, 2, 3, 4}),
	}
	for name, packet := range packets {
		c := p.knock()
		c.send(startupPacket("app", "app"))
		c.until(wire.Authentication)
		c.send(packet)
		if r := c.refusal(); r.Code != "08P01" {
			t.Errorf("%s during authentication: %+v", name, r)
		}
	}
	trusting := startPooler(t, "pool_mode = transaction")
	for name, packet := range packets {
		c := trusting.enter("app", "app")
		c.send(packet)
		if r := c.refusal(); r.Code != "08P01" {
			t.Errorf("%s after the login: %+v", name, r)
		}
	}
	trusting.checkServing()
}

// CVE-2021-3935: what comes before TLS is never read as if it came inside it.
func TestBytesBehindAnEncryptionRequest(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\n"+clientTLS(t).settings("allow"))
	for name, request := range map[string][]byte{"SSL": wire.AppendSSLRequest(nil), "GSS": {0, 0, 0, 8, 4, 0xd2, 0x16, 0x30}} {
		c := p.knock()
		c.send(append(request, startupPacket("app", "app")...))
		if b, _ := c.in.Peek(1); len(b) > 0 && b[0] != wire.ErrorResponse {
			t.Errorf("%s: answered with %q", name, b)
		}
		if r := c.refusal(); r.Code != "08P01" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	p.checkServing()
}

// A client may send its first query together with the start-up packet.
func TestQueryBehindTheStartupPacket(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		p := startPooler(t, "pool_mode = "+mode)
		for round := range 2 { // the first is welcomed by a server, the second without
			c := p.knock()
			c.send(wire.AppendQuery(startupPacket("app", "app"), "select 'early'"))
			c.until(wire.ReadyForQuery)
			if got := string(c.until(wire.DataRow)[6:]); got != "early" {
				t.Errorf("%s, round %d: %q", mode, round, got)
			}
		}
	}
}

// Thousands of connections that never get on with their login neither delay a
// good one nor stay, nor cost more than a small struct each.
func TestSlowLogins(t *testing.T) {
	const clients, loginTimeout = 1000, 4 * time.Second
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ntcp_defer_accept = 0\nmax_client_logins = %d\nclient_login_timeout = %d\n", clients+10, int(loginTimeout.Seconds()))+clientTLS(t).settings("allow"))
	p.checkServing()
	kinds := map[string]struct {
		bytes  []byte
		plain  bool
		report bool // the client is told why
	}{
		"nothing":             {nil, true, true},
		"one byte":            {[]byte{0}, true, true},
		"half a packet":       {startupPacket("app", "app")[:15], true, true},
		"half a ClientHello":  {[]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, false, false},
		"a TLS request alone": {wire.AppendSSLRequest(nil), false, false},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			accepted := p.State().Accepted
			began := time.Now()
			conns := make([]net.Conn, clients)
			for i := range conns {
				var err error
				if conns[i], err = net.Dial("tcp", "127.0.0.1:"+p.port); err != nil {
					t.Fatal(err)
				}
				defer conns[i].Close()
				_, _ = conns[i].Write(kind.bytes)
			}
			eventually(t, "all to be accepted", func() bool { return p.State().Accepted == accepted+clients })
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / clients; kind.plain && grown > 4096 {
				t.Errorf("%d bytes for each client", grown)
			}
			if n := runtime.NumGoroutine() - goroutines; kind.plain && n > 20 {
				t.Errorf("%d goroutines for %d clients", n, clients)
			}
			login := time.Now()
			p.checkServing()
			if took := time.Since(login); took > time.Second {
				t.Errorf("a good login took %s", took)
			}
			for _, conn := range conns {
				_ = conn.SetReadDeadline(time.Now().Add(loginTimeout + patience))
				var got bytes.Buffer
				if _, err := got.ReadFrom(conn); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Fatal("a slow login isn't ended")
				}
				if told := strings.Contains(got.String(), "client_login_timeout"); told != kind.report {
					t.Fatalf("a slow client was told %q", got.String())
				}
			}
			if took := time.Since(began); took < loginTimeout {
				t.Errorf("they were ended after %s, before client_login_timeout", took)
			}
			eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() < goroutines+20 })
		})
	}
}
