package startup

import "carpool/proxy/wire"

// Kind says what a call of the machine came to.
type Kind uint8

const (
	// More: nothing to decide; feed again when there are more bytes.
	More Kind = iota
	// StartTLS: the client asked for TLS and the answer S is in Out. The shell
	// sends it, shakes hands and calls Secured.
	StartTLS
	// DirectTLS: the client began a TLS handshake unasked and nothing of it was
	// consumed. The shell shakes hands, with ALPN, and calls Secured.
	DirectTLS
	// CancelQuery: the connection is a CancelRequest and nothing else.
	CancelQuery
	// Identify: the StartupMessage is in; the shell calls Authenticate or Refuse.
	Identify
	// Work: the shell runs Event.Work on a goroutine, then calls Resume.
	Work
	// Authenticated: the client is who it says. Input that wasn't consumed
	// belongs to the session.
	Authenticated
	// Reject: Out ends with an ErrorResponse; the shell sends it and closes.
	Reject
	// Drop: what came isn't this protocol, or the client gave up. The shell
	// closes and sends nothing.
	Drop
)

// String is the kind in one word, for logs and tests.
func (k Kind) String() string {
	switch k {
	case More:
		return "more"
	case StartTLS:
		return "start-tls"
	case DirectTLS:
		return "direct-tls"
	case CancelQuery:
		return "cancel"
	case Identify:
		return "identify"
	case Work:
		return "work"
	case Authenticated:
		return "authenticated"
	case Reject:
		return "reject"
	case Drop:
		return "drop"
	}
	return "unknown"
}

// Event is what a call of the machine came to. Only the fields of its kind are
// set; nothing in it is a part of the input.
type Event struct {
	Kind     Kind
	Cancel   Cancel   // CancelQuery
	Identity Identity // Identify

	// Work burns CPU and doesn't block. It may run while the client is being
	// disconnected: it touches nothing but the mechanism it came from.
	Work func()

	// Report is what the client was told. Reject only.
	Report wire.Report
	// Cause says why authentication failed, for the log: it may say more than
	// the client was told, but holds no secret. Reject only; nil when Report
	// says it all.
	Cause error
}

// Cancel is the content of a CancelRequest.
type Cancel struct {
	PID    uint32
	Secret []byte // 4 to 256 bytes
}

// Replication says whether the client asked for the replication protocol.
type Replication uint8

const (
	// NoReplication is an ordinary connection.
	NoReplication Replication = iota
	// PhysicalReplication is asked for by a true value of "replication".
	PhysicalReplication
	// LogicalReplication is asked for by replication=database.
	LogicalReplication
)

// String is the mode as the console shows it: none, physical or logical.
func (r Replication) String() string {
	switch r {
	case NoReplication:
		return "none"
	case PhysicalReplication:
		return "physical"
	case LogicalReplication:
		return "logical"
	}
	return "unknown"
}

// Identity is what a client claims to be and asks for. Nothing in it is proven
// before Authenticated; names may hold any byte but zero.
type Identity struct {
	User     string // 1 to MaxName bytes
	Database string // 1 to MaxName bytes; User's value when the client named none

	// Params are the run-time parameters to apply, those of the options string
	// first, as Postgres does it. No name (compared without case) occurs twice:
	// the last value wins and stands where the first one stood.
	Params []wire.Param
	// Options is the options string as it came. Its content is in Params
	// already, unless Options.IgnoreOptions is set.
	Options string

	Replication Replication
	// ProtocolMinor is the minor protocol version that was agreed upon: 0 or 2.
	// From 2 on the secret of BackendKeyData may be up to 256 bytes long, before
	// it has to be 4.
	ProtocolMinor uint32
	Secure        bool // inside TLS
}
