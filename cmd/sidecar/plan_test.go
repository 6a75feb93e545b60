package sidecar

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carpool/config"
)

// mustPlan makes a plan and reads its URLs.
func mustPlan(t *testing.T, environ Environ, options Options) (*Plan, []*URL) {
	t.Helper()
	plan, err := NewPlan(environ, options)
	if err != nil {
		t.Fatal(err)
	}
	urls, err := plan.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan, urls
}

// mustConfig is the configuration of a sidecar with one URL, besides what is given.
func mustConfig(t *testing.T, environ Environ, options Options) *config.Config {
	t.Helper()
	plan, urls := mustPlan(t, append(Environ{"DATABASE_URL=postgres://u:p@h/d"}, environ...), options)
	c, err := plan.Config(urls, Identities(urls), Pooler{Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVariables(t *testing.T) {
	for _, row := range []struct {
		environ string
		flags   string
		want    string
	}{
		{"", "", "DATABASE_URL"},
		{"PGBOUNCER_URLS=A B  A", "", "A B"},
		{"PGBOUNCER_URLS=", "", "DATABASE_URL"},
		{"PGBOUNCER_URLS=A,CARPOOL_URLS=B C", "", "B C"},
		{"CARPOOL_URLS=B C", "D E D", "D E"},
	} {
		plan, err := NewPlan(strings.Split(row.environ, ","), Options{URLs: strings.Fields(row.flags)})
		if err != nil || strings.Join(plan.Variables, " ") != row.want {
			t.Errorf("%s, --url %s: got %v %v, want %s", row.environ, row.flags, plan, err, row.want)
		}
	}
	for text, want := range map[string]string{
		"PGBOUNCER_URLS=A,B":                    "PGBOUNCER_URLS: names are separated by blanks, not by commas",
		"CARPOOL_URLS=postgres://u:a,b@h/d":     "CARPOOL_URLS wants the name of an environment variable that holds a URL, such as DATABASE_URL",
		"CARPOOL_KEEP=A,B":                      "CARPOOL_KEEP: names are separated by blanks, not by commas",
		"CARPOOL_KEEP=RED_URL DATABASE_URL":     "CARPOOL_KEEP: DATABASE_URL is the variable that is to lead to carpool: --no-pool leaves it alone",
		"CARPOOL_KEEP=postgres://u:hunter2@h/d": "CARPOOL_KEEP wants the name of an environment variable that is to be left alone",
	} {
		if _, err := NewPlan(Environ{text}, Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", text, err)
		}
	}
	for _, name := range []string{"postgres://u:hunter2@h/d", "A=B", ""} {
		_, err := NewPlan(nil, Options{URLs: []string{name}})
		const want = "--url wants the name of an environment variable that holds a URL, such as DATABASE_URL"
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v", name, err)
		}
	}
	plan, err := NewPlan(nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "DATABASE_URL isn't set: set it to postgres://user:password@host/database, or name the variable that holds the URL with --url"
	if _, err := plan.Read(nil); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestEnabled(t *testing.T) {
	for _, row := range []struct {
		environ string
		want    bool
	}{
		{"", true},
		{"PGBOUNCER_ENABLED=", true},
		{"PGBOUNCER_ENABLED=1", true},
		{"PGBOUNCER_ENABLED=Yes", true},
		{"PGBOUNCER_ENABLED=0", false},
		{"PGBOUNCER_ENABLED=false", false},
		{"PGBOUNCER_ENABLED=off", false},
		{"PGBOUNCER_ENABLED=no,CARPOOL_ENABLED=on", true},
		{"PGBOUNCER_ENABLED=on,CARPOOL_ENABLED=no", false},
	} {
		plan, err := NewPlan(strings.Split(row.environ, ","), Options{})
		if err != nil || plan.Enabled != row.want {
			t.Errorf("%s: got %v %v", row.environ, plan, err)
		}
	}
	if _, err := NewPlan(Environ{"CARPOOL_ENABLED=maybe"}, Options{}); err == nil || !strings.HasPrefix(err.Error(), "CARPOOL_ENABLED: expected one of 1, true") {
		t.Errorf("got %v", err)
	}
}

func TestDefaults(t *testing.T) {
	c := mustConfig(t, nil, Options{})
	for name, want := range map[string]string{
		"pool_mode": "transaction", "default_pool_size": "1", "reserve_pool_size": "1", "reserve_pool_timeout": "5", "listen_addr": "127.0.0.1",
		"listen_port": "0", "unix_socket_dir": "", "auth_type": "plain", "admin_users": "", "stats_users": "", "metrics_listen": "", "log_level": "warn",
		"server_tls_sslmode": "prefer", "client_tls_sslmode": "disable",
	} {
		if got, _ := c.Value(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(c.StaticUsers) != 1 || c.StaticUsers["u"] != "pw" {
		t.Error("somebody else than u can log in, or with another password")
	}
	if warnings := c.Warnings(); len(warnings) > 0 {
		t.Errorf("the defaults make warnings: %v", warnings)
	}
}

// The command line counts more than CARPOOL_*, this more than PGBOUNCER_*, and this more than PG*.
func TestWhatCountsMore(t *testing.T) {
	for _, row := range []struct {
		environ string
		options Options
		setting string
		want    string
	}{
		{"PGBOUNCER_DEFAULT_POOL_SIZE=3", Options{}, "default_pool_size", "3"},
		{"CARPOOL_DEFAULT_POOL_SIZE=4,PGBOUNCER_DEFAULT_POOL_SIZE=3", Options{}, "default_pool_size", "4"},
		{"CARPOOL_POOL_SIZE=5,CARPOOL_DEFAULT_POOL_SIZE=4", Options{}, "default_pool_size", "5"},
		{"CARPOOL_POOL_SIZE=5", Options{PoolSize: "6"}, "default_pool_size", "6"},
		{"CARPOOL_POOL_SIZE=5", Options{PoolSize: "6", Set: []string{"default_pool_size = 7"}}, "default_pool_size", "7"},
		{"PGBOUNCER_POOL_MODE=session", Options{}, "pool_mode", "session"},
		{"PGBOUNCER_POOL_MODE=session", Options{Mode: "transaction"}, "pool_mode", "transaction"},
		{"PGBOUNCER_POOL_MODE=", Options{}, "pool_mode", "transaction"},
		{"PGBOUNCER_SERVER_RESET_QUERY=", Options{}, "server_reset_query", ""},
		{"CARPOOL_SERVER_RESET_QUERY=", Options{}, "server_reset_query", ""},
		{"CARPOOL_POOL_MODE=,PGBOUNCER_POOL_MODE=session", Options{}, "pool_mode", "session"},
		{"CARPOOL_POOL_SIZE=,CARPOOL_DEFAULT_POOL_SIZE=4", Options{}, "default_pool_size", "4"},
		{"PGSSLMODE=require", Options{}, "server_tls_sslmode", "require"},
		{"PGSSLMODE=require,PGBOUNCER_SERVER_TLS_SSLMODE=disable", Options{}, "server_tls_sslmode", "disable"},
		{"PGSSLMODE=verify-full,PGSSLROOTCERT=/nowhere/ca", Options{}, "server_tls_ca_file", "/nowhere/ca"},
		{"PGSSLROOTCERT=/nowhere/ca", Options{}, "server_tls_ca_file", ""},
		{"PGSSLROOTCERT=system", Options{}, "server_tls_sslmode", "verify-full"},
		{"PGBOUNCER_LOG_CONNECTIONS=1", Options{}, "log_level", "info"},
		{"PGBOUNCER_LOG_CONNECTIONS=1", Options{LogLevel: "error"}, "log_level", "error"},
		{"", Options{Metrics: ":9187"}, "metrics_listen", ":9187"},
		{"", Options{ListenAddress: "127.0.0.2", ListenPort: "6000"}, "listen_port", "6000"},
		{"", Options{UnixDir: "/tmp"}, "listen_addr", ""},
		{"", Options{UnixDir: "/tmp", ListenPort: "6000"}, "listen_port", "6000"},
		{"", Options{UnixDir: "/tmp"}, "unix_socket_mode", "0700"},
	} {
		c := mustConfig(t, strings.Split(row.environ, ","), row.options)
		if got, _ := c.Value(row.setting); got != row.want {
			t.Errorf("%s %+v: %s is %q, want %q", row.environ, row.options, row.setting, got, row.want)
		}
	}
	if c := mustConfig(t, nil, Options{UnixDir: "/tmp"}); c.ListenPort < lowestSocketPort {
		t.Errorf("a Unix socket with the number %d", c.ListenPort)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	_, err := NewPlan(Environ{"PGBOUNCER_POOL_MODE=both", "CARPOOL_POOL_SIZE=x", "CARPOOL_POOL_SIZ=1"}, Options{Set: []string{"nonsense", "a=b"}, LogLevel: "loud"})
	problems, ok := err.(config.Problems)
	if !ok {
		t.Fatalf("got %v", err)
	}
	text := problems.Error()
	for _, want := range []string{
		"PGBOUNCER_POOL_MODE: pool_mode: expected", "CARPOOL_POOL_SIZE: default_pool_size: expected", "CARPOOL_POOL_SIZ: ",
		`--set: expected name=value, not "nonsense"`, "--set: ", "--log-level: log_level: expected",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Every variable of the buildpack is taken over under its name, or mentioned as not needed.
func TestBuildpackVariables(t *testing.T) {
	values := map[string]string{
		"pool_mode": "session", "ignore_startup_parameters": "a, b", "server_reset_query": "RESET ALL", "server_tls_sslmode": "disable",
	}
	for _, variable := range BuildpackVariables() {
		if variable.setting == "" {
			continue
		}
		value := values[variable.setting]
		if value == "" {
			value = "1"
			if got, _ := mustConfig(t, nil, Options{}).Value(variable.setting); got == "1" {
				value = "0"
			}
		}
		c := mustConfig(t, Environ{variable.Name + "=" + value}, Options{})
		if got, _ := c.Value(variable.setting); got != value {
			t.Errorf("%s=%s makes %s %q", variable.Name, value, variable.setting, got)
		}
		if got, _ := mustConfig(t, nil, Options{}).Value(variable.setting); got != variable.Default {
			t.Errorf("%s: the default is %q, not %q", variable.setting, got, variable.Default)
		}
	}
}

// docs/heroku.md has the table of them.
func TestDocumentedBuildpackVariables(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "heroku.md"))
	if err != nil {
		t.Fatal(err)
	}
	if table := buildpackTable(); !strings.Contains(string(content), table) {
		t.Errorf("docs/heroku.md doesn't have this table:\n\n%s", table)
	}
}

func buildpackTable() string {
	code := func(text string) string {
		if text == "" {
			return ""
		}
		return "`" + text + "`"
	}
	var b strings.Builder
	b.WriteString("| variable | carpool's name | buildpack's default | carpool's default | |\n|---|---|---|---|---|\n")
	for _, v := range BuildpackVariables() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(v.Name), code(v.Carpool), code(v.Standard), code(v.Default), v.Note)
	}
	return b.String()
}

func TestIdentities(t *testing.T) {
	_, urls := mustPlan(t, Environ{"A=postgres://u:p@h/d", "B=postgres://v:q@i/d", "C=postgres://w:r@j/d_2", "D=postgres://u:p@h/d", "E=postgres://u:p@h/pgbouncer", "F=postgres://u:p@h/*"},
		Options{URLs: []string{"A", "B", "C", "D", "E", "F"}})
	got := fmt.Sprint(Identities(urls))
	if want := "[{d u} {d_2 v} {d_2_2 w} {d_3 u} {pgbouncer_2 u} {*_2 u}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEachURLHasItsPool(t *testing.T) {
	plan, urls := mustPlan(t, Environ{"A=postgres://u:p@h/d", "B=postgres://v@i/d?sslmode=require", "PGPASSWORD=q"}, Options{URLs: []string{"A", "B"}})
	c, err := plan.Config(urls, Identities(urls), Pooler{Password: "pw", Certificate: "/proc/self/fd/9", Shares: []int{2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, d := range c.Databases {
		got = append(got, fmt.Sprintln(d.Name, d.Hosts, d.User, d.Password, d.DBName, c.Resolve(d, d.User).ServerTLS.Mode, PoolSize(c, i)))
	}
	if want := "d [h] u p d prefer 2\nd_2 [i] v q d require 3\n"; strings.Join(got, "") != want {
		t.Errorf("got\n%s, want\n%s", strings.Join(got, ""), want)
	}
	if c.ClientTLS.Mode != config.SSLAllow || c.ClientTLS.CertFile != "/proc/self/fd/9" {
		t.Errorf("TLS for clients: %+v", c.ClientTLS)
	}
}

func TestEnvironOfTheCommand(t *testing.T) {
	const url = "postgres://u:secret@h:5433/d?sslmode=require"
	const pooled = "postgres://u:pw@127.0.0.1:6000/d"
	for _, row := range []struct {
		name    string
		environ string
		options Options
		want    string // changed or added
		without string // removed
	}{
		{"one URL", "", Options{}, "DATABASE_URL=" + pooled, ""},
		{"set twice", "DATABASE_URL=" + url, Options{}, "DATABASE_URL=" + pooled, ""},
		{"the original too", "", Options{KeepDirect: true}, "DATABASE_URL=" + pooled + ",DATABASE_URL_DIRECT=" + url, ""},
		{"a copy", "HEROKU_POSTGRESQL_RED_URL=" + url, Options{}, "DATABASE_URL=" + pooled + ",HEROKU_POSTGRESQL_RED_URL=" + pooled, ""},
		{"no statements", "PGBOUNCER_PREPARED_STATEMENTS=false", Options{}, "DATABASE_URL=" + pooled + "?prepared_statements=false", ""},
		{"a mode alone", "PGSSLMODE=require", Options{}, "DATABASE_URL=" + pooled, ""},
		{"a mode that can't be had", "PGSSLMODE=verify-full,PGSSLROOTCERT=/ca", Options{}, "DATABASE_URL=" + pooled + ",PGSSLMODE=require", "PGSSLROOTCERT"},
		{
			"libpq's variables for it", "PGHOST=h,PGUSER=u,PGPASSWORD=secret,PGHOSTADDR=1.2.3.4",
			Options{},
			"DATABASE_URL=" + pooled + ",PGHOST=127.0.0.1,PGPORT=6000,PGUSER=u,PGPASSWORD=pw,PGDATABASE=d", "PGHOSTADDR",
		},
		{"only a database", "PGDATABASE=d", Options{}, "DATABASE_URL=" + pooled + ",PGHOST=127.0.0.1,PGPORT=6000,PGUSER=u,PGPASSWORD=pw,PGDATABASE=d", ""},
		{"libpq's variables for another", "PGHOST=other,PGUSER=u,PGPASSWORD=x", Options{}, "DATABASE_URL=" + pooled, ""},
		{"another port", "PGHOST=h,PGPORT=5432", Options{}, "DATABASE_URL=" + pooled, ""},
		{"another with much to ask", "PGHOST=other,PGSSLMODE=verify-full", Options{}, "DATABASE_URL=" + pooled + "?sslmode=disable", ""},
		{"channel binding", "PGCHANNELBINDING=require", Options{}, "DATABASE_URL=" + pooled, "PGCHANNELBINDING"},
	} {
		environ := append(Environ{"PATH=/bin", "DATABASE_URL=" + url}, strings.Split(row.environ, ",")...)
		if row.environ == "" {
			environ = environ[:2]
		}
		plan, urls := mustPlan(t, environ, row.options)
		got, _ := plan.Environ(urls, Identities(urls), tcp)
		want := environ.With(nil, append(strings.Split(row.without, ","), "DATABASE_URL")...)
		for item := range strings.SplitSeq(row.want, ",") {
			name, value, _ := strings.Cut(item, "=")
			want = want.With(map[string]string{name: value})
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, want)
		}
		if !row.options.KeepDirect && strings.Contains(strings.Join(got, "\n"), "secret") {
			t.Errorf("%s: the real password is there: %s", row.name, got)
		}
	}
}

func TestEnvironWithASocket(t *testing.T) {
	plan, urls := mustPlan(t, Environ{"DATABASE_URL=postgres://u:p@h/d", "PGHOST=h"}, Options{})
	environ, _ := plan.Environ(urls, Identities(urls), socket)
	if got, want := environ.Value("PGHOST"), "/tmp/my sockets"; got != want {
		t.Errorf("PGHOST is %s", got)
	}
	if got, want := environ.Value("DATABASE_URL"), "postgres://u:pw@/d?host=/tmp/my%20sockets&port=6000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestExplainHidesWhatIsSecret(t *testing.T) {
	environ := Environ{
		"DATABASE_URL=postgres://u:hunter2@h/d?application_name=a&token=hunter2b&sslmode=require", "COPY=postgres://u:hunter2@h/d?application_name=a&token=hunter2b&sslmode=require",
		"PGPASSWORD=hunter2c", "PGHOST=h", "OTHER=hunter2d", "PGSSLROOTCERT=/ca", "PGBOUNCER_RESERVE_POOL_SIZE=0",
	}
	plan, urls := mustPlan(t, environ, Options{KeepDirect: true, Mode: "session"})
	c, err := plan.Config(urls, Identities(urls), Pooler{Password: "hunter2e"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := plan.Explain(&b, urls, c, []string{"DATABASE_URL: because"}, []string{"psql", "postgres://u:hunter2@h/d"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter") {
		t.Errorf("a secret is shown:\n%s", b.String())
	}
	const want = `DATABASE_URL is u@h:5432/d, sslmode require.
  Server connections: 1, in session mode.
  DATABASE_URL: because.
carpool would listen on 127.0.0.1, a free port, with a password made at start, and the command would get:
  COPY=postgres://u:PASSWORD@127.0.0.1:PORT/d?application_name=a&token=...
  DATABASE_URL=postgres://u:PASSWORD@127.0.0.1:PORT/d?application_name=a&token=...
  DATABASE_URL_DIRECT=(the original URL, with its password)
  PGDATABASE=d
  PGHOST=127.0.0.1
  PGPASSWORD=PASSWORD
  PGPORT=PORT
  PGUSER=u
  no PGSSLROOTCERT
COPY leads to the database of DATABASE_URL and is rewritten like it.
Settings that differ from carpool's own defaults:
  listen_addr = 127.0.0.1 (as carpool exec has it)
  listen_port = 0 (as carpool exec has it)
  unix_socket_dir = empty (as carpool exec has it)
  unix_socket_mode = 0700 (as carpool exec has it)
  pool_mode = session (--mode)
  max_client_conn = 1000 (as carpool exec has it)
  default_pool_size = 1 (as carpool exec has it)
  reserve_pool_size = 0 (PGBOUNCER_RESERVE_POOL_SIZE)
  auth_type = plain (as carpool exec has it)
  log_connections = 0 (as carpool exec has it)
  log_disconnections = 0 (as carpool exec has it)
  log_level = warn (as carpool exec has it)
The command is: psql postgres://***@h/d
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
