package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carpool/bench/workload"
)

// ErrUnsupported is why Run and Group.Run refuse a workload that can't be run by the technique at all, such as COPY on a
// connection that nothing guards.
var ErrUnsupported = errors.New("this workload can't be run by this technique")

// Control is how the caller of Run takes part in it. With the zero value it runs by itself.
type Control struct {
	// Ready is called when the clients have what their technique keeps, and before each wave of a storm again.
	Ready func(Ready)
	// Go is called after Ready and blocks until the calls, or those of the next wave, may begin. False means that there are
	// none any more. nil: they begin at once, and the waves end by the job.
	Go func(ctx context.Context) (bool, error)
	// Progress is called ten times a second, from one goroutine.
	Progress func(Progress)
}

const (
	// grace is how long a call may run on after the end of the job's duration before its connection is cut.
	grace = 10 * time.Second
	// progressInterval is the time between two calls of Control.Progress.
	progressInterval = 100 * time.Millisecond
	// lingerLimit bounds the wait for cancel requests of calls that were cut.
	lingerLimit = 2 * time.Second
	// longestConnect bounds the opening of one connection where the URL doesn't bound it more.
	longestConnect = 30 * time.Second
)

var (
	errGrace   = errors.New("the call hadn't ended long after the end of the run")
	errStopped = errors.New("the run was stopped")
)

// Run does the job in this process and blocks until it is over. A client that can't connect at the start is counted and
// left out; Run fails when none can, when the job makes no sense or the workload can't be run by the technique, and when
// ctx ends: then with its cause.
func Run(ctx context.Context, job Job, control Control) (Result, error) {
	var work workload.Workload
	var err error
	if job.Script != "" {
		work, err = workload.Script(job.Workload, job.Script)
	} else {
		work, err = workload.Find(job.Workload)
	}
	if err != nil {
		return Result{}, err
	}
	return runWorkload(ctx, job, work, control)
}

// runWorkload is Run with the workload found already.
func runWorkload(ctx context.Context, job Job, work workload.Workload, control Control) (Result, error) {
	if err := job.check(work); err != nil {
		return Result{}, err
	}
	if err := needFiles(job.files()); err != nil {
		return Result{}, err
	}
	config, err := readURL(job.URL)
	if err != nil {
		return Result{}, err
	}
	r, err := newRun(job, work, config, control)
	if err != nil {
		return Result{}, err
	}
	cut, cancel := context.WithCancelCause(ctx)
	defer cancel(errStopped)
	release := context.AfterFunc(cut, r.cutClients)
	defer release()
	defer func() { r.close(ctx.Err() == nil) }()
	if err := r.supply.open(cut, r.clients); err != nil {
		return Result{}, explain(ctx, err)
	}
	if r.idle, err = openIdle(cut, r.line, job.IdleClients, r.tally); err != nil {
		return Result{}, explain(ctx, err)
	}
	if err := r.drive(cut, cancel); err != nil {
		return Result{}, explain(ctx, err)
	}
	return r.result(), nil
}

// explain prefers the reason for which ctx ended, if it did, to an error that comes of it.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// check refuses a job that makes no sense.
func (j Job) check(work workload.Workload) error {
	switch {
	case j.Clients <= 0:
		return errors.New("a benchmark needs at least 1 client")
	case j.Duration <= 0 && j.Calls <= 0:
		return errors.New("a benchmark needs a duration or a number of calls")
	case j.Duration < 0 || j.Calls < 0 || j.ThinkTime < 0 || j.Rate < 0 || j.IdleClients < 0 || j.PoolSize < 0:
		return errors.New("a number of the benchmark's job is negative")
	case j.IdleClients > 0 && j.Technique != Kept:
		return fmt.Errorf("idle clients keep a connection each, which the technique %q doesn't", j.Technique)
	case work.NewCaller == nil:
		return errors.New("the workload has no calls")
	}
	switch j.Protocol {
	case Simple, Extended, Prepared:
		return nil
	}
	return fmt.Errorf("no protocol is called %q: simple, extended and prepared are known", j.Protocol)
}

// run is one Run under way.
type run struct {
	// immutable
	job       Job
	work      workload.Workload
	control   Control
	line      *line
	supply    supply
	clients   []*client
	latencies *latencies
	tally     *tally

	// owned by Run's goroutine
	idle    idleConnections
	began   time.Time     // of the calls; of the wave in a storm. Written before clients start
	elapsed time.Duration // of the waves that are over
	busy    time.Duration // processor time between the first calls and the last

	// atomic
	taken atomic.Int64 // calls that were begun
	isCut atomic.Bool  // connections are being cut: no call begins any more
	fatal atomic.Pointer[error]
}

func newRun(job Job, work workload.Workload, config *pgconn.Config, control Control) (*run, error) {
	r := &run{
		job: job, work: work, control: control, line: newLine(config, job.Protocol),
		clients: make([]*client, job.Clients), tally: newTally(),
	}
	r.latencies = newLatencies(job.Clients)
	var err error
	if r.supply, err = newSupply(job, r.line, r.tally); err != nil {
		return nil, err
	}
	// The alarms of very many clients would need as many descriptors; theirs are less exact.
	exact := job.Clients <= mostExactAlarms && (job.Rate > 0 || job.ThinkTime > 0)
	for i := range r.clients {
		number := job.FirstClient + i
		c := &client{
			run: r, number: number, shard: r.latencies.shard(i),
			caller: work.NewCaller(job.Place.workload(), number, job.Seed),
			random: rand.New(rand.NewPCG(job.Seed, uint64(number)^0x9e3779b97f4a7c15)),
		}
		if c.alarm, err = newAlarm(exact); err != nil {
			r.close(false)
			return nil, err
		}
		r.clients[i] = c
	}
	return r, nil
}

