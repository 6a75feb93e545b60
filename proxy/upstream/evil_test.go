package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"carpool/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen starts a server on loopback that runs talk with each connection, in
// order, and returns where it is. It ends with the test.
func listen(t *testing.T, talk ...func(net.Conn)) HostPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, f := range talk {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
		_ = l.Close() // one connection more is refused
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return HostPort{"127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port)}
}

// hear reads one start-up packet, SSLRequest or CancelRequest and returns its
// body after the length.
func hear(c net.Conn) []byte {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil
	}
	n := int(length[2])<<8 | int(length[3])
	body := make([]byte, max(n-4, 0))
	_, _ = io.ReadFull(c, body)
	return body
}

// welcome plays a server that trusts everybody.
func welcome(c net.Conn) {
	hear(c)
	_, _ = c.Write(say(authOK(), key(), ready()))
	_, _ = io.Copy(io.Discard, c)
}

// answering makes a server that answers the first packet with b and then
// listens to the end.
func answering(b string) func(net.Conn) {
	return func(c net.Conn) { recording(b, make(chan []byte, 1))(c) }
}

// recording is answering for a server whose last act is to send what it heard.
func recording(b string, heard chan<- []byte) func(net.Conn) {
	return func(c net.Conn) {
		hear(c)
		_, _ = c.Write([]byte(b))
		all, _ := io.ReadAll(c)
		heard <- all
	}
}

func dial(t *testing.T, target *Target) (*Conn, error) {
	t.Helper()
	target.User = "u"
	c, err := Dial(t.Context(), target, nil)
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

const fatalText = "this is the man in the middle"

func fatal(code string) []byte {
	return wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: code, Message: fatalText})
}

// CVE-2021-43767 (and 23222): bytes that come with the answer to SSLRequest
// aren't part of the encrypted conversation.
func TestCVE_2021_43767_BytesBeforeTLS(t *testing.T) {
	for _, mode := range []TLSMode{TLSPrefer, TLSRequire, TLSVerifyCA, TLSVerifyFull} {
		t.Run(mode.String(), func(t *testing.T) {
			heard := make(chan []byte, 1)
			host := listen(t, recording("S"+string(say(authOK(), key(), ready())), heard))
			_, err := dial(t, &Target{Hosts: []HostPort{host}, TLS: TLS{Mode: mode}})
			if err == nil || !strings.Contains(err.Error(), "unencrypted bytes") {
				t.Errorf("error %v", err)
			}
			if b := <-heard; len(b) > 0 {
				t.Errorf("%q was sent after that", b)
			}
		})
	}
}

// CVE-2024-10977: where TLS is demanded, nothing that was said before it is
// told to a client.
func TestCVE_2024_10977_ErrorsBeforeTLS(t *testing.T) {
	for _, mode := range []TLSMode{TLSRequire, TLSVerifyCA, TLSVerifyFull} {
		t.Run(mode.String(), func(t *testing.T) {
			host := listen(t, answering(string(fatal("28000"))))
			_, err := dial(t, &Target{Hosts: []HostPort{host}, TLS: TLS{Mode: mode}})
			if err == nil || strings.Contains(err.Error(), fatalText) {
				t.Errorf("error %v", err)
			}
			if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
				t.Error("it is told as the server's own refusal")
			}
		})
	}
}

// CVE-2022-41862: of a wrong answer to SSLRequest one byte is told, no more.
func TestCVE_2022_41862_WrongAnswersToSSLRequest(t *testing.T) {
	for _, answer := range []string{"H" + "TTP/1.1 400", "\x1b[31m", "\x00", "s", "n"} {
		host := listen(t, answering(answer))
		_, err := dial(t, &Target{Hosts: []HostPort{host}, TLS: TLS{Mode: TLSPrefer}})
		if err == nil || !strings.Contains(err.Error(), "answers SSLRequest with '") || strings.Contains(err.Error(), "TTP") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q gives the error %v", answer, err)
		}
	}
}

