package main

import (
	"fmt"
	"net"
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

// Whoever opens connections to the metrics without end keeps neither clients
// nor health checks out: descriptors are there for them.
func TestIdleVisitorsTakeNoRoom(t *testing.T) {
	const visitors = 200
	p := startCommand(t, ownURL(), "sh", "-c", `ulimit -n 150 && exec "$@"`, "sh", binary, "serve", "--port=0",
		"--set=metrics_listen=*:0", "--set=max_client_conn=20")
	address, _, _ := strings.Cut(p.await(`msg="listening on `), `"`)
	metrics, _, _ := strings.Cut(p.await(`msg="metrics on http://`), "/")
	_, port, err := net.SplitHostPort(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for range visitors {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	mustQuery(t, mustConnect(t, address), "SELECT 1")
	if status := getStatus(t, "http://127.0.0.1:"+port+"/healthz"); status != 200 {
		t.Errorf("/healthz answers %d", status)
	}
	if strings.Contains(p.stderr.String(), "out of file descriptors") {
		t.Error("the descriptors ran out")
	}
}
