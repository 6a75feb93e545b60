package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Gauges are numbers that go up and down during a run. NotSampled stands for one that nobody looked at.
type Gauges struct {
	ServerConnections int // client backends that Postgres has for the load's database
	Waiting           int // clients that wait in the pooler for a server
}

// NotSampled is the value of a gauge without a source.
const NotSampled = -1

const sampleInterval = 100 * time.Millisecond

// sampler reads the gauges at intervals and keeps the highest values.
type sampler struct {
	// immutable; nil without a source
	direct, console *pgconn.PgConn

	mu   sync.Mutex // guards what follows
	last Gauges
	peak Gauges
	err  error // the first failure; sampling ends with it
}

// newSampler connects to the sources: direct is Postgres itself, console a pooler's admin console. Both may be empty.
func newSampler(ctx context.Context, direct, console string) (*sampler, error) {
	s := &sampler{last: Gauges{NotSampled, NotSampled}, peak: Gauges{NotSampled, NotSampled}}
	var err error
	if direct != "" {
		if s.direct, err = pgconn.Connect(ctx, direct); err != nil {
			return nil, fmt.Errorf("connecting to count server connections: %w", err)
		}
	}
	if console != "" {
		if s.console, err = pgconn.Connect(ctx, console); err != nil {
			s.close(ctx)
			return nil, fmt.Errorf("connecting to the admin console: %w", err)
		}
	}
	return s, nil
}

func (s *sampler) close(ctx context.Context) {
	for _, conn := range []*pgconn.PgConn{s.direct, s.console} {
		if conn != nil {
			_ = conn.Close(ctx) // nothing hangs on a polite goodbye
		}
	}
}

// run samples until ctx ends or a source fails.
func (s *sampler) run(ctx context.Context) {
	if s.direct == nil && s.console == nil {
		return
	}
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		gauges, err := s.read(ctx)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.last = gauges
		s.peak.ServerConnections = max(s.peak.ServerConnections, gauges.ServerConnections)
		s.peak.Waiting = max(s.peak.Waiting, gauges.Waiting)
		s.err = err
		s.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *sampler) gauges() (last, peak Gauges, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.peak, s.err
}

func (s *sampler) read(ctx context.Context) (Gauges, error) {
	gauges := Gauges{NotSampled, NotSampled}
	if s.direct != nil {
		const sql = `SELECT count(*) AS n FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()`
		n, err := sumColumn(ctx, s.direct, sql, "n")
		if err != nil {
			return gauges, fmt.Errorf("counting server connections: %w", err)
		}
		gauges.ServerConnections = n
	}
	if s.console != nil {
		n, err := sumColumn(ctx, s.console, "SHOW POOLS", "cl_waiting")
		if err != nil {
			return gauges, fmt.Errorf("counting waiting clients: %w", err)
		}
		gauges.Waiting = n
	}
	return gauges, nil
}

// sumColumn runs one query and adds up a column of numbers.
func sumColumn(ctx context.Context, conn *pgconn.PgConn, sql, column string) (int, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 {
		return 0, errors.New("not one result")
	}
	at := slices.IndexFunc(results[0].FieldDescriptions, func(field pgconn.FieldDescription) bool { return field.Name == column })
	if at < 0 {
		return 0, fmt.Errorf("no column %s", column)
	}
	sum := 0
	for _, row := range results[0].Rows {
		n, err := strconv.Atoi(string(row[at]))
		if err != nil {
			return 0, fmt.Errorf("column %s: %w", column, err)
		}
		sum += n
	}
	return sum, nil
}
