package supervise

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// shell is a command in a session of its own.
func shell(script string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		script string
		want   int
	}{
		{"exit 0", 0},
		{"exit 1", 1},
		{"exit 7", 7},
		{"exit 255", 255},
		{"kill -TERM $$", 143},
		{"kill -KILL $$", 137},
		{"kill -SEGV $$", 139},
		{"sleep 0.01 & exit 3", 3}, // what is left behind doesn't count
		{"(exit 9) & wait; exit 4", 4},
	} {
		r := startSupervisor(t, "--", "sh", "-c", row.script)
		if got := r.status(t); got != row.want {
			t.Errorf("%s: status %d, want %d", row.script, got, row.want)
		}
	}
	for _, row := range []struct {
		command string
		want    int
	}{{"no-such-command", 127}, {"/no/such/file", 127}, {"/etc/passwd", 126}, {"/", 126}} {
		r := startSupervisor(t, "--", row.command)
		if got := r.status(t); got != row.want {
			t.Errorf("%s: status %d, want %d", row.command, got, row.want)
		}
		if text := r.stderr.String(); strings.Count(text, "\n") != 1 {
			t.Errorf("%s: not one line: %q", row.command, text)
		}
	}
}

// The command has the very standard streams, descriptors, limits and signal
// dispositions that it would have without us.
func TestNothingIsAdded(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const look = `exec 2>/dev/null
readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/5
for n in 3 4 5 6 7 8 9; do if { true >&$n; } 2>/dev/null; then echo open $n; fi; done
ulimit -n; ulimit -c; umask; pwd
env | grep -v '^_=' | sort | cksum
exec grep -E 'Sig(Blk|Ign)|NoNewPrivs|Seccomp:' /proc/self/status`
	run := func(prefix ...string) string {
		t.Helper()
		// The soft limit is below the hard one, which the Go runtime raises.
		cmd := shell(`ulimit -S -n 777; umask 027; cd /tmp; exec "$@" 5</dev/null`, append(prefix, "/bin/sh", "-c", look)...)
		cmd.Stdin = os.Stdin
		out, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), out.Name(), "OUT")
	}
	without, with := run(), run(self, "supervisor", "--")
	if with != without {
		t.Errorf("with us:\n%s\nwithout:\n%s", with, without)
	}
}