// No mode that demands TLS sends so much as a user name without it.
func TestDemandedTLSIsNeverGivenUp(t *testing.T) {
	for _, mode := range []TLSMode{TLSRequire, TLSVerifyCA, TLSVerifyFull} {
		for _, answer := range []string{"N", "E", "S\x15\x03\x01\x00\x02\x02\x28"} {
			t.Run(mode.String()+" "+answer, func(t *testing.T) {
				heard := make(chan []byte, 1)
				var second atomic.Bool
				host := listen(t, recording(answer, heard), func(net.Conn) { second.Store(true) })
				if _, err := dial(t, &Target{Hosts: []HostPort{host}, TLS: TLS{Mode: mode}}); err == nil {
					t.Error("logged in")
				}
				if bytes.Contains(<-heard, []byte("user\x00")) {
					t.Error("the login was sent unencrypted")
				}
				if second.Load() {
					t.Error("a second attempt was made")
				}
			})
		}
	}
}

func TestPreferredTLSIsGivenUp(t *testing.T) {
	for _, answer := range []string{"N", "E", "S"} {
		t.Run(answer, func(t *testing.T) {
			host := listen(t, func(c net.Conn) {
				hear(c)
				_, _ = c.Write([]byte(answer)) // and closes
			}, welcome)
			c, err := dial(t, &Target{Hosts: []HostPort{host}, TLS: TLS{Mode: TLSPrefer}})
			if err != nil {
				t.Fatal(err)
			}
			if c.TLS != nil {
				t.Error("it says it is encrypted")
			}
		})
	}
}

