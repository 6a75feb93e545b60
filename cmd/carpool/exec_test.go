package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nowhere is the URL of a server that isn't there: what doesn't need it works without.
const nowhere = "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d"

func TestExecStatus(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, dir, "plain", "#!/bin/sh\n")
	script := write(t, dir, "script", "exit $1\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		command []string
		want    int
	}{
		{"0", []string{"sh", "-c", "exit 0"}, 0},
		{"1", []string{"sh", "-c", "exit 1"}, 1},
		{"7", []string{"sh", "-c", "exit 7"}, 7},
		{"255", []string{"sh", "-c", "exit 255"}, 255},
		{"killed by TERM", []string{"sh", "-c", "kill -TERM $$"}, 128 + 15},
		{"killed by KILL", []string{"sh", "-c", "kill -KILL $$"}, 128 + 9},
		{"killed by SEGV", []string{"sh", "-c", "kill -SEGV $$"}, 128 + 11},
		{"not found", []string{"no-such-command"}, 127},
		{"not found by path", []string{dir + "/nothing"}, 127},
		{"not executable", []string{plain}, 126},
		{"a script without #!", []string{script, "7"}, 7},
		{"a directory", []string{dir}, 126},
	} {
		for _, flags := range [][]string{{"exec", "--"}, {"exec", "--no-pool", "--"}} {
			p := start(t, []string{nowhere}, append(flags, row.command...)...)
			got := p.wait()
			// Without a pool it is the command itself that we see end.
			if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
				got = 128 + int(status.Signal())
			}
			if got != row.want {
				t.Errorf("%s %v: status %d, want %d; %s", row.name, flags, got, row.want, p.stderr)
			}
			if row.want == 126 || row.want == 127 {
				if said := p.stderr.String(); !strings.Contains(said, "carpool: starting "+row.command[0]+": ") {
					t.Errorf("%s %v: nothing is said: %s", row.name, flags, said)
				}
			}
		}
	}
}

// What follows the command's name is the command's, with or without the --.
func TestExecArguments(t *testing.T) {
	for _, args := range [][]string{
		{"exec", "--", "echo", "--mode", "-x", "--", "a b"},
		{"exec", "echo", "--mode", "-x", "--", "a b"},
		{"exec", "--mode", "session", "echo", "--mode", "-x", "--", "a b"},
	} {
		p := start(t, []string{nowhere}, args...)
		if status := p.wait(); status != 0 || p.stdout.String() != "--mode -x -- a b\n" {
			t.Errorf("%v: status %d, %q", args, status, p.stdout)
		}
	}
}

