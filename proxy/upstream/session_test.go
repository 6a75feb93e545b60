package upstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

// script is a server that says what it has to say without listening.
type script struct {
	io.Reader
	heard bytes.Buffer
}

func (s *script) Write(b []byte) (int, error) { return s.heard.Write(b) }

// say joins messages.
func say(messages ...[]byte) []byte { return slices.Concat(messages...) }

func authOK() []byte { return wire.AppendAuthentication(nil, wire.AuthOK, nil) }

func ready() []byte { return wire.AppendReadyForQuery(nil, wire.TxIdle) }

func key() []byte { return wire.AppendBackendKeyData(nil, 7, []byte{1, 2, 3, 4}) }

func status(name, value string) []byte { return wire.AppendParameterStatus(nil, name, value) }

func ask(code uint32, data string) []byte { return wire.AppendAuthentication(nil, code, []byte(data)) }

func message(typ byte, body string) []byte {
	return append(wire.AppendHeader(nil, typ, len(body)), body...)
}

// logInTo lets a session log in to a server that says b.
func logInTo(target *Target, r io.Reader) (*session, *script, error) {
	server := &script{Reader: r}
	s := &session{link: server, target: target, host: HostPort{"test", 1}}
	return s, server, s.logIn(target.startup(nil))
}

func TestLogIn(t *testing.T) {
	target := &Target{User: "u", Database: "d", Password: "secret"}
	b := say(
		message(wire.NegotiateProtocolVersion, "\x00\x03\x00\x00\x00\x00\x00\x00"),
		wire.AppendNotice(nil, wire.Report{Message: "hello"}),
		ask(wire.AuthCleartextPassword, ""), authOK(),
		status("server_version", "17.1"), status("TimeZone", "UTC"), key(), status("TimeZone", "GMT"),
		wire.AppendNotice(nil, wire.Report{Message: "password expires soon"}), ready(), []byte("more"))
	for _, size := range []int{1, 7, 1 << 20} {
		s, server, err := logInTo(target, &pieces{b, size})
		if err != nil {
			t.Fatal(err)
		}
		want := []wire.Param{{Name: "server_version", Value: "17.1"}, {Name: "TimeZone", Value: "UTC"}, {Name: "TimeZone", Value: "GMT"}}
		if !slices.Equal(s.params, want) || s.pid != 7 || !bytes.Equal(s.secret, []byte{1, 2, 3, 4}) {
			t.Errorf("params %q, pid %d, secret %x", s.params, s.pid, s.secret)
		}
		if !strings.HasPrefix("more", string(s.in)) {
			t.Errorf("%q is left", s.in)
		}
		heard := say(wire.AppendStartup(nil, wire.Protocol30, target.startup(nil)), message(wire.Password, "secret\x00"))
		if !bytes.Equal(server.heard.Bytes(), heard) {
			t.Errorf("the server heard %q", server.heard.Bytes())
		}
	}
}

// pieces yields at most size bytes at a time.
type pieces struct {
	b    []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(len(p.b), p.size)])
	p.b = p.b[n:]
	return n, nil
}

