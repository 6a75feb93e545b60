package main

import (
	"os"
	"regexp"
	"strconv"
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
