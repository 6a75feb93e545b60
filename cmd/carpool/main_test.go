package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var (
	postgres *pgserver.Server // with the role and database "app", password "secret"
	binary   string           // carpool itself
)

func TestMain(m *testing.M) {
	if signal.Ignored(syscall.SIGHUP) { // as under nohup; what is caught here isn't ignored by those who are started
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "carpool-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "carpool")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building carpool: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m, pgserver.Options{
		Roles: []pgserver.Role{{Name: "app", Password: "secret"}}, Databases: []string{"app"},
	}, func(s *pgserver.Server) { postgres = s })
}

// patience bounds everything that a test waits for.
const patience = 30 * time.Second

// transcript is what a program has written so far; somebody may wait for more.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed at the next Write, and then replaced
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

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

func (o *transcript) String() string {
	text, _ := o.read()
	return text
}

// process is a running carpool, as a program of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *transcript
	stderr *transcript
	ended  chan struct{} // closed when it has ended
}

// start runs the program with nothing in its environment but what is given.
// The test's end kills it, if nothing else has.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return startCommand(t, environ, binary, args...)
}

// startCommand is start for a program that starts ours.
func startCommand(t *testing.T, environ []string, program string, args ...string) *process {
	t.Helper()
	p := prepare(t, environ, program, args...)
	p.run()
	return p
}

// prepare is startCommand for what is yet to be run.
func prepare(t *testing.T, environ []string, program string, args ...string) *process {
	p := &process{t: t, cmd: exec.Command(program, args...), stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	return p
}

// run starts what was prepared.
func (p *process) run() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the status is in ProcessState
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("stdout of %v:\n%s\nstderr:\n%s", p.cmd.Args[1:], p.stdout, p.stderr)
		}
	})
}

// await waits until the program has written something on stdout or stderr, and
// returns what follows it on the line.
func (p *process) await(text string) string {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for over := false; ; {
		out, outGrown := p.stdout.read()
		problems, problemsGrown := p.stderr.read()
		for _, written := range []string{out, problems} {
			if _, rest, found := strings.Cut(written, text); found {
				if line, _, whole := strings.Cut(rest, "\n"); whole {
					return line
				}
			}
		}
		if over {
			p.t.Fatalf("it ended without a word of %q", text)
		}
		select {
		case <-outGrown:
		case <-problemsGrown:
		case <-p.ended:
			over = true // look once more
		case <-timeout.C:
			p.t.Fatalf("no %q within %s", text, patience)
		}
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end and returns the status, -1 for a signal's.
func (p *process) wait() int {
	p.t.Helper()
	return p.waitFor(patience)
}

func (p *process) waitFor(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatal("it didn't end")
	}
	return p.cmd.ProcessState.ExitCode()
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

// runHere runs a command line in this process, to its end.
func runHere(environ []string, args ...string) (status int, stdout, stderr string) {
	var out, problems bytes.Buffer
	status = run(&program{args: args, environ: environ, signals: make(chan os.Signal), stdout: &out, stderr: &problems})
	return status, out.String(), problems.String()
}

// write makes a file and returns its name.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