func TestSilentServers(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	stalling := func(c net.Conn) {
		hear(c)
		_, _ = c.Write(authOK())
		_, _ = io.Copy(io.Discard, c)
	}
	handshaking := answering("S") // and then no word
	for name, tt := range map[string]struct {
		talk func(net.Conn)
		mode TLSMode
	}{
		"says nothing":             {silent, TLSDisable},
		"no answer to SSLRequest":  {silent, TLSPrefer},
		"stalls in the handshake":  {handshaking, TLSRequire},
		"stalls after the login":   {stalling, TLSDisable},
		"stalls before, prefer":    {handshaking, TLSPrefer},
		"stalls, and would be TLS": {stalling, TLSAllow},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, &Target{Hosts: []HostPort{listen(t, tt.talk)}, ConnectTimeout: 50 * time.Millisecond, TLS: TLS{Mode: tt.mode}})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not ready within 50ms") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host := listen(t, func(c net.Conn) {
		hear(c)
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	if _, err := Dial(ctx, &Target{User: "u", Hosts: []HostPort{host}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestHostsAreTriedInTurn(t *testing.T) {
	refused := func() HostPort {
		h := listen(t)
		c, err := net.Dial("tcp", h.String()) // until the listener is closed
		for err == nil {
			_ = c.Close()
			c, err = net.Dial("tcp", h.String())
		}
		return h
	}
	saying := func(code string) HostPort { return listen(t, answering(string(fatal(code)))) }
	silent := func() HostPort { return listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) }
	good := func() HostPort { return listen(t, welcome) }
	tests := []struct {
		name  string
		hosts []HostPort
		want  int // which answers; -1 none
	}{
		{"the first", []HostPort{good(), refused()}, 0},
		{"refused", []HostPort{refused(), good()}, 1},
		{"starting up", []HostPort{saying("57P03"), good()}, 1},
		{"full", []HostPort{saying("53300"), good()}, 1},
		{"silent", []HostPort{silent(), good()}, 1},
		{"a host that doesn't exist", []HostPort{{"host.invalid", 1}, good()}, 1},
		{"a socket that doesn't exist", []HostPort{{"/nonexistent", 1}, good()}, 1},
		{"wrong password", []HostPort{saying("28P01"), good()}, -1},
		{"nobody", []HostPort{refused(), refused()}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dial(t, &Target{Hosts: tt.hosts, ConnectTimeout: 2 * time.Second})
			switch {
			case tt.want < 0 && err == nil:
				t.Errorf("host %s answered", c.Host)
			case tt.want >= 0 && err != nil:
				t.Error(err)
			case tt.want >= 0 && c.Host != tt.hosts[tt.want]:
				t.Errorf("host %s answered", c.Host)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
		})
	}
}

func TestLoadIsBalanced(t *testing.T) {
	a, b := listen(t, welcome, welcome), listen(t, welcome, welcome)
	target := &Target{Hosts: []HostPort{a, b}, LoadBalance: true}
	for n, want := range []HostPort{a, b, a, b} {
		c, err := dial(t, target)
		if err != nil {
			t.Fatal(err)
		}
		if c.Host != want {
			t.Errorf("dial %d went to %s", n, c.Host)
		}
		_ = unix.Shutdown(c.FD, unix.SHUT_RDWR) // lets the server go on to the next
	}
}

func TestRefusalsAreTheServersOwn(t *testing.T) {
	host := listen(t, answering(string(fatal("3D000"))))
	_, err := dial(t, &Target{Hosts: []HostPort{host}})
	refusal := (*LoginError)(nil)
	if !errors.As(err, &refusal) || refusal.Report.Code != "3D000" || refusal.Report.Message != fatalText || refusal.Host != host || !refusal.Fatal() {
		t.Errorf("error %#v", err)
	}
}

func TestTargetsThatCannotWork(t *testing.T) {
	hosts := []HostPort{{"127.0.0.1", 1}}
	for name, target := range map[string]*Target{
		"no host":                  {User: "u"},
		"no user":                  {Hosts: hosts},
		"zero byte in user":        {Hosts: hosts, User: "a\x00b"},
		"zero byte in database":    {Hosts: hosts, User: "u", Database: "a\x00b"},
		"zero byte in a query":     {Hosts: hosts, User: "u", ConnectQuery: "a\x00b"},
		"zero byte in a parameter": {Hosts: hosts, User: "u", Params: []wire.Param{{Name: "a", Value: "b\x00options\x00-c x"}}},
		"nameless parameter":       {Hosts: hosts, User: "u", Params: []wire.Param{{Value: "b"}}},
	} {
		if _, err := Dial(t.Context(), target, nil); err == nil || strings.Contains(err.Error(), "connecting") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelWaitsForTheServer(t *testing.T) {
	heard := make(chan []byte, 1)
	host := listen(t, welcome, func(c net.Conn) {
		b := hear(c)
		heard <- b
	})
	c, err := dial(t, &Target{Hosts: []HostPort{host}})
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Shutdown(c.FD, unix.SHUT_RDWR)
	if err := Cancel(t.Context(), c.CancelTarget(), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-heard:
		if want := wire.AppendCancelRequest(nil, 7, []byte{1, 2, 3, 4})[4:]; !bytes.Equal(got, want) {
			t.Errorf("heard %q", got)
		}
	default:
		t.Error("Cancel returned before the server had heard it")
	}
}

func TestCancelsThatFail(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	talking := func(c net.Conn) { hear(c); _, _ = c.Write(make([]byte, 2*maxCancelReply)) }
	to := func(h HostPort) CancelTarget {
		at, err := resolve(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		return CancelTarget{at: at[0], timeout: 50 * time.Millisecond, secret: []byte{1, 2, 3, 4}}
	}
	encrypted := func(h HostPort) CancelTarget {
		ct := to(h)
		ct.tls = &tls.Config{InsecureSkipVerify: true}
		return ct
	}
	heard := make(chan []byte, 1)
	for name, ct := range map[string]CancelTarget{
		"nobody's":        {},
		"silent server":   to(listen(t, silent)),
		"talking server":  to(listen(t, talking)),
		"no TLS any more": encrypted(listen(t, recording("N", heard))),
	} {
		if err := Cancel(t.Context(), ct, nil); err == nil || strings.Contains(err.Error(), "\x01\x02") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b := <-heard; len(b) > 0 {
		t.Error("the key was sent unencrypted")
	}
}
