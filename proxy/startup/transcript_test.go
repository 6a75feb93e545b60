package startup_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carpool/proxy/auth"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// conversation is one way in: what the client sends, packet by packet.
type conversation struct {
	name    string
	options startup.Options
	via     startup.Transport
	method  auth.Method
	sends   [][]byte
}

func conversations() []conversation {
	ssl, gss := request(wire.SSLRequestCode), request(wire.GSSENCRequestCode)
	plain := hello(wire.Protocol30, "user", "plain")
	app := hello(wire.Protocol30, "user", "plain", "database", "books", "application_name", "psql", "client_encoding", "UTF8")
	cancel := wire.AppendCancelRequest(nil, 4711, []byte{1, 2, 3, 4})
	allow, require := startup.Options{TLS: startup.TLSAllow, DirectTLS: true}, startup.Options{TLS: startup.TLSRequire}
	sasl := wire.AppendPassword(nil, []byte("SCRAM-SHA-256\x00\x00\x00\x00\x10n,,n=,r=abcdefgh"))
	list := func(sends ...[]byte) [][]byte { return sends }
	return []conversation{
		{name: "plain password", method: auth.Plain, sends: list(app, password("sesame"))},
		{name: "plain password wrong", method: auth.Plain, sends: list(app, password("open"))},
		{name: "plain password empty", method: auth.Plain, sends: list(app, password(""))},
		{name: "md5 wrong", method: auth.MD5, sends: list(plain, password("md500000000000000000000000000000000"))},
		{name: "md5 unknown user", method: auth.MD5, sends: list(hello(wire.Protocol30, "user", "nobody"), password("md500000000000000000000000000000000"))},
		{name: "md5 asks for scram where the secret is scram", method: auth.MD5, sends: list(hello(wire.Protocol30, "user", "scram"), sasl)},
		{name: "scram first message", method: auth.SCRAM, sends: list(plain, sasl)},
		{name: "scram garbage", method: auth.SCRAM, sends: list(plain, password("sesame"))},
		{name: "trust unknown user", method: auth.Trust, sends: list(hello(wire.Protocol30, "user", "nobody"))},
		{name: "any", method: auth.Any, sends: list(plain)},
		{name: "control characters in the user name", method: auth.Plain, sends: list(hello(wire.Protocol30, "user", "a\x1b[2J\nb"), password("x"))},

		{name: "ssl refused then plaintext", method: auth.Any, sends: list(ssl, plain)},
		{name: "gss refused then ssl refused", method: auth.Any, sends: list(gss, ssl, plain)},
		{name: "gss refused then ssl", options: allow, method: auth.Any, sends: list(gss, ssl, plain)},
		{name: "ssl then gss inside", options: allow, method: auth.Any, sends: list(ssl, gss, plain)},
		{name: "ssl inside tls", options: allow, method: auth.Any, sends: list(ssl, ssl)},
		{name: "ssl twice", method: auth.Any, sends: list(ssl, ssl)},
		{name: "gss twice", method: auth.Any, sends: list(gss, gss)},
		{name: "ssl by unix socket", options: require, via: startup.Unix, method: auth.Any, sends: list(ssl, plain)},
		{name: "ssl required and used", options: require, method: auth.Any, sends: list(ssl, plain)},
		{name: "ssl required and not used", options: require, method: auth.Any, sends: list(plain)},
		{name: "direct tls", options: allow, method: auth.Any, sends: list([]byte("\x16\x03\x01\x00\xc8"))},
		{name: "direct tls switched off", options: require, method: auth.Any, sends: list([]byte("\x16\x03\x01\x00\xc8"))},
		{name: "direct tls after an ssl request", options: startup.Options{DirectTLS: true}, method: auth.Any, sends: list(ssl, []byte("\x16\x03\x01\x00\xc8"))},

		{name: "cancel", sends: list(cancel)},
		{name: "cancel inside tls", options: require, sends: list(ssl, cancel)},
		{name: "cancel with a long secret", sends: list(wire.AppendCancelRequest(nil, 1, make([]byte, 256)))},
		{name: "cancel with a secret too long", sends: list(wire.AppendCancelRequest(nil, 1, make([]byte, 257)))},
		{name: "cancel with a secret too short", sends: list(wire.AppendCancelRequest(nil, 1, make([]byte, 3)))},

		{name: "protocol 2", sends: list(packet(2<<16, "\x00"))},
		{name: "protocol 3.1", method: auth.Any, sends: list(hello(3<<16|1, "user", "plain"))},
		{name: "protocol 3.2", method: auth.Any, sends: list(hello(wire.Protocol32, "user", "plain"))},
		{name: "protocol 3.9999 and an option", method: auth.Any, sends: list(hello(3<<16|9999, "user", "plain", "_pq_.test_protocol_negotiation", ""))},
		{name: "protocol option in 3.0", method: auth.Plain, sends: list(hello(wire.Protocol30, "_pq_.a", "1", "user", "plain", "_pq_.b", ""), password("sesame"))},
		{name: "protocol 4", sends: list(packet(4<<16, "\x00"))},
		{name: "protocol 1234.5679 twisted", sends: list(packet(1234<<16|5681, "\x00"))},

		{name: "options", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "plain", "options", `-c search_path=a\ b,\\c --statement-timeout=5s -cgeqo=off`, "Search_Path", "own", "DateStyle", "ISO"))},
		{name: "duplicate keys", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "a", "user", "plain", "x", "1", "X", "2", "y", "3"))},
		{name: "replication database", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "plain", "replication", "database"))},
		{name: "replication true", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "plain", "replication", "true"))},
		{name: "replication off", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "plain", "replication", "off"))},
		{name: "replication nonsense", method: auth.Any, sends: list(hello(wire.Protocol30, "user", "plain", "replication", "sometimes"))},
		{name: "names of 64 bytes", method: auth.Any, sends: list(hello(wire.Protocol30, "user", strings.Repeat("u", 64), "database", strings.Repeat("d", 100)))},
		{name: "terminate instead of a password", method: auth.Plain, sends: list(plain, wire.AppendEmpty(nil, wire.Terminate))},
		{name: "bytes after the last answer are left", method: auth.Plain, sends: list(plain, append(password("sesame"), wire.AppendQuery(nil, "select 1")...))},
		{name: "http", sends: list([]byte("GET / HTTP/1.1\r\n\r\n"))},
	}
}

