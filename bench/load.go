package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Load is what Run puts on a server or pooler. URL, Clients and one of Duration and Transactions must be set.
type Load struct {
	URL          string        // where the clients connect
	Clients      int           // connections, each with a goroutine
	Duration     time.Duration // from the moment that all clients are connected; 0: until Transactions are done
	Transactions int64         // by all clients together; 0: until Duration is over
	Kind         Kind
	Protocol     Protocol
	Scale        int            // of the tables, as given to Prepare; 0: 1
	Dials        int            // connections being opened at a time; 0: 20
	Direct       string         // Postgres itself, to count server connections; empty: not counted
	Console      string         // the pooler's admin console, to count waiting clients; empty: not counted
	Progress     func(Snapshot) // called from one goroutine, ten times a second and once at the end; may be nil
}

// Snapshot is how far a run is.
type Snapshot struct {
	Clients      int
	Connected    int
	Elapsed      time.Duration // since the clients started; 0 while they connect
	Done         float64       // part of the run that is over, 0 to 1
	Transactions int64
	Errors       int64
	Gauges       Gauges
}

// Result is what came of a run.
type Result struct {
	Clients      int // asked for
	Connected    int // took part
	Elapsed      time.Duration
	Transactions int64 // that succeeded
	Reconnects   int64 // connections lost on the way and opened again
	Latency      Latency
	Peak         Gauges
	// Errors counts failures by SQLSTATE; "connection" stands for those without one, "wrong reply" for a reply that wasn't
	// the asker's. Clients that couldn't connect at all are among them.
	Errors map[string]int64
}

// PerSecond is transactions a second, 0 for a run of no length.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Transactions) / r.Elapsed.Seconds()
}

const (
	defaultDials = 20
	// grace is how long a transaction may run on after the end of the load before its connection is cut.
	grace = 10 * time.Second
)

// Run puts the load on and blocks until it is over. A client that can't connect is counted and left out; Run fails when
// none can, when ctx ends, or when a source of gauges fails. What was measured until then is in the Result all the same.
func Run(ctx context.Context, load Load) (Result, error) {
	if load.Clients <= 0 || load.Duration <= 0 && load.Transactions <= 0 {
		return Result{}, errors.New("a load needs clients, and a duration or a number of transactions")
	}
	load.Scale = max(load.Scale, 1)
	if load.Dials <= 0 {
		load.Dials = defaultDials
	}
	config, err := pgconn.ParseConfig(load.URL)
	if err != nil {
		return Result{}, fmt.Errorf("reading the load's URL: %w", err)
	}
	sampler, err := newSampler(ctx, load.Direct, load.Console)
	if err != nil {
		return Result{}, err
	}
	r := &run{
		load: load, config: config, latencies: newLatencies(), sampler: sampler,
		dials: make(chan struct{}, load.Dials), start: make(chan struct{}), errors: make(map[string]int64),
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { r.sampler.run(watching) })
	watchers.Go(func() { r.report(watching) })
	r.drive(ctx)
	stopWatching()
	watchers.Wait()
	sampler.close(context.WithoutCancel(ctx))
	return r.result(ctx)
}

// run is one Run under way.
type run struct {
	// immutable
	load      Load
	config    *pgconn.Config
	latencies *latencies
	sampler   *sampler
	dials     chan struct{} // holds one token for each connection being opened
	start     chan struct{} // closed when every client has connected or given up

	// atomic
	connected    atomic.Int64
	taken        atomic.Int64 // transactions begun
	transactions atomic.Int64
	failures     atomic.Int64
	reconnects   atomic.Int64
	started      atomic.Pointer[time.Time] // when start was closed; nil before
	elapsed      atomic.Int64              // nanoseconds of the whole run; 0 before its end

	mu     sync.Mutex
	errors map[string]int64 // guarded by mu
	first  error            // guarded by mu; the first failure
}

// drive connects the clients, starts them together and waits for them.
func (r *run) drive(ctx context.Context) {
	cut, cancel := context.WithCancel(ctx) // ends when connections are to be cut
	defer cancel()
	var ready, clients sync.WaitGroup
	ready.Add(r.load.Clients)
	for number := range r.load.Clients {
		clients.Go(func() { r.client(cut, number, ready.Done) })
	}
	ready.Wait()
	now := time.Now()
	r.started.Store(&now)
	close(r.start)
	if r.load.Duration > 0 {
		timer := time.AfterFunc(r.load.Duration+grace, cancel)
		defer timer.Stop()
	}
	clients.Wait()
	r.elapsed.Store(int64(time.Since(now)))
}

