package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// urlSource stands for the file name in problems with a database URL of which
// nothing else is known.
const urlSource = "database URL"

// mostURLBytes bounds a database URL.
const mostURLBytes = 64 << 10

// DefaultForURL returns the configuration for a carpool that has no file but
// only a database URL: transaction mode, port 6432 of the loopback address, no
// Unix socket, and the URL as the only database. Clients log in with the URL's
// own user and password. If the URL has no password they need none, and
// [Config.Validate] then insists on loopback addresses.
//
// On a problem it returns what could be understood together with all problems,
// as [Problems].
func DefaultForURL(databaseURL string) (*Config, error) {
	c := DefaultWithoutFile()
	d, err := ParseURL(databaseURL)
	c.addURL(d)
	c.StaticUsers = map[string]string{d.User: d.Password}
	if d.Password == "" {
		c.AuthType = AuthTrust
		c.open = true
	}
	return c, err
}

// DefaultWithoutFile returns the configuration for a carpool that has no file,
// to which databases and users are to be added: transaction mode, port 6432 of
// the loopback address, no Unix socket, SCRAM.
func DefaultWithoutFile() *Config {
	c := Default()
	c.PoolMode = PoolTransaction
	c.ListenAddr = []string{"127.0.0.1"}
	c.UnixSocketDir = ""
	c.AuthType = AuthSCRAMSHA256
	return c
}

// AddURL makes a database URL the fallback database "*", which goes where the
// URL says whatever database name the client asks for. It replaces a "*" that
// was there, and leaves everything as it was if it returns [Problems].
func (c *Config) AddURL(databaseURL string) error {
	d, err := ParseURL(databaseURL)
	if err != nil {
		return err
	}
	c.addURL(d)
	return nil
}

func (c *Config) addURL(d *Database) {
	d.Name = "*"
	c.AddDatabase(d)
}

// ParseURL reads a postgres:// or postgresql:// URL, as libpq understands it:
// several hosts, Unix sockets, percent-escapes and a query string. It returns a
// database without a Name, owned by the caller. The database always has a host,
// a DBName and a User unless there are [Problems], which repeat no part of the
// URL that might belong to a password.
func ParseURL(databaseURL string) (*Database, error) { return ParseURLFrom(urlSource, databaseURL) }

// ParseURLFrom is [ParseURL] for a URL of which it is known where it comes
// from: source, such as the name of an environment variable, stands for the
// file name in all that is said about the database.
func ParseURLFrom(source, databaseURL string) (*Database, error) {
	u := &urlReader{database: &Database{at: place{file: source}}}
	databaseURL = strings.TrimSpace(databaseURL)
	scheme, rest, ok := strings.Cut(databaseURL, "://")
	switch {
	case !ok || !slices.Contains([]string{"postgres", "postgresql"}, strings.ToLower(scheme)):
		u.problem("expected postgres:// or postgresql:// at the beginning")
	case len(databaseURL) > mostURLBytes:
		u.problem(fmt.Sprintf("longer than %d bytes", mostURLBytes))
	default:
		u.url(rest)
	}
	return u.database, u.problems.err()
}

// urlReader takes a database URL apart. net/url would refuse several hosts
// and sockets, and its errors repeat the URL with the password.
type urlReader struct {
	database *Database
	problems Problems
	shy      bool // whether query keys may be parts of a password
	balanced bool // whether load_balance_hosts was given
}

func (u *urlReader) problem(message string) {
	u.problems = append(u.problems, u.database.at.problem(message))
}

// url reads everything after the scheme. Like libpq it takes any character
// but @ and / in user and password, and unlike libpq also an @.
func (u *urlReader) url(rest string) {
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		tail := rest[at+1:]
		authority := tail
		if end := strings.IndexAny(tail, "/?"); end >= 0 {
			authority = tail[:end]
		}
		at += 1 + strings.LastIndexByte(authority, '@')
		user, password, _ := strings.Cut(rest[:at], ":")
		u.database.User = u.decode("user", user)
		u.database.Password = u.decode("password", password)
		rest = rest[at+1:]
	}
	u.shy = strings.Contains(rest, "@")
	authority, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(authority, "/")
	u.database.DBName = u.decode("database name", path)
	u.hosts(authority)
	u.query(query)
	if len(u.problems) == 0 && u.database.User != "" && strings.Contains(path, "@") {
		// Rather the end of a password than a name, and what stands before it isn't the host that was meant.
		u.problem("database name: an @ in it is written %40" + u.hint())
	}
	u.finish()
}

