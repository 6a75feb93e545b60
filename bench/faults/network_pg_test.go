package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carpool/bench/delay"

	"github.com/jackc/pgx/v5/pgconn"
)

// The network: bytes that come late, one at a time, or not at all, on both sides of carpool.

// between starts a faulting proxy.
func between(t *testing.T, address string, plan Plan) *Proxy {
	t.Helper()
	p, err := Start("tcp", address, plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// script is a client's whole visit, in most kinds of conversation there are. It returns an error of the connection or the
// server, and wrong for an answer that isn't to what was asked.
func script(url, tag string) (wrong, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	same := func(got string) {
		if got != tag {
			wrong = errors.Join(wrong, fmt.Errorf("asked for %q, got %q", tag, got))
		}
	}
	text := []byte(tag)
	got, err := ask(conn, "select '"+tag+"'")
	if err != nil {
		return wrong, err
	}
	same(got)
	result := conn.ExecParams(ctx, "select $1::text", [][]byte{text}, nil, nil, nil).Read()
	if result.Err != nil {
		return wrong, result.Err
	}
	same(string(result.Rows[0][0]))
	if _, err := conn.Prepare(ctx, "named", "select $1::text || '' -- of all", nil); err != nil {
		return wrong, err
	}
	if result = conn.ExecPrepared(ctx, "named", [][]byte{text}, nil, nil).Read(); result.Err != nil {
		return wrong, result.Err
	}
	same(string(result.Rows[0][0]))
	for _, sql := range []string{"begin", "create temp table here (tag text) on commit drop"} {
		if _, err := ask(conn, sql); err != nil {
			return wrong, err
		}
	}
	if _, err := conn.CopyFrom(ctx, strings.NewReader(tag+"\n"), "copy here from stdin"); err != nil {
		return wrong, err
	}
	var out strings.Builder
	if _, err := conn.CopyTo(ctx, &out, "copy here to stdout"); err != nil {
		return wrong, err
	}
	same(strings.TrimSpace(out.String()))
	_, err = ask(conn, "commit")
	return wrong, err
}

func TestOneByteAtATime(t *testing.T) {
	slice := func(int) (Fault, Fault) { return Fault{Chunk: 1}, Fault{Chunk: 1} }
	server := between(t, postgres.Address(), slice)
	p := startCarpool(t, server.Address(), "default_pool_size = 3")
	client := between(t, p.address, slice)
	rounds := either(5, 100)
	for i := range rounds {
		if wrong, err := script(clientURL(client.Address()), fmt.Sprintf("tag %d", i)); err != nil || wrong != nil {
			t.Fatal(err, wrong)
		}
	}
	l := startLoad(t, postgres, clientURL(client.Address()), 6)
	l.more(either(30, 500))
	l.end(postgres)
	if failed, how := l.failed(); failed > 0 {
		t.Errorf("%d transactions failed: %s", failed, how)
	}
	figure(t, "network: one byte at a time", "on both sides: %d scripts and %d transactions, 0 errors, 0 wrong answers", rounds, l.acked.Load())
	p.booksAgree(postgres)
}

// resetEverywhere runs the script once for each place at which a connection may break, some left out in the short form. broken is
// the url of what breaks, sound that of carpool itself. It returns the number of places.
func resetEverywhere(t *testing.T, breaking *Proxy, broken, sound string, again func()) (places, failures int) {
	t.Helper()
	breaking.Follow(nil)
	if _, err := script(broken, "whole"); err != nil {
		t.Fatal(err)
	}
	toServer, toClient := breaking.Passed()
	step, serial := either(61, 1), 0
	try := func(toServer, toClient Fault) {
		again()
		places, serial = places+1, serial+1
		var broke atomic.Bool // one connection; what is opened in its stead is sound
		breaking.Follow(func(int) (Fault, Fault) {
			if broke.Swap(true) {
				return Fault{}, Fault{}
			}
			return toServer, toClient
		})
		wrong, err := script(broken, fmt.Sprintf("broken %d", serial))
		if err != nil {
			failures++
		}
		if wrong != nil || err != nil && code(err) == "hang" {
			t.Errorf("place %d: %v %v", serial, wrong, err)
		}
		breaking.Follow(nil)
		if wrong, err := script(sound, fmt.Sprintf("sound %d", serial)); wrong != nil || err != nil {
			t.Errorf("after place %d: %v %v", serial, wrong, err)
		}
	}
	for after := 0; after <= toServer; after += step {
		try(Fault{Reset: true, After: after}, Fault{})
	}
	for after := 0; after <= toClient; after += step {
		try(Fault{}, Fault{Reset: true, After: after})
	}
	return places, failures
}

func TestClientReset(t *testing.T) {
	p := startCarpool(t, postgres.Address(), "default_pool_size = 2")
	breaking := between(t, p.address, nil)
	places, failures := resetEverywhere(t, breaking, clientURL(breaking.Address()), p.url(), func() {})
	figure(t, "network: connection to the client reset behind every byte", "%d places in both directions, %d scripts broken by it: 0 hangs, 0 wrong answers, 0 servers lost track of", places, failures)
	p.booksAgree(postgres)
	if failures < places*9/10 {
		t.Errorf("of %d resets only %d broke anything", places, failures)
	}
}

// Each time the server's connection that breaks is a fresh one, so that logins break as well.
func TestServerReset(t *testing.T) {
	breaking := between(t, postgres.Address(), nil)
	p := startCarpool(t, breaking.Address(), "default_pool_size = 1\nserver_login_retry = 5")
	closed := func() int { return int(p.metric("carpool_pool_servers", "")) }
	places, failures := resetEverywhere(t, breaking, p.url(), p.url(), func() {
		breaking.Reset()
		eventually(t, "the pool to be empty", func() bool { return closed() == 0 })
	})
	figure(t, "network: connection to the server reset behind every byte", "%d places in both directions, logins included, %d scripts broken by it (the others waited for another server): 0 hangs, 0 wrong answers", places, failures)
	p.booksAgree(postgres)
}

func TestBlackHole(t *testing.T) {
	const clients, limit = 12, 2 * time.Second
	server := between(t, postgres.Address(), nil)
	p := startCarpool(t, server.Address(), "default_pool_size = 4\nquery_timeout = 2\nquery_wait_timeout = 2\nserver_connect_timeout = 2\nserver_login_retry = 1")
	l := startLoad(t, postgres, p.url(), clients)
	l.more(50)
	server.Silence()
	silent := time.Now()
	eventually(t, "every client to hear of it", func() bool { n, _ := l.failed(); return n >= clients })
	heard := time.Since(silent)
	server.Reset() // what was held back is lost, as behind a firewall that forgets
	server.Speak()
	spoke := time.Now()
	l.more(1)
	back := time.Since(spoke)
	l.more(50)
	l.end(postgres)
	l.onlyFailed("57014", "53300", "08006")
	failed, how := l.failed()
	// In the queue first, and then with a server that doesn't answer.
	if heard > 3*limit {
		t.Errorf("the last client heard of it after %s", heard)
	}
	figure(t, "network: black hole between carpool and server", "query_timeout and query_wait_timeout %s: all of %d clients told within %s (%d errors: %s); first success %s after its end",
		limit, clients, heard.Round(time.Millisecond), failed, how, back.Round(time.Millisecond))
	p.booksAgree(postgres)
}

// Clients fall silent: in a transaction, in the midst of a result, and while they wait for a server.
func TestClientsSilent(t *testing.T) {
	const size, limit = 2, time.Second
	p := startCarpool(t, postgres.Address(), fmt.Sprintf("default_pool_size = %d\nidle_transaction_timeout = 1\nquery_timeout = 1\nquery_wait_timeout = 10", size))
	client := between(t, p.address, nil)
	var longest time.Duration
	rounds := either(1, 10)
	for range rounds {
		idle, reading, waiting := connect(t, clientURL(client.Address())), connect(t, clientURL(client.Address())), connect(t, clientURL(client.Address()))
		must(t, idle, "begin; create temp table stayed (a int)")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		result := reading.Exec(ctx, "select repeat('x', 1000) from generate_series(1, 100000)")
		if !result.NextResult() || !result.ResultReader().NextRow() {
			t.Fatal("no row of the result")
		}
		asked := make(chan error, 1)
		go func() {
			_, err := ask(waiting, "select 1")
			asked <- err
		}()
		eventually(t, "a client to wait", func() bool { return p.metric("carpool_pool_clients", `state="waiting"`) == 1 })
		client.Silence()
		began := time.Now()
		var others []*pgconn.PgConn
		for range size {
			other := connect(t, p.url())
			if got := must(t, other, "begin; select coalesce(to_regclass('stayed')::text, 'nothing')"); got != "nothing" {
				t.Errorf("another client finds %s", got)
			}
			others = append(others, other)
		}
		longest = max(longest, time.Since(began))
		client.Reset()
		client.Speak()
		<-asked
		_ = result.Close() // which has come to nothing
		cancel()
		for _, other := range others {
			_ = other.Close(context.Background())
		}
	}
	figure(t, "network: black hole between carpool and clients", "%d times, one client in a transaction, one in the midst of a result and one in the queue: with limits of %s, others have all servers within %s", rounds, limit, longest.Round(time.Millisecond))
	p.booksAgree(postgres)
}

func TestStall(t *testing.T) {
	server := between(t, postgres.Address(), nil)
	p := startCarpool(t, server.Address(), "default_pool_size = 4")
	client := between(t, p.address, nil)
	l := startLoad(t, postgres, clientURL(client.Address()), 8)
	length, rounds := time.Duration(either(200, 1000))*time.Millisecond, either(2, 5)
	for range rounds {
		for _, side := range []*Proxy{server, client} {
			l.more(50)
			side.Silence()
			<-time.After(length) // the fault's length, not a wait for anything
			side.Speak()
		}
	}
	l.more(50)
	worst := l.worst()
	l.end(postgres)
	failed, how := l.failed()
	if failed > 0 {
		t.Errorf("%d transactions failed: %s", failed, how)
	}
	figure(t, "network: all bytes held up for a while", "%d stalls of %s on each side: %d errors in %d transactions, the slowest took %s", rounds, length, failed, l.acked.Load(), worst.Round(time.Millisecond))
	p.booksAgree(postgres)
}

func TestLatency(t *testing.T) {
	const roundTrip, size, clients = 100 * time.Millisecond, 4, 12
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	far, err := delay.Start(ctx, "tcp", postgres.Address(), roundTrip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	p := startCarpool(t, far.Address(), fmt.Sprintf("default_pool_size = %d", size))
	done := make(chan error, clients)
	each := either(4, 50)
	warm := connect(t, p.url())
	must(t, warm, "select 1")
	began := time.Now()
	for i := range clients {
		conn := connect(t, p.url())
		go func() {
			var err error
			for n := 0; n < each && err == nil; n++ {
				var got string
				want := fmt.Sprintf("%d-%d", i, n)
				if got, err = ask(conn, "select '"+want+"'"); err == nil && got != want {
					err = fmt.Errorf("%s is another's answer", got)
				}
			}
			done <- err
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	rate := float64(clients*each) / time.Since(began).Seconds()
	theory := float64(size) / roundTrip.Seconds()
	if rate > theory*1.1 || *full && rate < theory*0.7 {
		t.Errorf("%.1f queries a second, where pool by latency is %.1f", rate, theory)
	}
	figure(t, "network: 100 ms to the server and back", "%d clients, a pool of %d: %.1f queries/s, of %.1f possible, opening the servers included", clients, size, rate, theory)
}

// Bytes take their time on both sides, no two the same, and now and then a connection stalls: others don't wait for it.
func TestJitter(t *testing.T) {
	const size, clients, stall = 4, 12, 500 * time.Millisecond
	var stalls atomic.Int64
	uneven := func(mean time.Duration) func() time.Duration {
		return func() time.Duration {
			if rand.IntN(100) == 0 {
				stalls.Add(1)
				return stall
			}
			return mean/2 + rand.N(mean)
		}
	}
	plan := func(mean time.Duration) Plan {
		return func(int) (Fault, Fault) { return Fault{Wait: uneven(mean)}, Fault{Wait: uneven(mean)} }
	}
	const toServer, toClient = 20 * time.Millisecond, 10 * time.Millisecond // one way
	server := between(t, postgres.Address(), plan(toServer))
	p := startCarpool(t, server.Address(), fmt.Sprintf("default_pool_size = %d", size))
	client := between(t, p.address, plan(toClient))
	each := either(8, 300)
	took := make(chan time.Duration, clients*each)
	failures := make(chan error, clients)
	began := time.Now()
	for i := range clients {
		conn := connect(t, clientURL(client.Address()))
		go func() {
			var err error
			for n := 0; n < each && err == nil; n++ {
				var got string
				asked, want := time.Now(), fmt.Sprintf("%d-%d", i, n)
				if got, err = ask(conn, "select '"+want+"'"); err == nil && got != want {
					err = fmt.Errorf("%s is another's answer", got)
				}
				took <- time.Since(asked)
			}
			failures <- err
		}()
	}
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	rate := float64(clients*each) / time.Since(began).Seconds()
	close(took)
	var list []time.Duration
	for d := range took {
		list = append(list, d)
	}
	slices.Sort(list)
	// A query crosses each way once. Stalls included, that is what a server is taken for.
	busy := 2 * (toServer*99/100 + stall/100)
	theory := float64(size) / busy.Seconds()
	if *full && rate < theory*0.6 {
		t.Errorf("%.1f queries a second, where pool by latency is %.1f", rate, theory)
	}
	figure(t, "network: uneven latency on both sides, with stalls", "%s to the server and back and %s to the clients, give or take half, and %d stalls of %s: %.1f queries/s of %.1f possible, opening connections included; median %s, p99 %s; 0 wrong answers",
		2*toServer, 2*toClient, stalls.Load(), stall, rate, theory, list[len(list)/2].Round(time.Millisecond), list[len(list)*99/100].Round(time.Millisecond))
	p.booksAgree(postgres)
}
