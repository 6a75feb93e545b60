package metrics

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/config"
	"carpool/proxy"
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
	if !knock(addresses(c)) {
		t.Error("no server at all is configured, and one is missing")
	}
	c.AddDatabase(&config.Database{Name: "gone", Hosts: []string{"/nowhere"}})
	if knock(addresses(c)) {
		t.Error("a server that isn't there was reached")
	}
	c.AddDatabase(&config.Database{Name: "here", Hosts: []string{"/nowhere", postgres.Host()}, Ports: []int{5432, postgres.Port()}})
	if list := addresses(c); len(list) != 2 || !knock(list) {
		t.Errorf("one of %v is there", list)
	}
}
