package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// demoDir is a directory for the demo's temporary files that every user can
// reach, as Postgres may run as another one.
func demoDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carpool-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// postmaster is the process id of the Postgres in a directory, 0 if there is
// none.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "data", "postmaster.pid"))
	if err != nil || len(files) != 1 {
		return 0
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// nothingLeft checks that a demo has cleaned up.
func nothingLeft(t *testing.T, dir string, postgres int) {
	t.Helper()
	if postgres == 0 {
		t.Error("no Postgres was found while the demo ran")
	} else if err := syscall.Kill(postgres, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the demo's Postgres, process %d, still runs", postgres)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestDemo(t *testing.T) {
	dir := demoDir(t)
	p := start(t, []string{"TMPDIR=" + dir}, "demo", "--clients", "40", "--pool-size", "4", "--duration", "1s")
	p.await("carpool listens on ")
	pid := postmaster(t, dir)
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	nothingLeft(t, dir, pid)
	out := p.stdout.String()
	for _, want := range []string{
		`through carpool +straight to Postgres\n`,
		`\n +clients +40 +40\n`,
		`\n +server connections at peak +4 +40\n`,
		`\n +transactions a second +[1-9][0-9,]* +[1-9][0-9,]*\n`,
		`\n +latency, 99 % `,
		`\n +errors +0 +0\n`,
		`postgres://demo:demo@127\.0\.0\.1:[0-9]+/demo\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the summary has no %s", want)
		}
	}
	if progress := p.stderr.String(); !strings.Contains(progress, "through carpool: connecting 40 clients") {
		t.Errorf("no progress is shown: %s", progress)
	}
}

// With --keep everything is left up until Ctrl-C, which is how it is meant to
// end: status 0.
func TestDemoKeeps(t *testing.T) {
	dir := demoDir(t)
	p := start(t, []string{"TMPDIR=" + dir}, "demo", "--clients", "5", "--pool-size", "2", "--duration", "200ms", "--keep")
	address := p.await("carpool listens on ")
	address, _, _ = strings.Cut(address, " ")
	p.await("-c 'SHOW POOLS'")
	pid := postmaster(t, dir)
	conn, err := dial("postgres://demo:demo@" + address + "/demo?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if got := mustQuery(t, conn, "SELECT count(*) FROM items"); got != "10000" {
		t.Errorf("%s items", got)
	}
	p.signal(syscall.SIGINT)
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	nothingLeft(t, dir, pid)
}

// Ctrl-C, or the end of a terminal, at any moment leaves nothing behind.
func TestDemoInterrupted(t *testing.T) {
	for _, row := range []struct {
		when string
		sig  syscall.Signal
	}{
		{"through carpool: connecting", syscall.SIGINT},
		{"straight to Postgres: connecting", syscall.SIGTERM},
		{"carpool listens on", syscall.SIGHUP},
	} {
		t.Run(row.when, func(t *testing.T) {
			dir := demoDir(t)
			p := start(t, []string{"TMPDIR=" + dir}, "demo", "--clients", "10", "--duration", "2s", "--keep")
			p.await(row.when)
			pid := postmaster(t, dir)
			p.signal(row.sig)
			if status := p.wait(); status != exitCanceled {
				t.Errorf("status %d, want %d", status, exitCanceled)
			}
			nothingLeft(t, dir, pid)
		})
	}
	t.Run("while Postgres is made", func(t *testing.T) {
		dir := demoDir(t)
		p := start(t, []string{"TMPDIR=" + dir}, "demo")
		p.await("Starting a private Postgres")
		p.signal(syscall.SIGINT)
		if status := p.wait(); status != exitCanceled {
			t.Errorf("status %d, want %d", status, exitCanceled)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("left behind: %v %v", entries, err)
		}
	})
}

func TestDemoWithoutPostgres(t *testing.T) {
	dir := demoDir(t)
	p := start(t, []string{"TMPDIR=" + dir, "CARPOOL_PGBIN=" + dir}, "demo")
	if status := p.wait(); status != 1 || !strings.Contains(p.stderr.String(), "CARPOOL_PGBIN") {
		t.Errorf("status %d: %s", status, p.stderr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
