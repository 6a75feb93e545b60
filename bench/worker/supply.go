package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"carpool/bench/workload"
)

// supply is where clients get a session for each call, by the technique.
type supply interface {
	// open opens what the technique keeps. It fails when nothing could be opened; clients that can't take part are marked.
	open(ctx context.Context, clients []*client) error
	// take gives a client a session for one call; give ends the call, which came to err.
	take(ctx context.Context, c *client) (workload.Session, error)
	give(c *client, err error)
	// drop closes what is kept, to be opened again by the next take.
	drop(c *client)
	// close closes everything. No call is under way.
	close(clients []*client)
}

func newSupply(job Job, l *line, t *tally) (supply, error) {
	switch job.Technique {
	case Connect:
		return &connectEach{line: l}, nil
	case Kept:
		return &keepEach{line: l, tally: t}, nil
	case Global:
		return &guarded{line: l}, nil
	case GlobalUnsafe:
		return &unguarded{line: l}, nil
	case DriverPool:
		return newDriverPool(job, l)
	}
	return nil, fmt.Errorf("no technique is called %q: %s, %s, %s, %s and %s are known",
		job.Technique, Connect, Kept, Global, GlobalUnsafe, DriverPool)
}

// dialsAtStart is how many connections are being opened at a time before the calls begin.
const dialsAtStart = 20

// each runs open for the numbers below count, some at a time, and blocks until all have ended.
func each(count int, open func(i int)) {
	turns := make(chan struct{}, dialsAtStart)
	var all sync.WaitGroup
	for i := range count {
		turns <- struct{}{}
		all.Go(func() {
			open(i)
			<-turns
		})
	}
	all.Wait()
}

// connectEach is Connect: a connection for each call.
type connectEach struct{ line *line }

// open only tries whether connecting works: better one sentence now than thousands of failed calls.
func (s *connectEach) open(ctx context.Context, _ []*client) error {
	connection, err := s.line.open(ctx)
	if err != nil {
		return err
	}
	s.line.discard(connection)
	return nil
}

func (s *connectEach) take(ctx context.Context, c *client) (workload.Session, error) {
	connection, err := s.line.open(ctx)
	if err != nil {
		return nil, err
	}
	c.kept = connection
	c.use(&connection.raw)
	return connection, nil
}

func (s *connectEach) give(c *client, _ error) {
	s.line.discard(c.kept)
	c.kept = nil
}

func (s *connectEach) drop(*client) {}

func (s *connectEach) close([]*client) {}

// keepEach is Kept: each client has its connection.
type keepEach struct {
	line  *line
	tally *tally
}

func (s *keepEach) open(ctx context.Context, clients []*client) error {
	var mu sync.Mutex
	opened, first := 0, error(nil)
	each(len(clients), func(i int) {
		connection, err := s.line.open(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			clients[i].absent = true
			s.tally.fail(clients[i].number, err)
			if first == nil {
				first = err
			}
			return
		}
		opened++
		clients[i].kept = connection
		clients[i].use(&connection.raw)
	})
	if opened == 0 {
		return first
	}
	return nil
}

func (s *keepEach) take(ctx context.Context, c *client) (workload.Session, error) {
	if c.kept != nil {
		return c.kept, nil
	}
	connection, err := s.line.open(ctx)
	if err != nil {
		return nil, err
	}
	c.kept = connection
	c.use(&connection.raw)
	return connection, nil
}

func (s *keepEach) give(c *client, err error) {
	if err != nil && !c.kept.clean(err) {
		s.line.discard(c.kept)
		c.kept = nil
	}
}

func (s *keepEach) drop(c *client) {
	if c.kept != nil {
		s.line.depart(c.kept)
		c.kept = nil
	}
}

func (s *keepEach) close(clients []*client) {
	for _, c := range clients {
		if c != nil && c.kept != nil {
			s.line.discard(c.kept)
			c.kept = nil
		}
	}
}

// guarded is Global: one connection, and a lock that a client holds for its whole call.
type guarded struct {
	line *line

	mu   sync.Mutex
	kept *connection // guarded by mu; nil: to be opened
}

func (s *guarded) open(ctx context.Context, _ []*client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	s.kept, err = s.line.open(ctx)
	return err
}

func (s *guarded) take(ctx context.Context, c *client) (workload.Session, error) {
	s.mu.Lock() // given back by give
	if s.kept == nil {
		connection, err := s.line.open(ctx)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.kept = connection
	}
	c.use(&s.kept.raw)
	return s.kept, nil
}

func (s *guarded) give(_ *client, err error) {
	if err != nil && !s.kept.clean(err) {
		s.line.discard(s.kept)
		s.kept = nil
	}
	s.mu.Unlock()
}

func (s *guarded) drop(*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		s.line.depart(s.kept)
		s.kept = nil
	}
}

func (s *guarded) close([]*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		s.line.discard(s.kept)
		s.kept = nil
	}
}

// driverPool is DriverPool: pgx's own pool, of which a client borrows a connection for each call.
type driverPool struct {
	pool *pgxpool.Pool
	size int
}

func newDriverPool(job Job, l *line) (*driverPool, error) {
	config, err := pgxpool.ParseConfig(job.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the benchmark's URL: %w", err)
	}
	size := job.PoolSize
	if size == 0 {
		size = job.Clients
	}
	config.MaxConns = int32(min(size, mostPooled))
	config.ConnConfig.ConnectTimeout = l.config.ConnectTimeout
	config.ConnConfig.OnNotice = noteWarning
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		newConnection(conn.PgConn(), l.protocol)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("making the driver's pool: %w", err)
	}
	return &driverPool{pool: pool, size: min(size, job.Clients)}, nil
}

// mostPooled is more than any server has connections.
const mostPooled = 1 << 20

// open fills the pool.
func (s *driverPool) open(ctx context.Context, _ []*client) error {
	var mu sync.Mutex
	var all []*pgxpool.Conn
	var first error
	each(s.size, func(int) {
		conn, err := s.pool.Acquire(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			all = append(all, conn)
		} else if first == nil {
			first = err
		}
	})
	for _, conn := range all {
		conn.Release()
	}
	if len(all) == 0 {
		return first
	}
	return nil
}

func (s *driverPool) take(ctx context.Context, c *client) (workload.Session, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	session, ok := conn.Conn().PgConn().CustomData()[customKey].(*connection)
	if !ok {
		conn.Release()
		return nil, errors.New("the pool lent a connection that it hasn't prepared")
	}
	c.borrowed, c.kept = conn, session
	c.use(&session.raw)
	return session, nil
}

func (s *driverPool) give(c *client, err error) {
	if err != nil && !c.kept.clean(err) {
		_ = c.kept.pg.Close(context.Background()) // the pool replaces it
	}
	c.borrowed.Release()
	c.borrowed, c.kept = nil, nil
}

func (s *driverPool) drop(*client) { s.pool.Reset() }

// close waits for the pool to close its connections, within a limit: one that doesn't answer may take it long.
func (s *driverPool) close([]*client) {
	closed := make(chan struct{})
	go func() {
		s.pool.Close()
		close(closed)
	}()
	limit := time.NewTimer(lingerLimit)
	defer limit.Stop()
	select {
	case <-closed:
	case <-limit.C:
	}
}
