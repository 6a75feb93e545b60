package sidecar

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"carpool/config"
)

// Variables that mean something to a sidecar besides the settings of config.
const (
	enabledSuffix   = "ENABLED"
	urlsSuffix      = "URLS"
	keepSuffix      = "KEEP"
	poolSizeSuffix  = "POOL_SIZE"
	buildpackPrefix = "PGBOUNCER_"
	statementsName  = "PGBOUNCER_PREPARED_STATEMENTS"
	defaultVariable = "DATABASE_URL"
)

// A BuildpackVariable is one that Heroku's PgBouncer buildpack takes, and what becomes of it.
type BuildpackVariable struct {
	// Name is the variable's.
	Name string
	// Carpool is what is set in its place: a variable of carpool's or a flag. It is empty if there is nothing to set.
	Carpool string
	// Standard is the buildpack's default, and Default the sidecar's; empty is none.
	Standard, Default string
	// Note says what else is to be known, for the documentation.
	Note string

	setting string // of config; empty if it is none
}

// BuildpackVariables returns what the buildpack takes, in the order in which it is documented. The slice is the caller's.
func BuildpackVariables() []BuildpackVariable {
	setting := func(name, standard, ours, note string) BuildpackVariable {
		suffix := strings.ToUpper(name)
		return BuildpackVariable{
			Name: buildpackPrefix + suffix, Carpool: config.EnvPrefix + suffix, Standard: standard, Default: ours, Note: note, setting: name,
		}
	}
	return []BuildpackVariable{
		{Name: buildpackPrefix + enabledSuffix, Carpool: config.EnvPrefix + enabledSuffix, Standard: "1", Default: "1", Note: "`0`, `false`, `no` or `off`: the command is started as if carpool weren't there."},
		{Name: buildpackPrefix + urlsSuffix, Carpool: config.EnvPrefix + urlsSuffix, Standard: defaultVariable, Default: defaultVariable, Note: "Names of variables, separated by blanks; also `--url`."},
		setting("pool_mode", "transaction", "transaction", "Also `--mode`."),
		setting("default_pool_size", "1", "1", "Also `CARPOOL_POOL_SIZE`, `--pool-size` or `--share`."),
		setting("min_pool_size", "0", "0", ""),
		setting("reserve_pool_size", "1", "1", ""),
		setting("reserve_pool_timeout", "5", "5", ""),
		setting("max_client_conn", "100", defaultClients, "An idle client costs carpool next to nothing."),
		setting("max_prepared_statements", "0", "200", "Named prepared statements work in transaction mode unless it is 0."),
		{Name: statementsName, Standard: "true", Default: "true", Note: "`false` adds `prepared_statements=false` to the URL, for Rails."},
		setting("server_lifetime", "3600", "3600", ""),
		setting("server_idle_timeout", "600", "600", ""),
		setting("server_reset_query", "", "DISCARD ALL", "Runs in session mode only."),
		setting("query_wait_timeout", "120", "120", ""),
		setting("ignore_startup_parameters", "", "", "Seldom needed: carpool keeps start-up parameters for each client."),
		setting("server_tls_sslmode", "require", "prefer", "An `sslmode` in the URL counts more; without either, `PGSSLMODE` is used."),
		setting("log_connections", "1", "0", "Set to 1, it raises the log level to `info`."),
		setting("log_disconnections", "1", "0", "Likewise."),
		setting("log_pooler_errors", "1", "1", ""),
		setting("stats_period", "60", "60", ""),
		{Name: "PGBOUNCER_AUTH_TYPE", Standard: "scram-sha-256", Note: "Not needed: the password between application and carpool is made anew at each start."},
		{Name: "PGBOUNCER_CONFIG_DIR", Standard: "/app/vendor/pgbouncer", Note: "Not needed: there are no files."},
	}
}

// defaultClients is how many clients there may be.
const defaultClients = "1000"

// layers are the settings, laid one over the other, and what is wrong with them.
type layers struct {
	config   *config.Config
	given    map[string]string // by setting: what said so last; without the defaults
	problems config.Problems
}

// layDefaults begins with the settings that differ from config's own defaults.
func layDefaults() *layers {
	l := &layers{config: config.Default(), given: make(map[string]string)}
	for _, setting := range [][2]string{
		{"pool_mode", "transaction"},
		{"listen_addr", "127.0.0.1"},
		{"listen_port", "0"},
		{"unix_socket_dir", ""},
		{"unix_socket_mode", "0700"},
		{"default_pool_size", "1"},
		{"reserve_pool_size", "1"},
		{"max_client_conn", defaultClients},
		{"auth_type", "plain"},
		{"log_level", "warn"},
		{"log_connections", "0"},
		{"log_disconnections", "0"},
	} {
		l.set("the defaults", setting[0], setting[1])
	}
	clear(l.given)
	return l
}