func TestStartupParameters(t *testing.T) {
	target := &Target{User: "u", Database: "d", Params: []wire.Param{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}}
	got := target.startup([]wire.Param{{Name: "B", Value: "3"}, {Name: "user", Value: "root"}, {Name: "database", Value: "x"}, {Name: "c", Value: "4"}})
	want := []wire.Param{{Name: "user", Value: "u"}, {Name: "database", Value: "d"}, {Name: "a", Value: "1"}, {Name: "B", Value: "3"}, {Name: "c", Value: "4"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMD5Answers(t *testing.T) {
	for name, password := range map[string]string{"plain": "pencil", "secret": "md520c46e3762c864548e296b33c3406aa9"} {
		t.Run(name, func(t *testing.T) {
			s := session{target: &Target{User: "user", Password: password}}
			got, err := s.begin(wire.AuthMD5Password, []byte("salt"), new(*scram))
			if err != nil || string(got) != "md5d3d9bcccbaa2fb5234570d4d0f22b055\x00" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, password string
		query          string
		server         []byte
		complaint      string
	}{
		{"closed at once", "", "", nil, "unexpected EOF"},
		{"closed within a header", "", "", authOK()[:3], "unexpected EOF"},
		{"closed within a body", "", "", authOK()[:7], "unexpected EOF"},
		{"closed before it is ready", "", "", say(authOK(), key()), "unexpected EOF"},
		{"length 0", "", "", []byte{'R', 0, 0, 0, 0}, "length"},
		{"length -1", "", "", []byte{'R', 0xff, 0xff, 0xff, 0xff}, "length"},
		{"length 2^31-1", "", "", []byte{'R', 0x7f, 0xff, 0xff, 0xff}, "length"},
		{"a message too long", "", "", wire.AppendHeader(nil, 'R', maxLoginBody+1), "length"},
		{"no HTTP server", "", "", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "length"},
		{"ready before the login", "", "", ready(), "unexpected message 'Z'"},
		{"rows", "", "", say(authOK(), message('D', "\x00\x00")), "unexpected message 'D'"},
		{"parameters before the login", "", "", status("a", "b"), "unexpected message 'S'"},
		{"authentication twice", "", "", say(authOK(), authOK()), "unexpected message 'R'"},
		{"cut request", "", "", message('R', "\x00\x00"), "malformed authentication"},
		{"malformed status", "", "", say(authOK(), message('S', "a\x00b")), "malformed ParameterStatus"},
		{"malformed key", "", "", say(authOK(), message('K', "abcdefg")), "BackendKeyData"},
		{"endless key", "", "", say(authOK(), message('K', strings.Repeat("x", 300))), "BackendKeyData"},
		{"malformed ready", "", "", say(authOK(), message('Z', "X")), "malformed ReadyForQuery"},
		{"ready in a transaction", "", "", say(authOK(), wire.AppendReadyForQuery(nil, wire.TxOpen)), "inside a transaction"},
		{"no password", "", "", ask(wire.AuthCleartextPassword, ""), "there is no password"},
		{"no password for md5", "", "", ask(wire.AuthMD5Password, "salt"), "there is no password"},
		{"md5 with half a salt", "hunter2", "", ask(wire.AuthMD5Password, "sa"), "malformed request"},
		{"Kerberos", "hunter2", "", ask(wire.AuthKerberosV5, ""), "Kerberos V5 authentication, which isn't supported"},
		{"GSSAPI", "hunter2", "", ask(wire.AuthGSS, ""), "GSSAPI authentication, which isn't supported"},
		{"SSPI", "hunter2", "", ask(wire.AuthSSPI, ""), "SSPI authentication, which isn't supported"},
		{"something new", "hunter2", "", ask(99, ""), "method 99, which isn't supported"},
		{"an unknown mechanism", "hunter2", "", ask(wire.AuthSASL, "OAUTHBEARER\x00\x00"), `"OAUTHBEARER"`},
		{"unending mechanisms", "hunter2", "", ask(wire.AuthSASL, strings.Repeat("X\x00", 100)), "malformed list"},
		{"unterminated mechanisms", "hunter2", "", ask(wire.AuthSASL, "SCRAM-SHA-256\x00"), "malformed list"},
		{"md5 secret and cleartext", "md5" + strings.Repeat("a", 32), "", ask(wire.AuthCleartextPassword, ""), "can't answer"},
		{"md5 secret and SCRAM", "md5" + strings.Repeat("a", 32), "", ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), "can't answer"},
		{"SCRAM that never began", "hunter2", "", ask(wire.AuthSASLContinue, rfcChallenge), "never began"},
		{"SCRAM end that never began", "hunter2", "", ask(wire.AuthSASLFinal, rfcFinal), "never began"},
		{"SCRAM left off", "hunter2", "", say(ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), authOK()), "without proving"},
		{"SCRAM, then a cleartext password", "hunter2", "", say(ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), ask(wire.AuthCleartextPassword, "")), "in the middle"},
		{"SCRAM, end at once", "hunter2", "", say(ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), ask(wire.AuthSASLFinal, rfcFinal)), "too soon"},
		{"SCRAM, SCRAM", "hunter2", "", say(ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00")), "in the middle"},
		{"connect query that copies", "", "copy", say(authOK(), ready(), message('G', "\x00\x00\x00")), "unexpected message 'G' during connect query"},
		{"connect query that begins", "", "begin", say(authOK(), ready(), wire.AppendReadyForQuery(nil, wire.TxOpen)), "inside a transaction after the connect query"},
		{"half a row in the connect query", "", "x", say(authOK(), ready(), message('D', "\x00\x02\x00\x00\x00\x01a")), "unexpected message 'D'"},
		{"a row of endless columns", "", "x", say(authOK(), ready(), message('D', "\x00\x01\x7f\xff\xff\xffa")), "unexpected message 'D'"},
		{"a new key in the connect query", "", "x", say(authOK(), ready(), key()), "BackendKeyData"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, server, err := logInTo(&Target{User: "u", Password: tt.password, ConnectQuery: tt.query}, bytes.NewReader(tt.server))
			if err == nil || !strings.Contains(err.Error(), tt.complaint) {
				t.Errorf("error %v, want one with %q", err, tt.complaint)
			}
			if refusal := (*LoginError)(nil); errors.As(err, &refusal) {
				t.Error("it is told as the server's own refusal")
			}
			if tt.password != "" && strings.Contains(server.heard.String(), tt.password) {
				t.Error("the password was sent")
			}
		})
	}
}

// What a server says about the settings of the connect query.
func TestSettingsOfTheConnectQuery(t *testing.T) {
	row := func(what, name, value string) []byte {
		b := []byte{0, 3}
		for _, column := range []string{what, name, value} {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(column))), column...)
		}
		return message('D', string(b))
	}
	timeUp := say(wire.AppendError(nil, wire.Report{Severity: "ERROR", Code: "57014", Message: "time is up"}), ready())
	for _, tt := range []struct {
		name      string
		answer    []byte
		want      []wire.Param
		complaint string
	}{
		{
			"some", say(row("s", "work_mem", "4096"), row("d", "role", "none"), row("s", "app.x", "y"), message('C', "SELECT 3\x00"), ready()),
			[]wire.Param{{Name: "work_mem", Value: "4096"}, {Name: "app.x", Value: "y"}},
			"",
		},
		{"none", say(message('C', "SELECT 0\x00"), ready()), nil, ""},
		{"a refusal", say(wire.AppendError(nil, wire.Report{Severity: "ERROR", Code: "42883", Message: "no such function"}), ready()), nil, ""},
		{
			"some at the second attempt", say(row("s", "role", "half"), timeUp, row("s", "work_mem", "4096"), message('C', "SELECT 1\x00"), ready()),
			[]wire.Param{{Name: "work_mem", Value: "4096"}},
			"",
		},
		{"too little time", bytes.Repeat(timeUp, mostQuestions), nil, "time is up"},
		{"an end", wire.AppendError(nil, wire.Report{Severity: "FATAL", Code: "57P01", Message: "going"}), nil, "going"},
		{"silence", nil, nil, "EOF"},
		{"half a row", message('D', "\x00\x03\x00\x00\x00\x01s"), nil, "what can't be"},
		{"a row of something else", say(row("z", "a", "b"), ready()), nil, "what can't be"},
		{"a transaction", wire.AppendReadyForQuery(nil, wire.TxOpen), nil, "inside a transaction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := say(authOK(), ready(), message('C', "SET\x00"), ready(), tt.answer)
			s, script, err := logInTo(&Target{User: "u", ConnectQuery: "SET work_mem TO 4096; SET app.x TO 'y'", ConnectSettings: true}, bytes.NewReader(server))
			if tt.complaint == "" && err != nil || tt.complaint != "" && (err == nil || !strings.Contains(err.Error(), tt.complaint)) {
				t.Errorf("error %v, want %q", err, tt.complaint)
			}
			if !slices.Equal(s.settings, tt.want) {
				t.Errorf("settings %v, want %v", s.settings, tt.want)
			}
			if !strings.Contains(script.heard.String(), "app.x") {
				t.Error("the custom parameter wasn't asked for")
			}
		})
	}
}

