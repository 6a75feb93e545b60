package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carpool/bench/pgserver"

	"github.com/jackc/pgx/v5/pgconn"
)

// load is clients that move money between accounts, each in transactions of several messages that leave a row with a tag of
// its own (moves). What was acknowledged and what was tried is remembered.
type load struct {
	t       *testing.T
	table   string
	kinds   []move
	url     string
	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	acked   atomic.Int64
	crossed atomic.Int64 // answers, settings, temporary rows or notifications that were another's
	within  atomic.Int64 // transactions that failed when they had done something
	heard   atomic.Int64 // notifications
	logins  atomic.Int64 // that succeeded

	mu     sync.Mutex
	tried  map[string]bool // true: acknowledged
	codes  map[string]int  // of errors, by SQLSTATE; "none" for connections that broke
	slow   []time.Duration // how long acknowledged transactions took
	refuse map[string]int  // of logins that failed
}

const accounts = 20

var loads atomic.Int64

// startLoad begins clients that go on until end, with moves that need no more of a server than its transactions.
func startLoad(t *testing.T, s *pgserver.Server, url string, clients int) *load {
	t.Helper()
	return startMoves(t, s, url, clients, plainMoves)
}

// startMoves is startLoad with moves of these kinds, each client with all of them in turn.
func startMoves(t *testing.T, s *pgserver.Server, url string, clients int, kinds []move) *load {
	t.Helper()
	l := &load{
		t: t, url: url, table: fmt.Sprintf("log%d", loads.Add(1)), kinds: kinds,
		tried: make(map[string]bool), codes: make(map[string]int), refuse: make(map[string]int),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.makeTables(s)
	for i := range clients {
		l.workers.Go(func() { l.work(i) })
	}
	t.Cleanup(l.stop)
	return l
}

// makeTables makes what the clients need, on the first server or one more that they may come to.
func (l *load) makeTables(s *pgserver.Server) {
	l.t.Helper()
	err := s.Exec(l.ctx, role, fmt.Sprintf("create table %[1]s (tag text); create table %[1]s_accounts (id int primary key, balance int);"+
		"insert into %[1]s_accounts select i, 100 from generate_series(1, %[2]d) i; grant all on %[1]s, %[1]s_accounts to %[3]s; checkpoint", l.table, accounts, role))
	if err != nil {
		l.t.Fatal(err)
	}
}

// work is one client: it connects again when its connection is lost.
func (l *load) work(id int) {
	c := &mover{load: l, id: id}
	defer c.leave()
	for n := 0; l.ctx.Err() == nil; n++ {
		if c.conn == nil || c.conn.IsClosed() {
			if !c.logIn() {
				continue
			}
		}
		c.n, c.tag, c.begun = n, fmt.Sprintf("%d-%d", id, n), false
		began := time.Now()
		l.note(c.tag, false)
		err := l.kinds[(id+n)%len(l.kinds)](c)
		if err == nil {
			l.acked.Add(1)
			l.note(c.tag, true)
			l.mu.Lock()
			l.slow = append(l.slow, time.Since(began))
			l.mu.Unlock()
			continue
		}
		if c.begun {
			l.within.Add(1)
		}
		l.mu.Lock()
		l.codes[code(err)]++
		l.mu.Unlock()
		if !c.conn.IsClosed() {
			_, _ = ask(c.conn, "rollback")
		}
	}
}

// refused takes down that a login came to nothing.
func (l *load) refused(err error) {
	if l.ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	l.refuse[code(err)]++
	l.mu.Unlock()
	select {
	case <-l.ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

func (l *load) note(tag string, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[tag] = acked
}

// more waits until further transactions have been acknowledged.
func (l *load) more(n int) {
	l.t.Helper()
	until := l.acked.Load() + int64(n)
	eventually(l.t, "transactions to be acknowledged", func() bool { return l.acked.Load() >= until })
}

// end stops the clients and checks that what was acknowledged is there once, what wasn't at most once, and that no answer was
// another's. What they did is on these servers together.
func (l *load) end(servers ...*pgserver.Server) {
	l.t.Helper()
	for _, wrong := range l.verdict(servers...) {
		l.t.Error(wrong)
	}
}

// verdict stops the clients and says what is wrong.
func (l *load) verdict(servers ...*pgserver.Server) (wrong []string) {
	l.t.Helper()
	l.stop()
	ended := make(chan struct{})
	go func() { l.workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * patience):
		l.t.Fatal("a client hangs")
	}
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	rows := make(map[string]int)
	for _, s := range servers {
		text, err := s.Value(context.Background(), role, "select coalesce(string_agg(tag, ' '), '') from "+l.table)
		if err != nil {
			l.t.Fatal(err)
		}
		for tag := range strings.FieldsSeq(text) {
			rows[tag]++
		}
		sum, err := s.Value(context.Background(), role, "select sum(balance)::text from "+l.table+"_accounts")
		if err != nil || sum != fmt.Sprint(100*accounts) {
			complain("the accounts hold %s, not %d: %v", sum, 100*accounts, err)
		}
	}
	lost, double := 0, 0
	for tag, acked := range l.tried {
		if acked && rows[tag] == 0 {
			lost++
		}
		if rows[tag] > 1 {
			double++
		}
		delete(rows, tag)
	}
	if lost > 0 {
		complain("of %d transactions %d that were acknowledged are lost", len(l.tried), lost)
	}
	if double > 0 {
		complain("of %d transactions %d are there twice", len(l.tried), double)
	}
	if len(rows) > 0 {
		complain("%d rows were never asked for", len(rows))
	}
	if n := l.crossed.Load(); n > 0 {
		complain("%d answers were another's", n)
	}
	return wrong
}

// failed is how many transactions failed, and how, for people.
func (l *load) failed() (n int, how string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range l.codes {
		n += times
	}
	return n, counts(l.codes)
}

// onlyFailed checks that nothing but these SQLSTATEs was heard, in transactions and at logins.
func (l *load) onlyFailed(allowed ...string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, heard := range []map[string]int{l.codes, l.refuse} {
		for c, n := range heard {
			if !slices.Contains(allowed, c) {
				l.t.Errorf("%d clients heard %s", n, c)
			}
		}
	}
}

// p99 is the 99th percentile of the acknowledged transactions since the last call.
func (l *load) p99() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.slow)
	n := len(l.slow)
	if n == 0 {
		return 0
	}
	d := l.slow[min(n-1, n*99/100)]
	l.slow = nil
	return d
}

// code is the SQLSTATE of an error, "none" for a connection that broke without one, and "hang" for one that nothing came of.
func code(err error) string {
	var said *pgconn.PgError
	switch {
	case errors.As(err, &said):
		return said.Code
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "hang"
	}
	return "none"
}

// worst is the slowest of the acknowledged transactions.
func (l *load) worst() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Max(l.slow)
}
