package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgconn"
)

// sqlState is the SQLSTATE of an error that came over the wire, or "".
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// start runs a query on a goroutine of its own.
func start(conn *pgconn.PgConn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), sql).ReadAll()
		done <- err
	}()
	return done
}

// result waits for what start began.
func result(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the query didn't end")
		return nil
	}
}

// direct asks Postgres itself.
func direct(t *testing.T, sql string) string {
	t.Helper()
	v, err := postgres.Value(context.Background(), "app", sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// running is how many backends run a query with this mark in it.
func running(t *testing.T, mark string) string {
	t.Helper()
	return direct(t, fmt.Sprintf("select count(*) from pg_stat_activity where state = 'active' and query like '%%%s%%' and pid <> pg_backend_pid()", mark))
}

func TestCancelOfARunningQuery(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := startPooler(t, "pool_mode = "+mode+"\ndefault_pool_size = 2")
			conn := p.connect("app", "app")
			done := start(conn, "select pg_sleep(60) /* cancelme */")
			eventually(t, "the query to run", func() bool { return running(t, "cancelme") == "1" })
			if err := conn.CancelRequest(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := sqlState(result(t, done)); got != "57014" {
				t.Errorf("SQLSTATE %q, want 57014", got)
			}
			if got := value(t, conn, "select 'alive'"); got != "alive" {
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

func TestCancelOfAQueuedQueryIsAnsweredAtOnce(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	holder, queued := p.connect("app", "app"), p.connect("app", "app")
	value(t, holder, "begin")
	for _, protocol := range []string{"simple", "extended"} {
		t.Run(protocol, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				if protocol == "simple" {
					_, err := queued.Exec(context.Background(), "select 1").ReadAll()
					done <- err
					return
				}
				done <- queued.ExecParams(context.Background(), "select $1::text", [][]byte{[]byte("x")}, nil, nil, nil).Read().Err
			}()
			eventually(t, "the query to wait", func() bool { return p.Pools()[0].Pool.Waiting == 1 })
			if err := queued.CancelRequest(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := sqlState(result(t, done)); got != "57014" {
				t.Errorf("SQLSTATE %q, want 57014", got)
			}
			if n := p.Pools()[0].Pool.Waiting; n != 0 {
				t.Errorf("%d still wait", n)
			}
		})
	}
	value(t, holder, "commit")
	if got := value(t, queued, "select 'alive'"); got != "alive" {
		t.Errorf("afterwards: %q", got)
	}
}

// Forged keys must cost nothing: no server connection, no answer but the end.
func TestForgedCancelKeysCostNothing(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 2")
	conn := p.connect("app", "app")
	done := start(conn, "select pg_sleep(1), 'mine'")
	dials := p.Pools()[0].Pool.Dials
	for i := range 200 {
		c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			t.Fatal(err)
		}
		secret := []byte{byte(i), 1, 2, 3}
		if _, err := c.Write(wire.AppendCancelRequest(nil, conn.PID(), secret)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("a forged request was answered with %d bytes, %v", n, err)
		}
		_ = c.Close()
	}
	if err := result(t, done); err != nil {
		t.Errorf("the query was hit: %v", err)
	}
	if got := p.State().CancelsUnknown; got != 200 {
		t.Errorf("%d requests counted as unknown, want 200", got)
	}
	if n := p.Pools()[0].Pool.Dials; n > dials+1 {
		t.Errorf("%d server connections were opened", n-dials)
	}
}

// A cancel that comes too late must not hit whoever has the server next.
func TestCancelNeverHitsAStranger(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 1")
	canceller, stranger := p.connect("app", "app"), p.connect("app", "app")
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			want := fmt.Sprint(n)
			results, err := stranger.Exec(context.Background(), "select pg_sleep(0.002), '"+want+"'").ReadAll()
			if err != nil {
				t.Errorf("a stranger's query was hit: %v", err)
				return
			}
			if got := string(results[0].Rows[0][1]); got != want {
				t.Errorf("a stranger's answer: %s, want %s", got, want)
			}
		}
	})
	canceled := 0
	for range 150 {
		done := start(canceller, "select pg_sleep(0.001)")
		if err := canceller.CancelRequest(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := result(t, done); err != nil {
			if sqlState(err) != "57014" {
				t.Fatal(err)
			}
			canceled++
		}
	}
	stop()
	wait.Wait()
	if canceled == 0 {
		t.Error("no cancel ever came in time: nothing was shown")
	}
}

// PgBouncer 1.18 dies of this: requests whose client closes or resets at any
// moment.
func TestTenThousandHastyCancelsHarmNobody(t *testing.T) {
	p := startPooler(t, "pool_mode = transaction\ndefault_pool_size = 3")
	victim, bystander := p.connect("app", "app"), p.connect("app", "app")
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			_, err := victim.Exec(context.Background(), "select pg_sleep(0.01)").ReadAll()
			if err != nil && sqlState(err) != "57014" {
				t.Errorf("victim: %v", err)
				return
			}
		}
	})
	wait.Go(func() {
		for ctx.Err() == nil {
			if _, err := bystander.Exec(context.Background(), "select 1").ReadAll(); err != nil {
				t.Errorf("bystander: %v", err)
				return
			}
		}
	})
	request := wire.AppendCancelRequest(nil, victim.PID(), victim.SecretKey())
	const senders, each = 10, 1000
	var sending sync.WaitGroup
	for i := range senders {
		sending.Go(func() {
			for n := range each {
				c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = c.Write(request[:len(request)-(n%3)/2*(i%5)])
				if n%2 == 0 {
					_ = c.(*net.TCPConn).SetLinger(0) // a reset
				}
				_ = c.Close()
			}
		})
	}
	sending.Wait()
	stop()
	wait.Wait()
	if got := value(t, victim, "select 'alive'"); got != "alive" {
		t.Error(got)
	}
	eventually(t, "all requests to be dealt with", func() bool { return p.workers[0].Conns() <= 2+3 })
}

