package startup_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/auth"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

func TestCVE_2012_4575_OverlongNames(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	v3 := uint32(wire.Protocol30)
	tests := []struct {
		name string
		in   []byte
		kind startup.Kind
		code string
	}{
		{"user of 64 KiB", hello(v3, "user", long), startup.Reject, "08P01"},
		{"database of 64 KiB", hello(v3, "user", "u", "database", long), startup.Reject, "08P01"},
		{"parameter of 64 KiB", hello(v3, "user", "u", "application_name", long), startup.Reject, "08P01"},
		{"name of 64 KiB", hello(v3, "user", "u", long, "x"), startup.Reject, "08P01"},
		{"user without its zero byte", packet(v3, "user\x00u"), startup.Reject, "08P01"},
		{"no final zero byte", packet(v3, "user\x00u\x00"), startup.Reject, "08P01"},
		{"odd number of strings", packet(v3, "user\x00u\x00database\x00\x00"), startup.Reject, "08P01"},
		{"name without a value", packet(v3, "user\x00u\x00database\x00"), startup.Reject, "08P01"},
		{"bytes after the final zero byte", packet(v3, "user\x00u\x00\x00x\x00"), startup.Reject, "08P01"},
		{"nothing but a version", packet(v3, ""), startup.Reject, "08P01"},
		{"no parameters", packet(v3, "\x00"), startup.Reject, "28000"},
		{"no user", hello(v3, "database", "d"), startup.Reject, "28000"},
		{"empty user", hello(v3, "user", ""), startup.Reject, "28000"},
		{"second user empty", hello(v3, "user", "u", "user", ""), startup.Reject, "28000"},
		{"empty database", hello(v3, "user", "u", "database", ""), startup.Identify, ""},
		{"one zero byte too many", packet(v3, "user\x00u\x00\x00\x00"), startup.Reject, "08P01"},
		{"three thousand parameters", packet(v3, "user\x00u\x00"+strings.Repeat("a\x00\x00", 3000)+"\x00"), startup.Reject, "54000"},
		{"as many in the options string", hello(v3, "user", "u", "options", strings.Repeat(" -ca=", 1900)), startup.Reject, "54000"},
		{"empty replication", hello(v3, "user", "u", "replication", ""), startup.Reject, "22023"},
		{"not UTF-8", hello(v3, "user", "\xff\xfe", "\xc3\x28", "\xf0"), startup.Identify, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShell(startup.Options{}, startup.TCP)
			s.identified = asking(auth.Plain)
			s.send(tt.in)
			s.want(t, tt.kind, tt.code)
		})
	}
}

// The limit holds before the packet is there, and is the configured one.
func TestLengthIsJudgedByTheFirstEightBytes(t *testing.T) {
	for _, limit := range []int{0, 100, 1 << 30} {
		s := newShell(startup.Options{MaxPacket: limit}, startup.TCP)
		most := map[int]int{0: startup.DefaultMaxPacket, 100: 100, 1 << 30: 1<<24 - 1}[limit]
		head := binary.BigEndian.AppendUint32(nil, uint32(most))
		head = binary.BigEndian.AppendUint32(head, wire.Protocol30)
		if n, ev := s.m.Feed(head); n != 0 || ev.Kind != startup.More {
			t.Errorf("limit %d: a packet of %d bytes: %d, %v", limit, most, n, ev.Kind)
		}
		binary.BigEndian.PutUint32(head, uint32(most+1))
		if _, ev := s.m.Feed(head); ev.Kind != startup.Reject && ev.Kind != startup.Drop {
			t.Errorf("limit %d: a packet of %d bytes: %v", limit, most+1, ev.Kind)
		}
	}
}

// A client that sends its packet byte by byte costs nothing while it does.
func TestTricklingCostsNoMemory(t *testing.T) {
	in := hello(wire.Protocol30, "user", "plain", "application_name", strings.Repeat("x", 5000))
	m := startup.New(&startup.Options{}, startup.TCP)
	n := 0
	allocs := testing.AllocsPerRun(len(in)-2, func() {
		n++
		if used, ev := m.Feed(in[:n]); used != 0 || ev.Kind != startup.More {
			t.Fatalf("%d bytes: %d, %v", n, used, ev.Kind)
		}
	})
	if allocs != 0 {
		t.Errorf("%.0f allocations for every byte", allocs)
	}
}

