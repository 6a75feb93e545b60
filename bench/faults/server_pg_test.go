package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// The server side of the table: what becomes of clients when Postgres, or one of its backends, fails.

func TestBackendKilled(t *testing.T) {
	p := startCarpool(t, postgres.Address(), "default_pool_size = 4")
	l := startLoad(t, postgres, p.url(), 8)
	l.more(50)
	heard := make(map[string]int)
	rounds := either(5, 100)
	for range rounds {
		victim := connect(t, p.url())
		must(t, victim, "begin")
		pid := must(t, victim, "select pg_backend_pid()")
		if err := postgres.Exec(context.Background(), "", "select pg_terminate_backend("+pid+")"); err != nil {
			t.Fatal(err)
		}
		_, err := ask(victim, "select 1")
		if err == nil {
			t.Fatal("a transaction goes on without its server")
		}
		heard[code(err)]++
		l.more(5)
	}
	for c, n := range heard {
		if c != "57P01" && c != "08006" {
			t.Errorf("%d victims heard %s", n, c)
		}
	}
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 {
		t.Errorf("%d errors to bystanders: %s", failed, how)
	}
	figure(t, "server backend killed in a transaction", "%d kills, the victims heard %s; %d errors to bystanders in %d transactions", rounds, counts(heard), failed, l.acked.Load())
	p.booksAgree(postgres)
}

func counts(m map[string]int) string {
	var words []string
	for _, c := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%s %d times", c, m[c]))
	}
	return strings.Join(words, ", ")
}

func TestImmediateRestart(t *testing.T) {
	restart(t, pgserver.Immediate, "server shut down at once and restarted, under load")
}

func TestServerCrash(t *testing.T) {
	restart(t, pgserver.Crash, "server crashed (SIGKILL) and restarted, under load")
}

// restart takes the server down under load and up again, some times.
func restart(t *testing.T, mode pgserver.Shutdown, what string) {
	const clients, size = 16, 6
	s := pgtest.Start(t, serverOptions(100))
	p := startCarpool(t, s.Address(), fmt.Sprintf("default_pool_size = %d", size))
	l := startLoad(t, s, p.url(), clients)
	var longest time.Duration
	most, refused, rounds := 0, 0, either(1, 5)
	for range rounds {
		l.more(100)
		logins := l.logins.Load()
		dials, failures := p.dials(), p.dialsFailed()
		gone := time.Now()
		if err := s.Down(context.Background(), mode); err != nil {
			t.Fatal(err)
		}
		if err := s.Up(context.Background()); err != nil {
			t.Fatal(err)
		}
		up := time.Now()
		l.more(1)
		longest = max(longest, time.Since(up))
		l.more(100)
		// Each that was in a transaction, and no other, has to connect anew: at
		// most as many as there were servers, and some once more as they come.
		if again := int(l.logins.Load() - logins); again > 2*size {
			t.Errorf("%d of %d clients had to connect anew, with %d servers", again, clients, size)
		}
		// Connections that succeed are one for each server. While it is down, the first attempts are as many as were
		// wanted at once, and then one at a time, after pauses that begin with a tenth of a second.
		failures = p.dialsFailed() - failures
		opened := p.dials() - dials - failures
		most, refused = max(most, opened), max(refused, failures)
		if opened > size {
			t.Errorf("%d connections were opened for a pool of %d", opened, size)
		}
		if limit := size + int(time.Since(gone)/(100*time.Millisecond)); failures > limit {
			t.Errorf("%d connection attempts were refused within %s", failures, time.Since(gone))
		}
	}
	l.end(s)
	l.onlyFailed("57P01", "57P02", "08006") // no connection ends without a word
	failed, how := l.failed()
	if failed > rounds*2*size {
		t.Errorf("%d transactions failed in %d restarts, with %d servers", failed, rounds, size)
	}
	figure(t, what, "%d restarts: first success at most %s after the server is ready; %d of %d transactions failed (%s), 0 acknowledged lost; at most %d connections opened for a pool of %d, and %d attempts while the server was down",
		rounds, longest.Round(time.Millisecond), failed, failed+int(l.acked.Load()), how, most, size, refused)
	p.booksAgree(s)
}

func TestMaxConnections(t *testing.T) {
	const clients, connections = 20, 12
	o := serverOptions(connections)
	o.Settings["superuser_reserved_connections"] = "3"
	s := pgtest.Start(t, o)
	p := startCarpool(t, s.Address(), "default_pool_size = 20")
	l := startLoad(t, s, p.url(), clients)
	l.more(20)
	began := time.Now()
	l.more(either(500, 20_000))
	dials, elapsed := p.dials(), time.Since(began)
	refused := p.metric("carpool_pool_dial_failures_total", `reason="server full"`)
	l.end(s)
	failed, how := l.failed()
	if failed > 0 || len(l.refuse) > 0 {
		t.Errorf("%d transactions failed: %s, and logins: %v", failed, how, l.refuse)
	}
	if refused == 0 {
		t.Error("the server was never full")
	}
	// At first there is one for each client, and then pauses that grow from a tenth of a second.
	if most := clients + 4 + int(elapsed.Seconds()); dials > most {
		t.Errorf("%d connection attempts at a full server within %s, more than %d", dials, elapsed, most)
	}
	figure(t, "server at max_connections", "%d clients, a pool of 20, %d connections: %d errors in %d transactions, %d connection attempts in %s",
		clients, connections-3, failed, l.acked.Load(), dials, elapsed.Round(100*time.Millisecond))
	p.booksAgree(s)
}

// A server that recovers from an archive refuses everybody meanwhile. Its
// archive is a slow one.
func TestStartingUp(t *testing.T) {
	o := serverOptions(50)
	o.Settings["hot_standby"], o.Settings["restore_command"] = "off", fmt.Sprintf("sleep %d.2; false", either(0, 2))
	s := pgtest.Start(t, o)
	p := startCarpool(t, s.Address(), "default_pool_size = 4")
	l := startLoad(t, s, p.url(), 8)
	l.more(50)
	if err := s.Down(context.Background(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(s.Dir(), "data", "recovery.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Owner().Give(signal); err != nil {
		t.Fatal(err)
	}
	began, acked := time.Now(), l.acked.Load()
	if err := s.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	up := time.Now()
	l.more(1)
	after := time.Since(up)
	if after > 5*time.Second {
		t.Errorf("nobody was served until %s after the server was ready", after)
	}
	l.more(50)
	starting := p.metric("carpool_pool_dial_failures_total", `reason="server starting"`)
	if starting == 0 {
		t.Errorf("the server never said that it starts; %d transactions meanwhile", l.acked.Load()-acked)
	}
	l.end(s)
	l.onlyFailed("57P01", "08006") // those whom the server's end met
	failed, how := l.failed()
	figure(t, "server starting up (57P03)", "%s of starting, %.0f attempts refused with 57P03 and not one client told so; first success %s after the server is ready; the shutdown before failed %d transactions (%s)",
		up.Sub(began).Round(100*time.Millisecond), starting, after.Round(time.Millisecond), failed, how)
	p.booksAgree(s)
}
