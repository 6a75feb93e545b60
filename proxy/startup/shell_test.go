package startup_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/auth"
	"carpool/proxy/startup"
	"carpool/proxy/wire"
)

// shell is the least that can drive a machine without a connection. It writes
// down what happens: C what the client sends, S what it is sent, = an event.
type shell struct {
	m       *startup.Machine
	pending []byte
	log     strings.Builder
	out     []byte // all that the client was sent
	last    startup.Event
	over    bool

	// identified decides what happens to a client that has said who it is.
	identified func(startup.Identity) (startup.Mechanism, *wire.Report)
}

func newShell(o startup.Options, via startup.Transport) *shell {
	return &shell{
		m: startup.New(&o, via),
		identified: func(startup.Identity) (startup.Mechanism, *wire.Report) {
			return nil, nil
		},
	}
}

// send feeds b in pieces that end at the given offsets.
func (s *shell) send(b []byte, cuts ...int) {
	from := 0
	for _, to := range append(cuts, len(b)) {
		s.pending = append(s.pending, b[from:to]...)
		from = to
		s.pump()
	}
}

// pump feeds what is pending until the machine wants more.
func (s *shell) pump() {
	for !s.over {
		n, ev := s.m.Feed(s.pending[:s.untilAnswer()])
		s.pending = s.pending[n:]
		s.act(ev)
		if ev.Kind == startup.More && n == 0 || len(s.pending) == 0 {
			return
		}
	}
}

// untilAnswer is how much may be fed at once: a client that asks for
// encryption waits for the answer.
func (s *shell) untilAnswer() int {
	if p := s.pending; len(p) > 8 && binary.BigEndian.Uint32(p) == 8 {
		switch binary.BigEndian.Uint32(p[4:]) {
		case wire.SSLRequestCode, wire.GSSENCRequestCode:
			return 8
		}
	}
	return len(s.pending)
}

func (s *shell) act(ev startup.Event) {
	s.record(ev)
	switch ev.Kind {
	case startup.More:
	case startup.Identify:
		mech, report := s.identified(ev.Identity)
		if report != nil {
			s.act(s.m.Refuse(*report))
			return
		}
		s.act(s.m.Authenticate(mech))
	case startup.Work:
		ev.Work()
		s.act(s.m.Resume())
	case startup.StartTLS:
		s.act(s.m.Secured(""))
	case startup.DirectTLS, startup.CancelQuery, startup.Authenticated, startup.Reject, startup.Drop:
		s.over = true
	}
}

func (s *shell) record(ev startup.Event) {
	out := s.m.Out()
	s.out = append(s.out, out...)
	for len(out) > 0 {
		h, ok, _ := wire.ParseHeader(out)
		if len(out) == 1 || !ok {
			fmt.Fprintf(&s.log, "S %q\n", out)
			break
		}
		fmt.Fprintf(&s.log, "S %c %q\n", h.Type, out[wire.HeaderLen:h.Size()])
		out = out[h.Size():]
	}
	if ev.Kind == startup.More {
		return
	}
	s.last = ev
	fmt.Fprintf(&s.log, "= %s", ev.Kind)
	switch ev.Kind {
	case startup.Identify:
		id := ev.Identity
		fmt.Fprintf(&s.log, " user=%q database=%q minor=%d replication=%s secure=%t", id.User, id.Database, id.ProtocolMinor, id.Replication, id.Secure)
		if id.Options != "" {
			fmt.Fprintf(&s.log, " options=%q", id.Options)
		}
		for _, p := range id.Params {
			fmt.Fprintf(&s.log, " [%q=%q]", p.Name, p.Value)
		}
	case startup.CancelQuery:
		fmt.Fprintf(&s.log, " pid=%d secret=%x", ev.Cancel.PID, ev.Cancel.Secret)
	case startup.Reject:
		fmt.Fprintf(&s.log, " %s %s %q", ev.Report.Severity, ev.Report.Code, ev.Report.Message)
		if ev.Cause != nil {
			fmt.Fprintf(&s.log, " (%s)", ev.Cause)
		}
	}
	s.log.WriteByte('\n')
}

// counter is a source of bytes that are the same every time.
func counter() func([]byte) {
	next := byte(0)
	return func(p []byte) {
		for i := range p {
			p[i] = next
			next++
		}
	}
}

// asking identifies clients by a method, with one user for each kind of secret.
func asking(m auth.Method) func(startup.Identity) (startup.Mechanism, *wire.Report) {
	v := auth.NewVerifier(counter())
	v.Configure(1, nil, false)
	secrets := map[string]auth.Secret{
		"plain": auth.ParseSecret("sesame"),
		"md5":   auth.ParseSecret("md56efb5b44d8dbfd3c2d16c81a43e1a8bc"),
		"scram": auth.ParseSecret("SCRAM-SHA-256$1:c2FsdA==$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "="),
	}
	return func(id startup.Identity) (startup.Mechanism, *wire.Report) {
		s, known := secrets[id.User]
		mech, err := v.Mechanism(m, id.User, s, known)
		if err != nil {
			return nil, &wire.Report{Code: "28000", Message: "refused"}
		}
		return mech, nil
	}
}

func hello(version uint32, pairs ...string) []byte {
	var params []wire.Param
	for i := 0; i < len(pairs); i += 2 {
		params = append(params, wire.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return wire.AppendStartup(nil, version, params)
}

func password(s string) []byte { return wire.AppendPassword(nil, []byte(s+"\x00")) }

func request(code uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code)
}

// packet is a start-up packet whose length field is right whatever follows.
func packet(code uint32, rest string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return append(binary.BigEndian.AppendUint32(b, code), rest...)
}

// want checks how the conversation ended.
func (s *shell) want(t *testing.T, kind startup.Kind, code string) {
	t.Helper()
	if s.last.Kind != kind || s.last.Report.Code != code {
		t.Errorf("ended with %s %q, want %s %q\n%s", s.last.Kind, s.last.Report.Code, kind, code, s.log.String())
	}
	if kind == startup.Reject && s.last.Report.Severity != "FATAL" {
		t.Errorf("severity %q, want FATAL", s.last.Report.Severity)
	}
	if kind == startup.Drop && len(s.out) > 0 && s.out[0] == 'E' {
		t.Errorf("told the client %q before dropping it", s.out)
	}
}
