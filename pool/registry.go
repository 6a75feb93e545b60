package pool

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Registry holds pools that share limits and hosts. One mutex guards all of
// them; it is held for well under a microsecond at a time and never while
// calling Dial, Close or Deliver.
type Registry[S comparable] struct {
	// immutable
	epoch time.Time
	wake  chan struct{} // buffered by one: the janitor's deadline moved forward

	mu  sync.Mutex
	led ledger[S] // guarded by mu

	dials sync.WaitGroup // one for each dial goroutine; added to under mu
}

// NewRegistry returns a registry without pools. total, if not nil, limits the
// values of all of them together. Time-outs, back-off and MinSize need Run.
func NewRegistry[S comparable](total *Quota) *Registry[S] {
	r := &Registry[S]{epoch: time.Now(), wake: make(chan struct{}, 1)}
	r.led.setUp(total, rand.Uint64())
	return r
}

// Now returns the time on the registry's monotonic clock.
func (r *Registry[S]) Now() time.Duration { return time.Since(r.epoch) }

// Epoch returns the zero of that clock, for others to run theirs by.
func (r *Registry[S]) Epoch() time.Time { return r.epoch }

// Open adds a pool. It dials nothing until someone asks (or MinSize does).
func (r *Registry[S]) Open(s Settings[S]) *Pool[S] {
	var fx effects[S]
	p := &Pool[S]{reg: r}
	r.mu.Lock()
	p.acct = r.led.open(s, r.Now(), &fx)
	p.acct.pool = p
	r.finish(&fx)
	return p
}

// Remove takes the pool out of the registry: waiters fail with ErrRemoved, idle
// values are closed, dials called off. Leases end normally, by closing, and
// count against the pool's quotas until then. A second Remove does nothing.
func (r *Registry[S]) Remove(p *Pool[S]) {
	var fx effects[S]
	r.mu.Lock()
	r.led.remove(p.acct, r.Now(), &fx)
	r.finish(&fx)
}

// Pools returns the pools that were opened and not removed, oldest first.
func (r *Registry[S]) Pools() []*Pool[S] {
	r.mu.Lock()
	defer r.mu.Unlock()
	pools := make([]*Pool[S], 0, len(r.led.accounts))
	for _, a := range r.led.accounts {
		if !a.removed {
			pools = append(pools, a.pool)
		}
	}
	return slices.Clip(pools)
}

// Shutdown ends the registry: waiters and later Checkouts fail with ErrClosed,
// idle values are closed, dials called off; leases end normally, by closing. It
// blocks until the dials in flight have returned, so it mustn't be called from
// Dial, Close or Deliver. A second Shutdown does nothing more.
func (r *Registry[S]) Shutdown() {
	var fx effects[S]
	r.mu.Lock()
	r.led.shutdown(r.Now(), &fx)
	r.finish(&fx)
	r.dials.Wait()
}

// finish is called with mu held; it unlocks and carries the effects out in the
// order the ledger gave them.
func (r *Registry[S]) finish(fx *effects[S]) {
	if fx.n > 0 {
		r.prepareDials(fx)
	}
	for _, a := range fx.drained {
		a.pool.signal()
	}
	r.mu.Unlock()
	if fx.wake {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	for i := range fx.n {
		r.perform(fx.at(i))
	}
}

func (r *Registry[S]) perform(e *effect[S]) {
	switch e.kind {
	case effectDeliver:
		e.ticket.Waiter.Deliver(e.ticket, e.lease, e.err)
	case effectClose:
		e.close(e.lease.Value, e.reason)
	case effectDial:
		go r.dial(e.dial)
	case effectCancel:
		e.dial.cancel()
	}
}
