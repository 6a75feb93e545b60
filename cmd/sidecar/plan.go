package sidecar

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carpool/config"
)

// Options are what the command line says. Zero values say nothing.
type Options struct {
	URLs          []string // --url: names of variables
	Mode          string   // --mode
	PoolSize      string   // --pool-size
	ListenAddress string   // --listen, but for the port
	ListenPort    string   // --listen
	UnixDir       string   // --unix
	Metrics       string   // --metrics
	LogLevel      string   // --log-level
	Set           []string // --set: name=value
	KeepDirect    bool     // --keep-direct
}

// Plan is what a sidecar is to do. It is made by NewPlan and then immutable.
type Plan struct {
	// Enabled is whether there is to be a pooler at all. If not, the command is to be started as it is, and the rest of the
	// plan is empty.
	Enabled bool
	// Variables are the names of the variables that hold database URLs, at least one.
	Variables []string

	environ Environ
	options Options
	// noStatements is whether the application is told not to prepare statements.
	noStatements bool
}

// NewPlan makes a plan of the environment and the command line, and checks the settings in both. The error is one or several
// sentences, as config.Problems if settings are wrong.
func NewPlan(environ Environ, options Options) (*Plan, error) {
	p := &Plan{environ: environ, options: options}
	var err error
	if p.Enabled, err = enabled(environ); err != nil || !p.Enabled {
		return p, err
	}
	if p.Variables, err = variables(environ, options.URLs); err != nil {
		return nil, err
	}
	if text := environ.Value(statementsName); text != "" {
		use, err := parseSwitch(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", statementsName, err)
		}
		p.noStatements = !use
	}
	if _, problems := p.settings(); len(problems) > 0 {
		return nil, problems
	}
	return p, nil
}

// enabled is what CARPOOL_ENABLED says, else the buildpack's variable.
func enabled(environ Environ) (bool, error) {
	for _, prefix := range []string{config.EnvPrefix, buildpackPrefix} {
		name := prefix + enabledSuffix
		if text := environ.Value(name); text != "" {
			on, err := parseSwitch(text)
			if err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
			return on, nil
		}
	}
	return true, nil
}

// parseSwitch reads the words that the buildpack takes for yes, and their opposites.
func parseSwitch(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "true", "yes", "on", "t", "y":
		return true, nil
	case "0", "false", "no", "off", "f", "n":
		return false, nil
	}
	return false, errors.New("expected one of 1, true, yes, on, 0, false, no, off")
}

