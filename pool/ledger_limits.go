package pool

import (
	"math"
	"slices"
	"time"
)

// How far the order of service may bend where a value can't be handed over but
// must be closed and dialed anew; see the package comment.
const (
	swapPatience = 50 * time.Millisecond
	starveSlack  = time.Second
)

// budget is a Quota as the ledger sees it.
type budget[S comparable] struct {
	quota    *Quota
	accounts []*account[S]
	used     int // open and dialing, of all accounts
	excess   int // the part of used above the limit that was there when it was lowered
	idle     int
	starving []*account[S] // accounts whose uncovered waiters wait for room here
}

// budget returns the budget of q, made if there is none.
func (l *ledger[S]) budget(q *Quota) *budget[S] {
	b := l.budgets[q]
	if b == nil {
		b = &budget[S]{quota: q}
		l.budgets[q] = b
	}
	return b
}

// dropBudget forgets a budget nobody is under.
func (l *ledger[S]) dropBudget(b *budget[S]) {
	if len(b.accounts) == 0 {
		delete(l.budgets, b.quota)
	}
}

// join puts the account under the budget with all it has. A budget is joined
// before it is left, so both counts are of references.
func (b *budget[S]) join(a *account[S]) {
	b.accounts = append(b.accounts, a)
	b.used += a.used
	b.idle += a.idle.n
	if a.starving {
		b.starving = append(b.starving, a)
	}
	b.measure()
}

func (b *budget[S]) leave(a *account[S]) {
	b.accounts = deleteFirst(b.accounts, a)
	b.used -= a.used
	b.idle -= a.idle.n
	if a.starving {
		b.starving = deleteFirst(b.starving, a)
	}
	b.measure()
}

func deleteFirst[T comparable](s []T, v T) []T {
	if i := slices.Index(s, v); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	return s
}

// measure notes how far the budget is over its limit, which only an operator
// can cause.
func (b *budget[S]) measure() {
	b.excess = 0
	if b.quota.limit > 0 {
		b.excess = max(b.used-b.quota.limit, 0)
	}
}

func (b *budget[S]) full() bool { return b.quota.limit > 0 && b.used >= b.quota.limit }

// roomy reports whether a value more could be had, by eviction if need be.
func (b *budget[S]) roomy() bool { return b.idle > 0 || !b.full() }

// occupy counts one more value or dial; vacate one less.
func (a *account[S]) occupy() {
	a.used++
	for _, b := range a.budgets {
		b.used++
	}
}

func (a *account[S]) vacate() {
	a.used--
	a.excess = min(a.excess, max(a.used-a.hardLimit(), 0))
	for _, b := range a.budgets {
		b.used--
		b.excess = min(b.excess, max(b.used-b.quota.limit, 0))
	}
}

// hardLimit is the most values the account may have in any event.
func (a *account[S]) hardLimit() int {
	if a.set.Size <= 0 {
		return math.MaxInt
	}
	if a.set.ReserveTimeout <= 0 {
		return a.set.Size
	}
	return a.set.Size + a.set.ReserveSize
}

// sizeLimit is the most values the account may have for the sake of t.
func (a *account[S]) sizeLimit(t *Ticket[S], now time.Duration) int {
	limit := a.hardLimit()
	if a.set.Size > 0 && (t == nil || now-t.since < a.set.ReserveTimeout) {
		limit = a.set.Size
	}
	return limit
}

// overLimit reports whether a limit was lowered below what there is.
func (a *account[S]) overLimit() bool {
	if a.excess > 0 {
		return true
	}
	for _, b := range a.budgets {
		if b.excess > 0 {
			return true
		}
	}
	return false
}

// contested reports whether waiters of some account wait for a limit that a
// shares.
func (a *account[S]) contested() bool {
	for _, b := range a.budgets {
		if len(b.starving) > 0 {
			return true
		}
	}
	return false
}

func (a *account[S]) setStarving(starving bool) {
	if a.starving == starving {
		return
	}
	a.starving = starving
	for _, b := range a.budgets {
		if starving {
			b.starving = append(b.starving, a)
		} else {
			b.starving = deleteFirst(b.starving, a)
		}
	}
}

// claimant returns the account, it.acct or another, for whose oldest uncovered
// waiter the item should be given up rather than handed to next; or nil.
func (l *ledger[S]) claimant(it *item[S], next *Ticket[S], now time.Duration) *account[S] {
	a := it.acct
	var best *account[S]
	var oldest *Ticket[S]
	if a.uncovered > 0 && len(a.lanes) > 0 {
		w := a.oldestUncovered()
		if w.lane != it.lane && w.seq < next.seq && now-w.since >= swapPatience {
			best, oldest = a, w
		}
	}
	for _, b := range a.budgets {
		if !b.full() {
			continue
		}
		for _, c := range b.starving {
			if c == a {
				continue
			}
			w := c.oldestUncovered()
			if w.since+starveSlack <= next.since && (best == nil || w.seq < oldest.seq) {
				best, oldest = c, w
			}
		}
	}
	return best
}

// victimsFor plans what to evict so that a may have one value more for the sake
// of t (nil: MinSize, for which nothing is evicted). The plan is left in
// l.victims.
func (l *ledger[S]) victimsFor(a *account[S], t *Ticket[S], now time.Duration) hindrance {
	l.victims = l.victims[:0]
	if a.excess > 0 {
		return bySize
	}
	if a.used >= a.sizeLimit(t, now) {
		if t == nil || a.idle.oldest == nil {
			return bySize
		}
		l.victims = append(l.victims, a.idle.oldest)
	}
	for _, b := range a.budgets {
		if b.quota.limit <= 0 || b.used-l.freed(b) < b.quota.limit {
			continue
		}
		if t == nil || b.excess > 0 {
			return byBudget
		}
		v := l.longestIdle(b)
		if v == nil {
			return byBudget
		}
		l.victims = append(l.victims, v)
	}
	return unhindered
}

// freed counts the planned victims under b.
func (l *ledger[S]) freed(b *budget[S]) int {
	n := 0
	for _, v := range l.victims {
		if slices.Contains(v.acct.budgets, b) {
			n++
		}
	}
	return n
}

// longestIdle returns the item idle longest under b that isn't a planned victim,
// from an account above its minimum if there is one.
func (l *ledger[S]) longestIdle(b *budget[S]) *item[S] {
	if b.idle == 0 {
		return nil
	}
	var best *item[S]
	var bestSpare bool
	for _, a := range b.accounts {
		it := a.idle.oldest
		for it != nil && slices.Contains(l.victims, it) {
			it = it.link[inAccount].newer
		}
		if it == nil {
			continue
		}
		spare := a.used > a.minimum()
		if best == nil || spare && !bestSpare || spare == bestSpare && it.idleSince < best.idleSince {
			best, bestSpare = it, spare
		}
	}
	return best
}

// setLimit changes the limit of q and closes what idle values are too many.
func (l *ledger[S]) setLimit(q *Quota, limit int, now time.Duration, fx *effects[S]) {
	q.limit = limit
	b := l.budgets[q]
	if b == nil {
		return
	}
	b.measure()
	l.shed(b, fx)
	// Any account will do to begin with: rebalance looks at all that starve.
	for _, a := range slices.Clone(b.accounts) {
		l.rebalance(a, l.clock(now), fx)
	}
}

// shed closes idle items until the budget is within its limit.
func (l *ledger[S]) shed(b *budget[S], fx *effects[S]) {
	l.victims = l.victims[:0]
	for b.excess > 0 {
		it := l.longestIdle(b)
		if it == nil {
			return
		}
		l.closeItem(it, ReasonResized, fx)
	}
}
