package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// openDir is a directory that everybody may enter, which one of t.TempDir isn't.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carpool-life-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// daemon is a carpool in the background.
type daemon struct {
	t   *testing.T
	dir string // with carpool.ini, carpool.pid, carpool.log and the socket
}

// newDaemon writes what one is started with.
func newDaemon(t *testing.T, port, rest string) daemon {
	t.Helper()
	d := daemon{t, openDir(t)}
	place(t, d.path("carpool.ini"), fmt.Sprintf(`[databases]
app = host=%s port=%d user=app password=secret
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir = %[4]s
auth_type = any
pidfile = %[4]s/carpool.pid
logfile = %[4]s/carpool.log
shutdown_timeout = 4
pool_mode = transaction
%[5]s`, postgres.Host(), postgres.Port(), port, d.dir, rest))
	t.Cleanup(func() {
		if pid := d.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		if t.Failed() {
			content, _ := os.ReadFile(d.path("carpool.log"))
			t.Logf("the log:\n%s", content)
		}
	})
	return d
}

func (d daemon) path(name string) string { return filepath.Join(d.dir, name) }

// pid is the process in the pidfile, 0 if there is none.
func (d daemon) pid() int {
	pid, _ := readPIDFile(d.path("carpool.pid"))
	return pid
}

// start starts it, and returns when the program does.
func (d daemon) start(flags ...string) *process {
	d.t.Helper()
	p := start(d.t, nil, append(flags, d.path("carpool.ini"))...)
	if status := p.wait(); status != exitOK {
		d.t.Fatalf("status %d, %s", status, p.stderr)
	}
	return p
}

// ended waits until a process is gone.
func (d daemon) ended(pid int) {
	d.t.Helper()
	eventually(d.t, "the process has ended", func() bool { return syscall.Kill(pid, 0) != nil })
}

// url reaches it by TCP, or by its Unix socket.
func (d daemon) url(port string, unix bool) string {
	if unix {
		return "postgres:///app?user=app&port=" + port + "&host=" + d.dir
	}
	return "postgres://app@127.0.0.1:" + port + "/app?sslmode=disable"
}

// With -d the program returns when clients get in, and there is a process in a
// session of its own; it reopens its log, and removes what it has made.
func TestDaemon(t *testing.T) {
	port := freePort(t)
	d := newDaemon(t, port, "")
	p := d.start("-d")
	conn, err := dial(d.url(port, false))
	if err != nil {
		t.Fatalf("it is said to be ready: %v", err)
	}
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	pid := d.pid()
	if session, err := syscall.Getpgid(pid); err != nil || session != pid || pid == p.cmd.Process.Pid {
		t.Errorf("process %d is of group %d, %v; the program was %d", pid, session, err, p.cmd.Process.Pid)
	}
	if p.stderr.String() != "" || p.stdout.String() != "" {
		t.Errorf("something is on stdout or stderr: %s%s", p.stdout, p.stderr)
	}

	// There can't be another one, and who asks for it is told why.
	second := start(t, nil, "serve", "-d", d.path("carpool.ini"))
	if status := second.wait(); status != exitFailure || !strings.Contains(second.stderr.String(), "is carpool running already?") {
		t.Errorf("a second one: status %d, %s", status, second.stderr)
	}
	second = start(t, nil, "serve", "-d", "--set=pidfile="+d.path("other.pid"), d.path("carpool.ini"))
	if status := second.wait(); status != exitFailure || !strings.Contains(second.stderr.String(), "127.0.0.1:"+port+": address already in use") {
		t.Errorf("another one on the same port: status %d, %s", status, second.stderr)
	}
	if _, err := os.Stat(d.path("other.pid")); err == nil {
		t.Error("the pidfile of what didn't start is there")
	}

	move(t, d.path("carpool.log"), d.path("carpool.log.1"))
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log is opened anew", func() bool {
		content, _ := os.ReadFile(d.path("carpool.log"))
		return strings.Contains(string(content), "msg=reloaded")
	})
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.ended(pid)
	for _, name := range []string{"carpool.pid", ".s.PGSQL." + port} {
		if _, err := os.Stat(d.path(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// With -u, or the setting, everything is the user's from the beginning, so that
// a reload can open it again. Only root can become somebody else.
func TestBecomeUser(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	d := newDaemon(t, port, "")
	if me.Uid != "0" {
		d.start("-d", "-u", me.Username)
		p := start(t, nil, "-u", "root", d.path("carpool.ini"))
		if status := p.wait(); status != exitFailure || !strings.Contains(p.stderr.String(), "only root can become another user") {
			t.Errorf("status %d, %s", status, p.stderr)
		}
		return
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	p := start(t, nil, "-u", "nobody", d.path("carpool.ini"))
	if status := p.wait(); status != exitFailure || !strings.Contains(p.stderr.String(), "logfile: open "+d.path("carpool.log")+": permission denied") {
		t.Errorf("in a directory of root's: status %d, %s", status, p.stderr)
	}
	if err := os.Chown(d.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	d.start("-d", "-u", "nobody")
	for _, name := range []string{"carpool.pid", "carpool.log", ".s.PGSQL." + port, fmt.Sprintf("/proc/%d", d.pid())} {
		if !filepath.IsAbs(name) {
			name = d.path(name)
		}
		about, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if owner := about.Sys().(*syscall.Stat_t); int(owner.Uid) != uid || int(owner.Gid) != gid {
			t.Errorf("%s belongs to %d:%d", name, owner.Uid, owner.Gid)
		}
	}
	status := string(mustReadFile(t, fmt.Sprintf("/proc/%d/status", d.pid())))
	for _, line := range []string{"Uid", "Gid"} {
		_, rest, _ := strings.Cut(status, line+":")
		for _, id := range strings.Fields(strings.SplitN(rest, "\n", 2)[0]) {
			if id != nobody.Uid && id != nobody.Gid {
				t.Errorf("%s is %s", line, id)
			}
		}
	}
	if _, rest, _ := strings.Cut(status, "Groups:"); strings.Contains(" "+strings.SplitN(rest, "\n", 2)[0]+" ", " 0 ") {
		t.Error("it is in root's group")
	}
	conn, err := dial(d.url(port, true))
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	// Its configuration is root's, and nobody else's to read: that is said.
	if log := string(mustReadFile(t, d.path("carpool.log"))); !strings.Contains(log, "a reload won't be possible") || strings.Contains(log, "running as root") {
		t.Error("the log says nothing of a file that can't be read again")
	}
	if err := os.Chmod(d.path("carpool.ini"), 0o644); err != nil {
		t.Fatal(err)
	}
	move(t, d.path("carpool.log"), d.path("carpool.log.1"))
	if err := syscall.Kill(d.pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log is opened anew", func() bool {
		content, _ := os.ReadFile(d.path("carpool.log"))
		return strings.Contains(string(content), "msg=reloaded")
	})
	pid := d.pid()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.ended(pid)
	if _, err := os.Stat(d.path("carpool.pid")); err == nil {
		t.Error("the pidfile is still there")
	}
}
