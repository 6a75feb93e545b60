package metrics

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/config"
	"carpool/proxy"

	"golang.org/x/sys/unix"
)

// A process that has lost its servers lives, but isn't ready; nobody needs to
// be a client for it to find out that they are back.
func TestReadyWhileAServerCanBeReached(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	own, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Stop() })
	c, err := config.DefaultForURL(own.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	c.ListenPort = 0
	p, err := proxy.New(proxy.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	t.Cleanup(func() {
		p.Shutdown(proxy.Immediate)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	h := NewHandler(p, "carpool 1.2")
	expect := func(when, path string, want int) {
		t.Helper()
		status, body := get(h, "GET", path)
		ticker := time.NewTicker(reachValidity / 5)
		defer ticker.Stop()
		for deadline := time.After(20 * reachValidity); status != want; status, body = get(h, "GET", path) {
			select {
			case <-ticker.C:
			case <-deadline:
				t.Fatalf("%s: %s is %d: %s", when, path, status, body)
			}
		}
	}
	expect("up", "/readyz", 200)
	if err := own.Down(ctx, pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	expect("down", "/readyz", 503)
	expect("down", "/readyz?servers=ignored", 200)
	expect("down", "/healthz", 200)
	if err := own.Up(ctx); err != nil {
		t.Fatal(err)
	}
	expect("up again", "/readyz", 200)
}

// Several servers: one is enough.
func TestOneServerIsEnough(t *testing.T) {
	c := config.Default()
	reachable := func() bool { _, ok := knock(addresses(c)); return ok }
	if !reachable() {
		t.Error("no server at all is configured, and one is missing")
	}
	c.AddDatabase(&config.Database{Name: "gone", Hosts: []string{"/nowhere"}})
	if reachable() {
		t.Error("a server that isn't there was reached")
	}
	c.AddDatabase(&config.Database{Name: "here", Hosts: []string{"/nowhere", postgres.Host()}, Ports: []int{5432, postgres.Port()}})
	if list := addresses(c); len(list) != 2 || !reachable() {
		t.Errorf("one of %v is there", list)
	}
}

// silentAddress is one that doesn't answer: nobody accepts there, and there is
// no room for another who waits.
func silentAddress(t *testing.T) config.Address {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	a := config.Address{Host: "127.0.0.1", Port: bound.(*unix.SockaddrInet4).Port}
	for {
		conn, err := net.DialTimeout("tcp", a.String(), reachTimeout/10)
		if err != nil {
			return a // full
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// Servers that don't answer don't hide one that does, however many they are.
func TestSilentServersHideNone(t *testing.T) {
	silent := silentAddress(t)
	var list []config.Address
	for range 3 * maxKnocks {
		list = append(list, silent)
	}
	good := config.Address{Host: postgres.Host(), Port: postgres.Port()}
	if at, ok := knock(append(list, good)); !ok || at != good {
		t.Errorf("reached %v, %v", at, ok)
	}
	started := time.Now()
	if at, ok := knock(list); ok || time.Since(started) > 2*reachTimeout {
		t.Errorf("reached %v, %v after %s", at, ok, time.Since(started))
	}
}
