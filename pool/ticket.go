package pool

import "time"

// Waiter is told the outcome of a Checkout that queued.
type Waiter[S comparable] interface {
	// Deliver is called at most once for each Checkout that queued, on any
	// goroutine, with no lock held. Either the lease is active and becomes the
	// receiver's to end, or err says why there will be none. It must not block;
	// it may call the pool. The ticket is free for another Checkout.
	Deliver(t *Ticket[S], l Lease[S], err error)
}

// Ticket is a place in a queue. It is embedded in the caller's own structure,
// so that waiting allocates nothing; the exported fields are set before
// Checkout and left alone until its outcome is known. A Ticket serves one
// Checkout at a time, any number one after the other.
type Ticket[S comparable] struct {
	Waiter  Waiter[S]
	Home    int     // prefer an idle value with this home (see Lease.SetHome); negative = none
	Variant Variant // the kind of value wanted

	since time.Duration // when Checkout was called
	seq   uint64        // place in the order of all checkouts of the registry; 0 = never checked out

	// Guarded by the registry's mu.
	lane    *lane[S] // where it is queued, nil if it isn't
	link    [2]ticketLink[S]
	covered bool // a dial in flight is expected to serve it
}

// Since returns when the ticket took its place, on the clock of Registry.Now:
// the time of its last Checkout, or for CheckoutAgain of the one before.
func (t *Ticket[S]) Since() time.Duration { return t.since }