func TestCVE_2015_4054_PasswordBeforeStartup(t *testing.T) {
	for typ := range 256 {
		if typ == 0 {
			continue // a start-up packet begins with zero
		}
		for _, body := range []string{"", "x", "sesame\x00", strings.Repeat("x", 5000)} {
			b := append(wire.AppendHeader(nil, byte(typ), len(body)), body...)
			s := newShell(startup.Options{}, startup.TCP)
			s.send(b)
			s.want(t, startup.Drop, "")
		}
	}
}

// Once the exchange has begun every message but 'p' ends it, whatever its type
// and length.
func TestOnlyAuthenticationMessagesDuringTheExchange(t *testing.T) {
	for typ := range 256 {
		if typ == wire.Password {
			continue
		}
		for _, m := range []auth.Method{auth.Plain, auth.MD5, auth.SCRAM} {
			s := newShell(startup.Options{}, startup.TCP)
			s.identified = asking(m)
			s.send(hello(wire.Protocol30, "user", "plain"))
			s.send(append(wire.AppendHeader(nil, byte(typ), 7), "sesame\x00"...))
			if typ == wire.Terminate {
				s.want(t, startup.Drop, "")
			} else {
				s.want(t, startup.Reject, "08P01")
			}
		}
	}
}

func TestCVE_2021_3935_PlaintextAfterSSLRequest(t *testing.T) {
	injected := []struct {
		name string
		b    []byte
	}{
		{"a query", wire.AppendQuery(nil, "select 1")},
		{"a StartupMessage", hello(wire.Protocol30, "user", "plain")},
		{"one byte", []byte{0}},
		{"an SSLRequest", request(wire.SSLRequestCode)},
		{"a TLS handshake", []byte("\x16\x03\x01\x00\xc8")},
	}
	requests := []uint32{wire.SSLRequestCode, wire.GSSENCRequestCode}
	for _, mode := range []startup.TLSMode{startup.TLSDisable, startup.TLSAllow, startup.TLSRequire} {
		for _, code := range requests {
			for _, tt := range injected {
				t.Run(fmt.Sprintf("mode %d, %d, %s", mode, code, tt.name), func(t *testing.T) {
					m := startup.New(&startup.Options{TLS: mode, DirectTLS: true}, startup.TCP)
					_, ev := m.Feed(append(request(code), tt.b...))
					if ev.Kind != startup.Reject || ev.Report.Code != "08P01" {
						t.Errorf("got %v %v", ev.Kind, ev.Report)
					}
					if out := m.Out(); len(out) == 0 || out[0] != wire.ErrorResponse {
						t.Errorf("the client was sent %q", out)
					}
					if n, ev := m.Feed(tt.b); n != 0 || ev.Kind != startup.Drop {
						t.Errorf("afterwards %d bytes were consumed: %v", n, ev.Kind)
					}
				})
			}
		}
	}
}

// The same from the other side: while the shell shakes hands, plaintext isn't
// read at all.
func TestCVE_2021_43766_PlaintextBeforeTheHandshakeIsOver(t *testing.T) {
	m := startup.New(&startup.Options{TLS: startup.TLSAllow}, startup.TCP)
	if _, ev := m.Feed(request(wire.SSLRequestCode)); ev.Kind != startup.StartTLS {
		t.Fatalf("got %v", ev.Kind)
	}
	if n, ev := m.Feed(hello(wire.Protocol30, "user", "plain")); n != 0 || ev.Kind != startup.Drop {
		t.Errorf("%d bytes consumed, %v", n, ev.Kind)
	}
	if ev := m.Secured(""); ev.Kind != startup.Drop {
		t.Errorf("Secured after that: %v", ev.Kind)
	}
}

