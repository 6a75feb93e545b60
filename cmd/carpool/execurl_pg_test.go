package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Credentials are changed under a command that works: it doesn't notice.
func TestExecURLFile(t *testing.T) {
	server := remote(t)
	secret := newMountedSecret(t)
	secret.place(remoteURL(server, "hunter2", "sslmode=require"))
	p, _ := startInGroup(t, nil, "exec", "--url-file", secret.path(), "--pool-size", "2", "--", child(t), "load", "8")
	p.await("loading")
	// What can't be used is told and not used.
	secret.place("mysql://u:hunter2@h/d")
	p.await("can't be renewed")
	// As platforms do it: another role, and the one before loses its right to log in.
	previous := "app"
	for i := range 3 {
		role, password := fmt.Sprintf("app_%d", i), fmt.Sprintf("rotated%d", i)
		if err := server.Exec(t.Context(), "", "CREATE ROLE "+role+" LOGIN IN ROLE app PASSWORD '"+password+"'"); err != nil {
			t.Fatal(err)
		}
		secret.place(remoteURLAs(server, role, password, "sslmode=require"))
		eventually(t, "the new URL is in use", func() bool { return strings.Count(p.stderr.String(), "a new URL for DATABASE_URL is in use") == i+1 })
		if err := server.Exec(t.Context(), "", "ALTER ROLE "+previous+" NOLOGIN"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the old connections have ended", func() bool {
			n, err := server.Value(t.Context(), "", "SELECT count(*) FROM pg_stat_activity WHERE usename = '"+previous+"'")
			return err == nil && n == "0"
		})
		previous = role
	}
	if strings.Contains(p.stderr.String(), "another database") {
		t.Errorf("another role isn't another database: %s", p.stderr)
	}
	secret.place(strings.Replace(remoteURLAs(server, previous, "rotated2", "sslmode=require"), "/app?", "/postgres?", 1))
	if warning := p.await("leads to another database than the one before"); !strings.Contains(warning, "/postgres before=") {
		t.Errorf("warned of %s", warning)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	if ended := p.await("ended queries="); !strings.Contains(ended, " failed=0 ") {
		t.Errorf("ended with %s", ended)
	}
	if said := p.stderr.String(); strings.Contains(said, "hunter2") || strings.Contains(said, "rotated") {
		t.Errorf("a password is in the log:\n%s", said)
	}
}

// mountedSecret is a file as Kubernetes mounts secrets: a link into a directory that is a link, and that is replaced.
type mountedSecret struct {
	t        *testing.T
	dir      string
	versions int
}

func newMountedSecret(t *testing.T) *mountedSecret {
	t.Helper()
	s := &mountedSecret{t: t, dir: t.TempDir()}
	if err := os.Symlink("data/url", s.path()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *mountedSecret) path() string { return filepath.Join(s.dir, "url") }

func (s *mountedSecret) place(content string) {
	s.t.Helper()
	s.versions++
	version := fmt.Sprintf("version%d", s.versions)
	if err := os.Mkdir(filepath.Join(s.dir, version), 0o700); err != nil {
		s.t.Fatal(err)
	}
	write(s.t, filepath.Join(s.dir, version), "url", content+"\n")
	link := filepath.Join(s.dir, "next")
	if err := os.Symlink(version, link); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(s.dir, "data")); err != nil {
		s.t.Fatal(err)
	}
}

func TestExecURLCommand(t *testing.T) {
	server := remote(t)
	file := write(t, t.TempDir(), "password", "hunter2")
	command := "echo " + strings.Replace(remoteURL(server, "PASSWORD", "sslmode=require"), "PASSWORD", "$(cat "+file+")", 1)
	p, stdin := startInGroup(t, nil, "exec", "--url-command", command, "--url-interval", "50ms", "--set", "server_lifetime=0", "--", child(t), "stay", "SELECT 'x'")
	p.await("staying")
	fmt.Fprintln(stdin)
	p.await("value x")
	if err := server.Exec(t.Context(), "", "ALTER ROLE app PASSWORD 'rotated'"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("rotated"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.await("a new URL for DATABASE_URL is in use")
	fmt.Fprintln(stdin)
	eventually(t, "the new password works", func() bool { return strings.Count(p.stdout.String(), "value x") == 2 })
	if err := stdin.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}
