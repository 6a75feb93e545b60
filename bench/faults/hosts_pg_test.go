package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// Servers that stand in for one another.

// A database has two hosts, of which one goes.
func TestHalfTheHosts(t *testing.T) {
	const size, clients = 6, 12
	one, other := between(t, postgres.Address(), nil), between(t, postgres.Address(), nil)
	p := startCarpool(t, one.Address(), fmt.Sprintf("default_pool_size = %d\nserver_connect_timeout = 2", size))
	host, port, _ := strings.Cut(one.Address(), ":")
	_, second, _ := strings.Cut(other.Address(), ":")
	p.configure(func(text string) string {
		return strings.Replace(text, "host="+host+" port="+port, fmt.Sprintf("host=%s,%s port=%s,%s", host, host, port, second), 1)
	})
	reload(t, p, "msg=reloaded")
	l := startLoad(t, postgres, p.url(), clients)
	l.more(100)
	if one.Connections() == 0 || other.Connections() == 0 {
		t.Errorf("of the hosts, one has %d connections and the other %d", one.Connections(), other.Connections())
	}
	var longest time.Duration
	rounds, most := either(1, 5), 0
	for range rounds {
		before, _ := l.failed()
		one.Refuse()
		began := time.Now()
		l.more(2 * clients)
		longest = max(longest, time.Since(began))
		if of, _ := l.failed(); of-before > size {
			t.Errorf("%d transactions failed, with %d servers", of-before, size)
		}
		after, _ := l.failed()
		most = max(most, after-before)
		one.Speak()
		l.more(100)
	}
	// The host that falls silent takes its share of server_connect_timeout.
	failed, _ := l.failed()
	one.Reset()
	one.Silence()
	began := time.Now()
	l.more(2 * clients)
	silent := time.Since(began)
	one.Speak()
	l.more(100)
	after, how := l.failed()
	if after-failed > size {
		t.Errorf("%d transactions failed beside a silent host, with %d servers", after-failed, size)
	}
	l.end(postgres)
	l.onlyFailed("57P01", "08006")
	figure(t, "half of the hosts down", "one of two hosts, %d times: at most %d transactions fail, those that it had; %d more within %s. If it falls silent instead, with server_connect_timeout 2s, within %s; failed in all: %s",
		rounds, most, 2*clients, longest.Round(time.Millisecond), silent.Round(time.Millisecond), how)
	p.booksAgree(postgres)
}

// The server dies and another one has its address.
func TestFailover(t *testing.T) {
	const size = 6
	first, second := pgtest.Start(t, serverOptions(50)), pgtest.Start(t, serverOptions(50))
	address := between(t, first.Address(), nil)
	p := startCarpool(t, address.Address(), fmt.Sprintf("default_pool_size = %d", size))
	l := startLoad(t, first, p.url(), 12)
	l.makeTables(second)
	l.more(100)
	began := time.Now()
	if err := first.Down(t.Context(), pgserver.Immediate); err != nil {
		t.Fatal(err)
	}
	address.Redirect(second.Address())
	l.more(1)
	back := time.Since(began)
	l.more(100)
	if failed, _ := l.failed(); failed > 2*size {
		t.Errorf("%d transactions failed, with %d servers", failed, size)
	}
	if err := first.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.end(first, second)
	l.onlyFailed("57P01", "57P02", "08006")
	failed, how := l.failed()
	figure(t, "failover to another server", "the server is shut down at once and another one has its address: first success %s later; %d of %d transactions failed (%s), 0 acknowledged lost",
		back.Round(time.Millisecond), failed, failed+int(l.acked.Load()), how)
	p.booksAgree(second)
}

// The server stays, but takes no writes any more, and another one has its address.
func TestDemoted(t *testing.T) {
	const size = 6
	first, second := pgtest.Start(t, serverOptions(50)), pgtest.Start(t, serverOptions(50))
	address := between(t, first.Address(), nil)
	p := startCarpool(t, address.Address(), fmt.Sprintf("default_pool_size = %d\nadmin_users = boss", size))
	l := startLoad(t, first, p.url(), 12)
	l.makeTables(second)
	l.more(100)
	for _, sql := range []string{"alter system set default_transaction_read_only = on", "select pg_reload_conf()"} {
		if err := first.Exec(t.Context(), "", sql); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	eventually(t, "clients to be told that it is read-only", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.codes["25006"] > 0
	})
	told := time.Since(began)
	address.Redirect(second.Address())
	began = time.Now()
	p.order(t, "RECONNECT")
	p.order(t, "WAIT_CLOSE")
	retired := time.Since(began)
	l.more(30) // what was on its way has been heard
	l.mu.Lock()
	before := l.codes["25006"]
	l.mu.Unlock()
	l.more(200)
	l.end(first, second)
	l.onlyFailed("25006", "25P02")
	if after := l.codes["25006"]; after > before {
		t.Errorf("%d clients met the old server after RECONNECT", after-before)
	}
	left, err := first.Value(context.Background(), "", "select count(*)::text from pg_stat_activity where usename = '"+role+"'")
	if err != nil || left != "0" {
		t.Errorf("the old server has %s sessions: %v", left, err)
	}
	figure(t, "server becomes read-only, another one has its address", "first 25006 after %s; RECONNECT and WAIT_CLOSE take %s, after them 0 of %d transactions meet the old server, which has 0 sessions; 0 acknowledged lost",
		told.Round(time.Millisecond), retired.Round(time.Millisecond), 200)
	p.booksAgree(second)
}
