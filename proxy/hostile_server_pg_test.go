package proxy

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// evil marks bytes that no later client may ever see.
const evil = "evil-bytes"

func joinBytes(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func ready(status byte) []byte { return wire.AppendReadyForQuery(nil, status) }

// errorWithoutFields is an ErrorResponse that says nothing at all (CVE-2026-6666).
var errorWithoutFields = []byte{'E', 0, 0, 0, 5, 0}

// misdeeds are what a server may do instead of answering a query.
var misdeeds = map[string][]byte{
	"garbage":                   []byte("HTTP/1.1 400 " + evil + "\r\n\r\n"),
	"length 0":                  message('D', 0, evil),
	"length 3":                  message('D', 3, evil),
	"length beyond 2^31":        message('D', 1<<31+100, evil),
	"length -1":                 message('T', 1<<32-1, evil),
	"ReadyForQuery too long":    message('Z', 100, evil+strings.Repeat("x", 90)),
	"ReadyForQuery too short":   message('Z', 4, ""),
	"unknown status":            ready('?'),
	"parameter too long":        message('S', 1<<20, evil),
	"wrong order":               wire.AppendEmpty(nil, wire.ParseComplete),
	"copy data out of order":    joinBytes(message('3', 4, ""), row(evil)),
	"authentication":            wire.AppendAuthentication(nil, wire.AuthCleartextPassword, nil),
	"authentication is through": wire.AppendAuthentication(nil, wire.AuthOK, nil),
	"another key":               wire.AppendBackendKeyData(nil, 1, []byte(evil)),
	"unknown type":              message('~', 20, evil+"xxxxxx"),
	"end of a row's beginning":  joinBytes(rowHead(), message('D', 1000, evil)),
	"nothing at all":            nil,
	"error without fields":      errorWithoutFields,
	"error without its end":     message('E', 12, "SFATAL\x00C"),
	"ready twice":               joinBytes(oneValue("fine"), ready('I'), row(evil)),
	"bytes after ready":         joinBytes(oneValue("fine"), []byte(evil+evil)),
	"row after ready":           joinBytes(oneValue("fine"), row(evil), ready('I')),
	"error after ready":         joinBytes(oneValue("fine"), wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: "57P01", Message: evil})),
}

// A server that does something like that loses itself alone: its client gets a
// clear end, and the next one a fresh server without a byte of the old one's.
func TestHostileServer(t *testing.T) {
	for name, misdeed := range misdeeds {
		for _, mode := range []string{"transaction", "session"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				f := startFake(t, func(c *fakeConn) {
					if !c.logIn() {
						return
					}
					if c.serial > 1 {
						c.behave()
						return
					}
					if typ, _, ok := c.receive(); ok && typ == wire.Query {
						_, _ = c.Write(misdeed)
					}
					// and closes, in the middle of whatever it was
				})
				p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 1\nserver_login_retry = 1"+f.databases())
				victim := p.enter("app", "app")
				victim.query("select 1")
				// An error is passed on as it is, however little it says.
				if end := victim.outcome(); !slices.Contains([]string{"served", "closed", "08P01", "08006", "57P01", ""}, end) {
					t.Errorf("the client met %s", end)
				}
				eventually(t, "the server to be given up", func() bool { return p.poolOf("app", "app").Open == 0 || f.serial.Load() > 1 })
				for range 3 {
					next := p.enter("app", "app")
					if got := next.answer("select 1"); !strings.HasPrefix(got, "server ") || got == "server 1" {
						t.Errorf("the next client got %q", got)
					}
					next.send(wire.AppendEmpty(nil, wire.Terminate))
				}
			})
		}
	}
}

// outcome reads the answer to a query: "served", the SQLSTATE of the error that
// ended the connection, or "closed" if it ended without one.
func (c *wireClient) outcome() string {
	code := "closed"
	for {
		typ, body, err := c.next()
		switch {
		case err != nil:
			return code
		case typ == wire.ErrorResponse:
			code = wire.ParseReport(body).Code
		case typ == wire.ReadyForQuery:
			return "served"
		}
	}
}

