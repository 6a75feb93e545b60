package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A fresh process is small, with metrics and a first client as well.
func TestFreshProcessIsSmall(t *testing.T) {
	const limit = 20 << 10 // kB
	for _, extra := range []string{"--quiet=false", "--set=metrics_listen=127.0.0.1:0"} {
		p, address := serve(t, ownURL(), "serve", extra)
		mustQuery(t, mustConnect(t, address), "SELECT 1")
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(status), "VmRSS:")
		var size int
		if _, err := fmt.Sscanf(rest, "%d kB", &size); !found || err != nil {
			t.Fatalf("no memory in %s", status)
		}
		t.Logf("%s: %d kB", extra, size)
		if size > limit {
			t.Errorf("%s: %d kB are more than %d", extra, size, limit)
		}
	}
}
