package sidecar

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"carpool/config"
)

// URL is a database URL that an application was given: where its servers are, and the URL as it was written, so that the
// application can be given one like it.
type URL struct {
	// Variable is the environment variable that it is for.
	Variable string
	// Server is where the servers are and how to log in, without a Name and without anything that each session asks for itself.
	Server *config.Database

	original string   // as a whole, with the password
	location string   // of it, what follows the credentials
	filled   []string // items of a query for what the environment has to say
	written  string   // the password as it was written; empty if it is the environment's
	scheme   string   // as written
	user     string   // percent-escaped
	database string   // percent-escaped
	session  []string // the items of the query that are the application's business, as written
}

// ParseURL reads the URL that a variable holds. The scheme may name a driver, as SQLAlchemy (postgresql+psycopg2) and Django
// (postgis) want it. What the URL leaves out is taken from the variables of the environment that libpq would take it from. The
// error is a sentence that begins with the variable's name and repeats nothing of the URL.
func ParseURL(variable, text string, environ Environ) (*URL, error) {
	text = strings.TrimSpace(text)
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, _, _ = strings.Cut(text, ":")
	}
	switch {
	case text == "":
		return nil, fmt.Errorf("%s is empty: %s", variable, wanted)
	case !isPostgres(scheme):
		return nil, fmt.Errorf("%s %s", variable, explainScheme(scheme))
	case !ok:
		return nil, fmt.Errorf("%s isn't a URL: %s", variable, wanted)
	}
	credentials, location := splitCredentials(rest)
	place, query, _ := strings.Cut(location, "?")
	server, session := divide(query)
	if strings.Contains(location, "@") {
		// What looks like the query may be the end of a password, which config notices if it sees all of it.
		items := slices.DeleteFunc(strings.Split(query, "&"), func(item string) bool {
			return strings.HasPrefix(item, "application_name=") || strings.HasPrefix(item, "options=")
		})
		if _, err := config.ParseURL("postgres://" + credentials + place + "?" + strings.Join(items, "&")); err != nil {
			return nil, fmt.Errorf("%s can't be used: %s", variable, describe(err))
		}
	}
	user, password, _ := strings.Cut(strings.TrimSuffix(credentials, "@"), ":")
	_, database, _ := strings.Cut(place, "/")
	filled, err := fill(user, place, server, environ)
	if err != nil {
		return nil, err
	}
	d, err := config.ParseURLFrom(variable, "postgres://"+credentials+place+"?"+strings.Join(append(slices.Clip(server), filled...), "&"))
	if err != nil {
		return nil, fmt.Errorf("%s can't be used: %s", variable, describe(err))
	}
	u := &URL{
		Variable: variable, Server: d, original: text, location: location, filled: filled, written: password, scheme: scheme, session: session,
		user: asWritten(user, d.User), database: asWritten(database, d.DBName),
	}
	if d.Password == "" {
		d.Password = environ.Value("PGPASSWORD")
	} else if unescape(password) != d.Password {
		u.written = escape(d.Password)
	}
	return u, nil
}

const wanted = "it should be like postgres://user:password@host/database"

// isPostgres reports whether a scheme is one that means Postgres to some driver.
func isPostgres(scheme string) bool {
	base, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	return slices.Contains([]string{"postgres", "postgresql", "pgsql", "psql", "postgis", "timescale", "timescalegis"}, base)
}

// explainScheme says what is wrong with a URL that isn't Postgres's. What isn't known to be a scheme may be a part of a
// password, and isn't repeated.
func explainScheme(scheme string) string {
	base, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	others := []string{
		"mysql", "mysql2", "mariadb", "sqlite", "sqlite3", "sqlserver", "mssql", "oracle", "mongodb", "redis", "rediss", "amqp", "amqps",
		"http", "https", "file", "cockroachdb", "redshift", "spatialite", "mysqlgis", "prisma",
	}
	switch {
	case strings.HasPrefix(base, "jdbc"):
		return "is a JDBC URL, which can't be pooled: have the application use postgres://user:password@host/database instead"
	case slices.Contains(others, base):
		return "is a " + base + " URL, and carpool speaks to Postgres only: " + wanted
	}
	return "isn't the URL of a Postgres database: " + wanted
}

