package pool

import (
	"context"
	"errors"
	"slices"
	"time"
)

// dial is an attempt to open a value.
type dial[S comparable] struct {
	acct    *account[S]
	host    *host[S]
	variant Variant
	began   time.Duration
	offFor  Reason // called off for this reason, reasonNone if it isn't

	// for the shell
	open    func(context.Context, Variant) (S, error)
	timeout time.Duration
	ctx     context.Context
	cancel  context.CancelFunc
}

// hindrance is what keeps an account from dialing.
type hindrance uint8

const (
	unhindered hindrance = iota
	byState              // paused, removed, shut down, or nobody to dial for
	byDials              // as many dials in flight as allowed
	byBackoff            // its host is failing
	bySize               // its own limit; a release or the reserve helps
	byBudget             // a shared limit; a release by another account helps
)

// hindered says what keeps a from dialing for the sake of t (nil: MinSize).
// Unhindered, l.victims is what has to be evicted first.
func (l *ledger[S]) hindered(a *account[S], t *Ticket[S], now time.Duration) hindrance {
	limit := a.set.MaxDials
	if limit <= 0 {
		limit = DefaultMaxDials
	}
	switch {
	case l.closed || a.removed || a.paused:
		return byState
	case len(a.dials) >= limit:
		return byDials
	case !a.host.allows(now):
		return byBackoff
	}
	return l.victimsFor(a, t, now)
}

// dialOldest starts a dial for the oldest waiter of a that has none on its way,
// or sees to it that the account is tried again when that may have become
// possible.
func (l *ledger[S]) dialOldest(a *account[S], now time.Duration, fx *effects[S]) hindrance {
	t := a.oldestUncovered()
	if t == nil {
		return byState
	}
	h := l.hindered(a, t, now)
	if h != unhindered { // else the next waiter decides, when it is tried
		a.setStarving(h == byBudget)
	}
	switch h {
	case unhindered:
		for _, it := range l.victims {
			l.closeItem(it, ReasonEvicted, fx)
			if it.acct != a && it.acct.used < it.acct.minimum() {
				l.postponeTopUp(it.acct, now+topUpPause, fx)
			}
		}
		l.startDial(a, t.lane, now, fx)
	case byBackoff:
		l.armBackoff(a, now, fx)
	case bySize:
		if a.set.ReserveTimeout > 0 && a.set.ReserveSize > 0 && a.used < a.hardLimit() {
			l.arm(a, t.since+a.set.ReserveTimeout, fx)
		}
	}
	return h
}

// topUpPause is how long MinSize waits when there was no room for it.
const topUpPause = time.Second

// topUp dials what MinSize lacks. It evicts nothing, and comes after all who
// wait.
func (l *ledger[S]) topUp(a *account[S], now time.Duration, fx *effects[S]) {
	for a.used < a.minimum() {
		if now < a.topUpAt {
			l.arm(a, a.topUpAt, fx)
			return
		}
		switch l.hindered(a, nil, now) {
		case unhindered:
			l.startDial(a, &a.plain, now, fx)
			continue
		case byBackoff:
			l.armBackoff(a, now, fx)
		case byBudget:
			l.postponeTopUp(a, now+topUpPause, fx)
		}
		return
	}
}

func (l *ledger[S]) postponeTopUp(a *account[S], until time.Duration, fx *effects[S]) {
	a.topUpAt = until
	l.arm(a, until, fx)
}

func (l *ledger[S]) startDial(a *account[S], ln *lane[S], now time.Duration, fx *effects[S]) {
	d := &dial[S]{
		acct: a, host: a.host, variant: ln.variant, began: now,
		open: a.set.Dial, timeout: a.set.DialTimeout,
	}
	a.dials = append(a.dials, d)
	a.host.dialing++
	a.lastDial = now
	a.counts.Dials++
	a.occupy()
	ln.dialing++
	ln.cover()
	fx.start(d)
}

