package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notifySocket is where a service manager listens.
func notifySocket(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// told waits for the next thing that a service manager is told.
func told(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	datagram := make([]byte, 4096)
	n, err := conn.Read(datagram)
	if err != nil {
		t.Fatal(err)
	}
	assignments := make(map[string]string)
	for line := range strings.Lines(string(datagram[:n])) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		assignments[name] = value
	}
	return assignments
}

// systemd is told when clients get in, when a reload begins and ends, whatever
// comes of it, and when the end begins.
func TestServiceManagerIsTold(t *testing.T) {
	file := write(t, t.TempDir(), "carpool.ini", "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = trust\n")
	for _, socket := range []string{filepath.Join(t.TempDir(), "notify"), "@carpool-test-" + strconv.FormatInt(time.Now().UnixNano(), 36)} {
		manager := notifySocket(t, socket)
		p := start(t, []string{notifyVariable + "=" + socket}, "serve", file)
		state := told(t, manager)
		address, found := strings.CutPrefix(state["STATUS"], "listening on ")
		if state["READY"] != "1" || !found {
			t.Fatalf("at the start: %v", state)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("it is said to be ready: %v", err)
		}
		_ = conn.Close()
		for _, content := range []string{"[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\nauth_type = trust\nlog_connections = 0\n", "nonsense"} {
			write(t, filepath.Dir(file), "carpool.ini", content)
			p.signal(syscall.SIGHUP)
			state = told(t, manager)
			if _, err := strconv.ParseUint(state["MONOTONIC_USEC"], 10, 64); state["RELOADING"] != "1" || err != nil {
				t.Errorf("when a reload begins: %v", state)
			}
			if state = told(t, manager); state["READY"] != "1" {
				t.Errorf("when a reload is over: %v", state)
			}
		}
		write(t, filepath.Dir(file), "carpool.ini", "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir =\nauth_type = trust\n")
		p.signal(syscall.SIGTERM)
		if state = told(t, manager); state["STOPPING"] != "1" {
			t.Errorf("at the end: %v", state)
		}
		if status := p.wait(); status != exitOK {
			t.Errorf("status %d", status)
		}
	}
}

// That nobody listens is no reason to end.
func TestServiceManagerThatIsGone(t *testing.T) {
	p, address := serve(t, append(ownURL(), notifyVariable+"="+filepath.Join(t.TempDir(), "nobody")), "serve")
	mustQuery(t, mustConnect(t, address), "SELECT 1")
	p.await("the service manager can't be told")
}
