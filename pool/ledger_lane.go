package pool

import "time"

// lane is the part of an account that concerns one variant: its waiters, idle
// items and dials. The lane of variant 0 always exists, another only while it
// isn't empty.
type lane[S comparable] struct {
	acct    *account[S]
	variant Variant
	waiting queue[S]
	idle    shelf[S]
	items   int // idle and leased
	dialing int // dials in flight, without those called off

	// The oldest waiters, as many as dials are in flight, are covered: a dial
	// is on its way for them, none needs to be started. edge is the oldest one
	// that isn't.
	covered int
	edge    *Ticket[S]
}

// homeSearch bounds how many idle items are looked at for one with the
// ticket's home.
const homeSearch = 16

func (ln *lane[S]) setUp(a *account[S], v Variant) {
	ln.acct, ln.variant = a, v
	ln.waiting.by, ln.idle.by = inLane, inLane
}

// lane returns the lane of v, or nil.
func (a *account[S]) lane(v Variant) *lane[S] {
	if v == 0 {
		return &a.plain
	}
	return a.lanes[v]
}

// needLane returns the lane of v, made if there is none.
func (a *account[S]) needLane(v Variant) *lane[S] {
	ln := a.lane(v)
	if ln == nil {
		if a.lanes == nil {
			a.lanes = make(map[Variant]*lane[S])
		}
		ln = new(lane[S])
		ln.setUp(a, v)
		a.lanes[v] = ln
	}
	return ln
}

// prune forgets the lane if it is empty.
func (ln *lane[S]) prune() {
	if ln.variant != 0 && ln.items == 0 && ln.waiting.n == 0 && ln.dialing == 0 {
		delete(ln.acct.lanes, ln.variant)
	}
}

// pick returns the idle item that suits t best, or nil. It stays on the shelf.
func (a *account[S]) pick(t *Ticket[S]) *item[S] {
	ln := a.lane(t.Variant)
	if ln == nil || ln.idle.n == 0 {
		return nil
	}
	first := ln.idle.newest
	if a.set.RoundRobin {
		first = ln.idle.oldest
	}
	if t.Home < 0 {
		return first
	}
	it := first
	for range homeSearch {
		if it == nil {
			break
		}
		if it.home == t.Home {
			return it
		}
		if a.set.RoundRobin {
			it = it.link[inLane].newer
		} else {
			it = it.link[inLane].older
		}
	}
	return first
}

// shelve lays an item down idle.
func (l *ledger[S]) shelve(it *item[S], now time.Duration, fx *effects[S]) {
	a := it.acct
	it.state, it.idleSince = itemIdle, now
	a.idle.put(it)
	it.lane.idle.put(it)
	for _, b := range a.budgets {
		b.idle++
	}
	if a.set.Lifetime > 0 {
		l.arm(a, it.expiry(), fx)
	}
	if a.set.IdleTimeout > 0 && a.used > a.minimum() {
		l.arm(a, a.idle.oldest.idleSince+a.set.IdleTimeout, fx)
	}
}

// unshelve takes an idle item in hand.
func (l *ledger[S]) unshelve(it *item[S]) {
	a := it.acct
	it.state = itemLoose
	a.idle.take(it)
	it.lane.idle.take(it)
	for _, b := range a.budgets {
		b.idle--
	}
}

// enqueue makes t wait.
func (a *account[S]) enqueue(t *Ticket[S]) {
	ln := a.needLane(t.Variant)
	t.lane, t.covered = ln, false
	a.waiting.insert(t)
	ln.waiting.insert(t)
	switch {
	case ln.edge != nil && ln.edge.seq < t.seq:
		a.uncovered++
	case t.link[inLane].next == ln.edge:
		ln.edge = t
		a.uncovered++
	default: // before one that is covered
		t.covered = true
		ln.covered++
	}
	ln.cover()
}

// dequeue ends t's wait.
func (l *ledger[S]) dequeue(t *Ticket[S]) {
	ln := t.lane
	a := ln.acct
	if t.covered {
		t.covered = false
		ln.covered--
	} else {
		a.uncovered--
		if ln.edge == t {
			ln.edge = t.link[inLane].next
		}
	}
	a.waiting.remove(t)
	ln.waiting.remove(t)
	t.lane = nil
	ln.cover()
}

// cover makes the covered waiters as many as the dials in flight.
func (ln *lane[S]) cover() {
	a := ln.acct
	for ln.covered < ln.dialing && ln.edge != nil {
		ln.edge.covered = true
		ln.edge = ln.edge.link[inLane].next
		ln.covered++
		a.uncovered--
	}
	for ln.covered > ln.dialing {
		last := ln.waiting.tail
		if ln.edge != nil {
			last = ln.edge.link[inLane].prev
		}
		last.covered = false
		ln.edge = last
		ln.covered--
		a.uncovered++
	}
	if a.uncovered == 0 && a.starving {
		a.setStarving(false)
	}
}

// oldestUncovered returns the oldest waiter that no dial in flight is expected
// to serve, or nil. Those it skips are no more than the dials in flight.
func (a *account[S]) oldestUncovered() *Ticket[S] {
	t := a.waiting.head
	for t != nil && t.covered {
		t = t.link[inAccount].next
	}
	return t
}