// callOff has a dial in flight end without result. It counts against the limits
// until it has returned.
func (l *ledger[S]) callOff(d *dial[S], reason Reason, fx *effects[S]) {
	if d.offFor != reasonNone {
		return
	}
	d.offFor = reason
	ln := d.acct.lane(d.variant)
	ln.dialing--
	ln.cover()
	ln.prune()
	fx.cancel(d)
}

// dialed takes in the value of a dial that succeeded.
func (l *ledger[S]) dialed(d *dial[S], s S, now time.Duration, fx *effects[S]) {
	now = l.clock(now)
	a := d.acct
	failing := d.host.failures > 0
	l.endDial(d)
	if d.offFor != reasonNone {
		a.vacate()
		a.counts.Closed[d.offFor]++
		fx.close(a, s, d.offFor)
		l.afterDial(a, d.host, failing, now, fx)
		return
	}
	d.host.succeeded()
	a.counts.LastError = nil
	ln := a.needLane(d.variant)
	it := &item[S]{value: s, acct: a, lane: ln, home: -1, born: now, spread: l.rng.Float64() / lifetimeSpread}
	if a.items[s] != nil {
		panic("pool: Dial returned a value that is open already")
	}
	a.items[s] = it
	ln.items++
	l.place(it, now, fx)
	l.afterDial(a, d.host, failing, now, fx)
}

// lifetimeSpread is the inverse of the largest part of its lifetime that an
// item goes without, so that those dialed together don't end together.
const lifetimeSpread = 5

// dialFailed takes in the error of a dial.
func (l *ledger[S]) dialFailed(d *dial[S], err error, now time.Duration, fx *effects[S]) {
	now = l.clock(now)
	a := d.acct
	failing := d.host.failures > 0
	l.endDial(d)
	a.vacate()
	if d.offFor == reasonNone {
		a.counts.DialFailures++
		a.counts.LastError, a.lastErrAt = err, now
		var fatal interface{ Fatal() bool }
		if errors.As(err, &fatal) && fatal.Fatal() {
			l.failAll(a.lane(d.variant), err, fx)
			a.topUpAt = now + max(a.set.LoginRetry, topUpPause)
		} else {
			d.host.failed(d.began, now, a.set.LoginRetry, err, l.rng)
			failing = true
		}
		if ln := a.lane(d.variant); ln != nil {
			ln.prune()
		}
	}
	l.afterDial(a, d.host, failing, now, fx)
}

// endDial takes a dial that returned off the lists. Its place under the limits
// stays taken, for the item or to be vacated.
func (l *ledger[S]) endDial(d *dial[S]) {
	a := d.acct
	a.dials = deleteFirst(a.dials, d)
	d.host.dialing--
	if d.offFor == reasonNone {
		ln := a.lane(d.variant)
		ln.dialing--
		ln.cover()
	}
}

// afterDial rebalances the account, and if its host was or is failing the
// others that wait for the host.
func (l *ledger[S]) afterDial(a *account[S], h *host[S], failing bool, now time.Duration, fx *effects[S]) {
	l.rebalance(a, now, fx)
	if failing {
		for _, c := range slices.Clone(h.accounts) {
			if c != a && (c.waiting.n > 0 || c.used < c.minimum()) {
				l.rebalance(c, now, fx)
			}
		}
	}
}

// failAll ends the wait of everyone in the lane with err.
func (l *ledger[S]) failAll(ln *lane[S], err error, fx *effects[S]) {
	if ln == nil {
		return
	}
	a := ln.acct
	for t := ln.waiting.head; t != nil; t = ln.waiting.head {
		l.dequeue(t)
		a.counts.Failed++
		fx.deliver(t, Lease[S]{}, err)
	}
	ln.prune()
}

// failEveryone ends the wait of everyone in the account, oldest first.
func (l *ledger[S]) failEveryone(a *account[S], err error, fx *effects[S]) {
	for t := a.waiting.head; t != nil; t = a.waiting.head {
		ln := t.lane
		l.dequeue(t)
		a.counts.Failed++
		fx.deliver(t, Lease[S]{}, err)
		ln.prune()
	}
}
