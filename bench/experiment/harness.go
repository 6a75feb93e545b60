package experiment

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"carpool/bench/nullserver"
	"carpool/bench/report"
	"carpool/bench/worker"
)

// What the harness's own cost is measured with.
const (
	overheadRounds = 5
	overheadTime   = 100 * time.Millisecond
	overheadCalls  = 2000 // of the bare loop in a round
	ceilingTime    = 300 * time.Millisecond
)

// measureHarness finds out what the harness itself costs a call, and how many calls a second it makes at most, on a server
// that only echoes. Harness and bare loop take turns, and the quietest round of each counts: what disturbs a round, such as
// the system waking another core for each reply, isn't the harness's cost.
func (e *experiment) measureHarness(ctx context.Context) error {
	null, err := nullserver.Launch(ctx, e.tools.NullServer, e.tools.Environ)
	if err != nil {
		return fmt.Errorf("starting the server that measures the harness: %w", err)
	}
	defer null.Stop()
	var harness, bare []time.Duration
	for range overheadRounds {
		alone, err := e.callNull(ctx, null, 1, 1, overheadTime)
		if err != nil {
			return err
		}
		exchange, err := nullserver.Bare(ctx, null.Address(), overheadCalls)
		if err != nil {
			return fmt.Errorf("measuring the harness: %w", err)
		}
		harness, bare = append(harness, medianLatency(alone)), append(bare, exchange)
	}
	e.overhead = &report.Overhead{HarnessSeconds: slices.Min(harness).Seconds(), BareSeconds: slices.Min(bare).Seconds()}
	if e.plan.Rate == 0 {
		return nil
	}
	all, err := e.callNull(ctx, null, e.plan.Clients, e.plan.Processes, ceilingTime)
	if err != nil {
		return err
	}
	e.ceiling = float64(all.Calls) / all.Elapsed.Seconds()
	return nil
}

// callNull lets worker processes call the null server as they will call the database.
func (e *experiment) callNull(ctx context.Context, null *nullserver.Server, clients, processes int, duration time.Duration) (worker.Result, error) {
	job := worker.Job{
		Technique: worker.Kept, URL: null.URL(), Protocol: worker.Simple, Workload: "select1",
		Place: worker.Place{Schema: "public", Scale: 1}, Clients: clients, Duration: duration, Seed: e.plan.Seed,
	}
	group := worker.Group{Command: e.tools.Worker, Environ: e.tools.Environ}
	result, err := group.Run(ctx, worker.Split(job, processes), func() {}, func(worker.Progress) {})
	if err != nil {
		return worker.Result{}, fmt.Errorf("measuring the harness: %w", err)
	}
	if result.Calls == 0 {
		return worker.Result{}, fmt.Errorf("measuring the harness: no call succeeded: %s", result.FirstError)
	}
	return result, nil
}

// medianLatency is the middle of the pairs of latency and count.
func medianLatency(r worker.Result) time.Duration {
	var seen int64
	for _, pair := range r.Latency {
		if seen += pair[1]; 2*seen >= r.Calls {
			return time.Duration(pair[0])
		}
	}
	return 0
}

// spareFiles are descriptors that a process has besides connections.
const spareFiles = 200

// checkFiles raises the limit of open files as far as it may be, and refuses a plan that needs more: a pooler has a
// descriptor for every client and server.
func (e *experiment) checkFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	clients := slices.Max(append([]int{e.plan.Clients}, e.plan.SweepClients...))
	needed := uint64(clients + e.plan.IdleClients + e.plan.PoolSize + spareFiles)
	if needed > limit.Max {
		return fmt.Errorf("%d clients need about %d file descriptors and this process may have %d: raise the limit with `ulimit -n %d`, or take fewer --clients or --idle-clients",
			clients+e.plan.IdleClients, needed, limit.Max, needed)
	}
	if needed <= limit.Cur {
		return nil
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files to %d: %w", limit.Cur, err)
	}
	return nil
}