// hosts reads host:port,host:port.
func (u *urlReader) hosts(authority string) {
	if authority == "" {
		return
	}
	for item := range strings.SplitSeq(authority, ",") {
		host, port := item, ""
		if strings.HasPrefix(item, "[") {
			end := strings.IndexByte(item, ']')
			if end < 0 || end+1 < len(item) && item[end+1] != ':' {
				u.problem("an IPv6 address needs a [ before it and a ] after it")
				continue
			}
			host, port = item[1:end], strings.TrimPrefix(item[end+1:], ":")
		} else if strings.Count(item, ":") > 1 {
			u.problem("an IPv6 address needs a [ before it and a ] after it; a : in a password is written %3A" + u.hint())
			continue
		} else if i := strings.IndexByte(item, ':'); i >= 0 {
			host, port = item[:i], item[i+1:]
		}
		u.database.Hosts = append(u.database.Hosts, u.decode("host", host))
		u.database.Ports = append(u.database.Ports, u.port(cmp.Or(port, "5432")))
	}
}

func (u *urlReader) port(text string) int {
	port, err := parseInt(text, 1, 65535)
	if err != nil || text[0] == '0' {
		u.problem("the port isn't a number from 1 to 65535" + u.hint())
	}
	return port
}

// hint says how to write a password, where the URL looks as if a character
// in it had cut it in two.
func (u *urlReader) hint() string {
	if !u.shy {
		return ""
	}
	return " (in a password / is written %2F, ? %3F, @ %40)"
}

// decode replaces percent-escapes. It refuses what can't be sent to a server
// or shown on one line, and control characters but in passwords.
func (u *urlReader) decode(what, text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
			u.problem(what + ": % isn't followed by two hexadecimal digits (a % itself is written %25)")
			return ""
		}
		b.WriteByte(hexDigit(text[i+1])<<4 | hexDigit(text[i+2]))
		i += 2
	}
	decoded := b.String()
	if strings.Contains(decoded, "\x00") || what != "password" && hasControl(decoded) {
		u.problem(what + ": control characters are not allowed")
		return ""
	}
	return decoded
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// finish fills in what follows from the rest.
func (u *urlReader) finish() {
	d := u.database
	whole := len(u.problems) == 0 // else what is missing may just be unreadable
	switch {
	case !whole:
	case len(d.Hosts) == 0 || slices.Contains(d.Hosts, ""):
		u.problem("needs a host for each server, as in postgres://user:password@host/database or ?host=/run/postgresql for a Unix socket")
	case slices.ContainsFunc(d.Hosts, func(h string) bool {
		return strings.ContainsAny(h, ", \t@") && !isSocket(h) || strings.Contains(h, ",")
	}):
		u.problem("a host can't contain a blank, a comma or an @" + u.hint())
	case len(d.Ports) > 1 && len(d.Ports) != len(d.Hosts):
		u.problem(fmt.Sprintf("%d ports for %d hosts", len(d.Ports), len(d.Hosts)))
	}
	if len(slices.Compact(slices.Clone(d.Ports))) == 1 {
		d.Ports = d.Ports[:1]
	}
	if d.User == "" && whole {
		u.problem("needs a user" + u.hint())
	}
	d.DBName = cmp.Or(d.DBName, d.User)
	// libpq tries hosts in order unless told otherwise.
	if len(d.Hosts) > 1 && !u.balanced {
		d.LoadBalanceHosts = BalanceDisable
	}
	// As for libpq: with authorities given, "require" checks against them, and
	// the system's trust store is worth nothing without the host's name.
	if d.SSLRootCert == systemRoots && !d.SSLMode.Set {
		d.SSLMode = Some(SSLVerifyFull)
	}
	if d.SSLRootCert != "" && d.SSLRootCert != systemRoots && d.SSLMode == Some(SSLRequire) {
		d.SSLMode = Some(SSLVerifyCA)
	}
}

// systemRoots as a CA file is the system's trust store.
const systemRoots = "system"