func TestExecRefuses(t *testing.T) {
	for _, row := range []struct {
		environ string
		args    []string
		want    string
	}{
		{"", nil, "carpool: DATABASE_URL isn't set: set it to postgres://user:password@host/database, or name the variable that holds the URL with --url"},
		{"DATABASE_URL=", nil, "carpool: DATABASE_URL is empty: "},
		{"DATABASE_URL=mysql://u:hunter2@h/d", nil, "carpool: DATABASE_URL is a mysql URL, and carpool speaks to Postgres only: "},
		{"DATABASE_URL=sqlite:///hunter2", nil, "carpool: DATABASE_URL is a sqlite URL, "},
		{"DATABASE_URL=hunter2", nil, "carpool: DATABASE_URL isn't the URL of a Postgres database: "},
		{"DATABASE_URL=postgres://u:hunter2@h:x/d", nil, "carpool: DATABASE_URL can't be used: the port isn't a number from 1 to 65535"},
		{"BOOKS=postgres://u:hunter2@/d", []string{"--url", "BOOKS"}, "carpool: BOOKS can't be used: needs a host"},
		{"DATABASE_URL=postgres://u:hunter2@h/d", []string{"--url", "DATABASE_URL", "--url", "MORE"}, "carpool: MORE isn't set: "},
		{nowhere, []string{"--url", "postgres://u:hunter2@h/d"}, "carpool: --url wants the name of an environment variable"},
		{nowhere, []string{"--mode", "both"}, "carpool: --mode: pool_mode: expected one of"},
		{nowhere, []string{"--unix", "relative"}, "carpool: --unix: unix_socket_dir: "},
		{nowhere, []string{"--url-file", "/dev/null"}, "carpool: --url-file /dev/null: it isn't a regular file"},
		{nowhere, []string{"--share", "2"}, "carpool: --share: expected a share"},
		{nowhere, []string{"--share", ""}, "carpool: --share is empty"},
		{nowhere, []string{"--drain", "0s"}, "carpool: --drain and --url-interval must be greater than 0"},
		{nowhere, []string{"--drain", "soon"}, `carpool: invalid argument "soon" for "--drain" flag`},
		{nowhere, []string{"--keep", "DATABASE_URL"}, "carpool: --keep: DATABASE_URL is the variable that is to lead to carpool"},
		{nowhere + "?sslmode=verify-full&sslrootcert=/nonexist", nil, "carpool: DATABASE_URL: database d: server_tls_ca_file: open /nonexist: "},
		{"PGBOUNCER_URLS=A,B", nil, "carpool: PGBOUNCER_URLS: names are separated by blanks, not by commas"},
		{nowhere, []string{"--url-file", "/nowhere/url"}, "carpool: --url-file /nowhere/url: no such file or directory"},
		{nowhere, []string{"--url-command", "echo hunter2"}, "carpool: what --url-command says isn't the URL of a Postgres database: "},
		{nowhere, []string{"--url-command", "exit 3"}, "carpool: --url-command: exit status 3"},
		{nowhere, []string{"--url-command", "true"}, "carpool: --url-command: no URL is there"},
		{nowhere, []string{"--listen", "192.0.2.1:0"}, "carpool: listening on 192.0.2.1:0: cannot assign requested address; listen_addr is one of this machine's"},
		{"DATABASE_URL=postgres://u:12@34/hunter2@h/d", nil, "carpool: DATABASE_URL can't be used: database name: an @ in it is written %40"},
		{"CARPOOL_POOL_SIZE=many\n" + nowhere, nil, "carpool: CARPOOL_POOL_SIZE: default_pool_size: expected"},
		{"CARPOOL_ENABLED=maybe\n" + nowhere, nil, "carpool: CARPOOL_ENABLED: expected one of 1, true"},
	} {
		status, stdout, stderr := runHere(strings.Split(row.environ, "\n"), append(append([]string{"exec"}, row.args...), "--", "/bin/echo", "started")...)
		if status != 1 || !strings.HasPrefix(stderr, row.want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s %v: status %d, %s%s", row.environ, row.args, status, stdout, stderr)
		}
		if strings.Contains(stderr, "hunter2") {
			t.Errorf("%s %v: the password is shown: %s", row.environ, row.args, stderr)
		}
	}
}

func TestExecUsage(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"", "nothing to run"},
		{"--share 1/8 --pool-size 2 -- true", "--share and --pool-size exclude each other"},
		{"--url-file a --url-command b -- true", "--url-file and --url-command exclude each other"},
		{"--poolsize 1 -- true", "--poolsize"},
	} {
		status, _, stderr := runHere([]string{nowhere}, append([]string{"exec"}, strings.Fields(row.args)...)...)
		if status != exitUsage || !strings.Contains(stderr, row.want) {
			t.Errorf("%s: status %d, %s", row.args, status, stderr)
		}
	}
}

