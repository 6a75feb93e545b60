package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// rollingLoad is what goes on while one carpool takes over from another.
type rollingLoad struct {
	url  string
	stop chan struct{}

	queries  atomic.Int64 // answered
	returned atomic.Int64 // clients that were told to go, and came again

	mu     sync.Mutex
	failed []error
}

func (l *rollingLoad) ended() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *rollingLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, err)
}

// hasty connects for each query.
func (l *rollingLoad) hasty() {
	for !l.ended() {
		conn, err := dial(l.url)
		if err != nil {
			l.fail(err)
			continue
		}
		if _, err := query(conn, "SELECT 1"); err != nil {
			l.fail(err)
		}
		l.queries.Add(1)
		_ = conn.Close(context.Background())
	}
}

// loyal keeps its connection until it is told to go, and then runs the query it
// was told so for on a new one.
func (l *rollingLoad) loyal() {
	var conn *pgconn.PgConn
	for !l.ended() {
		if conn == nil {
			var err error
			if conn, err = dial(l.url); err != nil {
				l.fail(err)
				continue
			}
		}
		_, err := query(conn, "SELECT pg_sleep(0.01)")
		var told *pgconn.PgError
		switch {
		case err == nil:
			l.queries.Add(1)
		case errors.As(err, &told) && told.Code == "57P01":
			l.returned.Add(1)
			conn = nil
		default:
			l.fail(err)
			conn = nil
		}
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

// A new carpool on the same port takes over from the old one: nobody who comes
// at that moment is turned away, nobody who is in loses an answer.
func TestRollingRestartLosesNothing(t *testing.T) {
	const hasty, loyal = 50, 20
	settings := []string{"serve", "--set=so_reuseport=1", "--set=shutdown_timeout=4s", "--pool-size=10", "--set=max_client_conn=500"}
	before, address := serve(t, ownURL(), settings...)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &rollingLoad{url: "postgres://app:secret@" + address + "/app?sslmode=disable", stop: make(chan struct{})}
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := sync.OnceFunc(func() { close(l.stop) })
	defer stop()
	for range hasty {
		clients.Go(l.hasty)
	}
	for range loyal {
		clients.Go(l.loyal)
	}
	eventually(t, "queries run", func() bool { return l.queries.Load() > 500 })

	after := start(t, ownURL(), append(settings, "--port", port)...)
	after.await(`msg="listening on `)
	before.signal(syscall.SIGTERM)
	if status := before.wait(); status != 0 {
		t.Errorf("the old one: status %d", status)
	}
	ran := l.queries.Load()
	eventually(t, "queries run on", func() bool { return l.queries.Load() > ran+500 })
	stop()
	clients.Wait()
	for i, err := range l.failed {
		if i == 10 {
			break
		}
		t.Error(err)
	}
	t.Logf("%d queries, %d clients told to go, %d failures", l.queries.Load(), l.returned.Load(), len(l.failed))
	if l.returned.Load() == 0 {
		t.Error("nobody has held on to the old one")
	}
	if strings.Contains(before.stderr.String(), "shutdown_timeout is over: closing") {
		t.Error("the old one had to cut somebody off")
	}
}

// While a carpool hands over, whoever knocks gets in a little later, when there
// is another one, and is refused at once when there is none.
func TestHandOverTakesNobodyIn(t *testing.T) {
	p, address := serve(t, ownURL(), "serve", "--set=so_reuseport=1")
	conn := mustConnect(t, address)
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	eventually(t, "the socket is closed", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second/10)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	mustQuery(t, conn, "SELECT 1")
	_ = conn.Close(context.Background())
	if status := p.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
}
