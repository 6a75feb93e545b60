package main

import (
	"errors"
	"strings"
	"testing"

	"carpool/config"

	"github.com/spf13/pflag"
)

// loaded is what a command line and environment amount to.
func loaded(t *testing.T, environ []string, args ...string) (*config.Config, error) {
	t.Helper()
	s := &source{}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return (&program{environ: environ}).load(s, flags.Args())
}

// Each source overrides those before it: default, file, environment, flags.
func TestWhoOverridesWhom(t *testing.T) {
	file := write(t, t.TempDir(), "carpool.ini", "[databases]\nbooks = host=db\n[pgbouncer]\nlisten_addr = 127.0.0.1\ndefault_pool_size = 2\nmin_pool_size = 1\n")
	for _, row := range []struct {
		environ, args string
		setting, want string
	}{
		{"", file, "reserve_pool_size", "0"},
		{"", file, "default_pool_size", "2"},
		{"CARPOOL_DEFAULT_POOL_SIZE=3", file, "default_pool_size", "3"},
		{"CARPOOL_DEFAULT_POOL_SIZE=3 CARPOOL_DEFAULT_POOL_SIZE=4", file, "default_pool_size", "4"},
		{"CARPOOL_DEFAULT_POOL_SIZE=3", "--pool-size 5 " + file, "default_pool_size", "5"},
		{"", file + " --pool-size 5 --set default_pool_size=6", "default_pool_size", "6"},
		{"", file + " --set default_pool_size=6 --pool-size 5", "default_pool_size", "6"},
		{"", file + " --set default_pool_size=6 --set default_pool_size=7", "default_pool_size", "7"},
		{"", file + " --set query_wait_timeout=2min", "query_wait_timeout", "120"},
		{"CARPOOL_CONFIG=" + file, "", "default_pool_size", "2"},
		{"CARPOOL_CONFIG=/nowhere", file, "default_pool_size", "2"},
		{"DATABASE_URL=postgres://u@h/d CARPOOL_CONFIG=" + file, "", "default_pool_size", "2"},
		{"", file + " --pool-mode statement", "pool_mode", "statement"},
		{"", file + " --port 7000", "listen_port", "7000"},
		{"", file + " --listen ::1", "listen_addr", "::1"},
		{"", file + " --listen [::1]:7001", "listen_addr", "::1"},
		{"", file + " --listen [::1]:7001", "listen_port", "7001"},
		{"", file + " --listen 127.0.0.2:7002 --port 7003", "listen_port", "7003"},
		{"", file + " --listen :7004", "listen_addr", "*"},
		{"", file + " --listen *", "listen_addr", "*"},
		{"", file + " --listen localhost,127.0.0.2", "listen_addr", "localhost, 127.0.0.2"},
		{"", file + " -v", "verbose", "1"},
		{"", file + " -vvvvv", "verbose", "3"},
		{"DATABASE_URL=postgres://u:p@h/d", "", "pool_mode", "transaction"},
		{"DATABASE_URL=postgres://u:p@h/d", "", "listen_addr", "127.0.0.1"},
		{"DATABASE_URL=postgres://u:p@h/d PORT=5000", "", "listen_port", "6432"},
		{"DATABASE_URL=postgres://u:p@h/d", "--pool-mode session", "pool_mode", "session"},
		{"OTHER=postgres://u:p@h/d DATABASE_URL=x", "--url OTHER", "pool_mode", "transaction"},
	} {
		c, err := loaded(t, strings.Fields(row.environ), strings.Fields(row.args)...)
		if err != nil {
			t.Errorf("%s carpool serve %s: %v", row.environ, row.args, err)
			continue
		}
		if got, _ := c.Value(row.setting); got != row.want {
			t.Errorf("%s carpool serve %s: %s is %s, want %s", row.environ, row.args, row.setting, got, row.want)
		}
	}
}

func TestURLBesideAFile(t *testing.T) {
	file := write(t, t.TempDir(), "carpool.ini", "[databases]\nbooks = host=db\n[pgbouncer]\nlisten_addr = 127.0.0.1\n")
	environ := []string{"DATABASE_URL=postgres://u:p@other:5433/d"}
	// Without --url the file alone counts, as everybody has a DATABASE_URL.
	c, err := loaded(t, environ, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Database("something"); ok {
		t.Error("DATABASE_URL was taken though a file was given")
	}
	if c, err = loaded(t, environ, file, "--url", "DATABASE_URL"); err != nil {
		t.Fatal(err)
	}
	if d, ok := c.Database("something"); !ok || d.Hosts[0] != "other" || c.Databases[0].Name != "books" {
		t.Errorf("--url beside a file: %+v", d)
	}
	_, err = loaded(t, []string{"X=nonsense"}, file, "--url", "X")
	if problems, ok := errors.AsType[config.Problems](err); !ok || len(problems) != 1 || problems[0].File != "X" {
		t.Errorf("a wrong URL beside a file: %v", err)
	}
}

// Whoever has no password must not be served to the world.
func TestOpenURLStaysOnLoopback(t *testing.T) {
	environ := []string{"DATABASE_URL=postgres://u@h/d"}
	if _, err := loaded(t, environ); err != nil {
		t.Error(err)
	}
	if _, err := loaded(t, environ, "--listen", "*"); err == nil {
		t.Error("listening everywhere without a password is allowed")
	}
}