// variables are the names of the variables with URLs, without repetitions.
func variables(environ Environ, flags []string) ([]string, error) {
	names, from := flags, "--url"
	for _, prefix := range []string{config.EnvPrefix, buildpackPrefix} {
		if len(names) == 0 {
			from = prefix + urlsSuffix
			names = strings.Fields(environ.Value(from))
		}
	}
	if len(names) == 0 {
		names = []string{defaultVariable}
	}
	var list []string
	for _, name := range names {
		if !isVariableName(name) {
			// It is likely a URL, with a password in it.
			return nil, fmt.Errorf("%s wants the name of an environment variable that holds a URL, such as %s", from, defaultVariable)
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}

// isVariableName is strict enough to tell a name from a URL.
func isVariableName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// Read reads the URLs that the variables hold, in the order of Variables. instead, if it isn't nil, has URLs that are to be used
// in the place of those in the environment, by variable.
func (p *Plan) Read(instead map[string]string) ([]*URL, error) {
	var urls []*URL
	for _, name := range p.Variables {
		text, set := instead[name]
		if !set {
			text, set = p.environ.Lookup(name)
		}
		if !set {
			return nil, fmt.Errorf("%s isn't set: set it to postgres://user:password@host/database, or name the variable that holds the URL with --url", name)
		}
		u, err := ParseURL(name, text)
		if err != nil {
			return nil, err
		}
		// As libpq does.
		if u.Server.Password == "" {
			u.Server.Password = p.environ.Value("PGPASSWORD")
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// settings lays everything that sets something one over the other.
func (p *Plan) settings() (*layers, config.Problems) {
	l := newLayers()
	l.libpq(p.environ)
	l.buildpack(p.environ)
	l.carpool(p.environ)
	l.flags(p.options)
	l.settle()
	return l, l.problems
}

// Given tells who has set a setting of config's, a variable or a flag; by is empty if it is as sidecars have it by default.
func (p *Plan) Given(setting string) (by string) {
	l, _ := p.settings()
	return l.given[setting]
}

// Identity is how the application's connections to one of its databases are known to the pooler, for as long as it lives.
type Identity struct {
	Database string // name that the application asks for
	User     string
}

// Identities gives each URL a name of a database of its own: the one it names, unless an earlier URL has it or the console
// answers to it.
func Identities(urls []*URL) []Identity {
	taken := make(map[string]bool)
	list := make([]Identity, len(urls))
	for i, u := range urls {
		name := u.Server.DBName
		for n := 2; taken[name] || config.IsConsole(name) || name == "*"; n++ {
			name = u.Server.DBName + "_" + strconv.Itoa(n)
		}
		taken[name] = true
		list[i] = Identity{Database: name, User: u.Server.User}
	}
	return list
}

// Pooler is what the settings don't say about a pooler.
type Pooler struct {
	// Password is the one that all clients log in with.
	Password string
	// Certificate is a PEM file with certificate and key to offer clients TLS with, if the settings don't say what to offer. Empty
	// is no TLS.
	Certificate string
	// Shares are the sizes of the pools that make the most of a share of the server's connections, in the order of the URLs. A pool
	// of that size has no reserve unless the settings demand one. 0, or one that is missing, leaves it to the settings.
	Shares []int
}

// Config is the configuration of the pooler: one database for each URL, under its identity. The caller owns the result; it is
// validated. The error is config.Problems.
func (p *Plan) Config(urls []*URL, identities []Identity, pooler Pooler) (*config.Config, error) {
	l, problems := p.settings()
	if len(problems) > 0 {
		return nil, problems
	}
	c := l.config
	if pooler.Certificate != "" && l.given["client_tls_sslmode"] == "" {
		c.ClientTLS.Mode = config.SSLAllow
		c.ClientTLS.CertFile, c.ClientTLS.KeyFile = pooler.Certificate, pooler.Certificate
	}
	c.StaticUsers = make(map[string]string, len(urls))
	for i, u := range urls {
		d := *u.Server
		d.Name = identities[i].Database
		if i < len(pooler.Shares) && pooler.Shares[i] > 0 {
			d.PoolSize = config.Some(pooler.Shares[i])
			if l.given["reserve_pool_size"] == "" {
				d.ReservePoolSize = config.Some(0)
			}
		}
		c.StaticUsers[identities[i].User] = pooler.Password
		c.AddDatabase(&d)
	}
	if problems := c.Validate(); len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Environ is the environment of the command that reaches its databases through a door. Of earlier values of the variables it
// rewrites none is left, except under NAME_DIRECT if that is wanted. Notes are sentences for the log about what might surprise.
func (p *Plan) Environ(urls []*URL, identities []Identity, door Door) (environ Environ, notes []string) {
	values, without, encrypt, notes := p.forLibpq(urls, identities, door)
	for i, u := range urls {
		values[u.Variable] = u.local(door, identities[i].Database, p.extras(encrypt))
		if p.options.KeepDirect {
			values[u.Variable+directSuffix] = u.original
		}
	}
	for i, u := range urls {
		for _, name := range p.copies(u) {
			if _, done := values[name]; done {
				continue
			}
			values[name] = u.local(door, identities[i].Database, p.extras(encrypt))
			notes = append(notes, name+" holds the same URL as "+u.Variable+" and is rewritten like it")
		}
	}
	return p.environ.With(values, without...), notes
}

// directSuffix is what the names of variables that hold original URLs end with.
const directSuffix = "_DIRECT"

// copies are the variables that hold the URL that a variable held, as attachments of a database do on Heroku: their password
// would be there to see, and their connections would count.
func (p *Plan) copies(u *URL) []string {
	before := strings.TrimSpace(p.environ.Value(u.Variable))
	var names []string
	for _, entry := range p.environ {
		name, value, _ := strings.Cut(entry, "=")
		value = strings.TrimSpace(value)
		if value != "" && (value == u.original || value == before) && !(p.options.KeepDirect && strings.HasSuffix(name, directSuffix)) {
			names = append(names, name)
		}
	}
	return names
}

// extras are the items that all rewritten URLs get.
func (p *Plan) extras(encrypt string) []string {
	var items []string
	if p.noStatements {
		items = append(items, "prepared_statements=false")
	}
	if encrypt != "" {
		items = append(items, "sslmode="+encrypt)
	}
	return items
}
