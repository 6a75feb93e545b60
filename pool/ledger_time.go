package pool

import (
	"cmp"
	"slices"
	"time"
)

// arm sees to it that a tick at the given time, or soon after, looks at a.
func (l *ledger[S]) arm(a *account[S], at time.Duration, fx *effects[S]) {
	if at < a.due {
		a.due = at
		if at < l.due {
			l.due = at
			fx.wake = true
		}
	}
}

// tick does what has become due. Of the accounts that have been waiting for a
// failing host, the one that dialed least recently comes first, so that one
// which always fails can't keep the others from trying.
func (l *ledger[S]) tick(now time.Duration, fx *effects[S]) {
	now = l.clock(now)
	l.ready = l.ready[:0]
	for _, a := range l.accounts {
		if a.due <= now {
			l.ready = append(l.ready, a)
		}
	}
	slices.SortStableFunc(l.ready, func(a, b *account[S]) int { return cmp.Compare(a.lastDial, b.lastDial) })
	for _, a := range l.ready {
		a.due = never
		// A dial started for a waiter may lift the account above its minimum,
		// and so end what the minimum had kept: once more, then.
		next := now
		for next <= now {
			l.expire(a, now, fx)
			l.rebalance(a, now, fx)
			next = l.nextExpiry(a, now)
		}
		l.arm(a, next, fx)
	}
	clear(l.ready)
	l.due = never
	for _, a := range l.accounts {
		l.due = min(l.due, a.due)
	}
	fx.wake = false
}

// expire closes the idle items whose time is over.
func (l *ledger[S]) expire(a *account[S], now time.Duration, fx *effects[S]) {
	var newer *item[S]
	for it := a.idle.oldest; it != nil; it = newer {
		newer = it.link[inAccount].newer
		switch {
		case it.expiry() <= now:
			l.closeItem(it, ReasonLifetime, fx)
		case a.set.IdleTimeout > 0 && it.idleSince+a.set.IdleTimeout <= now && a.used > a.minimum():
			l.closeItem(it, ReasonIdleTimeout, fx)
		}
	}
}

// nextExpiry returns when expire will next have something to do.
func (l *ledger[S]) nextExpiry(a *account[S], now time.Duration) time.Duration {
	at := never
	if a.idle.n == 0 {
		return at
	}
	if a.set.IdleTimeout > 0 && a.used > a.minimum() {
		at = max(a.idle.oldest.idleSince+a.set.IdleTimeout, now)
	}
	if a.set.Lifetime > 0 {
		for it := a.idle.newest; it != nil; it = it.link[inAccount].older {
			at = min(at, it.expiry())
		}
	}
	return at
}
