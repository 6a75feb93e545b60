package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// crowd is clients that work without pause while a test changes something under
// them. No query may fail.
type crowd struct {
	t       *testing.T
	p       *pooler
	stop    context.CancelFunc
	wait    sync.WaitGroup
	queries atomic.Int64
	asked   []atomic.Int64 // by client
	// rule says what a query that begins now must be answered with; nil is
	// anything.
	rule atomic.Pointer[rule]
}

// rule is what every answer must fulfil from some moment on.
type rule struct {
	name  string
	holds func(answer string) bool
	met   atomic.Int64
}

// is the rule that answers are the one wanted.
func is(want string) *rule {
	return &rule{name: want, holds: func(answer string) bool { return answer == want }}
}

// newCrowd starts clients which ask for one value again and again: by simple
// query, by statements prepared once, and within transactions.
func newCrowd(t *testing.T, p *pooler, clients int, user, database, question string) *crowd {
	t.Helper()
	c := &crowd{t: t, p: p, asked: make([]atomic.Int64, clients)}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for i := range clients {
		conn := p.connect(user, database)
		if _, err := conn.Prepare(ctx, "question", question, nil); err != nil {
			t.Fatal(err)
		}
		c.wait.Go(func() {
			for n := 0; ctx.Err() == nil && !t.Failed(); n++ {
				c.ask(conn, n+i, question)
				c.asked[i].Add(1)
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

// ask asks in one of three ways. The rule is read before anything is sent.
func (c *crowd) ask(conn *pgconn.PgConn, n int, question string) {
	ctx := context.Background()
	want := c.rule.Load()
	var answer string
	var err error
	switch n % 3 {
	case 0:
		var results []*pgconn.Result
		if results, err = conn.Exec(ctx, question).ReadAll(); err == nil {
			answer = string(results[0].Rows[0][0])
		}
	case 1:
		res := conn.ExecPrepared(ctx, "question", nil, nil, nil).Read()
		if err = res.Err; err == nil {
			answer = string(res.Rows[0][0])
		}
	case 2:
		if _, err = conn.Exec(ctx, "begin").ReadAll(); err != nil {
			break
		}
		res := conn.ExecPrepared(ctx, "question", nil, nil, nil).Read()
		if err = res.Err; err == nil {
			answer = string(res.Rows[0][0])
			_, err = conn.Exec(ctx, "commit").ReadAll()
		}
	}
	switch {
	case err != nil:
		c.t.Errorf("query %d: %v", n, err)
	case want != nil && !want.holds(answer):
		c.t.Errorf("query %d: %q, which isn't %s", n, answer, want.name)
	case want != nil:
		want.met.Add(1)
	}
	c.queries.Add(1)
}

// demand sets a rule for what is asked from now on, and waits until it has been
// kept many times.
func (c *crowd) demand(r *rule) {
	c.t.Helper()
	c.rule.Store(r)
	eventually(c.t, fmt.Sprintf("answers that are %s", r.name), func() bool { return c.t.Failed() || r.met.Load() > 300 })
}

// lift ends the rule, also for what was asked under it.
func (c *crowd) lift() {
	c.t.Helper()
	c.rule.Store(nil)
	for i := range c.asked {
		before := c.asked[i].Load()
		eventually(c.t, "a client to ask once more", func() bool { return c.t.Failed() || c.asked[i].Load() > before })
	}
}

// work waits until many more queries have been answered.
func (c *crowd) work(queries int64) {
	c.t.Helper()
	until := c.queries.Load() + queries
	eventually(c.t, "queries to be answered", func() bool { return c.t.Failed() || c.queries.Load() > until })
}

// end lets the clients finish what they are doing.
func (c *crowd) end() {
	c.stop()
	c.wait.Wait()
}
