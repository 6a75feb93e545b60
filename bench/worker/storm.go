package worker

import (
	"context"
	"sync"
	"time"
)

// storm does waves: every client loses its connection, all open one at once, and each calls once. The waves end when
// Control.Go says so or, without it, with the job's duration or calls.
func (r *run) storm(cut context.Context, cancel context.CancelCauseFunc) error {
	var first time.Time
	var before time.Duration
	for {
		r.dropAll()
		more, err := r.awaitGo(cut)
		if err != nil {
			return err
		}
		if !more || r.isCut.Load() {
			break
		}
		if first.IsZero() {
			before = processorTime()
			defer r.begin(cancel)()
			first = r.began
		}
		r.began = time.Now()
		r.wave(cut)
		r.elapsed += r.lastEnd()
		r.busy = processorTime() - before
		if err := r.failure(cut); err != nil {
			return err
		}
		if r.control.Go == nil && r.stormIsOver(time.Since(first)) {
			break
		}
	}
	return r.failure(cut)
}

// stormIsOver tells whether a job that nobody else controls has done its waves.
func (r *run) stormIsOver(length time.Duration) bool {
	return r.job.Duration > 0 && length >= r.job.Duration ||
		r.job.Calls > 0 && r.latencies.count()+r.tally.count() >= r.job.Calls
}

// dropAll closes the connections of all clients.
func (r *run) dropAll() {
	var all sync.WaitGroup
	for _, c := range r.clients {
		all.Go(func() { r.supply.drop(c) })
	}
	all.Wait()
}

// wave has every client connect and call once. A call's latency is from the start of the wave.
func (r *run) wave(cut context.Context) {
	var all sync.WaitGroup
	for _, c := range r.clients {
		all.Go(func() {
			c.last = 0
			err := c.call(cut)
			c.last = r.now()
			if err != nil {
				r.fail(c, err)
				return
			}
			c.shard.record(c.last)
		})
	}
	all.Wait()
}