// splitCredentials takes what follows the scheme apart where config does: credentials end with the @ before the host.
func splitCredentials(rest string) (credentials, location string) {
	at := strings.IndexAny(rest, "@/")
	if at < 0 || rest[at] == '/' {
		return "", rest
	}
	authority := rest[at+1:]
	if end := strings.IndexAny(authority, "/?"); end >= 0 {
		authority = authority[:end]
	}
	at += 1 + strings.LastIndexByte(authority, '@')
	return rest[:at+1], rest[at+1:]
}

// divide tells the items of a query that say how servers are reached from those that are the application's business. Some are
// both.
func divide(query string) (server, session []string) {
	for item := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(item, "=")
		key = unescape(key)
		switch {
		case item == "":
		case key == "connect_timeout":
			server, session = append(server, item), append(session, item)
		case isServerKey(key) || key == "options" && namesEndpoint(unescape(value)):
			server = append(server, item)
		default:
			session = append(session, item)
		}
	}
	return server, session
}

// isServerKey reports whether a query key says how servers are reached. Whoever means sslmode and writes sslmod is told so
// rather than served without it.
func isServerKey(key string) bool {
	if strings.HasPrefix(strings.ToLower(key), "ssl") {
		return true
	}
	return slices.Contains([]string{
		"host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "servicefile",
		"channel_binding", "require_auth", "requirepeer", "requiressl", "require_ssl", "ssl_min_protocol_version", "ssl_max_protocol_version",
		"gssencmode", "gssdelegation", "gsslib", "krbsrvname", "scram_client_key", "scram_server_key",
		"oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope",
		"target_session_attrs", "load_balance_hosts", "replication",
	}, key)
}

// namesEndpoint reports whether options hold what a hosting service routes connections by (endpoint=..., reference=...) rather
// than settings of a session.
func namesEndpoint(options string) bool {
	options = strings.TrimSpace(options)
	return options != "" && options[0] != '-'
}

// describe is what config found, as one sentence.
func describe(err error) string {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err.Error()
	}
	messages := make([]string, len(problems))
	for i, problem := range problems {
		messages[i] = problem.Message
	}
	return strings.Join(messages, "; ")
}

// asWritten is the escaped form of a value: the one written, if it is that value's.
func asWritten(written, value string) string {
	if unescape(written) == value {
		return written
	}
	return escape(value)
}

// unescape replaces percent-escapes; text in which they are broken is returned as it is.
func unescape(text string) string {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return text
	}
	return plain
}

// escape makes text safe in any place of a URL.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// Door is where a pooler lets its clients in.
type Door struct {
	// Host is an IP address, Port a number; the number is also in the name of a Unix socket.
	Host string
	Port string
	// SocketDir is the directory of a Unix socket, which is then used instead of the address.
	SocketDir string
	// Password is the one that all clients log in with.
	Password string
}

// local is the URL with which the application reaches its database through a door, under a name of the database. Extras are
// items for its query, which replace those it has.
func (u *URL) local(door Door, name string, extras []string) string {
	database := u.database
	if name != u.Server.DBName {
		database = escape(name)
	}
	address := net.JoinHostPort(door.Host, door.Port)
	if door.SocketDir != "" {
		address = ""
		extras = append(slices.Clone(extras), "host="+strings.ReplaceAll(escape(door.SocketDir), "%2F", "/"), "port="+door.Port)
	}
	var items []string
	for _, item := range u.session {
		key, _, _ := strings.Cut(item, "=")
		if !slices.ContainsFunc(extras, func(extra string) bool { return strings.HasPrefix(extra, key+"=") }) {
			items = append(items, item)
		}
	}
	text := u.scheme + "://" + u.user + ":" + escape(door.Password) + "@" + address + "/" + database
	if items = append(items, extras...); len(items) > 0 {
		text += "?" + strings.Join(items, "&")
	}
	return text
}
