package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carpool/bench/worker"
	"carpool/bench/workload"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5/pgconn"
)

// Load is what Run puts on a server or pooler: clients in this process, each on a connection that it keeps.
type Load struct {
	URL      string // where the clients connect
	Clients  int
	Duration time.Duration // from the moment that all clients are connected
	Workload string        // what a transaction does, by its name in bench/workload; Prepare makes its tables
	Protocol worker.Protocol
	Direct   string         // Postgres itself, to count server connections; empty: not counted
	Console  string         // the pooler's admin console, to count waiting clients; empty: not counted
	Progress func(Snapshot) // called from one goroutine, ten times a second and once at the end; may be nil
}

// Snapshot is how far a run is.
type Snapshot struct {
	Clients      int
	Connected    int           // 0 until all have tried
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

// Latency describes how long the transactions of a run took, to three digits. The zero value is that of no transaction.
type Latency struct {
	Mean, P50, P90, P99, P999, Max time.Duration
}

// tables is where the tables of a load are: in the schema that everybody may use, of the private Postgres that loads are for.
func tables(scale int) workload.Place { return workload.Place{Schema: "public", Scale: max(scale, 1)} }

// Prepare makes the tables of a workload anew in the schema public; tpcb's are pgbench's own, with 100,000 accounts for each
// unit of scale. It blocks until they are filled and analyzed; the URL should go straight to Postgres.
func Prepare(ctx context.Context, url, name string, scale int) error {
	work, err := workload.Find(name)
	if err != nil {
		return err
	}
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to fill the tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range work.Tables(tables(scale)) {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("filling the tables: %w", err)
		}
	}
	return nil
}

// Run puts the load on and blocks until it is over. A client that can't connect is counted and left out; Run fails when
// none can, when ctx ends, or when a source of gauges fails.
func Run(ctx context.Context, load Load) (Result, error) {
	if load.Clients <= 0 || load.Duration <= 0 {
		return Result{}, errors.New("a load needs clients and a duration")
	}
	sampler, err := newSampler(ctx, load.Direct, load.Console)
	if err != nil {
		return Result{}, err
	}
	r := &run{load: load, sampler: sampler}
	watching, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { r.sampler.run(watching) })
	watchers.Go(func() { r.report(watching) })
	worked, err := worker.Run(ctx, r.job(), worker.Control{Ready: r.begin, Progress: r.note})
	r.note(worker.Progress{Calls: worked.Calls, Errors: failures(worked)})
	r.ended.Store(true)
	stopWatching()
	watchers.Wait()
	sampler.close(context.WithoutCancel(ctx))
	return r.result(ctx, worked, err)
}

// run is one Run under way.
type run struct {
	// immutable
	load    Load
	sampler *sampler

	// atomic
	connected    atomic.Int64
	transactions atomic.Int64
	failures     atomic.Int64
	started      atomic.Pointer[time.Time] // nil while the clients connect
	ended        atomic.Bool
}

func (r *run) job() worker.Job {
	return worker.Job{
		Technique: worker.Kept, URL: r.load.URL, Protocol: r.load.Protocol, Workload: r.load.Workload, Place: worker.Place(tables(0)),
		Clients: r.load.Clients, Duration: r.load.Duration, Seed: 1,
	}
}

// begin is told when the clients have connected.
func (r *run) begin(ready worker.Ready) {
	now := time.Now()
	r.connected.Store(int64(ready.Connected))
	r.started.Store(&now)
}

func (r *run) note(p worker.Progress) {
	r.transactions.Store(p.Calls)
	r.failures.Store(p.Errors)
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
	if started := r.started.Load(); started != nil {
		s.Elapsed = time.Since(*started)
		s.Done = min(float64(s.Elapsed)/float64(r.load.Duration), 1)
	}
	if r.ended.Load() {
		s.Done = 1
	}
	return s
}

func (r *run) result(ctx context.Context, worked worker.Result, err error) (Result, error) {
	_, peak, sampleErr := r.sampler.gauges()
	result := Result{
		Clients: r.load.Clients, Connected: worked.Connected, Elapsed: worked.Elapsed, Transactions: worked.Calls,
		Latency: latencyOf(worked), Peak: peak, Errors: errorsOf(worked),
	}
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("the load was stopped: %w", context.Cause(ctx))
	case err != nil:
		return result, err
	}
	return result, sampleErr
}

// latencyOf puts the pairs of latency and count back into a histogram.
func latencyOf(worked worker.Result) Latency {
	if len(worked.Latency) == 0 {
		return Latency{}
	}
	all := hdrhistogram.New(1, worked.Latency[len(worked.Latency)-1][0]+1, 3)
	for _, pair := range worked.Latency {
		_ = all.RecordValues(pair[0], pair[1]) // the last one is the highest
	}
	at := func(percent float64) time.Duration { return time.Duration(all.ValueAtPercentile(percent)) }
	return Latency{
		Mean: time.Duration(all.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(all.Max()),
	}
}

// wrongReply stands for replies that weren't the asker's.
const wrongReply = "wrong reply"

func errorsOf(worked worker.Result) map[string]int64 {
	all := make(map[string]int64)
	for state, n := range worked.Errors {
		all[state] = n
	}
	if wrong := worked.WrongAnswers + worked.MixedTransactions + worked.ProtocolErrors; wrong > 0 {
		all[wrongReply] = wrong
	}
	return all
}

func failures(worked worker.Result) int64 { return total(errorsOf(worked)) }
