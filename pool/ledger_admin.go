package pool

import (
	"slices"
	"time"
)

// retire marks everything open for closing.
func (l *ledger[S]) retire(a *account[S], now time.Duration, fx *effects[S]) {
	l.disown(a, fx)
	l.rebalance(a, l.clock(now), fx)
}

// disown is retire without anything being dialed in place of what goes.
func (l *ledger[S]) disown(a *account[S], fx *effects[S]) {
	for _, it := range a.items {
		if it.state == itemLeased && !it.retired {
			it.retired = true
			a.retiring++
		}
	}
	l.clearOut(a, ReasonRetired, fx)
}

// replace retires what is open, then changes the settings, and tries at once
// what had to wait because of failures.
func (l *ledger[S]) replace(a *account[S], s Settings[S], now time.Duration, fx *effects[S]) {
	if a.removed {
		return
	}
	now = l.clock(now)
	l.disown(a, fx)
	a.topUpAt = 0
	l.configure(a, s, now, fx)
	if h := a.host; h.failures > 0 && h.nextTry > now {
		h.nextTry = now
		for _, c := range slices.Clone(h.accounts) {
			l.rebalance(c, now, fx)
		}
	}
}

// clearOut closes what is idle and calls off what is being dialed.
func (l *ledger[S]) clearOut(a *account[S], reason Reason, fx *effects[S]) {
	for it := a.idle.oldest; it != nil; it = a.idle.oldest {
		l.closeItem(it, reason, fx)
	}
	for _, d := range a.dials {
		l.callOff(d, reason, fx)
	}
}

func (l *ledger[S]) pause(a *account[S], now time.Duration, fx *effects[S]) {
	if !a.paused && !a.removed {
		a.paused = true
		a.setStarving(false)
		l.clearOut(a, ReasonPaused, fx)
		l.rebalance(a, l.clock(now), fx)
	}
}

func (l *ledger[S]) resume(a *account[S], now time.Duration, fx *effects[S]) {
	if a.paused {
		a.paused = false
		l.rebalance(a, l.clock(now), fx)
	}
}

// remove ends the account; it is forgotten when its last lease ends.
func (l *ledger[S]) remove(a *account[S], now time.Duration, fx *effects[S]) {
	if a.removed {
		return
	}
	a.removed = true
	l.failEveryone(a, ErrRemoved, fx)
	l.clearOut(a, ReasonRemoved, fx)
	l.rebalance(a, l.clock(now), fx)
	l.release(a)
}

// shutdown ends all accounts.
func (l *ledger[S]) shutdown(now time.Duration, fx *effects[S]) {
	l.clock(now)
	l.closed = true
	for _, a := range slices.Clone(l.accounts) {
		l.failEveryone(a, ErrClosed, fx)
		l.clearOut(a, ReasonShutdown, fx)
		fx.note(a)
	}
}

// configure changes the settings of an account in use.
func (l *ledger[S]) configure(a *account[S], s Settings[S], now time.Duration, fx *effects[S]) {
	if a.removed {
		return
	}
	now = l.clock(now)
	before := slices.Clone(a.budgets)
	l.adopt(a, s)
	a.excess = max(a.used-a.hardLimit(), 0)
	for a.excess > 0 && a.idle.oldest != nil {
		l.closeItem(a.idle.oldest, ReasonResized, fx)
	}
	for _, b := range a.budgets {
		l.shed(b, fx)
	}
	// Whoever starved for a budget the account has left finds room there now.
	for _, b := range before {
		if slices.Contains(a.budgets, b) {
			continue // those who starve there are looked at with a
		}
		for _, c := range slices.Clone(b.accounts) {
			l.rebalance(c, now, fx)
		}
	}
	l.rebalance(a, now, fx)
	l.arm(a, now, fx) // time limits may be shorter
}