// A name that has been given can't be exchanged for another one.
func TestCVE_2026_107350_SecondStartupDuringExchange(t *testing.T) {
	seconds := map[string][]byte{
		"StartupMessage": hello(wire.Protocol30, "user", "plain"),
		"SSLRequest":     request(wire.SSLRequestCode),
		"GSSENCRequest":  request(wire.GSSENCRequestCode),
		"CancelRequest":  wire.AppendCancelRequest(nil, 1, []byte{1, 2, 3, 4}),
		"TLS handshake":  []byte("\x16\x03\x01\x00\xc8"),
	}
	sasl := wire.AppendPassword(nil, []byte("SCRAM-SHA-256\x00\x00\x00\x00\x10n,,n=,r=abcdefgh"))
	points := map[string][][]byte{
		"after StartupMessage": {hello(wire.Protocol30, "user", "nobody", "database", "none")},
		"amid SCRAM":           {hello(wire.Protocol30, "user", "nobody", "database", "none"), sasl},
	}
	for point, before := range points {
		for name, second := range seconds {
			t.Run(point+" "+name, func(t *testing.T) {
				identities := 0
				s := newShell(startup.Options{TLS: startup.TLSAllow, DirectTLS: true}, startup.TCP)
				ask := asking(auth.SCRAM)
				s.identified = func(id startup.Identity) (startup.Mechanism, *wire.Report) {
					identities++
					return ask(id)
				}
				for _, b := range before {
					s.send(b)
				}
				s.send(second)
				s.want(t, startup.Reject, "08P01")
				s.over = false
				s.send(password("sesame"))
				s.want(t, startup.Drop, "")
				if identities != 1 {
					t.Errorf("the client identified itself %d times", identities)
				}
			})
		}
	}
}

// Nothing is consumed while the shell decides, and nothing after the end.
func TestInputWaitsForTheShell(t *testing.T) {
	m := startup.New(&startup.Options{}, startup.TCP)
	in := hello(wire.Protocol30, "user", "plain")
	n, ev := m.Feed(append(in, in...))
	if n != len(in) || ev.Kind != startup.Identify {
		t.Fatalf("%d, %v", n, ev.Kind)
	}
	if n, ev := m.Feed(in); n != 0 || ev.Kind != startup.More {
		t.Errorf("while routing: %d, %v", n, ev.Kind)
	}
	if ev := m.Authenticate(nil); ev.Kind != startup.Authenticated {
		t.Errorf("got %v", ev.Kind)
	}
	if n, ev := m.Feed(in); n != 0 || ev.Kind != startup.More {
		t.Errorf("after the end: %d, %v", n, ev.Kind)
	}
	if ev := m.Authenticate(nil); ev.Kind != startup.Drop {
		t.Errorf("authenticated twice: %v", ev.Kind)
	}
}