func TestExecExplains(t *testing.T) {
	status, stdout, stderr := runHere([]string{nowhere + "?sslmode=require", "PGHOST=127.0.0.1", "PGPORT=1", "PGPASSWORD=hunter2"},
		"exec", "--explain", "--keep-direct", "--mode", "session", "--pool-size", "3", "--", "psql", "postgres://u:hunter2@h/d")
	if status != 0 || stderr != "" || strings.Contains(stdout, "hunter2") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	_, listening, _ := runHere([]string{nowhere}, "exec", "--explain", "--listen", "[::1]")
	stdout += listening
	for _, want := range []string{
		"  pool_mode = session (--mode)\n", "  default_pool_size = 3 (--pool-size)\n", "listen on ::1, a free port",
		"DATABASE_URL is u@127.0.0.1:1/d, sslmode require.\n", "3 and 1 in reserve, in session mode", "a free port",
		"  DATABASE_URL=postgres://u:PASSWORD@127.0.0.1:PORT/d\n", "  PGPASSWORD=PASSWORD\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestExecWithoutPool(t *testing.T) {
	for _, row := range []struct {
		environ string
		flags   []string
	}{
		{"A=1", []string{"--no-pool"}},
		{"CARPOOL_ENABLED=0", nil},
		{"PGBOUNCER_ENABLED=false", nil},
	} {
		p := start(t, []string{nowhere, row.environ}, append(append([]string{"exec"}, row.flags...), "--", "env")...)
		status := p.wait()
		want := "PATH=" + os.Getenv("PATH") + "\n" + nowhere + "\n" + row.environ + "\n"
		if status != 0 || p.stdout.String() != want || p.stderr.String() != "" {
			t.Errorf("%v: status %d, environment\n%s%s", row, status, p.stdout, p.stderr)
		}
	}
}

// The command's environment, as the system knows it, has the real password nowhere, unless that is asked for.
func TestExecKeepsThePassword(t *testing.T) {
	environ := []string{nowhere, "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d", "RED_URL=postgres://u:hunter2@127.0.0.1:1/d", "PGHOST=127.0.0.1", "PGPORT=1", "PGPASSWORD=hunter2"}
	p := start(t, environ, "exec", "--", "cat", "/proc/self/environ")
	if status := p.wait(); status != 0 || strings.Contains(p.stdout.String(), "hunter2") || strings.Contains(p.stderr.String(), "hunter2") {
		t.Errorf("status %d: %q %s", status, p.stdout, p.stderr)
	}
	if entries := "\x00" + p.stdout.String(); strings.Count(entries, "\x00DATABASE_URL=") != 1 || strings.Count(entries, "\x00PGPASSWORD=") != 1 {
		t.Errorf("the environment is %q", entries)
	}
	p = start(t, environ, "exec", "--keep-direct", "--", "sh", "-c", "echo $DATABASE_URL_DIRECT")
	if status := p.wait(); status != 0 || p.stdout.String() != "postgres://u:hunter2@127.0.0.1:1/d\n" {
		t.Errorf("status %d: %s", status, p.stdout)
	}
}

// One line is all that is said when nothing goes wrong, and nothing but the command speaks on stdout.
func TestExecIsQuiet(t *testing.T) {
	p := start(t, []string{nowhere}, "exec", "--", "echo", "hello")
	if status := p.wait(); status != 0 || p.stdout.String() != "hello\n" {
		t.Errorf("status %d: %s", status, p.stdout)
	}
	if said := p.stderr.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, `msg="pooling DATABASE_URL" server=u@127.0.0.1:1/d server_connections="1 and 1 in reserve" mode=transaction`) {
		t.Errorf("said:\n%s", said)
	}
}

// If the pooler can't start, neither does the command.
func TestExecWithoutAPlaceToListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	started := filepath.Join(t.TempDir(), "started")
	for _, flags := range [][]string{{"--listen", taken.Addr().String()}, {"--unix", "/nowhere"}, {"--metrics", taken.Addr().String()}} {
		p := start(t, []string{nowhere}, append(append([]string{"exec"}, flags...), "--", "touch", started)...)
		if status := p.wait(); status != 1 || strings.Count(p.stderr.String(), "\n") != 1 {
			t.Errorf("%v: status %d, %s", flags, status, p.stderr)
		}
		if _, err := os.Stat(started); err == nil {
			t.Fatalf("%v: the command was started", flags)
		}
	}
}

// A signal that came to carpool alone comes to the command.
func TestExecForwardsSignals(t *testing.T) {
	for _, row := range []struct {
		sig  syscall.Signal
		name string
	}{{syscall.SIGTERM, "TERM"}, {syscall.SIGINT, "INT"}, {syscall.SIGHUP, "HUP"}, {syscall.SIGUSR1, "USR1"}, {syscall.SIGUSR2, "USR2"}, {syscall.SIGQUIT, "QUIT"}, {syscall.SIGWINCH, "WINCH"}} {
		p := start(t, []string{nowhere}, "exec", "--", "sh", "-c", "trap 'echo got; exit 9' "+row.name+"; echo ready; while :; do sleep 0.05; done")
		p.await("ready")
		p.signal(row.sig)
		if status := p.wait(); status != 9 || strings.Count(p.stdout.String(), "got") != 1 {
			t.Errorf("%s: status %d, %s", row.name, status, p.stdout)
		}
	}
}
