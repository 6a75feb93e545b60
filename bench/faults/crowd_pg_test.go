package faults

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Crowds: more clients than anybody has asked for.

// All come at the same moment.
func TestThunderingHerd(t *testing.T) {
	clients, size := either(500, 5000), 20
	p := startCarpool(t, postgres.Address(), fmt.Sprintf("default_pool_size = %d\nmax_client_conn = 10000\nquery_wait_timeout = 60", size))
	var all sync.WaitGroup
	start, failures := make(chan struct{}), make(chan error, clients)
	logins, queries := make([]time.Duration, clients), make([]time.Duration, clients)
	for i := range clients {
		all.Go(func() {
			<-start
			began := time.Now()
			conn, front, err := enter(p)
			if err != nil {
				failures <- err
				return
			}
			defer conn.Close()
			logins[i] = time.Since(began)
			err = echoed(front, fmt.Sprintf("client %d", i))
			queries[i] = time.Since(began) - logins[i]
			failures <- err
		})
	}
	close(start)
	all.Wait()
	failed := 0
	for range clients {
		if err := <-failures; err != nil {
			if failed++; failed < 5 {
				t.Error(err)
			}
		}
	}
	slices.Sort(logins)
	slices.Sort(queries)
	at := func(list []time.Duration, percent int) time.Duration {
		return list[min(len(list)-1, len(list)*percent/100)].Round(time.Millisecond)
	}
	figure(t, "thundering herd", "%d clients at the same moment, a pool of %d: %d errors; logins: median %s, p99 %s; the first query, waiting included: median %s, longest %s",
		clients, size, failed, at(logins, 50), at(logins, 99), at(queries, 50), at(queries, 100))
	if open := int(p.metric("carpool_pool_dials_total", "")); open > size {
		t.Errorf("%d servers were opened, more than %d", open, size)
	}
	p.booksAgree(postgres)
}

// echoed asks for something of one's own by a statement that takes a moment.
func echoed(front *pgproto3.Frontend, tag string) error {
	front.Send(&pgproto3.Query{String: "select '" + tag + "' from pg_sleep(0.001)"})
	if err := front.Flush(); err != nil {
		return err
	}
	got := ""
	for {
		m, err := front.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return asError(m)
		case *pgproto3.DataRow:
			got = string(m.Values[0])
		case *pgproto3.ReadyForQuery:
			if got != tag {
				return fmt.Errorf("asked for %q, got %q", tag, got)
			}
			return nil
		}
	}
}

// There is little memory, and many clients that have worked and stay.
func TestLittleMemory(t *testing.T) {
	const limit, most = "64MiB", 64 << 20
	clients := either(1000, 8000)
	p := startCarpool(t, postgres.Address(), "default_pool_size = 4\nmax_client_conn = 10000", "env", "GOMEMLIMIT="+limit)
	l := startLoad(t, postgres, p.url(), 6)
	l.more(50)
	before := resident(t, p)
	open := make([]net.Conn, clients)
	failures := make(chan error, clients)
	turns := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range turns {
				conn, front, err := enter(p)
				if open[i] = conn; err == nil {
					err = echoed(front, fmt.Sprintf("client %d", i))
				}
				failures <- err
			}
		})
	}
	for i := range clients {
		turns <- i
	}
	close(turns)
	workers.Wait()
	for range clients {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	l.more(either(200, 2000))
	after := resident(t, p)
	each := float64(after-before) / 1024 / float64(clients)
	if after > most {
		t.Errorf("carpool has %d MiB", after>>20)
	}
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 {
		t.Errorf("%d transactions failed: %s", failed, how)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	figure(t, "little memory", "GOMEMLIMIT=%s and %d clients that are idle, beside load: carpool has %d MiB in all, %.1f KiB for each client; 0 errors in %d transactions",
		limit, clients, after>>20, each, l.acked.Load())
	p.booksAgree(postgres)
}
