package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"carpool/proxy/auth"
	"carpool/proxy/wire"
)

// Target is a database on one or several servers, and how to log in to it. Its
// fields aren't changed once the first Dial has been made. It is used by
// pointer, since it remembers what makes further dials cheaper.
type Target struct {
	// Hosts are tried in this order; at least one.
	Hosts []HostPort
	// LoadBalance makes each Dial begin with the next host in turn.
	LoadBalance bool

	User     string
	Database string
	// Password is the plain password, or a secret as Postgres stores it: "md5"
	// and 32 hexadecimal digits serve servers that ask for md5. Empty means none.
	Password string
	// Secret, if it isn't nil, is asked for the secret at every login, by any
	// goroutine, and Password counts where it returns none. A SCRAM secret serves
	// servers that have the same one, once a client has proven itself by it.
	Secret func() auth.Secret

	TLS    TLS
	Socket Socket

	// ConnectTimeout limits a whole Dial or Cancel, over all hosts; zero means
	// that only the context does.
	ConnectTimeout time.Duration
	// ConnectQuery runs on every new server before it is handed over.
	ConnectQuery string
	// ConnectSettings wants to know which parameters the connect query has set.
	ConnectSettings bool
	// Params are start-up parameters, without user and database.
	Params []wire.Param

	turn atomic.Uint32
	keys keyCache
}

// HostPort is where a server listens.
type HostPort struct {
	// Host is a name, an IP address, or the directory of a Unix socket: it
	// begins with a slash, or with @ in Linux's abstract name space.
	Host string
	Port uint16
}

// unix reports whether the host is a Unix socket.
func (h HostPort) unix() bool {
	return strings.HasPrefix(h.Host, "/") || strings.HasPrefix(h.Host, "@")
}

// String is host:port, or the path of the Unix socket.
func (h HostPort) String() string {
	switch {
	case h.unix():
		return fmt.Sprintf("%s/.s.PGSQL.%d", h.Host, h.Port)
	case strings.Contains(h.Host, ":"):
		return fmt.Sprintf("[%s]:%d", h.Host, h.Port)
	}
	return fmt.Sprintf("%s:%d", h.Host, h.Port)
}

// TLSMode is how much a connection to a server depends on TLS, in the words of
// libpq's sslmode. Unix sockets never use TLS.
type TLSMode uint8

// The modes, from the weakest to the strongest.
const (
	// TLSDisable never uses TLS.
	TLSDisable TLSMode = iota
	// TLSAllow uses TLS if the server refuses the login without.
	TLSAllow
	// TLSPrefer uses no TLS if the server can't, or refuses the login with it.
	TLSPrefer
	// TLSRequire always uses TLS; the certificate is checked only against
	// TLS.CA, if that is given.
	TLSRequire
	// TLSVerifyCA always checks who signed the server's certificate.
	TLSVerifyCA
	// TLSVerifyFull checks that the certificate is for the host's name, too.
	TLSVerifyFull
)

// String is the mode's name in a configuration file.
func (m TLSMode) String() string {
	switch m {
	case TLSDisable:
		return "disable"
	case TLSAllow:
		return "allow"
	case TLSPrefer:
		return "prefer"
	case TLSRequire:
		return "require"
	case TLSVerifyCA:
		return "verify-ca"
	case TLSVerifyFull:
		return "verify-full"
	}
	return fmt.Sprintf("TLSMode(%d)", uint8(m))
}

// TLS says how connections to servers are encrypted. The zero value means not
// at all.
type TLS struct {
	Mode TLSMode
	// CA are the authorities that may sign server certificates. nil means the
	// system's where the mode demands a check, and no check elsewhere.
	CA *x509.CertPool
	// Certificates are what the pooler shows to servers that ask for one.
	Certificates []tls.Certificate
	// MinVersion and MaxVersion are versions of crypto/tls. Zero means TLS 1.2
	// and the newest; nothing below 1.2 is spoken.
	MinVersion, MaxVersion uint16
	// CipherSuites are those allowed in TLS 1.2; nil means crypto/tls's choice.
	CipherSuites []uint16
	// ChannelBinding says whether logins are tied to the connection.
	ChannelBinding ChannelBinding
	// ServerName is the name that certificates are checked for and that servers
	// are told; empty means the host's own.
	ServerName string
}

