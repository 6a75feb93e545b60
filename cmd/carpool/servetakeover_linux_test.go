package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// Who listens by itself can't be taken over from, and that is what is said,
// whichever of its addresses is met first.
func TestTakeOverFromWhoDoesntShare(t *testing.T) {
	port, metrics := freePort(t), freePort(t)
	d := newDaemon(t, port, "metrics_listen = 127.0.0.1:"+metrics+"\n")
	d.start("-d")
	first := d.pid()
	for _, flags := range [][]string{{}, {"--set=metrics_listen="}} {
		flags = append(flags, "-R", "-d", "--set=so_reuseport=1", d.path("carpool.ini"))
		p := start(t, nil, flags...)
		want := fmt.Sprintf("-R: process %d, in the pidfile, has to run with so_reuseport = 1", first)
		if status := p.wait(); status != exitFailure || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%v: status %d, %s", flags, status, p.stderr)
		}
	}
	if d.pid() != first {
		t.Errorf("the pidfile has %d, and had %d", d.pid(), first)
	}
	conn, err := dial(d.url(port, false))
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
}

// With -R a new process takes the place of the running one, by TCP and by the
// Unix socket, and nobody's query fails over it.
func TestTakeOver(t *testing.T) {
	port := freePort(t)
	d := newDaemon(t, port, "so_reuseport = 1\nmax_client_conn = 500\n")
	d.start("-R", "-d") // there is nobody yet to take over from
	first := d.pid()
	var clients sync.WaitGroup
	defer clients.Wait()
	var loads []*rollingLoad
	stop := sync.OnceFunc(func() {
		for _, l := range loads {
			close(l.stop)
		}
	})
	defer stop()
	for _, unix := range []bool{false, true} {
		l := &rollingLoad{url: d.url(port, unix), stop: make(chan struct{})}
		loads = append(loads, l)
		for range 10 {
			clients.Go(l.hasty)
		}
	}
	loyal, err := dial(d.url(port, true))
	if err != nil {
		t.Fatal(err)
	}
	defer loyal.Close(context.Background())
	mustQuery(t, loyal, "BEGIN; SELECT 1")
	run := func() {
		t.Helper()
		for _, l := range loads {
			before := l.queries.Load()
			eventually(t, "queries run", func() bool { return l.queries.Load() > before+100 })
		}
	}
	run()
	d.start("-R", "-d")
	if second := d.pid(); second == first || second == 0 {
		t.Errorf("the pidfile has %d, before it had %d", second, first)
	}
	run()
	mustQuery(t, loyal, "COMMIT")
	_ = loyal.Close(context.Background())
	d.ended(first)
	run()
	stop()
	clients.Wait()
	for _, l := range loads {
		t.Logf("%d queries at %s, %d failed", l.queries.Load(), l.url, len(l.failed))
		for _, err := range l.failed[:min(len(l.failed), 5)] {
			t.Error(err)
		}
	}
	if _, err := net.Dial("unix", d.path(".s.PGSQL."+port)); err != nil {
		t.Errorf("the end of the old one has taken the socket away: %v", err)
	}

	// What can't begin leaves the one that runs as it is.
	p := start(t, nil, "-R", "-d", "--set=auth_file=/nowhere", d.path("carpool.ini"))
	second := d.pid()
	if status := p.wait(); status != exitFailure || d.pid() != second {
		t.Errorf("status %d, and the pidfile has %d instead of %d", status, d.pid(), second)
	}
	if conn, err := dial(d.url(port, true)); err != nil {
		t.Error(err)
	} else {
		_ = conn.Close(context.Background())
	}
	if _, err := os.Stat(d.path("carpool.pid.new")); err == nil {
		t.Error("a pidfile of what didn't begin is there")
	}
}