// A storm of ParameterStatus, or anything else without end, costs its server
// the connection and us no memory.
func TestServersMayNotTalkForever(t *testing.T) {
	for name, again := range map[string][]byte{
		"parameters":         status("a", "b"),
		"great parameters":   status("a", strings.Repeat("x", 60000)),
		"notices":            wire.AppendNotice(nil, wire.Report{Message: "x"}),
		"parameters and key": say(status("a", "b"), key()),
	} {
		for _, before := range [][]byte{nil, authOK()} {
			if before == nil && !strings.Contains(name, "notices") {
				continue
			}
			s, _, err := logInTo(&Target{User: "u"}, io.MultiReader(bytes.NewReader(before), &endless{again: again}))
			if err == nil || !strings.Contains(err.Error(), "too much") {
				t.Errorf("%s: error %v", name, err)
			}
			if len(s.params) > maxLoginMessages {
				t.Errorf("%s: %d parameters were kept", name, len(s.params))
			}
		}
	}
}

type endless struct{ again, rest []byte }

func (e *endless) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = e.again
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// CVE-2026-6666: an ErrorResponse may lack any of its fields.
func TestCVE_2026_6666_ErrorsWithoutFields(t *testing.T) {
	for _, body := range []string{"", "\x00", "M", "Mno SQLSTATE\x00\x00", "C\x00\x00", "C28P01", "Qx\x00\x00", "SFATAL\x00", strings.Repeat("Mx\x00", 1000)} {
		for step, before := range [][]byte{StepLogin: nil, StepConnectQuery: say(authOK(), ready())} {
			_, _, err := logInTo(&Target{User: "u", ConnectQuery: "select"}, bytes.NewReader(say(before, message('E', body))))
			refusal := (*LoginError)(nil)
			if !errors.As(err, &refusal) {
				t.Errorf("%q gives %v", body, err)
				continue
			}
			if refusal.Step != Step(step) || refusal.Error() == "" {
				t.Errorf("%q gives %v during %s", body, refusal, refusal.Step)
			}
			if refusal.Fatal() {
				t.Errorf("%q without SQLSTATE counts as fatal", body)
			}
		}
	}
}