// drive does the calls, from the first Ready to the end of the last call.
func (r *run) drive(cut context.Context, cancel context.CancelCauseFunc) error {
	stop := r.reportProgress()
	defer stop()
	if r.work.Shape == workload.Storm {
		return r.storm(cut, cancel)
	}
	more, err := r.awaitGo(cut)
	if err != nil || !more {
		return err
	}
	before := processorTime()
	defer r.begin(cancel)()
	over, release := r.untilOver(cut)
	defer release()
	var clients sync.WaitGroup
	for _, c := range r.clients {
		clients.Go(func() { c.calls(cut, over) })
	}
	clients.Wait()
	r.busy = processorTime() - before
	r.elapsed = r.length()
	return r.failure(cut)
}

// awaitGo says that the clients are ready and waits for the word.
func (r *run) awaitGo(cut context.Context) (bool, error) {
	if r.control.Ready != nil {
		r.control.Ready(Ready{Connected: r.connected(), Idle: len(r.idle)})
	}
	if r.control.Go == nil {
		return true, nil
	}
	return r.control.Go(cut)
}

// begin starts the clock, and has the connections cut when the grace after the job's duration is over. The returned function
// calls that off.
func (r *run) begin(cancel context.CancelCauseFunc) (release func() bool) {
	r.began = time.Now()
	if r.job.Duration <= 0 {
		return func() bool { return true }
	}
	return time.AfterFunc(r.job.Duration+grace, func() { cancel(errGrace) }).Stop
}

// untilOver is a context that ends with the job's duration.
func (r *run) untilOver(cut context.Context) (context.Context, context.CancelFunc) {
	if r.job.Duration <= 0 {
		return context.WithCancel(cut)
	}
	return context.WithDeadline(cut, r.began.Add(r.job.Duration))
}

// failure is why the run has no result: it was stopped from outside, or by a call that can't be done at all.
func (r *run) failure(cut context.Context) error {
	if fatal := r.fatal.Load(); fatal != nil {
		return *fatal
	}
	if cut.Err() != nil && !errors.Is(context.Cause(cut), errGrace) {
		return context.Cause(cut)
	}
	return nil
}

// fail counts a client's failed call. One that can't be done at all ends the run.
func (r *run) fail(c *client, err error) {
	if errors.Is(err, ErrUnsupported) {
		r.fatal.CompareAndSwap(nil, &err)
		r.cutClients()
		return
	}
	r.tally.fail(c.number, err)
}

// cutClients ends whatever the clients wait for: calls that are under way fail.
func (r *run) cutClients() {
	r.isCut.Store(true)
	for _, c := range r.clients {
		c.cut()
	}
}

// now is the time since the calls, or those of the wave, began.
func (r *run) now() time.Duration { return time.Since(r.began) }

// takes tells whether there is another call to begin at a time since the start, and takes it.
func (r *run) takes(now time.Duration) bool {
	if r.isCut.Load() || r.job.Duration > 0 && now >= r.job.Duration {
		return false
	}
	return r.job.Calls <= 0 || r.taken.Add(1) <= r.job.Calls
}

func (r *run) connected() int {
	connected := 0
	for _, c := range r.clients {
		if !c.absent {
			connected++
		}
	}
	return connected
}

// length is how long the calls took together. Those of an open loop come at random within the job's duration, and belong to
// it even if they end later, unless their number has ended the run.
func (r *run) length() time.Duration {
	if r.job.Rate > 0 && r.job.Duration > 0 && (r.job.Calls <= 0 || r.taken.Load() <= r.job.Calls) {
		return r.job.Duration
	}
	return r.lastEnd()
}

func (r *run) lastEnd() time.Duration {
	last := time.Duration(0)
	for _, c := range r.clients {
		last = max(last, c.last)
	}
	return last
}

// reportProgress calls Control.Progress until the returned function is called, which waits for it.
func (r *run) reportProgress() (stop func()) {
	if r.control.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				r.control.Progress(Progress{Calls: r.latencies.count(), Errors: r.tally.count()})
			}
		}
	})
	return func() {
		close(done)
		reporter.Wait()
	}
}

func (r *run) result() Result {
	result := Result{
		Elapsed: r.elapsed, Calls: r.latencies.count(), Connected: r.connected(), Idle: r.idle.alive(),
		Latency: r.latencies.pairs(), CPU: r.busy,
	}
	for _, c := range r.clients {
		result.Due += c.due
		result.Unstarted += c.unstarted
	}
	r.tally.fill(&result)
	return result
}

// close closes all connections. Politely it also waits, within a limit, for the cancel requests of calls that were cut.
func (r *run) close(politely bool) {
	for _, c := range r.clients {
		if c != nil {
			c.alarm.close()
		}
	}
	r.supply.close(r.clients)
	r.idle.close()
	if politely {
		r.line.awaitLingering(lingerLimit)
	}
}