// Socket are the options of a TCP socket. Where one is zero, the system decides.
type Socket struct {
	KeepAlive         bool
	KeepAliveIdle     time.Duration // whole seconds
	KeepAliveInterval time.Duration // whole seconds
	KeepAliveCount    int
	// UserTimeout is how long sent bytes may stay unacknowledged (Linux).
	UserTimeout time.Duration
	// Buffer is the size in bytes of the send and receive buffers.
	Buffer int
}

// secret is what to log in with.
func (t *Target) secret() auth.Secret {
	if t.Secret != nil {
		if s := t.Secret(); s.Kind() != auth.NoSecret {
			return s
		}
	}
	return auth.ParseSecret(t.Password)
}

// check tells what no Dial could work with.
func (t *Target) check(extra []wire.Param) error {
	if len(t.Hosts) == 0 {
		return errors.New("no host to connect to")
	}
	if t.User == "" || strings.IndexByte(t.User, 0) >= 0 {
		return fmt.Errorf("user name %q can't be sent to a server", t.User)
	}
	if strings.IndexByte(t.Database, 0) >= 0 {
		return fmt.Errorf("database name %q can't be sent to a server", t.Database)
	}
	if strings.IndexByte(t.ConnectQuery, 0) >= 0 {
		return errors.New("the connect query contains a zero byte")
	}
	for _, list := range [...][]wire.Param{t.Params, extra} {
		for _, p := range list {
			if p.Name == "" || strings.IndexByte(p.Name, 0) >= 0 || strings.IndexByte(p.Value, 0) >= 0 {
				return fmt.Errorf("start-up parameter %q can't be sent to a server", p.Name)
			}
		}
	}
	return nil
}

// order returns the hosts as this Dial shall try them.
func (t *Target) order() []HostPort {
	n := uint32(len(t.Hosts))
	if !t.LoadBalance || n < 2 {
		return t.Hosts
	}
	first := (t.turn.Add(1) - 1) % n
	out := make([]HostPort, 0, n)
	out = append(out, t.Hosts[first:]...)
	return append(out, t.Hosts[:first]...)
}

// startup returns the parameters of the start-up packet. Of two with the same
// name the later one counts; user and database are always the target's.
func (t *Target) startup(extra []wire.Param) []wire.Param {
	out := make([]wire.Param, 0, 2+len(t.Params)+len(extra))
	out = append(out, wire.Param{Name: "user", Value: t.User})
	if t.Database != "" {
		out = append(out, wire.Param{Name: "database", Value: t.Database})
	}
	reserved := len(out)
	for _, list := range [...][]wire.Param{t.Params, extra} {
		for _, p := range list {
			if p.Name == "user" || p.Name == "database" {
				continue
			}
			out = replace(out, reserved, p)
		}
	}
	return out
}

// replace puts p instead of one with its name among list[from:], or at the end.
func replace(list []wire.Param, from int, p wire.Param) []wire.Param {
	for i := from; i < len(list); i++ {
		if strings.EqualFold(list[i].Name, p.Name) {
			list[i] = p
			return list
		}
	}
	return append(list, p)
}

// address is one place to connect to: a host, and one of its IP addresses.
type address struct {
	host HostPort
	ip   netip.Addr // not valid for Unix sockets
}

func (a address) network() string {
	if a.host.unix() {
		return "unix"
	}
	return "tcp"
}

func (a address) String() string {
	if a.host.unix() {
		return a.host.String()
	}
	return netip.AddrPortFrom(a.ip, a.host.Port).String()
}