// gate is a way to Postgres on which the first connection gets through at once
// and each later one when the test lets it.
type gate struct {
	port   int
	opened chan struct{}
	open   func()
}

func newGate(t *testing.T) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	opened := make(chan struct{})
	g := &gate{ln.Addr().(*net.TCPAddr).Port, opened, sync.OnceFunc(func() { close(opened) })}
	t.Cleanup(g.open)
	go func() {
		for first := true; ; first = false {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go g.pass(conn, first)
		}
	}()
	return g
}

// pass carries the bytes of a connection, when it may.
func (g *gate) pass(conn net.Conn, free bool) {
	defer conn.Close()
	if !free {
		<-g.opened
	}
	server, err := net.Dial("tcp", net.JoinHostPort(postgres.Host(), strconv.Itoa(postgres.Port())))
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	}()
	_, _ = io.Copy(conn, server)
}

// What SHOW POOLS tells of cancel requests: whose was sent, and whose waits for
// the one before it.
func TestCancelRequestsAreCounted(t *testing.T) {
	g := newGate(t)
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nserver_tls_sslmode = disable\n[databases]\napp = host=127.0.0.1 port=%d\n", g.port))
	conn := p.connect("app", "app")
	done := start(conn, "select pg_sleep(60) /* counted */")
	eventually(t, "the query to run", func() bool { return running(t, "counted") == "1" })
	var requests []<-chan error
	ask := func() {
		request := make(chan error, 1)
		go func() { request <- conn.CancelRequest(context.Background()) }()
		requests = append(requests, request)
	}
	counted := func(clients, waiting int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d clients, %d of which wait", clients, waiting), func() bool {
			v := p.Pools()[0]
			return v.Cancelers == clients && v.CancelersWaiting == waiting
		})
	}
	ask()
	counted(1, 0)
	ask()
	counted(2, 1)
	ask()
	counted(3, 2)
	g.open()
	if got := sqlState(result(t, done)); got != "57014" {
		t.Errorf("SQLSTATE %q, want 57014", got)
	}
	for _, request := range requests {
		if err := result(t, request); err != nil {
			t.Error(err)
		}
	}
	counted(0, 0)
	if got := value(t, conn, "select 'alive'"); got != "alive" {
		t.Errorf("afterwards: %q", got)
	}
}
