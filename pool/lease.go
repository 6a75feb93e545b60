package pool

import "time"

// Lease is the right to use a value until Checkin or Discard. The zero Lease
// is inactive. It may be moved (copied, and the copy used in its place), but
// ends only once: ending it again, by whichever copy, panics.
type Lease[S comparable] struct {
	Value S

	item *item[S]
	term uint64 // which of the item's leases this is
	idle time.Duration
}

// Active reports whether the lease was granted and not ended through this
// copy.
func (l *Lease[S]) Active() bool { return l.item != nil }

// Checkin ends the lease and gives the value back, fit for the next lessee. It
// goes to the oldest waiter, becomes idle, or is closed if its time is up. now
// is a reading of Registry.Now. It doesn't block or allocate, but may call the
// Waiter the value goes to.
func (l *Lease[S]) Checkin(now time.Duration) {
	var fx effects[S]
	it := l.end()
	r := it.acct.pool.reg
	r.mu.Lock()
	ok := it.state == itemLeased && it.term == l.term
	if ok {
		r.led.checkin(it, now, &fx)
	}
	r.finish(&fx)
	if !ok {
		panic("pool: lease ended twice")
	}
}

// Discard ends the lease and closes the value.
func (l *Lease[S]) Discard(reason Reason, now time.Duration) {
	var fx effects[S]
	it := l.end()
	r := it.acct.pool.reg
	r.mu.Lock()
	ok := it.state == itemLeased && it.term == l.term
	if ok {
		r.led.discard(it, reason, now, &fx)
	}
	r.finish(&fx)
	if !ok {
		panic("pool: lease ended twice")
	}
}

// end makes this copy inactive and returns its item.
func (l *Lease[S]) end() *item[S] {
	it := l.item
	if it == nil {
		panic("pool: inactive lease ended")
	}
	l.item = nil
	return it
}

// IdleFor returns how long the value had lain idle when it was lent; 0 if it
// came from another lessee's hand or fresh from a dial.
func (l *Lease[S]) IdleFor() time.Duration { return l.idle }

// SetHome notes where the value lives from now on; tickets with the same Home
// are given it by preference. A new value has no home (-1). Only the lessee may
// call it.
func (l *Lease[S]) SetHome(home int) { l.item.home = home }

// Home returns what SetHome noted last, or -1.
func (l *Lease[S]) Home() int { return l.item.home }

// Pool returns the pool the value belongs to.
func (l *Lease[S]) Pool() *Pool[S] { return l.item.acct.pool }

// CloseNeeded reports whether Checkin would close the value as things stand
// (it is retired, over its lifetime or over a limit, or its pool is paused or
// gone), so that cleaning it first is wasted. It takes the registry's lock.
func (l *Lease[S]) CloseNeeded() bool {
	r := l.item.acct.pool.reg
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.led.unfit(l.item, now) != reasonNone
}
