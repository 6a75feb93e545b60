package config

import (
	"fmt"
	"strings"
)

// PoolMode says when a server connection goes back to its pool. The zero
// value is PoolSession.
type PoolMode uint8

// The pool modes.
const (
	PoolSession     PoolMode = iota // when the client disconnects
	PoolTransaction                 // when a transaction ends
	PoolStatement                   // after each statement; no multi-statement transactions
)

func (PoolMode) names() []string { return []string{"session", "transaction", "statement"} }

// String returns the mode as it is written in a configuration file.
func (m PoolMode) String() string { return enumText(m) }

// AuthType says how clients prove who they are. The zero value is
// AuthSCRAMSHA256, the strictest method that needs no other service.
type AuthType uint8

// The authentication types.
const (
	AuthSCRAMSHA256 AuthType = iota // SCRAM only
	AuthMD5                         // md5, or SCRAM where the stored secret is a SCRAM secret
	AuthPlain                       // the password in clear text
	AuthTrust                       // no proof, but the user must be known
	AuthAny                         // no proof, any name; the database must force a user
	AuthCert                        // the common name in a client certificate
	AuthHBA                         // by rules in a file
	AuthLDAP                        // not built yet
	AuthPAM                         // not built yet
)

func (AuthType) names() []string {
	return []string{"scram-sha-256", "md5", "plain", "trust", "any", "cert", "hba", "ldap", "pam"}
}

// String returns the type as it is written in a configuration file.
func (a AuthType) String() string { return enumText(a) }

// SSLMode says whether a connection uses TLS and how far the peer's
// certificate is verified. Modes are ordered: a greater one demands more. The
// zero value is SSLDisable.
type SSLMode uint8

// The TLS modes, with libpq's meaning towards servers.
const (
	SSLDisable    SSLMode = iota // never TLS
	SSLAllow                     // TLS if the peer insists
	SSLPrefer                    // TLS if the peer can
	SSLRequire                   // TLS, certificate not verified
	SSLVerifyCA                  // TLS, certificate signed by a trusted authority
	SSLVerifyFull                // as SSLVerifyCA, and made out to this host name
)

func (SSLMode) names() []string {
	return []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
}

// String returns the mode as it is written in a configuration file.
func (m SSLMode) String() string { return enumText(m) }

// ChannelBinding says whether a login to a server by SCRAM is tied to the TLS
// connection that it goes through, with libpq's words. The zero value is
// BindingPrefer.
type ChannelBinding uint8

// The choices for channel binding.
const (
	BindingPrefer  ChannelBinding = iota // where the server offers it
	BindingRequire                       // or there is no login
	BindingDisable                       // never
)

func (ChannelBinding) names() []string { return []string{"prefer", "require", "disable"} }

// String returns the choice as it is written in a configuration file.
func (b ChannelBinding) String() string { return enumText(b) }

// LoadBalanceHosts says how a database with several hosts spreads its server
// connections. The zero value is BalanceRoundRobin.
type LoadBalanceHosts uint8

// The ways to choose a host.
const (
	BalanceRoundRobin LoadBalanceHosts = iota // each new connection goes to the next host
	BalanceDisable                            // hosts are tried in order; the first that works keeps being used
)

func (LoadBalanceHosts) names() []string { return []string{"round-robin", "disable"} }

// String returns the value as it is written in a configuration file.
func (l LoadBalanceHosts) String() string { return enumText(l) }

// TargetSessionAttrs says which kind of server is acceptable, with libpq's
// words. The zero value is TargetAny.
type TargetSessionAttrs uint8

// The kinds of server that can be asked for.
const (
	TargetAny           TargetSessionAttrs = iota // any server
	TargetReadWrite                               // sessions accept writes
	TargetReadOnly                                // sessions are read only
	TargetPrimary                                 // not in recovery
	TargetStandby                                 // in recovery
	TargetPreferStandby                           // in recovery, else any
)

func (TargetSessionAttrs) names() []string {
	return []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}
}

// String returns the value as it is written in a configuration file.
func (t TargetSessionAttrs) String() string { return enumText(t) }

// Poller names the kernel interface an event loop waits on. The zero value is
// PollerAuto.
type Poller uint8

// The pollers.
const (
	PollerAuto    Poller = iota // the best the platform permits
	PollerEpoll                 // Linux
	PollerIOUring               // Linux, where the kernel permits it
	PollerKqueue                // macOS and the BSDs
)

func (Poller) names() []string { return []string{"auto", "epoll", "io_uring", "kqueue"} }

// String returns the poller as it is written in a configuration file.
func (p Poller) String() string { return enumText(p) }

// LogFormat is the shape of log lines. The zero value is LogText.
type LogFormat uint8

// The log formats.
const (
	LogText LogFormat = iota // key=value pairs
	LogJSON                  // one JSON object a line
)

func (LogFormat) names() []string { return []string{"text", "json"} }

// String returns the format as it is written in a configuration file.
func (f LogFormat) String() string { return enumText(f) }

// LogTo is the stream that log lines are written to. The zero value is
// LogToStderr.
type LogTo uint8

// The streams for the log.
const (
	LogToStderr LogTo = iota
	LogToStdout
)

func (LogTo) names() []string { return []string{"stderr", "stdout"} }

// String returns the stream as it is written in a configuration file.
func (l LogTo) String() string { return enumText(l) }

// LogLevel is the least severity that is logged. The zero value is LogInfo.
type LogLevel uint8

// The log levels.
const (
	LogInfo LogLevel = iota
	LogDebug
	LogWarn
	LogError
)

func (LogLevel) names() []string { return []string{"info", "debug", "warn", "error"} }

// String returns the level as it is written in a configuration file.
func (l LogLevel) String() string { return enumText(l) }

// enumeration is a type whose values are small numbers with names, the name
// of value i being the i-th.
type enumeration interface {
	~uint8
	names() []string
}

func enumText[E enumeration](v E) string {
	names := v.names()
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown(%d)", uint8(v))
}

func parseEnum[E enumeration](text string) (E, error) {
	var zero E
	names := zero.names()
	for i, name := range names {
		if strings.EqualFold(name, text) {
			return E(i), nil
		}
	}
	return zero, fmt.Errorf("expected one of %s", strings.Join(names, ", "))
}
