package main

import (
	"regexp"
	"strings"
	"testing"
)

// A command line that isn't understood ends with status 2 and says what was
// probably meant.
func TestUsage(t *testing.T) {
	for _, row := range []struct {
		args   string
		status int
		stdout string // part of it
		stderr string // part of it
	}{
		{"--version", 0, version() + "\n", ""},
		{"-V", 0, version() + "\n", ""},
		{"", 0, "Available Commands:", ""},
		{"--help", 0, "carpool pgbouncer.ini", ""},
		{"serve --help", 0, "--pool-size number", ""},
		{"demo --help", 0, "--keep", ""},
		{"compare --help", 0, "--quick", ""},

		{"serv", 2, "", `neither a command nor a file called "serv", did you mean serve?`},
		{"chekc", 2, "", "did you mean check?"},
		{"xyzzy", 2, "", `called "xyzzy"` + "\n"},
		{"--lisen :1", 2, "", "unknown flag: --lisen, did you mean --listen?"},
		{"serve --pool-sise=3", 2, "", "did you mean --pool-size?"},
		{"demo --clinets 5", 2, "", "did you mean --clients?"},
		{"serve --zzzzzzzzz", 2, "", "unknown flag: --zzzzzzzzz\n"},
		{"serve -Z", 2, "", "unknown shorthand flag"},
		{"serve --listen", 2, "", "flag needs an argument"},
		{"serve a.ini b.ini", 2, "", "one configuration file is enough, 2 were given"},
		{"a.ini b.ini", 2, "", "one configuration file is enough, 2 were given"},
		{"check a.ini b.ini", 2, "", "one configuration file is enough, 2 were given"},
		{"demo x", 2, "", "takes no arguments"},
		{"demo --clients 0", 2, "", "must be greater than 0"},
		{"demo --clients many", 2, "", "invalid argument"},
		{"-d pgbouncer.ini", 1, "", "pgbouncer.ini"},
		{"-d --set=listen_addr=127.0.0.1 /dev/null", 2, "", "-d needs a pidfile"},
		{"-R --set=listen_addr=127.0.0.1 -q /dev/null", 2, "", "-R needs a pidfile"},
		{"-u nobody-of-that-name --set=listen_addr=127.0.0.1 /dev/null", 1, "", "nobody-of-that-name"},

		{"serve", 1, "", "nothing to start from"},
		{"check", 1, "", "nothing to start from"},
		{"serve missing.ini", 1, "", "missing.ini"},
		{"missing.ini", 1, "", "missing.ini"},
		{"./missing", 1, "", "./missing"},
		{"serve --url OTHER_URL", 1, "", "--url: the environment variable OTHER_URL isn't set"},
		{"compare --scenarios nonsense", 1, "", "nonsense"},
	} {
		status, stdout, stderr := runHere(nil, strings.Fields(row.args)...)
		if status != row.status || !strings.Contains(stdout, row.stdout) || !strings.Contains(stderr, row.stderr) {
			t.Errorf("carpool %s: status %d, stdout %q, stderr %q", row.args, status, stdout, stderr)
		}
		if row.status != 0 && stdout != "" || row.status == 0 && stderr != "" {
			t.Errorf("carpool %s: something is on the wrong output: stdout %q, stderr %q", row.args, stdout, stderr)
		}
	}
}

// The program itself ends with the status that run returns.
func TestStatusOfTheProgram(t *testing.T) {
	for _, row := range []struct {
		args string
		want int
	}{
		{"--version", 0}, {"serve", 1}, {"sevre", 2},
	} {
		if got := start(t, nil, row.args).wait(); got != row.want {
			t.Errorf("carpool %s ends with %d, want %d", row.args, got, row.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"listen", "port", "pool-mode", "pool-size"}
	for _, row := range []struct{ name, want string }{
		{"listne", ", did you mean --listen?"},
		{"prot", ", did you mean --port?"},
		{"poolsize", ", did you mean --pool-size?"},
		{"pool-mod", ", did you mean --pool-mode?"},
		{"x", ""},
		{"", ""},
		{"something-else", ""},
		{strings.Repeat("listen", 1000), ""},
	} {
		if got := didYouMean("--", row.name, known); got != row.want {
			t.Errorf("%.20s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestVersion(t *testing.T) {
	for module, want := range map[string]string{
		"": "", "(devel)": "", "v1.2.3": "1.2.3", "v0.0.0-20261121061159-281a140debe9": "", "v1.2.4-0.20261121061159-281a140debe9+dirty": "",
	} {
		if got := tagged(module); got != want {
			t.Errorf("%s: got %q, want %q", module, got, want)
		}
	}
	// Nothing but the name and a number: programs read it.
	if !regexp.MustCompile(`^carpool [0-9]+(\.[0-9]+)*(-dev)?$`).MatchString(version()) {
		t.Error(version())
	}
}