// set sets one setting; from is the variable or flag that says so.
func (l *layers) set(from, name, value string) {
	if err := l.config.Set(name, value); err != nil {
		l.fail(from, err)
		return
	}
	l.given[name] = from
}

func (l *layers) fail(from string, err error) {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		problems = config.Problems{{Message: err.Error()}}
	}
	for _, problem := range problems {
		if problem.File == "" {
			problem.File = from
		}
		l.problems = append(l.problems, problem)
	}
}

// libpq takes over how the application's own driver would have connected.
func (l *layers) libpq(environ Environ) {
	mode, rootCert := environ.Value("PGSSLMODE"), environ.Value("PGSSLROOTCERT")
	switch _, err := os.Stat(rootCert); {
	case rootCert == "":
	case rootCert == "system":
		l.set("PGSSLROOTCERT", "server_tls_ca_file", rootCert)
		if mode == "" {
			mode = config.SSLVerifyFull.String()
		}
	case err == nil || strings.HasPrefix(mode, "verify-"):
		l.set("PGSSLROOTCERT", "server_tls_ca_file", rootCert)
		if mode == config.SSLRequire.String() {
			mode = config.SSLVerifyCA.String() // so says libpq's documentation of sslmode
		}
	}
	if mode != "" {
		l.set("PGSSLMODE", "server_tls_sslmode", mode)
	}
	if cert, key := environ.Value("PGSSLCERT"), environ.Value("PGSSLKEY"); cert != "" && key != "" {
		l.set("PGSSLCERT", "server_tls_cert_file", cert)
		l.set("PGSSLKEY", "server_tls_key_file", key)
	}
}

// says reports whether a variable says anything about a setting: platforms can't always unset one, and make it empty instead. But
// the query that resets servers may well be none.
func (e Environ) says(name, setting string) (value string, ok bool) {
	value, set := e.Lookup(name)
	return value, set && (value != "" || setting == "server_reset_query")
}

// buildpack takes over what was set for the PgBouncer buildpack.
func (l *layers) buildpack(environ Environ) {
	for _, variable := range BuildpackVariables() {
		if value, ok := environ.says(variable.Name, variable.setting); ok && variable.setting != "" {
			l.set(variable.Name, variable.setting, value)
		}
	}
}

// carpool takes over CARPOOL_*.
func (l *layers) carpool(environ Environ) {
	const poolSize = config.EnvPrefix + poolSizeSuffix
	silent := []string{poolSize}
	for _, setting := range config.Settings() {
		name := config.EnvPrefix + strings.ToUpper(setting.Name)
		if _, ok := environ.says(name, setting.Name); ok {
			l.given[setting.Name] = name
		} else {
			silent = append(silent, name)
		}
	}
	if err := l.config.ApplyEnv(environ.With(nil, silent...)); err != nil {
		l.fail("", err)
	}
	if value := environ.Value(poolSize); value != "" {
		l.set(poolSize, "default_pool_size", value)
	}
}

// flags takes over the command line, --set last.
func (l *layers) flags(o Options) {
	for _, flag := range []struct{ name, setting, value string }{
		{"--mode", "pool_mode", o.Mode},
		{"--pool-size", "default_pool_size", o.PoolSize},
		{"--metrics", "metrics_listen", o.Metrics},
		{"--log-level", "log_level", o.LogLevel},
		{"--listen", "listen_addr", o.ListenAddress},
		{"--listen", "listen_port", o.ListenPort},
		{"--unix", "unix_socket_dir", o.UnixDir},
	} {
		if flag.value != "" {
			l.set(flag.name, flag.setting, flag.value)
		}
	}
	for _, assignment := range o.Set {
		name, value, ok := strings.Cut(assignment, "=")
		if !ok {
			l.fail("--set", fmt.Errorf("expected name=value, not %q", assignment))
			continue
		}
		l.set("--set", strings.TrimSpace(name), value)
	}
}

// attribute gives problems that begin with the name of a setting the name of what has set it.
func (l *layers) attribute(problems config.Problems) config.Problems {
	list := slices.Clone(problems)
	for i, problem := range list {
		setting, _, _ := strings.Cut(problem.Message, ":")
		if problem.File == "" {
			list[i].File = l.given[setting]
		}
	}
	return list
}

// settle fills in what follows from the rest.
func (l *layers) settle() {
	c := l.config
	// Who asks for these lines wants to see them.
	if l.given["log_level"] == "" && (c.LogConnections || c.LogDisconnections) {
		c.LogLevel = config.LogInfo
	}
	if c.UnixSocketDir == "" {
		return
	}
	if l.given["listen_addr"] == "" {
		c.ListenAddr = nil
	}
	// A Unix socket has its port in its name, and nobody chooses one for us. Sidecars in one directory take different ones.
	if c.ListenPort == 0 {
		c.ListenPort = lowestSocketPort + os.Getpid()%socketPorts
	}
}

const (
	lowestSocketPort = 1024
	socketPorts      = 60000
)
