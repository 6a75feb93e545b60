package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"carpool/config"

	"github.com/spf13/pflag"
)

// source is where the command line says that the configuration comes from.
type source struct {
	urls     []string // names of the variables with database URLs
	listen   string   // address, perhaps with a port, or env:VARIABLE
	port     string   // listen_port
	poolMode string   // pool_mode
	poolSize string   // default_pool_size
	set      []string // name=value
	verbose  int      // raises verbose
	quiet    bool     // nothing is logged to stderr or stdout
	daemon   bool     // in the background
	takeOver bool     // the process in the pidfile is to go when this one listens
	user     string   // to become
}

const (
	defaultURLVariable = "DATABASE_URL"
	fileVariable       = config.EnvPrefix + "CONFIG"
	urlsVariable       = config.EnvPrefix + "URLS"
	userListVariable   = config.EnvPrefix + "USERLIST"
)

// listenFromEnv begins a --listen that names the variable with the port.
const listenFromEnv = "env:"

// addFlags adds the flags that fill in s, PgBouncer's own among them.
func (s *source) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.urls, "url", nil, "`name` of an environment variable that holds a database URL; may be repeated (default DATABASE_URL, if no file is given)")
	f.StringVar(&s.listen, "listen", "", "`address` to accept clients on, such as 127.0.0.1:6432, * or :5433; env:PORT is every address and the port that $PORT says")
	f.StringVar(&s.port, "port", "", "`port` to accept clients on")
	f.StringVar(&s.poolMode, "pool-mode", "", "`mode` that says when a server is given back: session, transaction or statement")
	f.StringVar(&s.poolSize, "pool-size", "", "`number` of server connections for each pair of database and user")
	f.StringArrayVar(&s.set, "set", nil, "set anything that the configuration file can: `name=value`; may be repeated")
	f.CountVarP(&s.verbose, "verbose", "v", "log more")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "log nothing to stderr or stdout")
	f.BoolVarP(&s.daemon, "daemon", "d", false, "run in the background; needs a pidfile")
	f.BoolVarP(&s.takeOver, "reboot", "R", false, "take over from the carpool in the pidfile, which serves those it has until they leave; needs so_reuseport")
	f.StringVarP(&s.user, "user", "u", "", "`user` to become before anything is opened")
}

// configFile is the configuration file that the command line or the environment
// names, "" if neither does.
func (p *program) configFile(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return p.variable(fileVariable)
}

// load puts the configuration together: the file or the database URL, over it
// the environment, over that the command line. A configuration with anything
// wrong in it is an error, config.Problems, with all that is wrong.
func (p *program) load(s *source, args []string) (*config.Config, error) {
	if strings.HasPrefix(s.listen, listenFromEnv) && s.port != "" {
		return nil, usageError{fmt.Errorf("--listen %s and --port both say a port: one of them is too many", s.listen)}
	}
	file := p.configFile(args)
	users, problems := p.readUserList()
	c, sound, more := p.base(s, file, users)
	problems = append(problems, more...)
	if c == nil {
		return nil, problems
	}
	addUsers(c, users)
	problems = append(problems, problemsOf("", c.ApplyEnv(p.environ))...)
	problems = append(problems, s.apply(c, p.variable)...)
	if sound {
		for _, problem := range c.Validate() {
			if !slices.Contains(problems, problem) {
				problems = append(problems, problem)
			}
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// base is the configuration before anything overrides it, nil if there is
// nothing to start from. It is sound if it makes sense to look at it as a whole.
// users are those of CARPOOL_USERLIST, which aren't in c yet.
func (p *program) base(s *source, file string, users map[string]string) (c *config.Config, sound bool, problems config.Problems) {
	urls, problems := p.readURLs(s, file != "")
	if len(problems) > 0 {
		return nil, false, problems
	}
	if file != "" {
		c, err := config.LoadFile(file)
		_, more := addURLs(c, urls)
		return c, len(more) == 0, append(problemsOf("", err), more...)
	}
	switch len(urls) {
	case 0:
		return nil, false, config.Problems{{
			Message: "carpool: nothing to start from: name a configuration file, or set DATABASE_URL to postgres://user:password@host/database",
		}}
	case 1:
		c, err := config.DefaultForURL(urls[0].text)
		return c, err == nil, problemsOf(urls[0].variable, err)
	}
	c = config.DefaultWithoutFile()
	servers, problems := addURLs(c, urls)
	if len(problems) == 0 {
		problems = admitUsers(c, servers, users)
	}
	return c, len(problems) == 0, problems
}

// apply sets what flags say. What --set says comes last, so it wins.
func (s *source) apply(c *config.Config, variable func(name string) string) config.Problems {
	var problems config.Problems
	set := func(flag, name, value string) {
		problems = append(problems, problemsOf(flag, c.Set(name, value))...)
	}
	if name, ok := strings.CutPrefix(s.listen, listenFromEnv); ok {
		port, problem := portFrom(name, variable(name))
		problems = append(problems, problem...)
		if problem == nil {
			set("--listen", "listen_addr", "*")
			set("--listen", "listen_port", port)
		}
	} else if s.listen != "" {
		address, port := splitListen(s.listen)
		set("--listen", "listen_addr", address)
		if port != "" {
			set("--listen", "listen_port", port)
		}
	}
	for _, f := range []struct{ flag, name, value string }{
		{"--port", "listen_port", s.port},
		{"--pool-mode", "pool_mode", s.poolMode},
		{"--pool-size", "default_pool_size", s.poolSize},
		{"-u", "user", s.user},
	} {
		if f.value != "" {
			set(f.flag, f.name, f.value)
		}
	}
	if s.verbose > 0 {
		set("-v", "verbose", strconv.Itoa(min(c.Verbose+s.verbose, 3)))
	}
	for _, assignment := range s.set {
		name, value, ok := strings.Cut(assignment, "=")
		if !ok {
			problems = append(problems, config.Problem{File: "--set", Message: fmt.Sprintf("expected name=value, not %q", assignment)})
			continue
		}
		set("--set", strings.TrimSpace(name), value)
	}
	return problems
}

// portFrom is the port that an environment variable says.
func portFrom(name, text string) (port string, problems config.Problems) {
	what := "--listen " + listenFromEnv + name
	if text == "" {
		return "", config.Problems{{File: what, Message: "the environment variable isn't set"}}
	}
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return "", config.Problems{{File: what, Message: "the environment variable holds no port, a number from 1 to 65535"}}
	}
	return text, nil
}

// splitListen takes ADDRESS, ADDRESS:PORT or :PORT apart; no address is all of
// them.
func splitListen(text string) (address, port string) {
	if net.ParseIP(text) != nil || !strings.Contains(text, ":") {
		return text, ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return text, "" // whoever takes the address will say what is wrong
	}
	return cmp.Or(host, "*"), port
}

// problemsOf are the problems of an error from package config. Those without a
// place get the name of where the value came from.
func problemsOf(from string, err error) config.Problems {
	if err == nil {
		return nil
	}
	list, ok := err.(config.Problems)
	if !ok {
		list = config.Problems{{Message: err.Error()}}
	}
	list = slices.Clone(list)
	for i := range list {
		if from != "" && list[i].Line == 0 {
			list[i].File = from
		}
	}
	return list
}