func TestCVE_2026_107349_EmptyOptionName(t *testing.T) {
	tests := []struct{ in, code string }{
		{"-c=", "42601"},
		{"-c =", "42601"},
		{"-c", "42601"},
		{"-c ", "42601"},
		{"-c a", "42601"},
		{"-ca", "42601"},
		{"--", "42601"},
		{"--=", "42601"},
		{"--=x", "42601"},
		{"--a", "42601"},
		{"-", "42601"},
		{"a=b", "42601"},
		{"-d 3", "42601"},
		{`-c a=b\`, "42601"},
		{`\`, "42601"},
		{`-c \`, "42601"},
		{`\ `, "42601"},
		{strings.Repeat(" ", 1<<20), ""},
		{strings.Repeat(`\ `, 1<<19), "42601"},
		{strings.Repeat("-c ", 1<<18), "42601"},
		{"-c a=" + strings.Repeat("x", 1<<20), ""},
		{"-c a=b", ""},
		{"-c a=", ""},
		{"-c a=b=c", ""},
		{"\t-ca=b\n--c-d=e\v", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in[:min(len(tt.in), 20)], func(t *testing.T) {
			s := newShell(startup.Options{MaxPacket: 2 << 20}, startup.TCP)
			s.send(hello(wire.Protocol30, "user", "u", "options", tt.in))
			if tt.code == "" {
				s.want(t, startup.Authenticated, "")
			} else {
				s.want(t, startup.Reject, tt.code)
			}
			s = newShell(startup.Options{MaxPacket: 2 << 20, IgnoreOptions: true}, startup.TCP)
			s.send(hello(wire.Protocol30, "user", "u", "options", tt.in))
			s.want(t, startup.Authenticated, "")
		})
	}
	t.Run("1 MiB by default", func(t *testing.T) {
		s := newShell(startup.Options{}, startup.TCP)
		s.send(hello(wire.Protocol30, "user", "u", "options", strings.Repeat(" ", 1<<20)))
		s.want(t, startup.Reject, "08P01")
	})
}

func TestCVE_2026_107348_LengthBeyond2GiB(t *testing.T) {
	lengths := []uint32{0, 1, 2, 3, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1}
	for _, length := range lengths {
		for _, code := range []uint32{wire.Protocol30, wire.Protocol32, 2 << 16, 0, 1<<32 - 1, wire.SSLRequestCode, wire.GSSENCRequestCode, wire.CancelRequestCode} {
			b := binary.BigEndian.AppendUint32(nil, length)
			s := newShell(startup.Options{TLS: startup.TLSAllow}, startup.TCP)
			s.send(binary.BigEndian.AppendUint32(b, code))
			s.want(t, startup.Drop, "")
		}
		s := newShell(startup.Options{}, startup.TCP)
		s.identified = asking(auth.SCRAM)
		s.send(hello(wire.Protocol30, "user", "plain"))
		s.send(binary.BigEndian.AppendUint32([]byte{wire.Password}, length))
		s.want(t, startup.Reject, "08P01")
	}
	s := newShell(startup.Options{}, startup.TCP)
	s.identified = asking(auth.SCRAM)
	s.send(hello(wire.Protocol30, "user", "plain"))
	s.send(wire.AppendHeader(nil, wire.Password, startup.MaxAuthMessage+1))
	s.want(t, startup.Reject, "08P01")
}

func TestDirectTLSNeedsALPN(t *testing.T) {
	tests := []struct {
		direct bool
		alpn   string
		kind   startup.Kind
	}{
		{true, "postgresql", startup.More},
		{true, "", startup.Reject},
		{true, "h2", startup.Reject},
		{false, "postgresql", startup.More},
		{false, "", startup.More},
		{false, "h2", startup.Reject},
	}
	for _, tt := range tests {
		m := startup.New(&startup.Options{TLS: startup.TLSAllow, DirectTLS: true}, startup.TCP)
		if tt.direct {
			m.Feed([]byte{0x16})
		} else {
			m.Feed(request(wire.SSLRequestCode))
		}
		if ev := m.Secured(tt.alpn); ev.Kind != tt.kind {
			t.Errorf("direct=%t, ALPN %q: %v, want %v", tt.direct, tt.alpn, ev.Kind, tt.kind)
		}
	}
}

func TestRefuse(t *testing.T) {
	report := wire.Report{Code: "53300", Message: "no more connections allowed"}
	for _, secret := range []string{"", "sesame"} {
		s := newShell(startup.Options{}, startup.TCP)
		if secret != "" {
			s.identified = asking(auth.Plain)
		}
		s.send(hello(wire.Protocol30, "user", "plain"))
		if secret != "" {
			s.send(password(secret))
		}
		s.want(t, startup.Authenticated, "")
		ev := s.m.Refuse(report)
		if ev.Kind != startup.Reject || ev.Report.Severity != "FATAL" || !bytes.Contains(s.m.Out(), []byte("C53300\x00")) {
			t.Errorf("%v, out %q", ev, s.m.Out())
		}
		if ev := s.m.Refuse(report); ev.Kind != startup.Drop || len(s.m.Out()) > 0 {
			t.Errorf("refused twice: %v, %q", ev.Kind, s.m.Out())
		}
	}
}

// A shell that calls at the wrong time gets a closed machine, not a login.
func TestCallsAtTheWrongTime(t *testing.T) {
	calls := map[string]func(*startup.Machine) startup.Event{
		"Secured":      func(m *startup.Machine) startup.Event { return m.Secured("postgresql") },
		"Authenticate": func(m *startup.Machine) startup.Event { return m.Authenticate(nil) },
		"Resume":       func(m *startup.Machine) startup.Event { return m.Resume() },
	}
	for name, call := range calls {
		m := startup.New(&startup.Options{}, startup.TCP)
		if ev := call(m); ev.Kind != startup.Drop {
			t.Errorf("%s at the beginning: %v", name, ev.Kind)
		}
		if _, ev := m.Feed(hello(wire.Protocol30, "user", "u")); ev.Kind != startup.Drop {
			t.Errorf("%s, then a StartupMessage: %v", name, ev.Kind)
		}
	}
}

func TestWelcome(t *testing.T) {
	got := startup.AppendWelcome(nil, 7, []byte{1, 2, 3, 4}, wire.AppendParameterStatus(nil, "TimeZone", "UTC"))
	want := "R\x00\x00\x00\x08\x00\x00\x00\x00" +
		"S\x00\x00\x00\x11TimeZone\x00UTC\x00" +
		"K\x00\x00\x00\x0c\x00\x00\x00\x07\x01\x02\x03\x04" +
		"Z\x00\x00\x00\x05I"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
