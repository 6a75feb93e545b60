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
	Keep          []string // --keep: names of variables
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
	layers  *layers
	keep    []string // variables that are left alone
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
	if p.keep, err = kept(environ, options.Keep, p.Variables); err != nil {
		return nil, err
	}
	if p.layers = lay(environ, options); len(p.layers.problems) > 0 {
		return nil, p.layers.problems
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
	return distinct(names, from, "that holds a URL, such as "+defaultVariable)
}

// kept are the variables that are to be left alone.
func kept(environ Environ, flags, pooled []string) ([]string, error) {
	names, from := flags, "--keep"
	if len(names) == 0 {
		from = config.EnvPrefix + keepSuffix
		names = strings.Fields(environ.Value(from))
	}
	list, err := distinct(names, from, "that is to be left alone")
	for _, name := range list {
		if slices.Contains(pooled, name) {
			return nil, fmt.Errorf("%s: %s is the variable that is to lead to carpool: --no-pool leaves it alone", from, name)
		}
	}
	return list, err
}

// distinct are names of variables without repetitions.
func distinct(names []string, from, what string) ([]string, error) {
	var list []string
	for _, name := range names {
		switch {
		case isVariableName(name):
		case !strings.ContainsAny(name, ":/@") && strings.Contains(name, ","):
			return nil, fmt.Errorf("%s: names are separated by blanks, not by commas", from)
		default:
			// It is likely a URL, with a password in it.
			return nil, fmt.Errorf("%s wants the name of an environment variable %s", from, what)
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

// Found is a URL that wasn't found in the environment.
type Found struct {
	URL string
	// From says where it was found, as the subject of a sentence.
	From string
}

// Read reads the URLs that the variables hold, in the order of Variables. instead, if it isn't nil, is used in the place of what
// the first of them holds.
func (p *Plan) Read(instead *Found) ([]*URL, error) {
	var urls []*URL
	for i, name := range p.Variables {
		text, set := p.environ.Lookup(name)
		from := name
		if i == 0 && instead != nil {
			text, from, set = instead.URL, instead.From, true
		}
		if !set {
			return nil, fmt.Errorf("%s isn't set: set it to postgres://user:password@host/database, or name the variable that holds the URL with --url", name)
		}
		u, err := ParseURL(from, text, p.environ)
		if err != nil {
			return nil, err
		}
		u.Variable = name
		urls = append(urls, u)
	}
	return urls, nil
}

// lay lays everything that sets something one over the other.
func lay(environ Environ, options Options) *layers {
	l := layDefaults()
	l.libpq(environ)
	l.buildpack(environ)
	l.carpool(environ)
	l.flags(options)
	l.settle()
	return l
}

// Given tells who has set a setting of config's, a variable or a flag; by is empty if it is as sidecars have it by default.
func (p *Plan) Given(setting string) (by string) { return p.layers.given[setting] }

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
	// Certificate is a PEM file with certificate and key to offer clients TLS with, if the settings name none. Empty is no TLS.
	Certificate string
	// Shares are the sizes of the pools that make the most of a share of the server's connections, in the order of the URLs. A pool
	// of that size has no reserve unless the settings demand one. 0, or one that is missing, leaves it to the settings.
	Shares []int
}

// Config is the configuration of the pooler: one database for each URL, under its identity. The caller owns the result; it is
// validated. The error is config.Problems.
func (p *Plan) Config(urls []*URL, identities []Identity, pooler Pooler) (*config.Config, error) {
	l := p.layers
	copied := *l.config // it has no databases and no users yet that could be shared
	c := &copied
	if pooler.Certificate != "" {
		if l.given["client_tls_sslmode"] == "" {
			c.ClientTLS.Mode = config.SSLAllow
		}
		if c.ClientTLS.Mode != config.SSLDisable && c.ClientTLS.CertFile == "" && c.ClientTLS.KeyFile == "" {
			c.ClientTLS.CertFile, c.ClientTLS.KeyFile = pooler.Certificate, pooler.Certificate
		}
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
		return nil, l.attribute(problems)
	}
	return c, nil
}