func TestFatalRefusals(t *testing.T) {
	for code, fatal := range map[string]bool{
		"28P01": true, "28000": true, "3D000": true, "42501": true, "57P04": true, "0A000": true, "22023": true,
		"57P01": false, "57P02": false, "57P03": false, "53300": false, "53200": false, "08006": false, "08P01": false, "58030": false, "": false, "5": false,
	} {
		if got := (&LoginError{Report: wire.Report{Code: code}}).Fatal(); got != fatal {
			t.Errorf("%q: Fatal = %v", code, got)
		}
	}
}

func TestWhatServersSayIsEscaped(t *testing.T) {
	e := &LoginError{Report: wire.Report{Code: "28\n1m", Message: "a\x1b[31m\nb"}, Host: HostPort{"h", 1}}
	if strings.ContainsAny(e.Error(), "\n\x1b") {
		t.Errorf("control characters in %q", e.Error())
	}
}

func FuzzLogin(f *testing.F) {
	f.Add("", "", say(authOK(), status("a", "b"), key(), ready()))
	f.Add("p", "select", say(ask(wire.AuthCleartextPassword, ""), authOK(), ready(), message('C', "SELECT\x00"), ready()))
	f.Add("hunter2", "", say(ask(wire.AuthMD5Password, "salt"), wire.AppendError(nil, wire.Report{Code: "28P01"})))
	f.Add("hunter2", "", say(ask(wire.AuthSASL, "SCRAM-SHA-256\x00\x00"), ask(wire.AuthSASLContinue, rfcChallenge), ask(wire.AuthSASLFinal, rfcFinal)))
	f.Add("SCRAM-SHA-256$", "", say(ask(wire.AuthSASL, "\x00")))
	f.Fuzz(func(t *testing.T, password, query string, server []byte) {
		s, _, err := logInTo(&Target{User: "u", Password: password, ConnectQuery: query, ConnectSettings: len(query)%2 == 0}, bytes.NewReader(server))
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if err == nil && (s.total > len(server) || len(s.in) != len(server)-s.total || !bytes.Contains(server, ready())) {
			t.Errorf("logged in by %q with %d bytes left of which %d are counted", server, len(s.in), s.total)
		}
	})
}
