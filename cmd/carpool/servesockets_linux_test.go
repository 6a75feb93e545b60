package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// activated runs carpool as systemd does that has opened its sockets.
func activated(t *testing.T, names string, sockets []*os.File, environ []string, args ...string) *process {
	t.Helper()
	p := prepare(t, append(environ, listenFDsVariable+"="+fmt.Sprint(len(sockets)), listenNamesVariable+"="+names),
		"sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary}, args...)...)
	p.cmd.ExtraFiles = sockets
	p.run()
	return p
}

// file is a listener's descriptor.
func file(t *testing.T, l interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Sockets that somebody else has opened are listened on in place of those that
// the configuration names. They outlive the process: whoever comes between its
// end and the next start is served by the next.
func TestSocketActivation(t *testing.T) {
	dir := t.TempDir()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	http, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets := []*os.File{file(t, tcp.(*net.TCPListener)), file(t, http.(*net.TCPListener)), file(t, unix.(*net.UnixListener))}
	address, metrics := tcp.Addr().String(), http.Addr().String()
	unix.(*net.UnixListener).SetUnlinkOnClose(false)
	for _, l := range []net.Listener{tcp, unix, http} {
		_ = l.Close() // the descriptors stay
	}
	notify := notifySocket(t, filepath.Join(dir, "notify"))
	begin := func() *process {
		t.Helper()
		p := activated(t, "clients:metrics:local", sockets, append(ownURL(), notifyVariable+"="+filepath.Join(dir, "notify")), "serve", "--port", "1", "--pool-size=5", "--set=max_client_conn=500")
		if state := told(t, notify); state["READY"] != "1" || !strings.Contains(state["STATUS"], address) {
			t.Errorf("it says %v", state)
		}
		return p
	}
	p := begin()
	l := &rollingLoad{url: "postgres://app:secret@" + address + "/app?sslmode=disable", stop: make(chan struct{})}
	local := &rollingLoad{url: "postgres:///app?user=app&password=secret&port=5432&host=" + dir, stop: make(chan struct{})}
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := sync.OnceFunc(func() { close(l.stop); close(local.stop) })
	defer stop()
	for range 5 {
		clients.Go(l.hasty)
		clients.Go(local.hasty)
	}
	for range 2 {
		for _, load := range []*rollingLoad{l, local} {
			before := load.queries.Load()
			eventually(t, "queries run", func() bool { return load.queries.Load() > before+100 })
		}
		if status := getStatus(t, "http://"+metrics+"/readyz"); status != 200 {
			t.Errorf("/readyz answers %d", status)
		}
		p.signal(syscall.SIGTERM)
		if state := told(t, notify); state["STOPPING"] != "1" {
			t.Errorf("it says %v", state)
		}
		if status := p.wait(); status != exitOK {
			t.Errorf("status %d", status)
		}
		p = begin()
	}
	stop()
	clients.Wait()
	for _, load := range []*rollingLoad{l, local} {
		t.Logf("%d queries, %d failed", load.queries.Load(), len(load.failed))
		for _, err := range load.failed[:min(len(load.failed), 5)] {
			t.Error(err)
		}
	}
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != exitOK {
		t.Errorf("status %d", status)
	}
	if _, err := os.Stat(filepath.Join(dir, ".s.PGSQL.5432")); err != nil {
		t.Errorf("the socket that isn't its own was removed: %v", err)
	}
}

// Sockets that are meant for another process aren't taken, and what isn't a
// listening socket is refused.
func TestSocketActivationThatIsNone(t *testing.T) {
	p, address := serve(t, append(ownURL(), listenPIDVariable+"=1", listenFDsVariable+"=3"), "serve")
	conn := mustConnect(t, address)
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	p.signal(syscall.SIGTERM)
	p.wait()

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn1, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn1.Close()
	for _, row := range []struct {
		file *os.File
		want string
	}{
		{r, "it is no stream socket"},
		{file(t, udp.(*net.UDPConn)), "it is no stream socket"},
		{file(t, conn1.(*net.TCPConn)), "it doesn't listen"},
	} {
		p := activated(t, "", []*os.File{row.file}, ownURL(), "serve")
		if status := p.wait(); status != exitFailure || !strings.Contains(p.stderr.String(), row.want) {
			t.Errorf("status %d, %s, want %s", status, p.stderr, row.want)
		}
	}
}
