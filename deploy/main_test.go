// Package deploy_test runs what lies in this folder as the platforms run it.
package deploy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/deploy/procfile"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	postgres *pgserver.Server // as small as the smallest plans: maxConnections
	binary   string           // carpool itself, built as for a release
)

const (
	// patience bounds everything that a test waits for.
	patience = 60 * time.Second
	// maxConnections is what the smallest plans of Heroku and others have.
	maxConnections = 20
	role           = "books"
	// password has characters that mean something in a URL.
	password = "p@ss/w:rd%?#"
)

// path is where a dyno's programs are: the Python that has the system's packages comes first.
const path = "/usr/bin:/bin"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "carpool-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "carpool")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/carpool")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building carpool: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m, pgserver.Options{
		MaxConnections: maxConnections,
		TLS:            true,
		Roles:          []pgserver.Role{{Name: role, Password: password}},
		// Like a platform's database: nobody gets in without TLS and a password.
		HBA: []string{
			"hostssl all " + role + " 127.0.0.1/32 scram-sha-256",
			"host all " + role + " all reject",
		},
	}, func(s *pgserver.Server) { postgres = s })
}

// database makes an empty database and returns the URL that a platform would put into DATABASE_URL.
func database(t *testing.T, name string) string {
	t.Helper()
	sql(t, "", "CREATE DATABASE "+name+" OWNER "+role)
	t.Cleanup(func() { sql(t, "", "DROP DATABASE "+name+" WITH (FORCE)") })
	return databaseURL(postgres.Address(), name, "require")
}

func databaseURL(address, name, sslmode string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Host: address, Path: "/" + name, RawQuery: "sslmode=" + sslmode}
	return u.String()
}

// userThrough logs in to a carpool that clients come to with the server's own password, and asks the server who we are.
func userThrough(t *testing.T, address, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, databaseURL(address, name, "disable"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.Exec(ctx, "SELECT current_user").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return string(results[0].Rows[0][0])
}

// sql runs statements as the superuser.
func sql(t *testing.T, database, statements string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := postgres.Exec(ctx, database, statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func value(t *testing.T, database, statement string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := postgres.Value(ctx, database, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return got
}

// noConnections waits until the server has no connection of the role any more.
func noConnections(t *testing.T) {
	t.Helper()
	eventually(t, "no connection is left on the server", func() bool {
		return value(t, "", "SELECT count(*) FROM pg_stat_activity WHERE usename = '"+role+"'") == "0"
	})
}

// eventually waits until something holds that nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !holds() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// transcript is what a process has written so far; somebody may wait for more.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed at the next Write, and then replaced
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(b)
}

func (o *transcript) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.grown
}

// dyno is a running line of a Procfile with what it has written.
type dyno struct {
	*procfile.Dyno
	t      *testing.T
	name   string
	output *transcript
}

// start runs a command line as a dyno in an app's directory. The test's end kills what is left of it.
func start(t *testing.T, dir, name, command string, environ ...string) *dyno {
	t.Helper()
	d := &dyno{t: t, name: name, output: &transcript{grown: make(chan struct{})}}
	var err error
	d.Dyno, err = procfile.Start(command, procfile.Place{
		Dir: dir, Environ: append([]string{"PATH=" + path, "DYNO=" + name + ".1"}, environ...), Output: d.output,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.broadcast(syscall.SIGKILL)
		d.allEnded(patience)
		if t.Failed() {
			text, _ := d.output.read()
			t.Logf("the %s dyno wrote:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	return d
}

func (d *dyno) broadcast(signal syscall.Signal) {
	d.t.Helper()
	if err := d.Broadcast(signal); err != nil {
		d.t.Error(err)
	}
}

// terminate sends SIGTERM to all processes, and again: a platform may.
func (d *dyno) terminate() {
	d.t.Helper()
	for range 3 {
		d.broadcast(syscall.SIGTERM)
	}
}

// allEnded waits for the end of all processes, and returns the first one's status.
func (d *dyno) allEnded(limit time.Duration) int {
	d.t.Helper()
	select {
	case <-d.AllEnded():
	case <-time.After(limit):
		d.t.Fatalf("the %s dyno has processes after %s", d.name, limit)
	}
	return d.Status()
}

// await waits until the dyno has written a text that many times.
func (d *dyno) await(text string, times int) {
	d.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for over := false; ; {
		written, grown := d.output.read()
		if strings.Count(written, text) >= times {
			return
		}
		if over {
			d.t.Fatalf("the %s dyno ended with status %d, and %d of %d times %q", d.name, d.Status(), strings.Count(written, text), times, text)
		}
		select {
		case <-grown:
		case <-d.AllEnded():
			over = true // look once more
		case <-timeout.C:
			d.t.Fatalf("the %s dyno didn't write %q %d times within %s", d.name, text, times, patience)
		}
	}
}

// run runs a program with only the given environment, as platforms run the programs of a buildpack, and returns its status
// and what it wrote on both outputs.
func run(t *testing.T, environ []string, program string, args ...string) (status int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = t.TempDir(), environ
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", program, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// copyTree copies the files of a directory, with their modes, into another that may exist.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "__pycache__" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		}
		return copyFile(name, filepath.Join(to, relative))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	about, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, about.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	_, err = io.Copy(out, in)
	return err
}

func mustWrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := pgserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(port)
}

// local is the address of a port of this machine.
func local(port string) string { return net.JoinHostPort("127.0.0.1", port) }
