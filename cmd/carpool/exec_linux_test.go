package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The command's signals are as without carpool: none more is ignored or blocked.
func TestExecLeavesSignalsAlone(t *testing.T) {
	plain := startCommand(t, nil, "grep", "-E", "SigIgn|SigBlk", "/proc/self/status")
	if status := plain.wait(); status != 0 {
		t.Fatalf("grep alone: status %d", status)
	}
	want := plain.stdout.String()
	for _, flags := range [][]string{{"exec"}, {"exec", "--no-pool"}} {
		p := start(t, []string{nowhere}, append(flags, "--", "grep", "-E", "SigIgn|SigBlk", "/proc/self/status")...)
		if status := p.wait(); status != 0 || p.stdout.String() != want {
			t.Errorf("%v: status %d\n%s\nwant %s", flags, status, p.stdout, want)
		}
	}
}

// What the shell above ignores stays ignored, with a pool and without, and so does what systemd ignores.
func TestExecLeavesIgnoredSignalsIgnored(t *testing.T) {
	look := []string{"grep", "SigIgn", "/proc/self/status"}
	under := func(prefix ...string) string {
		t.Helper()
		p := startCommand(t, []string{nowhere}, "/bin/sh", append([]string{"-c", `trap "" HUP PIPE; "$@"; exit $?`, "sh"}, append(prefix, look...)...)...)
		if status := p.wait(); status != 0 {
			t.Fatalf("%v: status %d", prefix, status)
		}
		return p.stdout.String()
	}
	want := under()
	if ignored(t, want)&0x1001 != 0x1001 { // others may be inherited from whoever runs the test
		t.Fatalf("the shell gives %s", want)
	}
	for _, flags := range [][]string{{binary, "exec", "--"}, {binary, "exec", "--no-pool", "--"}} {
		if got := under(flags...); got != want {
			t.Errorf("%v: %s, want %s", flags, got, want)
		}
	}
	systemd := `trap "" PIPE; SYSTEMD_EXEC_PID=$$ exec "$@"`
	for _, flags := range [][]string{{"exec", "--"}, {"exec", "--no-pool", "--"}} {
		p := startCommand(t, []string{nowhere}, "/bin/sh", append([]string{"-c", systemd, "sh", binary}, append(flags, look...)...)...)
		if status := p.wait(); status != 0 || ignored(t, p.stdout.String())&0x1000 == 0 {
			t.Errorf("%v: status %d, %s", flags, status, p.stdout)
		}
	}
}

// ignored is the set of signals in a line of /proc/PID/status.
func ignored(t *testing.T, line string) uint64 {
	t.Helper()
	_, digits, _ := strings.Cut(line, ":")
	set, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return set
}

// The command, which is another process of the same user, can't read the URL from carpool's own environment or memory.
func TestExecHidesItsEnvironment(t *testing.T) {
	program := filepath.Join(t.TempDir(), "carpool")
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `for f in environ maps mem fd/0; do cat /proc/$PPID/$f >/dev/null 2>&1 && echo "$f can be read"; done; echo done`
	cmd := exec.Command(program, "exec", "--", "sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), nowhere}
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		// Nothing is hidden from root. Nobody may enter the folder of a test but by its name.
		for dir := filepath.Dir(program); dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// A dyno has little memory, and it is the application's.
func TestExecStaysSmall(t *testing.T) {
	const limit = 20 << 10 // kB
	for _, mode := range []string{"disable", "require"} {
		p, _ := startInGroup(t, []string{"DATABASE_URL=" + postgres.URL("app", "app"), "PGSSLMODE=" + mode}, "exec",
			"--set", "server_tls_sslmode=disable", "--", child(t), "hold", "50")
		p.await("holding")
		resident := 0
		eventually(t, "carpool with 50 clients takes less than 20 MB", func() bool {
			status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
			if err != nil {
				t.Fatal(err)
			}
			resident, err = strconv.Atoi(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
			if err != nil {
				t.Fatal(err)
			}
			return resident < limit
		})
		t.Logf("sslmode %s: %d kB resident", mode, resident)
	}
}
