package pool

import (
	"context"
	"errors"
	"time"
)

// Errors a Checkout is refused with, or a waiter is failed with, besides those
// that Dial returns.
var (
	ErrClosed  = errors.New("pool registry is shut down")
	ErrRemoved = errors.New("pool is removed")
)

// Variant tells apart values of one pool that can't stand in for each other. A
// ticket asks for one and is given no other; 0 is the ordinary one, and the
// one MinSize is kept of.
type Variant uint64

// DefaultMaxDials is the bound on a pool's parallel dials when
// Settings.MaxDials is 0.
const DefaultMaxDials = 8

// Settings describe a pool. They can be changed while it is in use, by
// Configure; a change of Dial, Close or Host concerns later dials and closings
// only (call Replace to replace what is open, too).
type Settings[S comparable] struct {
	Name string // for messages and Stats

	Size        int // most values open or dialing; 0 = unlimited
	MinSize     int // values kept open while anyone is attached, or Warm is set
	ReserveSize int // beyond Size, for a waiter that has waited ReserveTimeout
	MaxDials    int // most dials in flight at once; 0 = DefaultMaxDials
	Quotas      []*Quota

	ReserveTimeout time.Duration // 0 = the reserve is never used
	Lifetime       time.Duration // 0 = unlimited; each value gets up to a fifth less, so that they don't all end together
	IdleTimeout    time.Duration // 0 = unlimited; applies above MinSize only
	LoginRetry     time.Duration // longest back-off between dials, and how long a host may fail before waiters are told
	DialTimeout    time.Duration // deadline of a dial's context; 0 = none
	StaleAfter     time.Duration // a value that lies idle for longer counts as stale in Stats; 0 = none does

	RoundRobin bool // lend the longest idle value first, not the one used last
	Warm       bool // keep MinSize even while nobody is attached

	// Host is the key of the back-off shared by pools of the same host. Empty
	// means that the pool shares with none.
	Host string

	// Dial opens a value of variant v, ready for use. It runs on a goroutine of
	// its own and must return soon after ctx is done. An error with a method
	// Fatal() bool that returns true ends the wait of every waiter of the
	// variant; any other is retried. One with a method Soon() bool that returns
	// true is retried at short intervals, however long it has gone on.
	Dial func(ctx context.Context, v Variant) (S, error)

	// Close ends a value. It is called exactly once for each value Dial
	// returned, without any lock held, and must not block.
	Close func(s S, r Reason)
}

// Outcome is what a Checkout came to.
type Outcome uint8

// The outcomes of a Checkout.
const (
	Refused Outcome = iota // the error says why; the ticket doesn't wait
	Granted                // the lease is active
	Queued                 // the ticket's Waiter will be called, unless Withdraw comes first
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Granted:
		return "granted"
	case Queued:
		return "queued"
	default:
		return "refused"
	}
}

// Pool lends values that are alike: one Dial, one limit, one queue. It is made
// by Registry.Open and safe for concurrent use.
type Pool[S comparable] struct {
	reg  *Registry[S]
	acct *account[S] // guarded by reg.mu

	watches []watch // guarded by reg.mu
}

// Checkout asks for a value. now is a reading of Registry.Now, which the caller
// may have cached. Granted comes with an active lease; Queued means that the
// ticket's Waiter will be told, perhaps before Checkout returns, unless
// Withdraw returns true first; Refused comes with an error. The ticket is in
// use until then and must stay at its address. Checkout doesn't block and, when
// it grants, doesn't allocate. A ticket that is queued already panics.
func (p *Pool[S]) Checkout(t *Ticket[S], now time.Duration) (Lease[S], Outcome, error) {
	return p.checkout(t, false, now)
}

// CheckoutAgain is a Checkout that keeps the place of the ticket's previous
// one: for a lessee whose value proved dead, so that it isn't sent to the back
// of the queue. A ticket that has no previous Checkout gets a new place.
func (p *Pool[S]) CheckoutAgain(t *Ticket[S], now time.Duration) (Lease[S], Outcome, error) {
	return p.checkout(t, true, now)
}

func (p *Pool[S]) checkout(t *Ticket[S], again bool, now time.Duration) (Lease[S], Outcome, error) {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	if t.lane != nil {
		r.mu.Unlock()
		panic("pool: checkout of a ticket that is queued already")
	}
	lease, outcome, err := r.led.checkout(p.acct, t, again, now, &fx)
	r.finish(&fx)
	return lease, outcome, err
}

// Withdraw takes the ticket out of the queue. True: its Waiter won't be called
// for the Checkout that queued it. False: the Waiter was called or is about to
// be, and a lease it gets must be ended by its receiver (or the ticket never
// queued).
func (p *Pool[S]) Withdraw(t *Ticket[S]) bool {
	p.reg.mu.Lock()
	defer p.reg.mu.Unlock()
	return p.reg.led.withdraw(t)
}

// Lost tells that the owner of s found it dead, or sending what it mustn't,
// while it lay idle. True: it was idle, and is closed for the reason given.
// False: it is leased (its lessee will notice) or not of this pool any more.
func (p *Pool[S]) Lost(s S, reason Reason) bool {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	idle := r.led.lost(p.acct, s, reason, r.Now(), &fx)
	r.finish(&fx)
	return idle
}

// Attach counts one more party interested in the pool. MinSize is kept while
// there is any.
func (p *Pool[S]) Attach() { p.attach(1) }

// Detach takes back one Attach.
func (p *Pool[S]) Detach() { p.attach(-1) }

func (p *Pool[S]) attach(n int) {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.attach(p.acct, n, r.Now(), &fx)
	r.finish(&fx)
}

// Retire ends every value that is open: idle ones now, leased ones when their
// lease ends. Dials in flight are called off and begun anew. Limits hold all
// the while.
func (p *Pool[S]) Retire() {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.retire(p.acct, r.Now(), &fx)
	r.finish(&fx)
}

// Configure replaces the pool's settings. Values above a lowered limit are
// closed: idle ones now, leased ones when their lease ends.
func (p *Pool[S]) Configure(s Settings[S]) {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.configure(p.acct, s, r.Now(), &fx)
	r.finish(&fx)
}

// Replace is Configure and Retire in one step: from then on nobody is lent a
// value that the old settings' Dial opened. The pauses after attempts that
// failed are over, as what was wrong may have been the settings.
func (p *Pool[S]) Replace(s Settings[S]) {
	var fx effects[S]
	r := p.reg
	r.mu.Lock()
	r.led.replace(p.acct, s, r.Now(), &fx)
	r.finish(&fx)
}

// Settings returns the pool's current settings.
func (p *Pool[S]) Settings() Settings[S] {
	p.reg.mu.Lock()
	defer p.reg.mu.Unlock()
	return p.acct.set
}