// run holds a conversation in which the packet of the given number is cut in
// two at the given offset; none is cut if cut is negative.
func (c conversation) run(which, cut int) *shell {
	s := newShell(c.options, c.via)
	s.identified = asking(c.method)
	for i, b := range c.sends {
		fmt.Fprintf(&s.log, "C %q\n", b)
		if i == which && cut >= 0 {
			s.send(b, cut)
		} else {
			s.send(b)
		}
	}
	if len(s.pending) > 0 && s.last.Kind == startup.Authenticated {
		fmt.Fprintf(&s.log, "left %q\n", s.pending)
	}
	return s
}

func TestTranscripts(t *testing.T) {
	for _, c := range conversations() {
		t.Run(c.name, func(t *testing.T) {
			got := c.run(-1, -1).log.String()
			file := filepath.Join("testdata", strings.ReplaceAll(c.name, " ", "_")+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEveryCutGivesTheSameEvents(t *testing.T) {
	for _, c := range conversations() {
		want := c.run(-1, -1).log.String()
		for which, b := range c.sends {
			for cut := range b {
				if got := c.run(which, cut).log.String(); got != want {
					t.Fatalf("%s: packet %d cut at %d gives\n%s\nwant\n%s", c.name, which, cut, got, want)
				}
			}
		}
	}
}

// Nothing of an incomplete packet is consumed, however often it is fed.
func TestIncompletePacketsStayWithTheCaller(t *testing.T) {
	for _, c := range conversations() {
		m := startup.New(&c.options, c.via)
		first := c.sends[0]
		for cut := range first {
			n, ev := m.Feed(first[:cut])
			if n != 0 {
				t.Errorf("%s: %d of the first %d bytes consumed", c.name, n, cut)
			}
			if ev.Kind != startup.More {
				break
			}
		}
	}
}
