package admin

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/wire"
)

// Who runs carpool may do everything on the console, by the Unix socket and as
// its own user; by TCP nobody is taken for him, nor under another name.
func TestConsoleForWhoRunsIt(t *testing.T) {
	dir := t.TempDir()
	p := makeProxy(t, map[string]string{"unix_socket_dir": dir, "auth_type": "scram-sha-256"},
		&config.Database{Name: "pool", Hosts: []string{"127.0.0.1"}})
	p.SetConsole(New(p, "carpool 1.0"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(); err != nil {
			t.Error(err)
		}
	}()
	defer func() {
		p.Shutdown(proxy.Immediate)
		<-done
	}()
	addresses := p.Addresses()
	for _, tt := range []struct {
		network, user, database string
		ok                      bool
	}{
		{"unix", "pgbouncer", "pgbouncer", true},
		{"unix", "carpool", "pgbouncer", true},
		{"unix", "root", "pgbouncer", false},
		{"unix", "pgbouncer", "pool", false},
		{"tcp", "pgbouncer", "pgbouncer", false},
	} {
		address := addresses[0]
		if tt.network == "unix" {
			address = filepath.Join(dir, ".s.PGSQL.0")
		}
		conn, err := net.Dial(tt.network, address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		in := bufio.NewReader(conn)
		out := wire.AppendStartup(nil, wire.Protocol30, []wire.Param{{Name: "user", Value: tt.user}, {Name: "database", Value: tt.database}})
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
		code := nextAuthentication(t, in)
		if (code == wire.AuthOK) != tt.ok {
			t.Errorf("%+v: authentication request %d", tt, code)
		}
		_ = conn.Close()
	}
}

// nextAuthentication reads one authentication request.
func nextAuthentication(t *testing.T, in *bufio.Reader) byte {
	t.Helper()
	head := make([]byte, wire.HeaderLen+4)
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatal(err)
	}
	if head[0] != wire.Authentication {
		t.Fatalf("message %q", head[0])
	}
	return head[len(head)-1]
}
