package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
// its own. What was acknowledged and what was tried is remembered.
type load struct {
	t       *testing.T
	table   string
	url     string
	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	acked   atomic.Int64
	crossed atomic.Int64 // answers that were another's
	logins  atomic.Int64 // that succeeded

	mu     sync.Mutex
	tried  map[string]bool // true: acknowledged
	codes  map[string]int  // of errors, by SQLSTATE; "none" for connections that broke
	slow   []time.Duration // how long acknowledged transactions took
	refuse map[string]int  // of logins that failed
}

const accounts = 20

var loads atomic.Int64

// startLoad begins clients that go on until end.
func startLoad(t *testing.T, s *pgserver.Server, url string, clients int) *load {
	t.Helper()
	l := &load{
		t: t, url: url, table: fmt.Sprintf("log%d", loads.Add(1)),
		tried: make(map[string]bool), codes: make(map[string]int), refuse: make(map[string]int),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	err := s.Exec(l.ctx, role, fmt.Sprintf("create table %[1]s (tag text); create table %[1]s_accounts (id int primary key, balance int);"+
		"insert into %[1]s_accounts select i, 100 from generate_series(1, %[2]d) i; grant all on %[1]s, %[1]s_accounts to %[3]s; checkpoint", l.table, accounts, role))
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		l.workers.Go(func() { l.work(i) })
	}
	t.Cleanup(l.stop)
	return l
}

// work is one client: it connects again when its connection is lost.
func (l *load) work(id int) {
	var conn *pgconn.PgConn
	for n := 0; l.ctx.Err() == nil; n++ {
		if conn == nil || conn.IsClosed() {
			if conn = l.logIn(); conn == nil {
				continue
			}
		}
		tag, began := fmt.Sprintf("%d-%d", id, n), time.Now()
		l.note(tag, false)
		err := l.transfer(conn, tag, id, n)
		if err == nil {
			l.acked.Add(1)
			l.note(tag, true)
			l.mu.Lock()
			l.slow = append(l.slow, time.Since(began))
			l.mu.Unlock()
			continue
		}
		l.mu.Lock()
		l.codes[code(err)]++
		l.mu.Unlock()
		if !conn.IsClosed() {
			_, _ = ask(conn, "rollback")
		}
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

func (l *load) logIn() *pgconn.PgConn {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, l.url)
	if err != nil {
		if l.ctx.Err() == nil {
			l.mu.Lock()
			l.refuse[code(err)]++
			l.mu.Unlock()
			select {
			case <-l.ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		return nil
	}
	l.logins.Add(1)
	return conn
}

// transfer is one transaction. Without an error it has been committed.
func (l *load) transfer(conn *pgconn.PgConn, tag string, id, n int) error {
	from, to := 1+(id+n)%accounts, 1+(id*7+n*3)%accounts
	amounts := map[int]int{}
	amounts[from]--
	amounts[to]++
	if _, err := ask(conn, "begin"); err != nil {
		return err
	}
	for _, account := range slices.Sorted(maps.Keys(amounts)) {
		sql := fmt.Sprintf("update %s_accounts set balance = balance + %d where id = %d returning '%s'", l.table, amounts[account], account, tag)
		if err := l.echo(conn, sql, tag); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result := conn.ExecParams(ctx, "insert into "+l.table+" values ($1) returning tag", [][]byte{[]byte(tag)}, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if string(result.Rows[0][0]) != tag {
		l.crossed.Add(1)
	}
	results, err := conn.Exec(ctx, "commit").ReadAll()
	if err == nil && results[0].CommandTag.String() != "COMMIT" {
		err = errors.New("not committed: " + results[0].CommandTag.String())
	}
	return err
}

// echo runs a statement that returns a tag.
func (l *load) echo(conn *pgconn.PgConn, sql, tag string) error {
	got, err := ask(conn, sql)
	if err == nil && got != tag {
		l.crossed.Add(1)
	}
	return err
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
// another's.
func (l *load) end(s *pgserver.Server) {
	l.t.Helper()
	l.stop()
	ended := make(chan struct{})
	go func() { l.workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * patience):
		l.t.Fatal("a client hangs")
	}
	rows := make(map[string]int)
	text, err := s.Value(context.Background(), role, "select coalesce(string_agg(tag, ' '), '') from "+l.table)
	if err != nil {
		l.t.Fatal(err)
	}
	for tag := range strings.FieldsSeq(text) {
		rows[tag]++
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
	if lost > 0 || double > 0 || len(rows) > 0 || l.crossed.Load() > 0 {
		l.t.Errorf("of %d transactions %d that were acknowledged are lost, %d are there twice, %d were never asked for, %d answers were another's",
			len(l.tried), lost, double, len(rows), l.crossed.Load())
	}
	sum, err := s.Value(context.Background(), role, "select sum(balance)::text from "+l.table+"_accounts")
	if err != nil || sum != fmt.Sprint(100*accounts) {
		l.t.Errorf("the accounts hold %s, not %d: %v", sum, 100*accounts, err)
	}
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
