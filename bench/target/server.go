package target

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is where a database is and how to log in, as a URL says it. Its password is a secret: print Address, never a Server.
type Server struct {
	Host        string // name, address, or the directory of a Unix socket
	Port        int
	User        string
	Password    string // empty: none
	Database    string
	SSLMode     config.SSLMode
	SSLRootCert string // file; empty: none
	SSLCert     string // file; empty: none
	SSLKey      string // file; empty: none
	// Parameters are further start-up parameters by name, such as options.
	Parameters map[string]string
}

// ParseServer reads a postgres:// URL with one host. What it leaves out comes from the environment (PGPASSWORD, PGSSLMODE,
// ~/.pgpass), as for other clients. Errors repeat no part of the URL.
func ParseServer(databaseURL string) (Server, error) {
	d, err := config.ParseURL(databaseURL)
	if err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			return Server{}, fmt.Errorf("the database URL can't be used: %s", problems[0].Message)
		}
		return Server{}, fmt.Errorf("the database URL can't be used: %w", err)
	}
	if len(d.Hosts) != 1 {
		return Server{}, errors.New("the database URL names several servers; a benchmark wants one")
	}
	if !isHost(d.Hosts[0]) {
		return Server{}, errors.New("the database URL can't be used: its host is neither a name, nor an address, nor the directory of a Unix socket")
	}
	s := Server{
		Host: d.Hosts[0], Port: defaultPort, User: d.User, Password: d.Password, Database: d.DBName, SSLMode: config.SSLPrefer,
		SSLRootCert: d.SSLRootCert, SSLCert: d.SSLCert, SSLKey: d.SSLKey, Parameters: make(map[string]string),
	}
	if len(d.Ports) > 0 {
		s.Port = d.Ports[0]
	}
	for _, parameter := range d.StartupParameters() {
		s.Parameters[parameter.Name] = parameter.Value
	}
	switch {
	case s.isSocket():
		s.SSLMode = config.SSLDisable
	case d.SSLMode.Set:
		s.SSLMode = d.SSLMode.Value
	default:
		if s.SSLMode, err = environmentSSLMode(); err != nil {
			return Server{}, err
		}
	}
	parsed, err := pgconn.ParseConfig(s.URL(""))
	if err != nil {
		return Server{}, fmt.Errorf("the database URL can't be used: %s", withoutSecret(cause(err), s.Password))
	}
	s.Password = cmp.Or(s.Password, parsed.Password)
	return s, nil
}

const defaultPort = 5432

func environmentSSLMode() (config.SSLMode, error) {
	text := os.Getenv("PGSSLMODE")
	if text == "" {
		return config.SSLPrefer, nil
	}
	for mode := config.SSLDisable; mode <= config.SSLVerifyFull; mode++ {
		if mode.String() == text {
			return mode, nil
		}
	}
	return 0, fmt.Errorf("the environment variable PGSSLMODE is %q, which isn't a mode", text)
}

// URL is a connection URL, with the password. A name of the application other than "" takes the place of the server's own.
func (s Server) URL(application string) string {
	var u strings.Builder
	u.WriteString("postgres://" + escape(s.User))
	if s.Password != "" {
		u.WriteString(":" + escape(s.Password))
	}
	u.WriteString("@")
	query := url.Values{"sslmode": {s.SSLMode.String()}}
	if s.isSocket() {
		query.Set("host", s.Host)
		query.Set("port", strconv.Itoa(s.Port))
	} else {
		u.WriteString(net.JoinHostPort(strings.ReplaceAll(s.Host, "%", "%25"), strconv.Itoa(s.Port)))
	}
	for name, value := range s.Parameters {
		query.Set(name, value)
	}
	for name, value := range map[string]string{
		"sslrootcert": s.SSLRootCert, "sslcert": s.SSLCert, "sslkey": s.SSLKey, "application_name": application,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.WriteString("/" + escape(s.Database) + "?" + blanks(query.Encode()))
	return u.String()
}

// escape leaves nothing in a part of a URL that any reader of URLs could take for a separator.
func escape(part string) string { return blanks(url.QueryEscape(part)) }

// blanks writes blanks as libpq wants them: it takes a + literally.
func blanks(escaped string) string { return strings.ReplaceAll(escaped, "+", "%20") }

// Address is where to dial, for net.Dial.
func (s Server) Address() (network, address string) {
	if s.isSocket() {
		return "unix", filepath.Join(s.Host, ".s.PGSQL."+strconv.Itoa(s.Port))
	}
	return "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// At is the same server by another TCP address, such as that of a proxy before it. Its certificate isn't made out to that
// address, so verify-full becomes verify-ca when the host changes; with the system's authorities that would be worth
// nothing, and is an error.
func (s Server) At(address string) (Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Server{}, fmt.Errorf("reading an address: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return Server{}, fmt.Errorf("reading an address: %w", err)
	}
	if s.SSLMode == config.SSLVerifyFull && host != s.Host {
		if s.SSLRootCert == "system" {
			return Server{}, errors.New("with sslrootcert=system the server's certificate can't be checked through a proxy")
		}
		s.SSLMode = config.SSLVerifyCA
	}
	s.Host, s.Port = host, number
	return s, nil
}

func (s Server) isSocket() bool { return strings.HasPrefix(s.Host, "/") }

// isHost tells whether all who read URLs will take a host for the same.
func isHost(host string) bool {
	if strings.HasPrefix(host, "/") {
		return true
	}
	if strings.ContainsAny(host, ":%") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	strange := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	}
	return host != "" && !strings.ContainsFunc(host, strange)
}

// place is the server's address for sentences.
func (s Server) place() string {
	_, address := s.Address()
	return address
}
