package config

import (
	"slices"
	"strings"
)

// EnvPrefix begins the names of environment variables that set something.
const EnvPrefix = "CARPOOL_"

// Set sets one global setting by its name in the file. The error names the
// setting and what was expected.
func (c *Config) Set(name, value string) error {
	return c.set(name, value, place{}).err()
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
		return Problems{at.problem(k.Name + ": " + err.Error() + ", not " + quoteShort(value))}
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
// set for a service called carpool.
func (c *Config) ApplyEnv(environ []string) error {
	var problems Problems
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, EnvPrefix)
		if !ours || slices.Contains(ReservedEnv(), variable) || isServiceLink(name) {
			continue
		}
		at := place{file: variable}
		if _, ok := findKey(globalKeys, strings.ToLower(name)); !ok || name != strings.ToUpper(name) {
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
// something to the command line and nothing here.
func ReservedEnv() []string {
	return []string{
		EnvPrefix + "CONFIG",    // the configuration file
		EnvPrefix + "ENABLED",   // whether the sidecar gets in between at all
		EnvPrefix + "PGBIN",     // directory of Postgres's programs
		EnvPrefix + "POOL_SIZE", // the sidecar's short name for default_pool_size
		EnvPrefix + "URLS",      // names of the variables that hold database URLs
		EnvPrefix + "USERLIST",  // users and their secrets, as auth_file has them
	}
}

// isServiceLink recognises the variables that Kubernetes and Docker put into
// every container's environment for a service named carpool: an address
// there must not keep another carpool from starting.
func isServiceLink(name string) bool {
	return name == "SERVICE_HOST" || name == "PORT" || name == "NAME" ||
		strings.HasPrefix(name, "SERVICE_PORT") || strings.HasPrefix(name, "PORT_") || strings.HasPrefix(name, "ENV_")
}
