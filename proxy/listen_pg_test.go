package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// newProxy makes a proxy that isn't run, from settings alone.
func newProxy(t *testing.T, settings string) (*Proxy, error) {
	t.Helper()
	ini := filepath.Join(t.TempDir(), "carpool.ini")
	write(t, ini, fmt.Sprintf("[pgbouncer]\nauth_type = any\nunix_socket_dir =\n%s\n[databases]\napp = host=%s port=%d user=app\n", settings, postgres.Host(), postgres.Port()))
	c, err := config.LoadFile(ini)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
}

func TestSeveralAddressesAndAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	p := startPooler(t, "listen_addr = 127.0.0.1, 127.0.0.2\nunix_socket_dir = "+dir+"\nunix_socket_mode = 0700\npool_mode = transaction")
	if n := len(p.Addresses()); n != 3 {
		t.Fatalf("listening on %v", p.Addresses())
	}
	var urls []string
	for _, addr := range p.Addresses()[:2] {
		urls = append(urls, "postgres://app@"+addr+"/app?sslmode=disable")
	}
	// The socket's name has the port of the settings in it, here 0.
	urls = append(urls, fmt.Sprintf("postgres:///app?user=app&sslmode=require&host=%s&port=1", dir))
	socket := filepath.Join(dir, ".s.PGSQL.0")
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's mode is %o", info.Mode().Perm())
	}
	if err := os.Symlink(socket, filepath.Join(dir, ".s.PGSQL.1")); err != nil {
		t.Fatal(err)
	}
	for _, url := range urls {
		conn, err := pgconn.Connect(context.Background(), strings.Replace(url, "sslmode=require&", "", 1))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := value(t, conn, "select 'here'"); got != "here" {
			t.Errorf("%s: %q", url, got)
		}
		_ = conn.Close(context.Background())
	}
}

func TestUnixSocketOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".s.PGSQL.0")
	settings := "listen_addr = 127.0.0.1\nlisten_port = 0\nunix_socket_dir = " + dir

	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if _, err = newProxy(t, settings); err == nil || !strings.Contains(err.Error(), "another process answers") || !strings.Contains(err.Error(), "unix_socket_dir") {
		t.Errorf("a socket that somebody answers on: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("somebody else's socket was removed: %v", err)
	}
	_ = ln.Close()

	p := startPooler(t, settings)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("in place of a socket that was left over: %v", err)
	}
	_ = conn.Close()
	p.stop(WaitForClients)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket's file is left over")
	}

	write(t, path, "a file that is no socket")
	if _, err = newProxy(t, settings); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("somebody else's file was removed: %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	descriptors := openDescriptors(t)
	_, err = newProxy(t, fmt.Sprintf("listen_addr = 127.0.0.2,127.0.0.1\nlisten_port = %d", ln.Addr().(*net.TCPAddr).Port))
	if err == nil || !strings.Contains(err.Error(), "listen_port") || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("want an error that names the setting and the address: %v", err)
	}
	if n := openDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors were left open", n-descriptors)
	}
}

func TestTwoProxiesOnOnePort(t *testing.T) {
	first := startPooler(t, "so_reuseport = 1\npool_mode = transaction")
	second := startPooler(t, "so_reuseport = 1\npool_mode = transaction\nlisten_port = "+first.port)
	var wait sync.WaitGroup
	for range 40 {
		wait.Go(func() {
			conn, err := pgconn.Connect(context.Background(), first.url("app", "app"))
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close(context.Background())
		})
	}
	wait.Wait()
	if a, b := first.State().Accepted, second.State().Accepted; a == 0 || b == 0 {
		t.Errorf("one has accepted %d connections, the other %d", a, b)
	}
	// One of them goes: the other one serves whoever comes.
	second.stop(WaitForClients)
	for range 20 {
		first.checkServing()
	}
}
