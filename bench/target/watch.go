package target

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Sample is a look at a running benchmark.
type Sample struct {
	At          time.Duration // since the watch began
	Connections int           // server connections of the benchmark
}

// Watch counts the server connections of clients with one label, at intervals, until it is stopped.
//
// Counted are the connections of our role to our database that have the label's application_name. Poolers set that on a server
// when they lend it to a client, so that the servers which a pooler keeps from another strategy don't count, and those that
// this strategy has used stay counted while they are kept. A connection that has no name yet counts too if it wasn't there
// when the watch began: it is logging in.
//
// There is a sample of the beginning, and one of the end if that is Stop's: none is too short to have any.
type Watch struct {
	// immutable
	last   chan struct{} // closed: take a last sample
	once   sync.Once     // closes last
	cancel context.CancelFunc
	done   chan struct{}

	// owned by the watching goroutine until done is closed
	samples []Sample
	err     error // the first failure; sampling ends with it
}

// lastPatience bounds the wait for the samples that are under way when a watch is stopped.
const lastPatience = 2 * time.Second

// Watch begins to watch; ctx ends it too. It opens a connection of its own, and blocks until that has taken a first sample.
// The caller stops the watch.
func (t *Target) Watch(ctx context.Context, label string, interval time.Duration) (*Watch, error) {
	conn, err := t.reconnect(ctx)
	if err != nil {
		return nil, err
	}
	counter, err := newCounter(ctx, conn, label)
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx)) // what is wrong is known already
		return nil, explain(ctx, t.server, "counting connections on", err)
	}
	watching, cancel := context.WithCancel(ctx)
	w := &Watch{last: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	began := time.Now()
	if err := w.sample(watching, counter, began); err != nil {
		cancel()
		_ = conn.Close(context.WithoutCancel(ctx)) // what is wrong is known already
		return nil, explain(ctx, t.server, "counting connections on", err)
	}
	go func() {
		defer close(w.done)
		w.run(watching, counter, began, interval)
		goodbye, forget := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer forget()
		_ = conn.Close(goodbye) // nothing hangs on it
	}()
	return w, nil
}

// Stop takes a last sample and ends the watch. It returns all samples, in order, and the failure that ended it early.
func (w *Watch) Stop() ([]Sample, error) {
	w.once.Do(func() { close(w.last) })
	impatience := time.AfterFunc(lastPatience, w.cancel)
	<-w.done
	impatience.Stop()
	w.cancel()
	return w.samples, w.err
}

// run takes samples until the watch is stopped, which it takes one more for, or its context ends.
func (w *Watch) run(ctx context.Context, c *counter, began time.Time, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for stopped := false; !stopped; {
		select {
		case <-ctx.Done():
			return
		case <-w.last:
			stopped = true
		case <-ticker.C:
		}
		err := w.sample(ctx, c, began)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.err = fmt.Errorf("counting server connections: %w", err)
			return
		}
	}
}

func (w *Watch) sample(ctx context.Context, c *counter, began time.Time) error {
	n, err := c.count(ctx)
	if err != nil {
		return err
	}
	w.samples = append(w.samples, Sample{At: time.Since(began), Connections: n})
	return nil
}

// counter counts on a connection of its own.
type counter struct {
	conn      *pgconn.PgConn
	arguments []string // the label's application_name, and the process ids that don't count without a name
}

func newCounter(ctx context.Context, conn *pgconn.PgConn, label string) (*counter, error) {
	rows, err := query(ctx, conn, "SELECT pid FROM pg_stat_get_activity(NULL) WHERE pid IS NOT NULL")
	if err != nil {
		return nil, err
	}
	pids := make([]string, len(rows))
	for i, row := range rows {
		pids[i] = row[0]
	}
	return &counter{conn: conn, arguments: []string{ApplicationName(label), "{" + strings.Join(pids, ",") + "}"}}, nil
}

// count asks the function below pg_stat_activity, which spares the server the view's joins.
func (c *counter) count(ctx context.Context) (int, error) {
	const sql = `SELECT count(*) FROM pg_stat_get_activity(NULL)
		WHERE usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
			AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND backend_type = 'client backend'
			AND (application_name = $1 OR application_name = '' AND pid <> ALL ($2::int[]))`
	row, err := queryRow(ctx, c.conn, sql, c.arguments...)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(row[0])
}
