package startup

import "carpool/proxy/wire"

// TLSMode is what the operator wants of TLS with clients.
type TLSMode uint8

const (
	// TLSDisable answers N to whoever asks for TLS.
	TLSDisable TLSMode = iota
	// TLSAllow gives TLS to those who ask for it.
	TLSAllow
	// TLSRequire refuses to let anybody in without, except by Unix socket.
	TLSRequire
)

// Transport is what a connection came in by.
type Transport uint8

const (
	// TCP is a plain TCP connection.
	TCP Transport = iota
	// Unix is a Unix socket: TLS is neither offered nor required there.
	Unix
	// TLS is a connection that is inside TLS before the first byte.
	TLS
)

const (
	// DefaultMaxPacket is the limit of a start-up packet in bytes that Postgres
	// has too.
	DefaultMaxPacket = 10000
	// MaxName is the number of bytes that Postgres keeps of a name.
	MaxName = 63
	// MaxParams is the number of run-time parameters a start-up packet may set.
	MaxParams = 128
	// MaxAuthMessage is the largest body in bytes of an authentication message.
	MaxAuthMessage = 64 << 10
)

// largestPacket is what MaxPacket is clamped to: it keeps the first byte of a
// legal length zero, which tells garbage apart by its first byte.
const largestPacket = 1<<24 - 1

// Options are what the operator decides about the way in. They are shared by
// all machines and don't change while one of them lives.
type Options struct {
	TLS TLSMode
	// DirectTLS lets clients begin with a TLS handshake instead of an SSLRequest
	// (sslnegotiation=direct). It has no effect with TLSDisable.
	DirectTLS bool
	// MaxPacket is the size limit of a start-up packet in bytes; 0 is
	// DefaultMaxPacket.
	MaxPacket int
	// IgnoreOptions leaves the options string unread.
	IgnoreOptions bool
}

func (o *Options) maxPacket() int {
	if o.MaxPacket <= 0 {
		return DefaultMaxPacket
	}
	return min(o.MaxPacket, largestPacket)
}

type state uint8

const (
	stateFirst     state = iota // not a byte seen: the only place for direct TLS
	statePacket                 // a start-up packet comes next
	stateHandshake              // the shell shakes hands, then calls Secured
	stateRouting                // the shell calls Authenticate or Refuse next
	stateExchange               // the mechanism waits for an answer
	stateWorking                // the shell runs Work, then calls Resume
	stateAdmitted               // the end, with welcome
	stateClosed                 // the end
)

// Machine takes one client from its first byte to Authenticated. It is used by
// one goroutine at a time, and lives only while a client logs in.
type Machine struct {
	options  *Options
	mech     Mechanism
	out      []byte
	user     string // for the text of a refusal
	state    state
	via      Transport
	direct   bool // began with a TLS handshake
	askedTLS bool
	askedGSS bool
}

// New makes the machine of a connection that was just accepted. o isn't copied.
func New(o *Options, via Transport) *Machine {
	return &Machine{options: o, via: via}
}

// Out is what the client is to be sent now. It is valid until the next call of
// the machine, and the shell sends it after every one, before acting on the
// event. It is empty in most cases.
func (m *Machine) Out() []byte { return m.out }

// Feed takes bytes from the front of b and returns how many it consumed and
// what they came to. It returns at the first event, and the shell then feeds
// the rest. Bytes of an incomplete message are not consumed: the shell keeps
// them, never more than MaxPacket or MaxAuthMessage and a header, and feeds them
// again with what follows. What can't become a legal message is refused from
// its first bytes on. Nothing is consumed while it is the shell's turn, and
// what was consumed has no meaning after Reject and Drop.
func (m *Machine) Feed(b []byte) (n int, ev Event) {
	m.out = m.out[:0]
	switch m.state {
	case stateFirst, statePacket:
		return m.feedPacket(b)
	case stateExchange:
		return m.feedExchange(b)
	case stateRouting, stateWorking, stateAdmitted:
		return 0, Event{}
	case stateHandshake, stateClosed:
	}
	return 0, m.drop()
}

// Secured tells the machine that TLS is up and which protocol ALPN agreed
// upon, if any. The machine reads on from inside.
func (m *Machine) Secured(alpn string) Event {
	m.out = m.out[:0]
	if m.state != stateHandshake {
		return m.drop()
	}
	m.state, m.via = statePacket, TLS
	if alpn == alpnProtocol || alpn == "" && !m.direct {
		return Event{}
	}
	if alpn == "" {
		return m.reject("08P01", "direct TLS needs the application protocol "+alpnProtocol, nil)
	}
	return m.reject("08P01", "unexpected application protocol inside TLS", nil)
}

// alpnProtocol is what Postgres clients call their protocol in TLS. Without it
// a handshake meant for another service could be redirected here.
const alpnProtocol = "postgresql"

// Refuse turns the client away with r, whose severity is FATAL if it has none.
// It may be called in every state in which the client can be told anything.
func (m *Machine) Refuse(r wire.Report) Event {
	m.out = m.out[:0]
	if m.state == stateHandshake || m.state == stateClosed {
		return m.drop()
	}
	return m.refuse(r, nil)
}

func (m *Machine) drop() Event {
	m.state, m.mech = stateClosed, nil
	return Event{Kind: Drop}
}

func (m *Machine) reject(code, message string, cause error) Event {
	return m.refuse(wire.Report{Code: code, Message: message}, cause)
}

func (m *Machine) refuse(r wire.Report, cause error) Event {
	if r.Severity == "" {
		r.Severity = "FATAL"
	}
	m.state, m.mech = stateClosed, nil
	m.out = wire.AppendError(m.out, r)
	return Event{Kind: Reject, Report: r, Cause: cause}
}
