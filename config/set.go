package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// EnvPrefix begins the names of environment variables that set something.
const EnvPrefix = "CARPOOL_"

// Set sets one global setting by its name in the file. The error names the
// setting and what was expected.
func (c *Config) Set(name, value string) error {
	return c.set(name, value, place{}).err()
}

// With returns a copy in which a global setting has another value. The two share
// what neither may change. The error is that of Set; c doesn't change.
func (c *Config) With(name, value string) (*Config, error) {
	next := *c
	next.places = maps.Clone(c.places)
	if err := next.Set(name, value); err != nil {
		return nil, err
	}
	return &next, nil
}

// Value returns a global setting as it would be written in the file, and
// whether there is one of that name. Global settings hold no secrets.
func (c *Config) Value(name string) (string, bool) {
	k, ok := findKey(globalKeys, name)
	if !ok {
		return "", false
	}
	return k.bind.text(c), true
}

// set sets a global setting that was given at a place.
func (c *Config) set(name, value string, at place) Problems {
	k, ok := findKey(globalKeys, name)
	if !ok {
		return Problems{at.problem(unknownName("setting", name, keyNames(globalKeys)))}
	}
	value = strings.Trim(value, blanks)
	if hasControl(value) {
		return Problems{at.problem(k.Name + ": line breaks and control characters are not allowed")}
	}
	if err := k.bind.set(c, value); err != nil {
		message := k.Name + ": " + err.Error() + ", not " + quoteShort(value)
		if at.line > 0 && strings.ContainsAny(value, ";#") {
			message += ": a comment needs a line of its own"
		}
		return Problems{at.problem(message)}
	}
	if earlier := c.places[k.Name]; at.line > 0 && earlier.line > 0 && earlier.file == at.file {
		c.noted = append(c.noted, at.problem(fmt.Sprintf("%s: replaces what line %d says", k.Name, earlier.line)))
	}
	if c.places == nil {
		c.places = make(map[string]place)
	}
	c.places[k.Name] = at
	return nil
}

// hasControl reports whether text has a control character other than a tab.
func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// ApplyEnv sets what variables like CARPOOL_DEFAULT_POOL_SIZE=5 say; environ
// is in the form of os.Environ, of repeated names the last counts. It returns
// all problems as [Problems]. A name with the prefix that is no setting is a
// problem, but for those of [ReservedEnv] and those that container platforms
// set for services whose names begin with carpool.
func (c *Config) ApplyEnv(environ []string) error {
	var problems Problems
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, EnvPrefix)
		if !ours {
			continue
		}
		at := place{file: variable}
		if slices.Contains(ReservedEnv(), variable) {
			if name == "POOL_SIZE" && value != "" { // the sidecar, which takes it, keeps it to itself
				c.noted = append(c.noted, at.problem("has no effect here, only on carpool exec: "+EnvPrefix+"DEFAULT_POOL_SIZE sets the size of pools"))
			}
			continue
		}
		if _, ok := findKey(globalKeys, strings.ToLower(name)); !ok || name != strings.ToUpper(name) {
			if isServiceLink(name, value) {
				continue
			}
			problems = append(problems, at.problem(unknownName("environment variable", variable, envNames())))
			continue
		}
		problems = append(problems, c.set(strings.ToLower(name), value, at)...)
	}
	return problems.err()
}

func envNames() []string {
	names := keyNames(globalKeys)
	for i := range names {
		names[i] = EnvPrefix + strings.ToUpper(names[i])
	}
	return append(names, ReservedEnv()...)
}

// ReservedEnv returns the environment variables with the prefix that mean
// something to the command line or to what installs carpool, and nothing here.
// A platform gives all of them to every process.
func ReservedEnv() []string {
	return []string{
		EnvPrefix + "BINARY",          // where a buildpack takes the program from
		EnvPrefix + "CONFIG",          // the configuration file
		EnvPrefix + "DOWNLOAD_SHA256", // of what a buildpack downloads
		EnvPrefix + "DOWNLOAD_URL",    // where a buildpack downloads the program
		EnvPrefix + "ENABLED",         // whether the sidecar gets in between at all
		EnvPrefix + "IMAGE",           // the image that an application's is made from
		EnvPrefix + "KEEP",            // names of variables that the sidecar leaves alone
		EnvPrefix + "PGBIN",           // directory of Postgres's programs
		EnvPrefix + "POOL_SIZE",       // the sidecar's short name for default_pool_size
		EnvPrefix + "URLS",            // names of the variables that hold database URLs
		EnvPrefix + "USERLIST",        // users and their secrets, as auth_file has them
	}
}

// isServiceLink recognises the variables that Kubernetes and Docker put into
// every container's environment for a service named carpool, or carpool-metrics:
// an address there must not keep another carpool from starting. Where the name
// alone might be a misspelt setting's, as CARPOOL_LISTN_PORT, the value decides.
func isServiceLink(name, value string) bool {
	if name == "NAME" || strings.HasPrefix(name, "ENV_") {
		return true // Docker's, for a container of that name
	}
	words := strings.Split(name, "_")
	port := slices.Index(words, "PORT")
	switch {
	case len(words) >= 2 && words[len(words)-2] == "SERVICE" && words[len(words)-1] == "HOST":
		return true
	case port < 0:
		return false
	case port > 0 && words[port-1] == "SERVICE":
		return true // of a port that has a name, this follows
	case port == len(words)-1:
		return strings.Contains(value, "://")
	}
	_, err := strconv.ParseUint(words[port+1], 10, 16) // as in PORT_9187_TCP_ADDR
	return err == nil
}
