package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const soundFile = `[databases]
books = host=10.0.0.5 user=app password=hunter2 pool_size=3
[pgbouncer]
listen_addr = 127.0.0.1
auth_type = scram-sha-256
auth_file = users.txt
default_pool_size = 7
`

func TestCheckPrintsWhatTheFileAmountsTo(t *testing.T) {
	file := write(t, t.TempDir(), "carpool.ini", soundFile+"conffile = pgbouncer.ini\n")
	status, stdout, stderr := runHere([]string{"CARPOOL_MAX_CLIENT_CONN=500"}, "check", file, "--pool-mode", "statement")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{
		"\ndefault_pool_size = 7\n", "\nmax_client_conn = 500\n", "\npool_mode = statement\n", "\nlisten_addr = 127.0.0.1\n",
		"\nbooks = host=10.0.0.5 user=app password=***** pool_size=3\n", "\n;listen_port = 6432\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no line %q", want)
		}
	}
	if strings.Contains(stdout+stderr, "hunter2") {
		t.Error("a password is shown")
	}
	if !strings.Contains(stderr, "warning: "+file+":8: conffile") {
		t.Errorf("no warning about conffile: %s", stderr)
	}
	if t.Failed() {
		t.Log(stdout)
	}
	// What is printed is a configuration file again.
	again := write(t, t.TempDir(), "again.ini", stdout)
	if status, second, stderr := runHere(nil, "check", again); status != 0 || second != stdout {
		t.Errorf("status %d, %s:\n%s", status, stderr, second)
	}
}

func TestCheckPrintsAllProblems(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "carpool.ini", `[databases]
books = host=10.0.0.5 prot=5433
[pgbouncer]
pool_mode = transacton
default_pool_size = many
client_tls_sslmode = require
`)
	status, stdout, stderr := runHere([]string{"CARPOOL_MAX_CLIENT_CON=1", "CARPOOL_LISTEN_PORT=x"},
		"check", file, "--set", "pool_size=1", "--set", "nonsense", "--pool-size", "-5", "--listen", "x:y:z")
	if status != 1 || stdout != "" {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
	for _, want := range []string{
		file + ":2: ", "did you mean port?", file + ":4: pool_mode:", file + ":5: default_pool_size:", file + ":6: client_tls_sslmode:",
		"CARPOOL_MAX_CLIENT_CON: ", "did you mean CARPOOL_MAX_CLIENT_CONN?", "CARPOOL_LISTEN_PORT: listen_port:",
		`--set: unknown setting "pool_size"`, `--set: expected name=value, not "nonsense"`, "--pool-size: default_pool_size:", `"x:y:z"`,
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no problem %q", want)
		}
	}
	if t.Failed() {
		t.Log(stderr)
	}
}

func TestCheckOfADatabaseURL(t *testing.T) {
	status, stdout, stderr := runHere([]string{"DATABASE_URL=postgres://app:hunter2@db.example/books?sslmode=require"}, "check")
	if status != 0 || !strings.Contains(stdout, "\n* = host=db.example") || !strings.Contains(stdout, "sslmode=require") {
		t.Errorf("status %d, %s\n%s", status, stderr, stdout)
	}
	if strings.Contains(stdout+stderr, "hunter2") {
		t.Error("a password is shown")
	}
	status, _, stderr = runHere([]string{"DATABASE_URL=postgres://app:hun/ter2@db.example:x/books", "CARPOOL_POOL_MODE=x"}, "check")
	if status != 1 || strings.Contains(stderr, "ter2") || !strings.Contains(stderr, "DATABASE_URL: ") || !strings.Contains(stderr, "CARPOOL_POOL_MODE: ") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// An unwritable output is a failure, not a crash and not a success.
func TestCheckIntoAFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil { // not on every system: a closed file will do
		if full, err = os.Create(filepath.Join(t.TempDir(), "closed")); err != nil {
			t.Fatal(err)
		}
		_ = full.Close()
	}
	defer full.Close()
	file := write(t, t.TempDir(), "carpool.ini", soundFile)
	problems := newTranscript()
	status := run(&program{args: []string{"check", file}, signals: make(chan os.Signal), stdout: full, stderr: problems})
	if status != 1 || !strings.Contains(problems.String(), "carpool: ") {
		t.Errorf("status %d: %s", status, problems)
	}
}

// What carpool wouldn't start with isn't sound, whichever file it stands in. A
// file that isn't where the check is made may be where carpool is to run.
func TestCheckReadsTheFilesThatAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "carpool.ini", "[databases]\nbooks = host=10.0.0.5\n[pgbouncer]\nauth_type = hba\n"+
		"auth_file = "+filepath.Join(dir, "users.txt")+"\nauth_hba_file = "+filepath.Join(dir, "hba.conf")+"\n")
	for _, one := range []struct {
		users, hba string
		status     int
		want       []string
	}{
		{"", "", 0, []string{"warning: " + file + ":5: auth_file: open ", "hba.conf: no such file"}},
		{"\"app\" \"hunter2\"\n", "host all all 10.0.0.0/8 scram-sha-256\n", 0, nil},
		{"\"app\" hunter2\n", "host all all 10.0.0.0/8 scram\n", 1, []string{"users.txt:1: ", "hba.conf:1: "}},
	} {
		if one.users != "" {
			write(t, dir, "users.txt", one.users)
			write(t, dir, "hba.conf", one.hba)
		}
		status, stdout, stderr := runHere(nil, "check", file)
		if status != one.status || (stdout == "") != (one.status == 1) {
			t.Errorf("%q, %q: status %d: %s", one.users, one.hba, status, stderr)
		}
		if one.want == nil && stderr != "" || strings.Contains(stderr, "hunter2") {
			t.Errorf("%q, %q: %s", one.users, one.hba, stderr)
		}
		for _, want := range one.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q, %q: no %q in %s", one.users, one.hba, want, stderr)
			}
		}
	}
}