// What a server says while nobody has asked reaches nobody, whether it costs
// the server or not.
func TestServerThatTalksWhileIdle(t *testing.T) {
	notification := func() []byte {
		out, mark := wire.Begin(nil, wire.NotificationResponse)
		return wire.Finish(wire.AppendString(wire.AppendString(append(out, 0, 0, 0, 1), evil), evil), mark)
	}()
	tests := map[string]struct {
		said []byte
		kept bool
	}{
		"row":                {row(evil), false},
		"ready":              {ready('I'), false},
		"in a transaction":   {ready('T'), false},
		"garbage":            {[]byte("GET / " + evil), false},
		"impossible length":  {message('A', 2, evil), false},
		"half a message":     {message('D', 100, evil), false},
		"authentication":     {wire.AppendAuthentication(nil, wire.AuthOK, nil), false},
		"farewell":           {wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: "57P01", Message: evil}), false},
		"error":              {wire.AppendError(nil, wire.Report{Severity: "ERROR", Code: "XX000", Message: evil}), false},
		"copy":               {message('G', 7, "\x00\x00\x00"), false},
		"notification":       {notification, true},
		"notice":             {wire.AppendNotice(nil, wire.Report{Severity: "NOTICE", Code: "00000", Message: evil}), true},
		"known parameter":    {wire.AppendParameterStatus(nil, "TimeZone", "Asia/Tokyo"), true},
		"storm of parameter": {bytes.Repeat(wire.AppendParameterStatus(nil, "application_name", evil), 20_000), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, func(c *fakeConn) {
				if !c.logIn() {
					return
				}
				if c.serial > 1 {
					c.behave()
					return
				}
				_, _, _ = c.receive()
				_, _ = c.Write(oneValue("server 1"))
				c.hold()
				_, _ = c.Write(tt.said)
				if tt.kept {
					c.hold()
					c.behave()
				}
				c.linger()
			})
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
			first := p.enter("app", "app")
			if got := first.answer("select 1"); got != "server 1" {
				t.Fatalf("got %q", got)
			}
			<-f.held
			f.release <- struct{}{}
			want := "server 2"
			if tt.kept {
				want = "server 1"
				<-f.held
				f.release <- struct{}{}
			} else {
				eventually(t, "the server to be given up", func() bool { return p.poolOf("app", "app").Open == 0 })
			}
			next := p.enter("app", "app")
			next.query("select 1")
			got := ""
			for {
				typ, body, err := next.next()
				if err != nil {
					t.Fatal(err)
				}
				if typ == wire.DataRow {
					got = string(body[6:])
				}
				if bytes.Contains(body, []byte(evil)) && typ != wire.ParameterStatus {
					t.Errorf("the next client was sent %q %q", typ, body)
				}
				if typ == wire.ReadyForQuery {
					break
				}
			}
			if got != want {
				t.Errorf("the next client was served by %s, want %s", got, want)
			}
			if got := first.answer("select 1"); got != want {
				t.Errorf("the first client was served by %s, want %s", got, want)
			}
		})
	}
}

// What a server still says on behalf of a client that has left reaches nobody:
// ahead of the end of its query, right behind that, when it is idle, and while
// it is given what the next client has set.
func TestNoticesOfTheClientBefore(t *testing.T) {
	notice := wire.AppendNotice(nil, wire.Report{Severity: "NOTICE", Code: "00000", Message: evil})
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() || c.serial > 1 { // a cancel request
			return
		}
		_, _, _ = c.receive()
		c.hold()
		_, _ = c.Write(joinBytes(notice, oneValue("of the first"), notice))
		c.hold()
		_, _ = c.Write(notice[:9])
		c.hold() // in the middle of it
		_, _ = c.Write(notice[9:])
		for {
			typ, body, ok := c.receive()
			switch {
			case !ok || typ != wire.Query:
				return
			case bytes.HasPrefix(body, []byte("select")):
				_, _ = c.Write(oneValue("of the next"))
			default:
				_, _ = c.Write(joinBytes(notice, oneValue("ours"))) // what came behind it would be the next one's
			}
		}
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
	first := p.enter("app", "app")
	first.query("select 1")
	<-f.held
	_ = first.Close()
	f.release <- struct{}{}
	<-f.held
	eventually(t, "the server to be free", func() bool { return p.poolOf("app", "app").Idle == 1 })
	f.release <- struct{}{}
	<-f.held
	next := p.knock()
	next.send(wire.AppendStartup(nil, wire.Protocol30, param("user", "app", "database", "app", "application_name", "another")))
	next.until(wire.ReadyForQuery)
	next.query("select 2")
	f.release <- struct{}{}
	said := ""
	for typ := byte(0); typ != wire.ReadyForQuery; {
		var body []byte
		var err error
		if typ, body, err = next.next(); err != nil {
			t.Fatal(err)
		}
		said += string(typ)
		if bytes.Contains(body, []byte(evil)) || typ == wire.DataRow && string(body[6:]) != "of the next" {
			t.Errorf("the next client was sent %q %q", typ, body)
		}
	}
	if said != "TDCZ" {
		t.Errorf("the next client was sent %s", said)
	}
}