// client is one client from its connection to its end. ready is called once, when it is connected or won't be.
func (r *run) client(cut context.Context, number int, ready func()) {
	a, err := r.connect(cut)
	if err != nil {
		r.fail(err)
		ready()
		return
	}
	r.connected.Add(1)
	ready()
	<-r.start
	for a != nil && r.goesOn(cut) {
		began := time.Now()
		err := r.transact(cut, a)
		if err == nil {
			err = r.latencies.record(number, time.Since(began))
		}
		if err == nil {
			r.transactions.Add(1)
			continue
		}
		r.fail(err)
		a = r.recover(cut, a)
	}
	if a != nil {
		_ = a.conn.Close(cut) // nothing hangs on a polite goodbye
	}
}

// goesOn tells whether there is another transaction to do, and takes it.
func (r *run) goesOn(cut context.Context) bool {
	if cut.Err() != nil {
		return false
	}
	if r.load.Duration > 0 && time.Since(*r.started.Load()) >= r.load.Duration {
		return false
	}
	return r.load.Transactions <= 0 || r.taken.Add(1) <= r.load.Transactions
}

// transact does one transaction. The connection is cut rather than watched: a context that can end costs pgconn a
// goroutine for each query.
func (r *run) transact(cut context.Context, a *asker) error {
	release := context.AfterFunc(cut, func() { _ = a.conn.Conn().SetDeadline(time.Unix(1, 0)) })
	defer release()
	return a.transaction(context.Background(), r.load.Kind, r.load.Scale)
}

// recover makes a client fit for the next transaction after a failed one. It returns nil when that can't be done.
func (r *run) recover(cut context.Context, a *asker) *asker {
	if !a.conn.IsClosed() && a.conn.TxStatus() != 'I' {
		if _, err := a.conn.Exec(cut, "ROLLBACK").ReadAll(); err != nil {
			_ = a.conn.Close(cut)
		}
	}
	if !a.conn.IsClosed() {
		return a
	}
	if cut.Err() != nil {
		return nil
	}
	fresh, err := r.connect(cut)
	if err != nil {
		r.fail(err)
		r.connected.Add(-1)
		return nil
	}
	r.reconnects.Add(1)
	return fresh
}

// connect opens one connection when its turn has come.
func (r *run) connect(ctx context.Context) (*asker, error) {
	select {
	case r.dials <- struct{}{}:
		defer func() { <-r.dials }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	conn, err := pgconn.ConnectConfig(ctx, r.config)
	if err != nil {
		return nil, err
	}
	a := &asker{conn: conn, protocol: r.load.Protocol}
	if err := a.prepare(ctx, r.load.Kind); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return a, nil
}

// fail counts an error under its SQLSTATE.
func (r *run) fail(err error) {
	r.failures.Add(1)
	key := "connection"
	var fromServer *pgconn.PgError
	switch {
	case errors.As(err, &fromServer):
		key = fromServer.Code
	case errors.Is(err, errWrongReply):
		key = "wrong reply"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[key]++
	if r.first == nil {
		r.first = err
	}
}

// report calls Progress until ctx ends, and then once more.
func (r *run) report(ctx context.Context) {
	if r.load.Progress == nil {
		return
	}
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		r.load.Progress(r.snapshot())
		select {
		case <-ctx.Done():
			r.load.Progress(r.snapshot())
			return
		case <-ticker.C:
		}
	}
}

func (r *run) snapshot() Snapshot {
	gauges, _, _ := r.sampler.gauges()
	s := Snapshot{
		Clients: r.load.Clients, Connected: int(r.connected.Load()),
		Transactions: r.transactions.Load(), Errors: r.failures.Load(), Gauges: gauges,
	}
	if whole := r.elapsed.Load(); whole > 0 {
		s.Elapsed, s.Done = time.Duration(whole), 1
		return s
	}
	if started := r.started.Load(); started != nil {
		s.Elapsed = time.Since(*started)
	}
	if r.load.Duration > 0 {
		s.Done = float64(s.Elapsed) / float64(r.load.Duration)
	}
	if r.load.Transactions > 0 {
		s.Done = max(s.Done, float64(s.Transactions)/float64(r.load.Transactions))
	}
	s.Done = min(s.Done, 1)
	return s
}

func (r *run) result(ctx context.Context) (Result, error) {
	_, peak, sampleErr := r.sampler.gauges()
	r.mu.Lock()
	defer r.mu.Unlock()
	result := Result{
		Clients: r.load.Clients, Connected: int(r.connected.Load()), Elapsed: time.Duration(r.elapsed.Load()),
		Transactions: r.transactions.Load(), Reconnects: r.reconnects.Load(), Latency: r.latencies.summarize(),
		Peak: peak, Errors: maps.Clone(r.errors),
	}
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("the load was stopped: %w", context.Cause(ctx))
	case sampleErr != nil:
		return result, sampleErr
	case result.Connected == 0 && result.Transactions == 0:
		return result, fmt.Errorf("no client could connect: %w", r.first)
	}
	return result, nil
}