// A server that misbehaves during the login is one that can't be logged in to.
func TestHostileServerDuringItsLogin(t *testing.T) {
	misdeeds := map[string][]byte{
		"garbage":              []byte("SSH-2.0-OpenSSH_9.2 " + evil + "\r\n"),
		"impossible length":    message('R', 1<<31, evil),
		"unknown method":       wire.AppendAuthentication(nil, 99, nil),
		"error without fields": errorWithoutFields,
		"ready without OK":     ready('I'),
		"row":                  joinBytes(wire.AppendAuthentication(nil, wire.AuthOK, nil), row(evil)),
		"closes":               nil,
		"SCRAM without a list": wire.AppendAuthentication(nil, wire.AuthSASL, []byte(evil)),
		"parameter storm":      joinBytes(wire.AppendAuthentication(nil, wire.AuthOK, nil), bytes.Repeat(wire.AppendParameterStatus(nil, strings.Repeat("p", 1000), evil), 10_000)),
		"bytes after ready":    joinBytes(serverWelcome(), row(evil)),
		"in a transaction":     joinBytes(wire.AppendAuthentication(nil, wire.AuthOK, nil), ready('T')),
	}
	for name, misdeed := range misdeeds {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, func(c *fakeConn) {
				if !c.startup() {
					return
				}
				if c.serial > 1 {
					if _, err := c.Write(serverWelcome()); err == nil {
						c.behave()
					}
					return
				}
				_, _ = c.Write(misdeed)
				if misdeed != nil {
					_, _ = io.Copy(io.Discard, io.LimitReader(c.in, 1))
				}
			})
			p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nserver_login_retry = 5\nserver_connect_timeout = 1"+f.databases())
			c := p.enter("app", "app") // waits until a server can be logged in to
			if got := c.answer("select 1"); got != "server 2" {
				t.Errorf("got %q", got)
			}
			if strings.Contains(p.log.String(), "\x00") {
				t.Error("raw bytes in the log")
			}
		})
	}
}

// A server that never answers holds up its own client only.
func TestServerThatNeverAnswers(t *testing.T) {
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() {
			return
		}
		if c.serial > 1 {
			c.behave()
			return
		}
		_, _, _ = c.receive()
		c.linger()
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1\nquery_timeout = 0.3\nabandoned_query_timeout = 0.3\ncancel_wait_timeout = 0.3"+f.databases())
	victim, other := p.enter("app", "app"), p.enter("app", "app")
	victim.query("select 1")
	if r := victim.refusal(); r.Code != "57014" {
		t.Errorf("%+v, want 57014", r)
	}
	if got := other.answer("select 1"); !strings.HasPrefix(got, "server ") || got == "server 1" {
		t.Errorf("the next client was served by %q", got)
	}
}

// A server that asks for more memory than a client's own query would need gets
// none: bodies are passed on as they come.
func TestServerWithAHugeRow(t *testing.T) {
	const size = 64 << 20
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() {
			return
		}
		for {
			if _, _, ok := c.receive(); !ok {
				return
			}
			_, _ = c.Write(rowHead())
			_, _ = c.Write(append(message('D', size+10, ""), 0, 1, size>>24, size>>16&0xff, size>>8&0xff, size&0xff))
			chunk := bytes.Repeat([]byte("x"), 64<<10)
			for range size / len(chunk) {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
			_, _ = c.Write(completed())
		}
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
	c := p.enter("app", "app")
	c.query("select 1")
	if row := c.until(wire.DataRow); len(row) != size+6 {
		t.Errorf("%d bytes", len(row))
	}
	c.until(wire.ReadyForQuery)
	if got := fmt.Sprint(p.poolOf("app", "app").Idle); got != "1" {
		t.Errorf("%s idle servers", got)
	}
}

// A server isn't given to anybody else in the middle of a message that its client
// gets: the client would never see the end of it.
func TestAMessageIsPassedOnToItsEnd(t *testing.T) {
	notice := wire.AppendNotice(nil, wire.Report{Severity: "WARNING", Code: "01000", Message: "the whole of it"})
	f := startFake(t, func(c *fakeConn) {
		if !c.logIn() {
			return
		}
		c.receive()
		_, _ = c.Write(append(oneValue("first"), notice[:len(notice)/2]...))
		c.hold()
		_, _ = c.Write(notice[len(notice)/2:])
		c.behave()
	})
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1"+f.databases())
	k := talk(t, p.address(), param("user", "app")...)
	if got := k.query("select 1"); got != "first" {
		t.Fatal(got)
	}
	<-f.held
	close(f.release)
	if a := k.next(); a.typ != wire.NoticeResponse || len(k.notices) != 1 || k.notices[0] != "the whole of it" {
		t.Errorf("%c %q", a.typ, k.notices)
	}
	if got := k.query("select 2"); got != "server 1" {
		t.Error(got)
	}
}
